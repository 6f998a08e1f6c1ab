import { isUtf8 } from 'node:buffer';
import { Problem } from '../errors/problem.js';
import type { NewEvent } from '../log/event.js';
import { parseEvent } from './event.parser.js';
import { rawMembers } from './raw.json.js';

/** Lines in one block, at most so many. */
const BLOCK_LINES = 500;
/** What a line may hold besides its data, in bytes: space, a topic, a type and so on. */
const LINE_OVERHEAD = 64 * 1024;
const NEWLINE = 0x0a;

/** Some lines that came together. */
export interface Block {
  readonly events: NewEvent[];
  /** Number of each event's line, from 1. */
  readonly lines: number[];
  /** What is wrong with the line after them; nothing behind it is looked at. */
  readonly problem: Problem | undefined;
}

/**
 * Cuts newline-delimited JSON into blocks of events as it comes in: a slow source is not held up, and of a fast one
 * no more is in memory than a chunk and a line. Whoever takes the blocks sets the pace. Blank lines are skipped.
 * The last line needs no newline, but the source has to end well.
 *
 * @param maxDataBytes of the data of each event
 * @throws what the source throws when it breaks off
 */
export async function* readLines(source: AsyncIterable<Buffer>, maxDataBytes: number): AsyncGenerator<Block> {
  const maxBytes = maxDataBytes + LINE_OVERHEAD;
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  for await (const chunk of source) {
    const text = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    const end = text.lastIndexOf(NEWLINE) + 1;
    rest = text.subarray(end);
    yield* blocksOf(text.subarray(0, end));
    if (rest.length > maxBytes) {
      yield { events: [], lines: [], problem: tooLong(number + 1, maxBytes) };
      return;
    }
  }
  yield* blocksOf(rest);

  function* blocksOf(text: Buffer): Generator<Block> {
    let block: Block = { events: [], lines: [], problem: undefined };
    for (const line of split(text)) {
      number++;
      try {
        if (line.length > maxBytes) throw tooLong(number, maxBytes);
        const event = parseLine(line, number, maxDataBytes);
        if (!event) continue;
        block.events.push(event);
        block.lines.push(number);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        yield { ...block, problem: error };
        return;
      }
      if (block.events.length === BLOCK_LINES) {
        yield block;
        block = { events: [], lines: [], problem: undefined };
      }
    }
    if (block.events.length > 0) yield block;
  }
}

function* split(text: Buffer): Generator<Buffer> {
  let start = 0;
  while (start < text.length) {
    const newline = text.indexOf(NEWLINE, start);
    const end = newline < 0 ? text.length : newline;
    yield text.subarray(start, end);
    start = end + 1;
  }
}

function parseLine(bytes: Buffer, line: number, maxDataBytes: number): NewEvent | undefined {
  if (!isUtf8(bytes)) throw new Problem('line-invalid', `Line ${line} is not UTF-8.`, { line });
  const text = bytes.toString();
  if (text.trim() === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'it cannot be parsed';
    throw new Problem('line-invalid', `Line ${line} is not JSON: ${reason}.`, { line });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Problem('line-invalid', `Line ${line} is not a JSON object.`, { line });
  }
  // A line is one event, whatever members it has.
  return parseEvent(value, rawMembers(`[${text}]`, 'data')[0], { line }, maxDataBytes);
}

function tooLong(line: number, maxBytes: number): Problem {
  return new Problem('line-too-long', `Line ${line} is longer than ${maxBytes} bytes.`, { line });
}

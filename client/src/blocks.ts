import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { BelfryError } from './belfry.error.js';
import type { BelfryEvent, Block } from './event.js';

/**
 * Makes blocks of the text of a stream (WHATWG HTML, section 9.2.6), whatever pieces it comes in. A block counts when
 * its blank line is there; one that was cut short never does.
 */
export class Blocks {
  /** What the server asked for last, in milliseconds. */
  retryMs: number | undefined;
  private readonly parser = createParser({
    onEvent: message => {
      this.take(message);
    },
    onRetry: ms => {
      this.retryMs = ms;
    },
  });
  private rest = '';
  private out: Block[] = [];

  constructor(
    /** The longest block there may be, in characters. */
    private readonly maxLength: number,
    private readonly report: (error: BelfryError) => void,
  ) {}

  /** @returns the blocks that are complete with this piece */
  feed(text: string): Block[] {
    // The blank line may begin with the last character that was there before.
    let from = Math.max(0, this.rest.length - 1);
    this.rest += text;
    let begin = 0;
    for (;;) {
      const end = this.rest.indexOf('\n\n', from);
      if (end === -1) break;
      this.block(this.rest.slice(begin, end));
      begin = from = end + 2;
    }
    this.rest = this.rest.slice(begin);
    if (this.rest.length > this.maxLength) {
      throw new BelfryError('too-large', `An event is longer than ${this.maxLength} characters.`);
    }
    const { out } = this;
    this.out = [];
    return out;
  }

  private block(text: string): void {
    // The parser says nothing of a block without data, which moves the cursor all the same.
    const alone = /^id: ?([^\n\0]+)$/.exec(text)?.[1];
    if (alone === undefined) this.parser.feed(`${text}\n\n`);
    else this.out.push({ kind: 'cursor', id: alone });
  }

  private take(message: EventSourceMessage): void {
    const block = blockOf(message);
    if (block) this.out.push(block);
    else if (message.id) {
      this.report(
        new BelfryError('malformed', `Event ${message.id} is not what the protocol says; it was left out.`),
      );
      this.out.push({ kind: 'cursor', id: message.id });
    }
  }
}

/**
 * @param message its event name is not needed but for control events, so that `named=false` is understood as well
 * @returns undefined for what cannot be understood, and for what has no id and needs one
 */
export function blockOf({ id, event, data }: EventSourceMessage): Block | undefined {
  if (event === 'error' || event === 'open') return undefined;
  const body = parseObject(data);
  if (event === 'end') return { kind: 'end', end: { reason: 'unknown', ...body } };
  if (!id || !body) return undefined;
  switch (event) {
    case 'heartbeat':
      return { kind: 'cursor', id };
    case 'ready':
      return { kind: 'ready', id, ready: { topics: [], replayed: 0, ...body, id } };
    case 'reset':
      return { kind: 'reset', id, reset: { reason: 'unknown', oldest: id, head: id, ...body, id } };
    default:
      if (typeof body['topic'] !== 'string' || typeof body['type'] !== 'string') return undefined;
      return { kind: 'event', id, event: { ...body, id } as BelfryEvent };
  }
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Told by the caller, who knows of which event it was.
    return undefined;
  }
}

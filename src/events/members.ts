import type { ProblemCode } from '../errors/catalogue.js';
import { Problem } from '../errors/problem.js';
import { isName, NAME_LENGTH } from '../log/name.js';
import { isTopic, TOPIC_LENGTH, TOPIC_RULE } from '../log/topic.js';
import type { RawValue } from './raw.json.js';

const DATA_DEPTH = 64;

/** RFC 3339, section 5.6, seconds optional. */
const DATE_TIME = /^(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/;
/** Years of four digits, in UTC too: Postgres reads no others in this form. */
const FIRST_TIME = Date.parse('0001-01-01T00:00:00Z');
const LAST_TIME = Date.parse('9999-12-31T23:59:59.999Z');

const NAME_RULE = `text of 1 to ${NAME_LENGTH} characters without control characters and lone surrogates`;

/** Where something is in its request, for error answers. */
export type Place = { readonly index: number } | { readonly line: number };

/** Reads the members that events and notifications share; each throws a Problem that names the place. */
export class Members {
  /**
   * @param noun what it is, in the words of an error message
   * @param code of the problem that it is none
   */
  constructor(
    private readonly noun: string,
    private readonly code: ProblemCode,
    private readonly place: Place,
  ) {}

  /** @param sentence goes on after the name of the place */
  problem(sentence: string, code: ProblemCode = this.code, topic?: string): Problem {
    const name = 'line' in this.place ? `Line ${this.place.line}` : `${this.noun} ${this.place.index}`;
    return new Problem(code, name + sentence, { ...this.place, ...(topic !== undefined && { topic }) });
  }

  topic(value: unknown, member: string): string {
    if (typeof value !== 'string') throw this.problem(` needs a "${member}", such as "user:42".`);
    if (isTopic(value)) return value;
    const shown = value.slice(0, TOPIC_LENGTH);
    throw this.problem(`: "${shown}" is not a topic: ${TOPIC_RULE}.`, 'topic-invalid', shown);
  }

  /** @param code of the problem that it is no name, where that is not the one of the whole */
  type(value: unknown, code?: ProblemCode): string {
    if (typeof value !== 'string' || value === '') {
      throw this.problem(' needs a "type", such as "invoice.paid".');
    }
    if (!isName(value)) throw this.problem(`: "type" is ${NAME_RULE}.`, code);
    return value;
  }

  name(value: unknown, member: string): string | null {
    if (value === undefined || value === null) return null;
    if (typeof value !== 'string' || !isName(value)) throw this.problem(`: "${member}" is ${NAME_RULE}.`);
    return value;
  }

  /** @returns the text of the data, in one line; without data that of null */
  data(data: RawValue | undefined, maxBytes: number): string {
    if (!data) return 'null';
    if (data.depth > DATA_DEPTH) {
      throw this.problem(`: "data" nests deeper than ${DATA_DEPTH} levels.`, 'data-invalid');
    }
    // In valid JSON a line break is always insignificant space, and a frame has one line of data.
    const line = data.text.replace(/[\r\n]/g, ' ');
    const bytes = Buffer.byteLength(line);
    if (bytes > maxBytes) {
      throw this.problem(
        `: "data" has ${bytes} bytes and may have ${maxBytes}; publish a reference instead.`,
        'data-too-large',
      );
    }
    return line;
  }

  /** @returns milliseconds since 1970 */
  time(value: unknown, member: string): number | null {
    if (value === undefined || value === null) return null;
    const ms = typeof value === 'string' ? timeOf(value) : NaN;
    if (Number.isNaN(ms)) {
      throw this.problem(`: "${member}" is a date and time such as "2030-01-31T12:00:00Z".`);
    }
    return ms;
  }
}

/** @returns milliseconds since 1970; NaN for what is no time, or none that Postgres reads */
export function timeOf(text: string): number {
  const date = DATE_TIME.exec(text)?.[1];
  // Date.parse takes the 30th of February for the 2nd of March.
  if (date === undefined || new Date(date).getUTCDate() !== Number(date.slice(-2))) return NaN;
  const ms = Date.parse(text);
  return ms >= FIRST_TIME && ms <= LAST_TIME ? ms : NaN;
}

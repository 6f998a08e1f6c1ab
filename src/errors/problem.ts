import type { ProblemCode } from './catalogue.js';
import { entryOf } from './catalogue.js';

/** What a problem says beyond its code. All but `retryAfterSeconds` and `cause` are members of the answer. */
interface ProblemOptions {
  /** Position in the request's array of events, from 0. */
  readonly index?: number;
  /** Line of an NDJSON body, from 1. */
  readonly line?: number;
  readonly topic?: string;
  /** How many events of this request were stored nevertheless. */
  readonly stored?: number;
  /** Cursor of the last event of this request that was stored; null when none was. */
  readonly last?: string | null;
  /** Sent as the header Retry-After, in the place of the catalogue's. */
  readonly retryAfterSeconds?: number;
  /** For the log of the service, never for the client. */
  readonly cause?: unknown;
}

/**
 * An error that is the client's to read, as RFC 9457 problem details.
 *
 * `detail` is one sentence that tells the caller what to do; without it, that of the catalogue.
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly status: number;
  /** When to try again, where trying again is the thing to do. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly code: ProblemCode,
    detail: string = entryOf(code).detail,
    readonly options: ProblemOptions = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    const entry = entryOf(code);
    this.status = entry.status;
    this.retryAfterSeconds = options.retryAfterSeconds ?? entry.retryAfterSeconds;
  }

  /** The same problem, saying more. */
  with(options: ProblemOptions): Problem {
    return new Problem(this.code, this.message, { ...this.options, ...options });
  }

  /**
   * The members of RFC 9457, section 3.1, plus `code` and what the options add.
   *
   * Not called `body`: that is what body-parser hangs on errors that pass through it.
   *
   * @param instance id of the request, which is also in its log lines
   */
  details(instance: string | undefined): Record<string, unknown> {
    const { index, line, topic, stored, last } = this.options;
    return {
      type: `urn:belfry:problem:${this.code}`,
      title: entryOf(this.code).title,
      status: this.status,
      detail: this.message,
      code: this.code,
      instance,
      index,
      line,
      topic,
      stored,
      last,
    };
  }
}

import { randomUUID } from 'node:crypto';
import type { LogEvent, NewEvent } from './event.js';

/** The publisher's key for a request. */
export interface Idempotency {
  readonly key: string;
  /** For each event, its place among all that is sent under the key. */
  readonly places: readonly number[];
  /** For each event, what was sent under the key: a repeat has the same. */
  readonly digests: readonly string[];
}

/** Events that are stored together or not at all: one JSON request, or some lines of NDJSON. */
export interface AppendRequest {
  readonly tenant: string;
  readonly events: readonly NewEvent[];
  readonly idempotency?: Idempotency | undefined;
}

/** Where an event of a request is in the log. */
export interface Placed {
  readonly epoch: string;
  readonly seq: number;
  /** True when it was stored before, under the same key. */
  readonly duplicate: boolean;
}

/** Events that one call appended, in log order and without a gap: seqs `head + 1`, `head + 2`, …. */
export interface AppendedEvents {
  readonly epoch: string;
  readonly head: number;
  readonly events: readonly LogEvent[];
}

/** Requests of one append call, and the name under which the log remembers it. */
export class Batch<Request extends AppendRequest = AppendRequest> {
  readonly id = randomUUID();

  constructor(readonly requests: readonly Request[]) {}

  /** The halves that tell which request poisons the batch; in the order of the whole. */
  halves(): [Batch<Request>, Batch<Request>] {
    const middle = Math.ceil(this.requests.length / 2);
    return [new Batch(this.requests.slice(0, middle)), new Batch(this.requests.slice(middle))];
  }
}

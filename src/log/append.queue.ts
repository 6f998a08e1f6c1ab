import { type AppendRequest, Batch, type Placed } from './append.batch.js';
import type { AppendError } from './append.error.js';

/** Events in one append call, and characters in them, at most so many, unless one request alone has more. */
const BATCH_EVENTS = 1_000;
const BATCH_SIZE = 1024 * 1024;
/** What an event counts for besides its data, so that many small ones count as well. */
const EVENT_OVERHEAD = 200;

/** A request and whoever waits for its answer. */
export interface Waiting extends AppendRequest {
  /** Until when it may wait for the database, by the monotonic clock. */
  readonly deadline: number;
  resolve(placed: Placed[]): void;
  reject(error: AppendError): void;
}

/** What waits to be appended, in the order in which it came. */
export class AppendQueue {
  private readonly requests: Waiting[] = [];
  /** Batches that were sent, are certainly not stored, and come before all others. */
  private readonly again: Batch<Waiting>[] = [];
  private size = 0;

  /** @param maxSize characters that may wait; a single request may have more */
  constructor(private readonly maxSize: number) {}

  get hasMore(): boolean {
    return this.again.length + this.requests.length > 0;
  }

  /** Requests that wait, and what they take of the room. */
  get waiting(): { readonly requests: number; readonly size: number } {
    return { requests: this.requests.length, size: this.size };
  }

  /** @returns false when there is no room */
  push(request: Waiting): boolean {
    const size = sizeOf(request);
    if (this.size > 0 && this.size + size > this.maxSize) return false;
    this.requests.push(request);
    this.size += size;
    return true;
  }

  putBack(...batches: Batch<Waiting>[]): void {
    this.again.unshift(...batches);
  }

  /** Takes out the requests whose time is up; those that were sent already are not among them. */
  takeLate(now: number): Waiting[] {
    // They came in this order, and all may wait equally long.
    const inTime = this.requests.findIndex(request => request.deadline > now);
    return this.take(inTime < 0 ? this.requests.length : inTime);
  }

  takeBatch(): Batch<Waiting> | undefined {
    const again = this.again.shift();
    if (again || this.requests.length === 0) return again;
    const keys = new Set<string>();
    let events = 0;
    let size = 0;
    let count = 0;
    for (const request of this.requests) {
      events += request.events.length;
      size += sizeOf(request);
      if (count > 0 && (events > BATCH_EVENTS || size > BATCH_SIZE)) break;
      // A key that is in the batch already has to wait for what the log remembers of it. All behind it wait too:
      // nobody is overtaken.
      const own = keysOf(request);
      if (own.some(key => keys.has(key))) break;
      own.forEach(key => keys.add(key));
      count++;
    }
    return new Batch(this.take(count));
  }

  private take(count: number): Waiting[] {
    const taken = this.requests.splice(0, count);
    for (const request of taken) this.size -= sizeOf(request);
    return taken;
  }
}

function sizeOf({ events }: AppendRequest): number {
  return events.reduce((sum, event) => sum + event.data.length + EVENT_OVERHEAD, 0);
}

function keysOf({ tenant, events, idempotency }: AppendRequest): string[] {
  const keys = (idempotency?.places ?? []).map(place => `${tenant} request:${idempotency?.key} ${place}`);
  for (const { dedupeId } of events) {
    if (dedupeId !== null) keys.push(`${tenant} event:${dedupeId}`);
  }
  return keys;
}

import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Subject } from 'rxjs';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { reasonOf } from '../errors/reason.js';
import { AppendError, type AppendFailure, judge } from './append.error.js';
import { type AppendRequest, type AppendedEvents, Batch, type Placed } from './append.batch.js';
import { AppendQueue, type Waiting } from './append.queue.js';
import { type Appended, AppendSession, type Settled } from './append.session.js';
import { OutboxTally } from './outbox.tally.js';
import { Partitions } from './partitions.js';

/** Pause before the database is tried again, in milliseconds. */
const RETRY_MS = 100;
/** The head of the log is asked for when it is older, in milliseconds: what comes after it is looked through for a lost batch. */
const HEAD_MS = 10_000;

/**
 * Group commit: what arrives while an append is in flight goes into the next one. One batch at a time:
 *
 *     waiting ─► sent ─┬─► stored ───────────────────────────► answered with ids
 *        ▲             ├─► poisoned: each half on its own ───► the culprit alone is refused
 *        │             ├─► refused, not stored ─┐
 *        │             └─► unknown ─► settled ──┤ void
 *        │                              │  └────┼─ found ────► answered with ids
 *        │                              │       │
 *        └── until the deadline ────────│───────┴────────────► database-unavailable
 *                                       └─ cannot be settled ► outcome-unknown
 *
 * Requests leave in the order in which they came. A batch goes back to waiting only when it is certain that it was
 * not stored, so nothing is ever sent twice blindly.
 */
@Injectable()
export class Appender implements OnApplicationShutdown {
  /** What this instance appended, after each commit, in log order; after a lost answer only up to which head. */
  readonly appended = new Subject<AppendedEvents>();
  /** How long a call of Postgres took, whatever came of it, in milliseconds. */
  readonly called = new Subject<number>();

  private readonly logger = new Logger(Appender.name);
  private readonly queue: AppendQueue;
  private session: AppendSession | undefined;
  /** A seq that is older than whatever is sent next. */
  private head = 0;
  /** When it was the newest, by the monotonic clock. */
  private headAt = -Infinity;
  private stored = 0;
  private running: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly database: Database,
    private readonly partitions: Partitions,
    private readonly outbox: OutboxTally,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.queue = new AppendQueue(config.publishQueueBytes);
  }

  /** Events that this instance stored since it started. */
  get eventsStored(): number {
    return this.stored;
  }

  /** Requests that wait for their turn, and what they take of `PUBLISH_QUEUE_BYTES`. */
  get waiting(): AppendQueue['waiting'] {
    return this.queue.waiting;
  }

  /**
   * Appends a request, all of it or nothing.
   *
   * @returns where each event is, in order, once it is committed
   * @throws AppendError when it is not stored, or not certainly so
   */
  append(request: AppendRequest): Promise<Placed[]> {
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + this.config.publishTimeoutMs;
      if (this.stopped) {
        reject(new AppendError('shutting-down', 'the instance is going down'));
      } else if (!this.queue.push({ ...request, deadline, resolve, reject })) {
        reject(new AppendError('queue-full', 'too many publishes are waiting for the database'));
      } else {
        this.running ??= this.run();
      }
    });
  }

  /** Takes nothing more, sees what was taken through to its end, and closes the session. */
  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    await this.running;
    await this.session?.close();
    this.appended.complete();
    this.called.complete();
  }

  private async run(): Promise<void> {
    // One turn of the event loop, so that all requests that were read together are appended together.
    await new Promise(setImmediate);
    while (this.queue.hasMore) {
      // While one batch waits for a database that is away, the time of those behind it runs out too.
      const late = this.queue.takeLate(performance.now());
      this.refuse(late, 'database-unavailable', 'the database did not take it in time', undefined);
      const batch = this.queue.takeBatch();
      if (batch) await this.write(batch);
    }
    // In the turn in which nothing was left: a request that comes later starts it again.
    this.running = undefined;
  }

  private async write(batch: Batch<Waiting>): Promise<void> {
    let session: AppendSession;
    try {
      session = await this.openSession();
    } catch (error) {
      this.dropSession();
      await this.putBack(batch, error);
      return;
    }
    const before = this.head;
    const began = performance.now();
    try {
      const appended = await session.append(batch, this.config.publishTimeoutMs).finally(() => {
        this.called.next(performance.now() - began);
      });
      this.answer(batch, appended);
    } catch (error) {
      switch (judge(error)) {
        case 'poisoned':
          this.isolate(batch, error);
          break;
        case 'no-partition':
          await this.addPartition(batch, error);
          break;
        case 'refused':
          await this.putBack(batch, error);
          break;
        case 'refused-session':
          this.dropSession();
          await this.putBack(batch, error);
          break;
        case 'unknown':
          this.dropSession();
          await this.settle(batch, before, error);
          break;
      }
    }
  }

  private answer(batch: Batch<Waiting>, { epoch, at, head, keyed, moved, rejected }: Appended): void {
    this.outbox.add(moved, rejected);
    const fresh: AppendedEvents['events'][number][] = [];
    let index = 0;
    const answers = batch.requests.map(request => {
      const first = index;
      const placed = request.events.map((event): Placed | undefined => {
        const seq = keyed ? keyed.seqs[index] : head + index + 1;
        const duplicate = keyed?.known[index] ?? false;
        index++;
        if (seq === null || seq === undefined) return undefined;
        if (!duplicate) fresh.push({ ...event, tenant: request.tenant, seq, at });
        return { epoch, seq, duplicate };
      });
      return { request, first, placed };
    });
    this.noteHead(head + fresh.length);
    this.stored += fresh.length;
    // The tail hears of the events before their publishers do: whoever was answered can rely on it.
    if (fresh.length > 0) this.appended.next({ epoch, head, events: fresh });
    this.partitions.headIsAt(this.head);

    for (const { request, first, placed } of answers) {
      if (placed.every(place => place !== undefined)) {
        request.resolve(placed);
      } else {
        const culprit = keyed?.mismatched.find(n => n >= first && n < first + request.events.length);
        request.reject(
          new AppendError(
            'idempotency-mismatch',
            'the key was used before with another body',
            culprit === undefined ? undefined : culprit - first,
          ),
        );
      }
    }
  }

  /** Postgres refused the data: finds the request that is to blame, so that its neighbours do not fail with it. */
  private isolate(batch: Batch<Waiting>, cause: unknown): void {
    const [only, ...others] = batch.requests;
    if (only && others.length === 0) {
      this.logger.warn(`Postgres refused a publish that passed validation: ${reasonOf(cause)}`);
      const index = only.events.length === 1 ? 0 : undefined;
      only.reject(new AppendError('data-refused', 'the database refuses the data', index, { cause }));
      return;
    }
    this.queue.putBack(...batch.halves());
  }

  private async addPartition(batch: Batch<Waiting>, cause: unknown): Promise<void> {
    try {
      await this.partitions.extend(batch.requests.reduce((sum, { events }) => sum + events.length, 0));
    } catch (error) {
      await this.putBack(batch, error);
      return;
    }
    await this.putBack(batch, cause);
  }

  /** The answer was lost. Only the log knows whether the batch is in it. */
  private async settle(batch: Batch<Waiting>, before: number, cause: unknown): Promise<void> {
    this.logger.warn(`the answer to an append was lost (${reasonOf(cause)}); looking for its batch`);
    const deadline = performance.now() + this.config.publishTimeoutMs;
    do {
      try {
        const session = await this.openSession();
        const found = await session.settle(batch.id, before, this.config.publishTimeoutMs);
        if (found) {
          this.answerFound(batch, found, cause);
        } else {
          await this.putBack(batch, cause);
        }
        return;
      } catch (error) {
        this.logger.warn(`the batch could not be looked for: ${reasonOf(error)}`);
        this.dropSession();
        await pause(RETRY_MS);
      }
    } while (performance.now() < deadline);
    this.refuse(batch.requests, 'outcome-unknown', 'the connection to the database was lost', cause);
  }

  private answerFound(batch: Batch<Waiting>, { epoch, seqs }: Settled, cause: unknown): void {
    this.noteHead(Math.max(...seqs.values()));
    this.stored += seqs.size;
    this.appended.next({ epoch, head: this.head, events: [] });
    let index = 0;
    const nothingStored: Waiting[] = [];
    for (const request of batch.requests) {
      const placed = request.events.map((): Placed | undefined => {
        const seq = seqs.get(index++);
        return seq === undefined ? undefined : { epoch, seq, duplicate: false };
      });
      if (placed.every(place => place !== undefined)) {
        request.resolve(placed);
      } else if (placed.every(place => place === undefined)) {
        nothingStored.push(request);
      } else {
        // Some of it was known already. It has keys, then: its repeat gets the answer.
        this.refuse([request], 'outcome-unknown', 'the connection to the database was lost', cause);
      }
    }
    // All of it was known already, or refused for its key: asked again, the log says which, and stores nothing.
    if (nothingStored.length > 0) this.queue.putBack(new Batch(nothingStored));
  }

  /** Lets a batch that is certainly not stored try again, as long as its publishers wait for it. */
  private async putBack(batch: Batch<Waiting>, cause: unknown): Promise<void> {
    this.logger.warn(`an append was not stored: ${reasonOf(cause)}`);
    await pause(RETRY_MS);
    const now = performance.now();
    const late = batch.requests.filter(request => request.deadline <= now);
    const rest = batch.requests.filter(request => request.deadline > now);
    this.refuse(late, 'database-unavailable', 'the database cannot be reached', cause);
    // Under a new name: the old one may have been voided.
    if (rest.length > 0) this.queue.putBack(new Batch(rest));
  }

  private refuse(
    requests: readonly Waiting[],
    failure: AppendFailure,
    message: string,
    cause: unknown,
  ): void {
    for (const request of requests) request.reject(new AppendError(failure, message, undefined, { cause }));
  }

  private async openSession(): Promise<AppendSession> {
    const { publishTimeoutMs } = this.config;
    // One that ended while it was idle was never sent anything: nothing is unknown.
    if (!this.session?.isOpen) {
      const { session, head } = await AppendSession.open(this.database, 'belfry-append', publishTimeoutMs);
      this.session = session;
      this.noteHead(head);
    } else if (performance.now() - this.headAt > HEAD_MS) {
      this.noteHead(await this.session.head(publishTimeoutMs));
    }
    return this.session;
  }

  private noteHead(head: number): void {
    this.head = head;
    this.headAt = performance.now();
  }

  private dropSession(): void {
    void this.session?.close();
    this.session = undefined;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

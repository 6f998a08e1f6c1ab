import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Outage } from '../errors/outage.js';
import { reasonOf } from '../errors/reason.js';

/** What waits and what is set aside is looked at so often, in milliseconds. */
const LOOK_MS = 5_000;
/** What is set aside is counted up to so many, so that it never takes long. */
const MOST = 1_000;

const LOOK = {
  name: 'look-at-outbox',
  text: `select d.n as drain, belfry.outbox_waits(d) as waits,
    (select count(*)::integer from (select from belfry.outbox_rejected limit ${MOST}) as kept) as rejected
    from belfry.newest_drain() d`,
};

/** What became of events that were published by SQL: moved by the drainer, or by an append that came before it. */
@Injectable()
export class OutboxTally {
  private readonly logger = new Logger(OutboxTally.name);
  private movedRows = 0;
  private rejectedRows = 0;
  private rows: number | undefined;
  /** The newest row of belfry.drains, and since when it is that while something waits, by the monotonic clock. */
  private drain: string | undefined;
  private stalledSince: number | undefined;
  /** By the monotonic clock. */
  private lookedAt = -Infinity;
  private looking: Promise<void> | undefined;
  private stopped = false;

  constructor(private readonly database: Database) {}

  /** Events that this instance moved to the log since it started. */
  get moved(): number {
    return this.movedRows - this.rejectedRows;
  }

  /** Events that this instance set aside since it started. */
  get rejected(): number {
    return this.rejectedRows;
  }

  /** Events that are set aside, by whichever instance, a few seconds ago: 1,000 at most; undefined: it is not known. */
  get setAside(): number | undefined {
    return this.rows;
  }

  /** How long, in milliseconds, events have waited and no instance has moved any of them, as of a few seconds ago. */
  get stalledMs(): number {
    return this.stalledSince === undefined ? 0 : performance.now() - this.stalledSince;
  }

  /** @param moved rows, those that were set aside among them */
  add(moved: number, rejected: number): void {
    this.movedRows += moved;
    this.rejectedRows += rejected;
    if (rejected === 0) return;
    this.logger.error(`${rejected} events published by SQL cannot be stored: see belfry.outbox_rejected`);
    this.lookedAt = -Infinity;
  }

  /** Looks what waits and what is set aside, unless that was done lately. To be called whenever it was tried to drain. */
  look(): void {
    if (this.stopped || this.looking || performance.now() - this.lookedAt < LOOK_MS) return;
    this.lookedAt = performance.now();
    this.looking = this.ask();
  }

  /** Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.looking;
  }

  private async ask(): Promise<void> {
    const askedAt = performance.now();
    try {
      const [row] = await this.database.query<{ drain: string; waits: boolean; rejected: number }>(LOOK);
      this.rows = row?.rejected;
      const stalls = row?.waits === true && row.drain === this.drain;
      this.stalledSince = stalls ? (this.stalledSince ?? askedAt) : undefined;
      this.drain = row?.drain;
    } catch (error) {
      // That there is no database is said by whoever drains the outbox.
      if (!(error instanceof Outage)) {
        this.logger.error(`the outbox could not be looked at: ${reasonOf(error)}`);
      }
      this.rows = undefined;
      this.stalledSince = undefined;
      this.lookedAt = -Infinity;
    }
    this.looking = undefined;
  }
}

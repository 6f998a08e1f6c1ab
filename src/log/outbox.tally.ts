import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Outage } from '../errors/outage.js';
import { reasonOf } from '../errors/reason.js';

/** What is set aside is counted so often, in milliseconds. */
const COUNT_MS = 5_000;
/** And up to so many, so that it never takes long. */
const MOST = 1_000;

const COUNT = {
  name: 'count-rejected',
  text: `select count(*)::integer as rows from (select from belfry.outbox_rejected limit ${MOST}) as kept`,
};

/** What became of events that were published by SQL: moved by the drainer, or by an append that came before it. */
@Injectable()
export class OutboxTally {
  private readonly logger = new Logger(OutboxTally.name);
  private movedRows = 0;
  private rejectedRows = 0;
  private rows: number | undefined;
  /** By the monotonic clock. */
  private countedAt = -Infinity;
  private counting: Promise<void> | undefined;
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

  /** @param moved rows, those that were set aside among them */
  add(moved: number, rejected: number): void {
    this.movedRows += moved;
    this.rejectedRows += rejected;
    if (rejected === 0) return;
    this.logger.error(`${rejected} events published by SQL cannot be stored: see belfry.outbox_rejected`);
    this.countedAt = -Infinity;
  }

  /** Counts what is set aside, unless that was done lately. To be called whenever the outbox was looked at. */
  look(): void {
    if (this.stopped || this.counting || performance.now() - this.countedAt < COUNT_MS) return;
    this.countedAt = performance.now();
    this.counting = this.count();
  }

  /** Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.counting;
  }

  private async count(): Promise<void> {
    try {
      const [row] = await this.database.query<{ rows: number }>(COUNT);
      this.rows = row?.rows;
    } catch (error) {
      // That there is no database is said by whoever drains the outbox.
      if (!(error instanceof Outage)) {
        this.logger.error(`what is in belfry.outbox_rejected could not be counted: ${reasonOf(error)}`);
      }
      this.rows = undefined;
      this.countedAt = -Infinity;
    }
    this.counting = undefined;
  }
}

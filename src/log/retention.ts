import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { reasonOf } from '../errors/reason.js';

/** What has expired is looked for so often, in milliseconds; half of it is random, so that instances take turns. */
const PAUSE_MS = 60_000;
/** After the start, and when somebody was reading the log; then each time twice as long, in milliseconds. */
const RETRY_MS = 1_000;
/** SQLSTATE lock_not_available. */
const LOCKED = '55P03';
/** Rows that one statement deletes, so that none takes long. */
const DELETED_AT_ONCE = 5_000;

const TRIM = `select belfry.trim_log($1 * interval '1 hour') as floor`;
const DELETE = `select belfry.delete_expired($1 * interval '1 hour', ${DELETED_AT_ONCE}) as deleted`;
const PRUNE = `select belfry.prune($1 * interval '1 hour', ${DELETED_AT_ONCE}) as deleted`;

/**
 * Drops what has expired: whole partitions of the log, the events of one that is filled too slowly, old keys of publishers
 * and old tickets. Every instance does, one at a time.
 */
@Injectable()
export class Retention implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(Retention.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private retryMs = RETRY_MS;
  private stopped = false;

  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  onApplicationBootstrap(): void {
    this.schedule(RETRY_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /**
   * Drops all that has expired, now.
   *
   * @throws Outage; pg's DatabaseError that `isLocked` when somebody was reading the log, and then only the log is left
   */
  async trim(): Promise<void> {
    const { retentionHours, dedupeHours } = this.config;
    try {
      while (!this.stopped && (await this.deleteSome(PRUNE, dedupeHours)));
    } finally {
      // Keys that cannot be forgotten now are no reason to keep the log.
      while (!this.stopped && (await this.dropOldest()));
      while (!this.stopped && (await this.deleteSome(DELETE, retentionHours)));
    }
  }

  private schedule(ms: number): void {
    if (this.stopped) return;
    this.timer = setTimeout(
      () => {
        this.running = this.run();
      },
      ms * (0.5 + Math.random() / 2),
    );
  }

  private async run(): Promise<void> {
    try {
      await this.trim();
      this.retryMs = RETRY_MS;
      this.schedule(PAUSE_MS);
    } catch (error) {
      if (!isLocked(error)) this.logger.warn(`what has expired could not be dropped: ${reasonOf(error)}`);
      // Each try holds up appends for a moment, and a dump may take hours.
      this.schedule(isLocked(error) ? this.retryMs : PAUSE_MS);
      this.retryMs = Math.min(PAUSE_MS, this.retryMs * 2);
    }
  }

  /** @returns false when nothing has expired */
  private async dropOldest(): Promise<boolean> {
    const [row] = await this.database.query<{ floor: string | null }>({
      text: TRIM,
      values: [this.config.retentionHours],
    });
    if (!row?.floor) return false;
    this.logger.log(`the events before seq ${row.floor} have expired and are gone`);
    return true;
  }

  /** @returns true when there may be more */
  private async deleteSome(text: string, hours: number): Promise<boolean> {
    const [row] = await this.database.query<{ deleted: number }>({ text, values: [hours] });
    return row?.deleted === DELETED_AT_ONCE;
  }
}

/** True when a partition could not be dropped because somebody was reading the log. */
export function isLocked(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === LOCKED;
}

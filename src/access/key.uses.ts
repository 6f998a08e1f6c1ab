import { Logger } from '@nestjs/common';

import type { Database } from '../database/database.js';
import { waitAtMost } from '../database/patience.js';
import { reasonOf } from '../errors/reason.js';

/** A key that is in use is written down so often, in milliseconds. */
const PERIOD_MS = 60_000;
/** Uses are gathered for so long, in milliseconds, so that many keys go into one statement. */
const GATHER_MS = 1_000;
/** Pause after a statement that failed, in milliseconds. */
const RETRY_MS = 10_000;
/** How long a shutdown waits for the last statement, in milliseconds. */
const STOP_MS = 1_000;

/**
 * To the minute, by the clock of the database. A row that somebody holds is left alone: it is another instance, which
 * writes the same, or a revocation. So two instances never wait for each other's rows.
 *
 * $1 ids, $2 how long ago each was used, in milliseconds
 */
const WRITE = `
  with use as (
    select k.id, date_trunc('minute', now() - u.age * interval '1 millisecond') as at
    from unnest($1::text[], $2::double precision[]) as u (id, age) join belfry.api_keys k on k.id = u.id
    for no key update of k skip locked
  )
  update belfry.api_keys k set last_used_at = use.at from use
  where k.id = use.id and (k.last_used_at is null or k.last_used_at < use.at)`;

/** Writes down when keys were last used, now and then and in nobody's way. */
export class KeyUses {
  private readonly logger = new Logger(KeyUses.name);
  /** When a use of each key was noted, by the monotonic clock; those of longer ago than a period are let go. */
  private readonly noted = new Map<string, number>();
  /** The same of those that are not written yet. */
  private readonly unwritten = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(private readonly database: Database) {}

  /** To be told of every use of a key that exists. */
  note(id: string): void {
    const now = performance.now();
    if (this.stopped || now - (this.noted.get(id) ?? -Infinity) < PERIOD_MS) return;
    this.noted.set(id, now);
    this.unwritten.set(id, now);
    this.schedule(GATHER_MS);
  }

  /** Writes what is not written yet, if the database takes it soon. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    const written = this.writing.then(() => this.write());
    await waitAtMost(STOP_MS, written);
  }

  private schedule(ms: number): void {
    if (this.stopped) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.writing = this.writing.then(() => this.write());
    }, ms);
  }

  private async write(): Promise<void> {
    const uses = [...this.unwritten];
    this.unwritten.clear();
    if (uses.length === 0) return;
    const now = performance.now();
    for (const [id, at] of this.noted) if (now - at >= PERIOD_MS) this.noted.delete(id);
    try {
      const values = [uses.map(([id]) => id), uses.map(([, at]) => now - at)];
      await this.database.query({ name: 'write-key-uses', text: WRITE, values });
    } catch (error) {
      this.logger.warn(`it could not be written down when API keys were used: ${reasonOf(error)}`);
      for (const [id, at] of uses) if (!this.unwritten.has(id)) this.unwritten.set(id, at);
      this.schedule(RETRY_MS);
    }
  }
}

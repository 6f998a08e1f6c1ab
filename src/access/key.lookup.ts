import { setTimeout as delay } from 'node:timers/promises';

import type { Database } from '../database/database.js';
import { Problem } from '../errors/problem.js';

/** What a key is judged by. */
export interface KeyRecord {
  readonly id: string;
  readonly tenant: string;
  /** SHA-256 of its secret. */
  readonly hash: Buffer;
  readonly scopes: readonly string[];
  readonly expiresAt: Date | null;
  readonly revoked: boolean;
}

/** Ids of one query. */
interface Batch {
  readonly ids: Set<string>;
  readonly records: Promise<ReadonlyMap<string, KeyRecord>>;
}

/** From the start of one query to that of the next, at least, in milliseconds. */
const PAUSE_MS = 50;
/** Ids that may wait for the next query; what comes beyond them is told to come later. */
const WAITING_IDS = 10_000;

const FIND = `
  select id, tenant, secret_hash as hash, scopes, expires_at as "expiresAt", revoked_at is not null as revoked
  from belfry.api_keys where id = any($1)`;

/**
 * Looks keys up by their ids. Anyone may ask, with any id, so what it costs the database is bounded: what is asked for
 * while a query is in flight, or soon after one began, goes into the next one together.
 */
export class KeyLookup {
  private gathering: Batch | undefined;
  /** Resolves when the last query has ended, in whatever way. */
  private inFlight: Promise<unknown> = Promise.resolve();
  private nextAt = 0;

  constructor(private readonly database: Database) {}

  /**
   * @returns undefined when there is no such key
   * @throws Problem `rate-limited` when too many ids are waiting
   * @throws Outage when the database cannot be reached
   */
  async find(id: string): Promise<KeyRecord | undefined> {
    const batch = (this.gathering ??= this.gather());
    if (batch.ids.size >= WAITING_IDS && !batch.ids.has(id)) {
      throw new Problem('rate-limited', undefined, { retryAfterSeconds: 1 });
    }
    batch.ids.add(id);
    return (await batch.records).get(id);
  }

  private gather(): Batch {
    const ids = new Set<string>();
    const records = this.turn().then(() => {
      this.gathering = undefined;
      return this.read([...ids]);
    });
    this.inFlight = records.catch(() => {
      // Whoever waits for the batch is told.
    });
    return { ids, records };
  }

  private async turn(): Promise<void> {
    await this.inFlight;
    const pause = this.nextAt - performance.now();
    // Even with nobody before: all requests that were read from their sockets in this turn are looked up together.
    await (pause > 0 ? delay(pause) : new Promise(setImmediate));
    this.nextAt = performance.now() + PAUSE_MS;
  }

  private async read(ids: string[]): Promise<ReadonlyMap<string, KeyRecord>> {
    const records = await this.database.query<KeyRecord>({ name: 'find-keys', text: FIND, values: [ids] });
    return new Map(records.map(record => [record.id, record]));
  }
}

import { setTimeout as delay } from 'node:timers/promises';

import { Problem } from '../errors/problem.js';

/** Keys of one query, each once. */
interface Batch<Row> {
  readonly keys: Set<string>;
  readonly rows: Promise<Map<string, Row>>;
}

/** From the start of one query to that of the next, at least, in milliseconds. */
const PAUSE_MS = 50;
/** Keys that may wait for the next query; who comes with another is told to come later. */
const WAITING_KEYS = 10_000;

/**
 * Rows by their keys, for whoever asks. Anyone may, with any key, so what it costs the database is bounded: what is asked
 * for while a query is in flight, or soon after one began, goes into the next one together.
 */
export class SharedQuery<Row> {
  private gathering: Batch<Row> | undefined;
  /** Resolves when the last query has ended, in whatever way. */
  private inFlight: Promise<unknown> = Promise.resolve();
  private nextAt = 0;

  /** @param read the query, of at most 10,000 keys; never called while it runs */
  constructor(private readonly read: (keys: string[]) => Promise<Map<string, Row>>) {}

  /**
   * @returns undefined when there is no such row
   * @throws Problem `rate-limited` when too many keys are waiting
   * @throws what the query throws
   */
  async find(key: string): Promise<Row | undefined> {
    return (await this.rowsWith(key)).get(key);
  }

  /** The same for a row that only one may have: of those who share a query, the first. */
  async take(key: string): Promise<Row | undefined> {
    const rows = await this.rowsWith(key);
    const row = rows.get(key);
    rows.delete(key);
    return row;
  }

  private rowsWith(key: string): Promise<Map<string, Row>> {
    const { keys, rows } = (this.gathering ??= this.gather());
    if (keys.size >= WAITING_KEYS && !keys.has(key)) {
      throw new Problem('rate-limited', undefined, { retryAfterSeconds: 1 });
    }
    keys.add(key);
    return rows;
  }

  private gather(): Batch<Row> {
    const keys = new Set<string>();
    const rows = this.turn().then(() => {
      this.gathering = undefined;
      return this.read([...keys]);
    });
    this.inFlight = rows.catch(() => {
      // Whoever waits for the batch is told.
    });
    return { keys, rows };
  }

  private async turn(): Promise<void> {
    await this.inFlight;
    const pause = this.nextAt - performance.now();
    // Even with nobody before: all requests that were read from their sockets in this turn go together.
    await (pause > 0 ? delay(pause) : new Promise(setImmediate));
    this.nextAt = performance.now() + PAUSE_MS;
  }
}

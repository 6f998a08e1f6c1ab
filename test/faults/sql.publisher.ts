import { expect } from '@jest/globals';
import pg from 'pg';
import type { StoredEvent } from '../log/stored.js';

/** Between two transactions, and after one that failed, in milliseconds. */
const PAUSE_MS = 5;

/** Publishes by SQL, each event in one transaction with a row of its own, as a backend does that keeps orders. */
export class SqlPublisher {
  /** The orders whose commit was acknowledged. */
  readonly committed: number[] = [];
  private session: pg.Client | undefined;
  private stopped = false;

  constructor(
    readonly name: string,
    private readonly url: string,
  ) {}

  /** Its table. */
  static readonly SCHEMA = 'create table orders (shop text, n integer, primary key (shop, n))';

  /** Resolves after `stop`. */
  async run(): Promise<void> {
    for (let n = 0; !this.stopped; n++) {
      try {
        await this.place(n);
        this.committed.push(n);
      } catch {
        // Nobody knows whether there is such an order; the next one will do.
        await this.leave();
      }
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
    }
    await this.leave();
  }

  stop(): void {
    this.stopped = true;
  }

  /** Fails unless each of its rows has its event in the log, once and in order, and no event is without its row. */
  isServedBy(log: readonly StoredEvent[], rows: readonly { shop: string; n: number }[]): void {
    const placed = rows.filter(({ shop }) => shop === this.name).map(({ n }) => n);
    const events = log.filter(({ topic }) => topic === `shop:${this.name}`);
    expect(events.map(({ data }) => data as unknown)).toEqual(placed);
  }

  private async place(n: number): Promise<void> {
    if (!this.session) {
      const session = new pg.Client({ connectionString: this.url, connectionTimeoutMillis: 5_000 });
      session.on('error', () => undefined);
      this.session = session;
      await session.connect();
    }
    await this.session.query('begin');
    await this.session.query('insert into orders values ($1, $2)', [this.name, n]);
    await this.session.query('select belfry.publish($1, $2, $3)', [`shop:${this.name}`, 'placed', n]);
    await this.session.query('commit');
  }

  private async leave(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    await session?.end().catch(() => undefined);
  }
}

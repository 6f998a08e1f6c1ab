import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { connect } from '../log/sql.append.js';
import type { Act } from './act.js';

/** A transaction may take so long, in milliseconds; most take a hundredth of it. */
const LONGEST_MS = 3_000;
const LONG_SHARE = 0.2;
const MOST_STEPS = 5;
/** Between two transactions, at most, in milliseconds. */
const PAUSE_MS = 20;

const LEVELS = ['read committed', 'repeatable read', 'serializable'];

/** Publishes by SQL as programs do: in transactions of any length, some of which take back what they have published. */
export class SqlWriter {
  readonly acts: Act[] = [];
  /** Transactions that published something and did not commit it. */
  takenBack = 0;
  private readonly topic: string;
  private next = 0;
  private stopped = false;

  constructor(
    name: string,
    private readonly url: string,
  ) {
    this.topic = `writer:${name}`;
  }

  /** Resolves when its last transaction has ended, after `stop`. */
  async run(): Promise<void> {
    const client = await connect(this.url);
    try {
      while (!this.stopped) {
        await this.transact(client);
        await delay(PAUSE_MS * Math.random());
      }
    } finally {
      await client.end();
    }
  }

  stop(): void {
    this.stopped = true;
  }

  private async transact(client: pg.Client): Promise<void> {
    const steps = 1 + Math.floor(MOST_STEPS * Math.random());
    const pauseMs =
      ((Math.random() < LONG_SHARE ? LONGEST_MS : LONGEST_MS / 100) * Math.random()) / MOST_STEPS;
    const data: number[] = [];
    let beganAt = 0;
    await client.query(`begin isolation level ${oneOf(LEVELS)}`);
    for (let step = 0; step < steps; step++) {
      const at = performance.now();
      const kept = await this.step(client);
      if (data.length === 0) beganAt = at;
      data.push(...kept);
      await delay(pauseMs);
    }
    if (await this.commits(client)) {
      if (data.length > 0) this.acts.push({ topic: this.topic, data, beganAt, endedAt: performance.now() });
    } else if (data.length > 0) {
      this.takenBack++;
    }
  }

  /** @returns what it published, unless it took it back */
  private async step(client: pg.Client): Promise<number[]> {
    const kind = Math.random();
    if (kind < 0.6) return [await this.publish(client)];
    await client.query('savepoint here');
    const published = [await this.publish(client)];
    if (kind < 0.75) {
      published.push(await this.publish(client));
      await client.query('release savepoint here');
      return published;
    }
    if (kind < 0.9) await fails(client, `select belfry.publish('no topic', 't', '1')`);
    await client.query('rollback to savepoint here');
    return [];
  }

  private async publish(client: pg.Client): Promise<number> {
    const n = this.next++;
    await client.query('select belfry.publish($1, $2, $3)', [this.topic, 't', n]);
    return n;
  }

  /** Ends the transaction in one way or another. */
  private async commits(client: pg.Client): Promise<boolean> {
    const kind = Math.random();
    if (kind < 0.15) {
      await client.query('rollback');
      return false;
    }
    if (kind < 0.25) await fails(client, 'select 1 / 0');
    // Of a transaction that has failed, COMMIT is a ROLLBACK.
    return (await client.query('commit')).command === 'COMMIT';
  }
}

async function fails(client: pg.Client, statement: string): Promise<void> {
  await client.query(statement).then(
    () => {
      throw new Error(`this should fail: ${statement}`);
    },
    () => undefined,
  );
}

function oneOf<T>(values: readonly T[]): T {
  return values[Math.floor(values.length * Math.random())]!;
}

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { percentile } from '../../bench/percentile.js';
import { faultsOf } from '../log/faults.js';
import { connect } from '../log/sql.append.js';
import { storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';

/** In milliseconds. */
const LENGTH_MS = 60_000;
/** What is early, and what is late, is told from so much of it. */
const PART_MS = 10_000;
/** Events in a second, through each door. */
const RATE = 2_000;
/** Events of a transaction, and of a request. */
const SQL_BATCH = 20;
const HTTP_BATCH = 100;
/** Sessions that publish. */
const SESSIONS = 2;
const PROBES = 15;
/** What the same work may differ by: a page that is split, an index that is a level higher. */
const FLAT = 1.5;

/** What was done so far in the database, by everybody. Sessions report it every second. */
interface Work extends pg.QueryResultRow {
  /** Blocks of Belfry's tables and their indexes that were looked at. */
  readonly blocks: number;
  /** Entries of the indexes of the outbox that were looked at, those of dead rows among them. */
  readonly entries: number;
  /** Events in the log. */
  readonly events: number;
}

const WORK = `select
  (select sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::float8
    from pg_statio_user_tables where schemaname = 'belfry') as blocks,
  (select sum(idx_tup_read)::float8 from pg_stat_user_indexes where relname = 'outbox') as entries,
  belfry.log_head()::float8 as events`;

/** A call, as EXPLAIN saw it. */
interface Call {
  /** Blocks that were looked at, by all statements in it. */
  readonly blocks: number;
  readonly ms: number;
}

describe('while a transaction keeps an old snapshot', () => {
  let database: TestDatabase;
  let belfry: Instance;
  const sessions: pg.Client[] = [];

  beforeAll(async () => {
    database = await TestDatabase.create();
    // It comes when it likes, and looks at all the blocks there are.
    await autovacuum('off');
    belfry = await Instance.start(database.url);
  });
  afterAll(async () => {
    await Promise.all(sessions.map(session => session.end()));
    await belfry.stop();
    await autovacuum('on');
    await database.drop();
  });

  async function autovacuum(state: 'on' | 'off'): Promise<void> {
    await database.rows(`alter system set autovacuum = ${state}`);
    await database.rows('select pg_reload_conf()');
  }

  async function session(...statements: string[]): Promise<pg.Client> {
    const client = await connect(database.url);
    sessions.push(client);
    for (const statement of statements) await client.query(statement);
    return client;
  }

  it('of a minute, an append and a chunk of the outbox take no more work than before', async () => {
    // The instance leaves the drain to whoever has this lock.
    const prober = await session();
    const alone = async <T>(work: () => Promise<T>): Promise<T> => {
      await prober.query('select pg_advisory_lock(1650815078, 5)');
      const result = await work();
      await prober.query('select pg_advisory_unlock(1650815078, 5)');
      return result;
    };
    const before = await alone(() => probe(prober));
    await session('begin isolation level repeatable read', 'select count(*) from belfry.events');

    const token = await admin();
    const publishers = await Promise.all(Array.from({ length: SESSIONS }, () => session()));
    const answers: { at: number; ms: number }[] = [];
    const began = performance.now();
    const rounds = { sql: 0, http: 0 };
    const load = Promise.all([
      ...publishers.map((client, n) =>
        paced((SESSIONS * SQL_BATCH) / RATE, began, async round => {
          rounds.sql++;
          const first = round * SQL_BATCH;
          await client.query(
            `select belfry.publish('sql:${n}', 't', to_jsonb(n)) from generate_series($1::integer, $2::integer) n`,
            [first, first + SQL_BATCH - 1],
          );
        }),
      ),
      paced(HTTP_BATCH / RATE, began, async round => {
        rounds.http++;
        const sentAt = performance.now();
        const { status } = await belfry.request('POST', '/v1/events', {
          token,
          body: Array.from({ length: HTTP_BATCH }, (_, n) => ({
            topic: 'http:0',
            type: 't',
            data: round * HTTP_BATCH + n,
          })),
        });
        expect(status).toBe(201);
        answers.push({ at: sentAt - began, ms: performance.now() - sentAt });
      }),
    ]);
    // Whoever fails early must not be waited for.
    const failed = load.then(() => undefined);
    /** Not a wait: what is done until this moment is what is asked for. */
    const workAt = async (ms: number): Promise<Work> => {
      await Promise.race([delay(began + ms - performance.now()), failed]);
      const [row] = await database.rows<Work>(WORK);
      return row!;
    };
    const early = perEvent(await workAt(2_000), await workAt(2_000 + PART_MS));
    const late = perEvent(await workAt(LENGTH_MS - PART_MS), await workAt(LENGTH_MS));
    await load;
    await until('an empty outbox', async () => {
      const rows = await database.rows('select from belfry.outbox');
      return rows.length === 0;
    });
    const after = await alone(() => probe(prober));

    const times = (from: number) =>
      answers.filter(({ at }) => at >= from && at < from + PART_MS).map(({ ms }) => ms);
    say('blocks for an event', early.blocks, late.blocks);
    say('entries of the outbox for an event', early.entries, late.entries);
    say('blocks for a drain of 20', before.drain.blocks, after.drain.blocks);
    say('blocks for an append', before.append.blocks, after.append.blocks);
    say('ms for a drain of 20', before.drain.ms, after.drain.ms);
    say('ms for an append', before.append.ms, after.append.ms);
    say(
      `ms for a request of ${HTTP_BATCH}, p50`,
      percentile(times(2_000), 0.5),
      percentile(times(LENGTH_MS - PART_MS), 0.5),
    );
    expect(late.blocks).toBeLessThan(FLAT * early.blocks);
    expect(late.entries).toBeLessThan(FLAT * early.entries);
    expect(after.drain.blocks).toBeLessThan(FLAT * before.drain.blocks);
    expect(after.append.blocks).toBeLessThan(FLAT * before.append.blocks);

    // It was as much as it says, and all of it arrived.
    expect(rounds.sql * SQL_BATCH).toBeGreaterThan((RATE * LENGTH_MS) / 1000 / 2);
    expect(rounds.http * HTTP_BATCH).toBeGreaterThan((RATE * LENGTH_MS) / 1000 / 2);
    await isServed(rounds.sql * SQL_BATCH + rounds.http * HTTP_BATCH);
    expect(await faultsOf(database.url)).toEqual([]);
  }, 120_000);

  /** Does something at a fixed rate, until the time is over; what comes late is made up for. */
  async function paced(
    seconds: number,
    began: number,
    what: (round: number) => Promise<void>,
  ): Promise<void> {
    for (let round = 0; round * seconds * 1000 < LENGTH_MS; round++) {
      const now = performance.now() - began;
      if (now > LENGTH_MS) return;
      await delay(Math.max(0, round * seconds * 1000 - now));
      await what(round);
    }
  }

  /** An append of ten events and a drain of a transaction, several times; the middle of each. */
  async function probe(client: pg.Client): Promise<{ append: Call; drain: Call }> {
    const appends: Call[] = [];
    const drains: Call[] = [];
    for (let n = 0; n < PROBES; n++) {
      appends.push(
        await explained(
          client,
          `select * from belfry.append(gen_random_uuid(), false, ${column('0')}, ${column('0')}, ${column("'default'::text")},
            ${column("'probe:http'::text")}, ${column("'t'::text")}, ${column('null::text')}, ${column("'null'::text")},
            ${column('null::timestamptz')}, ${column('null::text')}, ${column('null::text')}, ${column('null::text')},
            ${column('null::text')})`,
        ),
      );
      await client.query(
        `select belfry.publish('probe:sql', 't', 'null') from generate_series(1, ${SQL_BATCH})`,
      );
      drains.push(await explained(client, 'select * from belfry.drain()'));
    }
    return { append: middle(appends), drain: middle(drains) };
  }

  async function isServed(count: number): Promise<void> {
    const log = (await storedEvents(database)).filter(({ topic }) => !topic.startsWith('probe:'));
    expect(log).toHaveLength(count);
    const data = new Map<string, number[]>();
    for (const event of log) {
      const own = data.get(event.topic) ?? [];
      data.set(event.topic, own);
      own.push(event.data as number);
    }
    for (const own of data.values()) expect(own).toEqual(own.map((_, n) => n));
  }
});

function perEvent(from: Work, to: Work): { blocks: number; entries: number } {
  const events = to.events - from.events;
  return { blocks: (to.blocks - from.blocks) / events, entries: (to.entries - from.entries) / events };
}

const column = (value: string) => `array_fill(${value}, array[10])`;

async function explained(client: pg.Client, statement: string): Promise<Call> {
  const { rows } = await client.query<{ 'QUERY PLAN': [Explained] }>(
    `explain (analyze, buffers, format json) ${statement}`,
  );
  const [{ Plan: plan, 'Execution Time': ms }] = rows[0]!['QUERY PLAN'];
  return { blocks: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], ms };
}

interface Explained {
  readonly Plan: { readonly 'Shared Hit Blocks': number; readonly 'Shared Read Blocks': number };
  readonly 'Execution Time': number;
}

function middle(calls: readonly Call[]): Call {
  const of = (key: keyof Call) =>
    percentile(
      calls.map(call => call[key]),
      0.5,
    );
  return { blocks: of('blocks'), ms: of('ms') };
}

function say(what: string, early: number, late: number): void {
  process.stdout.write(`${what}: ${early.toFixed(2)} early, ${late.toFixed(2)} late\n`);
}

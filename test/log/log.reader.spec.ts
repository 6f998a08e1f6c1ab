import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { loadConfig } from '../../src/config/config.js';
import { Database, type Query } from '../../src/database/database.js';
import { LogReader, type ReplayRequest } from '../../src/log/log.reader.js';
import { TopicFilter } from '../../src/log/topic.filter.js';
import { TestDatabase } from '../support/databases.js';
import { SECRET } from '../support/instance.js';
import { connect } from './sql.append.js';

const EVENTS = 20_000;
const PARTITION = 2_500;
const TOPICS = 200;
const KIBIBYTE = 1024;

/** The real database, which remembers what it was asked last. */
class RememberingDatabase extends Database {
  last: Query | undefined;

  override query<Row extends pg.QueryResultRow>(query: Query): Promise<Row[]> {
    this.last = query;
    return super.query<Row>(query);
  }

  override replay<Row extends pg.QueryResultRow>(query: Query): Promise<Row[]> {
    this.last = query;
    return super.replay<Row>(query);
  }
}

/** The scans of the log that were really run for a query. */
async function scansOf(database: TestDatabase, { text, values = [] }: Query): Promise<Plan[]> {
  const client = await connect(database.url);
  const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(
    `explain (analyze, format json) ${text}`,
    values,
  );
  await client.end();
  const flat = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flat)];
  const nodes = flat(rows[0]!['QUERY PLAN'][0]!.Plan);
  expect(nodes.filter(node => node['Node Type'] === 'Seq Scan' && node['Actual Loops'] > 0)).toEqual([]);
  return nodes.filter(node => node['Relation Name']?.startsWith('events_') && node['Actual Loops'] > 0);
}

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly 'Actual Loops': number;
  readonly 'Actual Rows': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly Plan[];
}

describe('the log reader', () => {
  let database: TestDatabase;
  let sessions: RememberingDatabase;
  let reader: LogReader;

  beforeAll(async () => {
    database = await TestDatabase.create();
    await database.rows(`select belfry.extend_log(${PARTITION}, ${EVENTS})`);
    // Event n: topic user:(n mod 200), every 4,000th 300 KiB large, every tenth of type "x".
    await database.rows(
      `insert into belfry.events (seq, tenant, topic, type, key, data, at, batch, batch_index)
      select n, 'default', 'user:' || n % ${TOPICS}, case when n % 10 = 0 then 'x' else 't' end, null,
        case when n > ${EVENTS - 100} then format('"%s"', repeat('x', 60 * 1024)) else n::text end,
        now(), gen_random_uuid(), 1
      from generate_series(1, ${EVENTS}) n`,
    );
    await database.rows('analyze belfry.events');
    sessions = new RememberingDatabase(loadConfig({ DATABASE_URL: database.url, JWT_SECRET: SECRET }));
    reader = new LogReader(sessions);
  });
  afterAll(async () => {
    await sessions.onApplicationShutdown();
    await database.drop();
  });

  function request(patterns: string[], after: number, more: Partial<ReplayRequest> = {}): ReplayRequest {
    return {
      tenant: 'default',
      filter: new TopicFilter(patterns),
      after,
      upTo: EVENTS,
      collapse: true,
      limit: 200,
      ...more,
    };
  }

  describe('reads pages for the tail', () => {
    it('of 500 events at most', async () => {
      const { events: page } = await reader.next(1_000);
      expect(page.map(({ seq }) => seq)).toEqual(Array.from({ length: 500 }, (_, n) => 1_001 + n));
    });

    it('of a mebibyte at most, and goes on where it stopped', async () => {
      const seqs: number[] = [];
      for (;;) {
        const { events: page } = await reader.next(seqs.at(-1) ?? EVENTS - 100);
        if (page.length === 0) break;
        const bytes = page.map(({ data }) => Buffer.byteLength(data));
        // The last one may stand over.
        expect(bytes.slice(0, -1).reduce((sum, size) => sum + size, 0)).toBeLessThan(1024 * KIBIBYTE);
        seqs.push(...page.map(({ seq }) => seq));
      }
      expect(seqs).toEqual(Array.from({ length: 100 }, (_, n) => EVENTS - 99 + n));
    });

    it('that are empty at the head', async () => {
      expect((await reader.next(EVENTS)).events).toEqual([]);
    });
  });

  describe('replays pages for a subscriber', () => {
    it.each([[['user:7', 'user:8', 'user:9']], [['user:*']], [['*']]])(
      'of %j, of limited rows, each event once and in order',
      async patterns => {
        const seqs: number[] = [];
        let after = 0;
        while (after < 6_000) {
          const page = await reader.replay(request(patterns, after, { upTo: 6_000, limit: 50 }));
          expect(page.events.length).toBeLessThanOrEqual(50);
          expect(page.cursor).toBeGreaterThan(after);
          expect(page).toMatchObject({ floor: 1 });
          seqs.push(...page.events.map(({ seq }) => seq));
          after = page.cursor;
        }
        const wanted = Array.from({ length: 6_000 }, (_, n) => n + 1).filter(
          n => patterns.length === 1 || [7, 8, 9].includes(n % TOPICS),
        );
        expect(seqs).toEqual(wanted);
        expect(after).toBe(6_000);
      },
    );

    it.each([[Array.from({ length: 100 }, (_, n) => `user:${n + 100}`)], [['*']]])(
      'of limited bytes',
      async patterns => {
        let after = EVENTS - 100;
        let events = 0;
        while (after < EVENTS) {
          const page = await reader.replay(request(patterns, after));
          const bytes = page.events.map(({ data }) => Buffer.byteLength(data));
          expect(bytes.slice(0, -1).reduce((sum, size) => sum + size, 0)).toBeLessThan(256 * KIBIBYTE);
          events += page.events.length;
          after = page.cursor;
        }
        expect(events).toBe(patterns.length === 1 ? 100 : 99);
      },
    );

    it('whose cursor moves past what a filter of types leaves out', async () => {
      const filter = new TopicFilter(['user:*'], ['nothing']);
      const page = await reader.replay(request([], 100, { filter, limit: 50 }));
      expect(page).toMatchObject({ events: [], cursor: 150 });
      const exact = new TopicFilter(['user:7'], ['nothing']);
      const end = await reader.replay(request([], 100, { filter: exact, upTo: 15_000, limit: 1_000 }));
      expect(end).toMatchObject({ events: [], cursor: 15_000 });
    });

    it.each([[['user:7']], [['user:*']]])(
      'of %j, up to the head of its own snapshot when not told how far',
      async patterns => {
        const { events, ...end } = await reader.replay(
          request(patterns, EVENTS - 250, { upTo: undefined, limit: 1_000 }),
        );
        const upTo = await reader.replay(request(patterns, EVENTS - 250, { limit: 1_000 }));
        expect({ events, ...end }).toEqual(upTo);
        expect(end.head).toBe(EVENTS);
        const cut = await reader.replay(request(patterns, 0, { upTo: undefined, limit: 10 }));
        expect(cut).toMatchObject({ cursor: cut.events.at(-1)!.seq, head: EVENTS });
        const none = await reader.replay(request(['nobody:*'], EVENTS - 100, { upTo: undefined }));
        expect(none).toMatchObject({ events: [], cursor: EVENTS, head: EVENTS });
      },
    );

    it('of its own tenant alone', async () => {
      const page = await reader.replay(request(['*'], 0, { tenant: 'other', upTo: 3_000 }));
      expect(page).toMatchObject({ events: [], cursor: 3_000 });
    });
  });

  describe('as EXPLAIN shows it', () => {
    function partitionOf(scan: Plan): number {
      return Number(scan['Relation Name']!.slice('events_'.length));
    }

    it('a replay of several topics goes through the index by topic, for each topic on its own', async () => {
      const topics = [1, 2, 3, 4, 5, 6].map(n => `user:${n}`);
      await reader.replay(request(topics, 0));
      const scans = await scansOf(database, sessions.last!);
      expect(scans.length).toBeGreaterThan(0);
      for (const scan of scans) {
        expect(scan['Index Name']).toMatch(/tenant_topic_expr_idx$/);
        expect(scan['Index Cond']).toMatch(/topic = /);
        expect(scan['Index Cond']).toMatch(/seq \+ 0\) > /);
        expect(scan['Rows Removed by Filter'] ?? 0).toBe(0);
      }
    });

    it('partitions before the cursor are not looked at, nor those behind the end', async () => {
      await reader.replay(request(['user:1', 'user:2'], 3 * PARTITION + 10, { upTo: 5 * PARTITION - 10 }));
      const scans = await scansOf(database, sessions.last!);
      expect([...new Set(scans.map(partitionOf))].sort((a, b) => a - b)).toEqual([
        3 * PARTITION + 1,
        4 * PARTITION + 1,
      ]);
    });

    it('a page of wildcards looks at its own range of seqs alone', async () => {
      await reader.replay(request(['user:*'], 3 * PARTITION + 10));
      const scans = await scansOf(database, sessions.last!);
      expect(scans.map(partitionOf)).toEqual([3 * PARTITION + 1]);
      expect(scans[0]!['Actual Rows']).toBeLessThanOrEqual(200);
    });
  });

  describe('in a log of a few busy topics and many quiet ones, which Postgres has statistics of', () => {
    let skewed: TestDatabase;

    beforeAll(async () => {
      skewed = await TestDatabase.create();
      await skewed.rows('select belfry.extend_log(20000, 60000)');
      await skewed.rows(
        `insert into belfry.events (seq, tenant, topic, type, data, at, batch, batch_index)
        select n, 'default', case when n % 2000 = 1 then 'user:' || n / 2000 else 'busy:' || n % 2 end, 't', '{}',
          now(), gen_random_uuid(), 1
        from generate_series(1, 60000) n`,
      );
      await skewed.rows('analyze belfry.events');
    });
    afterAll(async () => {
      await skewed.drop();
    });

    it.each([
      ['a quiet topic', ['user:7'], 1],
      ['thirty quiet topics', Array.from({ length: 30 }, (_, n) => `user:${n}`), 30],
      ['a busy topic', ['busy:0'], 200],
      ['both', ['busy:1', 'user:7'], 200],
    ])('a replay of %s reads little more than it shows', async (_name, topics, shown) => {
      await reader.replay(request(topics, 0, { upTo: 60_000 }));
      const scans = await scansOf(skewed, sessions.last!);
      const read = scans.reduce(
        (sum, scan) =>
          sum + scan['Actual Loops'] * (scan['Actual Rows'] + (scan['Rows Removed by Filter'] ?? 0)),
        0,
      );
      // A merge looks at the first row of each partition.
      expect(read).toBeLessThanOrEqual(shown + topics.length * 4);
    });
  });

  describe('in a log that was empty a moment ago, of which Postgres knows nothing yet', () => {
    let young: TestDatabase;
    let database: Database;

    beforeAll(async () => {
      young = await TestDatabase.create();
      await young.rows(`select belfry.extend_log(${PARTITION}, 6000)`);
      for (const partition of [1, 1 + PARTITION, 1 + 2 * PARTITION]) {
        await young.rows(`alter table belfry.events_${partition} set (autovacuum_enabled = off)`);
      }
      database = new Database(loadConfig({ DATABASE_URL: young.url, JWT_SECRET: SECRET }));
    });
    afterAll(async () => {
      await database.onApplicationShutdown();
      await young.drop();
    });

    it('a page of the tail reads its own rows alone, by a session that has read the empty log as well', async () => {
      const tail = new LogReader(database);
      for (let n = 0; n < 20; n++) await tail.next(0);
      await young.rows(
        `insert into belfry.events (seq, tenant, topic, type, data, at, batch, batch_index)
        select n, 'default', 'user:1', 't', '{}', now(), gen_random_uuid(), 1 from generate_series(1, 6000) n`,
      );
      for (let n = 0; n < 20; n++) expect((await tail.next(2_600)).events).toHaveLength(500);
      // One after the other they were all done by one session, and so is this.
      await database.query({ text: 'select pg_stat_force_next_flush()' });
      const read = await young.rows(
        `select relname as name, seq_tup_read as scanned, idx_tup_fetch as fetched
        from pg_stat_user_tables where relname ~ '^events_' and seq_tup_read + idx_tup_fetch > 0`,
      );
      expect(read).toEqual([{ name: `events_${1 + PARTITION}`, scanned: '0', fetched: '10000' }]);
    });
  });
});

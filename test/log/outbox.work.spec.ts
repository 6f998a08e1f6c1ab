import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { TestDatabase } from '../support/databases.js';
import { connect } from './sql.append.js';

/** Events that a transaction has published so far. */
const SO_FAR = 5_000;
/** Blocks that a call may look at; to look at all that is not committed takes more. */
const FEW = 1_000;

interface Explained {
  readonly Plan: { readonly 'Shared Hit Blocks': number; readonly 'Shared Read Blocks': number };
}

describe('what the drain looks at', () => {
  let database: TestDatabase;
  let running: pg.Client;

  beforeAll(async () => {
    database = await TestDatabase.create();
    await database.rows('select belfry.extend_log(100000, 100000)');
    running = await connect(database.url);
  });
  afterAll(async () => {
    await running.end();
    await database.drop();
  });

  /** Blocks of tables and indexes that all of a statement looks at. */
  async function blocksOf(statement: string): Promise<number> {
    const rows = await database.rows<{ 'QUERY PLAN': [Explained] }>(
      `explain (analyze, buffers, format json) ${statement}`,
    );
    const [{ Plan: plan }] = rows[0]!['QUERY PLAN'];
    return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
  }

  const publish = (count: number) =>
    `select belfry.publish('work:1', 't', to_jsonb(n)) from generate_series(1, ${count}) n`;

  it('is not what a running transaction has published so far', async () => {
    await running.query('begin');
    await running.query(publish(SO_FAR));
    // Before the last snapshot knows of that transaction, and after.
    for (const count of [1, 1, 600, 600]) {
      await database.rows(publish(count));
      expect(await blocksOf('select belfry.outbox_waits(belfry.newest_drain())')).toBeLessThan(FEW);
      // The rows of a chunk are looked at several times.
      expect(await blocksOf('select * from belfry.drain()')).toBeLessThan(FEW + 30 * count);
      while ((await database.rows('select from belfry.drain() where head is not null')).length > 0);
      expect(await blocksOf('select belfry.outbox_waits(belfry.newest_drain())')).toBeLessThan(FEW);
    }
    await running.query('rollback');
  });

  it('is planned in a fixed way, and never compiled for what that way seems to cost', async () => {
    const functions = await database.rows<{ proname: string; proconfig: string[] }>(
      `select proname, proconfig from pg_proc
      where pronamespace = 'belfry'::regnamespace and 'enable_seqscan=off' = any (proconfig)`,
    );
    expect(functions.map(({ proname }) => proname).sort()).toEqual([
      'deliver_due',
      'drain_chunk',
      'inbox_items',
      'move_read_mark',
      'newest_drain',
      'next_events',
      'outbox_waits',
      'prune',
      'prune_inbox',
      'store',
    ]);
    for (const { proconfig } of functions) expect(proconfig).toContain('jit=off');
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { judge } from '../../src/log/append.error.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { TcpProxy } from '../support/tcp.proxy.js';
import { appendBySql, connect } from './sql.append.js';

/** What a session ends with: the rejection of the last statement. */
async function errorOf(client: pg.Client, ...statements: string[]): Promise<unknown> {
  try {
    for (const statement of statements) await client.query(statement);
  } catch (error) {
    return error;
  }
  throw new Error(`Postgres has nothing against ${statements.at(-1)!}`);
}

describe('the verdict on a failed append', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await TestDatabase.create();
  });
  afterAll(async () => {
    await database.drop();
  });

  it.each<[string, string, string, ...string[]]>([
    ['poisoned', '22012', 'a value is impossible', 'select 1 / 0'],
    ['poisoned', '22021', 'a text has a byte that UTF-8 has not', `select convert_from('\\xff', 'UTF8')`],
    [
      'poisoned',
      '23505',
      'a unique constraint is violated',
      'create temp table t (x int unique)',
      'insert into t values (1), (1)',
    ],
    [
      'poisoned',
      '23514',
      'a check constraint is violated',
      'create temp table t (x int constraint positive check (x > 0))',
      'insert into t values (0)',
    ],
    [
      'poisoned',
      '54000',
      'an index row would be too large',
      'create temp table t (x text unique)',
      `insert into t select string_agg(md5(n::text), '') from generate_series(1, 1000) n`,
    ],
    [
      'refused',
      '57014',
      'the statement took too long',
      `set statement_timeout = '20ms'`,
      'select pg_sleep(60)',
    ],
    [
      'refused',
      '55P03',
      'a lock was waited for too long',
      `set lock_timeout = '20ms'`,
      'begin',
      'lock table belfry.floors',
    ],
    ['refused', '42P01', 'a table is missing', 'select from belfry.nothing'],
    ['refused', 'BF001', 'the batch was given up', `do $$ begin raise sqlstate 'BF001'; end $$`],
    [
      'refused-session',
      '25006',
      'the server is a standby, or read only',
      'set default_transaction_read_only = on',
      'select belfry.lock_log(); delete from belfry.floors',
    ],
    ['refused-session', '55000', 'the server is a standby', `do $$ begin raise sqlstate '55000'; end $$`],
    [
      'refused-session',
      '25001',
      'the session is not READ COMMITTED',
      'begin isolation level repeatable read',
      'select belfry.lock_log()',
    ],
    ['refused-session', '26000', 'a prepared statement is gone', 'execute gone'],
    ['refused-session', '53400', 'a resource limit is met', `do $$ begin raise sqlstate '53400'; end $$`],
    ['unknown', 'XX000', 'Postgres found a fault in itself', `do $$ begin raise sqlstate 'XX000'; end $$`],
    ['unknown', '58030', 'the disk failed', `do $$ begin raise sqlstate '58030'; end $$`],
    ['unknown', '40003', 'Postgres says so itself', `do $$ begin raise sqlstate '40003'; end $$`],
  ])('is %s for %s: %s', async (verdict, code, _why, ...statements) => {
    const holder = await connect(database.url);
    const client = await connect(database.url);
    try {
      await holder.query('begin; lock table belfry.floors in access share mode');
      const error = await errorOf(client, ...statements);
      expect(error).toMatchObject({ code });
      expect(judge(error)).toBe(verdict);
    } finally {
      await client.end();
      await holder.end();
    }
  });

  it('is no-partition when the log has none for the next seq', async () => {
    // Without an instance nobody has made one.
    const error: unknown = await appendBySql(database.pool, { events: [{}] }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: '23514' });
    expect(judge(error)).toBe('no-partition');
  });

  it('is unknown when an administrator ends the session', async () => {
    const client = await connect(database.url);
    const answer = errorOf(client, 'select pg_sleep(60)');
    await isActive(client.processID);
    await database.rows('select pg_terminate_backend($1)', [client.processID]);
    const error = await answer;
    expect(error).toMatchObject({ code: '57P01' });
    expect(judge(error)).toBe('unknown');
  });

  it('is unknown when Postgres ends the session for being slow: that may have been after the commit', async () => {
    const client = await connect(database.url);
    const ended = new Promise<Error>(resolve => client.once('error', resolve));
    await client.query(`set idle_in_transaction_session_timeout = '20ms'; begin`);
    const error = await ended;
    expect(error).toMatchObject({ code: '25P03' });
    expect(judge(error)).toBe('unknown');
  });

  it('is unknown when the connection is cut, or the answer does not come in time', async () => {
    const proxy = await TcpProxy.start(database.url);
    const client = await connect(proxy.urlOf(database.url));
    const late: unknown = await client
      .query({ text: 'select pg_sleep(60)', query_timeout: 20 } as pg.QueryConfig)
      .catch((error: unknown) => error);
    expect(judge(late)).toBe('unknown');
    const other = await connect(proxy.urlOf(database.url));
    const answer = errorOf(other, 'select pg_sleep(60)');
    await isActive(other.processID);
    proxy.cut();
    const cut = await answer;
    expect(cut).toBeInstanceOf(Error);
    expect(judge(cut)).toBe('unknown');
    await proxy.stop();
  });

  it('is unknown for what is no error of the database at all', () => {
    expect(judge(new TypeError('a bug'))).toBe('unknown');
    expect(judge(undefined)).toBe('unknown');
  });

  async function isActive(pid: number): Promise<void> {
    await until(`session ${pid} at work`, async () => {
      const text = `select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'`;
      return (await database.rows(text, [pid])).length === 1;
    });
  }
});

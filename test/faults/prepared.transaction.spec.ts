import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import type pg from 'pg';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrate } from '../../src/database/migrations.js';
import { newFolder } from '../database/processes.js';
import { faultsOf } from '../log/faults.js';
import { connect } from '../log/sql.append.js';
import { storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';

describe('a transaction that publishes and is prepared', () => {
  let folder: string;
  let postgres: EmbeddedPostgres;
  let url: string;
  let belfry: Instance;
  let sessions: pg.Client[] = [];

  beforeAll(async () => {
    folder = await newFolder();
    postgres = new EmbeddedPostgres({ dataDir: folder });
    ({ url } = await postgres.start());
    const client = await connect(url);
    await client.query('alter system set max_prepared_transactions = 5');
    await client.end();
    await startAgain();
    await migrate(url);
    belfry = await Instance.start(url);
  });
  afterEach(async () => {
    await Promise.all(sessions.map(session => session.end()));
    sessions = [];
  });
  afterAll(async () => {
    await belfry.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function startAgain(): Promise<void> {
    await postgres.stop();
    expect((await postgres.start()).url).toBe(url);
  }

  /** In a session of its own, which stays until the end of the test. */
  async function run(...statements: string[]): Promise<pg.Client> {
    const client = await connect(url);
    sessions.push(client);
    for (const statement of statements) await client.query(statement);
    return client;
  }

  const publish = (topic: string, data: number) => `select belfry.publish('${topic}', 't', '${data}')`;

  async function listen(topic: string): Promise<SseClient> {
    return (await belfry.stream(`?topic=${topic}`)).isReady();
  }

  async function stored(topic: string): Promise<unknown[]> {
    const client = await run();
    const log = await storedEvents({ rows: async text => (await client.query(text)).rows as never });
    return log.filter(event => event.topic === topic).map(({ data }) => data as unknown);
  }

  it('is refused by Postgres when it has rung the bell, and publishes nothing', async () => {
    const client = await run('begin', publish('two:1', 1));
    await expect(client.query(`prepare transaction 'one'`)).rejects.toMatchObject({ code: '0A000' });
    await client.query(publish('two:1', 2));
    const stream = await listen('two:1');
    await belfry.publish({ topic: 'two:1', type: 't', data: 3 });
    await stream.hears(1);
    expect(await stored('two:1')).toEqual([2, 3]);
    stream.cut();
  });

  it('publishes when it is committed, and delays nobody until then', async () => {
    const stream = await listen('two:2');
    await run(
      'begin',
      'set local belfry.ring = off',
      publish('two:2', 1),
      publish('two:2', 2),
      `prepare transaction 'two'`,
    );
    await run(publish('two:2', 3));
    await stream.hears(1);
    await belfry.publish({ topic: 'two:2', type: 't', data: 4 });
    await stream.hears(2);
    await run(`commit prepared 'two'`);
    await stream.hears(4);
    expect(stream.payloads).toEqual([3, 4, 1, 2]);
    expect(await stored('two:2')).toEqual(stream.payloads);
    stream.cut();
  });

  it('publishes nothing when it is rolled back', async () => {
    const stream = await listen('two:3');
    await run('begin', 'set local belfry.ring = off', publish('two:3', 1), `prepare transaction 'three'`);
    await run(`rollback prepared 'three'`, publish('two:3', 2));
    await stream.hears(1);
    expect(await stored('two:3')).toEqual([2]);
    stream.cut();
  });

  it('is there after Postgres was killed, and publishes when it is committed then', async () => {
    const stream = await listen('two:4');
    await run('begin', 'set local belfry.ring = off', publish('two:4', 1), `prepare transaction 'four'`);
    const client = await run();
    const { rows } = await client.query<{ file: string }>(`select pg_read_file('postmaster.pid') as file`);
    process.kill(Number(rows[0]!.file.split('\n')[0]), 'SIGKILL');
    await startAgain();
    await until('the instance knows that Postgres is back', () => !belfry.tail.isAway);
    await run(publish('two:4', 2));
    await stream.hears(1);
    await run(`commit prepared 'four'`);
    await stream.hears(2);
    expect(stream.payloads).toEqual([2, 1]);
    expect(await faultsOf(url)).toEqual([]);
    stream.cut();
  });
});

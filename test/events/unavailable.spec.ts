import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Appender } from '../../src/log/appender.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, Instance } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { TcpProxy } from '../support/tcp.proxy.js';
import { dataOf, event, post, postLines, Upload } from './posting.js';

function expectUnavailable(answer: Answer, code = 'database-unavailable'): void {
  expect(answer.json).toMatchObject({ status: 503, code });
  expect(answer.status).toBe(503);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
}

describe('without a database', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    proxy = await TcpProxy.start(database.url);
    belfry = await Instance.start(proxy.urlOf(database.url), { PUBLISH_TIMEOUT_MS: '300' });
  });
  afterAll(async () => {
    await belfry.stop();
    await proxy.stop();
    await database.drop();
  });
  afterEach(() => {
    proxy.open();
  });

  const published = async (topic: string, data: unknown) =>
    (await post(belfry, event(topic, data))).status === 201;

  it('a publish is refused in bounded time and certainly not stored; with it again, it works', async () => {
    expect(await published('down:1', 'before')).toBe(true);
    proxy.refuse();
    // The session that was cut may have been writing: only the next publishes certainly find none.
    expect((await post(belfry, event('down:1', 'first'))).status).toBe(503);
    const keyed = (n: number) => post(belfry, event('down:1', n), { headers: { 'idempotency-key': `${n}` } });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => keyed(n)));
    for (const answer of answers) expectUnavailable(answer);
    expect(await dataOf(database, 'down:1')).toEqual(['"before"']);

    proxy.open();
    await until('a publish that is stored', () => published('down:1', 'after'));
    expect((await keyed(3)).json).toMatchObject({ events: [{ duplicate: false }] });
    expect(await dataOf(database, 'down:1')).toEqual(['"before"', '"after"', '3']);
  });

  it('a publish survives an outage that is shorter than its patience', async () => {
    const patient = await Instance.start(proxy.urlOf(database.url), { PUBLISH_TIMEOUT_MS: '20000' });
    expect((await post(patient, event('short:1', 1))).status).toBe(201);
    proxy.refuse();
    const answers = [2, 3, 4].map(n => post(patient, event('short:1', n)));
    await until('a failed attempt', () =>
      patient.logs.some(({ msg }) => /not stored|not be looked for/.test(String(msg))),
    );
    proxy.open();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([201, 201, 201]);
    // Three at once have no order among themselves.
    expect((await dataOf(database, 'short:1')).sort()).toEqual(['1', '2', '3', '4']);
    await patient.stop();
  });

  it('an upload names the line from which on nothing is stored', async () => {
    const client = await (await belfry.stream('?topic=down:2')).isReady();
    const upload = await Upload.start(belfry);
    const line = (n: number) => `${JSON.stringify(event('down:2', n))}\n`;
    await upload.write(line(1) + line(2));
    await client.hears(2);
    proxy.refuse();
    await upload.write(line(3) + line(4));
    const { status, json } = await upload.answer();
    upload.end();
    expect(status).toBe(503);
    expect(json).toMatchObject({
      code: expect.stringMatching(/^(database-unavailable|outcome-unknown)$/),
      line: 3,
      stored: 2,
      last: client.lastEventId,
    });
    expect(json['detail']).not.toMatch(/nothing of this request was stored/);
    expect(await dataOf(database, 'down:2')).toEqual(['1', '2']);
    proxy.open();
    await until('an upload that is stored', async () => (await postLines(belfry, line(3))).status === 201);
    client.cut();
  });

  it('a bad request is still told what is wrong with it', async () => {
    proxy.refuse();
    expect((await post(belfry, '{')).status).toBe(400);
    expect((await post(belfry, event('nowhere', 1))).status).toBe(400);
    proxy.open();
  });

  it('history is refused as unavailable, and works again', async () => {
    await until('a publish that is stored', () => published('down:3', 1));
    proxy.refuse();
    const read = async () => belfry.request('GET', '/v1/events?topic=down:3', { token: await admin() });
    expectUnavailable(await read());
    proxy.open();
    await until('a page of history', async () => (await read()).status === 200);
  });

  it('a database that takes no connections is the same', async () => {
    await until('a publish that is stored', () => published('down:4', 1));
    const server = new pg.Client(process.env['BELFRY_TEST_DATABASE_URL']);
    await server.connect();
    await server.query(`alter database ${database.name} with allow_connections false`);
    await database.rows(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name like 'belfry%'`,
    );
    expect((await post(belfry, event('down:4', 'first'))).status).toBe(503);
    const answers = await Promise.all([2, 3].map(n => post(belfry, event('down:4', n))));
    for (const answer of answers) expectUnavailable(answer);
    await server.query(`alter database ${database.name} with allow_connections true`);
    await server.end();
    await until('a publish that is stored', () => published('down:4', 4));
    expect((await dataOf(database, 'down:4')).filter(data => data === '2' || data === '3')).toEqual([]);
  });
});

describe('behind a log that is busy', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { PUBLISH_TIMEOUT_MS: '300' });
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  it('a publish gives up in bounded time; its repeat under the same key is stored once', async () => {
    const lock = await LogLock.hold(database.url);
    const keyed = (n: number) => post(belfry, event('busy:1', n), { headers: { 'idempotency-key': `${n}` } });
    const answers = await Promise.all([1, 2, 3].map(keyed));
    for (const answer of answers) {
      expect(answer.status).toBe(503);
      expect(answer.json).toMatchObject({
        code: expect.stringMatching(/^(database-unavailable|outcome-unknown)$/),
      });
    }
    await lock.release();
    expect((await Promise.all([1, 2, 3].map(keyed))).map(({ status }) => status)).toEqual([201, 201, 201]);
    expect((await dataOf(database, 'busy:1')).sort()).toEqual(['1', '2', '3']);
  });

  it('what does not fit into the queue is refused at once, and the rest is stored', async () => {
    const narrow = await Instance.start(database.url, {
      PUBLISH_QUEUE_BYTES: '2048',
      PUBLISH_TIMEOUT_MS: '20000',
    });
    const lock = await LogLock.hold(database.url);
    const sent = (n: number) => post(narrow, event('full:1', `${n} ${'x'.repeat(1_500)}`));
    const first = sent(0);
    await lock.isAwaited({ count: 1 });
    const answers: Answer[] = [];
    const rest = Array.from({ length: 10 }, async (_, n) => answers.push(await sent(n + 1)));
    await until('nine that are refused', () => answers.length === 9);
    for (const answer of answers) expectUnavailable(answer, 'queue-full');
    await lock.release();
    await Promise.all(rest);
    expect(answers.at(-1)!.status).toBe(201);
    expect((await first).status).toBe(201);
    expect(await dataOf(database, 'full:1')).toHaveLength(2);
    expect((await sent(11)).status).toBe(201);
    await narrow.stop();
  });

  it('a publish that comes when the instance has ended its work is refused as shutting-down', async () => {
    const ended = await Instance.start(database.url);
    await ended.app.get(Appender).onApplicationShutdown();
    expectUnavailable(await post(ended, event('ended:1')), 'shutting-down');
    expect(await dataOf(database, 'ended:1')).toEqual([]);
    await ended.stop();
  });

  it('one request larger than the whole queue is taken when nothing waits', async () => {
    const narrow = await Instance.start(database.url, { PUBLISH_QUEUE_BYTES: '1024' });
    expect((await post(narrow, event('large:1', 'x'.repeat(5_000)))).status).toBe(201);
    await narrow.stop();
  });
});

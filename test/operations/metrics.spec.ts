import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { OutboxTally } from '../../src/log/outbox.tally.js';
import { Metrics } from '../../src/operations/metrics.js';
import { event, post } from '../events/posting.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance, SECRET, tokenFor } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { TcpProxy } from '../support/tcp.proxy.js';
import { type Family, parseExposition } from './exposition.js';

/** Nobody looks at the outbox by himself within a test. */
const NO_POLLS = { OUTBOX_IDLE_POLL_MS: '60000', OUTBOX_BUSY_POLL_MS: '60000' };

let database: TestDatabase;
let instances: Instance[] = [];

beforeAll(async () => {
  database = await TestDatabase.create();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(instances.map(instance => instance.stop()));
  instances = [];
});
afterAll(async () => {
  await database.drop();
});

async function start(env: NodeJS.ProcessEnv = {}, url = database.url): Promise<Instance> {
  const instance = await Instance.start(url, env);
  instances.push(instance);
  return instance;
}

async function scrape(instance: Instance): Promise<Map<string, Family>> {
  const { status, text } = await instance.request('GET', '/metrics');
  expect(status).toBe(200);
  return parseExposition(text);
}

/** Values by name and labels; undefined where there is no such series. */
async function read(instance: Instance, ...series: string[]): Promise<(number | undefined)[]> {
  const families = [...(await scrape(instance)).values()];
  return series.map(name => families.find(({ values }) => values.has(name))?.values.get(name));
}

async function expectSoon(instance: Instance, expected: Readonly<Record<string, number>>): Promise<void> {
  const names = Object.keys(expected);
  let found = {};
  await until('the values that are expected', async () => {
    const values = await read(instance, ...names);
    found = Object.fromEntries(names.map((name, n) => [name, values[n]]));
    return isDeepStrictEqual(found, expected);
  }).catch((cause: unknown) => {
    throw new Error(`instead of ${JSON.stringify(expected)} there is ${JSON.stringify(found)}`, { cause });
  });
}

const requests = (method: string, route: string, status: number | 'none', code = 'none') =>
  `belfry_http_requests_total{method="${method}",route="${route}",status="${status}",code="${code}"}`;
const ended = (reason: string) => `belfry_streams_ended_total{reason="${reason}"}`;
const refused = (reason: string) => `belfry_streams_refused_total{reason="${reason}"}`;
const delivered = (way: string) => `belfry_events_delivered_total{way="${way}"}`;

describe('what is told', () => {
  it('is told to everybody, as Prometheus reads it, and is kept by no cache', async () => {
    const belfry = await start();
    const answer = await belfry.request('GET', '/metrics', { headers: { authorization: 'Bearer nonsense' } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.headers.get('cache-control')).toBe('no-store');

    const families = [...parseExposition(answer.text).values()];
    const own = families.filter(({ name }) => name.startsWith('belfry_'));
    expect(own.length).toBeGreaterThan(15);
    for (const { name, help, type } of own) {
      expect(name).toMatch(/^[a-z]+(?:_[a-z]+)+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(help).toMatch(/\w{3}.*[.]$/);
    }
    expect(families.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'process_cpu_seconds_total',
        'process_open_fds',
        'nodejs_eventloop_lag_p99_seconds',
      ]),
    );
  });

  it('is all in docs/operations.md, and nothing else is', async () => {
    const told = [...(await scrape(await start())).keys()].filter(name => name.startsWith('belfry_'));
    const text = readFileSync('docs/operations.md', 'utf8');
    const rows = [...text.matchAll(/^\| `(belfry_\w+)/gm)].map(([, name]) => name);
    expect(rows.sort()).toEqual(told.sort());
    const named = [...text.matchAll(/\bbelfry_\w+/g)].map(([name]) =>
      name.replace(/_(?:bucket|sum|count)$/, ''),
    );
    expect(named.filter(name => !told.includes(name))).toEqual([]);
  });

  it('names no tenant, topic or user, and nothing that anybody made up', async () => {
    const belfry = await start();
    const token = await tokenFor({
      sub: 'marked',
      tenant: 'marked',
      topics: ['marked:1'],
      scope: 'publish admin',
    });
    const client = await (await belfry.stream('?topic=marked:1&type=marked', { token })).isReady();
    await post(belfry, event('marked:1', 'marked', { type: 'marked', key: 'marked', dedupeId: 'marked' }), {
      token,
    });
    await client.hears(1);
    for (const [method, path] of [
      ['GET', '/marked'],
      ['PROPFIND', '/marked'],
      ['GET', '/docs/marked'],
      ['GET', '/v1/events?topic=marked:1&type=marked'],
      ['DELETE', '/v1/admin/keys/marked'],
    ] as const) {
      await belfry.request(method, path, { token, headers: { 'x-request-id': 'marked' } });
    }
    await expectSoon(belfry, {
      [requests('none', 'none', 404, 'not-found')]: 3,
      [requests('DELETE', '/v1/admin/keys/:id', 404, 'not-found')]: 1,
    });
    client.cut();
    expect((await belfry.request('GET', '/metrics')).text).not.toMatch(/marked|PROPFIND/i);
  });

  it('is put together at most once a second, however often it is asked for', async () => {
    const belfry = await start();
    let reads = 0;
    belfry.app.get(Metrics).gauge('test_reads', 'How often it was put together.', () => ++reads);
    const began = performance.now();
    for (let n = 0; n < 20; n++) await Promise.all([1, 2, 3].map(() => scrape(belfry)));
    expect(reads).toBeGreaterThan(0);
    expect(reads).toBeLessThanOrEqual(1 + (performance.now() - began) / 1_000);
  });

  it('costs the database nothing', async () => {
    const belfry = await start();
    const query = jest.spyOn(pg.Client.prototype, 'query');
    const began = performance.now();
    for (let n = 0; n < 20; n++) await scrape(belfry);
    const seconds = (performance.now() - began) / 1_000;
    const counts = query.mock.calls.filter(([what]) => JSON.stringify(what).includes('outbox_rejected'));
    expect(counts.length).toBeLessThanOrEqual(1 + seconds / 5);
  });

  it('is logged for those who look for it only', async () => {
    const belfry = await start({ LOG_LEVEL: 'debug' });
    await scrape(belfry);
    await until('the line', () => belfry.logs.some(line => JSON.stringify(line).includes('/metrics')));
    const lines = belfry.logs.filter(
      ({ msg, req }) => msg === 'request completed' && JSON.stringify(req).includes('/metrics'),
    );
    expect(lines.map(({ level }) => level)).toEqual([20]);
  });

  it('is that of one application, also when there are two in a process', async () => {
    const [one, other] = [await start(), await start()];
    const client = await (await one.stream('?topic=two:1')).isReady();
    await one.publish([{ topic: 'two:1', type: 'a' }]);
    await client.hears(1);
    await expectSoon(one, {
      belfry_events_appended_total: 1,
      belfry_streams_open: 1,
      [delivered('live')]: 1,
    });
    await expectSoon(other, {
      belfry_events_appended_total: 0,
      belfry_streams_open: 0,
      [delivered('live')]: 0,
    });
    client.cut();
  });

  it('leaves nothing behind that would keep the process alive', async () => {
    const script = `
      import 'reflect-metadata';
      const { createApp } = await import('./dist/app.js');
      const { loadConfig } = await import('./dist/config/config.js');
      const { shutDown } = await import('./dist/operations/shutdown.js');
      const config = loadConfig(process.env);
      const app = await createApp(config);
      await app.listen(0, '127.0.0.1');
      const answer = await fetch((await app.getUrl()) + '/metrics');
      const text = await answer.text();
      console.log(answer.status, text.includes('nodejs_gc_duration_seconds'), await shutDown(app, config));`;
    const env = { DATABASE_URL: database.url, JWT_SECRET: SECRET, LOG_LEVEL: 'silent', DRAIN_MS: '100' };
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', bytes => (output += String(bytes)));
    const [code] = (await once(child, 'close')) as [number];
    expect([output, code]).toEqual(['200 true true\n', 0]);
  });
});

describe('what is published and heard', () => {
  it('is counted, with the calls that stored it and the streams that heard it', async () => {
    const belfry = await start();
    const clients = await Promise.all(
      [1, 2].map(async () => (await belfry.stream('?topic=count:1')).isReady()),
    );
    const ids = await belfry.publish([1, 2, 3].map(data => ({ topic: 'count:1', type: 'a', data })));
    await Promise.all(clients.map(client => client.hears(3)));
    const seq = Number(ids.at(-1)!.split('.')[1]);
    await expectSoon(belfry, {
      belfry_events_appended_total: 3,
      belfry_append_duration_seconds_count: 1,
      [delivered('live')]: 6,
      [delivered('catch-up')]: 0,
      [requests('POST', '/v1/events', 201)]: 1,
      belfry_tail_position: seq,
      belfry_log_floor: 1,
      belfry_doorbell_listening: 1,
      belfry_streams_open: 2,
      belfry_replay_queries_total: 0,
    });
    const [lag, seconds] = await read(
      belfry,
      'belfry_tail_lag_seconds',
      'belfry_append_duration_seconds_sum',
    );
    expect(lag).toBeLessThan(5);
    expect(seconds).toBeGreaterThan(0);

    clients.forEach(client => {
      client.cut();
    });
    await expectSoon(belfry, {
      belfry_streams_open: 0,
      [ended('client-left')]: 2,
      [requests('GET', '/v1/stream', 200)]: 2,
    });
  });

  it('is not counted as stored when it was stored before', async () => {
    const belfry = await start();
    for (let n = 0; n < 2; n++) await post(belfry, event('count:2', 1, { dedupeId: 'once' }));
    await expectSoon(belfry, { belfry_events_appended_total: 1, belfry_append_duration_seconds_count: 2 });
  });

  it('is counted apart for those who catch up, with the pages that Postgres was asked for', async () => {
    const belfry = await start({ RING_EVENTS: '1' });
    await belfry.publish([1, 2, 3].map(data => ({ topic: 'count:3', type: 'a', data })));
    const client = await (await belfry.stream('?topic=count:3&lastEventId=earliest')).isReady();
    await expectSoon(belfry, {
      [delivered('live')]: 0,
      [delivered('catch-up')]: 3,
      belfry_replay_queries_total: 1,
    });
    client.cut();
  });

  it('is counted by the code with which it was refused', async () => {
    const belfry = await start();
    await post(belfry, event('nowhere'));
    await post(belfry, event('nowhere'));
    await post(belfry, event('all'), { token: await tokenFor() });
    await belfry.request('POST', '/v1/events');
    await expectSoon(belfry, {
      [requests('POST', '/v1/events', 400, 'topic-invalid')]: 2,
      [requests('POST', '/v1/events', 403, 'scope-missing')]: 1,
      [requests('POST', '/v1/events', 401, 'token-missing')]: 1,
    });
  });

  it('waits in the queue, which is told in requests and in bytes', async () => {
    const belfry = await start({ PUBLISH_TIMEOUT_MS: '20000' });
    const lock = await LogLock.hold(database.url);
    const first = post(belfry, event('count:4', 'x'.repeat(98)));
    await lock.isAwaited({ count: 1 });
    const rest = [1, 2].map(() => post(belfry, event('count:4', 'x'.repeat(98))));
    await expectSoon(belfry, { belfry_append_queue_requests: 2, belfry_append_queue_bytes: 600 });
    await lock.release();
    await Promise.all([first, ...rest]);
    await expectSoon(belfry, { belfry_append_queue_requests: 0, belfry_append_queue_bytes: 0 });
  });

  it('is waited for by long polls, which are told', async () => {
    const belfry = await start();
    const token = await admin();
    const [head] = await belfry.publish({ topic: 'count:5', type: 'a' });
    const path = `/v1/events?topic=count:5&after=${head!}&wait=20s`;
    const poll = belfry.request('GET', path, { token });
    const left = request(`${belfry.url}${path}`, {
      headers: { authorization: `Bearer ${token}` },
      agent: false,
    });
    left.on('error', () => undefined).end();
    await expectSoon(belfry, { belfry_long_polls_waiting: 2 });
    left.destroy();
    await expectSoon(belfry, { belfry_long_polls_waiting: 1, [requests('GET', '/v1/events', 'none')]: 1 });
    await belfry.publish({ topic: 'count:5', type: 'a' });
    expect((await poll).status).toBe(200);
    await expectSoon(belfry, { belfry_long_polls_waiting: 0, [requests('GET', '/v1/events', 200)]: 1 });
  });
});

describe('a stream', () => {
  it('that gets old is counted as rotated', async () => {
    const belfry = await start({ MAX_STREAM_AGE_MS: '300' });
    await (await belfry.stream('?topic=all')).isClosed();
    await expectSoon(belfry, { [ended('rotated')]: 1, [ended('client-left')]: 0, belfry_streams_open: 0 });
  });

  it('whose client takes nothing is counted under the deadline that it missed', async () => {
    const belfry = await start({ WRITE_DEADLINE_MS: '100' });
    const client = await (await belfry.stream('?topic=count:6')).isReady();
    client.pause();
    for (let n = 0; n < 10; n++) {
      await belfry.publish(
        Array.from({ length: 20 }, () => ({ topic: 'count:6', type: 'a', data: 'x'.repeat(60_000) })),
      );
    }
    await expectSoon(belfry, {
      [ended('write-deadline')]: 1,
      [ended('client-left')]: 0,
      belfry_streams_open: 0,
    });
    client.cut();
  });

  it('that there is no room for is counted as refused, although its answer is 200', async () => {
    const belfry = await start({ MAX_CONNECTIONS: '1' });
    const client = await (await belfry.stream('?topic=all')).isReady();
    const other = await belfry.stream('?topic=all');
    await other.isClosed();
    expect(other.status).toBe(200);
    await expectSoon(belfry, {
      [refused('instance-full')]: 1,
      belfry_streams_open: 1,
      [ended('client-left')]: 0,
    });
    client.cut();
  });
});

describe('what is published by SQL', () => {
  afterEach(async () => {
    await database.rows('delete from belfry.outbox_rejected');
  });

  const bad = () =>
    database.rows(
      `insert into belfry.outbox (tenant, topic, type, data) values ('default', 'no topic', 't', '1')`,
    );

  it('is counted when it is moved to the log, and apart when it is set aside', async () => {
    const belfry = await start();
    await database.rows(`select belfry.publish('sql:1', 't', '1')`);
    await bad();
    await expectSoon(belfry, {
      belfry_outbox_moved_total: 1,
      belfry_outbox_rejected_total: 1,
      belfry_outbox_rejected_rows: 1,
      belfry_events_appended_total: 0,
    });
  });

  it('is counted as well when it was an append that moved it or set it aside', async () => {
    const belfry = await start(NO_POLLS);
    await database.rows(`set belfry.ring = off; select belfry.publish('sql:1', 't', '1'); reset belfry.ring`);
    await bad();
    await belfry.publish({ topic: 'sql:1', type: 't' });
    await expectSoon(belfry, {
      belfry_outbox_moved_total: 1,
      belfry_outbox_rejected_total: 1,
      belfry_events_appended_total: 1,
    });
    expect(belfry.logs.filter(({ msg }) => /outbox_rejected/.test(String(msg)))).toHaveLength(1);
  });

  it('and waits while nobody can move it is told, with how long', async () => {
    const belfry = await start();
    const lock = await LogLock.hold(database.url);
    await database.rows(`select belfry.publish('sql:1', 't', '1')`);
    const tally = belfry.app.get<OutboxTally, { lookedAt: number; look(): void }>(OutboxTally);
    await until('a stall', async () => {
      // It would look every few seconds.
      tally.lookedAt = -Infinity;
      tally.look();
      const [stalled] = await read(belfry, 'belfry_outbox_stalled_seconds');
      return stalled! > 0;
    });
    await lock.release();
    await until('no stall', async () => {
      tally.lookedAt = -Infinity;
      tally.look();
      return (await read(belfry, 'belfry_outbox_stalled_seconds'))[0] === 0;
    });
    await expectSoon(belfry, { belfry_outbox_moved_total: 1 });
  });

  it('and was set aside is told by every instance as long as it is there', async () => {
    const one = await start();
    await bad();
    await expectSoon(one, { belfry_outbox_rejected_rows: 1 });
    const other = await start();
    await expectSoon(other, { belfry_outbox_rejected_rows: 1, belfry_outbox_rejected_total: 0 });
    await database.rows('delete from belfry.outbox_rejected');
    await expectSoon(one, { belfry_outbox_rejected_rows: 0, belfry_outbox_rejected_total: 1 });
  });
});

describe('without a database', () => {
  it('says how long nothing is known, and says nothing of what is not known', async () => {
    const proxy = await TcpProxy.start(database.url);
    const belfry = await start({}, proxy.urlOf(database.url));
    await expectSoon(belfry, { belfry_outbox_rejected_rows: 0, belfry_doorbell_listening: 1 });
    proxy.refuse();
    await until('a lag of two seconds', async () => {
      const [lag, listening, rows] = await read(
        belfry,
        'belfry_tail_lag_seconds',
        'belfry_doorbell_listening',
        'belfry_outbox_rejected_rows',
      );
      return lag! > 2 && listening === 0 && rows === undefined;
    });
    proxy.open();
    await expectSoon(belfry, { belfry_doorbell_listening: 1, belfry_outbox_rejected_rows: 0 });
    await belfry.stop();
    await proxy.stop();
  });
});

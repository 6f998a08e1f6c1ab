import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { once } from 'node:events';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import pg from 'pg';
import { Database } from '../../src/database/database.js';
import { History } from '../../src/events/history.js';
import { Turns } from '../../src/events/turns.js';
import { LogReader } from '../../src/log/log.reader.js';
import { TopicFilter } from '../../src/log/topic.filter.js';
import { Connections } from '../../src/stream/connections.js';
import { Router } from '../../src/stream/router.js';
import { UserStreams } from '../../src/stream/user.streams.js';
import { seqOf } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { asked } from '../support/statements.js';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, type Claims, Instance, tokenFor } from '../support/instance.js';
import { RawConnection } from '../support/raw.connection.js';
import type { SseClient } from '../support/sse.client.js';
import { TcpProxy } from '../support/tcp.proxy.js';

const dataOf = ({ json }: Answer) => (json as { events: { data: unknown }[] }).events.map(({ data }) => data);

/** Those that wait and are not told of anything yet. */
const waiting = (belfry: Instance) =>
  belfry.app.get<object, { waiting: Map<unknown, unknown> }>(History).waiting.size;

async function isWaiting(belfry: Instance, count = 1): Promise<void> {
  await until(`${count} waiting`, () => waiting(belfry) === count);
}

async function headOf(belfry: Instance, token: string): Promise<string> {
  const answer = await belfry.request('GET', '/v1/events?topic=none:1&topic=none:2', { token });
  return (answer.json as { cursor: string }).cursor;
}

describe('reads that wait count', () => {
  const LIMIT = 3;
  let database: TestDatabase;
  let proxy: TcpProxy;
  let belfry: Instance;
  let operator: string;
  const opened: SseClient[] = [];

  beforeAll(async () => {
    database = await TestDatabase.create();
    proxy = await TcpProxy.start(database.url);
    belfry = await Instance.start(database.url, { MAX_CONNECTIONS_PER_USER: String(LIMIT) });
    operator = await admin();
  });
  afterEach(() => {
    for (const client of opened.splice(0)) client.cut();
  });
  afterAll(async () => {
    await belfry.stop();
    await proxy.stop();
    await database.drop();
  });

  const userOf = (sub: string, claims: Claims = {}) =>
    tokenFor({ sub, topics: ['room:1', 'none:1', 'none:2'], ...claims });
  const poll = async (token: string, at = belfry, query = 'topic=room:1&wait=60s') =>
    at.request('GET', `/v1/events?${query}&after=${await headOf(at, token)}`, { token });

  async function stream(token: string, at = belfry): Promise<SseClient> {
    const client = await at.stream('?topic=room:1', { token });
    opened.push(client);
    await until(
      'a stream that is ready or closed',
      () => client.controls('ready').length > 0 || client.closed,
    );
    return client;
  }

  /** How many this instance counts, and how many of them are of a user. */
  function counts(sub: string, at = belfry): [all: number, user: number] {
    const { here } = at.app.get<object, { here: { of(tenant: string, sub: string): number } }>(UserStreams);
    return [at.app.get<object, { count: number }>(Connections).count, here.of('default', sub)];
  }

  it('as streams of their user, who may have so many of both; over that they are refused, and nothing else is', async () => {
    const ada = await userOf('ada');
    await stream(ada);
    const waits = [poll(ada), poll(ada)];
    await isWaiting(belfry, 2);

    const refused = await poll(ada);
    expect(refused.json).toMatchObject({
      status: 429,
      code: 'connections-too-many',
      detail: expect.stringContaining('wait'),
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(10);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(30);
    expect((await stream(ada)).retries[0]).toBeGreaterThanOrEqual(10_000);
    expect(await poll(ada, belfry, 'topic=room:1')).toMatchObject({ status: 200 });
    expect(await poll(ada, belfry, 'topic=room:1&wait=0s')).toMatchObject({ status: 200 });
    expect(counts('ada')).toEqual([LIMIT, LIMIT]);
    const others = poll(await userOf('bea'));
    await isWaiting(belfry, 3);

    await belfry.publish({ topic: 'room:1', type: 'a', data: 'news' });
    for (const answer of await Promise.all([...waits, others])) expect(dataOf(answer)).toEqual(['news']);
    await stream(ada);
    await stream(ada);
    expect(await belfry.request('GET', '/v1/events?topic=room:1&wait=60s', { token: ada })).toMatchObject({
      status: 200,
    });
    expect(await poll(ada)).toMatchObject({ status: 429 });
  });

  it('together with what the other instances tell of', async () => {
    await database.rows(
      `insert into belfry.instances (id, seen_at, streams) values (gen_random_uuid(), now() + interval '1 h', $1)`,
      [{ default: { cyd: LIMIT } }],
    );
    const cyd = await userOf('cyd');
    await until('a refusal', async () => (await poll(cyd, belfry, 'topic=room:1&wait=200ms')).status === 429);
  });

  it('for the instance, also those of backends', async () => {
    const small = await Instance.start(database.url, { MAX_CONNECTIONS: '2' });
    const waits = [poll(operator, small), poll(operator, small)];
    await isWaiting(small, 2);
    const refused = await poll(operator, small);
    expect(refused.json).toMatchObject({
      status: 503,
      code: 'instance-full',
      detail: expect.stringContaining('wait'),
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(10);
    expect((await stream(operator, small)).retries[0]).toBeGreaterThanOrEqual(10_000);
    expect(await poll(operator, small, 'topic=room:1')).toMatchObject({ status: 200 });
    await small.publish({ topic: 'room:1', type: 'a' });
    expect(await Promise.all(waits)).toMatchObject([{ status: 200 }, { status: 200 }]);
    expect((await stream(operator, small)).controls('ready')).toHaveLength(1);
    await small.stop();
  });

  it('each, also behind one another on one connection, and all leave with it', async () => {
    const many = 15;
    const path = `/v1/events?topic=room:1&wait=60s&after=${await headOf(belfry, operator)}`;
    const accepted = once(belfry.app.getHttpServer(), 'connection');
    const connection = await RawConnection.open(belfry);
    const [socket] = (await accepted) as [Socket];
    connection.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${operator}\r\n\r\n`.repeat(many),
    );
    await isWaiting(belfry, many);
    expect(counts('admin')[0]).toBe(many);
    // Node warns of more.
    expect(socket.listenerCount('close')).toBeLessThanOrEqual(10);
    connection.cut();
    await until('nobody counted', () => counts('admin')[0] === 0);
  });

  describe('once, until they are over', () => {
    /** Lets one user hold a stream, and wait besides. @returns the answer */
    async function begin(
      sub: string,
      at = belfry,
      { query = 'topic=room:1&wait=60s', claims = {} } = {},
    ): Promise<Promise<Answer>[]> {
      const token = await userOf(sub, claims);
      await stream(await userOf(sub), at);
      expect(counts(sub, at)).toEqual([1, 1]);
      const answer = poll(token, at, query);
      // Whoever is let down by it hears of it where it is awaited.
      answer.catch(() => undefined);
      await isWaiting(at);
      expect(counts(sub, at)).toEqual([2, 2]);
      return [answer];
    }
    /** The stream alone is left; one that left twice would have taken it along. */
    async function isOver(sub: string, at = belfry): Promise<void> {
      await until('the count of the stream alone', () => counts(sub, at)[0] === 1);
      expect(counts(sub, at)).toEqual([1, 1]);
      expect(waiting(at)).toBe(0);
      expect(at.app.get(Router)['routes'].size).toBe(1);
      for (const client of opened.splice(0)) client.cut();
      await until('nobody counted', () => counts(sub, at)[0] === 0);
      expect(counts(sub, at)).toEqual([0, 0]);
    }

    it('because there are events', async () => {
      const [answer] = await begin('dan');
      await belfry.publish({ topic: 'room:1', type: 'a', data: 1 });
      expect(dataOf(await answer!)).toEqual([1]);
      await isOver('dan');
    });

    it('because their time is over', async () => {
      const [answer] = await begin('eve', belfry, { query: 'topic=room:1&wait=2s' });
      expect(dataOf(await answer!)).toEqual([]);
      await isOver('eve');
    });

    it('because the token ends', async () => {
      const [answer] = await begin('fay', belfry, { claims: { exp: Math.ceil(Date.now() / 1000) + 4 } });
      expect(dataOf(await answer!)).toEqual([]);
      await isOver('fay');
    });

    it('because the client leaves', async () => {
      const token = await userOf('gus');
      await stream(token);
      const client = request(
        `${belfry.url}/v1/events?topic=room:1&wait=60s&after=${await headOf(belfry, token)}`,
        {
          headers: { authorization: `Bearer ${token}` },
          agent: false,
        },
      );
      client.on('error', () => undefined);
      client.end();
      await isWaiting(belfry);
      expect(counts('gus')).toEqual([2, 2]);
      client.destroy();
      await isOver('gus');
    });

    it('because the user is revoked', async () => {
      const [answer] = await begin('hal');
      await belfry.request('POST', '/v1/admin/revocations', { token: operator, body: { sub: 'hal' } });
      expect((await answer!).json).toMatchObject({ status: 401, code: 'token-revoked' });
      await until('nobody counted', () => counts('hal')[0] === 0);
      expect(counts('hal')).toEqual([0, 0]);
    });

    it('because the log cannot be read', async () => {
      const own = await TestDatabase.create();
      const small = await Instance.start(own.url, { RING_EVENTS: '1' });
      const [answer] = await begin('ida', small, { query: 'topic=room:1&type=wanted&wait=60s' });
      await own.rows('alter function belfry.log_floor() rename to no_floor');
      await small.publish([
        { topic: 'room:1', type: 'noise' },
        { topic: 'room:1', type: 'noise' },
        { topic: 'room:1', type: 'wanted' },
      ]);
      expect((await answer!).json).toMatchObject({ status: 500, code: 'internal' });
      await own.rows('alter function belfry.no_floor() rename to log_floor');
      await isOver('ida', small);
      await small.stop();
      await own.drop();
    });

    it('because the instance stops', async () => {
      const going = await Instance.start(database.url);
      const [answer] = await begin('jon', going);
      const [connections, users] = [going.app.get(Connections), going.app.get(UserStreams)];
      const [cursor] = await belfry.publish({ topic: 'none:3', type: 'a' });
      await until('the instance knows', () => going.tail.position === seqOf(cursor));
      await going.stop();
      expect((await answer!).json).toEqual({ events: [], cursor, more: false });
      expect([connections['count'], users['here'].of('default', 'jon')]).toEqual([0, 0]);
    });

    it('because it stops while the database is away, of which they are told', async () => {
      const going = await Instance.start(proxy.urlOf(database.url));
      const [answer] = await begin('kim', going);
      proxy.refuse();
      await until('the instance knows', () => going.tail.isAway);
      going.app.get(History).onModuleDestroy();
      expect((await answer!).json).toMatchObject({ status: 503, code: 'database-unavailable' });
      await isOver('kim', going);
      proxy.open();
      await going.stop();
    });
  });

  it('not when the user is revoked while they begin; they are told at once', async () => {
    const token = await userOf('lea');
    const after = await headOf(belfry, token);
    const holder = await database.pool.connect();
    await holder.query('begin; lock table belfry.events in access exclusive mode');
    const answer = belfry.request('GET', `/v1/events?topic=room:1&wait=60s&after=${after}`, { token });
    await until('the read at work', async () => {
      const { rows } = await database.pool.query(
        `select from pg_stat_activity where application_name = 'belfry-replay' and wait_event_type = 'Lock' and datname = $1`,
        [database.name],
      );
      return rows.length === 1;
    });
    await belfry.request('POST', '/v1/admin/revocations', { token: operator, body: { sub: 'lea' } });
    await holder.query('rollback');
    holder.release();
    let status: number | undefined;
    void answer.then(given => (status = given.status));
    await until('the answer', () => status !== undefined);
    expect(status).toBe(401);
    expect(counts('lea')).toEqual([0, 0]);
  });
});

describe('reads that wait are woken', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let other: Instance;
  let small: Instance;
  let token: string;

  beforeAll(async () => {
    database = await TestDatabase.create();
    [belfry, other, small] = await Promise.all([
      Instance.start(database.url),
      Instance.start(database.url),
      Instance.start(database.url, { RING_EVENTS: '5' }),
    ]);
    token = await admin();
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    await Promise.all([belfry.stop(), other.stop(), small.stop()]);
    await database.drop();
  });

  /** Lets many wait. @returns their answers, and what is asked of Postgres from now on */
  async function many(at: Instance, query: string, count = 200) {
    const after = await headOf(at, token);
    const answers = Promise.all(
      Array.from({ length: count }, () =>
        at.request('GET', `/v1/events?${query}&wait=60s&after=${after}`, { token }),
      ),
    );
    await isWaiting(at, count);
    return {
      answers,
      replays: jest.spyOn(at.app.get(Database), 'replay'),
      // Of all instances.
      statements: jest.spyOn(pg.Client.prototype, 'query'),
    };
  }

  it.each([
    ['here', () => belfry],
    ['at another instance', () => other],
  ])('by one event published %s, all 200 of them, at no cost to Postgres', async (_where, publisher) => {
    const { answers, replays, statements } = await many(belfry, 'topic=room:1');
    const [id] = await publisher().publish({ topic: 'room:1', type: 'a', data: 'news' });
    for (const answer of await answers) {
      expect(answer.json).toEqual({
        events: [{ id, topic: 'room:1', type: 'a', at: expect.any(String), data: 'news' }],
        cursor: id,
        more: false,
      });
    }
    expect(replays).not.toHaveBeenCalled();
    expect(asked(statements).length).toBeLessThan(20);
  });

  it('by events that are more than memory holds, at the cost of one page for all', async () => {
    const { answers, replays, statements } = await many(small, 'topic=room:1');
    await small.publish(Array.from({ length: 20 }, (_, data) => ({ topic: 'room:1', type: 'a', data })));
    for (const answer of await answers)
      expect(dataOf(answer)).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(replays).toHaveBeenCalledTimes(1);
    expect(asked(statements).length).toBeLessThan(20);
  });

  it('by an event after many that are not theirs, as if there had been none', async () => {
    const quiet = await many(small, 'topic=room:1', 20);
    await small.publish(Array.from({ length: 50 }, () => ({ topic: 'room:2', type: 'a' })));
    const [id] = await small.publish({ topic: 'room:1', type: 'a', data: 'news' });
    for (const answer of await quiet.answers) {
      expect(dataOf(answer)).toEqual(['news']);
      expect(answer.json).toMatchObject({ cursor: id, more: false });
    }
    expect(quiet.replays).not.toHaveBeenCalled();
  });

  it('by an event of a type, after others that memory holds no more, at the cost of one page for all', async () => {
    const { answers, replays } = await many(small, 'topic=room:1&type=wanted', 20);
    await small.publish(Array.from({ length: 50 }, () => ({ topic: 'room:1', type: 'noise' })));
    await small.publish({ topic: 'room:1', type: 'wanted', data: 'news' });
    for (const answer of await answers) expect(dataOf(answer)).toEqual(['news']);
    expect(replays).toHaveBeenCalledTimes(1);
  });

  it('a few in each turn of the event loop, so that others are served in between', async () => {
    const turns = new Turns();
    let served = 0;
    for (let n = 0; n < 50; n++) void turns.next().then(() => served++);
    const after = [served];
    while (served < 50) {
      await setImmediate();
      after.push(served);
    }
    const steps = after.slice(1).map((count, turn) => count - after[turn]!);
    expect(Math.max(...steps)).toBe(20);
  });

  it('and cost one statement before that, like any read', async () => {
    const after = await headOf(belfry, token);
    const replays = jest.spyOn(belfry.app.get(Database), 'replay');
    const queries = jest.spyOn(belfry.app.get(Database), 'query');
    for (let n = 0; n < 50; n++) {
      const wait = n % 2 ? '&wait=1ms' : '';
      await belfry.request('GET', `/v1/events?topic=room:${n}&after=${after}${wait}`, { token });
    }
    expect(replays).toHaveBeenCalledTimes(50);
    // What the instance asks by itself, every second or two.
    expect(queries.mock.calls.length).toBeLessThan(40);
  });

  it('and find what was published at another instance before they began, heard of here or not', async () => {
    const late = await Instance.start(database.url);
    const reader = late.app.get(LogReader);
    const next = reader.next.bind(reader);
    let release: () => void = () => undefined;
    const released = new Promise<void>(resolve => (release = resolve));
    reader.next = async after => {
      await released;
      return next(after);
    };
    const after = await headOf(late, token);
    const [id] = await other.publish({ topic: 'room:1', type: 'a', data: 'mine' });
    for (const wait of ['', '&wait=60s']) {
      const answer = await late.request('GET', `/v1/events?topic=room:1&after=${after}${wait}`, { token });
      expect([dataOf(answer), (answer.json as { cursor: string }).cursor]).toEqual([['mine'], id]);
    }
    // Ahead of its instance, it is not given what it has seen, nor does it miss what comes.
    expect(late.tail.position).toBeLessThan(seqOf(id));
    const answer = late.request('GET', `/v1/events?topic=room:1&wait=60s&after=${id}`, { token });
    await isWaiting(late);
    await other.publish({ topic: 'room:1', type: 'a', data: 'next' });
    release();
    expect(dataOf(await answer)).toEqual(['next']);
    await late.stop();
  });
});

describe('a client that reads, waits and reads on', () => {
  it('hears every event once and in order, at whichever instance, while many are published', async () => {
    const database = await TestDatabase.create();
    const instances = await Promise.all(
      ['5', '100000'].map(ring => Instance.start(database.url, { RING_EVENTS: ring })),
    );
    const token = await admin();
    const total = 600;
    const start = await headOf(instances[0]!, token);
    const readers = ['topic=room:1', 'topic=room:*', 'topic=room:1&type=a', 'topic=*&type=a&limit=3'].map(
      async query => {
        const heard: unknown[] = [];
        let after = start;
        for (let round = 0; heard.length < total; round++) {
          const at = instances[round % 2]!;
          const wait = round % 3 === 0 ? '' : '&wait=30s';
          const answer = await at.request('GET', `/v1/events?${query}&after=${after}${wait}`, { token });
          heard.push(...dataOf(answer));
          after = (answer.json as { cursor: string }).cursor;
        }
        return heard;
      },
    );
    for (let n = 0; n < total; n += 3) {
      const news = [0, 1, 2].map(i => ({ topic: 'room:1', type: 'a', data: n + i }));
      await Promise.all([
        instances[n % 2]!.publish(news),
        instances[1]!.publish(Array.from({ length: 4 }, () => ({ topic: 'user:1', type: 'b' }))),
      ]);
    }
    for (const heard of await Promise.all(readers))
      expect(heard).toEqual(Array.from({ length: total }, (_, n) => n));
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  }, 60_000);
});

interface Published {
  readonly topic: string;
  readonly type: string;
  readonly key?: string;
  readonly data?: unknown;
  readonly expiresAt?: string;
}

/** Stands for data so large that pages are cut by bytes. */
const LARGE = 'large';
const TOPICS = ['user:1', 'user:2', 'doc:1', 'all'];
const TYPES = ['a', 'b'];

const event: fc.Arbitrary<Published> = fc.record(
  {
    topic: fc.constantFrom(...TOPICS),
    type: fc.constantFrom(...TYPES),
    key: fc.constantFrom('k1', 'k"2'),
    data: fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constant('\r\n\u2028\ud83d\ude00'), fc.constant(LARGE)),
    expiresAt: fc.constantFrom('2001-01-01T00:00:00Z', '2999-01-01T00:00:00Z'),
  },
  { requiredKeys: ['topic', 'type'] },
);

const wish = fc.record({
  topics: fc.uniqueArray(fc.constantFrom(...TOPICS, 'user:*', 'doc:*', '*'), { minLength: 1 }),
  types: fc.uniqueArray(fc.constantFrom(...TYPES)),
  collapse: fc.boolean(),
  limit: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constant(100)),
});

/** How each event of a case is published: its large data is 40 kB, of which 7 fill a page, and 25 one of the tail. */
const full = ({ data, ...rest }: Published) => ({
  ...rest,
  data: data === LARGE ? 'x'.repeat(40_000) : (data ?? null),
});

describe('what a read that waited is answered', () => {
  let database: TestDatabase;
  let instances: Instance[];
  let token: string;
  let elsewhere: string;

  beforeAll(async () => {
    database = await TestDatabase.create();
    instances = await Promise.all(
      [{}, { RING_EVENTS: '7' }, { RING_EVENTS: '1' }, { RING_BYTES: '100000' }].map(size =>
        Instance.start(database.url, size),
      ),
    );
    token = await admin();
    elsewhere = await admin('elsewhere');
  });
  afterAll(async () => {
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  });

  /** Lets all instances wait, publishes, and compares each answer with a read from the same cursor. */
  async function compare(
    query: string,
    quiet: readonly Published[],
    last: readonly Published[],
  ): Promise<Answer> {
    const publisher = instances[0]!;
    const after = await headOf(publisher, token);
    const path = `/v1/events?${query}&after=${after}`;
    const waits = instances.map(instance => instance.request('GET', `${path}&wait=60s`, { token }));
    await Promise.all(instances.map(instance => isWaiting(instance)));
    await publisher.request('POST', '/v1/events', { token: elsewhere, body: last.map(full) });
    for (const one of quiet) await publisher.publish(full(one));
    await publisher.publish(last.map(full));
    const woken = await Promise.all(waits);
    const read = await publisher.request('GET', path, { token });
    expect(read.status).toBe(200);
    for (const answer of woken) expect(answer.text).toBe(read.text);
    return read;
  }

  it('is, byte for byte, what a read from its cursor is answered: from memory, Postgres or both', async () => {
    const property = fc.asyncProperty(
      wish,
      fc.array(event, { maxLength: 12 }),
      fc.array(event, { maxLength: 24 }),
      event,
      async ({ topics, types, collapse, limit }, before, more, sure) => {
        const filter = new TopicFilter(topics, types);
        const parameters = new URLSearchParams([
          ...topics.map((topic): [string, string] => ['topic', topic]),
          ...types.map((type): [string, string] => ['type', type]),
          ['collapse', String(collapse)],
          ['limit', String(limit)],
        ]);
        const topic = TOPICS.find(name => filter.passesTopic(name))!;
        const type = TYPES.find(name => filter.passesType(name))!;
        // What would wake it is published in one piece: it may be answered after each.
        await compare(
          parameters.toString(),
          before.filter(one => !filter.passes(one)),
          [...more, { ...sure, expiresAt: '2999-01-01T00:00:00Z', topic, type }],
        );
      },
    );
    await fc.assert(property, { numRuns: 60, endOnFailure: true });
  }, 120_000);

  const plain = (data: unknown, more: Partial<Published> = {}): Published => ({
    topic: 'user:1',
    type: 'a',
    data,
    ...more,
  });
  const past = { expiresAt: '2001-01-01T00:00:00Z' };
  const noise = (count: number) => Array.from({ length: count }, (_, n) => plain(n, { type: 'b' }));

  it.each<[string, string, Published[], Published[], unknown[], boolean]>([
    [
      'of several, the first up to its limit',
      'topic=user:1&limit=2',
      [],
      [1, 2, 3].map(n => plain(n)),
      [1, 2],
      true,
    ],
    [
      'of as many as its limit, all, and that there is more when others follow',
      'topic=user:1&limit=2',
      [],
      [plain(1), plain(2), plain(3, { topic: 'all' })],
      [1, 2],
      true,
    ],
    [
      'of a topic and key, the newest',
      'topic=user:1',
      [],
      [plain(1, { key: 'k' }), plain(2), plain(3, { key: 'k' })],
      [2, 3],
      false,
    ],
    [
      'of a topic and key, all without collapse',
      'topic=user:1&collapse=false',
      [],
      [plain(1, { key: 'k' }), plain(2, { key: 'k' })],
      [1, 2],
      false,
    ],
    [
      'nothing that has expired, nor what that hides',
      'topic=user:1',
      [],
      [plain(1, { key: 'k' }), plain(2, { key: 'k', ...past }), plain(3)],
      [3],
      false,
    ],
    [
      'of a wildcard, what is of its kind and tenant',
      'topic=user:*',
      [],
      [plain(1), plain(2, { topic: 'doc:1' }), plain(3, { topic: 'user:2' })],
      [1, 3],
      false,
    ],
    [
      'an empty page when its type is far behind others',
      'topic=user:1&type=a&limit=1',
      noise(12),
      [plain('found')],
      [],
      true,
    ],
    [
      'less than its limit when events are large',
      'topic=user:1&collapse=false',
      [],
      Array.from({ length: 10 }, () => plain(LARGE)),
      Array.from({ length: 7 }, () => 'x'.repeat(40_000)),
      true,
    ],
    [
      'all of them when they fill a page to the last',
      'topic=user:1',
      [],
      [...Array.from({ length: 7 }, () => plain(LARGE)), plain(1, { topic: 'all' })],
      Array.from({ length: 7 }, () => 'x'.repeat(40_000)),
      false,
    ],
  ])('is %s', async (_name, query, quiet, last, data, more) => {
    const answer = await compare(query, quiet, last);
    expect(dataOf(answer)).toEqual(data);
    expect((answer.json as { more: boolean }).more).toBe(more);
  });

  it('is a reset when what it waited behind is gone from the log', async () => {
    const after = await headOf(instances[0]!, token);
    const path = `/v1/events?topic=user:1&type=a&after=${after}`;
    const waits = instances.map(instance => instance.request('GET', `${path}&wait=60s`, { token }));
    await Promise.all(instances.map(instance => isWaiting(instance)));
    const gone = await instances[0]!.publish(noise(3));
    const floor = seqOf(gone.at(-1));
    // Else one that comes to them late finds a log with a hole, and says so at once.
    await until('the tails have taken them', () => instances.every(({ tail }) => tail.position >= floor));
    await database.rows('delete from belfry.events where seq < $1', [floor]);
    await until('the tails know the floor', () => instances.every(({ tail }) => tail.floor === floor));
    await instances[0]!.publish(plain('news'));
    const woken = await Promise.all(waits);
    const read = await instances[0]!.request('GET', path, { token });
    expect(read.json).toMatchObject({ events: [], reset: { reason: 'expired' } });
    for (const answer of woken) expect(answer.text).toBe(read.text);
  });
});

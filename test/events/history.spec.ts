import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { Router } from '../../src/stream/router.js';
import { seqOf } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, Instance, tokenFor } from '../support/instance.js';

interface Page {
  readonly events: { id: string; topic: string; type: string; at: string; data: unknown; key?: string }[];
  readonly cursor: string;
  readonly more: boolean;
  readonly reset?: { reason: string; oldest: string; head: string };
}

const dataOf = (page: Page) => page.events.map(({ data }) => data);

describe('history', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let other: Instance;
  let token: string;
  /** A tenant of each test's own. */
  let tenant: string;
  let count = 0;

  beforeAll(async () => {
    database = await TestDatabase.create();
    [belfry, other] = await Promise.all([Instance.start(database.url), Instance.start(database.url)]);
  });
  afterAll(async () => {
    await Promise.all([belfry.stop(), other.stop()]);
    await database.drop();
  });
  beforeEach(async () => {
    tenant = `tenant-${++count}`;
    token = await admin(tenant);
  });

  const get = (query: string, at = belfry, as = token): Promise<Answer> =>
    at.request('GET', `/v1/events${query}`, { token: as });
  async function read(query: string, at = belfry, as = token): Promise<Page> {
    const answer = await get(query, at, as);
    expect(answer.json).not.toHaveProperty('code');
    expect(answer.status).toBe(200);
    return answer.json as Page;
  }
  async function publish(events: object | object[], at = belfry): Promise<string[]> {
    const answer = await at.request('POST', '/v1/events', { token, body: events });
    expect(answer.status).toBe(201);
    return (answer.json as { events: { id: string }[] }).events.map(({ id }) => id);
  }
  const waiting = (at = belfry) => at.app.get(Router)['routes'].size;

  describe('of pages', () => {
    it('shows id, topic, type, time and data, the key where there is one, and is not cached', async () => {
      const ids = await publish([
        { topic: 'user:1', type: 'a', data: { n: 1 } },
        { topic: 'user:1', type: 'b', key: 'k' },
      ]);
      const answer = await get('?topic=user:1');
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      const at = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(answer.json).toEqual({
        events: [
          { id: ids[0], topic: 'user:1', type: 'a', at, data: { n: 1 } },
          { id: ids[1], topic: 'user:1', type: 'b', at, data: null, key: 'k' },
        ],
        cursor: ids[1],
        more: false,
      });
    });

    it('is the same sequence, whatever the limit and the wildcards', async () => {
      const events = Array.from({ length: 57 }, (_, n) => ({
        topic: ['user:1', 'user:2', 'room:9', 'all'][n % 4],
        type: n % 3 === 0 ? 'x' : 'y',
        data: n,
        ...(n % 5 === 0 ? { key: `k${n % 2}` } : {}),
      }));
      await publish(events.slice(0, 30));
      await publish(events.slice(30));
      const shapes: [query: string, wanted: (event: (typeof events)[number]) => boolean][] = [
        ['topic=*', () => true],
        ['topic=user:*', ({ topic }) => /^user:/.test(topic!)],
        ['topic=user:2&topic=all', ({ topic }) => topic === 'user:2' || topic === 'all'],
        ['topic=user:*&topic=user:1&topic=all', ({ topic }) => topic !== 'room:9'],
        ['topic=*&type=x', ({ type }) => type === 'x'],
        ['topic=room:9&type=x&type=none', ({ topic, type }) => topic === 'room:9' && type === 'x'],
      ];
      for (const [query, wanted] of shapes) {
        for (const collapse of [true, false]) {
          const expected = events.filter(
            (event, n) =>
              wanted(event) &&
              !(
                collapse &&
                'key' in event &&
                events
                  .slice(n + 1)
                  .some(newer => newer.topic === event.topic && newer.key === event.key && wanted(newer))
              ),
          );
          for (const limit of [1, 2, 3, 7, 29, 57, 58, 1_000]) {
            const seen: unknown[] = [];
            let after = '';
            for (let pages = 0; ; pages++) {
              expect(pages).toBeLessThan(200);
              const page = await read(`?${query}&limit=${limit}&collapse=${collapse}${after}`);
              expect(page.events.length).toBeLessThanOrEqual(limit);
              seen.push(...dataOf(page));
              if (!page.more) break;
              after = `&after=${page.cursor}`;
            }
            expect(seen).toEqual(expected.map(({ data }) => data));
          }
        }
      }
    });

    it('is what the stream replays', async () => {
      await publish(
        Array.from({ length: 30 }, (_, n) => ({
          topic: `user:${n % 3}`,
          type: 'a',
          data: n,
          key: `k${n % 4}`,
        })),
      );
      const client = await (await belfry.stream('?topic=*&lastEventId=0', { token })).isReady();
      const page = await read('?topic=*');
      expect(page.events.map(({ id, data }) => [id, data])).toEqual(
        client.events.map(({ id }, n) => [id, client.payloads[n]]),
      );
      client.cut();
    });

    it('begins after the cursor, with an epoch of its own in each id', async () => {
      const ids = await publish([1, 2, 3, 4].map(data => ({ topic: 'user:1', type: 'a', data })));
      expect(dataOf(await read(`?topic=user:1&after=${ids[1]}`))).toEqual([3, 4]);
      expect(await read(`?topic=user:1&after=${ids[3]}`)).toEqual({
        events: [],
        cursor: ids[3],
        more: false,
      });
      for (const from of ['', '&after=', '&after=0', '&after=earliest']) {
        expect(dataOf(await read(`?topic=user:1${from}`))).toEqual([1, 2, 3, 4]);
      }
    });

    it('shows a hundred events without a limit, and a thousand at most', async () => {
      await publish(Array.from({ length: 1_000 }, (_, data) => ({ topic: 'user:1', type: 'a', data })));
      await publish({ topic: 'user:1', type: 'a' });
      const first = await read('?topic=user:1');
      expect([first.events.length, first.more]).toEqual([100, true]);
      const large = await read('?topic=user:1&limit=1000');
      expect([large.events.length, large.more]).toEqual([1_000, true]);
    });

    it('is cut by bytes as well as by events, and loses nothing by it', async () => {
      await publish(
        Array.from({ length: 12 }, (_, n) => ({
          topic: 'user:1',
          type: 'a',
          data: `${n} ${'x'.repeat(60_000)}`,
        })),
      );
      const seen: string[] = [];
      for (let after = ''; ;) {
        const page = await read(`?topic=user:1${after}`);
        expect(page.events.length).toBeLessThan(8);
        seen.push(...dataOf(page).map(data => (data as string).split(' ')[0]!));
        if (!page.more) break;
        after = `&after=${page.cursor}`;
      }
      expect(seen).toEqual(Array.from({ length: 12 }, (_, n) => String(n)));
    });

    it('moves its cursor past what was filtered out, and past other topics', async () => {
      await publish([
        { topic: 'user:1', type: 'wanted', data: 1 },
        { topic: 'user:1', type: 'noise', data: 2 },
        { topic: 'user:2', type: 'wanted', data: 3 },
      ]);
      const [newest] = await publish({ topic: 'user:1', type: 'noise' });
      const page = await read('?topic=user:1&type=wanted');
      expect(dataOf(page)).toEqual([1]);
      expect([page.cursor, page.more]).toEqual([newest, false]);
      expect(await read(`?topic=nobody:1`)).toEqual({ events: [], cursor: newest, more: false });
      expect(await read(`?topic=nobody:*`)).toEqual({ events: [], cursor: newest, more: false });
    });

    it('finds an event behind many that are filtered out, in a page or two', async () => {
      await publish([
        ...Array.from({ length: 900 }, () => ({ topic: 'user:1', type: 'noise' })),
        { topic: 'user:1', type: 'wanted', data: 'found' },
      ]);
      const page = await read('?topic=user:1&type=wanted');
      expect(dataOf(page)).toEqual(['found']);
    });

    it('says that there is more when it has looked far enough without finding anything', async () => {
      const [newest] = (
        await publish(Array.from({ length: 300 }, () => ({ topic: 'user:1', type: 'noise' })))
      ).slice(-1);
      let after = '';
      let pages = 0;
      let page: Page;
      do {
        page = await read(`?topic=user:1&type=wanted&limit=1${after}`);
        expect(page.events).toEqual([]);
        after = `&after=${page.cursor}`;
        pages++;
      } while (page.more);
      expect(pages).toBeGreaterThan(1);
      expect(page.cursor).toBe(newest);
    });
  });

  describe('of keys and expiries', () => {
    const keyed = (data: unknown, more: object = {}) => ({
      topic: 'user:1',
      type: 'a',
      key: 'k',
      data,
      ...more,
    });

    it('shows only the newest of a topic and key, unless it is told not to', async () => {
      await publish([
        keyed(1),
        keyed('other key', { key: 'l' }),
        keyed(2),
        keyed('other topic', { topic: 'user:2' }),
        keyed(3),
      ]);
      expect(dataOf(await read('?topic=user:*'))).toEqual(['other key', 'other topic', 3]);
      expect(dataOf(await read('?topic=user:*&collapse=true'))).toEqual(['other key', 'other topic', 3]);
      expect(dataOf(await read('?topic=user:*&collapse=false'))).toEqual([
        1,
        'other key',
        2,
        'other topic',
        3,
      ]);
    });

    it('shows an event that only a filtered one would supersede', async () => {
      await publish([keyed(1), keyed(2, { type: 'b' })]);
      expect(dataOf(await read('?topic=user:1&type=a'))).toEqual([1]);
      expect(dataOf(await read('?topic=user:1'))).toEqual([2]);
    });

    it('leaves out what has expired, and an older one hidden by it never returns', async () => {
      const past = { expiresAt: '2020-01-01T00:00:00Z' };
      await publish([keyed(1), { topic: 'user:1', type: 'a', data: 'gone', ...past }, keyed(2, past)]);
      await publish(keyed('kept', { key: null, expiresAt: '2100-01-01T00:00:00Z' }));
      expect(dataOf(await read('?topic=user:1'))).toEqual(['kept']);
      expect(dataOf(await read('?topic=user:1&collapse=false'))).toEqual([1, 'kept']);
    });
  });

  describe('of parameters that are wrong', () => {
    it.each([
      ['limit=0', 'limit-invalid'],
      ['limit=1001', 'limit-invalid'],
      ['limit=-1', 'limit-invalid'],
      ['limit=ten', 'limit-invalid'],
      ['limit=1.5', 'limit-invalid'],
      ['limit=1e2', 'limit-invalid'],
      ['limit=99999999999999999999', 'limit-invalid'],
      ['limit=1&limit=2', 'query-invalid'],
      ['wait=61s', 'query-invalid'],
      ['wait=60001ms', 'query-invalid'],
      ['wait=-1s', 'query-invalid'],
      ['wait=1m', 'query-invalid'],
      ['wait=soon', 'query-invalid'],
      ['wait=1s&wait=2s', 'query-invalid'],
      ['collapse=no', 'query-invalid'],
      ['after=1&after=2', 'query-invalid'],
      ['type=', 'query-invalid'],
      [`type=${'x'.repeat(201)}`, 'query-invalid'],
      ['type=a%00b', 'query-invalid'],
      ['topic=user', 'topic-invalid'],
      ['topic=', 'topic-invalid'],
      ['topic=user:1:2', 'topic-invalid'],
      ['topic=us*', 'topic-invalid'],
      ['topic=*:1', 'topic-invalid'],
      ['topic=user:%00', 'topic-invalid'],
      ['topic=user:%ff', 'topic-invalid'],
      [`topic=user:${'x'.repeat(196)}`, 'topic-invalid'],
      [Array.from({ length: 101 }, (_, n) => `topic=user:${n}`).join('&'), 'topics-too-many'],
      [Array.from({ length: 101 }, (_, n) => `type=t${n}`).join('&'), 'query-invalid'],
    ])('answers ?%s with 400 and %s', async (query, code) => {
      const answer = await get(`?${query}`);
      expect(answer.json).toMatchObject({ status: 400, code, detail: expect.any(String) });
      expect(answer.status).toBe(400);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      if (code === 'topic-invalid') {
        expect(answer.json).toMatchObject({ topic: new URLSearchParams(query).get('topic')!.slice(0, 200) });
      }
    });

    it('takes a hundred topics', async () => {
      await publish({ topic: 'user:99', type: 'a', data: 'the last' });
      const topics = Array.from({ length: 100 }, (_, n) => `topic=user:${n}`).join('&');
      expect(dataOf(await read(`?${topics}`))).toEqual(['the last']);
    });
  });

  describe('of topics', () => {
    const publishAll = () =>
      publish(
        ['user:alice', 'user:bob', 'role:editor', 'role:boss', 'all', 'room:9', 'room:8', 'job:1'].map(
          topic => ({
            topic,
            type: 'a',
            data: topic,
          }),
        ),
      );

    it('is by default of all exact ones that are granted', async () => {
      await publishAll();
      const alice = await tokenFor({ tenant, roles: ['editor'], topics: ['room:9', 'job:*'] });
      expect(dataOf(await read('', belfry, alice))).toEqual(['user:alice', 'role:editor', 'all', 'room:9']);
    });

    it.each(['user:bob', 'role:boss', 'room:8', 'room:*', 'user:*', 'all:*', '*', 'job:1'])(
      'refuses %s to who is not granted it, naming it',
      async topic => {
        const alice = await tokenFor({ tenant, roles: ['editor'], topics: ['room:9'] });
        const answer = await get(`?topic=user:alice&topic=${topic}`, belfry, alice);
        expect(answer).toMatchObject({ status: 403, json: { code: 'topic-forbidden', topic } });
      },
    );

    it('shows a kind to who is granted all of it', async () => {
      await publishAll();
      const alice = await tokenFor({ tenant, topics: ['room:*'], scope: 'jobs' });
      expect(dataOf(await read('?topic=room:*', belfry, alice))).toEqual(['room:9', 'room:8']);
      expect(dataOf(await read('?topic=room:8&topic=job:*', belfry, alice))).toEqual(['room:8', 'job:1']);
    });

    it('is never of another tenant, whatever the wildcard', async () => {
      await publishAll();
      const stranger = await admin('stranger');
      for (const query of ['', '?topic=*', '?topic=user:*', '?topic=all'])
        expect((await read(query, belfry, stranger)).events).toEqual([]);
    });
  });

  describe('that waits', () => {
    it('answers at once when there is something', async () => {
      const [id] = await publish({ topic: 'user:1', type: 'a', data: 1 });
      const page = await read('?topic=user:1&wait=60s');
      expect([dataOf(page), page.cursor]).toEqual([[1], id]);
    });

    it.each(['200ms', '0', '0s'])('answers empty after %s without an event', async wait => {
      const [id] = await publish({ topic: 'user:1', type: 'a' });
      expect(await read(`?topic=user:1&after=${id}&wait=${wait}`)).toEqual({
        events: [],
        cursor: id,
        more: false,
      });
      expect(waiting()).toBe(0);
    });

    it('wakes on what is published here, and at another instance', async () => {
      let [after] = await publish({ topic: 'user:1', type: 'a' });
      for (const at of [belfry, other, belfry, other]) {
        const page = read(`?topic=user:1&after=${after}&wait=30s`, belfry);
        await until('a waiting request', () => waiting() === 1);
        const [id] = await publish({ topic: 'user:1', type: 'a', data: 'news' }, at);
        expect((await page).events.map(event => event.id)).toEqual([id]);
        expect((await page).cursor).toBe(id);
        expect(waiting()).toBe(0);
        after = id;
      }
    });

    it('sleeps through what it did not ask for', async () => {
      const [after] = await publish({ topic: 'user:1', type: 'a' });
      const page = read(`?topic=user:1&type=wanted&after=${after}&wait=30s`);
      await until('a waiting request', () => waiting() === 1);
      await publish([
        { topic: 'user:1', type: 'noise' },
        { topic: 'user:2', type: 'wanted' },
      ]);
      await publish({ topic: 'user:1', type: 'wanted', expiresAt: '2020-01-01T00:00:00Z' });
      expect(waiting()).toBe(1);
      await publish({ topic: 'user:1', type: 'wanted', data: 'at last' });
      expect(dataOf(await page)).toEqual(['at last']);
    });

    it('misses nothing that is published while it begins to wait', async () => {
      let [after] = await publish({ topic: 'user:1', type: 'a' });
      for (let round = 0; round < 40; round++) {
        const [page, ids] = await Promise.all([
          read(`?topic=user:1&after=${after}&wait=30s`, round % 2 ? belfry : other),
          publish({ topic: 'user:1', type: 'a', data: round }),
        ]);
        expect(dataOf(page)).toEqual([round]);
        after = ids[0];
      }
    });

    it('wakes by wildcard too', async () => {
      const [after] = await publish({ topic: 'user:1', type: 'a' });
      const pages = ['*', 'room:*'].map(topic => read(`?topic=${topic}&after=${after}&wait=30s`));
      await until('two waiting requests', () => waiting() === 2);
      await publish({ topic: 'room:1', type: 'a', data: 'news' });
      expect((await Promise.all(pages)).map(dataOf)).toEqual([['news'], ['news']]);
    });

    it('is let go of when its client leaves', async () => {
      const [after] = await publish({ topic: 'user:1', type: 'a' });
      const client = request(`${belfry.url}/v1/events?topic=user:1&after=${after}&wait=60s`, {
        headers: { authorization: `Bearer ${token}` },
        agent: false,
      });
      client.on('error', () => undefined);
      client.end();
      await until('a waiting request', () => waiting() === 1);
      client.destroy();
      await until('nobody waiting', () => waiting() === 0);
    });

    it('waits no longer than the token lives', async () => {
      const [after] = await publish({ topic: 'user:1', type: 'a' });
      const short = await tokenFor({ tenant, sub: '1', exp: Math.ceil(Date.now() / 1000) + 1 });
      const page = await read(`?topic=user:1&after=${after}&wait=60s`, belfry, short);
      expect(page.events).toEqual([]);
    });

    it('is answered when the instance stops', async () => {
      const third = await Instance.start(database.url);
      const [after] = await publish({ topic: 'user:1', type: 'a' });
      const page = read(`?topic=user:1&after=${after}&wait=60s`, third);
      await until('a waiting request', () => waiting(third) === 1);
      await third.stop();
      expect(await page).toEqual({ events: [], cursor: after, more: false });
    });
  });
});

describe('history from a cursor that cannot be honoured', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let ids: string[];

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url);
    ids = await belfry.publish(
      Array.from({ length: 10 }, (_, data) => ({ topic: 'user:1', type: 'a', data })),
    );
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  const read = async (query: string) => {
    const answer = await belfry.request('GET', `/v1/events${query}`, { token: await admin() });
    expect(answer.status).toBe(200);
    return answer.json as Page;
  };

  it.each([
    'garbage',
    '12',
    '-1',
    '0123456789ab.5',
    '.5',
    'x.',
    'a.b.c',
    '%00',
    '%F0%9F%98%80.1',
    `${'a'.repeat(33)}.1`,
    'aaaaaaaaaaaa.99999999999999999999',
  ])('is told that %s is unknown, and goes on from the head', async after => {
    const page = await read(`?topic=user:1&after=${after}`);
    expect(page).toEqual({
      events: [],
      cursor: ids.at(-1),
      more: false,
      reset: { reason: 'unknown', oldest: ids[0], head: ids.at(-1) },
    });
  });

  it('is told that one past the head is forked, also when it would wait', async () => {
    const [epoch] = ids[0]!.split('.');
    for (const wait of ['', '&wait=30s']) {
      const page = await read(`?topic=user:1&after=${epoch}.${seqOf(ids.at(-1)) + 1}${wait}`);
      expect(page.reset).toEqual({ reason: 'forked', oldest: ids[0], head: ids.at(-1) });
      expect([page.events, page.cursor]).toEqual([[], ids.at(-1)]);
    }
  });

  it('is told that one older than retention is expired; the last one before the floor is good', async () => {
    await database.rows('delete from belfry.events where seq <= $1', [seqOf(ids[4])]);
    for (const topic of ['user:1', 'user:*', 'user:2', '*']) {
      const page = await read(`?topic=${topic}&after=${ids[3]}`);
      expect(page).toMatchObject({
        events: [],
        cursor: ids.at(-1),
        reset: { reason: 'expired', oldest: ids[5], head: ids.at(-1) },
      });
    }
    expect(dataOf(await read(`?topic=user:1&after=${ids[4]}`))).toEqual([5, 6, 7, 8, 9]);
    const everything = await read('?topic=user:1');
    expect([dataOf(everything), everything.reset]).toEqual([[5, 6, 7, 8, 9], undefined]);
  });

  it('is told so also when nothing is kept any more', async () => {
    await database.rows('insert into belfry.floors (seq) values ($1)', [seqOf(ids.at(-1)) + 1]);
    await database.rows('delete from belfry.events');
    const page = await read(`?topic=user:1&after=${ids[6]}`);
    expect(page).toMatchObject({ events: [], cursor: ids.at(-1), reset: { reason: 'expired' } });
    expect(await read(`?topic=user:1&after=${ids.at(-1)}`)).toEqual({
      events: [],
      cursor: ids.at(-1),
      more: false,
    });
    expect(await read('?topic=user:1')).toEqual({ events: [], cursor: ids.at(-1), more: false });
    const [next] = await belfry.publish({ topic: 'user:1', type: 'a', data: 'next' });
    expect(seqOf(next)).toBe(seqOf(ids.at(-1)) + 1);
    expect(dataOf(await read(`?topic=user:1&after=${ids.at(-1)}`))).toEqual(['next']);
  });
});

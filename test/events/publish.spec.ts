import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { seqOf } from '../log/stored.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance, tokenFor } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { dataOf, post, postLines, traceOf } from './posting.js';

describe('publishing', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url);
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  it('stores one event and answers its id, which no cache may keep', async () => {
    const answer = await post(belfry, { topic: 'user:one', type: 'a', data: { n: 1 } });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.json).toEqual({
      events: [{ id: expect.stringMatching(/^[0-9a-z]+\.\d+$/), duplicate: false }],
    });
    expect(await dataOf(database, 'user:one')).toEqual(['{"n":1}']);
  });

  it.each([
    ['an array', (events: object[]) => events],
    ['an object with "events"', (events: object[]) => ({ events })],
  ])('gives the events of %s dense ids, in order', async (name, body) => {
    const topic = `list:${name.replaceAll(/\W/g, '')}`;
    const events = Array.from({ length: 25 }, (_, n) => ({ topic, type: 'a', data: n }));
    const answer = await post(belfry, body(events));
    expect(answer.status).toBe(201);
    const seqs = (answer.json as { events: { id: string }[] }).events.map(({ id }) => seqOf(id));
    expect(seqs).toEqual(events.map((_, n) => seqs[0]! + n));
    expect(await dataOf(database, topic)).toEqual(events.map((_, n) => String(n)));
  });

  it('takes an empty list, and a thousand events at once', async () => {
    expect((await post(belfry, [])).json).toEqual({ events: [] });
    expect((await post(belfry, { events: [] })).json).toEqual({ events: [] });
    const answer = await post(
      belfry,
      Array.from({ length: 1_000 }, () => ({ topic: 'all', type: 'a' })),
    );
    expect(answer.status).toBe(201);
    expect((answer.json as { events: unknown[] }).events).toHaveLength(1_000);
  });

  it('gives an event without data the data null, and keeps its key and expiry', async () => {
    await belfry.publish({
      topic: 'user:plain',
      type: 'a',
      key: 'k',
      expiresAt: '2100-01-31T12:00:00+02:00',
    });
    const [row] = await database.rows<{ data: string; key: string; expires_at: Date }>(
      `select data, key, expires_at from belfry.events where topic = 'user:plain'`,
    );
    expect(row).toEqual({ data: 'null', key: 'k', expires_at: new Date('2100-01-31T10:00:00Z') });
  });

  it('takes null for what may be left out', async () => {
    const event = { topic: 'user:null', type: 'a', data: null, key: null, expiresAt: null, dedupeId: null };
    expect((await post(belfry, event)).status).toBe(201);
  });

  it('answers only after the commit', async () => {
    const lock = await LogLock.hold(database.url);
    let answered = false;
    const answer = post(belfry, { topic: 'user:commit', type: 'a' }).finally(() => (answered = true));
    await lock.isAwaited({ count: 1 });
    expect(answered).toBe(false);
    expect(await dataOf(database, 'user:commit')).toEqual([]);
    await lock.release();
    expect((await answer).status).toBe(201);
    expect(await dataOf(database, 'user:commit')).toEqual(['null']);
  });

  it('keeps the order of the answers in the log, however many publish at once', async () => {
    const ids = await Promise.all(
      Array.from({ length: 60 }, (_, n) => belfry.publish([{ topic: 'at:once', type: 'a', data: n }])),
    );
    const seqs = ids.map(([id]) => seqOf(id)).sort((a, b) => a - b);
    expect(seqs).toEqual(seqs.map((_, n) => seqs[0]! + n));
    expect(new Set(await dataOf(database, 'at:once')).size).toBe(60);
  });

  it.each(['gzip', 'deflate'])('takes a JSON body in %s', async encoding => {
    const { deflateSync } = await import('node:zlib');
    const text = JSON.stringify({ topic: `zip:${encoding}`, type: 'a', data: 'é'.repeat(1_000) });
    const body = encoding === 'gzip' ? gzipSync(text) : deflateSync(text);
    const answer = await post(belfry, body, { headers: { 'content-encoding': encoding } });
    expect(answer.status).toBe(201);
    expect(await dataOf(database, `zip:${encoding}`)).toEqual([`"${'é'.repeat(1_000)}"`]);
  });

  it.each(['application/json; charset=utf-8', 'Application/JSON', 'application/json ; charset=UTF-8'])(
    'takes the content type "%s"',
    async type => {
      const answer = await post(belfry, '{"topic":"user:1","type":"a"}', {
        headers: { 'content-type': type },
      });
      expect(answer.status).toBe(201);
    },
  );

  describe('needs a credential', () => {
    const event = { topic: 'user:1', type: 'a' };

    it.each(['application/json', 'application/x-ndjson'])('and answers 401 without one (%s)', async type => {
      const before = await traceOf(database);
      const answer = await belfry.request('POST', '/v1/events', {
        headers: { 'content-type': type },
        body: JSON.stringify(event),
      });
      expect(answer).toMatchObject({ status: 401, json: { code: 'token-missing' } });
      expect(await traceOf(database)).toEqual(before);
    });

    it.each(['', 'inbox jobs tickets', 'admin', 'publisher'])(
      'with the scope "publish": "%s" is not enough',
      async scope => {
        const before = await traceOf(database);
        const token = await tokenFor({ sub: 'alice', scope });
        const answer = await post(belfry, event, { token });
        expect(answer).toMatchObject({ status: 403, json: { code: 'scope-missing' } });
        const lines = await postLines(belfry, JSON.stringify(event), {}, token);
        expect(lines).toMatchObject({ status: 403, json: { code: 'scope-missing' } });
        expect(await traceOf(database)).toEqual(before);
      },
    );

    it('for history too', async () => {
      const answer = await belfry.request('GET', '/v1/events');
      expect(answer).toMatchObject({ status: 401, json: { code: 'token-missing' } });
    });
  });

  describe('stays in the tenant of the credential', () => {
    it('whatever tenant the event names', async () => {
      const stranger = await admin('acme');
      const body = { topic: 'user:mix', type: 'a', data: 'secret', tenant: 'default' };
      expect((await post(belfry, body, { token: stranger })).status).toBe(201);
      expect((await postLines(belfry, JSON.stringify(body), {}, stranger)).status).toBe(201);
      expect(await dataOf(database, 'user:mix', 'default')).toEqual([]);
      expect(await dataOf(database, 'user:mix', 'acme')).toEqual(['"secret"', '"secret"']);
    });

    it('so that no other tenant reads it, by topic, kind or everything', async () => {
      const [id] = await belfry.publish({ topic: 'user:42', type: 'a', data: 'ours', key: 'k' });
      const theirs = await admin('globex');
      for (const query of ['?topic=user:42', '?topic=user:*', '?topic=*', '', `?topic=*&after=${id}`]) {
        const answer = await belfry.request('GET', `/v1/events${query}`, { token: theirs });
        expect(answer).toMatchObject({ status: 200, json: { events: [] } });
      }
    });

    it('and a key of one tenant supersedes nothing of another', async () => {
      const event = { topic: 'user:same', type: 'a', key: 'k', data: 1 };
      await post(belfry, event, { token: await admin('tenant-1') });
      await post(belfry, event, { token: await admin('tenant-2') });
      const answer = await belfry.request('GET', '/v1/events?topic=user:same', {
        token: await admin('tenant-1'),
      });
      expect((answer.json as { events: unknown[] }).events).toHaveLength(1);
    });
  });
});

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, type Claims, Instance, tokenFor } from '../support/instance.js';
import { SseClient } from '../support/sse.client.js';

describe('a stream', () => {
  let database: TestDatabase;
  let belfry: Instance;
  const clients: SseClient[] = [];

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { HEARTBEAT_MS: '100' });
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.cut();
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  /** A stream that is ready. */
  async function listen(
    query: string,
    claims?: Claims,
    headers?: Record<string, string>,
  ): Promise<SseClient> {
    const token = claims ? await tokenFor(claims) : await admin();
    const client = await belfry.stream(query, { token, ...(headers && { headers }) });
    clients.push(client);
    return client.isReady();
  }

  it('answers with the headers that keep proxies from holding events back', async () => {
    const client = await listen('?topic=all');
    expect(client.status).toBe(200);
    expect(client.headers['content-type']).toMatch(/^text\/event-stream/);
    expect(client.headers['cache-control']).toMatch(/no-cache/);
    expect(client.headers['cache-control']).toMatch(/no-transform/);
    expect(client.headers['x-accel-buffering']).toBe('no');
    expect(client.headers['content-encoding']).toBeUndefined();
  });

  it('is not compressed, even when the client would take it', async () => {
    const client = await listen('?topic=all', undefined, { 'accept-encoding': 'gzip, br' });
    expect(client.headers['content-encoding']).toBeUndefined();
  });

  it('first says when to come back, differently to each client, and then that it is ready', async () => {
    const [one, two] = await Promise.all([listen('?topic=all'), listen('?topic=all')]);
    expect(one.raw.trimStart().replace(/^:.*\n+/, '')).toMatch(/^retry: \d+\n/);
    expect(one.retries[0]).not.toBe(two.retries[0]);
    const [ready] = one.controls('ready');
    expect(JSON.parse(ready!.data)).toEqual({ topics: ['all'], replayed: 0 });
    expect(ready!.id).toMatch(/^[0-9a-z]+\.\d+$/);
  });

  it('hears what is published after it is ready, in order, and only its topics', async () => {
    const client = await listen('?topic=user:1&topic=room:1');
    const ids = await belfry.publish([
      { topic: 'user:1', type: 'a', data: 1 },
      { topic: 'user:2', type: 'a', data: 2 },
      { topic: 'room:1', type: 'b', data: 3 },
    ]);
    await client.hears(2);
    expect(client.events.map(event => event.id)).toEqual([ids[0], ids[2]]);
    expect(client.events.map(event => event.event)).toEqual(['a', 'b']);
    const envelope = JSON.parse(client.events[0]!.data) as { at: string };
    expect(envelope).toEqual({ topic: 'user:1', type: 'a', at: envelope.at, data: 1 });
    expect(new Date(envelope.at).toISOString()).toBe(envelope.at);
  });

  it('carries the key of an event that has one', async () => {
    const client = await listen('?topic=user:1');
    await belfry.publish({ topic: 'user:1', type: 'a', key: 'k"1', data: null });
    await client.hears(1);
    expect(JSON.parse(client.events[0]!.data)).toMatchObject({ key: 'k"1', data: null });
  });

  it('without topics hears every exact topic of its credential', async () => {
    const client = await listen('', { sub: 'a b', roles: ['dev'], topics: ['room:9', 'doc:*'] });
    expect(JSON.parse(client.controls('ready')[0]!.data)).toMatchObject({
      topics: expect.arrayContaining(['user:a%20b', 'all', 'role:dev', 'room:9']) as unknown,
    });
    await belfry.publish(
      ['user:a%20b', 'all', 'role:dev', 'room:9', 'doc:1'].map(topic => ({ topic, type: 't' })),
    );
    await client.hears(4);
    expect(client.events).toHaveLength(4);
  });

  it.each([
    ['?topic=doc:*', ['doc:1', 'doc:2']],
    ['?topic=*', ['doc:1', 'user:1', 'doc:2', 'all']],
    ['?topic=doc:*&topic=doc:1', ['doc:1', 'doc:2']],
    ['?topic=*&topic=doc:*&topic=doc:1&type=x', ['doc:2']],
    ['?topic=doc:1&type=t&type=x', ['doc:1']],
  ])('with %s hears %j, each once', async (query, expected) => {
    const client = await listen(query);
    await belfry.publish([
      { topic: 'doc:1', type: 't' },
      { topic: 'user:1', type: 't' },
      { topic: 'doc:2', type: 'x' },
      { topic: 'all', type: 't' },
      { topic: 'doc:1', type: 'last' },
    ]);
    const last = await listen('?topic=doc:1&lastEventId=earliest&type=last');
    await last.hears(1);
    await client.hears(expected.length);
    const topics = client.events
      .filter(event => event.event !== 'last')
      .map(event => (JSON.parse(event.data) as { topic: string }).topic);
    expect(topics).toEqual(expected);
  });

  it('with named=false leaves out the event line of published events, and of nothing else', async () => {
    const client = await listen('?topic=user:1&named=false');
    const [id] = await belfry.publish({ topic: 'user:1', type: 'a', data: 'x' });
    await client.hears(1);
    expect(client.events[0]!.event).toBeUndefined();
    expect(client.events[0]!.id).toBe(id);
    expect(JSON.parse(client.events[0]!.data)).toMatchObject({ type: 'a', data: 'x' });
    expect(client.controls('ready')).toHaveLength(1);
  });

  it('takes the same as JSON by POST', async () => {
    const [id] = await belfry.publish({ topic: 'user:7', type: 'a', data: 0 });
    const before = `${id!.split('.')[0]!}.${Number(id!.split('.')[1]) - 1}`;
    const client = await SseClient.open(
      `${belfry.url}/v1/stream`,
      { authorization: `Bearer ${await admin()}`, 'content-type': 'application/json' },
      { method: 'POST', body: JSON.stringify({ topics: ['user:7'], lastEventId: before, named: false }) },
    );
    clients.push(client);
    expect(client.status).toBe(200);
    await client.hears(1);
    expect(client.events[0]!.id).toBe(id);
  });

  it('takes the token from the cookie, and no Origin is needed to read', async () => {
    const client = await SseClient.open(`${belfry.url}/v1/stream?topic=all`, {
      cookie: `other=1; belfry_token=${await tokenFor()}`,
    });
    clients.push(client);
    await client.isReady();
    expect(client.status).toBe(200);
  });

  it.each(['[]', '"x"', '7', '{"topics":[1,{}]}'])('refuses the POST body %s', async body => {
    const answer = await belfry.request('POST', '/v1/stream', {
      token: await admin(),
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
  });

  it.each(['text/plain;charset=UTF-8', 'application/x-www-form-urlencoded'])(
    'refuses a POST body of the type %s: it must not pass for a request for everything',
    async type => {
      const answer = await belfry.request('POST', '/v1/stream', {
        token: await admin(),
        headers: { 'content-type': type },
        body: '{"topics":["room:1"]}',
      });
      expect(answer).toMatchObject({ status: 415, json: { code: 'media-type-unsupported' } });
    },
  );

  describe('goes on from a cursor', () => {
    it.each([
      ['the header Last-Event-ID', (id: string) => ['', { 'last-event-id': id }] as const],
      ['the parameter lastEventId', (id: string) => [`&lastEventId=${id}`, {}] as const],
      ['the parameter last_event_id', (id: string) => [`&last_event_id=${id}`, {}] as const],
      [
        'the header, when the parameter says something else',
        (id: string) => ['&lastEventId=earliest', { 'last-event-id': id }] as const,
      ],
    ])('given by %s', async (_name, place) => {
      const ids = await belfry.publish([1, 2, 3].map(data => ({ topic: 'user:cursor', type: 'a', data })));
      const [query, headers] = place(ids[0]!);
      const client = await listen(`?topic=user:cursor${query}`, undefined, headers);
      expect(client.events.map(event => event.id)).toEqual(ids.slice(1));
      expect(JSON.parse(client.controls('ready')[0]!.data)).toMatchObject({ replayed: 2 });
    });

    it.each(['0', 'earliest'])('from the oldest event kept with %s', async cursor => {
      const ids = await belfry.publish(
        [1, 2].map(data => ({ topic: `user:oldest-${cursor}`, type: 'a', data })),
      );
      const client = await listen(`?topic=user:oldest-${cursor}&lastEventId=${cursor}`);
      expect(client.events.map(event => event.id)).toEqual(ids);
      expect(client.controls('reset')).toEqual([]);
    });
  });

  describe('in silence', () => {
    it('sends ids alone, so that the cursor of a quiet client moves and page code hears nothing', async () => {
      const client = await listen('?topic=user:quiet');
      const [id] = await belfry.publish({ topic: 'user:other', type: 'a' });
      const heartbeat = new RegExp(`\\nid: ${id!}\\n\\n`);
      await until('a heartbeat with the new cursor', () => heartbeat.test(client.raw));
      expect(client.lastEventId).toBe(id);
      expect(client.heard.map(event => event.event)).toEqual(['ready']);
    });

    it('sends heartbeats as events too, to whoever asks for them', async () => {
      const client = await listen('?topic=user:quiet&heartbeat=event');
      await until('two heartbeats', () => client.controls('heartbeat').length >= 2);
      expect(client.controls('heartbeat')[0]!.id).toBe(client.controls('ready')[0]!.id);
    });
  });

  describe('is refused before it starts', () => {
    it.each<[string, string, Claims | undefined, number, string, string | undefined]>([
      ['a topic without a colon', '?topic=user', {}, 400, 'topic-invalid', 'user'],
      ['a topic with two colons', '?topic=a:b:c', {}, 400, 'topic-invalid', 'a:b:c'],
      ['a half wildcard', '?topic=user:4*', {}, 400, 'topic-invalid', 'user:4*'],
      ['a topic that is not granted', '?topic=all&topic=user:bob', {}, 403, 'topic-forbidden', 'user:bob'],
      ['a wildcard that is not granted', '?topic=user:*', {}, 403, 'topic-forbidden', 'user:*'],
      ['everything, without the scope', '?topic=*', {}, 403, 'topic-forbidden', '*'],
      ['a parameter twice', '?heartbeat=event&heartbeat=event', {}, 400, 'query-invalid', undefined],
      ['an unknown heartbeat', '?heartbeat=loud', {}, 400, 'query-invalid', undefined],
      ['a flag that is none', '?named=perhaps', {}, 400, 'query-invalid', undefined],
      ['no token', '?topic=all', undefined, 401, 'token-missing', undefined],
      ['an expired token', '?topic=all', { exp: 1 }, 401, 'token-expired', undefined],
    ])('for %s', async (_name, query, claims, status, code, topic) => {
      const answer = await belfry.request(
        'GET',
        `/v1/stream${query}`,
        claims ? { token: await tokenFor(claims) } : {},
      );
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(answer.json).toMatchObject({ code, ...(topic === undefined ? {} : { topic }) });
    });

    it('for more than 100 topics', async () => {
      const topics = Array.from({ length: 101 }, (_, n) => `topic=user:${n}`).join('&');
      const answer = await belfry.request('GET', `/v1/stream?${topics}`, { token: await admin() });
      expect(answer).toMatchObject({ status: 400, json: { code: 'topics-too-many' } });
    });
  });

  it('never crosses tenants, not even with every grant', async () => {
    const other = await listen('?topic=*&lastEventId=earliest', {
      sub: 'x',
      tenant: 'other',
      scope: 'admin',
    });
    await belfry.publish({ topic: 'all', type: 'secret' });
    const own = await listen('?topic=all&lastEventId=earliest&type=secret');
    await own.hears(1);
    expect(other.events).toEqual([]);
  });
});

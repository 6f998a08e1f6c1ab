import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { Bell, send } from './bell.js';

let database: TestDatabase;
let belfry: Instance;
let other: Instance;
let users = 0;

beforeAll(async () => {
  database = await TestDatabase.create();
  belfry = await Instance.start(database.url);
  other = await Instance.start(database.url);
});
afterAll(async () => {
  await belfry.stop();
  await other.stop();
  await database.drop();
});

function somebody(): string {
  return `user${++users}`;
}

const FINE = { to: 'user:nobody', type: 't', title: 'title' };

describe('POST /v1/notifications', () => {
  it('answers an id for each topic, once each, in order', async () => {
    const [a, b] = [somebody(), somebody()];
    const answer = await send(belfry, {
      notifications: [
        { to: [`user:${a}`, `user:${b}`, `user:${a}`], type: 't', title: 'both' },
        { to: `user:${a}`, type: 't', title: 'one' },
      ],
    });
    const { ids, notifications } = answer.json as { ids: string[]; notifications: object[] };
    expect(answer.status).toBe(201);
    expect(notifications).toEqual([
      { id: ids[0], topic: `user:${a}`, duplicate: false },
      { id: ids[1], topic: `user:${b}`, duplicate: false },
      { id: ids[2], topic: `user:${a}`, duplicate: false },
    ]);
    const bell = await Bell.of(belfry, { sub: a });
    expect((await bell.list()).items.map(({ id }) => id)).toEqual([ids[2], ids[0]]);
  });

  it('takes one, an array, and a list by name', async () => {
    for (const body of [FINE, [FINE], { notifications: [FINE] }]) {
      expect(await send(belfry, body)).toMatchObject({ status: 201, json: { ids: [expect.any(String)] } });
    }
  });

  it('sends once what is sent twice under a key, or under an id of its own, at two instances', async () => {
    const sub = somebody();
    const body = { to: [`user:${sub}`, `role:${sub}`], type: 't', title: 'once' };
    const headers = { 'idempotency-key': sub };
    const answers = await Promise.all([send(belfry, body, headers), send(other, body, headers)]);
    expect((answers[0].json as { ids: string[] }).ids).toEqual((answers[1].json as { ids: string[] }).ids);
    expect(await send(belfry, { ...body, title: 'other' }, headers)).toMatchObject({ status: 422 });

    const single = { ...body, dedupeId: sub };
    const first = await send(belfry, single);
    const repeat = await send(other, single);
    expect((repeat.json as { ids: string[] }).ids).toEqual((first.json as { ids: string[] }).ids);
    expect((repeat.json as { notifications: object[] }).notifications).toMatchObject([
      { duplicate: true },
      { duplicate: true },
    ]);
    expect(await (await Bell.of(belfry, { sub })).titles()).toEqual(['once', 'once']);
  });

  it('is heard on the stream, with all that it says', async () => {
    const sub = somebody();
    const stream = await (await belfry.stream('', { token: await tokenFor({ sub }) })).isReady();
    await send(other, {
      ...FINE,
      to: `user:${sub}`,
      url: 'https://example.com/?a=1',
      key: 'k',
      expiresAt: '2100-01-01T00:00:00Z',
    });
    await stream.hears(1);
    expect(stream.events[0]!.event).toBe('notification.created');
    expect(JSON.parse(stream.events[0]!.data)).toMatchObject({
      topic: `user:${sub}`,
      key: 'k',
      data: {
        type: 't',
        title: 'title',
        body: null,
        url: 'https://example.com/?a=1',
        icon: null,
        data: null,
        priority: 'normal',
      },
    });
    stream.cut();
  });

  it.each<[string, object]>([
    ['the longest title, in characters', { title: '😀'.repeat(500) }],
    ['the longest body', { body: 'x\n'.repeat(2_500) }],
    ['a path', { url: '/' }],
    ['a path with a query', { url: '/a?b=c#d' }],
    ['a name for an icon', { icon: 'bell' }],
    ['data of any kind', { data: [1, 'two', null] }],
    [
      'nulls for what may be left out',
      { body: null, url: null, icon: null, key: null, priority: null, expiresAt: null, deliverAt: null },
    ],
  ])('takes %s', async (_what, more) => {
    expect((await send(belfry, { ...FINE, ...more })).status).toBe(201);
  });

  it.each<[string, object, string]>([
    ['no topic', { to: undefined }, 'notification-invalid'],
    ['an empty list of topics', { to: [] }, 'notification-invalid'],
    ['what is no topic', { to: 'somebody' }, 'topic-invalid'],
    ['what is no topic among others', { to: ['all', 'user:*', '*'] }, 'topic-invalid'],
    ['too many topics', { to: Array.from({ length: 101 }, (_, n) => `user:${n}`) }, 'topics-too-many'],
    ['no type', { type: '' }, 'notification-invalid'],
    ['no title', { title: undefined }, 'notification-invalid'],
    ['an empty title', { title: '' }, 'notification-invalid'],
    ['a title that is too long', { title: 'x'.repeat(501) }, 'notification-invalid'],
    ['a title of two lines', { title: 'a\nb' }, 'notification-invalid'],
    ['a body that is too long', { body: 'x'.repeat(5_001) }, 'notification-invalid'],
    ['a body with a NUL', { body: '\0' }, 'notification-invalid'],
    ['a script for a URL', { url: 'javascript:alert(1)' }, 'notification-invalid'],
    ['another host for a path', { url: '//evil.example' }, 'notification-invalid'],
    ['another host for a path, as browsers read it', { url: '/\\evil.example' }, 'notification-invalid'],
    ['a URL with spaces', { url: 'https://a b' }, 'notification-invalid'],
    ['a relative URL', { url: 'a/b' }, 'notification-invalid'],
    ['an icon that is too long', { icon: 'x'.repeat(2_001) }, 'notification-invalid'],
    ['a priority that is none', { priority: 'asap' }, 'notification-invalid'],
    ['a time that is none', { deliverAt: 'tomorrow' }, 'notification-invalid'],
    ['data that is too large', { data: 'x'.repeat(65_536) }, 'data-too-large'],
    ['too much in all', { body: '𝄞'.repeat(5_000), data: 'x'.repeat(60_000) }, 'data-too-large'],
  ])('refuses %s, naming it, and sends nothing of the request', async (_what, wrong, code) => {
    const sub = somebody();
    const fine = { ...FINE, to: `user:${sub}` };
    const answer = await send(belfry, { notifications: [fine, { ...fine, ...wrong }] });
    expect(answer).toMatchObject({ status: code === 'data-too-large' ? 413 : 400, json: { code, index: 1 } });
    expect(await (await Bell.of(belfry, { sub })).titles()).toEqual([]);
  });

  it('refuses more topics in all than events fit into a request', async () => {
    const to = Array.from({ length: 100 }, (_, n) => `user:${n}`);
    const answer = await send(belfry, { notifications: Array.from({ length: 11 }, () => ({ ...FINE, to })) });
    expect(answer).toMatchObject({ status: 413, json: { code: 'events-too-many' } });
    const later = Array.from({ length: 11 }, () => ({ ...FINE, to, deliverAt: '2100-01-01T00:00:00Z' }));
    expect(await send(belfry, later)).toMatchObject({ status: 413, json: { code: 'events-too-many' } });
  });

  it('is for who has the scope', async () => {
    const token = await tokenFor({ scope: 'publish' });
    const answer = await belfry.request('POST', '/v1/notifications', { token, body: FINE });
    expect(answer).toMatchObject({ status: 403, json: { code: 'scope-missing' } });
  });
});

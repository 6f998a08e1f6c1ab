import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { Bell, notify, send } from './bell.js';

let database: TestDatabase;
let belfry: Instance;
let users = 0;

beforeAll(async () => {
  database = await TestDatabase.create();
  belfry = await Instance.start(database.url);
});
afterAll(async () => {
  await belfry.stop();
  await database.drop();
});

/** A user whom nobody else has sent anything. */
function somebody(): string {
  return `user${++users}`;
}

describe('an inbox', () => {
  it('lists what was sent to its user, newest first, with counts and the cursor of the same snapshot', async () => {
    const sub = somebody();
    const first = await notify(belfry, `user:${sub}`, 'one');
    const second = await notify(belfry, `user:${sub}`, 'two', {
      type: 'invoice.paid',
      body: 'of 7\nlines',
      url: '/invoices/7',
      icon: '/icons/paid.svg',
      data: { n: 1 },
      priority: 'high',
    });
    const bell = await Bell.of(belfry, { sub });
    expect(await bell.list()).toEqual({
      items: [
        {
          id: second,
          topic: `user:${sub}`,
          type: 'invoice.paid',
          title: 'two',
          body: 'of 7\nlines',
          url: '/invoices/7',
          icon: '/icons/paid.svg',
          data: { n: 1 },
          priority: 'high',
          at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
          read: false,
          seen: false,
          archived: false,
          snoozedUntil: null,
        },
        expect.objectContaining({
          id: first,
          title: 'one',
          body: null,
          url: null,
          data: null,
          priority: 'normal',
        }),
      ],
      counts: { unread: 2, unseen: 2, asOf: second },
      cursor: second,
      more: false,
    });
    expect(await bell.counts()).toEqual({ unread: 2, unseen: 2, asOf: second });
  });

  it('shows data to the letter, as the stream does', async () => {
    const sub = somebody();
    const data = '{"n":12345678901234567890,"e":1e200000,"u":"\\ud800 \\u0000", "d":1.0}';
    const body = `{"to":"user:${sub}","type":"t","title":"exact","data":${data}}`;
    await belfry.request('POST', '/v1/notifications', {
      token: await tokenFor({ scope: 'inbox' }),
      headers: { 'content-type': 'application/json' },
      body,
    });
    const token = await tokenFor({ sub });
    expect((await belfry.request('GET', '/v1/inbox', { token })).text).toContain(`"data":${data},`);
    const stream = await belfry.stream('?lastEventId=earliest', { token });
    await stream.hears(1);
    expect(stream.events[0]!.data).toContain(`"data":${data},`);
    stream.cut();
  });

  it('can be followed from its cursor without missing or doubling anything', async () => {
    const sub = somebody();
    const token = await tokenFor({ sub });
    const bell = await Bell.of(belfry, { sub });
    const sent = Promise.all(Array.from({ length: 40 }, (_, n) => notify(belfry, `user:${sub}`, `${n}`)));
    const { items, cursor } = await bell.list('?limit=200');
    const stream = await belfry.stream(`?lastEventId=${cursor}&type=notification.created`, { token });
    const ids = await sent;
    await stream.hears(40 - items.length);
    const heard = stream.events.map(({ id }) => id);
    expect([...items.map(({ id }) => id), ...heard].sort()).toEqual([...ids].sort());
    stream.cut();
  });

  it('is read page by page, to its end', async () => {
    const sub = somebody();
    for (let n = 0; n < 7; n++) await notify(belfry, `user:${sub}`, `${n}`);
    const bell = await Bell.of(belfry, { sub });
    const titles: string[][] = [];
    let before = '';
    for (let more = true; more;) {
      const page = await bell.list(`?limit=3${before}`);
      titles.push(page.items.map(({ title }) => title));
      before = `&before=${page.items.at(-1)!.id}`;
      more = page.more;
    }
    expect(titles).toEqual([['6', '5', '4'], ['3', '2', '1'], ['0']]);
    expect(await bell.titles('?limit=7')).toHaveLength(7);
    expect(await bell.list('?limit=7')).toMatchObject({ more: false });
  });

  it('has what its roles and all were sent since its first call, and what it was sent itself before', async () => {
    const sub = somebody();
    await notify(belfry, 'role:editor', 'too early');
    await notify(belfry, 'all', 'too early');
    await notify(belfry, `user:${sub}`, 'direct');
    const bell = await Bell.of(belfry, { sub, roles: ['editor'] });
    expect(await bell.titles()).toEqual(['direct']);
    await notify(belfry, 'role:editor', 'to editors');
    await notify(belfry, 'role:other', 'to others');
    await notify(belfry, 'all', 'to all');
    expect(await bell.titles()).toEqual(['to all', 'to editors', 'direct']);
    expect(await bell.counts()).toMatchObject({ unread: 3 });
    const same = await Bell.of(belfry, { sub });
    expect(await same.titles()).toEqual(['to all', 'direct']);
  });

  it('has nothing of another tenant, whatever it is called', async () => {
    const sub = somebody();
    await notify(belfry, `user:${sub}`, 'ours');
    const theirs = await Bell.of(belfry, { sub, tenant: 'other' });
    expect(await theirs.list()).toMatchObject({ items: [], counts: { unread: 0 } });
    const ours = await Bell.of(belfry, { sub });
    const [item] = (await ours.list()).items;
    expect((await theirs.touch(item!.id, { read: true })).status).toBe(404);
    expect((await theirs.mark({ read: true })).status).toBe(200);
    expect(await ours.counts()).toMatchObject({ unread: 1 });
  });

  it('costs one row, however many users a notification reaches', async () => {
    await Promise.all(
      [1, 2, 3].map(async n => (await Bell.of(belfry, { sub: `crowd${n}`, roles: ['crowd'] })).counts()),
    );
    await notify(belfry, 'role:crowd', 'one for all');
    for (const n of [1, 2, 3]) {
      expect(await (await Bell.of(belfry, { sub: `crowd${n}`, roles: ['crowd'] })).titles()).toContain(
        'one for all',
      );
    }
    const rows = await database.rows(`select from belfry.notifications where topic = 'role:crowd'`);
    expect(rows).toHaveLength(1);
  });

  it('counts exactly to 99, and 100 stands for more', async () => {
    const sub = somebody();
    const many = (count: number) => ({
      notifications: Array.from({ length: count }, (_, n) => ({
        to: `user:${sub}`,
        type: 't',
        title: `${n}`,
      })),
    });
    await send(belfry, many(99));
    const bell = await Bell.of(belfry, { sub });
    expect(await bell.counts()).toMatchObject({ unread: 99, unseen: 99 });
    await send(belfry, many(1));
    expect(await bell.counts()).toMatchObject({ unread: 100, unseen: 100 });
    await send(belfry, many(150));
    expect((await bell.list()).counts).toMatchObject({ unread: 100, unseen: 100 });
  });

  it('can be asked for one type', async () => {
    const sub = somebody();
    await notify(belfry, `user:${sub}`, 'a', { type: 'invoice.paid' });
    await notify(belfry, `user:${sub}`, 'b', { type: 'invoice.due' });
    const bell = await Bell.of(belfry, { sub });
    expect(await bell.titles('?type=invoice.paid')).toEqual(['a']);
  });

  it('leaves out muted types, also of what came before, until they are not muted any more', async () => {
    const sub = somebody();
    await notify(belfry, `user:${sub}`, 'ad', { type: 'marketing' });
    await notify(belfry, `user:${sub}`, 'bill', { type: 'invoice' });
    const bell = await Bell.of(belfry, { sub });
    const quietHours = { from: '22:00', to: '07:00', timezone: 'Europe/Berlin' };
    const preferences = { muted: ['marketing'], quietHours };
    expect(await bell.ask('PUT', '/v1/inbox/preferences', preferences)).toMatchObject({
      status: 200,
      json: preferences,
    });
    expect((await bell.ask('GET', '/v1/inbox/preferences')).json).toEqual(preferences);
    expect(await bell.titles()).toEqual(['bill']);
    expect(await bell.counts()).toMatchObject({ unread: 1, unseen: 1 });
    await bell.ask('PUT', '/v1/inbox/preferences', {});
    expect((await bell.ask('GET', '/v1/inbox/preferences')).json).toEqual({ muted: [], quietHours: null });
    expect(await bell.titles()).toEqual(['bill', 'ad']);
  });

  it.each([
    ['limit=0', 400, 'limit-invalid'],
    ['limit=201', 400, 'limit-invalid'],
    ['limit=x', 400, 'limit-invalid'],
    ['status=new', 400, 'query-invalid'],
    [`type=${'x'.repeat(201)}`, 400, 'query-invalid'],
    ['before=7', 404, 'notification-unknown'],
    ['before=abc.7', 404, 'notification-unknown'],
    ['before=abc.99999999999999999999', 404, 'notification-unknown'],
  ])('refuses %s with %i %s', async (query, status, code) => {
    const bell = await Bell.of(belfry, { sub: somebody() });
    expect(await bell.ask('GET', `/v1/inbox?${query}`)).toMatchObject({ status, json: { code } });
  });

  it.each([
    ['no JSON object', []],
    ['a flag that is none', { muted: 'all' }],
    ['an hour that is none', { quietHours: { from: '24:00', to: '07:00', timezone: 'UTC' } }],
    ['a zone that is none', { quietHours: { from: '22:00', to: '07:00', timezone: 'Moon/Base' } }],
    ['a member that is none', { mute: [] }],
    ['too many types', { muted: Array.from({ length: 201 }, (_, n) => `t${n}`) }],
  ])('refuses preferences with %s', async (_what, preferences) => {
    const bell = await Bell.of(belfry, { sub: somebody() });
    const answer = await bell.ask('PUT', '/v1/inbox/preferences', preferences);
    expect(answer).toMatchObject({ status: 400, json: { code: 'body-invalid' } });
  });

  it('is of users: an API key has none', async () => {
    const made = await belfry.request('POST', '/v1/admin/keys', {
      token: await tokenFor({ sub: 'root', scope: 'admin' }),
      body: { name: 'backend', scopes: ['inbox'] },
    });
    const token = (made.json as { key: string }).key;
    const answer = await belfry.request('GET', '/v1/inbox', { token });
    expect(answer).toMatchObject({ status: 403, json: { code: 'inbox-missing' } });
    expect(
      (
        await belfry.request('POST', '/v1/notifications', {
          token,
          body: { to: 'all', type: 't', title: 'x' },
        })
      ).status,
    ).toBe(201);
  });
});

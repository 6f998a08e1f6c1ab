import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { Bell, notify, send } from './bell.js';

let database: TestDatabase;
let belfry: Instance;
let users = 0;
let sub: string;
let bell: Bell;

beforeAll(async () => {
  database = await TestDatabase.create();
  belfry = await Instance.start(database.url);
});
afterAll(async () => {
  await belfry.stop();
  await database.drop();
});
beforeEach(async () => {
  sub = `user${++users}`;
  bell = await Bell.of(belfry, { sub });
});

function sendThree(): Promise<string[]> {
  return ['one', 'two', 'three'].reduce<Promise<string[]>>(
    async (ids, title) => [...(await ids), await notify(belfry, `user:${sub}`, title)],
    Promise.resolve([]),
  );
}

describe('one item', () => {
  it('is marked and unmarked, and the answer has it as it is now', async () => {
    const [first] = await sendThree();
    expect(await bell.touch(first!, { read: true })).toMatchObject({
      status: 200,
      json: {
        id: first,
        title: 'one',
        read: true,
        seen: true,
        archived: false,
        counts: { unread: 2, unseen: 2 },
      },
    });
    expect(await bell.titles('?status=unread')).toEqual(['three', 'two']);
    expect(await bell.titles('?status=read')).toEqual(['one']);
    expect(await bell.touch(first!, { read: false })).toMatchObject({ json: { read: false, seen: true } });
    expect(await bell.titles('?status=unread')).toEqual(['three', 'two', 'one']);
    expect(await bell.touch(first!, { archived: true, seen: false })).toMatchObject({
      json: { counts: { unread: 2 } },
    });
    expect(await bell.titles()).toEqual(['three', 'two']);
    expect(await bell.titles('?status=archived')).toEqual(['one']);
    expect(await bell.titles('?status=all')).toEqual(['three', 'two', 'one']);
  });

  it('that is marked as it is already changes nothing, and nobody is told', async () => {
    const [first] = await sendThree();
    await bell.touch(first!, { read: true });
    const stream = await (
      await belfry.stream('?lastEventId=earliest', { token: await tokenFor({ sub }) })
    ).isReady();
    await stream.hears(4);
    await bell.touch(first!, { read: true, seen: true });
    await bell.touch(first!, { archived: true });
    await stream.hears(5);
    expect(stream.payloads.at(-1)).toMatchObject({ ids: [first], archived: true });
    expect(stream.events).toHaveLength(5);
    stream.cut();
  });

  it.each([
    ['nothing', {}],
    ['no boolean', { read: 'yes' }],
    ['no time', { snoozedUntil: 'tomorrow' }],
    ['a time before all others', { snoozedUntil: '0000-01-01T00:00:00Z' }],
    ['a time after all others', { snoozedUntil: '9999-12-31T23:59:59-10:00' }],
    ['another member', { unread: true }],
  ])('is not marked by %s', async (_what, change) => {
    const [first] = await sendThree();
    expect(await bell.touch(first!, change)).toMatchObject({ status: 400, json: { code: 'body-invalid' } });
  });

  it('of another user, of another epoch, or that is none, is answered with 404', async () => {
    const other = await notify(belfry, 'user:somebody-else', 'theirs');
    const [first] = await sendThree();
    for (const id of [other, `x${first!}`, first!.replace(/\d+$/, '999999'), 'none', '%00']) {
      expect(await bell.touch(id, { read: true })).toMatchObject({
        status: 404,
        json: { code: 'notification-unknown' },
      });
    }
  });
});

describe('a mark', () => {
  it('takes everything up to a place, with one row for all of it', async () => {
    const [, second] = await sendThree();
    expect(await bell.mark({ read: true, upTo: second })).toMatchObject({
      status: 200,
      json: { counts: { unread: 1, unseen: 1 } },
    });
    expect(await bell.titles('?status=unread')).toEqual(['three']);
    expect(await database.rows('select from belfry.receipts where owner = $1', [`user:${sub}`])).toHaveLength(
      0,
    );
    expect(await bell.mark({ read: true })).toMatchObject({ json: { counts: { unread: 0, unseen: 0 } } });
  });

  it('leaves what comes after it, and what is marked unread below it stays so', async () => {
    const [first] = await sendThree();
    await bell.mark({ read: true });
    await bell.touch(first!, { read: false });
    await notify(belfry, `user:${sub}`, 'four');
    expect(await bell.titles('?status=unread')).toEqual(['four', 'one']);
    await bell.mark({ read: true, upTo: first });
    expect(await bell.titles('?status=unread')).toEqual(['four']);
  });

  it('that leaves everything as it is is told to nobody', async () => {
    await sendThree();
    await bell.mark({ read: true });
    for (const flag of ['read', 'seen'])
      expect(await bell.mark({ [flag]: true })).toMatchObject({ status: 200 });
    await bell.ask('PUT', '/v1/inbox/preferences', { muted: [] });
    const stream = await (
      await belfry.stream('?lastEventId=earliest', { token: await tokenFor({ sub }) })
    ).isReady();
    expect(stream.events.map(({ event }) => event).slice(3)).toEqual(['inbox.updated']);
    stream.cut();
  });

  it('of one type leaves the others', async () => {
    await notify(belfry, `user:${sub}`, 'bill', { type: 'invoice' });
    await notify(belfry, `user:${sub}`, 'ad', { type: 'marketing' });
    await bell.mark({ read: true, type: 'marketing' });
    expect(await bell.titles('?status=unread')).toEqual(['bill']);
    expect(await bell.titles('?status=read')).toEqual(['ad']);
    await bell.mark({ archived: true, type: 'invoice' });
    expect(await bell.titles()).toEqual(['ad']);
    expect(await bell.titles('?status=archived')).toEqual(['bill']);
  });

  it('of too many types is refused, until everything is marked', async () => {
    const sendAll = () =>
      send(belfry, {
        notifications: Array.from({ length: 101 }, (_, n) => ({
          to: `user:${sub}`,
          type: `t${n}`,
          title: 'x',
        })),
      });
    await sendAll();
    for (let n = 0; n < 100; n++) await bell.mark({ seen: true, type: `t${n}` });
    const oneMore = { seen: true, type: 't100' };
    expect(await bell.mark(oneMore)).toMatchObject({ status: 409, json: { code: 'types-too-many' } });
    await bell.mark({ seen: true });
    await sendAll();
    expect(await bell.mark(oneMore)).toMatchObject({ status: 200 });
  });

  it.each([
    ['nothing', {}, 'body-invalid'],
    ['two flags', { read: true, seen: true }, 'body-invalid'],
    ['false', { read: false }, 'body-invalid'],
    ['no cursor', { read: true, upTo: '7' }, 'cursor-unknown'],
    ['a cursor of another log', { read: true, upTo: 'abc.1' }, 'cursor-unknown'],
  ])('is not made by %s', async (_what, mark, code) => {
    expect(await bell.mark(mark)).toMatchObject({ status: 400, json: { code } });
  });

  it('that is past the head is refused', async () => {
    const [first] = await sendThree();
    const upTo = first!.replace(/\d+$/, '999999');
    expect(await bell.mark({ read: true, upTo })).toMatchObject({
      status: 400,
      json: { code: 'cursor-unknown' },
    });
  });

  it('takes the place of many that were made one by one', async () => {
    const sent = await send(belfry, {
      notifications: Array.from({ length: 300 }, (_, n) => ({ to: `user:${sub}`, type: 't', title: `${n}` })),
    });
    const { ids } = sent.json as { ids: string[] };
    for (const id of ids.slice(0, 240)) await bell.touch(id, { read: true });
    expect(await database.rows('select from belfry.receipts where owner = $1', [`user:${sub}`])).toHaveLength(
      60,
    );
    expect(await bell.titles('?status=unread&limit=200')).toHaveLength(60);
    expect(await bell.counts()).toMatchObject({ unread: 60, unseen: 60 });
    expect(await bell.titles('?status=read&limit=200')).toHaveLength(200);
  });
});

describe('a count', () => {
  it('waits for a change under way, so that of two the later one has all that the earlier one has', async () => {
    const [first] = await sendThree();
    const client = await database.pool.connect();
    try {
      await client.query('begin');
      const args = ['default', `user:${sub}`, [`user:${sub}`], first, first!.split('.')[1]];
      await client.query(
        'select from belfry.touch_item($1, $2, $3, $4, $5, true, null, null, false, null)',
        args,
      );
      await notify(belfry, `user:${sub}`, 'meanwhile');
      const counts = bell.counts();
      await until('a count that waits', async () => {
        const waiting = `select from pg_locks where locktype = 'advisory' and classid = 1650815079 and not granted`;
        return (await database.rows(waiting)).length > 0;
      });
      await client.query('commit');
      expect(await counts).toMatchObject({ unread: 3 });
    } finally {
      client.release();
    }
  });
});

describe('every change', () => {
  it('reaches the user and nobody else, with the counts and the event that they count up to', async () => {
    const token = await tokenFor({ sub });
    const others = await (await belfry.stream('', { token: await tokenFor({ sub: 'nosy' }) })).isReady();
    const stream = await (await belfry.stream('', { token })).isReady();
    const [first, , third] = await sendThree();
    const touched = await bell.touch(first!, { read: true });
    const marked = await bell.mark({ archived: true, upTo: first, type: 't' });
    await bell.ask('PUT', '/v1/inbox/preferences', { muted: ['t'] });
    await bell.touch(third!, { read: true });
    await stream.hears(6);
    expect(stream.events.slice(3).map(({ event }) => event)).toEqual(Array(3).fill('inbox.updated'));
    expect(stream.payloads.slice(3)).toEqual([
      {
        reason: 'marked',
        ids: [first],
        read: true,
        seen: true,
        counts: { unread: 2, unseen: 2, asOf: third },
      },
      {
        reason: 'marked',
        archived: true,
        upTo: first,
        type: 't',
        counts: { unread: 2, unseen: 2, asOf: expect.any(String) },
      },
      { reason: 'preferences', counts: { unread: 0, unseen: 0, asOf: expect.any(String) } },
    ]);
    expect((touched.json as { counts: object }).counts).toEqual({ unread: 2, unseen: 2, asOf: third });
    expect((marked.json as { counts: object }).counts).toMatchObject({ unread: 2 });
    expect(others.events).toEqual([]);
    stream.cut();
    others.cut();
  });
});

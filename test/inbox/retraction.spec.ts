import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { Bell, backend, notify, retract, send } from './bell.js';

let database: TestDatabase;
let belfry: Instance;
/** It starts later, so that its ring is empty and replays come from Postgres. */
let other: Instance | undefined;
let users = 0;
let sub: string;
let token: string;
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
  token = await tokenFor({ sub });
  bell = await Bell.of(belfry, { sub });
});
afterEach(async () => {
  await other?.stop();
  other = undefined;
});

async function replayed(at: Instance, query = ''): Promise<string[]> {
  const stream = await (await at.stream(`?lastEventId=earliest${query}`, { token })).isReady();
  stream.cut();
  return stream.events.map(({ event, data }) => {
    const { data: payload } = JSON.parse(data) as { data: { title?: string } };
    return payload.title ?? event!;
  });
}

async function read(at: Instance, query = ''): Promise<string[]> {
  const answer = await at.request('GET', `/v1/events?topic=user:${sub}${query}`, { token });
  return (answer.json as { events: { type: string; data: { title?: string } | null }[] }).events.map(
    ({ type, data }) => data?.title ?? type,
  );
}

describe('a notification that is taken back', () => {
  it('is told to who is there, and is gone from inboxes, replays and history, also for filters', async () => {
    const live = await (await belfry.stream('', { token })).isReady();
    const kept = await notify(belfry, `user:${sub}`, 'kept');
    const id = await notify(belfry, `user:${sub}`, 'wrong');
    await bell.touch(id, { read: true });
    expect((await retract(belfry, id)).status).toBe(204);
    await live.hears(4);
    expect(live.events.at(-1)).toMatchObject({ event: 'notification.retracted' });
    expect(live.payloads.at(-1)).toEqual({ id });
    live.cut();

    expect(await bell.titles('?status=all')).toEqual(['kept']);
    expect((await bell.touch(id, { read: false })).status).toBe(404);
    expect((await bell.list(`?before=${id}`)).items).toMatchObject([{ id: kept }]);
    other = await Instance.start(database.url);
    for (const at of [belfry, other]) {
      expect(await replayed(at)).toEqual(['kept', 'inbox.updated', 'notification.retracted']);
      expect(await replayed(at, '&type=notification.created')).toEqual(['kept']);
      expect(await replayed(at, '&collapse=false&type=notification.created')).toEqual(['kept', 'wrong']);
      expect(await read(at, '&type=notification.created')).toEqual(['kept']);
    }
  });

  it('does not bring back an older one with its key, in replays either, nor takes a newer one with it', async () => {
    const first = await notify(belfry, `user:${sub}`, 'first', { key: 'k' });
    const second = await notify(belfry, `user:${sub}`, 'second', { key: 'k' });
    await retract(belfry, first);
    other = await Instance.start(database.url);
    for (const at of [belfry, other])
      expect(await replayed(at)).toEqual(['second', 'notification.retracted']);
    await retract(belfry, second);
    for (const at of [belfry, other]) {
      const rest = ['notification.retracted', 'notification.retracted'];
      expect((await replayed(at)).slice(-2)).toEqual(rest);
      expect(await replayed(at, '&type=notification.created')).toEqual([]);
    }
    expect(await bell.titles('?status=all')).toEqual([]);
  });

  it('is no more known afterwards, and never was to another tenant', async () => {
    const id = await notify(belfry, `user:${sub}`, 'once');
    const theirs = await backend('other');
    expect((await belfry.request('DELETE', `/v1/notifications/${id}`, { token: theirs })).status).toBe(404);
    expect(await bell.titles()).toEqual(['once']);
    expect((await retract(belfry, id)).status).toBe(204);
    for (const unknown of [id, 'none', `x${id}`, '8b0f6d1e-7c75-4a0f-9a36-0a1e6d7f6a55']) {
      expect(await retract(belfry, unknown)).toMatchObject({
        status: 404,
        json: { code: 'notification-unknown' },
      });
    }
  });

  it('is not what an event of a publisher says that has its key', async () => {
    const id = await notify(belfry, `user:${sub}`, 'stays');
    await belfry.publish({ topic: `user:${sub}`, type: 'forged', key: `retracted ${id.split('.')[1]!}` });
    other = await Instance.start(database.url);
    for (const at of [belfry, other]) expect(await read(at)).toEqual(['stays', 'forged']);
  });

  it('leaves nothing of what it said in the inbox', async () => {
    const id = await notify(belfry, `user:${sub}`, 'secret words');
    await retract(belfry, id);
    const rows = await database.rows(`select from belfry.notifications where content like '%secret words%'`);
    expect(rows).toEqual([]);
  });

  it('is not sent when it was scheduled, and taken back when it was sent by then', async () => {
    const later = await send(belfry, {
      to: `user:${sub}`,
      type: 't',
      title: 'later',
      deliverAt: '2100-01-01T00:00:00Z',
    });
    const { scheduled } = later.json as { scheduled: string };
    expect((await retract(belfry, scheduled)).status).toBe(204);
    expect((await retract(belfry, scheduled)).status).toBe(404);
    expect(await database.rows('select from belfry.scheduled where delivered_at is null')).toEqual([]);

    const live = await (await belfry.stream('', { token })).isReady();
    const now = await send(belfry, {
      to: `user:${sub}`,
      type: 't',
      title: 'now',
      deliverAt: '2020-01-01T00:00:00Z',
    });
    await live.hears(1);
    expect(await bell.titles()).toEqual(['now']);
    expect((await retract(belfry, (now.json as { scheduled: string }).scheduled)).status).toBe(204);
    expect(await bell.titles()).toEqual([]);
    live.cut();
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { Due } from '../../src/inbox/due.js';
import { Bell, notify, send } from './bell.js';

let database: TestDatabase;
let belfry: Instance;
let other: Instance;
let bell: Bell;
let stream: SseClient;

beforeEach(async () => {
  database = await TestDatabase.create();
  belfry = await Instance.start(database.url);
  other = await Instance.start(database.url);
  bell = await Bell.of(belfry);
  await bell.counts();
  stream = await (await belfry.stream('', { token: await tokenFor() })).isReady();
});
afterEach(async () => {
  stream.cut();
  await belfry.stop();
  await other.stop();
  await database.drop();
});

/** By the clock of the database, which is that of this machine. */
function soon(ms = 300): string {
  return new Date(Date.now() + ms).toISOString();
}

describe('a scheduled notification', () => {
  it('is sent when it is due, once, whichever instance is first, and not before', async () => {
    const deliverAt = soon();
    for (let n = 0; n < 5; n++) {
      const answer = await send(belfry, { to: ['user:alice', 'all'], type: 't', title: `${n}`, deliverAt });
      expect(answer).toMatchObject({ status: 201, json: { scheduled: expect.any(String) } });
    }
    await stream.hears(10);
    for (const { data } of stream.events) {
      expect((JSON.parse(data) as { at: string }).at >= deliverAt).toBe(true);
    }
    await notify(belfry, 'user:alice', 'last');
    await stream.hears(11);
    expect(stream.events).toHaveLength(11);
    expect(await bell.counts()).toMatchObject({ unread: 11 });
  });

  it('comes late and not twice when nobody was there at its time', async () => {
    await send(belfry, { to: 'user:alice', type: 't', title: 'late', deliverAt: soon(50) });
    stream.cut();
    await belfry.stop();
    await other.stop();
    await until('its time', async () => {
      const [row] = await database.rows<{ due: boolean }>(
        'select deliver_at <= now() as due from belfry.scheduled',
      );
      return row?.due !== false;
    });
    belfry = await Instance.start(database.url);
    other = await Instance.start(database.url);
    bell = await Bell.of(belfry);
    await until('it in the inbox', async () => (await bell.counts()).unread === 1);
    expect(await bell.titles()).toEqual(['late']);
  });

  it('is the same for a repeat, and another body under its key is refused', async () => {
    const body = { to: 'user:alice', type: 't', title: 'once', deliverAt: '2100-01-01T00:00:00Z' };
    const headers = { 'idempotency-key': 'k' };
    const first = await send(belfry, body, headers);
    expect((await send(other, body, headers)).json).toEqual(first.json);
    expect(await send(belfry, { ...body, title: 'other' }, headers)).toMatchObject({
      status: 422,
      json: { code: 'idempotency-mismatch' },
    });
    expect(await send(belfry, { ...body, dedupeId: 'd' }, { 'idempotency-key': 'l' })).toMatchObject({
      status: 201,
    });
    const single = await send(belfry, { ...body, dedupeId: 'd' });
    expect((await send(other, { ...body, dedupeId: 'd' })).json).toEqual(single.json);
    expect(await database.rows('select from belfry.scheduled')).toHaveLength(2);
  });

  it('is not mixed with others in one request', async () => {
    const now = { to: 'user:alice', type: 't', title: 'now' };
    const answer = await send(belfry, { notifications: [now, { ...now, deliverAt: soon() }] });
    expect(answer).toMatchObject({ status: 400, json: { code: 'body-invalid' } });
    const both = await send(belfry, {
      notifications: [now, now].map(one => ({ ...one, deliverAt: '2100-01-01T00:00:00Z' })),
    });
    expect(both.json).toEqual({
      ids: [],
      notifications: [{ scheduled: expect.any(String) }, { scheduled: expect.any(String) }],
    });
  });
});

describe('a snoozed item', () => {
  it('is away until its time, and then back by itself and unread, and the user is told', async () => {
    const id = await notify(belfry, 'user:alice', 'later');
    await bell.touch(id, { read: true });
    const snoozedUntil = soon();
    expect(await bell.touch(id, { snoozedUntil })).toMatchObject({ json: { snoozedUntil, read: false } });
    expect(await bell.list('?status=snoozed')).toMatchObject({
      items: [{ id, snoozedUntil }],
      counts: { unread: 0 },
    });
    expect(await bell.titles()).toEqual([]);
    await stream.hears(4);
    expect(stream.payloads.at(-1)).toEqual({ reason: 'snooze-over', ids: [id] });
    expect(await bell.list()).toMatchObject({
      items: [{ id, snoozedUntil: null, read: false }],
      counts: { unread: 1 },
    });
    expect(stream.events).toHaveLength(4);
  });

  it('can be had back before', async () => {
    const id = await notify(belfry, 'user:alice', 'later');
    await bell.touch(id, { snoozedUntil: '2100-01-01T00:00:00Z' });
    expect(await bell.touch(id, { snoozedUntil: null })).toMatchObject({ json: { snoozedUntil: null } });
    expect(await bell.titles()).toEqual(['later']);
  });
});

describe('a notification that expires', () => {
  it('is gone from inboxes, and those who had it are told', async () => {
    const id = await notify(belfry, 'all', 'sale', { expiresAt: soon() });
    expect(await bell.titles()).toEqual(['sale']);
    await stream.hears(2);
    expect(stream.payloads.at(-1)).toEqual({ reason: 'expired', ids: [id] });
    expect(await bell.list('?status=all')).toMatchObject({ items: [], counts: { unread: 0 } });
  });
});

describe('what is older than INBOX_RETENTION_DAYS', () => {
  it('is deleted, with what users did with it, and nothing else', async () => {
    const old = await notify(belfry, 'user:alice', 'old');
    await bell.touch(old, { archived: true });
    await notify(belfry, 'user:alice', 'new');
    await database.rows(
      `update belfry.notifications set at = at - interval '91 days' where content like '%old%'`,
    );
    await belfry.app.get(Due).prune();
    expect(await database.rows('select from belfry.notifications')).toHaveLength(1);
    expect(await database.rows('select from belfry.receipts')).toEqual([]);
    expect(await bell.titles('?status=all')).toEqual(['new']);
  });
});

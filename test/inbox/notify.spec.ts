import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { Bell, retract } from './bell.js';

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

describe('belfry.notify', () => {
  it('puts into the inbox what POST /v1/notifications would, when its transaction commits', async () => {
    const bell = await Bell.of(belfry, { sub: 'ada' });
    const stream = await (await belfry.stream('', { token: await tokenFor({ sub: 'ada' }) })).isReady();
    const client = await database.pool.connect();
    try {
      await client.query('begin');
      await client.query(`select belfry.notify('user:ada', 'never', 'rolled back')`);
      await client.query('rollback');
      await client.query('begin isolation level serializable');
      await client.query(
        `select belfry.notify('user:ada', 'invoice.paid', 'Paid "7"', body => 'two' || chr(10) || 'lines', url => '/invoices/7',
          icon => 'bill', data => '{"invoice": 7}', key => 'invoice 7', priority => 'high')`,
      );
      expect(await bell.titles()).toEqual([]);
      await client.query('commit');
    } finally {
      client.release();
    }
    await stream.hears(1);
    expect(stream.events[0]).toMatchObject({ event: 'notification.created' });
    const { items, counts } = await bell.list();
    expect(counts).toMatchObject({ unread: 1 });
    expect(items).toEqual([
      expect.objectContaining({
        id: stream.events[0]!.id,
        type: 'invoice.paid',
        title: 'Paid "7"',
        body: 'two\nlines',
        url: '/invoices/7',
        icon: 'bill',
        data: { invoice: 7 },
        priority: 'high',
      }),
    ]);
    stream.cut();
  });

  it('schedules with deliver_at, and answers the id to take it back by', async () => {
    const rows = await database.rows<{ id: string }>(
      `select belfry.notify('user:bob', 't', 'later', deliver_at => now() + interval '1 year') as id
        union all select belfry.notify('user:bob', 't', 'now', deliver_at => now())
        union all select belfry.notify('user:bob', 't', 'same', deliver_at => '2100-01-01', dedupe_id => 'd')
        union all select belfry.notify('user:bob', 't', 'same', deliver_at => '2100-01-01', dedupe_id => 'd')`,
    );
    const bell = await Bell.of(belfry, { sub: 'bob' });
    await until('the one that is due in the inbox', async () => (await bell.counts()).unread === 1);
    expect(await bell.titles()).toEqual(['now']);
    expect(rows[3]).toEqual(rows[2]);
    expect((await retract(belfry, rows[0]!.id)).status).toBe(204);
    expect(await database.rows(`select from belfry.scheduled where delivered_at is null`)).toHaveLength(1);
  });

  it.each([
    [`'user:ada', '', 'x'`, 'BF020'],
    [`'user:ada', 't', ''`, 'BF020'],
    [`'user:ada', 't', repeat('x', 501)`, 'BF020'],
    [`'user:ada', 't', 'two' || chr(10) || 'lines'`, 'BF020'],
    [`'user:ada', 't', 'x', body => chr(7)`, 'BF020'],
    [`'user:ada', 't', 'x', body => repeat('x', 5001)`, 'BF020'],
    [`'user:ada', 't', 'x', url => 'javascript:alert(1)'`, 'BF020'],
    [`'user:ada', 't', 'x', url => '//evil.example'`, 'BF020'],
    [`'user:ada', 't', 'x', icon => ''`, 'BF020'],
    [`'user:ada', 't', 'x', priority => 'asap'`, 'BF020'],
    [`'user:ada', 't', 'x', deliver_at => 'infinity'`, 'BF020'],
    [`'ada', 't', 'x'`, 'BF011'],
    [`'user:ada', 't', 'x', tenant => 'no tenant'`, 'BF010'],
    [`'user:ada', 't', 'x', key => ''`, 'BF014'],
    [`'user:ada', 't', 'x', dedupe_id => ''`, 'BF015'],
    [`'user:ada', 't', 'x', data => to_jsonb(repeat('x', 70000))`, 'BF017'],
    [`'ada', 't', 'x', deliver_at => now()`, 'BF011'],
  ])('refuses (%s) with %s', async (call, code) => {
    await expect(database.rows(`select belfry.notify(${call})`)).rejects.toMatchObject({ code });
  });

  it('may be called by who was admitted, for the tenant that the role is tied to', async () => {
    const role = `notifier_${database.name}`;
    const client = await database.pool.connect();
    try {
      await client.query(`create role ${role}`);
      await client.query(`set role ${role}`);
      await expect(client.query(`select belfry.notify('all', 't', 'x')`)).rejects.toMatchObject({
        code: '42501',
      });
      await client.query('reset role');
      await client.query(`select belfry.admit_publisher('${role}', 'acme')`);
      await client.query(`set role ${role}`);
      await client.query(`select belfry.notify('user:eve', 't', 'tied')`);
      await client.query(`select belfry.notify('user:eve', 't', 'tied', deliver_at => now())`);
      for (const when of ['', ', deliver_at => now()']) {
        const call = client.query(`select belfry.notify('all', 't', 'x', tenant => 'other'${when})`);
        await expect(call).rejects.toMatchObject({ code: 'BF019' });
      }
    } finally {
      await client.query('reset role');
      await client.query(`drop owned by ${role}`);
      await client.query(`drop role ${role}`);
      client.release();
    }
    const bell = await Bell.of(belfry, { sub: 'eve', tenant: 'acme' });
    await until('both in the inbox', async () => (await bell.counts()).unread === 2);
  });

  it('that is no notification, in a row written by hand, is set aside, and those behind it go on', async () => {
    await database.rows(
      `insert into belfry.outbox (tenant, topic, type, data) values ('default', 'user:fay', 'notification.created', '{"title": 1}')`,
    );
    await database.rows(`select belfry.notify('user:fay', 't', 'good')`);
    const bell = await Bell.of(belfry, { sub: 'fay' });
    await until('the good one in the inbox', async () => (await bell.counts()).unread === 1);
    expect(await database.rows('select from belfry.outbox_rejected')).toHaveLength(1);
  });
});

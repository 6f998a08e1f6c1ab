import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LogReader } from '../../src/log/log.reader.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { holdBackTail } from './held.tail.js';

describe('a cursor that cannot be honoured', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let ids: string[];
  let epoch: string;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { RING_EVENTS: '5', REPLAY_EVENTS: '3' });
    ids = await belfry.publish(
      Array.from({ length: 20 }, (_, data) => ({ topic: 'user:1', type: 'a', data })),
    );
    epoch = ids[0]!.split('.')[0]!;
    await database.rows('delete from belfry.events where seq <= 4');
    await until('the tail knows the floor', () => belfry.tail.floor === 5);
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  async function resume(cursor: string): Promise<SseClient> {
    return (await belfry.stream('?topic=user:1', { headers: { 'last-event-id': cursor } })).isReady();
  }

  it.each([
    ['garbage', () => 'garbage', 'unknown'],
    ['not quite a cursor', () => `${epoch}.`, 'unknown'],
    ['a seq beyond all numbers', () => `${epoch}.9999999999999999`, 'forked'],
    ['long', () => 'x'.repeat(5_000), 'unknown'],
    ['of a foreign epoch', () => 'aaaaaaaaaaaa.3', 'unknown'],
    ["past the database's head", () => `${epoch}.${belfry.tail.position + 1}`, 'forked'],
    ['older than retention', () => `${epoch}.3`, 'expired'],
  ])(
    'because it is %s is answered with 200, a reset, ready, and the events from now on',
    async (_name, cursor, reason) => {
      const client = await resume(cursor());
      const head = `${epoch}.${belfry.tail.position}`;
      expect(client.status).toBe(200);
      expect(client.heard.map(event => event.event)).toEqual(['reset', 'ready']);
      expect(client.heard[0]!.id).toBe(head);
      expect(JSON.parse(client.heard[0]!.data)).toEqual({ reason, oldest: `${epoch}.5`, head });
      await belfry.publish({ topic: 'user:1', type: 'after' });
      await client.hears(1);
      expect(client.events[0]!.event).toBe('after');
      client.cut();
    },
  );

  it('is still good when exactly the events before the floor were seen', async () => {
    const client = await resume(`${epoch}.4`);
    expect(client.controls('reset')).toEqual([]);
    expect(client.events[0]!.id).toBe(ids[4]);
    client.cut();
  });

  it('is found out by the replay, when the tail does not know the floor yet', async () => {
    await database.rows('delete from belfry.events where seq <= 7');
    const client = await resume(`${epoch}.5`);
    expect(JSON.parse(client.controls('reset')[0]!.data)).toMatchObject({ reason: 'expired' });
    expect(client.events).toEqual([]);
    client.cut();
  });

  it('is not one that is only ahead of this instance: no reset, nothing twice', async () => {
    const other = await Instance.start(database.url);
    // This instance reads late: it is told of nothing and its reads wait.
    const reader = belfry.app.get(LogReader);
    const next = reader.next.bind(reader);
    let release: () => void = () => undefined;
    const released = new Promise<void>(resolve => (release = resolve));
    reader.next = async after => {
      await released;
      return next(after);
    };
    const [seen] = await other.publish([{ topic: 'user:1', type: 'seen' }]);
    const client = await belfry.stream('?topic=user:1', { headers: { 'last-event-id': seen! } });
    await until('the retry', () => client.retries.length > 0);
    const [unseen] = await other.publish([{ topic: 'user:1', type: 'unseen' }]);
    expect(client.heard).toEqual([]);
    release();
    await client.isReady();
    await client.hears(1);
    expect(client.controls('reset')).toEqual([]);
    expect(client.events.map(event => event.id)).toEqual([unseen]);
    client.cut();
    await other.stop();
  });

  it('in mid-stream, because retention overtook a slow reader, is followed by ready as well', async () => {
    const slow = await (await belfry.stream('?topic=room:slow')).isReady();
    slow.pause();
    const blob = 'x'.repeat(60_000);
    for (let n = 0; n < 20; n++) {
      await belfry.publish(Array.from({ length: 10 }, () => ({ topic: 'room:slow', type: 'a', data: blob })));
    }
    await database.rows('delete from belfry.events where seq < (select max(seq) - 2 from belfry.events)');
    slow.resume();
    await until('a reset and a second ready', () => slow.controls('ready').length === 2);
    expect(JSON.parse(slow.controls('reset')[0]!.data)).toMatchObject({ reason: 'expired' });
    expect(slow.heard.at(-1)!.event).toBe('ready');
    const [id] = await belfry.publish({ topic: 'room:slow', type: 'after' });
    await until('the next event', () => slow.events.at(-1)?.id === id);
    slow.cut();
  });

  it('in mid-stream, because all that this instance had not read yet has expired, waits for no event', async () => {
    const own = await TestDatabase.create();
    const [behind, other] = [await Instance.start(own.url), await Instance.start(own.url)];
    const client = await (await behind.stream('?topic=room:late')).isReady();
    const release = holdBackTail(behind);
    await other.publish([1, 2, 3].map(data => ({ topic: 'room:late', type: 'a', data })));
    await other.stop();
    await own.rows(`
      with head as (select max(seq) as seq from belfry.events),
        floor as (insert into belfry.floors (seq) select seq + 1 from head)
      delete from belfry.events`);
    release();
    await until('a reset and a second ready', () => client.controls('ready').length === 2);
    expect(client.controls('reset').map(({ data }) => JSON.parse(data) as unknown)).toMatchObject([
      { reason: 'expired' },
    ]);
    expect(client.events).toEqual([]);
    client.cut();
    await behind.stop();
    await own.drop();
  });

  it('of a client that waits for the database is not given away by a heartbeat', async () => {
    const patient = await Instance.start(database.url, { HEARTBEAT_MS: '100', RING_EVENTS: '1' });
    const holder = await database.pool.connect();
    await holder.query('begin; lock table belfry.events in access exclusive mode');
    const client = await patient.stream('?topic=user:1&lastEventId=earliest');
    await until('three heartbeats', () => client.raw.split(':\n\n').length > 3);
    expect(client.lastEventId).toBeUndefined();
    await holder.query('rollback');
    holder.release();
    await client.isReady();
    client.cut();
    await patient.stop();
  });

  it('is not one of an epoch that began right after this instance had looked', async () => {
    (await resume('aaaaaaaaaaaa.3')).cut();
    await database.rows(
      `insert into belfry.epochs (name, forked_at, identity)
      values ('bbbbbbbbbbbb', belfry.log_head(), belfry.identity())`,
    );
    const client = await resume(`bbbbbbbbbbbb.${belfry.tail.position}`);
    expect(client.controls('reset')).toEqual([]);
    client.cut();
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LogReader } from '../../src/log/log.reader.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';

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
    ['a seq beyond all numbers', () => `${epoch}.9999999999999999`, 'unknown'],
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
});

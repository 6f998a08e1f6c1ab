import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Subscriptions } from '../../src/stream/subscriptions.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';

describe('a client that does not read', () => {
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

  it('leaves less than 1 MiB in memory for it, however large a publish, and is sent all of it when it reads', async () => {
    const names = ['live', 'too', 'replaying'];
    const blob = 'x'.repeat(60_000);
    const clients = await Promise.all(
      names.map(async name => {
        const client = await belfry.stream(
          `?topic=room:1${name === 'replaying' ? '&lastEventId=earliest' : ''}`,
        );
        if (name !== 'replaying') await client.isReady();
        client.pause();
        return client;
      }),
    );
    const count = 1_000;
    await belfry.publish(
      Array.from({ length: count }, (_, n) => ({ topic: 'room:1', type: 'a', data: { n, blob } })),
    );
    const outlets = [...belfry.app.get(Subscriptions)['open'].values()].map(({ outlet }) => outlet);
    expect(outlets).toHaveLength(clients.length);
    const mostWaiting = () => Math.max(...outlets.map(outlet => outlet['response'].writableLength));
    expect(mostWaiting()).toBeLessThan(1024 * 1024);
    await until('sockets that take no more', () => outlets.every(({ full }) => full));
    expect(mostWaiting()).toBeLessThan(1024 * 1024);
    for (const client of clients) {
      client.resume();
      await client.hears(count);
      expect(client.payloads.map(data => (data as { n: number }).n)).toEqual(
        Array.from({ length: count }, (_, n) => n),
      );
      client.cut();
    }
  });
});

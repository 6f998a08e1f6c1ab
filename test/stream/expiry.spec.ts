import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';

const HOUR_MS = 3_600_000;

describe('whether an event has expired', () => {
  let database: TestDatabase;
  /** One that replays from its ring, and one that has to ask Postgres. */
  let instances: Instance[];

  beforeAll(async () => {
    database = await TestDatabase.create();
    instances = await Promise.all(
      ['1000', '1'].map(RING_EVENTS => Instance.start(database.url, { RING_EVENTS })),
    );
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  });

  it.each([
    ['right', 0],
    ['a day ahead', 24 * HOUR_MS],
    ['a day behind', -24 * HOUR_MS],
  ])("is told by the database's clock, when that of the instance is %s", async (_name, skewMs) => {
    const now = Date.now.bind(Date);
    const token = await tokenFor({ scope: 'admin', exp: Math.floor(now() / 1_000) + 3 * 24 * 3_600 });
    const inHours = (hours: number) => new Date(now() + hours * HOUR_MS).toISOString();
    const [first] = await instances[0]!.publish([
      { topic: 'user:1', type: 'first' },
      { topic: 'user:1', type: 'soon', expiresAt: inHours(1) },
      { topic: 'user:1', type: 'past', expiresAt: inHours(-1) },
      { topic: 'user:1', type: 'last' },
    ]);
    jest.spyOn(Date, 'now').mockImplementation(() => now() + skewMs);
    for (const instance of instances) {
      const client = await instance.stream('?topic=user:1', {
        token,
        headers: { 'last-event-id': first! },
      });
      await client.isReady();
      expect(client.events.map(({ event }) => event)).toEqual(['soon', 'last']);
      client.cut();
    }
  });
});

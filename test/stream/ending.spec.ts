import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Subscriptions } from '../../src/stream/subscriptions.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { TcpProxy } from '../support/tcp.proxy.js';

function reasonOf(client: SseClient): unknown {
  return (JSON.parse(client.controls('end')[0]!.data) as { reason: unknown }).reason;
}

describe('a stream ends', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await TestDatabase.create();
  });
  afterAll(async () => {
    await database.drop();
  });

  async function withInstance(
    env: NodeJS.ProcessEnv,
    run: (belfry: Instance) => Promise<void>,
  ): Promise<void> {
    const belfry = await Instance.start(database.url, env);
    try {
      await run(belfry);
    } finally {
      await belfry.stop();
    }
  }

  it('when the token expires, not later, and the cursor is good with the next token', () =>
    withInstance({}, async belfry => {
      const exp = Math.floor(Date.now() / 1000) + 2;
      const client = await (
        await belfry.stream('?topic=user:alice', { token: await tokenFor({ exp }) })
      ).isReady();
      const [seen] = await belfry.publish({ topic: 'user:alice', type: 'seen' });
      await client.isClosed();
      expect(Date.now() / 1000 - exp).toBeLessThan(1);
      expect(reasonOf(client)).toBe('token-expired');
      expect(client.retries).toHaveLength(2);
      expect(client.lastEventId).toBe(seen);

      const [missed] = await belfry.publish({ topic: 'user:alice', type: 'missed' });
      const next = await belfry.stream('', { token: await tokenFor(), headers: { 'last-event-id': seen! } });
      await next.hears(1);
      expect(next.events[0]!.id).toBe(missed);
      next.cut();
    }));

  it('when it is old, so that connections spread over the instances', () =>
    withInstance({ MAX_STREAM_AGE_MS: '400' }, async belfry => {
      const client = await (await belfry.stream('?topic=all')).isReady();
      await client.isClosed();
      expect(reasonOf(client)).toBe('rotated');
    }));

  it('when the service shuts down: each client is told when to come back, within the drain window', () =>
    withInstance({ DRAIN_MS: '5000' }, async belfry => {
      const clients = await Promise.all(
        Array.from({ length: 20 }, async () => (await belfry.stream('?topic=all')).isReady()),
      );
      const [id] = await belfry.publish({ topic: 'all', type: 'last' });
      await belfry.stop();
      for (const client of clients) {
        await client.isClosed();
        expect(reasonOf(client)).toBe('shutdown');
        expect(client.lastEventId).toBe(id);
        expect(client.retries[1]).toBeLessThanOrEqual(5_000);
      }
      expect(new Set(clients.map(client => client.retries[1])).size).toBeGreaterThan(10);
    }));

  it('when the client takes nothing for the write deadline', () =>
    withInstance({ WRITE_DEADLINE_MS: '300', RING_EVENTS: '10' }, async belfry => {
      const stuck = await (await belfry.stream('?topic=room:stuck')).isReady();
      const reading = await (await belfry.stream('?topic=room:stuck')).isReady();
      stuck.pause();
      const blob = 'x'.repeat(60_000);
      for (let n = 0; n < 30; n++) {
        await belfry.publish(
          Array.from({ length: 10 }, () => ({ topic: 'room:stuck', type: 'a', data: blob })),
        );
      }
      const open = belfry.app.get(Subscriptions)['open'];
      await until('the client that does not read is gone', () => open.size === 1);
      stuck.resume();
      await stuck.isClosed();
      await reading.hears(300);
      reading.cut();
    }));
});

describe('a client that cannot be served', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await TestDatabase.create();
  });
  afterAll(async () => {
    await database.drop();
  });

  it('over the connection limit is answered 200, a long retry and the end, and can come when another has left', async () => {
    const belfry = await Instance.start(database.url, { MAX_CONNECTIONS: '2' });
    const [one, two] = await Promise.all(
      [1, 2].map(async () => (await belfry.stream('?topic=all')).isReady()),
    );
    const [three, four] = await Promise.all([belfry.stream('?topic=all'), belfry.stream('?topic=all')]);
    for (const refused of [three, four]) {
      await refused.isClosed();
      expect(refused.status).toBe(200);
      expect(refused.retries[0]).toBeGreaterThanOrEqual(10_000);
      expect(refused.heard).toEqual([]);
    }
    expect(three.retries).not.toEqual(four.retries);

    one!.cut();
    let again = await belfry.stream('?topic=all');
    await until('a free place', async () => {
      if (again.controls('ready').length > 0) return true;
      if (again.closed) again = await belfry.stream('?topic=all');
      return false;
    });
    again.cut();
    two!.cut();
    await belfry.stop();
  });

  it('because the database is away is told to come back, even where memory could serve it', async () => {
    const proxy = await TcpProxy.start(database.url);
    const belfry = await Instance.start(proxy.urlOf(database.url), { RING_EVENTS: '3' });
    const ids = await belfry.publish(
      Array.from({ length: 10 }, (_, data) => ({ topic: 'all', type: 'a', data })),
    );
    const before = await (await belfry.stream('?topic=all')).isReady();
    proxy.refuse();
    await until('the instance knows', () => belfry.tail.isAway);

    for (const id of [ids[0]!, ids[7]!, '']) {
      const client = await belfry.stream('?topic=all', { headers: { 'last-event-id': id } });
      await client.isClosed();
      expect(client.status).toBe(200);
      expect(client.retries.at(-1)).toBeGreaterThanOrEqual(10_000);
      expect(client.heard).toEqual([]);
      expect(client.lastEventId).toBeUndefined();
    }

    proxy.open();
    await until('a publish is accepted again', async () => {
      const answer = await belfry.request('POST', '/v1/events', {
        token: await tokenFor({ scope: 'publish' }),
        body: { topic: 'all', type: 'back' },
      });
      return answer.status === 201;
    });
    // Whoever was live stayed so.
    await until('the event is on the stream', () => before.events.at(-1)?.event === 'back');
    before.cut();
    await belfry.stop();
    await proxy.stop();
  });

  it('because it was ended without taking anything is cut off as well, and counts until then', async () => {
    const belfry = await Instance.start(database.url, { WRITE_DEADLINE_MS: '4000', MAX_CONNECTIONS: '1' });
    const blob = 'x'.repeat(60_000);
    for (let n = 0; n < 20; n++) {
      await belfry.publish(Array.from({ length: 10 }, () => ({ topic: 'all', type: 'a', data: blob })));
    }
    const exp = Math.floor(Date.now() / 1000) + 2;
    const stuck = await belfry.stream('?topic=all&lastEventId=earliest', { token: await tokenFor({ exp }) });
    stuck.pause();
    const open = belfry.app.get(Subscriptions)['open'];
    await until('the token has expired', () => Date.now() / 1000 > exp);
    const refused = await belfry.stream('?topic=all');
    await refused.isClosed();
    expect(refused.heard).toEqual([]);
    await until('it was cut off', () => open.size === 0);
    stuck.cut();
    await belfry.stop();
  });

  it('because the instance is going down comes back within the drain window', async () => {
    const belfry = await Instance.start(database.url, { DRAIN_MS: '2000' });
    const held = await (await belfry.stream('?topic=all')).isReady();
    const stopping = belfry.stop();
    await held.isClosed();
    const late = await belfry.stream('?topic=all');
    await late.isClosed();
    expect(late.status).toBe(200);
    expect(late.retries[0]).toBeLessThanOrEqual(2_000);
    expect((await belfry.request('GET', '/health/ready')).status).toBe(503);
    await stopping;
  });
});

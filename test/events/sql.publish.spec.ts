import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';

describe('what is published by SQL', () => {
  let database: TestDatabase;
  let instances: Instance[] = [];
  let clients: SseClient[] = [];

  beforeAll(async () => {
    database = await TestDatabase.create();
  });
  afterEach(async () => {
    clients.forEach(client => {
      client.cut();
    });
    await Promise.all(instances.map(instance => instance.stop()));
    instances = [];
    clients = [];
  });
  afterAll(async () => {
    await database.drop();
  });

  async function start(env: NodeJS.ProcessEnv = {}): Promise<Instance> {
    const instance = await Instance.start(database.url, env);
    instances.push(instance);
    return instance;
  }

  async function listen(instance: Instance): Promise<SseClient> {
    const client = await (await instance.stream('?topic=order:1')).isReady();
    clients.push(client);
    return client;
  }

  const publish = (data: unknown, before = '') =>
    database.rows(
      `begin; ${before}; select belfry.publish('order:1', 'order.paid', '${JSON.stringify(data)}'); commit`,
    );

  const dataOf = (client: SseClient) =>
    client.events.map(({ data }) => (JSON.parse(data) as { data: unknown }).data);

  it('is heard on every instance, once, in the order of the log', async () => {
    // Nobody polls within this test: the bell alone brings it.
    const env = { OUTBOX_IDLE_POLL_MS: '60000', OUTBOX_BUSY_POLL_MS: '60000' };
    const heard = await Promise.all([1, 2, 3].map(async () => listen(await start(env))));
    for (let n = 1; n <= 20; n++) await publish(n);
    const [first] = heard as [SseClient];
    for (const client of heard) {
      await client.hears(20);
      expect(dataOf(client)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
      expect(client.events.map(({ id }) => id)).toEqual(first.events.map(({ id }) => id));
    }
  });

  it('is found when its transaction rang no bell', async () => {
    const client = await listen(await start());
    await publish('silent', 'set local belfry.ring = off');
    await client.hears(1);
    expect(dataOf(client)).toEqual(['silent']);
  });

  it('is found by an instance that starts after it', async () => {
    await publish('before');
    const instance = await start();
    await until('the event in the log', async () => {
      const rows = await database.rows(`select from belfry.events where data = '"before"'`);
      return rows.length === 1;
    });
    const answer = await instance.request('GET', '/v1/events?topic=order:1&limit=1000', {
      token: await admin(),
    });
    const { events } = answer.json as { events: { data: unknown }[] };
    expect(events.at(-1)!.data).toBe('before');
  });

  it('comes before what is published over HTTP after its commit', async () => {
    const instance = await start({ OUTBOX_IDLE_POLL_MS: '60000', OUTBOX_BUSY_POLL_MS: '60000' });
    const client = await listen(instance);
    for (let n = 0; n < 20; n++) {
      await publish(2 * n, 'set local belfry.ring = off');
      await instance.publish({ topic: 'order:1', type: 'order.paid', data: 2 * n + 1 });
    }
    await client.hears(40);
    expect(dataOf(client)).toEqual(Array.from({ length: 40 }, (_, n) => n));
  });

  it('shares the memory of dedupe ids with HTTP, where a repeat of the other door is another event', async () => {
    const instance = await start();
    const token = await admin();
    const overHttp = (dedupeId: string) =>
      instance.request('POST', '/v1/events', {
        token,
        body: { topic: 'order:2', type: 'order.paid', data: 1, dedupeId },
      });
    const bySql = (dedupeId: string) =>
      database.rows(`select belfry.publish('order:2', 'order.paid', '1', dedupe_id => $1)`, [dedupeId]);

    await bySql('sql first');
    expect((await overHttp('sql first')).json).toMatchObject({ status: 422, code: 'idempotency-mismatch' });

    expect((await overHttp('http first')).status).toBe(201);
    await bySql('http first');
    await until('the event that was set aside', async () => {
      const rows = await database.rows<{ dedupe_id: string }>(
        `select dedupe_id from belfry.outbox_rejected where reason = 'idempotency-mismatch'`,
      );
      return rows[0]?.dedupe_id === 'http first';
    });
  });

  it('may be as large as MAX_DATA_BYTES says', async () => {
    await start({ MAX_DATA_BYTES: '10' });
    await expect(publish('x'.repeat(9))).rejects.toMatchObject({ code: 'BF017' });
    await start();
    await publish('x'.repeat(9));
  });

  it('is told of in the log of the service when it cannot be stored', async () => {
    const instance = await start();
    await database.rows(
      `insert into belfry.outbox (tenant, topic, type, data) values ('default', 'no topic', 't', '1')`,
    );
    await until('the message', () => instance.logs.some(({ msg }) => /outbox_rejected/.test(String(msg))));
  });

  it('is told of as well when it was an append that set it aside', async () => {
    const instance = await start({ OUTBOX_IDLE_POLL_MS: '60000', OUTBOX_BUSY_POLL_MS: '60000' });
    await database.rows(
      `insert into belfry.outbox (tenant, topic, type, data) values ('default', 'no topic', 't', '1')`,
    );
    await instance.publish({ topic: 'order:1', type: 'order.paid' });
    expect(instance.logs.filter(({ msg }) => /^1 events .*outbox_rejected/.test(String(msg)))).toHaveLength(
      1,
    );
  });

  it('is moved whatever isolation level the database has by default', async () => {
    await database.rows(`alter database ${database.name} set default_transaction_isolation = 'serializable'`);
    const instance = await start();
    const client = await listen(instance);
    await publish('isolated');
    await instance.publish({ topic: 'order:1', type: 'order.paid', data: 'http' });
    await client.hears(2);
    expect(dataOf(client)).toEqual(['isolated', 'http']);
    await database.rows(`alter database ${database.name} reset default_transaction_isolation`);
  });
});

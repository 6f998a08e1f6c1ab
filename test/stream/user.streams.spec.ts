import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { type Claims, Instance, tokenFor } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { TcpProxy } from '../support/tcp.proxy.js';

const LIMIT = 3;

describe('the streams of one user', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let one: Instance;
  let two: Instance;
  const opened: SseClient[] = [];

  beforeAll(async () => {
    database = await TestDatabase.create();
    proxy = await TcpProxy.start(database.url);
    const env = { MAX_CONNECTIONS_PER_USER: String(LIMIT) };
    one = await Instance.start(database.url, env);
    two = await Instance.start(proxy.urlOf(database.url), env);
  });
  afterEach(() => {
    jest.restoreAllMocks();
    for (const client of opened.splice(0)) client.cut();
  });
  afterAll(async () => {
    await one.stop();
    await two.stop();
    await proxy.stop();
    await database.drop();
  });

  /** Opens a stream. @returns when it is ready, or closed again */
  async function open(belfry: Instance, claims: Claims): Promise<SseClient> {
    const client = await belfry.stream('', { token: await tokenFor(claims) });
    opened.push(client);
    await until('a stream that is ready or closed', () => isIn(client) || client.closed);
    return client;
  }

  function isIn(client: SseClient): boolean {
    return client.controls('ready').length > 0;
  }

  /** Opens streams at once. @returns those that are in */
  async function openMany(belfry: Instance, claims: Claims, count: number): Promise<SseClient[]> {
    const clients = await Promise.all(Array.from({ length: count }, () => open(belfry, claims)));
    return clients.filter(isIn);
  }

  /** Resolves when there is no room for another. One that is let in leaves again. */
  async function isFull(belfry: Instance, claims: Claims): Promise<void> {
    await until(`no room for ${JSON.stringify(claims)}`, async () => {
      const client = await open(belfry, claims);
      client.cut();
      return !isIn(client);
    });
  }

  async function hasRoom(belfry: Instance, claims: Claims): Promise<SseClient> {
    let client = await open(belfry, claims);
    await until(`room for ${JSON.stringify(claims)}`, async () => {
      if (!isIn(client)) client = await open(belfry, claims);
      return isIn(client);
    });
    return client;
  }

  /** What an instance would tell the others, `age` seconds ago. */
  async function tell(streams: object, age = 0): Promise<string> {
    const id = randomUUID();
    await database.rows(
      `insert into belfry.instances (id, seen_at, streams) values ($1, now() - make_interval(secs => $2), $3)`,
      [id, age, streams],
    );
    return id;
  }

  describe('on one instance', () => {
    it('are as many as there may be, to the last one, and others come back later', async () => {
      const clients = await Promise.all(Array.from({ length: 8 }, () => open(one, { sub: 'ada' })));
      expect(clients.filter(isIn)).toHaveLength(LIMIT);
      for (const client of clients.filter(refused => !isIn(refused))) {
        expect(client.status).toBe(200);
        expect(client.heard).toEqual([]);
        expect(client.retries).toHaveLength(1);
        expect(client.retries[0]).toBeGreaterThanOrEqual(10_000);
      }
    });

    it('make room when one of them is closed, for exactly one', async () => {
      const [first] = await openMany(one, { sub: 'bea' }, LIMIT);
      first!.cut();
      await hasRoom(one, { sub: 'bea' });
      expect(await openMany(one, { sub: 'bea' }, 3)).toHaveLength(0);
    });

    it('are not those of another user, nor of the same name in another tenant', async () => {
      expect(await openMany(one, { sub: 'cy' }, LIMIT + 1)).toHaveLength(LIMIT);
      expect(await openMany(one, { sub: 'cy', tenant: 'acme' }, LIMIT + 1)).toHaveLength(LIMIT);
      expect(await openMany(one, { sub: 'cyd' }, 1)).toHaveLength(1);
    });

    it('have no limit when it is a backend', async () => {
      expect(await openMany(one, { sub: 'dee', scope: 'publish' }, 4 * LIMIT)).toHaveLength(4 * LIMIT);
      expect(await openMany(one, { sub: 'dee' }, 1)).toHaveLength(1);
    });

    it('have no limit when none is set', async () => {
      const free = await Instance.start(database.url, { MAX_CONNECTIONS_PER_USER: '0' });
      expect(await openMany(free, { sub: 'eli' }, 4 * LIMIT)).toHaveLength(4 * LIMIT);
      await free.stop();
    });
  });

  describe('on several instances', () => {
    // A name that is one in JSON, in JavaScript and for Postgres only with care.
    const awkward = { sub: '__proto__\u0001é' };

    it('are counted together once each has heard of the other, and make room on both', async () => {
      const [first] = await openMany(one, awkward, 2);
      expect(await openMany(two, awkward, 1)).toHaveLength(1);
      await isFull(one, awkward);
      await isFull(two, awkward);
      expect(await openMany(two, { ...awkward, tenant: 'acme' }, LIMIT)).toHaveLength(LIMIT);
      first!.cut();
      await hasRoom(two, awkward);
    });

    it('do not count when the instance was not heard of for ten seconds', async () => {
      await tell({ default: { fay: LIMIT } }, 11);
      const id = await tell({ default: { gil: LIMIT } });
      await isFull(one, { sub: 'gil' });
      expect(await openMany(one, { sub: 'fay' }, 1)).toHaveLength(1);
      await database.rows(`update belfry.instances set seen_at = now() - interval '11 s' where id = $1`, [
        id,
      ]);
      await hasRoom(one, { sub: 'gil' });
    });

    it('do not count when what an instance tells makes no sense', async () => {
      await tell({ default: { hal: 'many', '%': 1 }, acme: 7, other: null });
      await tell({ default: { ida: LIMIT } });
      await isFull(one, { sub: 'ida' });
      expect(await openMany(one, { sub: 'hal' }, LIMIT)).toHaveLength(LIMIT);
    });

    it('are told of when they are at least a twentieth of the limit', async () => {
      const wide = await Instance.start(database.url, { MAX_CONNECTIONS_PER_USER: '21' });
      await openMany(wide, { sub: 'few' }, 1);
      await openMany(wide, { sub: 'some' }, 2);
      await until('the row of the instance', async () => {
        const rows = await database.rows(`select from belfry.instances where streams = $1`, [
          { default: { some: 2 } },
        ]);
        return rows.length === 1;
      });
      await wide.stop();
    });

    it('leave no row behind when the instance goes, and rows of an hour ago are deleted', async () => {
      const count = async (condition: string, values: unknown[] = []) =>
        (await database.rows(`select from belfry.instances where ${condition}`, values)).length;
      const old = await tell({}, 3_601);
      const notSoOld = await tell({}, 3_500);
      const going = await Instance.start(database.url, { MAX_CONNECTIONS_PER_USER: '5' });
      await openMany(going, { sub: 'jo' }, 1);
      const told = `streams->'default' ? 'jo'`;
      await until('the row of the instance', async () => (await count(told)) === 1);
      await until('the old row is gone', async () => (await count('id = $1', [old])) === 0);
      expect(await count('id = $1', [notSoOld])).toBe(1);
      // Its streams end before it does, and the row may be written once more without them.
      const [row] = await database.rows<{ id: string }>(`select id from belfry.instances where ${told}`);
      await going.stop();
      expect(await count('id = $1', [row!.id])).toBe(0);
    });
  });

  describe('without the database', () => {
    it('are let in as far as this instance knows', async () => {
      await tell({ default: { kim: LIMIT } });
      await isFull(one, { sub: 'kim' });
      const holder = await database.pool.connect();
      try {
        await holder.query('begin; lock table belfry.instances in access exclusive mode');
        expect(await openMany(one, { sub: 'lea' }, LIMIT + 1)).toHaveLength(LIMIT);
        expect(await openMany(one, { sub: 'kim' }, 1)).toHaveLength(0);
        // What was heard is not believed for ever.
        const now = performance.now.bind(performance);
        jest.spyOn(performance, 'now').mockImplementation(() => now() + 10_000);
        expect(await openMany(one, { sub: 'kim' }, LIMIT + 1)).toHaveLength(LIMIT);
      } finally {
        await holder.query('rollback');
        holder.release();
      }
    });

    it('get no error, and are counted when it is back', async () => {
      const [held] = await openMany(two, { sub: 'mia' }, 1);
      proxy.refuse();
      await until('the instance knows', () => two.tail.isAway);
      const client = await open(two, { sub: 'mia' });
      expect(client.status).toBe(200);
      expect(client.retries).toHaveLength(1);
      proxy.open();
      await hasRoom(two, { sub: 'mia' });
      expect(held!.closed).toBe(false);
      await tell({ default: { mia: 1 } });
      await isFull(two, { sub: 'mia' });
    });
  });
});

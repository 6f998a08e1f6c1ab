import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Socket } from 'node:net';
import pg from 'pg';
import { Database } from '../../src/database/database.js';
import { Subscriptions } from '../../src/stream/subscriptions.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { asked } from '../support/statements.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';

/** What the speed of Belfry rests on, as properties and not as times; those are measured by `npm run bench`. */
describe('the way of an event to many sockets', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url);
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  async function open(count: number, query: string, instance = belfry): Promise<SseClient[]> {
    return Promise.all(Array.from({ length: count }, async () => (await instance.stream(query)).isReady()));
  }

  function cut(clients: readonly SseClient[]): void {
    for (const client of clients) client.cut();
  }

  /** All that is written to sockets from now on. */
  function writes(): () => Buffer[] {
    const write = jest.spyOn(Socket.prototype, 'write');
    return () => write.mock.calls.map(([bytes]) => bytes).filter(bytes => Buffer.isBuffer(bytes));
  }

  it('serialises it once, for those who hear it live and those who catch up from memory', async () => {
    const clients = await open(10, '?topic=room:once');
    const stringify = jest.spyOn(JSON, 'stringify');
    const [id] = await belfry.publish({ topic: 'room:once', type: 'very.special' });
    await Promise.all(clients.map(client => client.hears(1)));
    const late = await belfry.stream(
      `?topic=room:once&lastEventId=${id!.replace(/\d+$/, seq => `${Number(seq) - 1}`)}`,
    );
    await late.hears(1);
    expect(late.frames).toEqual(clients[0]!.frames);
    // The type is what a frame is made of by JSON.stringify.
    expect(stringify.mock.calls.filter(([value]) => value === 'very.special')).toHaveLength(1);
    cut([...clients, late]);
  });

  it('writes a batch once to each socket, and the same bytes to all who want the same', async () => {
    const both = await open(5, '?topic=room:a&topic=room:b');
    const one = await open(5, '?topic=room:a');
    const written = writes();
    await belfry.publish(
      Array.from({ length: 10 }, (_, n) => ({ topic: n % 2 ? 'room:a' : 'room:b', type: 'burst' })),
    );
    await Promise.all([...both.map(client => client.hears(10)), ...one.map(client => client.hears(5))]);
    const chunks = written().filter(bytes => /^[0-9a-f]+\r\nid: .*\nevent: burst/.test(bytes.toString()));
    expect(chunks).toHaveLength(10);
    expect(new Set(chunks).size).toBe(2);
    cut([...both, ...one]);
  });

  it('asks Postgres nothing when clients come back with cursors that memory reaches', async () => {
    const ids = await belfry.publish(
      Array.from({ length: 200 }, (_, n) => ({ topic: `user:${n % 20}`, type: 'a', data: n })),
    );
    const before = ids[0]!.replace(/\d+$/, seq => `${Number(seq) - 1}`);
    const query = jest.spyOn(pg.Client.prototype, 'query');
    const clients = await Promise.all(
      Array.from({ length: 100 }, async (_, n) => {
        const client = await belfry.stream(`?topic=user:${n % 20}&topic=all&lastEventId=${before}`);
        return client.isReady();
      }),
    );
    for (const [n, client] of clients.entries()) {
      expect(client.payloads).toEqual(Array.from({ length: 10 }, (_, i) => (n % 20) + 20 * i));
    }
    expect(asked(query)).toEqual([]);
    cut(clients);
  });

  it('asks Postgres once when many come back with one cursor that is older than memory', async () => {
    const small = await Instance.start(database.url, { RING_EVENTS: '1' });
    await small.publish(Array.from({ length: 50 }, (_, data) => ({ topic: 'room:storm', type: 'a', data })));
    const replay = jest.spyOn(small.app.get(Database), 'replay');
    const holder = await database.pool.connect();
    await holder.query('begin; lock table belfry.events in access exclusive mode');
    const clients = await Promise.all(
      Array.from({ length: 50 }, () => small.stream('?topic=room:storm&lastEventId=earliest')),
    );
    await until('all of them at work', () => small.app.get(Subscriptions)['open'].size === clients.length);
    const written = writes();
    await holder.query('rollback');
    holder.release();
    await Promise.all(clients.map(client => client.hears(50)));
    expect(replay).toHaveBeenCalledTimes(1);
    const pages = written().filter(bytes => bytes.includes('"topic":"room:storm"'));
    expect(pages).toHaveLength(clients.length);
    expect(new Set(pages).size).toBe(1);
    cut(clients);
    await small.stop();
  });

  it('has no timer of its own for a stream', async () => {
    const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length;
    const before = timers();
    const clients = await open(50, '?topic=all');
    expect(timers()).toBeLessThanOrEqual(before + 5);
    cut(clients);
  });
});

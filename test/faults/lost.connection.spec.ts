import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AppendRequest } from '../../src/log/append.batch.js';
import { Appender } from '../../src/log/appender.js';
import { LogLock } from '../support/log.lock.js';
import { isDense, seqOf, storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, Instance } from '../support/instance.js';
import { TcpProxy } from '../support/tcp.proxy.js';

const TIMEOUT_MS = 500;
/** What one request may take at most: its append, then looking for it, each with a session to open. */
const BOUND_MS = 6 * TIMEOUT_MS;

let database: TestDatabase;
let proxy: TcpProxy;
let belfry: Instance;

beforeEach(async () => {
  database = await TestDatabase.create();
  proxy = await TcpProxy.start(database.url);
  belfry = await Instance.start(proxy.urlOf(database.url), {
    LISTEN_DATABASE_URL: database.url,
    PUBLISH_TIMEOUT_MS: `${TIMEOUT_MS}`,
  });
});
afterEach(async () => {
  proxy.open();
  await belfry.stop();
  await proxy.stop();
  await database.drop();
});

describe('when the connection is lost after an append was sent', () => {
  beforeEach(async () => {
    // Its session is open, and the log is not empty.
    await publish('first', 1);
  });

  async function publish(key: string | undefined, count = 3): Promise<Answer> {
    return belfry.request('POST', '/v1/events', {
      token: await admin(),
      ...(key !== undefined && { headers: { 'idempotency-key': key } }),
      body: Array.from({ length: count }, (_, data) => ({ topic: `key:${key ?? 'none'}`, type: 't', data })),
    });
  }

  function idsOf(answer: Answer): string[] {
    return (answer.json as { events: { id: string }[] }).events.map(({ id }) => id);
  }

  async function idsStored(key = 'none'): Promise<number[]> {
    const stored = await storedEvents(database);
    expect(isDense(stored)).toBe(true);
    return stored.filter(({ topic }) => topic === `key:${key}`).map(({ seq }) => seq);
  }

  async function says(part: string): Promise<void> {
    await until(`"${part}" in the log of the instance`, () =>
      belfry.logs.some(line => String(line['msg']).includes(part)),
    );
  }

  it.each(['keyed', undefined])(
    'an answer lost after the commit is found: 201 with the ids (key: %s)',
    async key => {
      const lock = await LogLock.hold(database.url);
      const answer = publish(key);
      await lock.isAwaited({ count: 1 });
      proxy.loseAnswers();
      await lock.release();
      await until('the events in the log', async () => (await idsStored(key)).length === 3);
      await says('the answer to an append was lost');
      proxy.open();
      expect(await answer).toMatchObject({ status: 201 });
      expect(idsOf(await answer).map(seqOf)).toEqual(await idsStored(key));
      expect((await answer).json).toMatchObject({ events: [1, 2, 3].map(() => ({ duplicate: false })) });
    },
  );

  it('subscribers hear what was stored without an answer', async () => {
    const stream = await (await belfry.stream('?topic=key:none')).isReady();
    const lock = await LogLock.hold(database.url);
    const answer = publish(undefined);
    await lock.isAwaited({ count: 1 });
    proxy.cut();
    await lock.release();
    expect(await answer).toMatchObject({ status: 201 });
    await stream.hears(3);
    expect(stream.events.map(({ id }) => id)).toEqual(idsOf(await answer));
    stream.cut();
  });

  it('a request that never reached Postgres is sent again by itself', async () => {
    proxy.blackHole();
    const answer = publish(undefined);
    await until('the request at the appender', () => belfry.app.get(Appender)['running'] !== undefined);
    await new Promise(setImmediate);
    // Whatever was on its way is gone.
    proxy.cut();
    proxy.open();
    expect(await answer).toMatchObject({ status: 201 });
    expect(idsOf(await answer).map(seqOf)).toEqual(await idsStored());
    expect(await idsStored()).toHaveLength(3);
  });

  it('a request that reaches Postgres long after it was given up is not stored, then or later', async () => {
    const [session] = await sessions();
    proxy.blackHoleThese();
    const refused = await publish('late');
    expect(refused).toMatchObject({ status: 503, json: { code: 'database-unavailable' } });
    expect(await idsStored('late')).toEqual([]);
    expect((await sessions()).map(({ pid }) => pid)).toContain(session!.pid);
    // Only now the network delivers it.
    proxy.open();
    await until('the end of the session that was given up', async () =>
      (await sessions()).every(({ pid }) => pid !== session!.pid),
    );
    expect(await idsStored('late')).toEqual([]);
    const voided = await database.rows('select from belfry.voided_batches');
    expect(voided).toHaveLength(1);

    const again = await publish('late');
    expect(again.json).toMatchObject({ events: [1, 2, 3].map(() => ({ duplicate: false })) });
    expect(idsOf(again).map(seqOf)).toEqual(await idsStored('late'));
  });

  it('a backend that still waits for the lock is waited for, and its events are found', async () => {
    const lock = await LogLock.hold(database.url);
    const answer = publish(undefined);
    await lock.isAwaited({ count: 1 });
    await says('the answer to an append was lost');
    // The session that looks for the batch waits behind the one that was given up.
    await lock.isAwaited({ count: 2 });
    await lock.release();
    expect(await answer).toMatchObject({ status: 201 });
    expect(idsOf(await answer).map(seqOf)).toEqual(await idsStored());
    expect(await idsStored()).toHaveLength(3);
  });

  it('and nothing can be found out in time, it says so, and a repeat with the key learns the truth', async () => {
    const lock = await LogLock.hold(database.url);
    const began = performance.now();
    const answer = publish('unknown');
    await lock.isAwaited({ count: 1 });
    proxy.refuse();
    expect(await answer).toMatchObject({ status: 503, json: { code: 'outcome-unknown' } });
    expect(performance.now() - began).toBeLessThan(BOUND_MS);
    proxy.open();
    // The backend has not noticed: it stores the events when its turn comes.
    await lock.release();
    await until('the events in the log', async () => (await idsStored('unknown')).length === 3);
    const again = await publish('unknown');
    expect(again).toMatchObject({ status: 201 });
    expect(again.json).toMatchObject({ events: [1, 2, 3].map(() => ({ duplicate: true })) });
    expect(idsOf(again).map(seqOf)).toEqual(await idsStored('unknown'));
  });

  it('and the lock stays taken, it says so in bounded time, and nothing is stored twice', async () => {
    const lock = await LogLock.hold(database.url);
    const began = performance.now();
    expect(await publish('held')).toMatchObject({ status: 503, json: { code: 'outcome-unknown' } });
    expect(performance.now() - began).toBeLessThan(BOUND_MS);
    await lock.release();
    const again = await publish('held');
    expect(again).toMatchObject({ status: 201 });
    expect(idsOf(again).map(seqOf)).toEqual(await idsStored('held'));
    expect(await idsStored('held')).toHaveLength(3);
  });

  it('requests of its batch that stored nothing of their own get their answers too', async () => {
    const appender = belfry.app.get(Appender);
    const append = (key: string, data: string) => {
      const request: AppendRequest = {
        tenant: 'default',
        events: [{ topic: 'key:none', type: 't', data, key: null, expiresAt: null, dedupeId: null }],
        idempotency: { key, places: [0], digests: [data] },
      };
      return appender.append(request).catch((error: unknown) => error);
    };
    const known = await append('known', '1');
    const used = await append('used', '1');
    expect([known, used]).toMatchObject([[{ duplicate: false }], [{ duplicate: false }]]);

    const lock = await LogLock.hold(database.url);
    const answers = Promise.all([append('new', '1'), append('known', '1'), append('used', '2')]);
    await lock.isAwaited({ count: 1 });
    proxy.cut();
    await lock.release();
    const [fresh, repeat, mismatch] = await answers;
    expect(fresh).toMatchObject([{ duplicate: false }]);
    expect(repeat).toEqual([{ ...(known as object[])[0], duplicate: true }]);
    expect(mismatch).toMatchObject({ failure: 'idempotency-mismatch' });
    expect(await idsStored()).toHaveLength(3);
  });

  async function sessions(): Promise<{ pid: number }[]> {
    return database.rows(
      `select pid from pg_stat_activity where datname = current_database() and application_name = 'belfry-append'`,
    );
  }
});

describe('when the database is away', () => {
  async function publish(count: number): Promise<{ answer: Answer; ms: number }> {
    const began = performance.now();
    const answer = await belfry.request('POST', '/v1/events', {
      token: await admin(),
      body: Array.from({ length: count }, () => ({ topic: 'all', type: 't' })),
    });
    return { answer, ms: performance.now() - began };
  }

  it.each<[string, 'refuse' | 'blackHole' | 'loseQueries']>([
    ['refuses connections', 'refuse'],
    ['takes connections and is silent', 'blackHole'],
    ['starts sessions and answers no query', 'loseQueries'],
  ])('and %s, a publish is refused in bounded time, and works as soon as it is back', async (_how, fault) => {
    proxy[fault]();
    const { answer, ms } = await publish(1);
    expect(answer).toMatchObject({ status: 503, json: { code: 'database-unavailable' } });
    expect(ms).toBeLessThan(BOUND_MS);
    expect(await storedEvents(database)).toEqual([]);
    proxy.cut();
    proxy.open();
    await until('a publish that is stored', async () => (await publish(1)).answer.status === 201);
    expect(await storedEvents(database)).toHaveLength(1);
  });

  it('those that wait behind others are refused in time as well, however many batches they are', async () => {
    proxy.blackHole();
    const answers = await Promise.all(Array.from({ length: 20 }, () => publish(1_000)));
    for (const { answer, ms } of answers) {
      expect(answer).toMatchObject({ status: 503, json: { code: 'database-unavailable' } });
      expect(ms).toBeLessThan(BOUND_MS);
    }
    proxy.cut();
    proxy.open();
    await until('a publish that is stored', async () => (await publish(1)).answer.status === 201);
    expect(await storedEvents(database)).toHaveLength(1);
  });
});

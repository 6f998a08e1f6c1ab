import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, Instance } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { appendBySql, connect } from './sql.append.js';
import { isDense, seqOf, storedEvents } from './stored.js';

const ROUNDS = 40;

describe('two that publish with one key at the same time', () => {
  let database: TestDatabase;
  let instances: Instance[];

  beforeAll(async () => {
    database = await TestDatabase.create();
    instances = await Promise.all([Instance.start(database.url), Instance.start(database.url)]);
  });
  afterAll(async () => {
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  });

  /** Everybody at once: two requests at each instance. */
  async function race(
    body: (racer: number) => object,
    headers: Record<string, string> = {},
  ): Promise<Answer[]> {
    const token = await admin();
    return Promise.all(
      [0, 1, 2, 3].map(racer =>
        instances[racer % 2]!.request('POST', '/v1/events', { token, headers, body: body(racer) }),
      ),
    );
  }

  async function storedFor(topic: string): Promise<number> {
    return (await storedEvents(database)).filter(event => event.topic === topic).length;
  }

  it('store one request, and all hear the same ids', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const topic = `request:${round}`;
      const body = [1, 2, 3].map(data => ({ topic, type: 't', data }));
      const answers = await race(() => body, { 'idempotency-key': `k-${round}` });
      expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
      const events = answers.map(
        ({ json }) => (json as { events: { id: string; duplicate: boolean }[] }).events,
      );
      expect(new Set(events.map(own => own.map(({ id }) => id).join())).size).toBe(1);
      const fresh = events.filter(own => own.every(({ duplicate }) => !duplicate));
      expect(fresh).toHaveLength(1);
      expect(events.filter(own => own.every(({ duplicate }) => duplicate))).toHaveLength(3);
      expect(await storedFor(topic)).toBe(3);
    }
    expect(isDense(await storedEvents(database))).toBe(true);
  });

  it('store one event per dedupeId, whatever requests it comes in', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const topic = `event:${round}`;
      const answers = await race(racer => [
        { topic: `own:${round}`, type: 't', data: racer },
        { topic, type: 't', data: round, dedupeId: `d-${round}` },
      ]);
      const ids = answers.map(({ json }) =>
        (json as { events: { id: string }[] }).events.map(({ id }) => id),
      );
      expect(new Set(ids.map(([own]) => own)).size).toBe(4);
      expect(new Set(ids.map(([, shared]) => shared)).size).toBe(1);
      expect(await storedFor(topic)).toBe(1);
    }
    expect(isDense(await storedEvents(database))).toBe(true);
  });

  it('store one of two bodies, and who came with the other is told so', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const topic = `body:${round}`;
      const answers = await race(racer => ({ topic, type: 't', data: racer }), {
        'idempotency-key': `b-${round}`,
      });
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 422, 422, 422]);
      for (const { json } of answers.filter(({ status }) => status === 422)) {
        expect(json).toMatchObject({ code: 'idempotency-mismatch' });
      }
      expect(await storedFor(topic)).toBe(1);
    }
  });

  it('store once in SQL too, when both waited for the lock with the snapshot of before', async () => {
    const sessions = [await connect(database.url), await connect(database.url)];
    for (let round = 0; round < ROUNDS; round++) {
      const lock = await LogLock.hold(database.url);
      const event = { topic: `sql:${round}`, data: round };
      const calls = sessions.map((session, n) =>
        // The same key for a request in one half of the rounds, for an event in the other.
        round % 2
          ? appendBySql(session, { events: [event], key: `sql-${round}` })
          : appendBySql(session, { events: [{ data: n }, { ...event, dedupeId: `sql-${round}` }] }),
      );
      await lock.isAwaited({ count: 2 });
      await lock.release();
      const answers = await Promise.all(calls);
      const seqs = answers.map(answer => answer.seqs!.at(-1)!);
      expect(seqs[0]).toBe(seqs[1]);
      expect(answers.map(answer => answer.known!.at(-1)).sort()).toEqual([false, true]);
      expect(await storedFor(`sql:${round}`)).toBe(1);
    }
    await Promise.all(sessions.map(session => session.end()));
    expect(isDense(await storedEvents(database))).toBe(true);
  });

  it('do not meet in two tenants', async () => {
    const headers = { 'idempotency-key': 'shared' };
    const ids = await Promise.all(
      ['default', 'other'].map(async tenant => {
        const token = await admin(tenant);
        const body = { topic: 'tenant:1', type: 't' };
        const answer = await instances[0]!.request('POST', '/v1/events', { token, headers, body });
        return (answer.json as { events: { id: string; duplicate: boolean }[] }).events[0]!;
      }),
    );
    expect(ids.map(({ duplicate }) => duplicate)).toEqual([false, false]);
    expect(seqOf(ids[0]!.id)).not.toBe(seqOf(ids[1]!.id));
  });
});

describe('a key that was never used', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await TestDatabase.create();
  });
  afterAll(async () => {
    await database.drop();
  });

  it.each([
    ['none, and Postgres had not counted them', 0, ''],
    ['few, and Postgres had counted them', 3, 'analyze belfry.dedupe'],
  ])(
    'is not looked for among all the others, even by a session whose plans are from when there were %s',
    async (_how, keys, count) => {
      await database.rows('truncate belfry.dedupe');
      // Newer statistics would be news to the session.
      await database.rows('alter table belfry.dedupe set (autovacuum_enabled = off)');
      await database.rows('select belfry.extend_log(100, 100)');
      const client = await connect(database.url);
      await client.query('set plan_cache_mode = force_generic_plan');
      const append = (key: string) => appendBySql(client, { events: [{ dedupeId: `d-${key}` }], key });
      for (let n = 0; n < keys; n++) await append(`k${n}`);
      if (count) await database.rows(count);
      await append('first');
      await database.rows(`
      insert into belfry.dedupe (tenant, id, place, digest, seq)
      select 'default', kind || ':' || n, 0, '', 0 from generate_series(1, 5000) n, (values ('request'), ('event')) t(kind)`);
      await client.query('begin');
      await append('next');
      const { rows } = await client.query<{ read: string }>(
        `select seq_tup_read as read from pg_stat_xact_user_tables where relname = 'dedupe'`,
      );
      await client.query('commit');
      await client.end();
      expect(rows).toEqual([{ read: '0' }]);
    },
  );
});

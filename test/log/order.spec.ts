import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Appender } from '../../src/log/appender.js';
import type { AppendRequest } from '../../src/log/append.batch.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { LogLock } from '../support/log.lock.js';
import { appendBySql, connect } from './sql.append.js';
import { isDense, seqOf, storedEvents } from './stored.js';

describe('the order of the log', () => {
  let database: TestDatabase;
  let one: Instance;
  let other: Instance;
  const clients: SseClient[] = [];

  beforeAll(async () => {
    database = await TestDatabase.create();
    [one, other] = await Promise.all([Instance.start(database.url), Instance.start(database.url)]);
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.cut();
  });
  afterAll(async () => {
    await Promise.all([one.stop(), other.stop()]);
    await database.drop();
  });

  async function listen(instance: Instance): Promise<SseClient> {
    const client = await instance.stream('?topic=*');
    clients.push(client);
    return client.isReady();
  }

  it('is dense under eight publishers at two instances, keeps that of each, and splits no request', async () => {
    const SIZES = [1, 20, 3, 50, 7, 1, 1, 120];
    const publishers = Array.from({ length: 8 }, async (_, publisher) => {
      const instance = publisher % 2 ? one : other;
      const answers: { events: object[]; ids: string[] }[] = [];
      for (let request = 0; request < 24; request++) {
        const events = Array.from({ length: SIZES[(request + publisher) % SIZES.length]! }, (__, n) => ({
          topic: `user:${publisher}`,
          type: 't',
          data: { publisher, request, n },
        }));
        answers.push({ events, ids: await instance.publish(events) });
      }
      return answers;
    });
    const answers = await Promise.all(publishers);

    const stored = await storedEvents(database);
    expect(stored).toHaveLength(answers.flat().flatMap(({ events }) => events).length);
    expect(isDense(stored)).toBe(true);
    for (const [publisher, own] of answers.entries()) {
      const ids = own.flatMap(answer => answer.ids);
      const inLog = stored.filter(event => event.topic === `user:${publisher}`);
      expect(inLog.map(event => event.seq)).toEqual(ids.map(seqOf));
      expect(inLog.map(({ topic, type, data }) => ({ topic, type, data: data as unknown }))).toEqual(
        own.flatMap(answer => answer.events),
      );
      for (const answer of own) {
        const [first] = answer.ids.map(seqOf);
        expect(answer.ids.map(seqOf)).toEqual(answer.ids.map((_, n) => first! + n));
      }
    }
  });

  it('loses nothing to a transaction that takes its place first and commits last', async () => {
    const streams = [await listen(one), await listen(other)];
    const early = await connect(database.url);
    const heads: number[] = [];
    for (let round = 0; round < 10; round++) {
      await early.query('begin');
      const { head } = await appendBySql(early, { events: [{ data: 'early' }, { data: 'early too' }] });
      heads.push(head);
      const late = [
        one.publish({ topic: 'all', type: 't', data: 'one' }),
        other.publish([{ topic: 'all', type: 't', data: 'other' }]),
      ];
      await until('both instances waiting for the transaction', async () => {
        const rows = await database.rows(
          `select from pg_stat_activity where datname = current_database()
            and application_name = 'belfry-append' and wait_event_type = 'Lock'`,
        );
        return rows.length === 2;
      });
      // The instances look at the log meanwhile, and must not take what comes later for what comes next.
      expect(one.tail.position).toBe(head);
      await early.query('commit');
      const seqs = (await Promise.all(late)).flat().map(seqOf);
      expect(seqs.sort((a, b) => a - b)).toEqual([head + 3, head + 4]);
    }
    await early.end();

    const all = await storedEvents(database);
    expect(isDense(all)).toBe(true);
    const expected = all.filter(({ seq }) => seq > heads[0]!);
    expect(expected).toHaveLength(40);
    for (const stream of streams) {
      await stream.hears(40);
      expect(stream.events.map(event => seqOf(event.id))).toEqual(expected.map(event => event.seq));
      expect(stream.payloads).toEqual(expected.map(event => event.data as unknown));
    }
  });

  it('is the order of arrival: a request whose key is in the batch waits, and nobody behind it overtakes', async () => {
    const appender = one.app.get(Appender);
    const lock = await LogLock.hold(database.url);
    const finished: string[] = [];
    const append = async (name: string, key?: string) => {
      const request: AppendRequest = {
        tenant: 'default',
        events: [
          {
            topic: 'all',
            type: 't',
            data: JSON.stringify(key ?? name),
            key: null,
            expiresAt: null,
            dedupeId: null,
          },
        ],
        ...(key !== undefined && { idempotency: { key, places: [0], digests: [key] } }),
      };
      const [placed] = await appender.append(request);
      finished.push(name);
      return placed!;
    };

    const inFlight = append('in flight');
    await lock.isAwaited({ count: 1 });
    const keyed = append('keyed', 'K');
    const neighbour = append('neighbour');
    const repeat = append('repeat', 'K');
    const behind = append('behind');
    const otherKey = append('other key', 'L');
    await lock.release();

    const placed = await Promise.all([inFlight, keyed, neighbour, repeat, behind, otherKey]);
    expect(finished).toEqual(['in flight', 'keyed', 'neighbour', 'repeat', 'behind', 'other key']);
    const first = placed[0].seq;
    expect(placed.map(({ seq }) => seq - first)).toEqual([0, 1, 2, 1, 3, 4]);
    expect(placed.map(({ duplicate }) => duplicate)).toEqual([false, false, false, true, false, false]);

    const batches = (await storedEvents(database)).slice(-5).map(event => event.batch);
    expect(new Set(batches).size).toBe(3);
    expect(batches[1]).toBe(batches[2]);
    expect(batches[3]).toBe(batches[4]);
  });
});

describe('belfry.append', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await TestDatabase.create();
    await database.rows('select belfry.extend_log(100, 200)');
  });
  afterAll(async () => {
    await database.drop();
  });

  it.each(['repeatable read', 'serializable'])(
    'refuses a %s transaction, whose snapshot may be older than its lock',
    async level => {
      const client = await connect(database.url);
      await client.query(`begin isolation level ${level}`);
      await expect(appendBySql(client, { events: [{}] })).rejects.toMatchObject({ code: '25001' });
      await client.query('rollback');
      await client.query(`set default_transaction_isolation = '${level}'`);
      await expect(appendBySql(client, { events: [{}] })).rejects.toMatchObject({ code: '25001' });
      await client.end();
      expect(await storedEvents(database)).toEqual([]);
    },
  );

  it('waits for the disk, whatever synchronous_commit is', async () => {
    const client = await connect(database.url);
    for (const statement of ['select belfry.drain()', '']) {
      await database.rows(`select belfry.publish('all', 't', '1')`);
      await client.query('set synchronous_commit = off; begin');
      await (statement ? client.query(statement) : appendBySql(client, { events: [{}] }));
      const { rows } = await client.query('show synchronous_commit');
      expect(rows).toEqual([{ synchronous_commit: 'on' }]);
      await client.query('rollback');
    }
    await client.end();
    await database.rows('delete from belfry.outbox');
  });

  it('is reached all the same by an instance whose database has another default', async () => {
    await database.rows(`alter database ${database.name} set default_transaction_isolation = 'serializable'`);
    const belfry = await Instance.start(database.url);
    const ids = await belfry.publish([1, 2].map(data => ({ topic: 'all', type: 't', data })));
    expect(ids.map(seqOf)).toEqual([1, 2]);
    await belfry.stop();
  });
});

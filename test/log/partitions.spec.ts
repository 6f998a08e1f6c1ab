import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { LogReader } from '../../src/log/log.reader.js';
import { connect } from './sql.append.js';
import { isDense, seqOf, storedEvents } from './stored.js';

const SIZE = 50;

describe('the partitions of the log', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { PARTITION_EVENTS: `${SIZE}`, REPLAY_EVENTS: '20' });
  });
  beforeEach(async () => {
    // Every test begins with a log that does not end where a partition does.
    await publish(7);
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  async function publish(count: number): Promise<number[]> {
    const events = Array.from({ length: count }, (_, data) => ({
      topic: `user:${data % 3}`,
      type: 't',
      data,
    }));
    return (await belfry.publish(events)).map(seqOf);
  }

  async function head(): Promise<number> {
    const [row] = await database.rows<{ head: string }>('select belfry.log_head() as head');
    return Number(row!.head);
  }

  /** The partitions as Postgres has them, oldest first. */
  async function attached(): Promise<{ name: string; bounds: string }[]> {
    return database.rows(
      `select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bounds
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'belfry.events'::regclass
      order by substr(c.relname, 8)::bigint`,
    );
  }

  async function areAhead(): Promise<void> {
    await until('two partitions ahead of the head', async () => {
      const [row] = await database.rows<{ covered: string }>(
        'select max(to_seq) as covered from belfry.partitions',
      );
      return Number(row!.covered) > (await head()) + 2 * SIZE;
    });
  }

  it('are always there for the next two, one after the other, and the book of them is true', async () => {
    for (let n = 0; n < 20; n++) {
      await publish(30);
      await areAhead();
    }
    expect(isDense(await storedEvents(database))).toBe(true);
    const book = await database.rows<{ name: string; bounds: string }>(
      `select name, format('FOR VALUES FROM (''%s'') TO (''%s'')', from_seq, to_seq) as bounds
      from belfry.partitions order by from_seq`,
    );
    expect(await attached()).toEqual(book);
    expect(book.map(({ name }) => name)).toEqual(book.map((_, n) => `events_${1 + n * SIZE}`));
  });

  it('are not made more often than needed', async () => {
    await publish(7);
    await areAhead();
    expect((await attached()).length * SIZE).toBeLessThanOrEqual((await head()) + 3 * SIZE);
  });

  it('cannot be told from one table when an old cursor is replayed across them', async () => {
    await publish(200);
    const stored = await storedEvents(database);
    const client = await belfry.stream('?topic=user:0&topic=user:1&topic=user:2&lastEventId=earliest');
    await client.hears(stored.length);
    await client.isReady();
    expect(client.events.map(({ id }) => seqOf(id))).toEqual(stored.map(({ seq }) => seq));
    client.cut();
    const wildcard = await belfry.stream('?topic=user:*&lastEventId=earliest');
    await wildcard.hears(stored.length);
    expect(wildcard.events).toEqual(client.events);
    wildcard.cut();

    const reader = belfry.app.get(LogReader);
    const seqs: number[] = [];
    for (;;) {
      const { events } = await reader.next(seqs.at(-1) ?? 0);
      if (events.length === 0) break;
      seqs.push(...events.map(({ seq }) => seq));
    }
    expect(seqs).toEqual(stored.map(({ seq }) => seq));
  });

  it('take a request that is larger than several of them', async () => {
    const seqs = await publish(6 * SIZE);
    expect(seqs).toHaveLength(6 * SIZE);
    expect(isDense(await storedEvents(database))).toBe(true);
    await areAhead();
  });

  it('are added while a reader holds the whole log open, and neither waits for the other', async () => {
    const dump = await connect(database.url);
    await dump.query('begin isolation level repeatable read; lock table belfry.events in access share mode');
    const before = await head();
    const { rows: first } = await dump.query('select count(*) from belfry.events');
    const partitions = (await attached()).length;
    for (let n = 0; n < 10; n++) {
      await publish(30);
      await areAhead();
    }
    expect((await attached()).length).toBeGreaterThanOrEqual(partitions + 5);
    const { rows: second } = await dump.query('select count(*) from belfry.events');
    expect(second).toEqual(first);
    await dump.query('commit');
    const { rows } = await dump.query<{ count: string }>(
      'select count(*) from belfry.events where seq > $1',
      [before],
    );
    expect(Number(rows[0]!.count)).toBe(300);
    await dump.end();
  });

  it('are added by the append itself where they are missing, and its publisher notices nothing', async () => {
    await areAhead();
    const last = await head();
    const doomed = await database.rows<{ name: string }>(
      'select name from belfry.partitions where from_seq > $1',
      [last],
    );
    expect(doomed.length).toBeGreaterThanOrEqual(2);
    // All that lies ahead goes, behind the back of the instance, which thinks that it is covered.
    for (const { name } of doomed) await database.rows(`drop table belfry.${name}`);
    await database.rows('delete from belfry.partitions where from_seq > $1', [last]);

    const requests = Array.from({ length: 4 }, () => publish(SIZE / 2));
    const seqs = (await Promise.all(requests)).flat();
    expect(seqs.sort((a, b) => a - b)).toEqual(seqs.map((_, n) => last + 1 + n));
    expect(isDense(await storedEvents(database))).toBe(true);
    await areAhead();
  });

  it('are added once when several instances see the same need', async () => {
    const others = await Promise.all(
      [1, 2, 3].map(() => Instance.start(database.url, { PARTITION_EVENTS: `${SIZE}` })),
    );
    await Promise.all(
      [belfry, ...others].map(async instance => {
        for (let n = 0; n < 10; n++) {
          await instance.publish(Array.from({ length: 20 }, () => ({ topic: 'all', type: 't' })));
        }
      }),
    );
    await areAhead();
    expect(isDense(await storedEvents(database))).toBe(true);
    const errors = [belfry, ...others].flatMap(({ logs }) =>
      logs.filter(line => String(line['msg']).includes('another partition')),
    );
    expect(errors).toEqual([]);
    await Promise.all(others.map(instance => instance.stop()));
  });
});

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { Database } from '../../src/database/database.js';
import { isLocked, Retention } from '../../src/log/retention.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { appendBySql, connect } from './sql.append.js';
import { isDense, seqOf, storedEvents } from './stored.js';

const SIZE = 20;

let database: TestDatabase;
let sessions: pg.Client[] = [];
let instances: Instance[] = [];

beforeEach(async () => {
  database = await TestDatabase.create();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(sessions.map(session => session.end()));
  await Promise.all(instances.map(instance => instance.stop()));
  sessions = [];
  instances = [];
  await database.drop();
});

async function session(...statements: string[]): Promise<pg.Client & { processID: number }> {
  const client = await connect(database.url);
  sessions.push(client);
  for (const statement of statements) await client.query(statement);
  return client;
}

/** Somebody who reads the log in a transaction that does not end, as pg_dump does. */
function reader(): Promise<pg.Client> {
  return session('begin isolation level repeatable read', 'select from belfry.events limit 1');
}

async function start(env: NodeJS.ProcessEnv = {}): Promise<Instance> {
  const instance = await Instance.start(database.url, { PARTITION_EVENTS: `${SIZE}`, ...env });
  instances.push(instance);
  return instance;
}

/** Events of topic all, whose data is their place, without an instance; in partitions of SIZE. */
async function append(count: number): Promise<void> {
  for (let done = 0; done < count; done += SIZE) {
    await database.rows(`select belfry.extend_log(${SIZE}, ${2 * SIZE})`);
    const events = Array.from({ length: Math.min(SIZE, count - done) }, (_, n) => ({ data: done + n }));
    await appendBySql(database.pool, { events });
  }
}

/** As if the events up to a seq had been stored so much earlier. */
async function age(upTo: number, by = '100 hours'): Promise<void> {
  await database.rows(`update belfry.events set at = at - interval '${by}' where seq <= ${upTo}`);
}

async function trim(client: Pick<pg.Client, 'query'> = database.pool): Promise<number | null> {
  const { rows } = await client.query<{ floor: string | null }>(
    `select belfry.trim_log('72 hours') as floor`,
  );
  const { floor } = rows[0]!;
  return floor === null ? null : Number(floor);
}

async function deleteExpired(most = 5_000): Promise<number> {
  const [row] = await database.rows<{ deleted: number }>(
    `select belfry.delete_expired('72 hours', ${most}) as deleted`,
  );
  return row!.deleted;
}

/** What is said of the log, and the seqs that are in it. */
async function log(): Promise<{ floor: number; head: number; floors: string[]; seqs: number[] }> {
  const [row] = await database.rows<{ floor: string; head: string; floors: string[]; seqs: string[] }>(
    `select belfry.log_floor() as floor, belfry.log_head() as head, array(select seq from belfry.floors) as floors,
      array(select seq from belfry.events order by seq) as seqs`,
  );
  const { floor, head, floors, seqs } = row!;
  return { floor: Number(floor), head: Number(head), floors, seqs: seqs.map(Number) };
}

/** The first seqs of the partitions, from the book of them, which has to be true. */
async function partitions(): Promise<number[]> {
  const book = await database.rows<{ name: string; from: string }>(
    'select name, from_seq as from from belfry.partitions order by from_seq',
  );
  const attached = await database.rows<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'belfry.events'::regclass order by substr(c.relname, 8)::bigint`,
  );
  expect(attached.map(({ name }) => name)).toEqual(book.map(({ name }) => name));
  return book.map(({ from }) => Number(from));
}

async function epochs(): Promise<number> {
  return (await database.rows('select from belfry.epochs')).length;
}

const seqs = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

describe('belfry.trim_log', () => {
  it('drops the oldest partition that is full and has expired, one at a call', async () => {
    await append(50);
    await age(40);
    expect(await trim()).toBe(21);
    expect(await log()).toEqual({ floor: 21, head: 50, floors: ['21'], seqs: seqs(21, 50) });
    expect(await trim()).toBe(41);
    expect(await log()).toEqual({ floor: 41, head: 50, floors: ['41'], seqs: seqs(41, 50) });
    expect(await trim()).toBeNull();
    expect(await partitions()).toEqual([41, 61]);
  });

  it.each([
    ['whose last event has not expired', 50, 19],
    ['that is not full', 19, 19],
  ])('keeps one %s', async (_which, count, expired) => {
    await append(count);
    await age(expired);
    const before = await partitions();
    expect(await trim()).toBeNull();
    expect(await partitions()).toEqual(before);
  });

  it('leaves an empty log when all of it has expired: the next event is the next, in the same epoch', async () => {
    await append(2 * SIZE);
    await age(2 * SIZE);
    expect([await trim(), await trim(), await trim()]).toEqual([21, 41, null]);
    expect(await partitions()).toEqual([41]);
    expect(await log()).toEqual({ floor: 41, head: 40, floors: ['41'], seqs: [] });
    await append(3);
    expect(await log()).toMatchObject({ floor: 41, head: 43, seqs: [41, 42, 43] });
    expect(await epochs()).toBe(1);
  });

  it('lets nobody act on the head while it takes the head away', async () => {
    await append(SIZE);
    await age(SIZE);
    const [{ name }] = (await database.rows('select name from belfry.epochs')) as [{ name: string }];
    const trimming = await session('begin');
    expect(await trim(trimming)).toBe(21);
    // A tail that looks whether the log still reaches as far as it knows.
    const checking = await session();
    const checked = checking.query('select belfry.check_epoch($1, $2)', [[name], SIZE]);
    await until('the check waits', async () => {
      const waiting = await database.rows('select from pg_locks where pid = $1 and not granted', [
        checking.processID,
      ]);
      return waiting.length > 0;
    });
    await trimming.query('commit');
    await checked;
    expect(await epochs()).toBe(1);
  });

  it('drops each partition once when many try at once', async () => {
    await append(10 * SIZE + 1);
    await age(10 * SIZE);
    const floors: number[] = [];
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const client = await session();
        while (floors.length < 10) {
          const floor = await trim(client).catch((error: unknown) => {
            // Each of them looks where the log begins and ends, which counts as reading.
            if (!isLocked(error)) throw error;
            return null;
          });
          if (floor !== null) floors.push(floor);
        }
      }),
    );
    // Answers to different sessions may come in another order.
    expect(floors.sort((a, b) => a - b)).toEqual(Array.from({ length: 10 }, (_, n) => 1 + (n + 1) * SIZE));
    expect((await log()).seqs).toEqual([201]);
  });

  it('gives up at once while somebody reads the log, and appends and reads go on', async () => {
    await append(50);
    await age(40);
    const dump = await reader();
    await database.rows(`select belfry.extend_log(${SIZE}, 1000)`);
    const done = new AbortController();
    const waits: number[] = [];
    const drops = (async () => {
      try {
        for (let n = 0; n < 10; n++) {
          const began = performance.now();
          await expect(trim()).rejects.toMatchObject({ code: '55P03' });
          waits.push(performance.now() - began);
        }
      } finally {
        done.abort();
      }
    })();
    let rounds = 0;
    for (; !done.signal.aborted; rounds++) {
      await appendBySql(database.pool, { events: [{}] });
      await database.rows('select count(*) from belfry.events');
    }
    await drops;
    // Not a measurement: 50 ms are waited for each of up to three locks, and this machine may be busy.
    expect(Math.min(...waits)).toBeLessThan(200);
    expect(rounds).toBeGreaterThan(0);
    await dump.query('commit');
    expect(await trim()).toBe(21);
    expect((await log()).seqs).toEqual(seqs(21, 50 + rounds));
  });
});

describe('belfry.delete_expired', () => {
  it('deletes what has expired of a partition that is not full, the oldest first, so many at most', async () => {
    await append(18);
    await age(12);
    expect([await deleteExpired(7), await deleteExpired(7), await deleteExpired(7)]).toEqual([7, 5, 0]);
    expect(await log()).toEqual({ floor: 13, head: 18, floors: ['13'], seqs: seqs(13, 18) });
  });

  it('leaves an empty log when all of it has expired: the next event is the next, in the same epoch', async () => {
    await append(18);
    await age(18);
    expect(await deleteExpired()).toBe(18);
    expect(await log()).toEqual({ floor: 19, head: 18, floors: ['19'], seqs: [] });
    const { epoch } = await appendBySql(database.pool, { events: [{}, {}, {}] });
    expect(await log()).toEqual({ floor: 19, head: 21, floors: ['19'], seqs: [19, 20, 21] });
    await database.rows('select belfry.check_epoch($1, 21)', [[epoch]]);
    expect(await epochs()).toBe(1);
    await age(21);
    expect(await trim()).toBe(21);
    expect((await log()).seqs).toEqual([21]);
  });

  it('leaves a partition that is full to be dropped as a whole', async () => {
    await append(SIZE);
    await age(SIZE - 1);
    expect(await deleteExpired()).toBe(0);
    await append(5);
    expect(await deleteExpired()).toBe(0);
    expect((await log()).floor).toBe(1);
  });

  it('stops at the first event that has not expired, so that there is no hole when a clock was set back', async () => {
    await append(18);
    await age(18);
    await database.rows('update belfry.events set at = now() where seq = 5');
    expect([await deleteExpired(), await deleteExpired()]).toEqual([4, 0]);
    expect((await log()).seqs).toEqual(seqs(5, 18));
  });

  it('waits for nobody: a reader sees what it saw, and appends go on', async () => {
    await append(15);
    await age(10);
    const dump = await reader();
    const counted = async () =>
      (await dump.query<object>('select count(*), belfry.log_floor() from belfry.events')).rows;
    expect(await deleteExpired()).toBe(10);
    await append(1);
    expect(await counted()).toEqual([{ count: '15', log_floor: '1' }]);
    await dump.query('commit');
    expect(await counted()).toEqual([{ count: '6', log_floor: '11' }]);
  });

  it('makes it no slower to find where the log begins and ends, while an old snapshot keeps what was deleted', async () => {
    await database.rows('select belfry.extend_log(10000, 10000)');
    for (let n = 0; n < 5; n++) {
      await appendBySql(database.pool, { events: Array.from({ length: 1_000 }, () => ({})) });
    }
    await age(5_000);
    await reader();
    expect(await deleteExpired()).toBe(5_000);
    const rows = await database.rows<{ 'QUERY PLAN': { Plan: Record<string, number> }[] }>(
      'explain (analyze, buffers, format json) select belfry.log_floor(), belfry.log_head()',
    );
    const { Plan } = rows[0]!['QUERY PLAN'][0]!;
    expect(Plan['Shared Hit Blocks']! + Plan['Shared Read Blocks']!).toBeLessThan(200);
  });
});

describe('belfry.prune', () => {
  const prune = async (most: number) => {
    const [row] = await database.rows<{ deleted: number }>(
      `select belfry.prune('24 hours', ${most}) as deleted`,
    );
    return row!.deleted;
  };
  const remember = (from: number, to: number, hours: number) =>
    database.rows(
      `insert into belfry.dedupe (tenant, id, place, digest, seq, stored_at)
      select 'default', 'event:' || n, 0, '', n, now() - interval '${hours} hours' from generate_series(${from}, ${to}) n`,
    );

  it('forgets keys that are older, so many at a time', async () => {
    await remember(1, 25, 25);
    await remember(26, 30, 23);
    expect([await prune(10), await prune(10), await prune(10), await prune(10)]).toEqual([10, 10, 5, 0]);
    expect(await database.rows('select id from belfry.dedupe order by seq')).toEqual(
      seqs(26, 30).map(n => ({ id: `event:${n}` })),
    );
  });

  it('clears tickets whose owners never came back, and waits for none that is being spent', async () => {
    await database.rows(
      `insert into belfry.tickets (hash, tenant, grants, expires_at)
      select int4send(n), 'default', '{}', now() + n * interval '1 second' from generate_series(-25, 5) n where n <> 0`,
    );
    const spending = await session(
      'begin',
      'select from belfry.tickets where hash = int4send(-1) for update',
    );
    expect([await prune(10), await prune(10), await prune(10), await prune(10)]).toEqual([10, 10, 4, 0]);
    await spending.query('commit');
    expect(await prune(10)).toBe(1);
    expect(await database.rows('select from belfry.tickets')).toHaveLength(5);
  });

  it('leaves one row of how far the outbox was moved, and it is moved on', async () => {
    await append(1);
    for (let n = 0; n < 5; n++) {
      await database.rows(`select belfry.publish('all', 't', '${n}')`);
      await database.rows('select belfry.drain()');
    }
    expect((await database.rows('select from belfry.drains')).length).toBeGreaterThan(1);
    await prune(10);
    expect(await database.rows('select from belfry.drains')).toHaveLength(1);
    await database.rows(`select belfry.publish('all', 't', '5')`);
    await database.rows('select belfry.drain()');
    expect((await storedEvents(database)).slice(1).map(({ data }) => data as number)).toEqual([
      0, 1, 2, 3, 4, 5,
    ]);
  });

  it('is done by one of several at once', async () => {
    await remember(1, 5, 25);
    const other = await session('begin');
    await other.query(`select belfry.prune('24 hours', 3)`);
    expect(await prune(3)).toBe(0);
    await other.query('commit');
    expect(await prune(3)).toBe(2);
  });
});

describe('an instance', () => {
  const retention = (instance: Instance) => instance.app.get(Retention);

  async function publish(instance: Instance, count: number): Promise<string[]> {
    return instance.publish(
      Array.from({ length: count }, (_, data) => ({ topic: 'user:1', type: 't', data })),
    );
  }

  it('drops what has expired soon after it starts, without being asked', async () => {
    await append(50);
    await age(45);
    const instance = await start();
    await until('the tail knows', () => instance.tail.floor === 46);
    expect((await log()).seqs).toEqual(seqs(46, 50));
  });

  it.each([
    ['in partitions', 60, 41],
    ['in a partition that is not full', 18, 14],
  ])('keeps events for RETENTION_HOURS, by the clock of the database, %s', async (_where, count, floor) => {
    const [patient, strict] = [await start({ RETENTION_HOURS: '6' }), await start({ RETENTION_HOURS: '4' })];
    await publish(patient, count);
    await age(floor - 1, '5 hours');
    const now = Date.now.bind(Date);
    jest.spyOn(Date, 'now').mockImplementation(() => now() + 365 * 24 * 3_600_000);
    await retention(patient).trim();
    expect((await log()).floor).toBe(1);
    await retention(strict).trim();
    expect(await log()).toEqual({ floor, head: count, floors: [`${floor}`], seqs: seqs(floor, count) });
  });

  it('remembers keys for DEDUPE_HOURS, and then takes the same request as a new one', async () => {
    const instance = await start({ DEDUPE_HOURS: '30' });
    const repeat = (key: string) =>
      instance.publish({ topic: 'user:1', type: 't' }, { 'idempotency-key': key });
    const [first, second] = [await repeat('first'), await repeat('second')];
    await database.rows(
      `update belfry.dedupe set stored_at = stored_at - case id when 'request:first' then 31 else 29 end * interval '1 hour'`,
    );
    await retention(instance).trim();
    expect(await repeat('second')).toEqual(second);
    expect(await repeat('first')).not.toEqual(first);
    expect(isDense(await storedEvents(database))).toBe(true);
  });

  it('deletes thousands at a time until nothing is left', async () => {
    const instance = await start({ PARTITION_EVENTS: '20000' });
    // Its own first look, a moment after the start, would take some of what is counted here.
    clearTimeout(retention(instance)['timer']);
    await retention(instance)['running'];
    for (let n = 0; n < 6; n++) await publish(instance, 1_000);
    await age(5_999);
    await database.rows(
      `insert into belfry.dedupe (tenant, id, place, digest, seq, stored_at)
      select 'default', 'event:' || n, 0, '', n, now() - interval '1 year' from generate_series(1, 5500) n`,
    );
    const query = jest.spyOn(instance.app.get(Database), 'query');
    await retention(instance).trim();
    expect((await log()).seqs).toEqual([6_000]);
    expect(await database.rows('select from belfry.dedupe')).toEqual([]);
    const answers = (await Promise.all(query.mock.results.map(({ value }) => value))) as object[][];
    const deleted = answers.map(([row]) => (row as { deleted?: number } | undefined)?.deleted ?? 0);
    expect(deleted.filter(count => count > 0)).toEqual([5_000, 500, 5_000, 999]);
  });

  it('drops each partition once, however many instances do, while they publish', async () => {
    const all = await Promise.all([start(), start(), start()]);
    await publish(all[0], 10 * SIZE);
    await age(10 * SIZE);
    let dropping = true;
    const publishing = all.map(async instance => {
      while (dropping) await publish(instance, 7);
    });
    await until('all is dropped', async () => {
      // One that was reading is in the way of one that drops; it tries again.
      await Promise.allSettled(all.map(instance => retention(instance).trim()));
      return (await log()).floor > 10 * SIZE;
    });
    dropping = false;
    await Promise.all(publishing);
    const said = all.flatMap(({ logs }) =>
      logs.flatMap(({ msg }) => /before seq (\d+) have expired/.exec(String(msg))?.[1] ?? []),
    );
    expect(said.map(Number).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 10 }, (_, n) => 1 + (n + 1) * SIZE),
    );
    const { floor, head, seqs: left } = await log();
    expect(left).toEqual(seqs(floor, head));
  });

  it('tries again when somebody was reading, says nothing of it, and is done when the reader is', async () => {
    await append(50);
    const dump = await reader();
    await age(40);
    const pauses = jest.spyOn(Retention.prototype as unknown as { schedule(ms: number): void }, 'schedule');
    const instance = await start();
    await until('two attempts', () => pauses.mock.calls.length > 2);
    // After the start, and then twice as long each time: an attempt holds up others for a moment.
    expect(pauses.mock.calls.slice(0, 3)).toEqual([[1_000], [1_000], [2_000]]);
    await publish(instance, 5);
    expect((await log()).floor).toBe(1);
    await dump.query('commit');
    const said = () => instance.logs.filter(({ context }) => context === 'Retention').map(({ msg }) => msg);
    await until('two drops', () => said().length > 1);
    expect((await log()).floor).toBe(41);
    expect(said()).toEqual([21, 41].map(n => expect.stringContaining(`before seq ${n} `) as unknown));
  });

  it('tells a cursor from before the drop that it has expired, without asking Postgres, within a second', async () => {
    const all = await Promise.all([start({ RING_EVENTS: '1' }), start({ RING_EVENTS: '1' })]);
    const ids = await publish(all[0], 50);
    await until('both have read it', () => all.every(({ tail }) => tail.position === 50));
    await age(40);
    await retention(all[0]).trim();
    // The poll of a second, and some for the machine.
    await until('both know', () => all.every(({ tail }) => tail.floor === 41), 2_000);
    for (const instance of all) {
      const query = jest.spyOn(pg.Client.prototype, 'query');
      const client = await instance.stream('?topic=user:1', { headers: { 'last-event-id': ids[20]! } });
      await client.isReady();
      const asked = query.mock.calls.map(([what]) =>
        typeof what === 'string' ? what : (what as { text: string }).text,
      );
      expect(asked.filter(text => text.includes('belfry.events'))).toEqual([]);
      expect(client.heard.map(({ event }) => event)).toEqual(['reset', 'ready']);
      expect(JSON.parse(client.heard[0]!.data)).toMatchObject({ reason: 'expired' });
      client.cut();
      query.mockRestore();
    }
  });

  it('sends no more than is kept to who begins with the oldest event, whatever is in memory', async () => {
    const instance = await start();
    const ids = await publish(instance, 15);
    await age(10);
    await retention(instance).trim();
    await until('the tail knows', () => instance.tail.floor === 11);
    const client = await instance.stream('?topic=user:1&lastEventId=earliest');
    await client.isReady();
    expect(client.events.map(({ id }) => id)).toEqual(ids.slice(10));
    client.cut();
  });

  it('serves a log that has become empty', async () => {
    const instance = await start({ RING_EVENTS: '1' });
    const ids = await publish(instance, 15);
    await age(15);
    await retention(instance).trim();
    await until('the tail knows', () => instance.tail.floor === 16);
    const [earliest, behind, there] = await Promise.all(
      ['earliest', ids[3]!, ids[14]!].map(async id =>
        (await instance.stream('?topic=user:1', { headers: { 'last-event-id': id } })).isReady(),
      ),
    );
    const [next] = await publish(instance, 1);
    expect(seqOf(next)).toBe(16);
    for (const client of [earliest!, behind!, there!]) {
      await client.hears(1);
      expect(client.events.map(({ id }) => id)).toEqual([next]);
      client.cut();
    }
    expect(behind!.controls('reset')).toHaveLength(1);
    expect(earliest!.controls('reset').concat(there!.controls('reset'))).toEqual([]);
  });
});

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { AppendSession } from '../../src/log/append.session.js';
import { Appender } from '../../src/log/appender.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { appendBySql, connect } from './sql.append.js';
import { seqOf, storedEvents } from './stored.js';

describe('looking for a batch whose answer was lost', () => {
  let database: TestDatabase;
  let session: pg.Client & { processID: number };
  let zombie: pg.Client & { processID: number };

  beforeAll(async () => {
    database = await TestDatabase.create();
    await database.rows('select belfry.extend_log(1000, 2000)');
  });
  beforeEach(async () => {
    [session, zombie] = await Promise.all([connect(database.url), connect(database.url)]);
  });
  afterEach(async () => {
    await Promise.all([session.end(), zombie.end()]);
  });
  afterAll(async () => {
    await database.drop();
  });

  async function settle(client: pg.Client, batch: string, after = 0) {
    const { rows } = await client.query<{ batch_index: number; seq: string; epoch: string }>(
      'select batch_index, seq, epoch from belfry.settle_batch($1, $2)',
      [batch, after],
    );
    return rows.map(row => ({ ...row, seq: Number(row.seq) }));
  }

  it('finds its rows, with their places in the batch', async () => {
    const batch = randomUUID();
    const events = [{ data: 1 }, { data: 2 }, { data: 3 }];
    const { head, epoch } = await appendBySql(session, { batch, events });
    const found = [1, 2, 3].map(n => ({ batch_index: n, seq: head + n, epoch }));
    expect(await settle(zombie, batch, head)).toEqual(found);
    expect(await settle(zombie, batch)).toEqual(found);
  });

  it('gives the places of what was new, when the rest was known', async () => {
    const known = { data: 'known', dedupeId: 'known' };
    await appendBySql(session, { events: [known] });
    const batch = randomUUID();
    const { head, seqs } = await appendBySql(session, { batch, events: [{}, known, {}] });
    expect(seqs![1]).toBe(head);
    expect(await settle(session, batch)).toMatchObject([
      { batch_index: 1, seq: head + 1 },
      { batch_index: 3, seq: head + 2 },
    ]);
  });

  it('voids a batch that is not there, and the append that comes after all stores nothing', async () => {
    const batch = randomUUID();
    expect(await settle(session, batch)).toEqual([]);
    const before = await storedEvents(database);
    await expect(appendBySql(zombie, { batch, events: [{}] })).rejects.toMatchObject({ code: 'BF001' });
    expect(await storedEvents(database)).toEqual(before);
    // However often it is looked for.
    expect(await settle(session, batch)).toEqual([]);
  });

  it.each(['append', 'settle'])(
    'agrees with an append that still waits for the lock, when %s comes first',
    async first => {
      const batch = randomUUID();
      const topic = `zombie:${first}`;
      const lock = await LogLock.hold(database.url);
      let outcome: Promise<string | undefined> | undefined;
      let found: ReturnType<typeof settle> | undefined;
      const append = async () => {
        outcome = appendBySql(zombie, { batch, events: [{ topic }, { topic }], key: first }).then(
          () => 'stored',
          (error: unknown) => (error as pg.DatabaseError).code,
        );
        await lock.isAwaited({ pid: zombie.processID });
      };
      const look = async () => {
        found = settle(session, batch);
        await lock.isAwaited({ pid: session.processID });
      };
      // Postgres hands the lock out in the order of the waits.
      for (const call of first === 'append' ? [append, look] : [look, append]) await call();
      await lock.release();

      if (first === 'append') {
        expect(await outcome).toBe('stored');
        expect(await found).toMatchObject([{ batch_index: 1 }, { batch_index: 2 }]);
      } else {
        expect(await outcome).toBe('BF001');
        expect(await found).toEqual([]);
        // The key is free: the batch can be sent again under a new name.
        const again = await appendBySql(session, { events: [{ topic }, { topic }], key: first });
        expect(again.known).toEqual([false, false]);
      }
      expect((await storedEvents(database)).filter(event => event.topic === topic)).toHaveLength(2);
    },
  );

  it('forgets void batches after a day, and not sooner', async () => {
    const old = randomUUID();
    const recent = randomUUID();
    await settle(session, old);
    await settle(session, recent);
    await database.rows(
      `update belfry.voided_batches set voided_at = now() - interval '25 hours' where id = $1`,
      [old],
    );
    await database.rows(
      `update belfry.voided_batches set voided_at = now() - interval '23 hours' where id = $1`,
      [recent],
    );
    await settle(session, randomUUID());
    const left = await database.rows<{ id: string }>('select id from belfry.voided_batches');
    expect(left.map(({ id }) => id)).toContain(recent);
    expect(left.map(({ id }) => id)).not.toContain(old);
  });

  it('begins behind what others had stored before, however long ago this instance did', async () => {
    const belfry = await Instance.start(database.url);
    const event = { topic: 'all', type: 't' };
    await belfry.publish(event);
    const { head } = await appendBySql(session, { events: Array.from({ length: 100 }, () => ({})) });
    // As if that had been a while ago.
    belfry.app.get<object, { headAt: number }>(Appender).headAt = -Infinity;
    const append = Reflect.get(AppendSession.prototype, 'append');
    jest.spyOn(AppendSession.prototype, 'append').mockImplementationOnce(async function (
      this: AppendSession,
      ...call
    ) {
      await append.apply(this, call);
      throw new Error('the answer was lost');
    });
    const settling = jest.spyOn(AppendSession.prototype, 'settle');
    const [id] = await belfry.publish(event);
    expect(settling.mock.calls.map(([, after]) => after)).toEqual([head + 100]);
    expect(seqOf(id)).toBe(head + 101);
    jest.restoreAllMocks();
    await belfry.stop();
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Appender } from '../../src/log/appender.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, Instance } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { isDense, seqOf, storedEvents } from './stored.js';

function firstSeq({ json }: Answer): number {
  return seqOf((json as { events: { id: string }[] }).events[0]?.id);
}

describe('a batch with events that Postgres refuses', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url);
    await database.rows(`alter table belfry.events add constraint no_poison check (type <> 'poison')`);
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  it.each([[[0]], [[49]], [[7, 23, 24, 48]], [[...Array(50).keys()]]])(
    'fails the culprits %j alone, stores their neighbours and keeps the order',
    async culprits => {
      const appender = belfry.app.get(Appender);
      const token = await admin();
      const post = (body: object) => belfry.request('POST', '/v1/events', { token, body });
      const lock = await LogLock.hold(database.url);
      const before = post({ topic: 'all', type: 'before' });
      await lock.isAwaited({ count: 1 });
      const answers = Array.from({ length: 50 }, (_, n) =>
        post({ topic: 'all', type: culprits.includes(n) ? 'poison' : 'good', data: n }),
      );
      await until('all requests in the queue', () => appender['queue']['requests'].length === 50);
      const arrived = appender['queue']['requests'].map(({ events }) => Number(events[0]!.data));
      await lock.release();

      const head = firstSeq(await before);
      const seqs = new Map<number, number>();
      for (const [n, answer] of (await Promise.all(answers)).entries()) {
        if (culprits.includes(n)) {
          expect(answer).toMatchObject({ status: 400, json: { code: 'data-invalid', index: 0 } });
        } else {
          expect(answer.status).toBe(201);
          seqs.set(n, firstSeq(answer));
        }
      }
      const good = arrived.filter(n => !culprits.includes(n));
      expect(good.map(n => seqs.get(n))).toEqual(good.map((_, place) => head + 1 + place));
      const stored = await storedEvents(database);
      expect(isDense(stored)).toBe(true);
      expect(stored.filter(({ seq }) => seq > head).map(({ data }) => data as number)).toEqual(good);
    },
  );

  it('refuses a request with one culprit as a whole', async () => {
    const answer = await belfry.request('POST', '/v1/events', {
      token: await admin(),
      body: ['good', 'poison', 'good'].map(type => ({ topic: 'whole:1', type })),
    });
    expect(answer).toMatchObject({ status: 400, json: { code: 'data-invalid' } });
    expect((await storedEvents(database)).filter(({ topic }) => topic === 'whole:1')).toEqual([]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';

describe('the doorbell is a hint', () => {
  let database: TestDatabase;
  let one: Instance;
  let two: Instance;
  let clients: SseClient[];

  beforeAll(async () => {
    database = await TestDatabase.create();
    [one, two] = await Promise.all([Instance.start(database.url), Instance.start(database.url)]);
    clients = await Promise.all([one, two].map(async belfry => (await belfry.stream('?topic=*')).isReady()));
  });
  afterAll(async () => {
    for (const client of clients) client.cut();
    await Promise.all([one.stop(), two.stop()]);
    await database.drop();
  });

  /** Appends as an instance would that dies before it rings. */
  async function appendInSilence(topic: string): Promise<void> {
    await database.rows(
      `select belfry.append($1, false, '{0}', '{0}', '{default}', array[$2], '{silent}', '{null}', '{1}', '{null}',
        '{null}', '{null}', '{null}', '{null}')`,
      [randomUUID(), topic],
    );
  }

  async function everybodyHas(ids: string[]): Promise<void> {
    for (const client of clients) {
      await until('all events', () => client.events.length >= ids.length);
      expect(client.events.map(event => event.id)).toEqual(ids);
    }
  }

  it('one instance hears what the other publishes, in the order of the log', async () => {
    const published = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        (n % 2 ? one : two).publish({ topic: `room:${n % 3}`, type: 'a', data: n }),
      ),
    );
    const ids = published.flat().sort((a, b) => Number(a.split('.')[1]) - Number(b.split('.')[1]));
    await everybodyHas(ids);
  });

  it('an event whose bell was never rung is found', async () => {
    const before = clients[0]!.events.map(event => event.id!);
    await appendInSilence('room:silent');
    const epoch = before[0]!.split('.')[0]!;
    await everybodyHas([...before, `${epoch}.${before.length + 1}`]);
  });

  it('bells that are late, doubled, ahead of the log or nonsense change nothing', async () => {
    const before = clients[0]!.events.map(event => event.id!);
    for (const payload of ['1', '1', '0', '-5', '99999999', 'NaN', '', 'x'.repeat(7_000)]) {
      await database.rows('select pg_notify($1, $2)', ['belfry', payload]);
    }
    const ids = await one.publish([
      { topic: 'room:1', type: 'a' },
      { topic: 'room:2', type: 'a' },
    ]);
    for (let n = 0; n < 20; n++) await database.rows('select pg_notify($1, $2)', ['belfry', String(n)]);
    await everybodyHas([...before, ...ids]);
  });

  it('a LISTEN session that is killed costs nothing: it is replaced, and what was rung meanwhile is read', async () => {
    const before = clients[0]!.events.map(event => event.id!);
    const sessions = () =>
      database.rows<{ pid: number }>(
        `select pid from pg_stat_activity where application_name = 'belfry-listen' and datname = $1`,
        [database.name],
      );
    const old = await sessions();
    expect(old).toHaveLength(2);
    for (const { pid } of old) await database.rows('select pg_terminate_backend($1)', [pid]);
    const ids = await one.publish(
      Array.from({ length: 5 }, (_, data) => ({ topic: 'room:1', type: 'a', data })),
    );
    await everybodyHas([...before, ...ids]);
    await until('both listen again', async () => {
      const now = await sessions();
      return now.length === 2 && now.every(({ pid }) => !old.some(session => session.pid === pid));
    });
    const more = await two.publish({ topic: 'room:2', type: 'a' });
    await everybodyHas([...before, ...ids, ...more]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { OutboxDrainer } from '../../src/log/outbox.drainer.js';
import { faultsOf } from '../log/faults.js';
import { connect } from '../log/sql.append.js';
import { storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { type Act, areServed, type Delay, usualP99 } from './act.js';
import { PacedPublisher } from './paced.publisher.js';
import { SqlWriter } from './sql.writer.js';

/** In milliseconds; half of it, in the middle, with a transaction that is open and does nothing. */
const LENGTH_MS = 60_000;
/** Shorter delays than this are told from each other by luck, in milliseconds. */
const NOTICED_MS = 25;

const WRITERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const PUBLISHERS = ['a', 'b', 'c', 'd'];

describe('when transactions of all kinds publish, and others over HTTP, and three instances drain', () => {
  let database: TestDatabase;
  let instances: Instance[];
  let clients: SseClient[] = [];
  let writers: SqlWriter[] = [];
  let publishers: PacedPublisher[] = [];
  let running: Promise<unknown> = Promise.resolve();

  beforeAll(async () => {
    database = await TestDatabase.create();
    instances = await Promise.all([1, 2, 3].map(() => Instance.start(database.url)));
  });
  afterAll(async () => {
    stop();
    await Promise.allSettled([running]);
    clients.forEach(client => {
      client.cut();
    });
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  });

  function stop(): void {
    [...writers, ...publishers].forEach(one => {
      one.stop();
    });
  }

  it(
    'nothing is lost, doubled or out of order, and who waits holds up nobody',
    async () => {
      const token = await admin();
      clients = await Promise.all(
        instances.map(async instance => (await instance.stream('?topic=*')).isReady()),
      );
      const drains = instances.map(() => 0);
      instances.forEach((instance, n) => {
        instance.app.get(OutboxDrainer).drained.subscribe(() => drains[n]!++);
      });
      writers = WRITERS.map(name => new SqlWriter(name, database.url));
      publishers = PUBLISHERS.map(
        (name, n) =>
          new PacedPublisher(
            name,
            ({ body }) => instances[n % 3]!.request('POST', '/v1/events', { token, body }),
            40,
            3,
          ),
      );
      running = Promise.all([...writers, ...publishers].map(one => one.run()));
      // Whoever fails early must not be waited for.
      const failed = running.then(() => undefined);
      /** Not a wait: so long the load goes on. */
      const goOn = (ms: number) => Promise.race([delay(ms), failed]);

      // The first calls are slower than all others.
      await goOn(2_000);
      const beganAt = performance.now();
      await goOn(LENGTH_MS / 4);
      const idle = await idleFor(() => goOn(LENGTH_MS / 2));
      await goOn(LENGTH_MS / 4);
      stop();
      await running;

      const acts = [...writers, ...publishers].flatMap((one): readonly Act[] => one.acts);
      const all = [...acts, idle];
      const count = all.reduce((sum, { data }) => sum + data.length, 0);
      await until('all of it in the log', async () => {
        const [row] = await database.rows<{ head: string }>('select belfry.log_head() as head');
        return Number(row!.head) >= count;
      });
      const log = await storedEvents(database);
      areServed(all, log);
      for (const client of clients) {
        await client.hears(count);
        expect(client.events.map(({ id }) => Number(id!.split('.')[1]))).toEqual(log.map(({ seq }) => seq));
        expect(client.controls('reset')).toEqual([]);
      }
      expect(await faultsOf(database.url)).toEqual([]);
      // All of them were at it, or this shows nothing.
      for (const moved of drains) expect(moved).toBeGreaterThan(0);
      for (const writer of writers) expect(writer.takenBack).toBeGreaterThan(0);

      const heardAt = new Map(
        clients[0]!.heard.flatMap(({ data }, n) => {
          const { topic, data: number } = JSON.parse(data) as { topic?: string; data?: number };
          return topic === undefined ? [] : [[`${topic} ${number}`, clients[0]!.heardAt[n]!] as const];
        }),
      );
      /** From the commit, or the request, until it was heard. */
      const delays = (door: string) =>
        acts
          .filter(act => act.topic.startsWith(door))
          .flatMap(({ topic, data, beganAt, endedAt }) =>
            data.map((n): Delay => {
              const at = door === 'writer' ? endedAt : beganAt;
              return { at, ms: heardAt.get(`${topic} ${n}`)! - at };
            }),
          );
      const quarter = (n: number) => beganAt + (LENGTH_MS / 4) * n;
      for (const door of ['writer', 'publisher']) {
        const without = usualP99(delays(door), [quarter(0), quarter(1)], [quarter(3), quarter(4)]);
        const meanwhile = usualP99(delays(door), [quarter(1), quarter(3)]);
        process.stdout.write(
          `${door}: p99 ${without.toFixed(1)} ms, beside an idle transaction ${meanwhile.toFixed(1)} ms\n`,
        );
        expect(meanwhile).toBeLessThan(2 * Math.max(without, NOTICED_MS));
      }
    },
    LENGTH_MS + 60_000,
  );

  /** A transaction that publishes, then does nothing, publishes again and commits. */
  async function idleFor(wait: () => Promise<void>): Promise<Act> {
    const client = await connect(database.url);
    const publish = (n: number) => client.query('select belfry.publish($1, $2, $3)', ['writer:idle', 't', n]);
    await client.query('begin');
    const beganAt = performance.now();
    await publish(0);
    await wait();
    await publish(1);
    await client.query('commit');
    const endedAt = performance.now();
    await client.end();
    return { topic: 'writer:idle', data: [0, 1], beganAt, endedAt };
  }
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestProcess } from '../database/processes.js';
import { LogLock } from '../support/log.lock.js';
import { storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin } from '../support/instance.js';
import { KeyedPublisher } from './keyed.publisher.js';
import { Service } from './service.js';

const ROUNDS = 20;

describe('when the service is killed', () => {
  let database: TestDatabase;
  const services: TestProcess[] = [];
  let publishers: KeyedPublisher[] = [];
  let running: Promise<unknown> = Promise.resolve();

  beforeAll(async () => {
    database = await TestDatabase.create();
  });
  afterAll(async () => {
    // After a failure there are some left.
    publishers.forEach(publisher => {
      publisher.abandon();
    });
    await Promise.all([...services.map(service => service.end('SIGKILL')), running]);
    await database.drop();
  });

  it('at any point in the life of a request, no request is half stored, lost or doubled', async () => {
    const token = await admin();
    const start = () => Service.start(database.url, process => services.push(process));
    let service = await start();
    let next = start();
    publishers = ['a', 'b', 'c'].map(
      name => new KeyedPublisher(name, request => service.publish(token, request)),
    );
    running = Promise.all(publishers.map(publisher => publisher.run()));
    const acknowledged = () => publishers.reduce((sum, publisher) => sum + publisher.acknowledged, 0);

    /** Ways to choose the moment. */
    const moments: (() => Promise<LogLock | undefined>)[] = [
      async () => {
        // Not a wait: the kill is to fall anywhere in the life of a request, which takes a few milliseconds.
        await delay(Math.random() * 15);
        return undefined;
      },
      // Sent, and Postgres has not stored it: it will, after the service is dead.
      async () => {
        const lock = await LogLock.hold(database.url);
        await lock.isAwaited({ count: 1 });
        return lock;
      },
      // Just after an answer, when the next ones are on their way.
      async () => {
        const before = acknowledged();
        await until('an acknowledgement', () => acknowledged() > before);
        return undefined;
      },
      // Committed, and perhaps not answered.
      async () => {
        const head = async () =>
          (await database.rows<{ head: string }>('select belfry.log_head() as head'))[0]!.head;
        const before = await head();
        await until('a commit', async () => (await head()) !== before);
        return undefined;
      },
    ];

    for (let round = 0; round < ROUNDS; round++) {
      const before = acknowledged();
      await until('requests under way', () => acknowledged() > before + 2);
      const following = await next;
      const lock = await moments[round % moments.length]!();
      const ended = service.process.end('SIGKILL');
      service = following;
      await ended;
      await lock?.release();
      if (round < ROUNDS - 1) next = start();
    }
    publishers.forEach(publisher => {
      publisher.stop();
    });
    await running;
    expect(await service.process.end('SIGTERM')).toBe(0);

    const log = await storedEvents(database);
    for (const publisher of publishers) publisher.isServedBy(log);
    const requests = publishers.flatMap(publisher => publisher.requests);
    expect(log).toHaveLength(requests.length * 20);
    // The kills did hit requests, or this shows nothing.
    expect(requests.filter(({ tries }) => tries > 1).length).toBeGreaterThanOrEqual(ROUNDS / 2);
  }, 90_000);
});

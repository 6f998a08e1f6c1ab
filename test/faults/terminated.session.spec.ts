import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';
import { KeyedPublisher } from './keyed.publisher.js';

const KILLS = 80;

describe('when an administrator ends the session of an append', () => {
  let database: TestDatabase;
  let instances: Instance[];
  let publishers: KeyedPublisher[] = [];

  beforeEach(async () => {
    database = await TestDatabase.create();
    instances = await Promise.all([Instance.start(database.url), Instance.start(database.url)]);
  });
  afterEach(async () => {
    // After a failure they would go on for ever.
    publishers.forEach(publisher => {
      publisher.abandon();
    });
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  });

  it('at any moment, under load, nothing is lost or doubled and every answer is true', async () => {
    const token = await admin();
    publishers = [0, 1, 2, 3].map(
      n =>
        new KeyedPublisher(
          `p${n}`,
          ({ key, body }) =>
            instances[n % 2]!.request('POST', '/v1/events', {
              token,
              headers: { 'idempotency-key': key },
              body,
            }),
          async ({ key }, { status, json }) => {
            const [row] = await database.rows<{ count: string }>(
              'select count(*) from belfry.dedupe where id = $1',
              [`request:${key}`],
            );
            // While nobody tries again, the answer holds.
            if (status === 201) expect(row!.count).toBe('20');
            else if ((json as { code: string }).code === 'database-unavailable') expect(row!.count).toBe('0');
            else expect(json).toMatchObject({ code: 'outcome-unknown' });
          },
        ),
    );
    const running = publishers.map(publisher => publisher.run());
    // Whoever fails early must not be waited for.
    const failed = Promise.all(running).then(() => false);

    let killed = 0;
    while (killed < KILLS) {
      // Not a wait: the kill is to fall anywhere in the life of a request, which takes a few milliseconds.
      await Promise.race([delay(Math.random() * 12), failed]);
      const rows = await database.rows<{ killed: boolean }>(
        `select pg_terminate_backend(pid) as killed from pg_stat_activity
        where datname = current_database() and application_name = 'belfry-append'
          and ($1 or state = 'active')`,
        [killed % 4 === 0],
      );
      killed += rows.length;
    }
    const sofar = publishers.map(({ acknowledged }) => acknowledged);
    await until('acknowledgements after the last kill', () =>
      publishers.every((publisher, n) => publisher.acknowledged > sofar[n]! + 2),
    );
    publishers.forEach(publisher => {
      publisher.stop();
    });
    await Promise.all(running);

    const log = await storedEvents(database);
    for (const publisher of publishers) publisher.isServedBy(log);
    expect(log).toHaveLength(publishers.flatMap(({ requests }) => requests).length * 20);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import pg from 'pg';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrate } from '../../src/database/migrations.js';
import { newFolder } from '../database/processes.js';
import { storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { admin, Instance } from '../support/instance.js';
import { KeyedPublisher } from './keyed.publisher.js';

describe('when Postgres goes down under load', () => {
  let folder: string;
  let postgres: EmbeddedPostgres;
  let url: string;
  let instances: Instance[];
  let publishers: KeyedPublisher[] = [];

  beforeAll(async () => {
    folder = await newFolder();
    postgres = new EmbeddedPostgres({ dataDir: folder });
    ({ url } = await postgres.start());
    await migrate(url);
    instances = await Promise.all([1, 2].map(() => Instance.start(url, { PUBLISH_TIMEOUT_MS: '1000' })));
  });
  afterAll(async () => {
    // After a failure they would go on for ever.
    publishers.forEach(publisher => {
      publisher.abandon();
    });
    await Promise.all(instances.map(instance => instance.stop()));
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function rows<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
    const client = new pg.Client(url);
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end();
    }
  }

  async function postmaster(): Promise<number> {
    const [row] = await rows<{ file: string }>(`select pg_read_file('postmaster.pid') as file`);
    return Number(row!.file.split('\n')[0]);
  }

  async function appendBackend(): Promise<number> {
    const [row] = await rows<{ pid: number }>(
      `select pid from pg_stat_activity where application_name = 'belfry-append' limit 1`,
    );
    return row!.pid;
  }

  async function startAgain(): Promise<void> {
    await postgres.stop();
    expect((await postgres.start()).url).toBe(url);
  }

  it.each<[string, () => Promise<void>]>([
    ['fast', startAgain],
    [
      'immediately',
      async () => {
        process.kill(await postmaster(), 'SIGQUIT');
        await startAgain();
      },
    ],
    [
      'by the death of one backend',
      async () => {
        process.kill(await appendBackend(), 'SIGKILL');
      },
    ],
    [
      'by the death of its postmaster',
      async () => {
        process.kill(await postmaster(), 'SIGKILL');
        await startAgain();
      },
    ],
  ])(
    '%s, all that was acknowledged is there afterwards, once and in order, and streams go on',
    async (how, goDown) => {
      const token = await admin();
      await until('the instance knows that Postgres is back', () => !instances[0]!.tail.isAway);
      const stream = await (await instances[0]!.stream(`?topic=publisher:*`)).isReady();
      const name = how.replaceAll(' ', '-');
      publishers = [0, 1, 2, 3].map(
        n =>
          new KeyedPublisher(`${name}-${n}`, ({ key, body }) =>
            instances[n % 2]!.request('POST', '/v1/events', {
              token,
              headers: { 'idempotency-key': key },
              body,
            }),
          ),
      );
      const running = Promise.all(publishers.map(publisher => publisher.run()));
      for (let round = 0; round < 2; round++) {
        const before = publishers.map(({ acknowledged }) => acknowledged);
        const isServed = () => publishers.every(({ acknowledged }, n) => acknowledged > before[n]! + 5);
        await until('publishes that are stored', isServed);
        await goDown();
      }
      const before = publishers.map(({ acknowledged }) => acknowledged);
      await until('publishes that are stored again', () =>
        publishers.every(({ acknowledged }, n) => acknowledged > before[n]! + 5),
      );
      publishers.forEach(publisher => {
        publisher.stop();
      });
      await running;

      const log = await storedEvents({ rows });
      for (const publisher of publishers) publisher.isServedBy(log);
      const own = log.filter(({ topic }) => topic.startsWith(`publisher:${name}-`));
      await stream.hears(own.length);
      expect(stream.events.map(({ id }) => Number(id!.split('.')[1]))).toEqual(own.map(({ seq }) => seq));
      expect(stream.closed).toBe(false);
      // It is the same history that goes on.
      expect(stream.controls('reset')).toEqual([]);
      expect(await rows('select from belfry.epochs')).toHaveLength(1);
      stream.cut();
    },
    60_000,
  );
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestProcess } from '../database/processes.js';
import { faultsOf } from '../log/faults.js';
import { storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin } from '../support/instance.js';
import { areServed, usualP99 } from './act.js';
import { PacedPublisher } from './paced.publisher.js';
import { Service } from './service.js';

const ROWS = 200_000;
/** What others publish meanwhile: so many, with so long a pause each. */
const PUBLISHERS = ['a', 'b', 'c', 'd'];
const PAUSE_MS = 20;
/** How long they are looked at before, and after, in milliseconds. */
const QUIET_MS = 8_000;
/** Shorter delays than this are told from each other by luck, in milliseconds. */
const NOTICED_MS = 15;

interface Instance {
  readonly service: Service;
  /** The process id of its session that drains, in Postgres. */
  readonly drainer: number;
}

describe('when one transaction publishes very much', () => {
  let database: TestDatabase;
  const processes: TestProcess[] = [];
  const publishers: PacedPublisher[] = [];
  let running: Promise<unknown> = Promise.resolve();

  beforeAll(async () => {
    database = await TestDatabase.create();
    await database.rows(`
      create table stock (id integer primary key, price integer not null);
      insert into stock select n, n from generate_series(1, ${ROWS}) n;
      create sequence calls minvalue 0;
      create function announce() returns trigger language plpgsql as $$
      begin
        perform belfry.publish('stock:all', 'stock.priced', to_jsonb(nextval('calls')));
        return null;
      end $$;
      create trigger announce after update on stock for each row execute function announce();
      -- Leaves files of the WAL that can be used again. A new one is filled with zeros first, 16 MiB of them, and whoever
      -- happens to need it waits for that: in a Postgres that has just been made, every few thousand events.
      create table ballast as select repeat(n::text, 20) from generate_series(1, 2000000) n;
      drop table ballast;
      checkpoint;`);
  });
  afterAll(async () => {
    publishers.forEach(publisher => {
      publisher.stop();
    });
    await Promise.all(processes.map(process => process.end('SIGKILL')));
    await database.drop();
  });

  async function start(known: readonly number[]): Promise<Instance> {
    const service = await Service.start(database.url, process => processes.push(process));
    let drainer: number | undefined;
    await until('its session that drains', async () => {
      const rows = await database.rows<{ pid: number }>(
        `select pid from pg_stat_activity
        where datname = current_database() and application_name = 'belfry-drain' and pid <> all ($1)`,
        [known],
      );
      drainer = rows[0]?.pid;
      return drainer !== undefined;
    });
    return { service, drainer: drainer! };
  }

  /** Events of the large transaction that wait; undefined when it is not being drained. */
  async function waiting(): Promise<number | undefined> {
    const [row] = await database.rows<{ count: number | null }>(
      'select (d.newest - d.moved)::integer as count from belfry.newest_drain() d',
    );
    return row!.count ?? undefined;
  }

  it('others are hardly slower, and its events arrive as a whole, also when who drains is killed', async () => {
    const first = await start([]);
    const instances = [first, await start([first.drainer])];
    let serving = instances[0]!.service;
    const token = await admin();
    for (const name of PUBLISHERS) {
      publishers.push(new PacedPublisher(name, request => serving.publish(token, request), PAUSE_MS, 1));
    }
    running = Promise.all(publishers.map(publisher => publisher.run()));
    // Whoever fails early must not be waited for.
    const failed = running.then(() => undefined);
    /** Not a wait: so long the others are looked at. */
    const goOn = () => Promise.race([delay(QUIET_MS), failed]);

    // The first calls are slower than all others.
    await until('a warm engine', () => publishers.every(({ acts }) => acts.length > 50));
    const times = [performance.now()];
    await goOn();
    times.push(performance.now());
    const beganAt = performance.now();
    await database.rows('update stock set price = price + 1');
    times.push(performance.now());

    await until('a third of it in the log', async () => ((await waiting()) ?? ROWS) < (2 / 3) * ROWS);
    let killed: Instance | undefined;
    await until('an instance that drains', async () => {
      const [row] = await database.rows<{ pid: number }>(
        `select pid from pg_locks where locktype = 'advisory' and classid = 1650815078 and objid = 5 and granted
          and database = (select oid from pg_database where datname = current_database())`,
      );
      killed = instances.find(({ drainer }) => drainer === row?.pid);
      return killed !== undefined;
    });
    serving = instances.find(instance => instance !== killed)!.service;
    await killed!.service.process.end('SIGKILL');
    expect(await waiting()).toBeGreaterThan(ROWS / 3);
    await until('all of it in the log', async () => (await waiting()) === undefined, 60_000);
    times.push(performance.now());
    await goOn();
    times.push(performance.now());
    publishers.forEach(publisher => {
      publisher.stop();
    });
    await running;
    expect(await serving.process.end('SIGTERM')).toBe(0);

    const acts = publishers.flatMap(publisher => publisher.acts);
    const log = await storedEvents(database);
    // It is more than a chunk: what others published after its commit may be among its events.
    const large = { topic: 'stock:all', data: Array.from({ length: ROWS }, (_, n) => n), endedAt: Infinity };
    areServed([...acts, { ...large, beganAt }], log);
    expect(await faultsOf(database.url)).toEqual([]);

    // What was on its way to the one that was killed is left out.
    const delays = acts.flatMap(({ tries, beganAt, endedAt }) =>
      tries === 1 ? [{ at: beganAt, ms: endedAt - beganAt }] : [],
    );
    const part = (n: number) => [times[n]!, times[n + 1]!] as const;
    const quiet = usualP99(delays, part(0), part(3));
    const writing = usualP99(delays, part(1));
    const draining = usualP99(delays, part(2));
    process.stdout.write(
      `p99 of the others: ${quiet.toFixed(1)} ms, ${writing.toFixed(1)} ms while it is written ` +
        `(${(times[2]! - times[1]!).toFixed(0)} ms), ${draining.toFixed(1)} ms while it is drained ` +
        `(${(times[3]! - times[2]!).toFixed(0)} ms)\n`,
    );
    expect(writing).toBeLessThan(3 * Math.max(quiet, NOTICED_MS));
    expect(draining).toBeLessThan(3 * Math.max(quiet, NOTICED_MS));
  }, 150_000);
});

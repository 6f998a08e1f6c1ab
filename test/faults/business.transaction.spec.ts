import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrate } from '../../src/database/migrations.js';
import { newFolder, TestProcess } from '../database/processes.js';
import { faultsOf } from '../log/faults.js';
import { isDense, storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { Service } from './service.js';

/** Kills of each kind. */
const ROUNDS = 5;
/** Programs that write at a time. */
const PROGRAMS = 3;

/** A program that places orders, each in a transaction that also publishes it, and says which are committed. */
const PROGRAM = `
  import { setTimeout as delay } from 'node:timers/promises';
  import pg from 'pg';
  const [, url, name] = process.argv;
  const client = new pg.Client(url);
  await client.connect();
  for (let n = 0; ; n++) {
    const order = name + '-' + n;
    const steps = [
      ['begin'],
      ['insert into orders (id) values ($1)', [order]],
      ["select belfry.publish('order:' || $1, 'order.placed', to_jsonb($1::text))", [order]],
      ['commit'],
    ];
    for (const [text, values] of steps) {
      await client.query(text, values);
      await delay(3 * Math.random());
    }
    console.log('placed ' + order);
  }`;

describe('a transaction that writes to a table and publishes', () => {
  let folder: string;
  let postgres: EmbeddedPostgres;
  let url: string;
  /** All that were started. */
  const services: Promise<Service>[] = [];
  const processes: TestProcess[] = [];
  const programs: TestProcess[] = [];

  beforeAll(async () => {
    folder = await newFolder();
    postgres = new EmbeddedPostgres({ dataDir: folder });
    ({ url } = await postgres.start());
    await migrate(url);
    await rows('create table orders (id text primary key)');
    await Promise.all([startService(), startService()]);
  });
  afterAll(async () => {
    await Promise.all(processes.map(process => process.end('SIGKILL')));
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

  function startService(): Promise<Service> {
    const service = Service.start(url, process => processes.push(process));
    services.push(service);
    return service;
  }

  function startProgram(): TestProcess {
    const name = `p${programs.length}`;
    const program = new TestProcess(['--input-type=module', '--eval', PROGRAM, url, name]);
    processes.push(program);
    programs.push(program);
    return program;
  }

  /** The orders that a program said to be committed. */
  function placedBy(program: TestProcess): string[] {
    return program.lines.flatMap(line => /^placed (.*)$/.exec(line)?.[1] ?? []);
  }

  async function killPostgres(): Promise<void> {
    // A service that finds no database when it starts gives up.
    await services.at(-1);
    const [row] = await rows<{ file: string }>(`select pg_read_file('postmaster.pid') as file`);
    process.kill(Number(row!.file.split('\n')[0]), 'SIGKILL');
    await postgres.stop();
    expect((await postgres.start()).url).toBe(url);
  }

  it('does both or neither, whoever is killed, at any moment', async () => {
    const killers: ((running: TestProcess[]) => Promise<void>)[] = [
      async ([program]) => {
        await program!.end('SIGKILL');
      },
      // Of the two that run, the one that was started first.
      async () => {
        const service = await services.at(-2)!;
        await services.at(-1);
        void startService();
        await service.process.end('SIGKILL');
      },
      killPostgres,
    ];
    for (let round = 0; round < ROUNDS * killers.length; round++) {
      const running = Array.from({ length: PROGRAMS }, () => startProgram());
      await until('orders of each program', () => running.every(program => placedBy(program).length > 2));
      // Not a wait: the kill is to fall anywhere in a transaction, which takes some ten milliseconds.
      await delay(15 * Math.random());
      await killers[round % killers.length]!(running);
      await Promise.all(running.map(program => program.end('SIGKILL')));
    }

    await until('an empty outbox', async () => (await rows('select from belfry.outbox')).length === 0);
    const orders = (await rows<{ id: string }>('select id from orders')).map(({ id }) => id).sort();
    const log = await storedEvents({ rows });
    expect(isDense(log)).toBe(true);
    expect(log.map(({ data }) => data as string).sort()).toEqual(orders);
    expect(orders).toEqual(expect.arrayContaining(programs.flatMap(placedBy)));
    for (const [n] of programs.entries()) {
      const own = log.flatMap(({ data }) => new RegExp(`^p${n}-(.*)$`).exec(data as string)?.[1] ?? []);
      expect(own.map(Number)).toEqual([...own].map(Number).sort((a, b) => a - b));
    }
    expect(await faultsOf(url)).toEqual([]);
    for (const service of await Promise.all(services.slice(-2))) {
      expect(await service.process.end('SIGTERM')).toBe(0);
    }
  }, 120_000);
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { CommandError } from '../../src/cli/command.js';
import { log } from '../../src/cli/log.command.js';
import { migrate } from '../../src/database/migrations.js';
import { TestRoles } from '../database/roles.js';
import { connect } from '../log/sql.append.js';
import { seqOf } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { belfry, type Ran } from './running.js';

const SIZE = 20;

let database: TestDatabase;
let env: NodeJS.ProcessEnv;
let instances: Instance[] = [];

beforeEach(async () => {
  database = await TestDatabase.create();
  env = { DATABASE_URL: database.url };
});
afterEach(async () => {
  await Promise.all(instances.map(instance => instance.stop()));
  instances = [];
  await database.drop();
});

const run = (action: string, more: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  belfry({ ...env, ...more }, 'log', action);

async function start(url = database.url): Promise<Instance> {
  const instance = await Instance.start(url, { PARTITION_EVENTS: `${SIZE}` });
  instances.push(instance);
  return instance;
}

/** One after the other, so that partitions are ready before they are needed. */
async function publish(instance: Instance, count: number): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const events = Array.from({ length: Math.min(SIZE, count - ids.length) }, () => ({
      topic: 'all',
      type: 't',
    }));
    ids.push(...(await instance.publish(events)));
  }
  return ids;
}

const age = (upTo: number, hours: number) =>
  database.rows(`update belfry.events set at = at - interval '${hours} hours' where seq <= ${upTo}`);

describe('log status', () => {
  it('shows a log in which nothing was ever stored', async () => {
    const { code, stdout, stderr } = await run('status');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      'The log is empty and goes on with seq 1.',
      'Published by SQL and not in it yet: 0; set aside (belfry.outbox_rejected): 0.',
      'Keys of publishers that are remembered, about: 0.',
      '',
      'PARTITION  FROM  TO  SIZE  NEWEST',
      '',
      'EPOCH         BEGAN                     AFTER',
      expect.stringMatching(/^[0-9a-f]{12} {2}20\d\d-\d\d-\d\dT[0-9:.]{12}Z {2}0$/),
      '',
    ]);
  });

  it('shows how far the log goes, its partitions, its epochs, and what waits', async () => {
    const instance = await start();
    await publish(instance, 25);
    await instance.stop();
    await database.rows(`update belfry.events set at = '2026-01-02T03:04:05.678Z' where seq = 20`);
    await database.rows('delete from belfry.events where seq > 24');
    await database.rows(`select belfry.publish('all', 't', '1'), belfry.publish('all', 't', '2')`);
    await database.rows(
      `insert into belfry.outbox_rejected (id, tenant, topic, type, data, reason) values (9, 'default', 'x', 't', '1', 'topic-invalid')`,
    );
    await database.rows(
      `insert into belfry.epochs (name, forked_at, began_at, identity) values ('abc', 24, '2026-02-03T04:05:06Z', 'x')`,
    );
    const { code, stdout, stderr } = await run('status');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines.slice(0, 2)).toEqual([
      'The log holds the seqs 1 to 24.',
      'Published by SQL and not in it yet: 2; set aside (belfry.outbox_rejected): 1.',
    ]);
    const table = lines.filter(line => line.startsWith('events_'));
    expect(table[0]).toMatch(/^events_1 +1 +20 +0\.\d MiB +2026-01-02T03:04:05\.678Z$/);
    expect(table[1]).toMatch(/^events_21 +21 +40 +0\.\d MiB +20\d\d-.*Z$/);
    expect(table[2]).toMatch(/^events_41 +41 +60 +0\.\d MiB +-$/);
    expect(lines.at(-2)).toMatch(/^abc +2026-02-03T04:05:06\.000Z +24$/);
  });
});

describe('log trim', () => {
  it('drops what RETENTION_HOURS says, and running instances hear of it', async () => {
    const instance = await start();
    const ids = await publish(instance, 50);
    await age(45, 5);
    expect(await run('trim')).toEqual({ code: 0, stdout: '', stderr: 'No event has expired.\n' });
    expect(await run('trim', { RETENTION_HOURS: '4' })).toEqual({
      code: 0,
      stdout: '',
      stderr: 'The events before seq 46 have expired and are gone.\n',
    });
    await until('the instance knows', () => instance.tail.floor === 46);
    const client = await (await instance.stream('?topic=all&lastEventId=earliest')).isReady();
    expect(client.events.map(({ id }) => id)).toEqual(ids.slice(45));
    client.cut();
  });

  it('forgets the keys of publishers that DEDUPE_HOURS says', async () => {
    await run('status');
    await database.rows(
      `insert into belfry.dedupe (tenant, id, place, digest, seq, stored_at)
      select 'default', 'event:' || n, 0, '', 0, now() - n * interval '1 hour' from generate_series(20, 60) n`,
    );
    expect((await run('trim', { DEDUPE_HOURS: '50' })).code).toBe(0);
    expect(await database.rows('select from belfry.dedupe')).toHaveLength(30);
  });

  it('gives up while somebody reads the log, says so, and can be repeated', async () => {
    const instance = await start();
    await publish(instance, 50);
    // It would drop it too, as soon as it can.
    await instance.stop();
    const dump = await connect(database.url);
    await dump.query('begin isolation level repeatable read; select from belfry.events limit 1');
    await age(50, 100);
    expect(await run('trim')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'Somebody is reading the log, such as a dump: try again when it is done.\n',
    });
    await dump.end();
    await until('the end of the dump', async () => (await run('trim')).code === 0);
    expect((await run('status')).stdout).toMatch(/^The log is empty and goes on with seq 51\.\n/);
  });
});

describe('log verify', () => {
  it('says that a log is whole, also while it is written', async () => {
    expect(await run('verify')).toEqual({ code: 0, stdout: '', stderr: 'The log is whole.\n' });
    const all = [await start(), await start()];
    let busy = true;
    const publishing = all.map(async instance => {
      while (busy) {
        await publish(instance, 7);
        await database.rows(`select belfry.publish('all', 't', '1')`);
      }
    });
    const ran = [await run('verify'), await run('verify')];
    busy = false;
    await Promise.all(publishing);
    for (const one of ran) expect(one).toEqual({ code: 0, stdout: '', stderr: 'The log is whole.\n' });
  });

  it('prints what is wrong, a line each, and fails', async () => {
    await publish(await start(), 25);
    await database.rows('delete from belfry.events where seq = 7');
    const first = 'the seqs 1 to 20 of partition events_1 hold 19 events: some are missing\n';
    expect(await run('verify')).toEqual({
      code: 1,
      stdout: first,
      stderr: 'The log is not whole: one thing is wrong.\n',
    });
    await database.rows(
      `insert into belfry.dedupe (tenant, id, place, digest, seq) values ('acme', 'event:x', 0, '', 99)`,
    );
    expect(await run('verify')).toEqual({
      code: 1,
      stdout: `${first}a key of tenant acme stands for seq 99, and the log ends at 25\n`,
      stderr: 'The log is not whole: 2 things are wrong.\n',
    });
  });
});

describe('log fork', () => {
  it('begins an epoch that running instances go on in, and tells who has seen more than the log holds', async () => {
    const instance = await start();
    const [first] = await publish(instance, 5);
    const live = await (await instance.stream('?topic=all')).isReady();
    const old = first!.split('.')[0]!;
    const ran = await run('fork');
    expect(ran).toMatchObject({ code: 0, stdout: '' });
    const [, name] = /^The epoch ([0-9a-f]{12}) began after seq 5\. [^\n]+\.\n$/.exec(ran.stderr)!;
    const [sixth] = await publish(instance, 1);
    expect(sixth).toBe(`${name}.6`);
    await live.hears(1);
    expect(live.controls('reset')).toEqual([]);
    const [good, lost] = await Promise.all(
      [5, 6].map(async seq => (await instance.stream(`?topic=all&lastEventId=${old}.${seq}`)).isReady()),
    );
    expect(good!.events.map(({ id }) => seqOf(id))).toEqual([6]);
    expect(JSON.parse(lost!.controls('reset')[0]!.data)).toMatchObject({ reason: 'forked' });
    for (const client of [live, good!, lost!]) client.cut();
  });
});

describe('the role of a service that may do less', () => {
  it('is enough for all of them', async () => {
    const roles = new TestRoles(database);
    const [owner, service] = [await roles.create('owner'), await roles.create('service')];
    await database.rows('drop schema belfry cascade');
    await database.rows(`grant create on database ${database.name} to ${pg.escapeIdentifier(owner)}`);
    await migrate(roles.urlOf(owner), roles.urlOf(service));
    const instance = await start(roles.urlOf(service));
    await publish(instance, 25);
    await instance.stop();
    await age(22, 100);
    env = { DATABASE_URL: roles.urlOf(service), MIGRATE_DATABASE_URL: roles.urlOf(owner) };
    expect((await run('trim')).stderr).toBe('The events before seq 23 have expired and are gone.\n');
    expect((await run('status')).stdout).toMatch(/^The log holds the seqs 23 to 25\.\n/);
    expect((await run('verify')).stderr).toBe('The log is whole.\n');
    expect((await run('fork')).stderr).toMatch(/^The epoch [0-9a-f]{12} began after seq 25\./);
    await roles.drop();
  });
});

describe('the log command', () => {
  it.each(['status', 'trim', 'verify', 'fork'])(
    '%s says in one sentence that the database cannot be reached, without its password',
    async action => {
      const url = new URL(database.url);
      url.port = '1';
      const ran = await run(action, { DATABASE_URL: url.href });
      expect(ran).toMatchObject({ code: 1, stdout: '' });
      expect(ran.stderr).toMatch(/^[^\n]*ECONNREFUSED[^\n]*\.\n$/);
      expect(ran.stderr).not.toContain(url.password);
    },
  );

  it('is told of by --help, with all that can be done', async () => {
    for (const args of [['--help'], ['log', '--help'], ['log', 'help'], ['log', 'verify', '-h']]) {
      const ran = await belfry({}, ...args);
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      expect(ran.stdout).toContain('npm run belfry -- log');
      if (args.length > 1) {
        for (const action of ['status', 'trim', 'verify', 'fork'])
          expect(ran.stdout).toContain(`\n${action} `);
      }
    }
  });

  it('starts on nothing that is typed wrongly', async () => {
    const ran = await belfry({ DATABASE_URL: 'postgres://127.0.0.1:1/none' }, 'log', 'drop');
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    expect(ran.stderr).toMatch(/^Say what to do with the log: status, trim, verify or fork[^\n]+\.\n$/);
  });

  it.each([
    [[], /^Say what to do with the log/],
    [['constructor'], /^Say what to do with the log/],
    [['status', 'extra'], /^Say what to do with the log/],
    [['trim', '--hours', '5'], /--hours.*--help/],
  ])('refuses %j with a sentence', async (args, sentence) => {
    const error: unknown = await log.run(args).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(CommandError);
    expect((error as Error).message).toMatch(/^[^\n]+\.$/);
    expect((error as Error).message).toMatch(sentence);
  });
});

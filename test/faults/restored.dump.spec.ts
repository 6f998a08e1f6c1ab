import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { Database } from '../../src/database/database.js';
import { migrate } from '../../src/database/migrations.js';
import { postgresEnvironment } from '../../src/database/postgres-cluster.js';
import { LogAudit } from '../../src/log/audit.js';
import { newFolder } from '../database/processes.js';
import { isDense, seqOf, storedEvents } from '../log/stored.js';
import { TestCluster } from '../support/cluster.js';
import { until } from '../support/conditions.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';

const PROGRAMS = ['initdb', 'postgres', 'pg_ctl', 'pg_dump', 'pg_restore'];
const OLDEST_POSTGRES = 15;

/** Where the programs of a Postgres of this machine are, all of one version: the embedded one cannot dump. */
function findPrograms(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian)
    ? readdirSync(debian).sort((one, other) => Number(other) - Number(one))
    : [];
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map(version => join(debian, version, 'bin')),
  ];
  const found = folders.find(
    folder => PROGRAMS.every(program => existsSync(join(folder, program))) && isNewEnough(folder),
  );
  if (found === undefined) {
    process.stderr.write(
      `Dumps are not tried out here: this machine has no Postgres ${OLDEST_POSTGRES} or newer with ${PROGRAMS.join(', ')}.\n`,
    );
  }
  return found;
}

function isNewEnough(folder: string): boolean {
  const version = execFileSync(join(folder, 'postgres'), ['--version'], { encoding: 'utf8' });
  return Number(/(\d+)/.exec(version)?.[1]) >= OLDEST_POSTGRES;
}

const folderOfPrograms = findPrograms();
const describeWhereItRuns = folderOfPrograms === undefined ? describe.skip : describe;

describeWhereItRuns('a dump that was restored', () => {
  const program = (name: string) => join(folderOfPrograms ?? '', name);
  const programs = { initdb: program('initdb'), postgres: program('postgres'), pgCtl: program('pg_ctl') };

  let folder: string;
  let clusters: TestCluster[];
  let instances: Instance[];
  let clients: SseClient[];
  let old: TestCluster;
  let belfry: Instance;

  beforeEach(async () => {
    [clusters, instances, clients] = [[], [], []];
    folder = await newFolder();
    old = await create('old');
    await migrate(old.url);
    // Its transactions have numbers that another cluster does not come to for long.
    await old.rows(
      `do $$ begin
        perform set_config('synchronous_commit', 'off', false);
        for n in 1..20000 loop perform pg_current_xact_id(); commit; end loop;
      end $$`,
    );
    belfry = await start(old);
  }, 60_000);
  afterEach(async () => {
    for (const client of clients) client.cut();
    await Promise.all(instances.map(instance => instance.stop()));
    await Promise.all(clusters.map(cluster => cluster.stop()));
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  async function create(name: string): Promise<TestCluster> {
    const cluster = await TestCluster.create(join(folder, name), programs);
    clusters.push(cluster);
    return cluster;
  }

  async function start(cluster: TestCluster): Promise<Instance> {
    const instance = await Instance.start(cluster.url);
    instances.push(instance);
    return instance;
  }

  async function stream(cursor?: string): Promise<SseClient> {
    const client = await belfry.stream('?topic=all', {
      headers: cursor === undefined ? {} : { 'last-event-id': cursor },
    });
    clients.push(client);
    return client.isReady();
  }

  const file = () => join(folder, 'dump');

  async function run(name: string, ...options: string[]): Promise<void> {
    // Of two that wait for each other, the service is to give way.
    const env = { ...postgresEnvironment(), PGOPTIONS: '-c deadlock_timeout=60s' };
    await promisify(execFile)(program(name), options, { env });
  }

  const dump = () => run('pg_dump', '--format=custom', '--schema=belfry', `--file=${file()}`, old.url);

  const restore = (into: TestCluster, ...options: string[]) =>
    run('pg_restore', '--exit-on-error', ...options, `--dbname=${into.url}`, file());

  const publish = (data: string, count: number) =>
    belfry.publish(
      Array.from({ length: count }, (_, n) => ({ topic: 'all', type: 't', data: `${data} ${n}` })),
      { 'idempotency-key': data },
    );

  const publishBySql = (cluster: TestCluster, data: string) =>
    cluster.rows(`select belfry.publish('all', 't', $1)`, [JSON.stringify(data)]);

  const reasonsOf = (client: SseClient) =>
    client.controls('reset').map(({ data }) => (JSON.parse(data) as { reason: string }).reason);

  it.each<[string, () => Promise<TestCluster>]>([
    [
      'into a new cluster',
      async () => {
        await belfry.stop();
        const fresh = await create('fresh');
        await restore(fresh);
        const [row] = await fresh.rows<{ ahead: boolean }>(
          'select bool_and(xid > pg_current_xact_id()) as ahead from belfry.outbox',
        );
        expect(row!.ahead).toBe(true);
        // Its transaction has a number far below.
        await publishBySql(fresh, 'early');
        belfry = await start(fresh);
        return fresh;
      },
    ],
    [
      'in place of what was there',
      async () => {
        await belfry.stop();
        await old.rows('drop schema belfry cascade');
        await restore(old);
        await publishBySql(old, 'early');
        belfry = await start(old);
        return old;
      },
    ],
  ])(
    '%s is another history, and what waited in its outbox comes',
    async (_where, restored) => {
      const kept = await publish('kept', 20);
      await belfry.stop();
      await publishBySql(old, 'waited 1');
      await publishBySql(old, 'waited 2');
      await dump();
      belfry = await start(old);
      const live = await stream('0');
      const lost = await publish('lost', 5);
      await live.hears(27);
      expect(lost.map(seqOf)).toEqual([23, 24, 25, 26, 27]);

      const cluster = await restored();
      const epoch = kept[0]!.split('.')[0]!;
      expect(await publish('kept', 20)).toEqual(kept);
      const anew = await publish('lost', 5);
      expect(anew[0]!.split('.')[0]).not.toBe(epoch);
      await publishBySql(cluster, 'late');
      const news = ['waited 1', 'waited 2', 'early', ...[0, 1, 2, 3, 4].map(n => `lost ${n}`), 'late'];
      await until(
        'all of it in the log',
        async () => (await storedEvents(cluster)).length === 20 + news.length,
      );
      await until('all of it in the tail', () => belfry.tail.position === 20 + news.length);

      const log = await storedEvents(cluster);
      expect(isDense(log)).toBe(true);
      expect(log.slice(20).map(({ data }) => data as string)).toEqual(news);
      const outcome = async (seq: number) => {
        const client = await stream(`${epoch}.${seq}`);
        return reasonsOf(client)[0] ?? client.payloads;
      };
      expect(await outcome(20)).toEqual(news);
      expect(await outcome(18)).toEqual(['kept 18', 'kept 19', ...news]);
      expect(await outcome(21)).toBe('forked');
      expect(await outcome(27)).toBe('forked');
      expect(await outcome(28)).toBe('forked');

      const epochs = await cluster.rows<{ name: string; forked_at: string }>(
        'select name, forked_at from belfry.epochs order by n',
      );
      expect(epochs).toMatchObject([{ name: epoch }, { forked_at: '20' }]);
      if (!live.closed) {
        await live.hears(27 + news.length);
        expect(reasonsOf(live)).toEqual(['forked']);
        expect(live.payloads.slice(27)).toEqual(news);
      }
      expect(await new LogAudit(belfry.app.get(Database)).faults()).toEqual([]);
    },
    60_000,
  );
});

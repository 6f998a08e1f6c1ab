import { execFile } from 'node:child_process';
import { appendFile, chown, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { PostgresAccount } from '../../src/database/postgres-account.js';
import { postgresBinaries, type PostgresBinaries } from '../../src/database/postgres-binaries.js';
import { postgresEnvironment } from '../../src/database/postgres-cluster.js';
import { type PostgresHome, postgresHome, SYSTEM_FOLDER } from '../../src/database/postgres-home.js';
import { freePort } from '../../src/database/postgres-port.js';
import { type Postmaster, startPostmaster } from '../../src/database/postmaster.js';
import { clearStalePostmaster } from '../../src/database/postmaster-file.js';
import { until } from './conditions.js';

const NAME = 'belfry';
const PASSWORD = 'only for the tests';
/** A standby has to find what was written since it was copied; and it is to try again at once. */
const SETTINGS = `wal_keep_size = '256MB'\nwal_retrieve_retry_interval = '50ms'\n`;
/** Of the running primary, or to be made anew. */
const NOT_COPIED = new Set(['postmaster.pid', 'postmaster.opts', 'pg_wal', 'pg_replslot']);

/** A Postgres of a test's own that can be copied, followed, promoted, killed and started again. */
export class TestCluster {
  private postmaster: Postmaster | undefined;

  private constructor(
    private readonly home: PostgresHome,
    private readonly binaries: PostgresBinaries,
    private readonly port: number,
  ) {}

  /**
   * A new one, which runs, with a database without anything in it.
   *
   * @param folder for its data, which every user may enter
   * @param programs those of another Postgres than the embedded one
   */
  static async create(folder: string, programs?: PostgresBinaries): Promise<TestCluster> {
    const home = await postgresHome(folder, () => undefined, SYSTEM_FOLDER);
    const binaries = programs ?? (await postgresBinaries(home.account, home.copies));
    await makeFolder(home.cluster, home.account);
    const passwordFile = join(home.dataDir, 'password');
    await writeFile(passwordFile, PASSWORD, { mode: 0o600 });
    await giveTo(passwordFile, home.account);
    const options = [`--username=${NAME}`, `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
    await promisify(execFile)(
      binaries.initdb,
      [`--pgdata=${home.cluster}`, ...options, '--encoding=UTF8', '--locale=C', '--no-sync'],
      { ...home.account, cwd: home.dataDir, env: postgresEnvironment() },
    );
    await appendFile(join(home.cluster, 'postgresql.conf'), SETTINGS);
    const cluster = new TestCluster(home, binaries, await freePort());
    await cluster.start();
    try {
      const session = await cluster.connect('postgres');
      await session.query(`create database ${NAME}`);
      await session.end();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get url(): string {
    return this.urlOf(NAME);
  }

  async start(): Promise<void> {
    this.postmaster = await startPostmaster(this.home, this.binaries, this.port, () => undefined);
  }

  /** Resolves when it has shut down; at once when it does not run. */
  async stop(): Promise<void> {
    await this.postmaster?.stop();
    this.postmaster = undefined;
  }

  /** As a power cut does it: no goodbye, no checkpoint. Resolves when no process of it is left. */
  async kill(): Promise<void> {
    const { postmaster } = this;
    if (!postmaster) return;
    process.kill(postmaster.pid, 'SIGKILL');
    await until('the end of the postmaster', () => !postmaster.isAlive());
    // Backends find out by themselves.
    await clearStalePostmaster(this.home.cluster);
    this.postmaster = undefined;
  }

  /**
   * A standby that follows it, copied while it runs; asynchronous, until told otherwise.
   *
   * @param folder as for `create`
   * @param primaryUrl the way to this cluster, when it is another than the direct one
   */
  async follow(folder: string, primaryUrl = this.url): Promise<TestCluster> {
    const home = await postgresHome(folder, () => undefined, SYSTEM_FOLDER);
    const { account } = this.home;
    // The backup lasts as long as its session.
    const session = await this.connect();
    await session.query(`select pg_backup_start('standby', true)`);
    await copyFolder(this.home.cluster, home.cluster, account);
    const { rows } = await session.query<{ labelfile: string }>(
      'select labelfile from pg_backup_stop(false)',
    );
    await session.end();
    const { hostname, port } = new URL(primaryUrl);
    const settings = `primary_conninfo = 'host=${hostname} port=${port} user=${NAME} password=''${PASSWORD}'''\n`;
    for (const name of ['pg_wal', 'pg_replslot']) await makeFolder(join(home.cluster, name), account);
    for (const [name, text] of [
      ['backup_label', rows[0]!.labelfile],
      ['standby.signal', ''],
    ] as const) {
      await writeFile(join(home.cluster, name), text, { mode: 0o600 });
      await giveTo(join(home.cluster, name), account);
    }
    await appendFile(join(home.cluster, 'postgresql.auto.conf'), settings);
    const standby = new TestCluster({ ...home, account }, this.binaries, await freePort());
    await standby.start();
    return standby;
  }

  /** Resolves when everything that it wrote until now can be read at its standby. */
  async isFollowedBy(standby: TestCluster): Promise<void> {
    const [row] = await this.rows<{ lsn: string }>('select pg_current_wal_lsn() as lsn');
    await until('the standby has replayed it all', async () => {
      const [reached] = await standby.rows<{ there: boolean }>(
        `select pg_last_wal_replay_lsn() >= '${row!.lsn}' as there`,
      );
      return reached!.there;
    });
  }

  /** Ends its life as a standby; resolves when it can be written to. */
  async promote(): Promise<void> {
    const [row] = await this.rows<{ promoted: boolean }>('select pg_promote(true, 20) as promoted');
    if (!row!.promoted) throw new Error('the standby was not promoted in time');
  }

  /** A session that the caller has to end. */
  async connect(database = NAME): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.urlOf(database), application_name: 'test' });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** Rows of a query of the test's own. */
  async rows<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = await this.connect();
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  private urlOf(database: string): string {
    return `postgres://${NAME}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${this.port}/${database}`;
  }
}

async function copyFolder(from: string, to: string, account: PostgresAccount | undefined): Promise<void> {
  await makeFolder(to, account);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, copy] = [join(from, entry.name), join(to, entry.name)];
    if (NOT_COPIED.has(entry.name)) continue;
    if (entry.isDirectory()) {
      await copyFolder(source, copy, account);
      continue;
    }
    try {
      await copyFile(source, copy);
    } catch (error) {
      // Dropped since the folder was read: what was written instead is in the log that the standby reads.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    await giveTo(copy, account);
  }
}

async function makeFolder(path: string, account: PostgresAccount | undefined): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  await giveTo(path, account);
}

async function giveTo(path: string, account: PostgresAccount | undefined): Promise<void> {
  if (account) await chown(path, account.uid, account.gid);
}

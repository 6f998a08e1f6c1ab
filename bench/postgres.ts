import { rmSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { EmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { type Usage, usageOf } from './usage.js';

/** Server settings, such as `commit_delay: '500'`; the others are as users get them. */
export type PostgresSettings = Readonly<Record<string, string>>;

/** The embedded Postgres in a folder of its own that goes with it. Every database in it is made for one measurement. */
export class Postgres {
  private databases = 0;
  /** Names of the settings that are not as users get them. */
  private changed: string[] = [];

  private constructor(
    private readonly server: EmbeddedPostgres,
    private readonly folder: string,
    private readonly dataDir: string,
    private url: string,
    private postmaster: number,
  ) {}

  static async start(): Promise<Postgres> {
    const folder = await mkdtemp(join(tmpdir(), 'belfry-bench-postgres-'));
    // As root, Postgres runs as another user, who has to enter it.
    await chmod(folder, 0o755);
    const server = new EmbeddedPostgres({ dataDir: folder });
    try {
      const { url, dataDir } = await server.start();
      return new Postgres(server, folder, dataDir, url, await postmasterOf(dataDir));
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Of all its processes. */
  get usage(): Usage {
    return usageOf(this.postmaster);
  }

  get pid(): number {
    return this.postmaster;
  }

  /** An empty database, in a server that has these settings until the next one is asked for. */
  async database(settings: PostgresSettings = {}): Promise<Database> {
    await this.apply(settings);
    const name = `bench_${++this.databases}`;
    await this.query(`create database ${name}`);
    const url = new URL(this.url);
    url.pathname = `/${name}`;
    return new Database(name, url.href, this);
  }

  async query<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> {
    return query<Row>(this.url, sql);
  }

  async version(): Promise<string> {
    const [row] = await this.query<{ server_version: string }>('show server_version');
    return row?.server_version ?? 'unknown';
  }

  /** How long its log is now, to read it from here later. */
  async logLength(): Promise<number> {
    return (await stat(this.logFile)).size;
  }

  async logFrom(length: number): Promise<string> {
    return (await readFile(this.logFile)).subarray(length).toString();
  }

  async stop(): Promise<void> {
    await this.server.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** For the end of the process, when there is no time to wait for anything: its data is not needed any more. */
  kill(): void {
    try {
      process.kill(this.postmaster, 'SIGQUIT');
    } catch (error) {
      // It has stopped.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }

  private get logFile(): string {
    return join(this.dataDir, 'postgres.log');
  }

  private async apply(settings: PostgresSettings): Promise<void> {
    await this.query('alter system reset all');
    for (const [name, value] of Object.entries(settings)) {
      await this.query(`alter system set ${name} = '${value.replaceAll("'", "''")}'`);
    }
    await this.query('select pg_reload_conf()');
    const changed = [...this.changed, ...Object.keys(settings)];
    this.changed = Object.keys(settings);
    const names = changed.map(name => `'${name}'`).join(', ') || 'null';
    const atStart = await this.query(
      `select name from pg_settings where name in (${names}) and context = 'postmaster'`,
    );
    if (atStart.length === 0) return;
    await this.server.stop();
    const { url, dataDir } = await this.server.start();
    this.url = url;
    this.postmaster = await postmasterOf(dataDir);
  }
}

/** A database that nobody has used before. */
export class Database {
  constructor(
    readonly name: string,
    readonly url: string,
    readonly postgres: Postgres,
  ) {}

  query<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> {
    return query<Row>(this.url, sql);
  }

  async drop(): Promise<void> {
    await this.postgres.query(`drop database if exists ${this.name} with (force)`);
  }
}

async function postmasterOf(dataDir: string): Promise<number> {
  return parseInt(await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8'), 10);
}

async function query<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  // A connection that breaks after its answer would otherwise end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

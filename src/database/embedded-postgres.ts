import { realpath } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import pg from 'pg';

import { BootError } from '../errors/boot-error.js';
import { OwnerLock } from './owner-lock.js';
import { postgresBinaries } from './postgres-binaries.js';
import type { PostgresBinaries } from './postgres-binaries.js';
import { NAME, openCluster, readAccess, writeAccess } from './postgres-cluster.js';
import type { ClusterAccess } from './postgres-cluster.js';
import { hasCluster, postgresHome, SYSTEM_FOLDER, unwritable } from './postgres-home.js';
import type { PostgresHome } from './postgres-home.js';
import { freePort } from './postgres-port.js';
import { lastLogLines, PortTakenError, Postmaster, READY_TIMEOUT_MS, startPostmaster } from './postmaster.js';
import { clearStalePostmaster, isPostmasterOf, readPostmasterFile } from './postmaster-file.js';

export interface EmbeddedPostgresOptions {
  /** Folder for the cluster, its password, its log and its lock; made when missing. */
  readonly dataDir: string;
  /** Hears, in sentences, of what an operator should know: another place for the data, a slow recovery. */
  readonly log?: (message: string) => void;
  /** Postgres went away without `stop`; the reason holds the last lines of its log. */
  readonly onExit?: (reason: string) => void;
  /** Where the data goes when root runs us in a folder that no other user can enter; default `/var/lib/belfry`. */
  readonly systemFolder?: string;
}

export interface EmbeddedPostgresAddress {
  /** Superuser `belfry`, database `belfry`, on 127.0.0.1, with the password. */
  readonly url: string;
  /** Where the data really is: as root it may be elsewhere than asked for. */
  readonly dataDir: string;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** A postmaster that says it is ready and does not let us in for so long is not one to go on with. */
const ADOPT_MS = 10_000;
const POLL_MS = 20;
const PORT_ATTEMPTS = 5;
const FILE_ERRORS = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'ENOTDIR', 'EDQUOT']);

/**
 * The Postgres that runs where no DATABASE_URL is set: real binaries from npm, one cluster per data directory.
 *
 *     stopped → starting → running → stopping → stopped
 *                  ↘ (failed) ↘ (Postgres died: onExit) stopped after `stop`
 *
 * A start finds one of: nothing (initdb), a finished cluster (start it, with crash recovery when it was killed), or a
 * live postmaster that a killed service left behind (adopt it). `start` and `stop` may be called in any order and
 * more than once; a `stop` during a start waits for it, and a start after a stop begins anew.
 */
export class EmbeddedPostgres {
  readonly #options: EmbeddedPostgresOptions;
  #started: Promise<Running> | undefined;
  #stopped: Promise<void> = Promise.resolve();

  constructor(options: EmbeddedPostgresOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the database answers.
   *
   * @throws DirectoryInUseError when another process runs it, or is about to
   * @throws BootError when it cannot be started; the message says what to do
   */
  async start(): Promise<EmbeddedPostgresAddress> {
    this.#started ??= this.#stopped.then(() => this.#launch());
    const attempt = this.#started;
    try {
      const { address } = await attempt;
      return address;
    } catch (error) {
      // A failed start leaves nothing behind; the next one tries again.
      if (this.#started === attempt) this.#started = undefined;
      throw error;
    }
  }

  /** Resolves when the process is gone and the data directory is free. */
  stop(): Promise<void> {
    const started = this.#started;
    if (started === undefined) return this.#stopped;
    this.#started = undefined;
    this.#stopped = started.then(
      async ({ postmaster, lock }) => {
        await postmaster.stop();
        await lock.release();
      },
      () => {
        // Whoever called start was told; nothing of that start is left.
      },
    );
    return this.#stopped;
  }

  /** The Postgres that another process runs on this data directory; undefined while none answers. */
  async findRunning(): Promise<EmbeddedPostgresAddress | undefined> {
    const { dataDir, systemFolder = SYSTEM_FOLDER } = this.#options;
    const home = await postgresHome(dataDir, () => undefined, systemFolder);
    if (!(await hasCluster(home.cluster))) return undefined;
    const file = await readPostmasterFile(home.cluster);
    if (file?.ready !== true) return undefined;
    const url = urlOf(file.port, await readAccess(home));
    return (await serves(home, url)) ? { url, dataDir: home.dataDir } : undefined;
  }

  async #launch(): Promise<Running> {
    const { dataDir: wanted, log = () => undefined, systemFolder = SYSTEM_FOLDER } = this.#options;
    const home = await postgresHome(wanted, log, systemFolder);
    try {
      const lock = await OwnerLock.take(home.dataDir);
      try {
        const { postmaster, url } = await this.#run(home, log);
        postmaster.watch(() => void this.#report(home));
        return { address: { url, dataDir: home.dataDir }, postmaster, lock };
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw code !== undefined && FILE_ERRORS.has(code) ? unwritable(home.dataDir, error) : error;
    }
  }

  async #run(home: PostgresHome, log: (message: string) => void) {
    const binaries = await postgresBinaries(home.account, home.copies);
    const access = await openCluster(home, binaries.initdb, log);
    const adopted = await adopt(home, binaries, access);
    const postmaster = adopted ?? (await startOnFreePort(home, binaries, access, log));
    try {
      const url = urlOf(postmaster.port, access);
      await ensureDatabase(home, url, urlOf(postmaster.port, access, 'postgres'));
      return { postmaster, url };
    } catch (error) {
      await postmaster.stop();
      throw error;
    }
  }

  async #report(home: PostgresHome): Promise<void> {
    this.#options.onExit?.(`The embedded Postgres ended unexpectedly:\n${await lastLogLines(home)}`);
  }
}

interface Running {
  readonly address: EmbeddedPostgresAddress;
  readonly postmaster: Postmaster;
  readonly lock: OwnerLock;
}

function urlOf(port: number, { password }: ClusterAccess, database = NAME): string {
  return `postgres://${NAME}:${password}@127.0.0.1:${port}/${database}`;
}

/**
 * The postmaster that a killed service left running, when it is one of this cluster and lets us in; one that
 * is just starting or stopping is waited for. One that does not let us in is stopped, so that ours can start.
 */
async function adopt(
  home: PostgresHome,
  { pgCtl }: PostgresBinaries,
  access: ClusterAccess,
): Promise<Postmaster | undefined> {
  const began = performance.now();
  let readySince: number | undefined;
  for (;;) {
    const file = await readPostmasterFile(home.cluster);
    if (file === undefined) break;
    if (file.ready && (await serves(home, urlOf(file.port, access, 'postgres')))) {
      return new Postmaster(file.pid, file.port, pgCtl);
    }
    if (!(await isPostmasterOf(home.cluster, file.pid))) break;
    const now = performance.now();
    if (file.ready) readySince ??= now;
    if (now - (readySince ?? now) > ADOPT_MS || now - began > READY_TIMEOUT_MS) {
      await new Postmaster(file.pid, file.port, pgCtl).stop();
      break;
    }
    await delay(POLL_MS);
  }
  await clearStalePostmaster(home.cluster);
  return undefined;
}

/** True when our password opens it and it serves this very folder: a copied folder names the original's port. */
async function serves(home: PostgresHome, url: string): Promise<boolean> {
  try {
    const [row] = await query(url, "select current_setting('data_directory') as folder");
    return (await realpath(String(row?.['folder']))) === home.cluster;
  } catch {
    // Nobody there, somebody else's, or not ready after all: the caller looks again or starts its own.
    return false;
  }
}

async function startOnFreePort(
  home: PostgresHome,
  binaries: PostgresBinaries,
  access: ClusterAccess,
  log: (message: string) => void,
): Promise<Postmaster> {
  for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
    const port = await freePort(attempt === 0 ? access.port : undefined);
    try {
      const postmaster = await startPostmaster(home, binaries, port, log);
      if (port !== access.port) await writeAccess(home.dataDir, { ...access, port });
      return postmaster;
    } catch (error) {
      if (!(error instanceof PortTakenError)) throw error;
    }
  }
  throw new BootError(
    `The embedded Postgres found no free port on 127.0.0.1 in ${PORT_ATTEMPTS} attempts: set DATABASE_URL to a ` +
      'Postgres of your own.',
  );
}

/** initdb makes none but its own; asking first costs a warm start nothing but the connection that proves it. */
async function ensureDatabase(home: PostgresHome, url: string, maintenanceUrl: string): Promise<void> {
  try {
    await query(url, 'select 1').catch(async (error: unknown) => {
      if ((error as pg.DatabaseError).code !== UNKNOWN_DATABASE) throw error;
      await query(maintenanceUrl, `create database ${NAME}`);
    });
  } catch (cause) {
    throw new BootError(
      `The embedded Postgres in ${home.dataDir} runs and does not let us in (${(cause as Error).message}): bring its ` +
        'postgres.json back, or set BELFRY_DATA_DIR to another folder.',
      { cause },
    );
  }
}

/** SQLSTATE invalid_catalog_name. */
const UNKNOWN_DATABASE = '3D000';

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  // A connection that breaks after its answer would otherwise end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

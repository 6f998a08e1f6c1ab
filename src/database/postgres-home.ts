import { createHash } from 'node:crypto';
import { chmod, mkdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { BootError } from '../errors/boot-error.js';
import { mayEnter, postgresAccount } from './postgres-account.js';
import type { PostgresAccount } from './postgres-account.js';

/** Where a root-run service keeps what the account of its Postgres cannot reach in the project's own folder. */
export const SYSTEM_FOLDER = '/var/lib/belfry';

/** Where the embedded Postgres lives, and whom it runs as. */
export interface PostgresHome {
  /** Absolute, without soft links; holds `postgres` (PGDATA), `postgres.json`, `postgres.log`, `owner.pid`. */
  readonly dataDir: string;
  /** PGDATA. */
  readonly cluster: string;
  /** Where a copy of the programs may go. */
  readonly copies: string;
  /** Undefined: ourselves. */
  readonly account: PostgresAccount | undefined;
}

/**
 * Finds or makes the home for a data directory. It is that directory itself, unless we are root and the account
 * that Postgres runs as cannot enter it (a clone under /root); then it is a folder of its own in /var/lib/belfry.
 * Wherever a cluster exists already, it is used: a changed mode must not look like an empty database.
 *
 * @throws BootError when the directory cannot be made, or holds a cluster that cannot be reached any more
 */
export async function postgresHome(
  wanted: string,
  log: (message: string) => void,
  systemFolder: string,
): Promise<PostgresHome> {
  const dataDir = await makeFolder(wanted);
  const cluster = join(dataDir, 'postgres');
  const account = await postgresAccount(cluster);
  if (account === undefined || (await mayEnter(dataDir, account))) {
    const copies = account === undefined ? dataDir : systemFolder;
    const moved = account === undefined ? undefined : await systemHome(dataDir, systemFolder);
    // It was out of reach when the cluster was made, and is not any more.
    if (moved !== undefined && !(await hasCluster(cluster)) && (await hasCluster(moved.cluster))) {
      log(`The embedded Postgres goes on in ${moved.dataDir}, where it was started first.`);
      return moved;
    }
    return { dataDir, cluster, copies, account };
  }
  if (await hasCluster(cluster)) {
    throw new BootError(
      `The embedded Postgres in ${dataDir} runs as uid ${account.uid}, which cannot enter that folder any more: ` +
        'give it the right to (chmod o+x on the folder and those above it), or set DATABASE_URL.',
    );
  }
  const home = await systemHome(dataDir, systemFolder);
  await makeFolder(home.dataDir);
  log(
    `Postgres does not run as root, and uid ${account.uid} cannot enter ${dataDir}: its data is in ${home.dataDir}.`,
  );
  return home;
}

/** A name that people recognise, and a hash of the whole path, so that two clones never share one. */
async function systemHome(dataDir: string, systemFolder: string): Promise<PostgresHome> {
  const project = basename(join(dataDir, '..')).replace(/[^A-Za-z0-9._-]/g, '_');
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 10);
  const home = join(systemFolder, `${project || 'root'}-${hash}`);
  const cluster = join(home, 'postgres');
  return { dataDir: home, cluster, copies: systemFolder, account: await postgresAccount(cluster) };
}

/** True for a finished cluster: initdb has written the control file. */
export async function hasCluster(cluster: string): Promise<boolean> {
  return (await stat(join(cluster, 'global/pg_control')).catch(() => undefined)) !== undefined;
}

/**
 * Makes a folder and those above it, and resolves to its real path.
 *
 * @throws BootError when that is not possible
 */
export async function makeFolder(folder: string): Promise<string> {
  try {
    const first = await mkdir(folder, { recursive: true });
    // Whatever root's umask: another account has to pass through. What must stay secret in it has its own mode.
    if (first !== undefined && process.getuid?.() === 0) {
      for (let path = resolve(folder); path.length >= first.length; path = dirname(path))
        await chmod(path, 0o755);
    }
    return await realpath(folder);
  } catch (cause) {
    throw unwritable(folder, cause);
  }
}

/** What to tell about a file operation that failed in a data directory. */
export function unwritable(dataDir: string, cause: unknown): BootError {
  const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new BootError(
    `The data directory ${dataDir} cannot be written (${reason}): make it writable for this user, or set ` +
      'BELFRY_DATA_DIR to another folder.',
    { cause },
  );
}

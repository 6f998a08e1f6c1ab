import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { BootError } from '../errors/boot-error.js';
import { hasCluster } from './postgres-home.js';
import type { PostgresHome } from './postgres-home.js';

/** The superuser of the cluster, and its database. */
export const NAME = 'belfry';

/** `postgres.json`: how to reach the cluster; readable by its owner alone. */
export interface ClusterAccess {
  readonly password: string;
  /** The port it had last; undefined before its first start. */
  readonly port?: number;
}

/** initdb takes under a second; a disk that syncs very slowly may need more. */
const INITDB_TIMEOUT_MS = 120_000;
const STAGING = 'postgres.new-';

/**
 * What Postgres' programs see of our environment: no PGDATA or PGOPTIONS of somebody else's Postgres, no locale
 * that this system lacks (initdb refuses one), and none of the service's own secrets.
 */
export function postgresEnvironment(): NodeJS.ProcessEnv {
  const { PATH, SystemRoot, TEMP, TMP } = process.env;
  return { PATH, SystemRoot, TEMP, TMP, LC_ALL: 'C', TZ: 'UTC' };
}

/** Opens the cluster of a home, or makes it at the first start. The caller holds the owner lock. */
export async function openCluster(
  home: PostgresHome,
  initdb: string,
  log: (message: string) => void,
): Promise<ClusterAccess> {
  if (await hasCluster(home.cluster)) return readAccess(home);
  if (await stat(home.cluster).catch(() => undefined)) {
    // Not ours to delete: initdb never leaves one here, so somebody else put it.
    const aside = `${home.cluster}.unfinished-${randomBytes(4).toString('hex')}`;
    await rename(home.cluster, aside);
    log(`${home.cluster} was no finished cluster; it is now ${aside}, and a new one is made.`);
  }
  return initialise(home, initdb);
}

/**
 * initdb works in a folder beside the cluster, which gets the cluster's name only when it is finished: killed at
 * any moment, it leaves either no cluster or a whole one. The password is on disk before the cluster that needs it.
 */
async function initialise(home: PostgresHome, initdb: string): Promise<ClusterAccess> {
  await removeStaging(home.dataDir);
  const staging = join(home.dataDir, STAGING + randomBytes(4).toString('hex'));
  const cluster = join(staging, 'cluster');
  const pwfile = join(staging, 'password');
  const access: ClusterAccess = { password: randomBytes(24).toString('base64url') };
  await mkdir(staging, { mode: 0o700 });
  await writeFile(pwfile, access.password, { mode: 0o600 });
  if (home.account !== undefined) {
    await chown(pwfile, home.account.uid, home.account.gid);
    await chown(staging, home.account.uid, home.account.gid);
  }
  try {
    await promisify(execFile)(
      initdb,
      [
        `--pgdata=${cluster}`,
        `--username=${NAME}`,
        `--pwfile=${pwfile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        // The same order of strings on every system, whatever LANG says: LANG=C would give SQL_ASCII.
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-instructions',
      ],
      { ...home.account, cwd: home.dataDir, env: postgresEnvironment(), timeout: INITDB_TIMEOUT_MS },
    );
  } catch (cause) {
    await rm(staging, { recursive: true, force: true });
    const { stderr, message } = cause as Error & { stderr?: string };
    const reason = stderr?.trim().split('\n').at(-1) ?? '';
    throw new BootError(
      `The embedded Postgres could not be set up in ${home.dataDir} (${reason || message}): put that right, or set ` +
        'DATABASE_URL to a Postgres of your own.',
      { cause },
    );
  }
  await writeAccess(home.dataDir, access);
  await rename(cluster, home.cluster);
  await syncFolder(home.dataDir);
  await rm(staging, { recursive: true, force: true });
  return access;
}

/** What a start that was killed left behind. An initdb that outlived it works on in vain, under a name of its own. */
async function removeStaging(dataDir: string): Promise<void> {
  for (const entry of await readdir(dataDir)) {
    if (!entry.startsWith(STAGING)) continue;
    await rm(join(dataDir, entry), { recursive: true, force: true, maxRetries: 3 }).catch(() => {
      // That initdb may be adding files just now; the next first start tries again.
    });
  }
}

/** @throws BootError when the password of a cluster is gone */
export async function readAccess({ dataDir }: PostgresHome): Promise<ClusterAccess> {
  const path = join(dataDir, 'postgres.json');
  try {
    const access = JSON.parse(await readFile(path, 'utf8')) as Partial<ClusterAccess>;
    if (typeof access.password !== 'string') throw new Error('no password in it');
    return { password: access.password, ...(access.port !== undefined && { port: access.port }) };
  } catch (cause) {
    throw new BootError(
      `${path}, which holds the password of the embedded Postgres, cannot be read (${(cause as Error).message}): ` +
        `bring it back, or move ${dataDir} away to begin with an empty database.`,
      { cause },
    );
  }
}

/** Replaces `postgres.json` in one step, so that a crash leaves the old one or the new one. */
export async function writeAccess(dataDir: string, access: ClusterAccess): Promise<void> {
  const path = join(dataDir, 'postgres.json');
  const draft = `${path}.new`;
  const file = await open(draft, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(access)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}

/** A rename is only durable once its folder is; without it a power cut could undo the whole first session. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}

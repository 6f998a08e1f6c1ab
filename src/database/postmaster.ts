import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { BootError } from '../errors/boot-error.js';
import { postgresEnvironment } from './postgres-cluster.js';
import type { PostgresBinaries } from './postgres-binaries.js';
import type { PostgresHome } from './postgres-home.js';
import { readPostmasterFile } from './postmaster-file.js';
import { identify, isRunning } from './process-identity.js';
import type { ProcessIdentity } from './process-identity.js';

/** Crash recovery replays what was written since the last checkpoint; this is far past what that takes. */
export const READY_TIMEOUT_MS = 300_000;
/** After so long a start that is still waiting is worth a word. */
const SLOW_START_MS = 3_000;
const POLL_MS = 20;
/** How often a running postmaster is looked at. */
const WATCH_MS = 250;
const LOG_BYTES = 10 * 1024 * 1024;
const LAST_LINES = 10;

/** Fast shutdown first; then without a checkpoint (the next start recovers); then what nothing survives. */
const SHUTDOWN = [
  { signal: 'SIGINT', name: 'INT', waitMs: 10_000 },
  { signal: 'SIGQUIT', name: 'QUIT', waitMs: 6_000 },
  { signal: 'SIGKILL', name: 'KILL', waitMs: 5_000 },
] as const;

/**
 * One Postgres, started by us or left by an earlier process of ours and adopted; both are watched and stopped by pid,
 * so that there is one way for both. It is alive until its process is gone, and never comes back.
 */
export class Postmaster {
  readonly #process: ProcessIdentity;
  readonly #pgCtl: string;
  #watch: NodeJS.Timeout | undefined;

  constructor(
    pid: number,
    readonly port: number,
    pgCtl: string,
  ) {
    this.#process = identify(pid) ?? { pid, startedAt: 'gone' };
    this.#pgCtl = pgCtl;
  }

  get pid(): number {
    return this.#process.pid;
  }

  isAlive(): boolean {
    return isRunning(this.#process);
  }

  /** Calls back once when the process goes without `stop` having been called. */
  watch(onGone: () => void): void {
    this.#watch = setInterval(() => {
      if (this.isAlive()) return;
      clearInterval(this.#watch);
      onGone();
    }, WATCH_MS);
    this.#watch.unref();
  }

  /** Resolves when the process is gone; escalates when it does not go. */
  async stop(): Promise<void> {
    clearInterval(this.#watch);
    for (const { signal, name, waitMs } of SHUTDOWN) {
      if (!this.isAlive()) return;
      await this.#signal(signal, name);
      const deadline = performance.now() + waitMs;
      while (this.isAlive() && performance.now() < deadline) await delay(POLL_MS);
    }
    if (this.isAlive()) throw new Error(`Postgres process ${this.pid} does not stop, not even by SIGKILL`);
  }

  async #signal(signal: NodeJS.Signals, name: string): Promise<void> {
    // Windows has no signals; there Postgres listens on a pipe that pg_ctl knows.
    if (process.platform === 'win32') {
      await promisify(execFile)(this.#pgCtl, ['kill', name, String(this.pid)]);
      return;
    }
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      // It went between our looking and our signal.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** The port was taken between our choosing it and Postgres' binding it. */
export class PortTakenError extends Error {}

/**
 * Starts a postmaster and waits until it takes connections, through crash recovery when it needs one. It is the
 * leader of its own process group: a Ctrl-C in the terminal reaches the service, which still needs its database to
 * drain, and not Postgres.
 *
 * @throws PortTakenError
 * @throws BootError with Postgres' own reason when it does not start
 */
export async function startPostmaster(
  home: PostgresHome,
  { postgres, pgCtl }: PostgresBinaries,
  port: number,
  log: (message: string) => void,
): Promise<Postmaster> {
  const logPath = join(home.dataDir, 'postgres.log');
  const written = await stat(logPath).catch(() => undefined);
  if (written !== undefined && written.size > LOG_BYTES) await truncate(logPath);
  const output = await open(logPath, 'a', 0o600);
  const from = (await output.stat()).size;
  let pid: number | undefined;
  try {
    const child = spawn(postgres, ['-D', home.cluster, ...settings(port)], {
      ...home.account,
      cwd: home.dataDir,
      env: postgresEnvironment(),
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
    });
    await once(child, 'spawn');
    child.unref();
    ({ pid } = child);
  } catch (cause) {
    throw notStarted(home, (cause as Error).message, cause);
  } finally {
    await output.close();
  }

  if (pid === undefined) throw notStarted(home, 'it got no process id');
  const postmaster = new Postmaster(pid, port, pgCtl);
  const began = performance.now();
  let told = false;
  for (;;) {
    const file = await readPostmasterFile(home.cluster);
    if (file?.pid === pid && file.ready) return postmaster;
    if (!postmaster.isAlive()) {
      const output = (await readFile(logPath)).subarray(from).toString();
      // What Postgres says when it cannot bind its one address.
      if (output.includes('could not create any TCP/IP sockets')) throw new PortTakenError();
      throw notStarted(home, fatalReason(output) ?? 'it ended without a word');
    }
    const waited = performance.now() - began;
    if (waited > READY_TIMEOUT_MS) {
      await postmaster.stop();
      throw notStarted(home, `not ready after ${READY_TIMEOUT_MS / 1000} s`);
    }
    if (!told && waited > SLOW_START_MS) {
      told = true;
      log('Waiting for the embedded Postgres, which recovers from a crash.');
    }
    await delay(POLL_MS);
  }
}

/** On the command line rather than in postgresql.conf, so that a new version's settings reach old clusters. */
function settings(port: number): string[] {
  const values = {
    port,
    listen_addresses: '127.0.0.1',
    // Its path would have to be shorter than 108 bytes, and nobody needs it.
    unix_socket_directories: '',
    max_connections: 100,
    tcp_keepalives_idle: 30,
    log_min_messages: 'warning',
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** The last lines that this or an earlier Postgres of the home wrote. */
export async function lastLogLines({ dataDir }: PostgresHome): Promise<string> {
  const text = await readFile(join(dataDir, 'postgres.log'), 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-LAST_LINES).join('\n');
}

function fatalReason(output: string): string | undefined {
  const lines = output.trim().split('\n');
  const fatal = lines.findLast(line => /\b(FATAL|PANIC):/.test(line)) ?? lines.at(-1);
  return fatal?.replace(/^.*?\b(FATAL|PANIC):\s*/, '').trim();
}

function notStarted({ dataDir }: PostgresHome, reason: string, cause?: unknown): BootError {
  return new BootError(
    `The embedded Postgres in ${dataDir} does not start (${reason}): see postgres.log there, or set DATABASE_URL to ` +
      'a Postgres of your own.',
    { cause },
  );
}

// @ts-check
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 50;

/**
 * A process as one word: its pid, and on Linux its start time (field 22 of `/proc/<pid>/stat`), which tells it from
 * a later process with the same pid. It runs before anything is built, so it cannot share this with `src`.
 *
 * @param {number} pid
 * @returns {string | undefined} undefined when no such process lives; a zombie does not
 */
export function describeProcess(pid) {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is there, and another user's.
    if (codeOf(error) === 'ESRCH') return undefined;
  }
  let stat;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // No /proc on this system: the pid alone has to do.
    return `${pid}`;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : `${pid}:${fields[19]}`;
}

/**
 * @param {string} description what `describeProcess` said once
 * @returns {boolean} true while that very process lives
 */
export function isAlive(description) {
  const now = describeProcess(Number.parseInt(description, 10));
  if (now === undefined) return false;
  // One of the two may lack the start time, when /proc was not there to read.
  return now === description || !now.includes(':') || !description.includes(':');
}

/**
 * A lock file that names the processes holding it. It is free when none of them lives, so a `kill -9` needs no
 * cleaning up; a child is named too, because it may work on after its parent was killed.
 */
export class ProcessLock {
  #path;

  /** @param {string} path */
  constructor(path) {
    this.#path = path;
  }

  /**
   * Waits for its turn.
   *
   * @param {number} timeoutMs
   * @returns {Promise<number | undefined>} undefined when the lock is ours, else the pid that still holds it
   */
  async take(timeoutMs) {
    const deadline = performance.now() + timeoutMs;
    const draft = this.#draft([process.pid]);
    try {
      for (;;) {
        // A link appears with its content in one step: nobody ever reads a lock without a holder.
        if (succeeds(() => linkSync(draft, this.#path), 'EEXIST')) return undefined;
        const held = this.#read();
        if (held === undefined) continue;
        const holder = held.split('\n').find(isAlive);
        if (holder === undefined) this.#discard(held);
        else if (performance.now() > deadline) return Number.parseInt(holder, 10);
        else await delay(POLL_MS);
      }
    } finally {
      rmSync(draft, { force: true });
    }
  }

  /**
   * Names a child as a holder too.
   *
   * @param {number} child
   */
  share(child) {
    renameSync(this.#draft([process.pid, child]), this.#path);
  }

  release() {
    rmSync(this.#path, { force: true });
  }

  /** @param {number[]} pids */
  #draft(pids) {
    const draft = `${this.#path}.${randomBytes(6).toString('hex')}`;
    const holders = pids.map(describeProcess).filter(holder => holder !== undefined);
    writeFileSync(draft, holders.join('\n'), { flag: 'wx' });
    return draft;
  }

  #read() {
    /** @type {string | undefined} */
    let content;
    succeeds(() => (content = readFileSync(this.#path, 'utf8')), 'ENOENT');
    return content;
  }

  /**
   * Moves a stale lock aside and looks at it again: another starter may have replaced it since we read it, and a
   * fresh lock goes back where it was.
   *
   * @param {string} stale
   */
  #discard(stale) {
    const aside = `${this.#path}.${randomBytes(6).toString('hex')}`;
    if (!succeeds(() => renameSync(this.#path, aside), 'ENOENT')) return;
    if (readFileSync(aside, 'utf8') !== stale) succeeds(() => linkSync(aside, this.#path), 'EEXIST');
    rmSync(aside);
  }
}

/**
 * @param {() => unknown} step
 * @param {string} expected the error code that only means "no"
 */
function succeeds(step, expected) {
  try {
    step();
    return true;
  } catch (error) {
    if (codeOf(error) === expected) return false;
    throw error;
  }
}

/**
 * @param {unknown} error
 * @returns {string | undefined} such as `ENOENT`
 */
export function codeOf(error) {
  return /** @type {NodeJS.ErrnoException} */ (error).code;
}

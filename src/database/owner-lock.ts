import { randomBytes } from 'node:crypto';
import { link, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { BootError } from '../errors/boot-error.js';
import { identify, isRunning } from './process-identity.js';

/** Takeovers of a stale lock that may fail against other starters before we give up. */
const ATTEMPTS = 10;

/** Another live process, or another instance in this one, holds the directory. */
export class DirectoryInUseError extends BootError {}

/**
 * `<dataDir>/owner.pid`: the one service that runs the embedded Postgres of a data directory. Without it a second
 * service would adopt the first one's Postgres, and the first to stop would take it away from the other.
 *
 * A lock whose owner is dead (kill -9, power cut), or whose pid now belongs to another process, is taken over.
 */
export class OwnerLock {
  readonly #path: string;
  readonly #content: string;

  private constructor(path: string, content: string) {
    this.#path = path;
    this.#content = content;
  }

  /** @throws DirectoryInUseError */
  static async take(dataDir: string): Promise<OwnerLock> {
    const path = join(dataDir, 'owner.pid');
    const content = `${process.pid} ${identify(process.pid)?.startedAt ?? ''}\n`;
    const draft = `${path}.${randomBytes(6).toString('hex')}`;
    await writeFile(draft, content, { mode: 0o644, flag: 'wx' });
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        // A link appears with its content in one step: nobody ever reads a lock without an owner.
        if (await created(link(draft, path))) return new OwnerLock(path, content);
        const held = await readIfThere(path);
        if (held === undefined) continue;
        const [pid = '', startedAt = ''] = held.trim().split(' ');
        if (isRunning({ pid: Number(pid), startedAt })) throw inUse(dataDir, pid);
        await discard(path, held);
      }
    } finally {
      await unlink(draft);
    }
    throw inUse(dataDir, 'unknown');
  }

  /** Idempotent; a lock that somebody else took over meanwhile is left alone. */
  async release(): Promise<void> {
    if ((await readIfThere(this.#path)) === this.#content) await unlink(this.#path);
  }
}

/**
 * Takes a stale lock away. It is moved aside and looked at again, because another starter may have replaced it
 * between our reading and our moving; a fresh lock goes back where it was.
 */
async function discard(path: string, stale: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  if (!(await there(rename(path, aside)))) return;
  if ((await readFile(aside, 'utf8')) !== stale) await created(link(aside, path));
  await unlink(aside);
}

function inUse(dataDir: string, pid: string): BootError {
  return new DirectoryInUseError(
    `The data directory ${dataDir} is in use by process ${pid}: stop it, or set BELFRY_DATA_DIR to another folder.`,
  );
}

function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
}

const created = (step: Promise<void>) => unlessCode(step, 'EEXIST');
const there = (step: Promise<void>) => unlessCode(step, 'ENOENT');

async function unlessCode(step: Promise<void>, code: string): Promise<boolean> {
  try {
    await step;
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return false;
    throw error;
  }
}

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const DEADLINE_MS = 20_000;

/** Waits for a condition, not for a time. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await delay(5);
  }
}

/** A new folder that every user may enter, whatever our umask. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'belfry-spec-'));
  await chmod(folder, 0o755);
  return folder;
}

/** A process of the tests with what it printed. */
export class TestProcess {
  readonly lines: string[] = [];
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor(args: string[], env: NodeJS.ProcessEnv = process.env) {
    // Its own group, as a shell would give it.
    this.#child = spawn(process.execPath, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const output of [this.#child.stdout!, this.#child.stderr!]) {
      createInterface({ input: output }).on('line', line => this.lines.push(line));
    }
    this.ended = once(this.#child, 'close').then(([code]) => code as number | null);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get output(): string {
    return this.lines.join('\n');
  }

  async prints(part: string): Promise<void> {
    let over = false;
    void this.ended.then(() => (over = true));
    await until(`a line with "${part}" in:\n${this.output}`, () => {
      if (this.output.includes(part)) return true;
      if (over) throw new Error(`ended without "${part}":\n${this.output}`);
      return false;
    });
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return this.ended;
  }
}

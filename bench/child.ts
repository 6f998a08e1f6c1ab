import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { treeOf, type Usage, usageOf } from './usage.js';

export interface ChildOptions {
  /** For its log file and for messages. */
  readonly name: string;
  /** Where its output goes: a file, so that nobody has to keep up with reading it. */
  readonly folder: string;
  readonly env?: NodeJS.ProcessEnv;
}

const START_MS = 30_000;
const POLL_MS = 20;
const LAST_LINES = 8;
/** What a forced garbage collection, and giving memory back to the kernel after it, may take. */
const SETTLE_MS = 1_500;
const running = new Set<Child>();
let started = 0;

/** A server that is measured: a process, and whatever it starts itself. */
export class Child {
  private readonly exited: Promise<void>;

  private constructor(
    readonly name: string,
    private readonly process: ChildProcess,
    private readonly log: string,
    private readonly isNode: boolean,
  ) {
    running.add(this);
    this.exited = new Promise(resolve => {
      const gone = (): void => {
        running.delete(this);
        resolve();
      };
      process.once('exit', gone);
      // It could not be started at all: whoever waits for `spawn` is told.
      process.once('error', gone);
    });
  }

  static async start(command: string, args: readonly string[], options: ChildOptions): Promise<Child> {
    return Child.spawn(command, args, options, false);
  }

  /** A script under Node, that collects its garbage when it is told to (servers/settle.ts). */
  static async startNode(script: string, args: readonly string[], options: ChildOptions): Promise<Child> {
    const settle = new URL('servers/settle.js', import.meta.url).href;
    return Child.spawn(process.execPath, ['--expose-gc', '--import', settle, script, ...args], options, true);
  }

  private static async spawn(
    command: string,
    args: readonly string[],
    { name, folder, env }: ChildOptions,
    isNode: boolean,
  ): Promise<Child> {
    const log = join(folder, `${name}-${++started}.log`);
    const output = openSync(log, 'a');
    try {
      // No other variables than these: NODE_OPTIONS or a LOG_LEVEL of the shell would change what is measured.
      const inherited = { PATH: process.env['PATH'], HOME: process.env['HOME'], LANG: process.env['LANG'] };
      const child = spawn(command, args, {
        env: { ...inherited, ...env },
        cwd: folder,
        stdio: ['ignore', output, output],
      });
      const born = new Child(name, child, log, isNode);
      await once(child, 'spawn');
      return born;
    } finally {
      closeSync(output);
    }
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  get usage(): Usage {
    return usageOf(this.pid);
  }

  /** Waits until its output matches. @returns the match */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    return this.until(
      `print ${pattern.source}`,
      () => pattern.exec(readFileSync(this.log, 'utf8')) ?? undefined,
    );
  }

  /** Waits until there is something, while the process lives. */
  async until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
    const deadline = performance.now() + START_MS;
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      if (this.process.exitCode !== null || this.process.signalCode !== null) {
        throw new Error(`${this.name} ended before it could ${what}:\n${this.lastLines()}`);
      }
      if (performance.now() > deadline) {
        throw new Error(`${this.name} did not ${what} within ${START_MS / 1000} s:\n${this.lastLines()}`);
      }
      await delay(POLL_MS);
    }
  }

  /** Gives it the time, and where it can be told to the order, to give back memory that it does not use. */
  async settle(): Promise<void> {
    if (this.isNode) this.process.kill('SIGUSR2');
    await delay(SETTLE_MS);
  }

  lastLines(): string {
    return readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-LAST_LINES).join('\n');
  }

  /** At once: nothing that a server keeps outlives its measurement. */
  async end(): Promise<void> {
    this.kill();
    if (running.has(this)) await this.exited;
  }

  kill(): void {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    // A parent that is killed does not take its children with it.
    for (const pid of treeOf(this.pid)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        // It has ended.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }
}

/** For the end of the process, when there is no time to wait for anything. */
export function killChildren(): void {
  for (const child of running) child.kill();
}

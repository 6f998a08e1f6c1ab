import { readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem, type } from 'node:os';

/** What the numbers were made on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  /** Of each process. */
  readonly openFiles: number;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? arch(),
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 1024 ** 2),
    kernel: `${type()} ${release()}`,
    openFiles: openFileLimit(),
  };
}

/** A process needs some files besides its sockets: libraries, logs, pipes, the connections to Postgres. */
const OTHER_FILES = 200;

/**
 * Node raises its soft limit to the hard one as it starts, and other programs inherit ours.
 *
 * @throws Error when a process cannot have so many connections
 */
export function checkOpenFiles(connections: number): void {
  const limit = openFileLimit();
  if (connections + OTHER_FILES <= limit) return;
  throw new Error(
    `${connections} connections need ${connections + OTHER_FILES} open files in one process, and the limit is ` +
      `${limit}: raise it with "ulimit -n", or give --conns.`,
  );
}

function openFileLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const limit = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return limit === undefined || limit === 'unlimited' ? Infinity : Number(limit);
}

import { readFileSync } from 'node:fs';

/** A process that a file can remember: the start time tells it from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of `/proc/<pid>/stat`, in clock ticks since boot; empty where there is no `/proc`. */
  readonly startedAt: string;
}

/**
 * The process that has this pid now; undefined when there is none. A zombie counts as gone: in a container whose
 * first process never reaps, it would keep its pid for ever.
 */
export function identify(pid: number): ProcessIdentity | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is there, and another user's.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined;
  }
  const stat = readStat(pid);
  if (stat === undefined) return { pid, startedAt: '' };
  // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  return state === 'Z' || state === 'X' ? undefined : { pid, startedAt: fields[19] ?? '' };
}

/** True while that very process lives, not merely one with its pid. */
export function isRunning({ pid, startedAt }: ProcessIdentity): boolean {
  const now = identify(pid);
  return now !== undefined && (startedAt === '' || now.startedAt === '' || startedAt === now.startedAt);
}

function readStat(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // No /proc on this system, or it hides other users' processes: the pid alone has to do.
    return undefined;
  }
}

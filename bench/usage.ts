import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Of the process tree below and with a pid, as the kernel counts it. */
export interface Usage {
  /** User and system time, in seconds; also that of descendants that have ended and were waited for. */
  readonly cpuSeconds: number;
  /** VmRSS, in bytes, summed over the processes: pages they share count more than once. */
  readonly rss: number;
}

/** Clock ticks per second in /proc/<pid>/stat. Asked for late: elsewhere than on Linux it may not be there to ask. */
let ticksPerSecond: number | undefined;

export function usageOf(root: number): Usage {
  let ticks = 0;
  let rss = 0;
  for (const pid of treeOf(root)) {
    const stat = readStat(pid);
    // It ended between the listing and now; its time went to its parent, and is seen the next time.
    if (!stat) continue;
    ticks += stat.ticks;
    rss += readRss(pid);
  }
  ticksPerSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return { cpuSeconds: ticks / ticksPerSecond, rss };
}

/** CPU seconds that the trees of these processes use while something is done. */
export async function cpuDuring<T>(
  roots: readonly number[],
  work: () => Promise<T>,
): Promise<{ value: T; cpuSeconds: number[] }> {
  const before = roots.map(root => usageOf(root).cpuSeconds);
  const value = await work();
  return { value, cpuSeconds: roots.map((root, index) => usageOf(root).cpuSeconds - (before[index] ?? 0)) };
}

/** The process itself first, then its descendants. */
export function treeOf(root: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const parent = Number.isInteger(pid) ? readStat(pid)?.parent : undefined;
    if (parent === undefined) continue;
    const children = childrenOf.get(parent);
    if (children) children.push(pid);
    else childrenOf.set(parent, [pid]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(childrenOf.get(pid) ?? []));
  return tree;
}

function readStat(pid: number): { parent: number; ticks: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field, the program's name in parentheses, may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number);
    return {
      parent: Number(fields[1]),
      ticks: (utime ?? 0) + (stime ?? 0) + (cutime ?? 0) + (cstime ?? 0),
    };
  } catch {
    // It has ended.
    return undefined;
  }
}

function readRss(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    // It has ended.
    return 0;
  }
}

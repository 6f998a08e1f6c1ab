import type { GeneratorHandle } from './generator/handle.js';
import type { Published } from './generator/protocol.js';
import type { Stage } from './stage.js';
import type { Target } from './contender.js';
import { cpuDuring } from './usage.js';

/** What deliveries cost. */
export interface Deliveries extends Published {
  /** Of all of the server's processes. */
  readonly serverSeconds: number;
  readonly postgresSeconds: number;
  /** Of one core, that the generator was busy. Near 1 it is what limits the rate, though not what the rate costs. */
  readonly generatorShare: number;
  /** Deliveries per CPU second of the server. */
  readonly perCpuSecond: number;
}

/** Publishes to clients that are connected, and says what that cost; what is hot was compiled before it counts. */
export async function measureDeliveries(
  { postgres }: Stage,
  { children, publish }: Target,
  generator: GeneratorHandle,
  { burst, ms }: { burst: number; ms: number },
): Promise<Deliveries> {
  await generator.order('publish', { publish, burst, ms: ms / 2 });
  const pids = [postgres.pid, generator.pid, ...children.map(({ pid }) => pid)];
  const { value, cpuSeconds } = await cpuDuring(pids, () =>
    generator.order('publish', { publish, burst, ms }),
  );
  const [postgresSeconds = 0, generatorSeconds = 0, ...servers] = cpuSeconds;
  const serverSeconds = servers.reduce((sum, seconds) => sum + seconds, 0);
  return {
    ...value,
    serverSeconds,
    postgresSeconds,
    generatorShare: generatorSeconds / value.seconds,
    perCpuSecond: value.deliveries / serverSeconds,
  };
}

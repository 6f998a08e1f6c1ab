import { setTimeout as delay } from 'node:timers/promises';
import { figures, goal, type Scenario } from '../scenario.js';
import type { Target } from '../contender.js';

const CONNECTIONS = { quick: 3_000, full: 10_000 };
/** Come and gone before anything is measured, so that what a server makes once is not counted. */
const EARLIER = 100;

interface Turn {
  /** Bytes. */
  readonly before: number;
  readonly connected: number;
  readonly settled: number;
  readonly count: number;
  /** CPU seconds per second, while nothing is published. */
  readonly cpu: number;
}

/** Memory of connections on which nothing happens. */
export const idle: Scenario = {
  name: 'idle',
  title: 'Resident memory of idle connections; settled: after a forced garbage collection',
  async run(lab) {
    const count = lab.connections(CONNECTIONS.quick, CONNECTIONS.full);
    // The longer one sees a heartbeat of every connection of belfry.
    const ms = lab.amount(1_000, 20_000);
    const rounds = await lab.rounds(lab.mainContenders(), async (contender, stage): Promise<Turn> => {
      const target = await stage.start(contender);
      const generator = await stage.generator();
      await generator.order('connect', { streams: target.streams, count: Math.min(EARLIER, count) });
      await generator.order('disconnect');
      await settle(target);
      const before = usageOf(target);
      await generator.order('connect', { streams: target.streams, count });
      const connected = usageOf(target);
      await delay(ms);
      const later = usageOf(target);
      await settle(target);
      return {
        before: before.rss,
        connected: later.rss,
        settled: usageOf(target).rss,
        count,
        cpu: (later.cpuSeconds - connected.cpuSeconds) / (ms / 1000),
      };
    });

    const rows = rounds.names.map(who => ({
      who,
      figures: figures({
        'before, settled': rounds.figure(who, 'MiB', ({ before }) => before / 1024 ** 2),
        connected: rounds.figure(who, 'MiB', turn => turn.connected / 1024 ** 2),
        'connected, settled': rounds.figure(who, 'MiB', ({ settled }) => settled / 1024 ** 2),
        'per connection': rounds.figure(
          who,
          'KiB',
          turn => (turn.connected - turn.before) / turn.count / 1024,
        ),
        'per connection, settled': rounds.figure(who, 'KiB', turn => perConnection(turn) / 1024),
        '  against plain': rounds.ratio(who, 'plain', perConnection),
        'CPU while idle': rounds.figure(who, '%', ({ cpu }) => cpu * 100),
      }),
    }));
    return {
      rows,
      goals: goal(
        'memory per idle connection, against plain',
        rounds.ratio('belfry', 'plain', perConnection),
        {
          atMost: 2,
        },
      ),
      notes: [
        `${count} connections, ${ms / 1000} s; heartbeats as each server has them by default, that is every 15 s (belfry),`,
        "25 s (centrifugo), 40 s (mercure) or never. The kernel's own memory for sockets is not in it. Only servers on Node",
        'can be told to collect garbage. A quick run takes belfry, plain and nest-sse alone.',
      ],
    };
  },
};

function perConnection({ before, settled, count }: Turn): number {
  return (settled - before) / count;
}

function usageOf({ children }: Target) {
  const usages = children.map(({ usage }) => usage);
  return {
    rss: usages.reduce((sum, { rss }) => sum + rss, 0),
    cpuSeconds: usages.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
  };
}

async function settle({ children }: Target): Promise<void> {
  await Promise.all(children.map(child => child.settle()));
}

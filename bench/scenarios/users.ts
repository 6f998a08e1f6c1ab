import type { Child } from '../child.js';
import { type Figure, figure } from '../figure.js';
import type { StreamSpec } from '../generator/protocol.js';
import { Ledger } from '../ledger.js';
import { LoadHandle } from '../load/handle.js';
import type { PostSpec, Spread } from '../load/protocol.js';
import type { Rounds } from '../rounds.js';
import { figures, type Scenario } from '../scenario.js';
import type { Stage } from '../stage.js';
import { cpuDuring } from '../usage.js';
import { witnessed } from '../witness.js';
import { eventsOf } from './publish.js';

const USERS = { quick: 3_000, full: 10_000 };
/** Events per second, one step after the other until one of them is too much. */
const RATES = {
  quick: [1_000, 3_000, 6_000, 9_000],
  full: [500, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000, 10_000, 12_000],
};
const CONNECTIONS = 64;
/** At the 99th percentile, in milliseconds: later than this, and people notice. */
const TOO_LATE = 100;
const TOPIC = 'user:';

interface Step extends Spread {
  readonly rate: number;
  readonly serverSeconds: number;
  readonly postgresSeconds: number;
  readonly loadSeconds: number;
}

interface Turn {
  readonly admittedMs: number;
  readonly steps: readonly Step[];
  /** The highest rate that was not too much. */
  readonly kept: number;
}

/** A server with a stream for each user. */
interface Server {
  readonly child: Child;
  readonly to: PostSpec;
  readonly streams: readonly StreamSpec[];
  /** Throws when it does not hold so many events. */
  readonly check?: (events: number) => Promise<void>;
}

/** What everybody hears who has a topic of their own. */
export const users: Scenario = {
  name: 'users',
  title: 'Users each on a topic of their own, single events to one after the other at a rising rate',
  async run(lab) {
    const count = lab.connections(USERS.quick, USERS.full);
    const rates = lab.settings.quick ? RATES.quick : RATES.full;
    const ms = lab.amount(800, 4_000);
    const tokens: string[] = [];
    const servers = [
      { name: 'belfry', start: (stage: Stage) => startBelfry(stage, count, tokens) },
      { name: 'plain', start: (stage: Stage) => startPlain(stage, count) },
    ];
    const rounds = await lab.rounds(servers, async ({ start }, stage): Promise<Turn> => {
      const server = await start(stage);
      return witnessed(server.child, () =>
        LoadHandle.during(load => climb(stage, server, load, { rates, ms })),
      );
    });

    return {
      rows: rounds.names.map(who => ({
        who,
        figures: figures({
          [`all ${count} are in`]: rounds.figure(who, 'ms', ({ admittedMs }) => admittedMs),
          [`most with p99 ≤ ${TOO_LATE} ms`]: rounds.figure(who, '/s', ({ kept }) => kept),
          '  against plain': rounds.ratio(who, 'plain', ({ kept }) => kept),
          ...Object.fromEntries(
            rates.flatMap(rate => [
              [`${rate}/s: to the user, p50`, ofStep(rounds, who, rate, 'ms', ({ toUser }) => toUser.p50)],
              [`${rate}/s: p99`, ofStep(rounds, who, rate, 'ms', ({ toUser }) => toUser.p99)],
              [
                `${rate}/s: server CPU per event`,
                ofStep(rounds, who, rate, 'µs', step => (step.serverSeconds / step.events) * 1e6),
              ],
              [
                `${rate}/s: Postgres CPU per event`,
                ofStep(rounds, who, rate, 'µs', step => (step.postgresSeconds / step.events) * 1e6),
              ],
              [
                `${rate}/s: CPU of the load itself`,
                ofStep(rounds, who, rate, '%', step => (step.loadSeconds / step.seconds) * 100),
              ],
            ]),
          ),
        }),
      })),
      notes: [
        `Each event goes to one user, over one of ${CONNECTIONS} connections, whatever became of the last one, and is timed from`,
        'the moment it was due. Every user heard their own events, once and in order, and nobody else heard them.',
        `A step with a p99 above ${TOO_LATE} ms is tried once more before it counts. The load is one process: where it is`,
        'near 100 % of a CPU, it is what cannot do more.',
      ],
    };
  },
};

async function climb(
  stage: Stage,
  { child, to, streams, check }: Server,
  load: LoadHandle,
  { rates, ms }: { rates: readonly number[]; ms: number },
): Promise<Turn> {
  const began = performance.now();
  await load.order('admit', { streams });
  const admittedMs = performance.now() - began;
  const spread = (perSecond: number): Promise<Spread> =>
    load.order('spread', { to, topic: TOPIC, connections: CONNECTIONS, perSecond, ms });
  const pids = [child.pid, stage.postgres.pid, load.pid];
  let events = (await spread(rates[0] ?? 1)).events;
  const steps: Step[] = [];
  let kept = 0;
  for (const rate of rates) {
    let step: Step | undefined;
    // Once more when it is too much: a machine that was busy with something else for a moment is no answer.
    for (let attempt = 0; attempt < 2 && (step?.toUser.p99 ?? Infinity) > TOO_LATE; attempt++) {
      const { value, cpuSeconds } = await cpuDuring(pids, () => spread(rate));
      const [serverSeconds = 0, postgresSeconds = 0, loadSeconds = 0] = cpuSeconds;
      step = { ...value, rate, serverSeconds, postgresSeconds, loadSeconds };
      events += value.events;
    }
    if (!step) break;
    steps.push(step);
    if (step.toUser.p99 > TOO_LATE) break;
    kept = rate;
  }
  await check?.(events);
  return { admittedMs, steps, kept };
}

/** @param tokens of the users; made once, because that takes as long as anything else here */
async function startBelfry(stage: Stage, count: number, tokens: string[]): Promise<Server> {
  const belfry = await stage.belfry();
  for (let user = tokens.length; user < count; user++) {
    tokens.push(await belfry.token({ sub: String(user), scope: '' }));
  }
  const streams = tokens.map(async (token, user) => belfry.stream(`${TOPIC}${user}`, { token }));
  return {
    child: belfry.child,
    to: await eventsOf(belfry),
    streams: await Promise.all(streams),
    check: async events => {
      const found = await Ledger.count(belfry.database);
      if (found !== events) throw new Error(`${events} events were acknowledged, and the log has ${found}`);
    },
  };
}

async function startPlain(stage: Stage, count: number): Promise<Server> {
  const { child, port } = await stage.server('plain-users');
  const streams = Array.from({ length: count }, (_, user) => ({
    port,
    path: `/v1/stream?topic=${TOPIC}${user}`,
    ready: 'retry: 1000',
  }));
  return { child, to: { port, path: '/v1/events', headers: {} }, streams };
}

/** Over the rounds that came so far. */
function ofStep(
  rounds: Rounds<Turn>,
  who: string,
  rate: number,
  unit: string,
  quantity: (step: Step) => number,
): Figure | undefined {
  const { values } = rounds.figure(who, unit, ({ steps }) => {
    const step = steps.find(({ rate: its }) => its === rate);
    return step ? quantity(step) : NaN;
  });
  const reached = values.filter(value => !Number.isNaN(value));
  return reached.length > 0 ? figure(reached, unit) : undefined;
}

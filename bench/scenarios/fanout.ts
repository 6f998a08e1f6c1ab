import { type Deliveries, measureDeliveries } from '../deliveries.js';
import type { Rounds } from '../rounds.js';
import { figures, type Goal, goal, type Scenario } from '../scenario.js';

const CONNECTIONS = { quick: 2_500, full: 5_000 };
const BURST = 10;

interface Turn {
  readonly single: Deliveries;
  readonly burst: Deliveries;
}

/** Broadcast: what a delivery costs, one event at a time and in bursts. */
export const fanout: Scenario = {
  name: 'fanout',
  title: 'Broadcast to all subscribers; the next event or burst is published when all have the last one',
  async run(lab) {
    const count = lab.connections(CONNECTIONS.quick, CONNECTIONS.full);
    const ms = lab.amount(1_000, 6_000);
    const rounds = await lab.rounds(lab.contenders(), async (contender, stage): Promise<Turn> => {
      const target = await stage.start(contender);
      const generator = await stage.generator();
      await generator.order('connect', { streams: target.streams, count });
      return {
        single: await measureDeliveries(stage, target, generator, { burst: 1, ms }),
        burst: await measureDeliveries(stage, target, generator, { burst: BURST, ms }),
      };
    });

    const rows = rounds.names.map(who => ({
      who,
      figures: figures({
        'single: deliveries per CPU-s': rounds.figure(who, '', singleRate),
        '  against plain': rounds.ratio(who, 'plain', singleRate),
        '  to the last client, p50': rounds.figure(who, 'ms', ({ single }) => single.toLast.p50),
        '  to the last client, p99': rounds.figure(who, 'ms', ({ single }) => single.toLast.p99),
        '  Postgres, CPU per event': rounds.figure(who, 'ms', ({ single }) => msPerEvent(single)),
        '  generator busy': rounds.figure(who, '%', ({ single }) => single.generatorShare * 100),
        [`bursts of ${BURST}: deliveries per CPU-s`]: rounds.figure(who, '', burstRate),
        '  against plain, single': rounds.ratio(who, 'plain', burstRate, singleRate),
        '  against plain, bursts': rounds.ratio(who, 'plain', burstRate),
        '  burst to the last client, p50': rounds.figure(who, 'ms', ({ burst }) => burst.toLast.p50),
        '  burst to the last client, p99': rounds.figure(who, 'ms', ({ burst }) => burst.toLast.p99),
        '  generator busy in bursts': rounds.figure(who, '%', ({ burst }) => burst.generatorShare * 100),
      }),
    }));
    return {
      rows,
      goals: goalsOf(rounds),
      notes: [
        `${count} subscribers.`,
        'plain writes event by event. Of a burst that it gets in one request, Node itself sends what is written to one',
        'response in one turn of the event loop together; so the ceiling for bursts is compared to both of its rates.',
        'nchan and mercure take one event per request: a burst is ten requests, one after the other.',
        'belfry commits each event to Postgres before it sends it, mercure syncs it into a file. nchan and centrifugo keep',
        'the newest 10,000 in memory, plain, nest-sse and better-sse none.',
      ],
    };
  },
};

function goalsOf(rounds: Rounds<Turn>): Goal[] {
  const single = (whose: string) => rounds.ratio('belfry', whose, singleRate);
  return [
    ...goal('one event at a time, against plain', single('plain'), { atLeast: 0.95 }),
    ...goal(
      'bursts, against plain one event at a time',
      rounds.ratio('belfry', 'plain', burstRate, singleRate),
      {
        atLeast: 8,
      },
    ),
    ...goal('one event at a time, against nest-sse', single('nest-sse'), { atLeast: 2.5 }),
    ...goal('bursts, against nest-sse', rounds.ratio('belfry', 'nest-sse', burstRate), { atLeast: 20 }),
  ];
}

function singleRate({ single }: Turn): number {
  return single.perCpuSecond;
}

function burstRate({ burst }: Turn): number {
  return burst.perCpuSecond;
}

function msPerEvent({ postgresSeconds, events }: Deliveries): number {
  return (postgresSeconds * 1000) / events;
}

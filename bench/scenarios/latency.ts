import type { Published, PublishSpec, SqlPublishSpec, StreamSpec } from '../generator/protocol.js';
import { figures, goal, type Scenario } from '../scenario.js';
import type { Stage } from '../stage.js';

const CONNECTIONS = 100;
const PER_SECOND = 50;
const WARM_UP_MS = 1_000;
const TOPIC = 'bench:all';

/** Who takes part, and how it is published to. */
interface Turn {
  readonly name: string;
  start(stage: Stage): Promise<{
    readonly streams: readonly StreamSpec[];
    readonly publish: PublishSpec | SqlPublishSpec;
  }>;
}

const bySql: Turn = {
  name: 'belfry, by SQL',
  async start(stage) {
    const service = await stage.belfry();
    return {
      streams: [await service.stream(TOPIC)],
      publish: { url: service.database.url, topic: TOPIC },
    };
  },
};

/** How long an event is on its way when there is little to do. */
export const latency: Scenario = {
  name: 'latency',
  title: `From just before the publish is written to a subscriber's socket, at ${PER_SECOND} events per second`,
  async run(lab) {
    const count = lab.connections(CONNECTIONS);
    const ms = lab.amount(2_000, 15_000);
    const turns = lab
      .mainContenders()
      .flatMap((who): Turn[] => (who.name === 'belfry' ? [who, bySql] : [who]));
    const rounds = await lab.rounds(turns, async (turn, stage): Promise<Published> => {
      const { streams, publish } = await turn.start(stage);
      const generator = await stage.generator();
      await generator.order('connect', { streams, count });
      await generator.order('pace', { publish, perSecond: PER_SECOND, ms: WARM_UP_MS });
      return generator.order('pace', { publish, perSecond: PER_SECOND, ms });
    });

    const p50 = ({ toClient }: Published) => toClient.p50;
    const p99 = ({ toClient }: Published) => toClient.p99;
    const rows = rounds.names.map(who => ({
      who,
      figures: figures({
        'to a client, p50': rounds.figure(who, 'ms', p50),
        'to a client, p90': rounds.figure(who, 'ms', ({ toClient }) => toClient.p90),
        'to a client, p99': rounds.figure(who, 'ms', p99),
        'to a client, longest': rounds.figure(who, 'ms', ({ toClient }) => toClient.max),
        "to the publisher's answer, p50": rounds.figure(who, 'ms', ({ toAnswer }) => toAnswer.p50),
        "to the publisher's answer, p99": rounds.figure(who, 'ms', ({ toAnswer }) => toAnswer.p99),
      }),
    }));
    const present = rounds.names.includes('belfry');
    return {
      rows,
      goals: present
        ? [
            ...goal('publish to socket, p50', rounds.figure('belfry', 'ms', p50), { atMost: 4 }),
            ...goal('publish to socket, p99', rounds.figure('belfry', 'ms', p99), { atMost: 15 }),
            ...goal('COMMIT to socket, p50', rounds.figure(bySql.name, 'ms', p50), { atMost: 6 }),
            ...goal('COMMIT to socket, p99', rounds.figure(bySql.name, 'ms', p99), { atMost: 60 }),
          ]
        : [],
      notes: [
        `${count} subscribers. Publisher and clients are one process and have one clock. A quick run takes belfry, plain and`,
        'nest-sse alone.',
        'By SQL it is from just before COMMIT is written.',
      ],
    };
  },
};

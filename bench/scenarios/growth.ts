import { type Deliveries, measureDeliveries } from '../deliveries.js';
import type { Target } from '../contender.js';
import { figures, type Scenario } from '../scenario.js';
import type { Stage } from '../stage.js';

const CONNECTIONS = 10_000;
const INSTANCES = [1, 3];
const TOPIC = 'bench:all';

interface Setting {
  readonly name: string;
  readonly instances: number;
  readonly count: number;
}

/** What a delivery costs as clients and instances are added. */
export const growth: Scenario = {
  name: 'growth',
  title:
    'Broadcast one event at a time: CPU per delivery of all instances together, by clients and instances',
  async run(lab) {
    const most = lab.connections(CONNECTIONS);
    const counts = lab.settings.quick ? [most / 10, most / 4] : [most / 10, most / 2, most];
    const settings = INSTANCES.flatMap(instances =>
      counts.map(Math.round).map(count => ({ name: nameOf(instances, count), instances, count })),
    );
    const ms = lab.amount(1_200, 5_000);
    const rounds = await lab.rounds(
      settings,
      async ({ instances, count }: Setting, stage): Promise<Deliveries> => {
        const target = await together(stage, instances);
        const generator = await stage.generator();
        await generator.order('connect', { streams: target.streams, count });
        return measureDeliveries(stage, target, generator, { burst: 1, ms });
      },
    );

    const rows = settings
      .filter(({ name }) => rounds.names.includes(name))
      .map(({ name, instances, count }) => ({
        who: name,
        figures: figures({
          'CPU per delivery': rounds.figure(name, 'µs', cost),
          '  against one instance': rounds.ratio(name, nameOf(1, count), cost),
          '  against the fewest clients': rounds.ratio(
            name,
            nameOf(instances, settings[0]?.count ?? 0),
            cost,
          ),
          'Postgres, CPU per event': rounds.figure(
            name,
            'ms',
            ({ postgresSeconds, events }) => (postgresSeconds * 1000) / events,
          ),
          'to the last client, p50': rounds.figure(name, 'ms', ({ toLast }) => toLast.p50),
          'to the last client, p99': rounds.figure(name, 'ms', ({ toLast }) => toLast.p99),
        }),
      }));
    return {
      rows,
      notes: ['Clients are dealt out to the instances in turn; all events are published to the first.'],
    };
  },
};

/** Instances on one database. */
async function together(stage: Stage, instances: number): Promise<Target> {
  const database = await stage.database();
  const services = [];
  // One after the other: only the first has a schema to make.
  for (let index = 0; index < instances; index++) services.push(await stage.belfry({ database }));
  const [first] = services;
  if (!first) throw new Error('no instance');
  return {
    children: services.map(({ child }) => child),
    streams: await Promise.all(services.map(service => service.stream(TOPIC))),
    publish: await first.publishing(TOPIC),
  };
}

function nameOf(instances: number, count: number): string {
  return `${count} clients, ${instances} ${instances === 1 ? 'instance' : 'instances'}`;
}

/** Microseconds. */
function cost({ serverSeconds, deliveries }: Deliveries): number {
  return (serverSeconds * 1e6) / deliveries;
}

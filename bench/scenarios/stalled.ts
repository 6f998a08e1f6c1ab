import type { Belfry } from '../belfry.js';
import { figure } from '../figure.js';
import { Ledger } from '../ledger.js';
import { LoadHandle } from '../load/handle.js';
import { figures, goal, type Scenario } from '../scenario.js';
import type { Stage } from '../stage.js';
import { witnessed } from '../witness.js';
import { eventsOf } from './publish.js';

const CLIENTS = 50;
const EVENTS = { quick: 30_000, full: 200_000 };
const BATCH = 100;
const IN_FLIGHT = 4;
const TOPIC = 'bench:stalled';
/** Longer than the scenario, so that nobody is cut off while its memory is measured. */
const WRITE_DEADLINE_MS = String(60 * 60 * 1000);

interface Turn {
  /** Resident memory once everything was published and collected, in bytes: with nobody stalled, and with all. */
  readonly without: number;
  readonly with: number;
}

/** What clients that are there and read nothing cost. */
export const stalled: Scenario = {
  name: 'stalled',
  title: 'Clients that stop reading as soon as they are ready',
  async run(lab) {
    const clients = lab.connections(CLIENTS);
    const events = lab.amount(EVENTS.quick, EVENTS.full);
    let round = 0;
    const rounds = await lab.rounds([{ name: 'belfry' }], async (_, stage): Promise<Turn> => {
      // Side by side in time, and each first in turn, so that both meet the same machine.
      const counts = round++ % 2 === 0 ? [0, clients] : [clients, 0];
      const memory = new Map<number, number>();
      for (const count of counts) memory.set(count, await publishPast(stage, count, events));
      return { without: memory.get(0) ?? NaN, with: memory.get(clients) ?? NaN };
    });
    if (rounds.names.length === 0) return { rows: [] };

    const perClient = rounds.figure('belfry', 'KiB', turn => (turn.with - turn.without) / clients / 1024);
    const without = rounds.figure('belfry', 'MiB', turn => turn.without / 1024 ** 2);
    // What the same run without anybody stalled differs by from round to round, shared out in the same way.
    const noise = figure([((without.max - without.min) * 1024) / clients], 'KiB');
    return {
      rows: [
        {
          who: 'belfry',
          figures: figures({
            'nobody stalled': without,
            [`${clients} stalled`]: rounds.figure('belfry', 'MiB', turn => turn.with / 1024 ** 2),
            'per stalled client': perClient,
            '  of which may be noise': noise,
          }),
        },
      ],
      goals: goal('memory of a client that never reads', perClient, { atMost: 1024 }),
      notes: [
        `Resident memory after ${events.toLocaleString('en')} events of about 120 bytes and a forced garbage collection, in pairs`,
        'of fresh instances, with and without the stalled clients; the ring is in both. What the kernel keeps for sockets',
        'is not in it, and is far less than what was published. A client that reads heard everything meanwhile, and a',
        'stalled one everything once it read again.',
      ],
    };
  },
};

/** @returns resident memory of an instance that has all behind it */
async function publishPast(stage: Stage, clients: number, events: number): Promise<number> {
  const database = await stage.database();
  const belfry = await stage.belfry({ database, env: { WRITE_DEADLINE_MS } });
  const rss = await witnessed(belfry.child, () =>
    LoadHandle.during(load => measure(load, belfry, { clients, events })),
  );
  await belfry.child.end();
  await database.drop();
  return rss;
}

async function measure(
  load: LoadHandle,
  belfry: Belfry,
  { clients, events }: { clients: number; events: number },
): Promise<number> {
  const stream = await belfry.stream(TOPIC);
  await load.order('listen', stream);
  await load.order('stall', { stream, count: clients });
  const posted = await load.order('post', {
    to: await eventsOf(belfry),
    topic: TOPIC,
    first: 1,
    batch: BATCH,
    inFlight: IN_FLIGHT,
    events,
  });
  const ledger = await Ledger.of(belfry.database, TOPIC);
  ledger.matchAnswers(posted.seqs, 1);
  ledger.matchHeard(posted.heard);
  await belfry.child.settle();
  const { rss } = belfry.child.usage;
  if (clients > 0) ledger.matchHeard(await load.order('wake', events));
  return rss;
}

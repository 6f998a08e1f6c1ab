import type { Belfry } from '../belfry.js';
import { Filling } from '../filling.js';
import { LoadHandle } from '../load/handle.js';
import type { Replayed } from '../load/protocol.js';
import { percentile } from '../percentile.js';
import { figures, goal, type Scenario } from '../scenario.js';

/** Rows of the log. */
const ROWS = { quick: 1_000_000, full: 10_000_000 };
const MISSED = 1_000;
/** Clients that come back in each round, one after the other. */
const CLIENTS = { quick: 20, full: 50 };
/** Come back before anything is measured, to topics of their own, so that the engine has compiled what is hot. */
const WARM_UP = 10;

interface Turn {
  /** To topics that nobody asked for since the instance started. */
  readonly fresh: readonly Replayed[];
  /** The same clients again. */
  readonly again: readonly Replayed[];
  readonly cpuSeconds: number;
  readonly postgresSeconds: number;
}

/** What clients that were away for long have to wait for. */
export const replay: Scenario = {
  name: 'replay',
  title: `${MISSED} missed events out of a large log, read from Postgres`,
  async run(lab) {
    const rowCount = lab.amount(ROWS.quick, ROWS.full);
    const clients = lab.amount(CLIENTS.quick, CLIENTS.full);
    const perRound = WARM_UP + clients;
    const database = await lab.postgres.database();
    const log = new Filling(database, rowCount, lab.settings.rounds * perRound, MISSED);
    let round = 0;
    let filled: string | undefined;
    const rounds = await lab.rounds([{ name: 'belfry' }], async (_, stage): Promise<Turn> => {
      if (filled === undefined) {
        // Its first instance makes the schema; whoever is measured finds a log that is there, and an empty ring.
        const maker = await stage.belfry({ database });
        lab.say(`replay: filling the log with ${rowCount.toLocaleString('en')} rows`);
        filled = await log.fill();
        await maker.child.end();
      }
      const cursor = `${filled}.${log.firstMissed - 1}`;
      const belfry = await stage.belfry({ database });
      const first = round++ * perRound;
      return LoadHandle.during(async load => {
        const comeBack = async (from: number, count: number): Promise<Replayed[]> => {
          const times: Replayed[] = [];
          for (let topic = from; topic < from + count; topic++) {
            const stream = await belfry.stream(log.topicOf(topic), { cursor });
            times.push(await load.order('replay', { stream, events: MISSED }));
          }
          return times;
        };
        await comeBack(first, WARM_UP);
        const before = costOf(belfry, stage.postgres);
        const fresh = await comeBack(first + WARM_UP, clients);
        const after = costOf(belfry, stage.postgres);
        return {
          fresh,
          again: await comeBack(first + WARM_UP, clients),
          cpuSeconds: after.belfry - before.belfry,
          postgresSeconds: after.postgres - before.postgres,
        };
      });
    });
    await database.drop();

    const figure = (times: (turn: Turn) => readonly Replayed[], part: keyof Replayed, share: number) =>
      rounds.figure('belfry', 'ms', turn =>
        percentile(
          times(turn).map(time => time[part]),
          share,
        ),
      );
    const fresh = ({ fresh }: Turn) => fresh;
    const again = ({ again }: Turn) => again;
    if (rounds.names.length === 0) return { rows: [] };
    return {
      rows: [
        {
          who: `belfry, ${rowCount / 1_000_000}M rows`,
          figures: figures({
            'first event, p50': figure(fresh, 'firstMs', 0.5),
            'first event, p99': figure(fresh, 'firstMs', 0.99),
            [`all ${MISSED}, p50`]: figure(fresh, 'allMs', 0.5),
            [`all ${MISSED}, p99`]: figure(fresh, 'allMs', 0.99),
            'again: first event, p50': figure(again, 'firstMs', 0.5),
            'again: first event, p99': figure(again, 'firstMs', 0.99),
            [`again: all ${MISSED}, p50`]: figure(again, 'allMs', 0.5),
            [`again: all ${MISSED}, p99`]: figure(again, 'allMs', 0.99),
            'server CPU per client': rounds.figure(
              'belfry',
              'ms',
              turn => (turn.cpuSeconds / clients) * 1000,
            ),
            'Postgres CPU per client': rounds.figure(
              'belfry',
              'ms',
              turn => (turn.postgresSeconds / clients) * 1000,
            ),
          }),
        },
      ],
      goals: [
        ...goal('first of the missed events', figure(fresh, 'firstMs', 0.5), { atMost: 10 }),
        ...goal('first of the missed events, p99', figure(fresh, 'firstMs', 0.99), { atMost: 10 }),
        ...goal(`all ${MISSED} missed events`, figure(fresh, 'allMs', 0.5), { atMost: 100 }),
        ...goal(`all ${MISSED} missed events, p99`, figure(fresh, 'allMs', 0.99), { atMost: 100 }),
      ],
      notes: [
        `${clients} clients a round, one after the other, each to a topic of its own whose events are spread over the last`,
        `${Filling.LAST_PART * 100} % of the log; from writing the request on an open connection until the last event, and \`ready\`,`,
        'were read and checked. The ring is empty. The kernel may have the files of the log in its memory. Of so few',
        'clients the slowest is the p99.',
      ],
    };
  },
};

function costOf(belfry: Belfry, postgres: { usage: { cpuSeconds: number } }) {
  return { belfry: belfry.child.usage.cpuSeconds, postgres: postgres.usage.cpuSeconds };
}

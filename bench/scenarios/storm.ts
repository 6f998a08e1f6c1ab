import { setTimeout as delay } from 'node:timers/promises';
import type { Belfry } from '../belfry.js';
import type { Connected } from '../generator/protocol.js';
import { payload } from '../generator/payload.js';
import type { Contender } from '../contender.js';
import { figures, goal, type Scenario } from '../scenario.js';
import type { Stage } from '../stage.js';
import { LOGGED, StatementLog } from '../statement.log.js';
import { cpuDuring } from '../usage.js';

const CONNECTIONS = { quick: 3_000, full: 10_000 };
const MISSED = 5;
/** Events in one publish request. */
const BATCH = 1_000;
/** The service goes on by itself meanwhile: how much SQL that is, is measured this long. */
const BACKGROUND_MS = 5_000;
/** What a server may need to notice that everybody has left. */
const GONE_MS = 2_000;
/** What polls now and then is not spread evenly: so many statements per client may be its doing, and are none. */
const EVEN = 0.001;

interface Turn {
  /** The first time, with nothing to catch up on. */
  readonly first: Connected;
  readonly again: Connected;
  /** Of the server, from the first attempt until all have caught up. */
  readonly cpuSeconds: number;
  /** During the storm, and in as long a time without one. */
  readonly statements?: { readonly counted: number; readonly background: number; readonly texts: string[] };
}

/** All clients come back at once, each to its own topic and its own missed events. */
export const storm: Scenario = {
  name: 'storm',
  title: `All clients reconnect at once; those of belfry with ${MISSED} missed events each, on topics of their own`,
  async run(lab) {
    const count = lab.connections(CONNECTIONS.quick, CONNECTIONS.full);
    const texts = new Set<string>();
    const rounds = await lab.rounds(
      lab.contenders('belfry', 'plain', 'nest-sse'),
      async (contender, stage): Promise<Turn> => {
        const turn =
          contender.name === 'belfry'
            ? await belfryTurn(stage, count)
            : await acceptingTurn(contender, stage, count);
        turn.statements?.texts.forEach(text => texts.add(text));
        return turn;
      },
    );

    const ready = ({ again }: Turn) => again.readyMs;
    const counted = ({ statements }: Turn) => statements?.counted ?? 0;
    const background = ({ statements }: Turn) => statements?.background ?? 0;
    const perClient = (turn: Turn) => Math.max(0, counted(turn) - background(turn)) / count;
    const rows = rounds.names.map(who => ({
      who,
      figures: figures({
        'first time, all ready': rounds.figure(who, 'ms', ({ first }) => first.readyMs),
        'again, all have a first byte': rounds.figure(who, 'ms', ({ again }) => again.firstByteMs),
        'again, all caught up': rounds.figure(who, 'ms', ready),
        '  against plain': rounds.ratio(who, 'plain', ready),
        '  a client by itself, p50': rounds.figure(who, 'ms', ({ again }) => again.perClient.p50),
        '  a client by itself, p99': rounds.figure(who, 'ms', ({ again }) => again.perClient.p99),
        'CPU of the server': rounds.figure(who, 's', ({ cpuSeconds }) => cpuSeconds),
        ...(who === 'belfry'
          ? {
              'SQL statements meanwhile': rounds.figure(who, '', counted),
              '  of them in the background': rounds.figure(who, '', background),
            }
          : {}),
      }),
    }));
    return {
      rows,
      goals: rounds.names.includes('belfry')
        ? [
            ...goal('all caught up, against plain accepting them', rounds.ratio('belfry', 'plain', ready), {
              atMost: 2.5,
            }),
            ...goal(
              'SQL statements for each client, beyond the background',
              rounds.figure('belfry', '', perClient),
              { atMost: EVEN },
            ),
          ]
        : [],
      notes: [
        `${count} clients, each with its own token, which the service has seen before. plain answers with headers and one`,
        'frame, nest-sse with headers. Not more than 400 attempts wait for an answer at a time, as many as fit the listen backlog.',
        `Statements are counted in the log of Postgres (log_statement = all), also for ${BACKGROUND_MS / 1000} s before the`,
        'storm, while nobody is connected: that rate times the length of the storm is the background.',
        ...[...texts].map(text => `seen in the storm: ${text}`),
      ],
    };
  },
};

async function belfryTurn(stage: Stage, count: number): Promise<Turn> {
  const database = await stage.database(LOGGED);
  const service = await stage.belfry({ database });
  const generator = await stage.generator();
  const users = Array.from({ length: count }, (_, index) => ({ topic: `user:${index}`, sub: String(index) }));
  const tokens = await Promise.all(users.map(({ sub }) => service.token({ sub, scope: '' })));
  const streamsFrom = (cursor?: string) =>
    Promise.all(
      users.map(({ topic }, index) =>
        service.stream(topic, { token: tokens[index] ?? '', ...(cursor === undefined ? {} : { cursor }) }),
      ),
    );

  const [cursor] = await service.publish([{ topic: 'storm:begin', data: '{}' }]);
  const first = await generator.order('connect', { streams: await streamsFrom(), count });
  await generator.order('disconnect');
  await publishMissed(service, users);
  const streams = await streamsFrom(cursor);

  const log = new StatementLog(database);
  const quiet = await log.during(() => delay(BACKGROUND_MS));
  const missed = { first: 0, stride: MISSED, count: MISSED };
  const { value, texts } = await log.during(() =>
    cpuDuring([service.child.pid], () => generator.order('connect', { streams, count, missed })),
  );
  const again = value.value;
  const background = (quiet.texts.length * again.readyMs) / BACKGROUND_MS;
  return {
    first,
    again,
    cpuSeconds: value.cpuSeconds[0] ?? 0,
    statements: { counted: texts.length, background, texts },
  };
}

/** Of user n: the counters from n × MISSED on, spread over the log so that no user's are side by side. */
async function publishMissed(service: Belfry, users: readonly { topic: string }[]): Promise<void> {
  for (let missed = 0; missed < MISSED; missed++) {
    for (let from = 0; from < users.length; from += BATCH) {
      const batch = users.slice(from, from + BATCH);
      await service.publish(
        batch.map(({ topic }, index) => ({ topic, data: payload((from + index) * MISSED + missed) })),
      );
    }
  }
}

/** A server that has nothing to check and nothing to catch up on. */
async function acceptingTurn(contender: Contender, stage: Stage, count: number): Promise<Turn> {
  const { streams, children } = await stage.start(contender);
  const generator = await stage.generator();
  const first = await generator.order('connect', { streams, count });
  await generator.order('disconnect');
  // The server hears of it a little later than the clients; that is not part of the storm.
  await delay(GONE_MS);
  const pids = children.map(({ pid }) => pid);
  const { value: again, cpuSeconds } = await cpuDuring(pids, () =>
    generator.order('connect', { streams, count }),
  );
  return { first, again, cpuSeconds: cpuSeconds[0] ?? 0 };
}

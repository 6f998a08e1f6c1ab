import { randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Belfry } from '../belfry.js';
import { commitMs } from '../commit.js';
import { Ledger } from '../ledger.js';
import { LoadHandle } from '../load/handle.js';
import type { Posted, PostSpec, Uploaded } from '../load/protocol.js';
import type { PostgresSettings } from '../postgres.js';
import { figures, goal, type Scenario } from '../scenario.js';
import type { Stage } from '../stage.js';
import { cpuDuring } from '../usage.js';
import { witnessed } from '../witness.js';

const IN_FLIGHT = 64;
const BATCH = 100;
const BATCHES_IN_FLIGHT = 4;
/** Each group commit waits so long for its disk, in milliseconds, where a slow one is simulated. */
const SLOW_MS = 2;
/** With no siblings asked for, every flush of the WAL is delayed, whoever else is at work. */
const SLOW: PostgresSettings = { commit_delay: String(SLOW_MS * 1000), commit_siblings: '0' };

interface Cost {
  readonly serverSeconds: number;
  readonly postgresSeconds: number;
}

interface Turn {
  readonly single: Posted & Cost;
  /** Only of who stores anything. */
  readonly stored?: {
    readonly commitMs: number;
    readonly batches: Posted & Cost;
    readonly upload: Uploaded & Cost;
  };
}

interface Publisher {
  readonly name: string;
  turn(stage: Stage, load: LoadHandle): Promise<Turn>;
}

/** What publishing costs, and how much of it there may be. */
export const publish: Scenario = {
  name: 'publish',
  title: `Publishing over HTTP: single events ${IN_FLIGHT} in flight, batches of ${BATCH}, uploads line by line`,
  async run(lab) {
    const times = {
      warmUpMs: lab.amount(500, 2_000),
      ms: lab.amount(1_500, 8_000),
      lines: lab.amount(30_000, 200_000),
    };
    const slow = `belfry, fsync +${SLOW_MS} ms`;
    const publishers: Publisher[] = [
      { name: 'belfry', turn: (stage, load) => belfryTurn(stage, load, times) },
      { name: slow, turn: (stage, load) => belfryTurn(stage, load, times, SLOW) },
      { name: 'nest-post', turn: (stage, load) => nestTurn(stage, load, times) },
      { name: 'nest-post, cache', turn: (stage, load) => nestTurn(stage, load, times, 'cache') },
    ];
    const rounds = await lab.rounds(publishers, (publisher, stage) =>
      LoadHandle.during(load => publisher.turn(stage, load)),
    );

    const perSecond = ({ single }: Turn) => single.requests / single.seconds;
    const toSocket = ({ stored }: Turn) =>
      stored ? stored.batches.seqs.length / stored.batches.heardSeconds : 0;
    const rows = rounds.names.map(who => {
      const stores = who === 'belfry' || who === slow;
      const figure = (unit: string, quantity: (stored: NonNullable<Turn['stored']>) => number) =>
        stores ? rounds.figure(who, unit, ({ stored }) => (stored ? quantity(stored) : NaN)) : undefined;
      return {
        who,
        figures: figures({
          'a commit alone': figure('ms', stored => stored.commitMs),
          'single: requests': rounds.figure(who, '/s', perSecond),
          '  against nest-post': rounds.ratio(who, 'nest-post', perSecond),
          '  against nest-post, cache': rounds.ratio(who, 'nest-post, cache', perSecond),
          '  per server CPU-s': rounds.figure(
            who,
            '/CPU-s',
            ({ single }) => single.requests / single.serverSeconds,
          ),
          '    against nest-post': rounds.ratio(
            who,
            'nest-post',
            ({ single }) => single.requests / single.serverSeconds,
          ),
          '  Postgres CPU': rounds.figure(
            who,
            'CPU-s/s',
            ({ single }) => single.postgresSeconds / single.seconds,
          ),
          '  to the answer, p50': rounds.figure(who, 'ms', ({ single }) => single.toAnswer.p50),
          '  to the answer, p99': rounds.figure(who, 'ms', ({ single }) => single.toAnswer.p99),
          [`batches of ${BATCH}: events to the socket`]: stores
            ? rounds.figure(who, '/s', toSocket)
            : undefined,
          '  server CPU in batches': figure(
            'CPU-s/s',
            ({ batches }) => batches.serverSeconds / batches.heardSeconds,
          ),
          '  Postgres CPU in batches': figure(
            'CPU-s/s',
            ({ batches }) => batches.postgresSeconds / batches.heardSeconds,
          ),
          '  batch to its answer, p50': figure('ms', ({ batches }) => batches.toAnswer.p50),
          '  batch to its answer, p99': figure('ms', ({ batches }) => batches.toAnswer.p99),
          'upload: lines to the answer': figure('/s', ({ upload }) => upload.stored / upload.seconds),
          'upload: lines to the socket': figure('/s', ({ upload }) => upload.stored / upload.heardSeconds),
        }),
      };
    });
    const present = (who: string) => rounds.names.includes(who);
    return {
      rows,
      goals: [
        ...goal('single events against nest-post', rounds.ratio('belfry', 'nest-post', perSecond), {
          atLeast: 0.6,
        }),
        ...['belfry', slow].filter(present).flatMap(who =>
          goal(`batches of ${BATCH} to the socket, ${who}`, rounds.figure(who, '/s', toSocket), {
            atLeast: 20_000,
          }),
        ),
      ],
      notes: [
        'Belfry answers when the event is committed; nest-post checks the same kind of token, stores nothing, and sends',
        'nothing to anybody. Every id that was answered was looked up in the log, and every subscriber heard the log.',
      ],
    };
  },
};

interface Times {
  readonly warmUpMs: number;
  readonly ms: number;
  readonly lines: number;
}

async function belfryTurn(
  stage: Stage,
  load: LoadHandle,
  times: Times,
  settings?: PostgresSettings,
): Promise<Turn> {
  const database = await stage.database(settings);
  const commit = await commitMs(database);
  if (settings && commit < SLOW_MS) {
    throw new Error(`commits were to take ${SLOW_MS} ms at least, and take ${commit.toFixed(2)} ms`);
  }
  const belfry = await stage.belfry({ database });
  return witnessed(belfry.child, () => measureBelfry(stage, load, belfry, times, commit));
}

async function measureBelfry(
  stage: Stage,
  load: LoadHandle,
  belfry: Belfry,
  { warmUpMs, ms, lines }: Times,
  commit: number,
): Promise<Turn> {
  const { database } = belfry;
  const to = await eventsOf(belfry);
  const pids = [belfry.child.pid, stage.postgres.pid];

  await load.order('post', {
    to,
    topic: 'bench:warm-up',
    first: 1,
    batch: 1,
    inFlight: IN_FLIGHT,
    ms: warmUpMs,
  });
  const single = await costing(pids, () =>
    load.order('post', { to, topic: 'bench:single', first: 1, batch: 1, inFlight: IN_FLIGHT, ms }),
  );
  (await Ledger.of(database, 'bench:single')).matchAnswers(single.seqs, 1);

  const inBatches = { to, first: 1, batch: BATCH, inFlight: BATCHES_IN_FLIGHT };
  await load.order('post', { ...inBatches, topic: 'bench:warm-up', ms: warmUpMs });
  await load.order('listen', await belfry.stream('bench:batch'));
  const batches = await costing(pids, () => load.order('post', { ...inBatches, topic: 'bench:batch', ms }));
  const batched = await Ledger.of(database, 'bench:batch');
  batched.matchAnswers(batches.seqs, 1);
  batched.matchHeard(batches.heard);

  await load.order('listen', await belfry.stream('bench:lines'));
  const upload = await costing(pids, () =>
    load.order('upload', { to, topic: 'bench:lines', first: 1, lines }),
  );
  if (upload.stored !== lines) throw new Error(`of ${lines} lines ${upload.stored} were said to be stored`);
  const uploaded = await Ledger.of(database, 'bench:lines');
  uploaded.matchRange(1, lines);
  uploaded.matchHeard(upload.heard);
  return { single, stored: { commitMs: commit, batches, upload } };
}

async function nestTurn(
  stage: Stage,
  load: LoadHandle,
  { warmUpMs, ms }: Times,
  ...args: string[]
): Promise<Turn> {
  const secret = randomBytes(48).toString('base64');
  const { child, port } = await stage.server('nest-post', args, { JWT_SECRET: secret });
  const token = await new SignJWT({ scope: 'publish admin', topics: [] })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('bench')
    .setExpirationTime('2h')
    .sign(new TextEncoder().encode(secret));
  const to = { port, path: '/v1/events', headers: { Authorization: `Bearer ${token}` } };
  const order = { to, topic: 'bench:single', first: 1, batch: 1, inFlight: IN_FLIGHT };
  await load.order('post', { ...order, ms: warmUpMs });
  const single = await costing([child.pid, stage.postgres.pid], () => load.order('post', { ...order, ms }));
  if (new Set(single.seqs).size !== single.requests) throw new Error('two requests had the same answer');
  return { single };
}

/** Where Belfry's events are posted, with a token that may. */
export async function eventsOf(belfry: Belfry): Promise<PostSpec> {
  return {
    port: belfry.port,
    path: '/v1/events',
    headers: { Authorization: `Bearer ${await belfry.token()}` },
  };
}

async function costing<T>(pids: readonly number[], work: () => Promise<T>): Promise<T & Cost> {
  const { value, cpuSeconds } = await cpuDuring(pids, work);
  return { ...value, serverSeconds: cpuSeconds[0] ?? 0, postgresSeconds: cpuSeconds[1] ?? 0 };
}

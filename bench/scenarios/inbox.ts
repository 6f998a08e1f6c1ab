import { Agent, get } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { Belfry } from '../belfry.js';
import { percentile } from '../percentile.js';
import type { Database } from '../postgres.js';
import { figures, goal, type Scenario } from '../scenario.js';

/** Notifications in the table. */
const ROWS = { quick: 1_000_000, full: 5_000_000 };
/** Of each user who is measured, and those that were sent to all. */
const OWN = 10_000;
const BROADCASTS = 1_000;
const REQUESTS = { quick: 200, full: 1_000 };
/** Before anything is measured, so that every session has its plans and the engine has compiled what is hot. */
const WARM_UP = 60;
/** What a list page and a count may take, in milliseconds, at the 99th of 100. */
const MOST_MS = 5;

/** Users, and what they did; what they did is said as SQL over their own notifications, numbered by `n` from the newest. */
const USERS = {
  'everything unread': { mark: 0, receipts: 'false' },
  'read up to the middle, 200 exceptions on both sides': { mark: 0.5, receipts: 'n % 50 = 0' },
  'everything read but the newest 20': { mark: 1, receipts: 'n <= 20' },
  'the newest 190 read one by one': { mark: 0, receipts: 'n <= 190' },
} as const;
const REQUESTED = { page: '/v1/inbox', 'unread page': '/v1/inbox?status=unread', counts: '/v1/inbox/counts' };

type Turn = Record<string, Record<string, number[]>>;

/** What opening a bell costs. */
export const inbox: Scenario = {
  name: 'inbox',
  title: `the inbox of a user with ${OWN.toLocaleString('en')} notifications and ${BROADCASTS.toLocaleString('en')} broadcasts`,
  async run(lab) {
    const rows = lab.amount(ROWS.quick, ROWS.full);
    const requests = lab.amount(REQUESTS.quick, REQUESTS.full);
    const database = await lab.postgres.database();
    let isFilled = false;
    const rounds = await lab.rounds([{ name: 'belfry' }], async (_, stage): Promise<Turn> => {
      if (!isFilled) {
        const maker = await stage.belfry({ database });
        lab.say(`inbox: filling it with ${rows.toLocaleString('en')} notifications`);
        await fill(database, rows);
        await maker.child.end();
        isFilled = true;
      }
      const belfry = await stage.belfry({ database });
      const turn: Turn = {};
      for (const [index, user] of Object.keys(USERS).entries()) {
        turn[user] = {};
        for (const [name, path] of Object.entries(REQUESTED)) {
          turn[user][name] = await times(belfry, `bench${index}`, path, requests);
        }
      }
      return turn;
    });
    await database.drop();
    if (rounds.names.length === 0) return { rows: [] };
    const figure = (user: string, name: string, share: number) =>
      rounds.figure('belfry', 'ms', turn => percentile(turn[user]?.[name] ?? [], share));
    return {
      rows: Object.keys(USERS).map(user => ({
        who: user,
        figures: figures(
          Object.fromEntries(
            Object.keys(REQUESTED).flatMap(name => [
              [`${name}, p50`, figure(user, name, 0.5)],
              [`${name}, p99`, figure(user, name, 0.99)],
            ]),
          ),
        ),
      })),
      goals: Object.keys(USERS).flatMap(user =>
        ['page', 'counts'].flatMap(name =>
          goal(`${name}, ${user}, p99`, figure(user, name, 0.99), { atMost: MOST_MS }),
        ),
      ),
      notes: [
        `${requests} requests of each kind, one after the other on an open connection, from writing the request to the end of the`,
        `answer; the table has ${rows.toLocaleString('en')} notifications. A page has 50 items. Each request is answered out of one`,
        'snapshot of Postgres, and nothing of it is remembered for the next.',
      ],
    };
  },
};

async function fill(database: Database, rows: number): Promise<void> {
  const users = Object.values(USERS);
  const own = Math.floor(rows / OWN);
  const broadcasts = Math.floor(rows / BROADCASTS);
  await database.query(`select belfry.extend_log(1000000, ${rows})`);
  // The log has expired, the inbox has not.
  await database.query(`delete from belfry.floors; insert into belfry.floors (seq) values (${rows + 1})`);
  await database.query(`set synchronous_commit = off;
    insert into belfry.notifications (seq, tenant, topic, type, key, content, at)
    select seq, 'default',
      case when seq % ${broadcasts} = 0 then 'all'
        when seq % ${own} < ${users.length} then 'user:bench' || seq % ${own}
        else 'user:' || seq * 7919 % 100003 end,
      'invoice.paid', null,
      '{"type":"invoice.paid","title":"Invoice ' || seq || ' was paid","body":"Nothing is left to do.","url":"/invoices/1187","icon":null,"data":{"invoice":1187},"priority":"normal"}',
      now()
    from generate_series(1::bigint, ${rows}) as seq`);
  for (const [index, { mark, receipts }] of users.entries()) {
    const owner = `user:bench${index}`;
    await database.query(`insert into belfry.inboxes (tenant, owner, since, read_mark)
      values ('default', '${owner}', 0, ${Math.floor(mark * rows)})`);
    await database.query(`insert into belfry.receipts (tenant, owner, seq, read)
      select 'default', '${owner}', seq, seq > ${Math.floor(mark * rows)} from (
        select seq, row_number() over (order by seq desc) as n from belfry.notifications where topic = '${owner}'
      ) as mine where ${receipts}`);
  }
  await database.query('vacuum (analyze) belfry.notifications');
  await database.query('vacuum (analyze) belfry.receipts');
}

async function times(belfry: Belfry, sub: string, path: string, count: number): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const headers = { authorization: `Bearer ${await belfry.token({ sub, scope: '' })}` };
  const ask = () =>
    new Promise<number>((resolve, reject) => {
      const began = performance.now();
      get({ port: belfry.port, path, headers, agent }, response => {
        response.resume();
        response.on('error', reject);
        response.on('end', () => {
          if (response.statusCode === 200) resolve(performance.now() - began);
          else reject(new Error(`${path} was answered ${response.statusCode}`));
        });
      }).on('error', reject);
    });
  try {
    for (let n = 0; n < WARM_UP; n++) await ask();
    const taken: number[] = [];
    for (let n = 0; n < count; n++) taken.push(await ask());
    return taken;
  } finally {
    agent.destroy();
  }
}

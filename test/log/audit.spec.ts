import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../src/config/config.js';
import { Database } from '../../src/database/database.js';
import { LogAudit } from '../../src/log/audit.js';
import { Retention } from '../../src/log/retention.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, SECRET } from '../support/instance.js';
import { appendBySql } from './sql.append.js';

const SIZE = 20;

let database: TestDatabase;
let sessions: Database;
let audit: LogAudit;

beforeEach(async () => {
  database = await TestDatabase.create();
  sessions = new Database(loadConfig({ DATABASE_URL: database.url, JWT_SECRET: SECRET }));
  audit = new LogAudit(sessions);
});
afterEach(async () => {
  await sessions.onApplicationShutdown();
  await database.drop();
});

/** Partitions of SIZE, as many as are needed. */
async function append(count: number): Promise<void> {
  await database.rows(`select belfry.extend_log(${SIZE}, ${2 * SIZE})`);
  await appendBySql(database.pool, { events: Array.from({ length: count }, () => ({})) });
}

async function drainAll(): Promise<void> {
  while ((await database.rows('select from belfry.drain() where head is not null')).length > 0);
}

const slip = (xid: string) =>
  `insert into belfry.outbox (xid, tenant, topic, type, data) values ('${xid}', 'default', 'all', 't', '1')`;

describe('the audit of the log', () => {
  it.each([
    [
      'a row that is missing',
      'delete from belfry.events where seq = 5',
      ['the seqs 1 to 20 of partition events_1 hold 19 events: some are missing'],
    ],
    [
      'rows that are missing between partitions',
      'delete from belfry.events where seq between 39 and 40',
      ['partition events_41 goes on after 38 with 41: what was between is missing'],
    ],
    [
      'rows that are missing at the beginning',
      'delete from belfry.events where seq <= 3',
      ['the log was cut off before 1 and begins with 4'],
    ],
    [
      'a row that is missing in the book of partitions',
      'delete from belfry.partitions where from_seq = 21',
      [
        'partition events_41 goes on after 20 with 41: what was between is missing',
        'the partition before events_41 does not end where it begins',
        'partition events_21 is attached and not known',
      ],
    ],
    [
      'a partition that is not in the book',
      `create table belfry.mine (like belfry.events including all);
      alter table belfry.events attach partition belfry.mine for values from (1000) to (2000)`,
      ['partition mine is attached and not known'],
    ],
    [
      'a partition that is not attached',
      'alter table belfry.events detach partition belfry.events_61',
      ['partition events_61 is known and not attached'],
    ],
    [
      'a partition that is attached for other seqs',
      `alter table belfry.events detach partition belfry.events_61;
      alter table belfry.events attach partition belfry.events_61 for values from (61) to (80)`,
      ['partition events_61 is known and not attached'],
    ],
    [
      'an epoch that began past the head',
      `insert into belfry.epochs (name, forked_at, identity) values ('abc', 51, belfry.identity())`,
      ['epoch abc began after seq 51, and the log ends at 50'],
    ],
    [
      'a row in the outbox that is taken for moved',
      slip('3'),
      [expect.stringMatching(/^event \d+ of the outbox will never be looked at$/)],
    ],
    [
      'a row in the outbox of a transaction that is still to come',
      slip('900000000000'),
      [expect.stringMatching(/^event \d+ of the outbox is of a transaction that this cluster never had$/)],
    ],
    [
      'a key that stands for an event past the head',
      `insert into belfry.dedupe (tenant, id, place, digest, seq) values ('acme', 'event:x', 0, '', 51)`,
      ['a key of tenant acme stands for seq 51, and the log ends at 50'],
    ],
  ])('finds %s', async (_what, statement, expected) => {
    await append(1);
    await database.rows(`select belfry.publish('all', 't', '1')`);
    await drainAll();
    for (const count of [18, 20, 10]) await append(count);
    expect(await audit.faults()).toEqual([]);
    await database.rows(statement);
    expect(await audit.faults()).toEqual(expected);
  });

  it('finds a row that a window of the outbox has left behind, and none of those still to be moved', async () => {
    await database.rows('select belfry.extend_log(10000, 10000)');
    await database.rows(`select belfry.publish('all', 't', to_jsonb(n)) from generate_series(1, 1200) n`);
    await database.rows('select belfry.drain()');
    const [window] = await database.rows<{ moved: string; xid: string }>(
      'select moved, (select xid from belfry.outbox limit 1) as xid from belfry.drains where upto is not null',
    );
    const { moved, xid } = window!;
    expect(await audit.faults()).toEqual([]);
    await database.rows(
      `insert into belfry.outbox (id, xid, tenant, topic, type, data) overriding system value
      values ($1, $2, 'default', 'all', 't', '1')`,
      [moved, xid],
    );
    expect(await audit.faults()).toEqual([`event ${moved} of the outbox will never be looked at`]);
  });

  it('finds nothing in a log that is written, drained and trimmed meanwhile: it sees one moment', async () => {
    const env = { PARTITION_EVENTS: `${SIZE}` };
    const instances = await Promise.all([1, 2].map(() => Instance.start(database.url, env)));
    let busy = true;
    const again = async (work: (n: number) => Promise<unknown>) => {
      for (let n = 0; busy; n++) await work(n);
    };
    const load = [
      ...instances.map((instance, i) =>
        again(n =>
          instance.publish(
            { topic: 'all', type: 't', dedupeId: `${i} ${n % 50}` },
            n % 2 ? {} : { 'idempotency-key': `${i} ${n}` },
          ),
        ),
      ),
      again(n =>
        database.rows(
          `begin; select belfry.publish('all', 't', to_jsonb(n)) from generate_series(1, 5) n; ${n % 3 ? 'commit' : 'rollback'}`,
        ),
      ),
      again(async () => {
        await database.rows(
          `update belfry.events set at = at - interval '100 hours'
          where seq < belfry.log_head() - 100 and at > now() - interval '50 hours'`,
        );
        await Promise.allSettled(instances.map(instance => instance.app.get(Retention).trim()));
      }),
    ];
    const found: string[] = [];
    for (let n = 0; n < 15; n++) found.push(...(await audit.faults()));
    busy = false;
    await Promise.all(load);
    expect(found).toEqual([]);
    expect((await audit.status()).floor).toBeGreaterThan(1);
    await Promise.all(instances.map(instance => instance.stop()));
    expect(await audit.faults()).toEqual([]);
  });
});

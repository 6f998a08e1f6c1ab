import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';

const ROWS = 220_000;
const TOPICS = ['user:ada', 'all'];

let database: TestDatabase;

/** A user with 10,000 notifications and 1,000 broadcasts among many more, of whom nobody has made statistics. */
beforeAll(async () => {
  database = await TestDatabase.create();
  await database.rows(`
    delete from belfry.floors;
    insert into belfry.floors (seq) values (${ROWS + 1});
    alter table belfry.notifications set (autovacuum_enabled = off);
    alter table belfry.receipts set (autovacuum_enabled = off);
    insert into belfry.notifications (seq, tenant, topic, type, key, content, at)
    select seq, 'default', case when seq % 220 = 0 then 'all' when seq % 22 = 1 then 'user:ada' else 'user:' || seq % 999 end, 't',
      case when seq % 44 = 1 then 'key ' || seq end, '{"type":"t","title":"' || seq || '"}', now()
    from generate_series(1, ${ROWS}) as seq;
    insert into belfry.inboxes (tenant, owner, since) values ('default', 'user:ada', 0)`);
});
afterAll(async () => {
  await database.drop();
});

/** Blocks that a statement reads of the database's own pages, in a session that has its plans. */
async function blocksOf(call: string): Promise<number> {
  const client = await database.pool.connect();
  try {
    const statement = `select count(*) from belfry.inboxes i cross join lateral ${call} as x where i.owner = 'user:ada'`;
    await client.query(statement);
    const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Record<string, number> }[] }>(
      `explain (analyze, buffers, format json) ${statement}`,
    );
    const { Plan: plan } = rows[0]!['QUERY PLAN'][0]!;
    return plan['Shared Hit Blocks']! + plan['Shared Read Blocks']!;
  } finally {
    client.release();
  }
}

const page = (status: string, most: number) =>
  `belfry.inbox_items(i, '{${TOPICS.join(',')}}', '${status}', null, 9223372036854775807, ${most})`;
const counts = `belfry.inbox_counts(i, '{${TOPICS.join(',')}}')`;

describe('what an inbox looks at', () => {
  it.each<[string, string, Record<string, number>]>([
    ['everything is unread', '', { inbox: 800, unread: 800, all: 800, archived: 60, snoozed: 60 }],
    [
      'half is read, with exceptions on both sides',
      `update belfry.inboxes set read_mark = ${ROWS / 2};
        insert into belfry.receipts (tenant, owner, seq, read) select tenant, 'user:ada', seq, seq > ${ROWS / 2}
        from belfry.notifications where topic = 'user:ada' and seq % 1100 = 1`,
      { inbox: 1_000, unread: 1_000, read: 1_600, archived: 1_000, snoozed: 1_000 },
    ],
    [
      'all is read and archived but one',
      `delete from belfry.receipts; update belfry.inboxes set read_mark = ${ROWS}, archived_mark = ${ROWS};
        insert into belfry.receipts (tenant, owner, seq, read, archived) values ('default', 'user:ada', 221, false, false)`,
      { inbox: 60, unread: 60, archived: 800 },
    ],
  ])('is few rows of the many when %s', async (_when, change, most) => {
    await database.rows(`begin; ${change || 'select'}; commit`);
    const looked: Record<string, number> = {};
    for (const status of Object.keys(most)) looked[status] = await blocksOf(page(status, 51));
    expect(Object.entries(looked).filter(([status, blocks]) => blocks > most[status]!)).toEqual([]);
    expect(await blocksOf(counts)).toBeLessThan(4_000);
  });
});

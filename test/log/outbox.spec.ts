import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { TestRoles } from '../database/roles.js';
import { appendBySql, connect } from './sql.append.js';
import { isDense, storedEvents } from './stored.js';

interface Drained {
  readonly moved: number;
  readonly rejected: number;
  readonly more: boolean;
}

let database: TestDatabase;
let sessions: pg.Client[] = [];

beforeAll(async () => {
  database = await TestDatabase.create();
  await database.rows('select belfry.extend_log(1000000, 1000000)');
});
afterAll(async () => {
  await database.drop();
});
afterEach(async () => {
  await Promise.all(sessions.map(session => session.end()));
  sessions = [];
  await drainAll();
});

async function session(...statements: string[]): Promise<pg.Client> {
  const client = await connect(database.url);
  sessions.push(client);
  for (const statement of statements) await client.query(statement);
  return client;
}

async function publish(client: Pick<pg.Client, 'query'>, topic: string, data: unknown = null): Promise<void> {
  await client.query('select belfry.publish($1, $2, $3)', [topic, 't', JSON.stringify(data)]);
}

/** One call of what an instance does. */
async function drain(): Promise<Drained | undefined> {
  const [row] = await database.rows<Drained>(
    'select moved, rejected, more from belfry.drain() where head is not null',
  );
  return row;
}

async function drainAll(): Promise<void> {
  while (await drain());
}

/** The data of the events of a topic, in the order of the log. */
async function stored(topic: string): Promise<unknown[]> {
  const log = await storedEvents(database);
  expect(isDense(log)).toBe(true);
  return log.filter(event => event.topic === topic).map(({ data }) => data as unknown);
}

async function rejected(topic: string): Promise<string[]> {
  const rows = await database.rows<{ reason: string }>(
    'select reason from belfry.outbox_rejected where topic = $1 order by id',
    [topic],
  );
  return rows.map(({ reason }) => reason);
}

describe('belfry.publish', () => {
  it.each(['read committed', 'repeatable read', 'serializable'])(
    'publishes when a %s transaction commits, and only then',
    async level => {
      const topic = `level:${level.replace(' ', '-')}`;
      const client = await session(`begin isolation level ${level}`);
      await publish(client, topic, 1);
      expect(await drain()).toBeUndefined();
      await client.query('commit');
      expect(await drain()).toEqual({ moved: 1, rejected: 0, more: false });
      expect(await stored(topic)).toEqual([1]);

      await client.query(`begin isolation level ${level}`);
      await publish(client, topic, 2);
      await client.query('rollback');
      expect(await drain()).toBeUndefined();
      expect(await stored(topic)).toEqual([1]);
    },
  );

  it('leaves out what a savepoint took back', async () => {
    const client = await session('begin');
    await publish(client, 'save:point', 'kept');
    await client.query('savepoint s');
    await publish(client, 'save:point', 'taken back');
    await client.query('rollback to s');
    await publish(client, 'save:point', 'kept too');
    await client.query('commit');
    await drainAll();
    expect(await stored('save:point')).toEqual(['kept', 'kept too']);
  });

  it('is called by a trigger', async () => {
    await database.rows(`
      create table orders (id integer primary key, status text not null);
      create function announce() returns trigger language plpgsql as $$
      begin
        perform belfry.publish('order:' || new.id, 'order.' || new.status, to_jsonb(new));
        return null;
      end $$;
      create trigger announce after insert or update on orders for each row execute function announce();`);
    await database.rows(`insert into orders values (7, 'placed'); update orders set status = 'paid'`);
    await drainAll();
    expect(await stored('order:7')).toEqual([
      { id: 7, status: 'placed' },
      { id: 7, status: 'paid' },
    ]);
  });

  it('takes all that an event has, and the tenant', async () => {
    await database.rows(
      `select belfry.publish(topic => 'user:9', type => 'all', data => '{"b": 1, "a": [true]}', tenant => 'acme',
        key => 'k', expires_at => '2035-01-01T00:00:00Z', dedupe_id => 'd')`,
    );
    await database.rows(`select belfry.publish('user:9', 'few', null)`);
    await drainAll();
    const rows = await database.rows(
      `select tenant, type, key, data, expires_at from belfry.events where topic = 'user:9' order by seq`,
    );
    expect(rows).toEqual([
      {
        tenant: 'acme',
        type: 'all',
        key: 'k',
        data: '{"a": [true], "b": 1}',
        expires_at: new Date('2035-01-01T00:00:00Z'),
      },
      { tenant: 'default', type: 'few', key: null, data: 'null', expires_at: null },
    ]);
  });

  const nested = (depth: number) => `'${'['.repeat(depth)}${']'.repeat(depth)}'`;
  it.each([
    ['a topic without a colon', `'user', 't', '1'`, 'BF011', /^topic-invalid: /],
    ['a topic with a space', `'user:a b', 't', '1'`, 'BF011', /^topic-invalid: /],
    ['a topic with two colons', `'user:a:b', 't', '1'`, 'BF011', /^topic-invalid: /],
    ['a topic of 201 characters', `'user:' || repeat('x', 196), 't', '1'`, 'BF011', /^topic-invalid: /],
    ['a wildcard', `'user:*', 't', '1'`, 'BF011', /^topic-invalid: /],
    ['no topic', `null, 't', '1'`, 'BF011', /^topic-invalid: /],
    ['a line break in the topic', `E'user:1\\n', 't', '1'`, 'BF011', /^topic-invalid: /],
    ['no type', `'user:1', null, '1'`, 'BF012', /^type-invalid: /],
    ['an empty type', `'user:1', '', '1'`, 'BF012', /^type-invalid: /],
    ['a line break in the type', `'user:1', E'a\\nb', '1'`, 'BF012', /^type-invalid: /],
    ['a type of Belfry’s', `'user:1', 'ready', '1'`, 'BF013', /^type-reserved: /],
    ['a type of the inbox', `'user:1', 'notification.created', '1'`, 'BF013', /^type-reserved: /],
    ['an empty key', `'user:1', 't', '1', key => ''`, 'BF014', /^key-invalid: /],
    [
      'a long dedupe id',
      `'user:1', 't', '1', dedupe_id => repeat('x', 201)`,
      'BF015',
      /^dedupe-id-invalid: /,
    ],
    ['an endless expiry', `'user:1', 't', '1', expires_at => 'infinity'`, 'BF016', /^expires-at-invalid: /],
    [
      'data of 64 KiB and a byte',
      `'user:1', 't', to_jsonb(repeat('x', 65535))`,
      'BF017',
      /65537 bytes .* 65536/,
    ],
    ['data of 65 levels', `'user:1', 't', ${nested(65)}`, 'BF018', /^data-invalid: /],
    ['a tenant with a slash', `'user:1', 't', '1', tenant => 'a/b'`, 'BF010', /^tenant-invalid: /],
    ['no tenant', `'user:1', 't', '1', tenant => null`, 'BF010', /^tenant-invalid: /],
  ])('refuses %s at the call', async (_what, parameters, code, message) => {
    await expect(database.rows(`select belfry.publish(${parameters})`)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as unknown,
    });
    expect(await drain()).toBeUndefined();
  });

  it.each([
    ['"all"', `'all', 't', '1'`],
    ['a topic of 200 characters', `'user:' || repeat('x', 195), 't', '1'`],
    ['data of 64 KiB', `'user:1', 't', to_jsonb(repeat('x', 65534))`],
    ['data of 64 levels', `'user:1', 't', ${nested(64)}`],
    [
      'many brackets that are no levels',
      `'user:1', 't', jsonb_build_array(repeat('[', 100), ${nested(63)}::jsonb)`,
    ],
    ['a type of 200 characters', `'user:1', repeat('é', 200), '1'`],
  ])('takes %s', async (_what, parameters) => {
    await database.rows(`select belfry.publish(${parameters})`);
    expect(await drain()).toEqual({ moved: 1, rejected: 0, more: false });
  });

  describe('with a dedupe id', () => {
    const say = (data: string) =>
      `select belfry.publish('once:only', 't', '${data}', dedupe_id => 'order 1', expires_at => '2036-01-01Z')`;

    it('publishes once, in one transaction and in several, wherever the session is', async () => {
      await database.rows(`${say('1')}; ${say('1')}`);
      await drainAll();
      await database.rows(`set timezone = 'Asia/Tokyo'; ${say('1')}; reset timezone`);
      await drainAll();
      expect(await stored('once:only')).toEqual([1]);
      expect(await rejected('once:only')).toEqual([]);
    });

    it('is no reason to move less at a time, however often it is there', async () => {
      await database.rows(`select belfry.publish('once:2', 't', to_jsonb(n % 2), dedupe_id => 'twice ' || n % 2)
        from generate_series(1, 100) n; select belfry.publish('once:2', 't', '9', dedupe_id => 'twice 0');
        select belfry.publish('once:2', 't', '"behind"')`);
      await appendBySql(database.pool, { events: [{ topic: 'once:2', data: 'http' }] });
      expect(await stored('once:2')).toEqual([1, 0, 'behind', 'http']);
      expect(await rejected('once:2')).toEqual(['idempotency-mismatch']);
      expect(await drain()).toBeUndefined();
    });

    it('sets another event under the same id aside', async () => {
      await database.rows(`${say('2')}; select belfry.publish('once:only', 't', '"behind"')`);
      await drainAll();
      expect(await stored('once:only')).toEqual([1, 'behind']);
      expect(await rejected('once:only')).toEqual(['idempotency-mismatch']);
    });
  });
});

describe('the bell of the SQL door', () => {
  it('is rung by a few of the open transactions, once by each', async () => {
    const clients = await Promise.all(Array.from({ length: 7 }, () => session('begin')));
    for (const client of clients) {
      await publish(client, 'bell:1');
      await publish(client, 'bell:1');
    }
    const [{ ringing }] = (await database.rows<{ ringing: string }>(
      `select count(*) as ringing from pg_locks where locktype = 'advisory' and classid = 1650815078
        and objid between 11 and 14 and database = (select oid from pg_database where datname = current_database())`,
    )) as [{ ringing: string }];
    expect(ringing).toBe('4');

    const heard: string[] = [];
    const listener = await session('listen belfry_outbox');
    listener.on('notification', ({ channel }) => heard.push(channel));
    for (const client of clients) await client.query('commit');
    await listener.query('select 1');
    expect(heard).toHaveLength(4);
  });

  it('is silent with belfry.ring = off, so that PREPARE TRANSACTION has nothing against it', async () => {
    const heard: string[] = [];
    const listener = await session('listen belfry_outbox');
    listener.on('notification', ({ channel }) => heard.push(channel));
    const client = await session('begin', 'set local belfry.ring = off');
    await publish(client, 'bell:2');
    await client.query('commit');
    await publish(client, 'bell:2');
    await listener.query('select 1');
    expect(heard).toHaveLength(1);
  });
});

describe('the drain', () => {
  it('keeps the order of the calls, and of what was committed before another was published', async () => {
    const [early, late] = [await session('begin'), await session('begin')];
    await publish(late, 'order:2', 'a');
    await publish(early, 'order:2', 'b');
    await publish(late, 'order:2', 'c');
    await early.query('commit');
    await drainAll();
    expect(await stored('order:2')).toEqual(['b']);
    await late.query('commit');
    await publish(database.pool, 'order:2', 'd');
    await drainAll();
    expect(await stored('order:2')).toEqual(['b', 'a', 'c', 'd']);
  });

  it('is not held up by a transaction that stays open', async () => {
    const idle = await session('begin');
    await publish(idle, 'idle:1', 'idle');
    for (const n of [1, 2, 3]) {
      await publish(database.pool, 'idle:1', n);
      expect(await drain()).toEqual({ moved: 1, rejected: 0, more: false });
    }
    await idle.query('commit');
    await drainAll();
    expect(await stored('idle:1')).toEqual([1, 2, 3, 'idle']);
  });

  it('moves a large transaction in chunks, in order, while others go on', async () => {
    const [large, idle] = [await session('begin'), await session('begin')];
    await publish(idle, 'large:1', 'idle');
    await large.query(`select belfry.publish('large:1', 't', to_jsonb(n)) from generate_series(1, 1200) n`);
    await publish(database.pool, 'large:2', 'meanwhile');
    await large.query('commit');

    const moved: Drained[] = [];
    for (let step = await drain(); step; step = await drain()) {
      moved.push(step);
      // Committed while a window is open: it belongs to the next.
      if (moved.length === 1) await publish(database.pool, 'large:2', 'later');
      if (moved.length === 2) await idle.query('commit');
    }
    expect(moved).toEqual([
      { moved: 500, rejected: 0, more: true },
      ...Array.from({ length: 7 }, () => ({ moved: 100, rejected: 0, more: true })),
      { moved: 1, rejected: 0, more: false },
      { moved: 2, rejected: 0, more: false },
    ]);
    expect(await stored('large:1')).toEqual([...Array.from({ length: 1200 }, (_, n) => n + 1), 'idle']);
    expect(await stored('large:2')).toEqual(['meanwhile', 'later']);
  });

  it('moves about a mebibyte at a time', async () => {
    await database.rows(
      `select belfry.publish('wide:1', 't', to_jsonb(repeat('x', 60000) || n)) from generate_series(1, 40) n`,
    );
    const first = await drain();
    expect(first).toEqual({ moved: 18, rejected: 0, more: true });
    await drainAll();
    const lengths = ((await stored('wide:1')) as string[]).map(text => Number(text.slice(60_000)));
    expect(lengths).toEqual(Array.from({ length: 40 }, (_, n) => n + 1));
  });

  it('sets aside what slipped in and is no event, with the reason, and goes on', async () => {
    const slip = (topic: string, data: string) =>
      database.rows('insert into belfry.outbox (tenant, topic, type, data) values ($1, $2, $3, $4)', [
        'default',
        topic,
        't',
        data,
      ]);
    await publish(database.pool, 'poison:1', 'before');
    await slip('poison 1', '1');
    await slip('poison:1', '[1,\n2]');
    await slip('poison:1', JSON.stringify('x'.repeat(70_000)));
    await publish(database.pool, 'poison:1', 'after');
    expect(await drain()).toEqual({ moved: 5, rejected: 3, more: false });
    expect(await stored('poison:1')).toEqual(['before', 'after']);
    expect(await rejected('poison 1')).toEqual(['topic-invalid']);
    expect(await rejected('poison:1')).toEqual(['data-invalid', 'data-too-large']);
  });

  it('finds the row that Postgres itself refuses, and goes on', async () => {
    await database.rows(
      `alter table belfry.events add constraint no_thirteen check (topic <> 'poison:2' or data <> '13')`,
    );
    await database.rows(`select belfry.publish('poison:2', 't', to_jsonb(n)) from generate_series(1, 20) n`);
    await drainAll();
    await database.rows('alter table belfry.events drop constraint no_thirteen');
    expect(await stored('poison:2')).toEqual(
      Array.from({ length: 20 }, (_, n) => n + 1).filter(n => n !== 13),
    );
    expect(await rejected('poison:2')).toEqual([expect.stringContaining('no_thirteen')]);
  });

  it('never blames it on a row that was committed while it looked for the culprit', async () => {
    await database.rows(`
      create sequence tries;
      create function refuse() returns trigger language plpgsql as $$
      begin
        -- The first try is that of the chunk, the second that of the row, which is set aside without another.
        if nextval('tries') = 2 then
          perform pg_advisory_xact_lock(77);
        end if;
        raise data_exception;
      end $$;
      create trigger refuse before insert on belfry.events
        for each row when (new.topic = 'poison:4') execute function refuse();`);
    const [late, holder, drainer] = [await session('begin'), await session(), await session()];
    await publish(late, 'good:4', 'good');
    await publish(database.pool, 'poison:4', 'bad');
    await holder.query('select pg_advisory_lock(77)');
    const drained = drainer.query('select * from belfry.drain()');
    await until('the try of the row', async () => {
      const waiting = await database.rows(
        `select from pg_locks where locktype = 'advisory' and objid = 77 and not granted`,
      );
      return waiting.length > 0;
    });
    await late.query('commit');
    await holder.query('select pg_advisory_unlock(77)');
    await drained;
    await drainAll();
    await database.rows('drop trigger refuse on belfry.events; drop function refuse; drop sequence tries');
    expect(await stored('good:4')).toEqual(['good']);
    expect(await rejected('good:4')).toEqual([]);
    expect(await rejected('poison:4')).toHaveLength(1);
  });

  it('never sets a row aside because there is no partition for it', async () => {
    const small = await TestDatabase.create();
    await small.rows('select belfry.extend_log(10, 1)');
    await small.rows(`alter table belfry.events add constraint no_three check (data <> '3')`);
    await small.rows(`select belfry.publish('poison:3', 't', to_jsonb(n)) from generate_series(1, 30) n`);
    await expect(small.rows('select belfry.drain()')).rejects.toMatchObject({
      code: '23514',
      table: 'events',
    });
    await small.rows('select belfry.extend_log(100, 100)');
    while ((await small.rows('select from belfry.drain() where head is not null')).length > 0);
    expect((await storedEvents(small)).map(({ data }) => data as number)).toEqual(
      Array.from({ length: 30 }, (_, n) => n + 1).filter(n => n !== 3),
    );
    expect(await small.rows('select reason from belfry.outbox_rejected')).toHaveLength(1);
    await small.drop();
  });

  it('is one at a time: the others have nothing to do', async () => {
    const first = await session('begin', 'select pg_advisory_xact_lock(1650815078, 5)');
    await publish(database.pool, 'once:1');
    expect(await drain()).toBeUndefined();
    await first.query('commit');
    expect(await drain()).toEqual({ moved: 1, rejected: 0, more: false });
  });

  it('comes with every append: what was committed before is before it', async () => {
    await publish(database.pool, 'both:1', 'sql');
    await appendBySql(database.pool, { events: [{ topic: 'both:1', data: 'http' }] });
    expect(await stored('both:1')).toEqual(['sql', 'http']);
  });

  it('comes with an append in one chunk at most: what is more is moved beside the appends', async () => {
    await database.rows(`select belfry.publish('both:3', 't', to_jsonb(n)) from generate_series(1, 700) n`);
    const http = (data: string) => appendBySql(database.pool, { events: [{ topic: 'both:3', data }] });
    await http('first');
    await publish(database.pool, 'both:3', 'late');
    await http('second');
    await drainAll();
    const numbers = Array.from({ length: 700 }, (_, n) => n + 1);
    expect(await stored('both:3')).toEqual([
      ...numbers.slice(0, 500),
      'first',
      'second',
      ...numbers.slice(500),
      'late',
    ]);
    await http('third');
    expect((await stored('both:3')).at(-1)).toBe('third');
  });

  it('never fails the append that it comes with', async () => {
    await database.rows(
      `alter table belfry.events add constraint no_sql check (topic <> 'both:2' or data <> '"sql"')`,
    );
    await publish(database.pool, 'both:2', 'sql');
    await appendBySql(database.pool, { events: [{ topic: 'both:2', data: 'http' }] });
    await drainAll();
    await database.rows('alter table belfry.events drop constraint no_sql');
    expect(await stored('both:2')).toEqual(['http']);
    expect(await rejected('both:2')).toEqual([expect.stringContaining('no_sql')]);
  });
});

describe('a role that publishes', () => {
  let roles: TestRoles;
  let role: string;

  beforeEach(async () => {
    roles = new TestRoles(database);
    role = await roles.create('publisher');
  });
  afterEach(async () => {
    await database.rows('delete from belfry.publishers');
    await roles.drop();
  });

  it('may do nothing before it is admitted, and then only that', async () => {
    const client = await roles.connect(role);
    sessions.push(client);
    await expect(publish(client, 'role:1')).rejects.toMatchObject({ code: '42501' });
    await database.rows('select belfry.admit_publisher($1)', [role]);
    await publish(client, 'role:1', 1);
    for (const statement of [
      'select belfry.drain()',
      'select belfry.log_head()',
      `select belfry.enqueue('default', 'a:b', 'job.log', null, '1', null, null)`,
      'select from belfry.events',
      'select from belfry.outbox',
      `insert into belfry.outbox (tenant, topic, type, data) values ('x', 'a:b', 't', '1')`,
      `select belfry.admit_publisher(current_user)`,
    ]) {
      await expect(client.query(statement)).rejects.toMatchObject({ code: '42501' });
    }
    await drainAll();
    expect(await stored('role:1')).toEqual([1]);
  });

  it('may be tied to a tenant', async () => {
    await database.rows('select belfry.admit_publisher($1, $2)', [role, 'acme']);
    const client = await roles.connect(role);
    sessions.push(client);
    await publish(client, 'role:2', 1);
    await client.query(`select belfry.publish('role:2', 't', '2', tenant => 'acme')`);
    await expect(
      client.query(`select belfry.publish('role:2', 't', '3', tenant => 'other')`),
    ).rejects.toMatchObject({
      code: 'BF019',
      message: expect.stringMatching(/^tenant-forbidden: /) as unknown,
    });
    await drainAll();
    const tenants = await database.rows(
      `select tenant from belfry.events where topic = 'role:2' order by seq`,
    );
    expect(tenants).toEqual([{ tenant: 'acme' }, { tenant: 'acme' }]);
  });

  describe('through a group', () => {
    const toTenant = (tenant: string) => `select belfry.publish('role:3', 't', '1', tenant => '${tenant}')`;
    const forbidden = { code: 'BF019' };
    let member: string;
    let client: pg.Client;

    beforeEach(async () => {
      await database.rows('select belfry.admit_publisher($1, $2)', [role, 'acme']);
      member = await roles.create('member');
      await database.rows(`grant ${pg.escapeIdentifier(role)} to ${pg.escapeIdentifier(member)}`);
      client = await roles.connect(member);
      sessions.push(client);
    });

    it('is tied as the group is', async () => {
      await client.query(toTenant('acme'));
      await client.query(toTenant('default'));
      await expect(client.query(toTenant('other'))).rejects.toMatchObject(forbidden);
      await drainAll();
      expect(await database.rows(`select distinct tenant from belfry.events where topic = 'role:3'`)).toEqual(
        [{ tenant: 'acme' }],
      );
    });

    it('has to say which, when there are several', async () => {
      const another = await roles.create('publisher');
      await database.rows('select belfry.admit_publisher($1, $2)', [another, 'globex']);
      await database.rows(`grant ${pg.escapeIdentifier(another)} to ${pg.escapeIdentifier(member)}`);
      await client.query(toTenant('acme'));
      await client.query(toTenant('globex'));
      await expect(client.query(toTenant('default'))).rejects.toMatchObject({
        ...forbidden,
        message: expect.stringContaining('"acme" or "globex"') as unknown,
      });
      await client.query(`set role ${pg.escapeIdentifier(another)}`);
      await expect(client.query(toTenant('acme'))).rejects.toMatchObject(forbidden);
    });

    it('is tied when it takes the group with SET ROLE', async () => {
      await database.rows(`alter role ${pg.escapeIdentifier(member)} noinherit`);
      // From PostgreSQL 16 on, whether rights are inherited is kept with the membership.
      await database.rows(`revoke ${pg.escapeIdentifier(role)} from ${pg.escapeIdentifier(member)}`);
      await database.rows(`grant ${pg.escapeIdentifier(role)} to ${pg.escapeIdentifier(member)}`);
      await expect(client.query(toTenant('acme'))).rejects.toMatchObject({ code: '42501' });
      await client.query(`set role ${pg.escapeIdentifier(role)}`);
      await client.query(toTenant('acme'));
      await expect(client.query(toTenant('other'))).rejects.toMatchObject(forbidden);
    });

    it('stays tied when it takes a role that was not let in', async () => {
      const stranger = await roles.create('stranger');
      await database.rows(`grant ${pg.escapeIdentifier(stranger)} to ${pg.escapeIdentifier(member)}`);
      await client.query(`create function pg_temp.publish() returns void security definer
        language sql as $$ ${toTenant('other')} $$`);
      await client.query(`set role ${pg.escapeIdentifier(stranger)}`);
      await expect(client.query('select pg_temp.publish()')).rejects.toMatchObject(forbidden);
    });

    it('is as free as it was let in to be itself', async () => {
      await database.rows('select belfry.admit_publisher($1)', [member]);
      await client.query(toTenant('other'));
    });
  });

  it('is not tied when it has the rights of the owner', async () => {
    await database.rows('select belfry.admit_publisher($1, $2)', [role, 'acme']);
    await database.rows(`select belfry.publish('role:4', 't', '1', tenant => 'other')`);
  });
});

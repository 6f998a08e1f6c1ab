import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { newFolder } from '../database/processes.js';
import { TestRoles } from '../database/roles.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance, tokenFor } from '../support/instance.js';
import { bash, blocksOf, missingOf } from './examples.js';
import { ENVIRONMENT, isInstalled, RUNTIMES } from './sql.runtimes.js';

const DOCUMENT = 'docs/sql-publishing.md';

const example = (name: string) => {
  const sql = blocksOf(DOCUMENT, name, 'sql');
  if (sql === '') throw new Error(`${DOCUMENT} has no example ${name}`);
  return sql;
};

/** Rolled back where it would commit. */
const takenBack = (sql: string) => sql.replace(/^commit;/m, 'rollback;');

interface Heard {
  readonly topic: string;
  readonly type: string;
  readonly data: unknown;
}

const paid = (order: number): Heard => ({ topic: `order:${order}`, type: 'order.paid', data: { order } });

describe(DOCUMENT, () => {
  let database: TestDatabase;
  let roles: TestRoles;
  let belfry: Instance;
  /** The role that is called app in the examples, and a session of it. */
  let app: string;
  let session: pg.Client;

  beforeAll(async () => {
    database = await TestDatabase.create();
    roles = new TestRoles(database);
    belfry = await Instance.start(database.url);
    app = await roles.create('app');
    session = await roles.connect(app);
    await database.rows(named(example('admit')));
    await database.rows(`
      begin;
      set local search_path = public;
      create table orders (id integer primary key, status text not null);
      grant select, insert, update on orders to ${pg.escapeIdentifier(app)};
      insert into orders values (7, 'placed'), (13, 'placed');
      create function unlucky() returns trigger language plpgsql as $$
        begin raise exception 'order 13 cannot be paid'; end $$;
      create constraint trigger unlucky after update on orders deferrable initially deferred
        for each row when (new.id = 13) execute function unlucky();
      commit`);
  });
  afterAll(async () => {
    await session.end();
    await belfry.stop();
    await roles.drop();
    await database.drop();
  });

  /** With the name of a role in the place of app. */
  function named(sql: string, role = app): string {
    return sql.replace(/'app'|\bapp\b/g, name =>
      name === 'app' ? pg.escapeIdentifier(role) : pg.escapeLiteral(role),
    );
  }

  let after = '';

  /** What was published by SQL since this was last called: it comes before what is published over HTTP now. */
  async function heard(): Promise<Heard[]> {
    const [now] = await belfry.publish({ topic: 'order:0', type: 'now' });
    const answer = await belfry.request('GET', `/v1/events?topic=order:*&limit=1000${after}`, {
      token: await admin(),
    });
    after = `&after=${now}`;
    return (answer.json as { events: Heard[] }).events
      .map(({ topic, type, data }) => ({ topic, type, data }))
      .filter(({ topic }) => topic !== 'order:0');
  }

  it('has a transaction that publishes when it commits, and only then', async () => {
    await session.query(example('transaction'));
    expect(await heard()).toEqual([paid(7)]);
    await session.query(takenBack(example('transaction')));
    expect(await heard()).toEqual([]);
  });

  it('has a notification, in the inbox when the transaction commits', async () => {
    await session.query(takenBack(example('notify')));
    await session.query(example('notify'));
    expect(await heard()).toEqual([]);
    const token = await tokenFor({ sub: '7' });
    const answer = await belfry.request('GET', '/v1/inbox', { token });
    expect(answer.json).toMatchObject({
      items: [{ title: 'Order 7 is paid', url: '/orders/7', data: { order: 7 } }],
    });
  });

  describe('has a trigger', () => {
    beforeAll(async () => {
      await database.rows(`begin; set local search_path = public; ${example('trigger')}; commit`);
    });
    afterAll(async () => {
      await database.rows('drop function public.announce_order cascade');
    });

    const change = `insert into orders values (8, 'placed'); update orders set status = 'paid' where id = 8`;
    const placed = { ...paid(8), type: 'order.placed' };

    it('that publishes what changes', async () => {
      await session.query(`begin; ${change}; rollback`);
      expect(await heard()).toEqual([]);
      await session.query(change);
      expect(await heard()).toEqual([placed, paid(8)]);
    });

    it('that may publish for roles that may not', async () => {
      await database.rows(`alter function public.announce_order security definer set search_path = ''`);
      const writer = await roles.create('writer');
      await database.rows(`grant insert on public.orders to ${pg.escapeIdentifier(writer)}`);
      const client = await roles.connect(writer);
      await client.query(`insert into orders values (9, 'placed')`);
      await client.end();
      expect(await heard()).toEqual([{ ...placed, topic: 'order:9', data: { order: 9 } }]);
    });
  });

  describe.each(RUNTIMES)('has an example for $name', runtime => {
    const { name, language, setup, files, pay } = runtime;
    const itWhereInstalled = name === 'typeorm' || isInstalled(runtime) ? it : it.skip;
    let folder: string | undefined;
    afterEach(async () => {
      if (folder) await rm(folder, { recursive: true });
    });

    itWhereInstalled(
      'that publishes with its transaction or not at all',
      async () => {
        folder = await newFolder();
        for (const [file, text] of Object.entries(files(blocksOf(DOCUMENT, name, language)))) {
          await mkdir(dirname(join(folder, file)), { recursive: true });
          await writeFile(join(folder, file), text);
        }
        const env = { ...ENVIRONMENT, DATABASE_URL: roles.urlOf(app) };
        expect(await bash(setup, folder, env)).toMatchObject({ code: 0 });

        const first = await bash(pay, folder, { ...env, ORDER: '7' });
        expect(first).toEqual({ code: 0, output: expect.any(String) as unknown });
        expect(await heard()).toEqual([paid(7)]);

        const second = await bash(pay, folder, { ...env, ORDER: '13' });
        expect(second.output).toContain('order 13 cannot be paid');
        expect(second.code).not.toBe(0);
        expect(await heard()).toEqual([]);
      },
      // Whatever has to be compiled.
      300_000,
    );
  });

  it('tries out every example that it has', () => {
    const tried = [...RUNTIMES.map(({ name }) => name), 'transaction', 'notify', 'trigger', 'errors'];
    const others = ['admit', 'grants', 'tie', 'dismiss', 'two-phase', 'rejected', 'again'];
    const markers = [...readFileSync(DOCUMENT, 'utf8').matchAll(/^<!-- (.*) -->$/gm)].map(
      ([, name]) => name!,
    );
    expect(markers.sort()).toEqual([...tried, ...others].sort());
  });

  describe('says what is refused', () => {
    const [, behind = ''] = readFileSync(DOCUMENT, 'utf8').split('<!-- errors -->');
    const rows = [...behind.matchAll(/^\| `(BF\d+)` +\| `([a-z-]+)` /gm)].map(([, state, code]) => [
      state!,
      code!,
    ]);
    const refused: Readonly<Record<string, string>> = {
      BF010: `'order:1', 't', '1', tenant => 'a b'`,
      BF011: `'order', 't', '1'`,
      BF012: `'order:1', '', '1'`,
      BF013: `'order:1', 'inbox.updated', '1'`,
      BF014: `'order:1', 't', '1', key => ''`,
      BF015: `'order:1', 't', '1', dedupe_id => ''`,
      BF016: `'order:1', 't', '1', expires_at => 'infinity'`,
      BF017: `'order:1', 't', to_jsonb(repeat('x', 65536))`,
      BF018: `'order:1', 't', ('${'['.repeat(65)}${']'.repeat(65)}')`,
      BF019: `'order:1', 't', '1', tenant => 'other'`,
      BF020: `'order:1', 't', ''`,
      '42883': `'order:1', 't', '1'::json`,
      '22P02': `'order:1', 't', 'text'`,
      '22P05': `'order:1', 't', '"\\u0000"'`,
    };

    it('in full', () => {
      const migrations = readdirSync('migrations').map(file =>
        readFileSync(join('migrations', file), 'utf8'),
      );
      const raised = [...migrations.join('\n').matchAll(/'(BF0[12]\d)'/g)].map(([, state]) => state!);
      expect(rows.map(([state]) => state)).toEqual([...new Set(raised)].sort());
    });

    it.each(rows)('with %s as %s', async (state, code) => {
      if (state === 'BF019') await database.rows(named(example('tie')));
      const call = state === 'BF020' ? 'notify' : 'publish';
      await expect(session.query(`select belfry.${call}(${refused[state]})`)).rejects.toMatchObject({
        code: state,
        message: expect.stringMatching(new RegExp(`^${code}: `)) as unknown,
      });
      await database.rows(named(example('admit')));
    });

    it.each(['42883', '22P02', '22P05'])('by Postgres with %s', async state => {
      expect(behind).toContain(`\`${state}\``);
      const call = session.query(`select belfry.publish(${refused[state]})`);
      await expect(call).rejects.toMatchObject({ code: state });
    });

    it('in a transaction that is read-only', async () => {
      await session.query('begin read only');
      const call = session.query(`select belfry.publish('order:1', 't', '1')`);
      await expect(call).rejects.toMatchObject({ code: '25006' });
      await session.query('rollback');
    });
  });

  describe('lets roles publish', () => {
    /** All that a role was granted in this database, but what everybody may do. */
    const rights = (role: string) =>
      database.rows(
        `select n.nspname::text as name, a.privilege_type from pg_namespace n, aclexplode(n.nspacl) a
          where a.grantee = quote_ident($1)::regrole
        union all
        select p.oid::regprocedure::text, a.privilege_type from pg_proc p, aclexplode(p.proacl) a
          where a.grantee = quote_ident($1)::regrole
        union all
        select c.oid::regclass::text, a.privilege_type from pg_class c, aclexplode(c.relacl) a
          where a.grantee = quote_ident($1)::regrole
        order by 1, 2`,
        [role],
      );

    it('by the grants that it shows, and no others', async () => {
      const [admitted, granted] = [await roles.create('admitted'), await roles.create('granted')];
      await database.rows(named(example('admit'), admitted));
      await database.rows(named(example('grants'), granted));
      expect(await rights(admitted)).toEqual(await rights(granted));
      expect(await rights(admitted)).toHaveLength(3);
    });

    it('to one tenant', async () => {
      await database.rows(named(example('tie')));
      await session.query(example('transaction'));
      await database.rows(named(example('admit')));
      expect(await heard()).toEqual([]);
      const elsewhere = await database.rows(
        `select topic, type from belfry.events where tenant = 'acme' order by seq`,
      );
      expect(elsewhere).toEqual([{ topic: 'order:7', type: 'order.paid' }]);
    });

    it('until they are dismissed', async () => {
      const gone = await roles.create('gone');
      await database.rows(named(example('admit'), gone));
      await database.rows(named(example('dismiss'), gone));
      expect(await rights(gone)).toEqual([]);
      expect(await database.rows('select from belfry.publishers where role = $1', [gone])).toEqual([]);
      const client = await roles.connect(gone);
      const call = client.query(`select belfry.publish('order:1', 't', '1')`);
      await expect(call).rejects.toMatchObject({ code: '42501' });
      await client.end();
    });
  });

  it('has a two-phase commit that publishes', async () => {
    const [{ max }] = (await database.rows<{ max: string }>(
      `select current_setting('max_prepared_transactions') as max`,
    )) as [{ max: string }];
    if (max === '0') {
      process.stderr.write('PREPARE TRANSACTION is not tried out here: max_prepared_transactions is 0.\n');
      return;
    }
    for (const statement of example('two-phase').split(/;\n/).filter(Boolean)) await session.query(statement);
    expect(await heard()).toEqual([paid(7)]);

    await session.query(`begin; select belfry.publish('order:7', 't', '1')`);
    await expect(session.query(`prepare transaction 'loud'`)).rejects.toMatchObject({ code: '0A000' });
  });

  it('has a way to look at what was set aside, and to publish it after all', async () => {
    const publish = (order: number) =>
      session.query(`select belfry.publish('order:7', 'order.paid', $1, dedupe_id => 'once')`, [{ order }]);
    for (const order of [7, 7, 8]) await publish(order);
    const setAside = () =>
      database.rows<{ id: string; reason: string; dedupe_id: string }>(example('rejected'));
    await until('the event that was set aside', async () => (await setAside()).length > 0);
    const [row] = await setAside();
    expect(row).toMatchObject({ reason: 'idempotency-mismatch', topic: 'order:7', dedupe_id: 'once' });
    expect(await heard()).toEqual([paid(7)]);

    await database.rows(example('again').replaceAll('id = 7', `id = ${row!.id}`));
    expect(await heard()).toEqual([{ ...paid(7), data: { order: 8 } }]);
    expect(await setAside()).toEqual([]);
  });

  const itWithPsql = missingOf('README.md', ['bash', 'psql']).length > 0 ? it.skip : it;
  itWithPsql('has an example in the README', async () => {
    const script = blocksOf('README.md', 'sql');
    const { code, output } = await bash(script, process.cwd(), { DATABASE_URL: roles.urlOf(app) });
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining('COMMIT') as unknown });
    await belfry.publish({ topic: 'user:42', type: 'now' });
    const answer = await belfry.request('GET', '/v1/events?topic=user:42', { token: await admin() });
    expect((answer.json as { events: Heard[] }).events[0]).toMatchObject({
      type: 'invoice.paid',
      data: { invoice: 7 },
    });
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import pg from 'pg';

import { migrate } from '../../src/database/migrations.js';
import { BootError } from '../../src/errors/boot-error.js';
import { Retention } from '../../src/log/retention.js';
import { appendBySql } from '../log/sql.append.js';
import { isDense, seqOf, storedEvents } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance, SECRET, tokenFor } from '../support/instance.js';
import { SseClient } from '../support/sse.client.js';
import { TestProcess } from './processes.js';
import { TestRoles } from './roles.js';

const PARTITION = 20;

let database: TestDatabase;
let roles: TestRoles;
/** Owns the schema, and may do no more in the database than that takes. */
let owner: string;
/** Runs the service. */
let service: string;

beforeAll(async () => {
  database = await TestDatabase.create();
  await database.rows('drop schema belfry cascade');
  roles = new TestRoles(database);
  owner = await roles.create('owner');
  service = await roles.create('service');
  await database.rows(`grant create on database ${database.name} to ${pg.escapeIdentifier(owner)}`);
  await migrate(roles.urlOf(owner), roles.urlOf(service));
});
afterAll(async () => {
  await roles.drop();
  await database.drop();
});

/** What the statement is refused with; undefined when it is not. */
async function refusal(client: pg.Client, statement: string): Promise<string | undefined> {
  try {
    await client.query(statement);
    return undefined;
  } catch (error) {
    return (error as pg.DatabaseError).code;
  }
}

/** Who may do what in the schema, as Postgres keeps it. */
function privileges(): Promise<object[]> {
  return database.rows(
    `select 'schema' as kind, nspname::text as name, nspacl::text as acl from pg_namespace where nspname = 'belfry'
    union all
    select 'relation', relname, relacl::text from pg_class
      where relnamespace = 'belfry'::regnamespace and relkind in ('r', 'p', 'v', 'S') and not relispartition
    union all
    select 'function', oid::regprocedure::text, proacl::text from pg_proc
      where pronamespace = 'belfry'::regnamespace
    order by 1, 2`,
  );
}

describe('a service with a role of its own', () => {
  let belfry: Instance;
  let session: pg.Client;

  beforeAll(async () => {
    belfry = await Instance.start(roles.urlOf(service), {
      PARTITION_EVENTS: `${PARTITION}`,
      // What is older than these is replayed from Postgres.
      RING_EVENTS: '5',
    });
    session = await roles.connect(service);
  });
  afterAll(async () => {
    await session.end();
    await belfry.stop();
  });

  it('publishes, streams, replays and adds partitions while it serves', async () => {
    const live = await (await belfry.stream('?topic=*')).isReady();
    const before = await database.rows('select from belfry.partitions');
    const ids: string[] = [];
    for (let n = 0; n < 15; n++) {
      const events = Array.from({ length: 7 }, (_, data) => ({ topic: `user:${data}`, type: 't', data }));
      // With keys and without, by turns.
      ids.push(...(await belfry.publish(events, n % 2 === 0 ? {} : { 'idempotency-key': `key-${n}` })));
    }
    await live.hears(ids.length);
    expect(live.events.map(({ id }) => id)).toEqual(ids);
    expect(isDense(await storedEvents(database))).toBe(true);

    const partitions = await database.rows<{ owner: string }>(
      `select pg_get_userbyid(relowner) as owner from pg_class
      where relnamespace = 'belfry'::regnamespace and relispartition and relkind = 'r'`,
    );
    expect(partitions.length).toBeGreaterThan(before.length + 3);
    expect(new Set(partitions.map(row => row.owner))).toEqual(new Set([owner]));

    for (const query of ['?topic=*', '?topic=user:3&topic=user:4']) {
      const replay = await (await belfry.stream(`${query}&lastEventId=earliest`)).isReady();
      const wanted = ids.filter((_id, n) => query === '?topic=*' || n % 7 === 3 || n % 7 === 4);
      expect(replay.events.map(({ id }) => id)).toEqual(wanted);
      replay.cut();
    }
    live.cut();
    const history = await belfry.request('GET', '/v1/events?topic=user:3&limit=1000', {
      token: await tokenFor({ sub: '3' }),
    });
    expect(history.status).toBe(200);
    expect((history.json as { events: object[] }).events).toHaveLength(15);
    expect(belfry.logs.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  it('answers a repeat with the ids that it had, and takes a request larger than several partitions', async () => {
    const events = Array.from({ length: 6 * PARTITION }, () => ({ topic: 'all', type: 't' }));
    const headers = { 'idempotency-key': 'twice' };
    const ids = await belfry.publish(events, headers);
    expect(ids).toHaveLength(events.length);
    expect(await belfry.publish(events, headers)).toEqual(ids);
    const one = { topic: 'all', type: 't', dedupeId: 'once' };
    expect(await belfry.publish(one)).toEqual(await belfry.publish(one));
  });

  it('gives up batches, finds those that were stored, and checks the isolation level', async () => {
    const given = randomUUID();
    const settle = (batch: string) =>
      session.query<{ seq: string }>('select seq from belfry.settle_batch($1, 0)', [batch]);
    expect((await settle(given)).rows).toEqual([]);
    await expect(appendBySql(session, { batch: given, events: [{}] })).rejects.toMatchObject({
      code: 'BF001',
    });
    const stored = randomUUID();
    const { head } = await appendBySql(session, { batch: stored, events: [{}, {}] });
    expect((await settle(stored)).rows.map(({ seq }) => Number(seq))).toEqual([head + 1, head + 2]);

    await session.query('begin isolation level repeatable read');
    await expect(appendBySql(session, { events: [{}] })).rejects.toMatchObject({ code: '25001' });
    await session.query('rollback');
  });

  it('gives out tickets and takes them, and the keys of an administrator', async () => {
    const token = await admin();
    const answer = await belfry.request('POST', '/v1/tickets', { token });
    const { ticket } = answer.json as { ticket: string };
    const client = await SseClient.open(`${belfry.url}/v1/stream?ticket=${ticket}`, {});
    expect(client.status).toBe(200);
    client.cut();
    const made = await belfry.request('POST', '/v1/admin/keys', {
      token,
      body: { name: 'test', scopes: ['publish'] },
    });
    const { id, key } = made.json as { id: string; key: string };
    const publish = () =>
      belfry.request('POST', '/v1/events', { token: key, body: { topic: 'key:1', type: 'a' } });
    expect((await publish()).status).toBe(201);
    expect((await belfry.request('DELETE', `/v1/admin/keys/${id}`, { token })).status).toBe(204);
    expect((await publish()).json).toMatchObject({ code: 'key-revoked' });
  });

  it('keeps API keys, tickets, revocations and the list of instances', async () => {
    const listener = await roles.connect(service);
    const bells: string[] = [];
    listener.on('notification', ({ channel }) => bells.push(channel));
    await listener.query('listen belfry_revoked');

    await session.query(
      `insert into belfry.api_keys (id, tenant, name, secret_hash, scopes)
      values ('k1', 'default', 'test', '\\x00', '{publish}')`,
    );
    await session.query(`update belfry.api_keys set last_used_at = now() where id = 'k1'`);
    for (const [keyId, sub] of [
      ['k1', null],
      ['k1', null],
      [null, 'ada'],
    ]) {
      await session.query('select belfry.revoke($1, $2, $3)', ['default', keyId, sub]);
    }
    const { rows: revoked } = await session.query(
      "select key_id, sub from belfry.revocations where key_id = 'k1' or sub = 'ada' order by n",
    );
    expect(revoked).toEqual([
      { key_id: 'k1', sub: null },
      { key_id: null, sub: 'ada' },
    ]);
    const { rows: keys } = await session.query(
      "select revoked_at is not null as gone from belfry.api_keys where id = 'k1'",
    );
    expect(keys).toEqual([{ gone: true }]);
    await until('the bell of the revocations', () => bells.includes('belfry_revoked'));
    await listener.end();

    await session.query(
      `insert into belfry.tickets (hash, tenant, grants, expires_at)
      values ('\\x01', 'default', '{}', now() + interval '30 seconds')`,
    );
    const spent = await session.query(
      `delete from belfry.tickets where hash = '\\x01' returning tenant, grants`,
    );
    expect(spent.rows).toEqual([{ tenant: 'default', grants: {} }]);

    const tell = `insert into belfry.instances (id, seen_at, streams) values ($1, now(), $2)
      on conflict (id) do update set seen_at = excluded.seen_at, streams = excluded.streams`;
    const id = randomUUID();
    await session.query(tell, [id, {}]);
    await session.query(tell, [id, { default: { ada: 2 } }]);
    const { rows: instances } = await session.query('select streams from belfry.instances where id = $1', [
      id,
    ]);
    expect(instances).toEqual([{ streams: { default: { ada: 2 } } }]);
    await session.query('delete from belfry.instances where id = $1', [id]);
  });

  it('can neither change what is in the log, nor the schema, nor become somebody else', async () => {
    await database.rows('create schema theirs; create table theirs.secrets (secret text)');
    const [partition] = await database.rows<{ name: string }>('select name from belfry.partitions limit 1');
    const child = `belfry.${partition!.name}`;
    const quoted = pg.escapeIdentifier(owner);
    const trigger =
      'before insert on belfry.events for each row execute function suppress_redundant_updates_trigger()';
    const statements = [
      `update belfry.events set data = '0'`,
      'delete from belfry.events',
      'truncate belfry.events',
      'drop table belfry.events',
      'alter table belfry.events add column more text',
      `alter table belfry.events detach partition ${child}`,
      'do $$ begin lock table belfry.events in access exclusive mode; end $$',
      `create trigger t ${trigger}`,
      `select from ${child}`,
      `insert into ${child} select * from belfry.events`,
      `drop table ${child}`,
      'update belfry.dedupe set seq = 1',
      'delete from belfry.dedupe',
      `insert into belfry.epochs (name, forked_at, identity) values ('mine', 0, '')`,
      'delete from belfry.epochs',
      'insert into belfry.floors (seq) values (1000000)',
      'delete from belfry.floors',
      `insert into belfry.partitions values ('x', 1, 2)`,
      'delete from belfry.partitions',
      'delete from belfry.api_keys',
      'update belfry.revocations set sub = null',
      'select from belfry.migrations',
      `insert into belfry.migrations (timestamp, name) values (1, 'x')`,
      'delete from belfry.migrations',
      'create table belfry.mine ()',
      `create function belfry.mine() returns void language sql as ''`,
      `create or replace function belfry.lock_log() returns void language sql as ''`,
      'alter function belfry.lock_log() reset all',
      'alter function belfry.extend_log(bigint, bigint) set search_path = public',
      'drop function belfry.lock_log()',
      `select belfry.admit_service('x')`,
      'alter schema belfry rename to mine',
      'drop schema belfry cascade',
      'create schema mine',
      'create table public.mine ()',
      `set role ${quoted}`,
      `set session authorization ${quoted}`,
      `grant ${quoted} to current_user`,
      `grant select on belfry.events to public`,
      'select from theirs.secrets',
      `copy belfry.events to program 'true'`,
    ];
    const allowed: string[] = [];
    for (const statement of statements) {
      const code = await refusal(session, statement);
      if (code !== '42501') allowed.push(`${statement}: ${code ?? 'done'}`);
    }
    // GRANT without the right to is a warning where there is one privilege at least, and grants nothing.
    expect(allowed.filter(line => !line.startsWith('grant select'))).toEqual([]);
    const [events] = await database.rows<{ acl: string }>(
      `select relacl::text as acl from pg_class where oid = 'belfry.events'::regclass`,
    );
    expect(events!.acl).not.toMatch(/[{,]=/);
  });

  it('cannot slip something of its own under what runs as the owner', async () => {
    const definers = await database.rows<{ name: string; config: string[] | null }>(
      `select proname as name, proconfig as config from pg_proc
      where pronamespace = 'belfry'::regnamespace and prosecdef`,
    );
    expect(definers.map(({ name }) => name)).toContain('extend_log');
    for (const { config } of definers) expect(config).toContain('search_path=pg_catalog, pg_temp');

    // A function of its own that suits a call in extend_log better than the one that is meant, on its own search path.
    await database.rows(`create schema mine authorization ${pg.escapeIdentifier(service)}`);
    await session.query(
      `create function mine.format(text, text, text, bigint, bigint) returns text language plpgsql
      as $$ begin raise exception 'this runs as %', current_user; end $$`,
    );
    await session.query('grant usage on schema mine to public');
    await session.query('set search_path = mine, pg_catalog');
    const { rows } = await session.query<{ added: boolean }>(
      `select belfry.extend_log($1, max(to_seq)) > max(to_seq) as added from belfry.partitions`,
      [PARTITION],
    );
    expect(rows).toEqual([{ added: true }]);
    await session.query('reset search_path');
  });

  it('drops what has expired, which it could not do by itself', async () => {
    const [id] = await belfry.publish([{ topic: 'all', type: 't' }], { 'idempotency-key': 'expired' });
    await database.rows(`update belfry.events set at = at - interval '100 hours'`);
    await database.rows(`update belfry.dedupe set stored_at = stored_at - interval '100 hours'`);
    await database.rows(
      `insert into belfry.tickets (hash, tenant, grants, expires_at) values ('\\x02', 'default', '{}', now() - interval '1 s')`,
    );
    await belfry.app.get(Retention).trim();
    const [left] = await database.rows(
      `select belfry.log_floor() as floor, (select count(*) from belfry.events) as events,
        (select count(*) from belfry.dedupe) as keys, (select count(*) from belfry.tickets) as tickets,
        (select count(*) from belfry.partitions where to_seq <= belfry.log_head()) as full`,
    );
    expect(left).toEqual({ floor: `${seqOf(id) + 1}`, events: '0', keys: '0', tickets: '0', full: '0' });
  });
});

describe('anybody else', () => {
  it('may do nothing in the schema', async () => {
    const stranger = await roles.create('stranger');
    const reachable = await database.rows(
      `select 'schema' as kind, nspname::text as name from pg_namespace
        where nspname = 'belfry' and has_schema_privilege($1::name, oid, 'usage, create')
      union all
      select 'relation', relname from pg_class
        where relnamespace = 'belfry'::regnamespace and relkind in ('r', 'p', 'v', 'm')
          and has_table_privilege($1::name, oid, 'select, insert, update, delete, truncate, references, trigger')
      union all
      select 'sequence', relname from pg_class
        where case when relnamespace = 'belfry'::regnamespace and relkind = 'S'
          then has_sequence_privilege($1::name, oid, 'usage, select, update') end
      union all
      select 'function', proname from pg_proc
        where pronamespace = 'belfry'::regnamespace and has_function_privilege($1::name, oid, 'execute')`,
      [stranger],
    );
    expect(reachable).toEqual([]);

    const session = await roles.connect(stranger);
    for (const statement of [
      'select belfry.log_head()',
      'select belfry.extend_log(1, 1)',
      `select belfry.revoke('default', null, 'ada')`,
      'select from belfry.events',
      'select from belfry.api_keys',
      `select belfry.admit_service(current_user)`,
    ]) {
      expect([statement, await refusal(session, statement)]).toEqual([statement, '42501']);
    }
    await session.end();
  });
});

describe('a migration by the owner', () => {
  it('lets the service in again and again, and changes nothing then', async () => {
    const before = await privileges();
    await Promise.all([1, 2, 3].map(() => migrate(roles.urlOf(owner), roles.urlOf(service))));
    expect(await privileges()).toEqual(before);
    const [migrations] = await database.rows<{ names: string; count: string }>(
      'select count(distinct name) as names, count(*) from belfry.migrations',
    );
    expect(migrations!.count).toBe(migrations!.names);
  });

  it('takes nothing from an owner that is the service too', async () => {
    const before = await privileges();
    await migrate(roles.urlOf(owner), roles.urlOf(owner));
    await migrate(roles.urlOf(owner));
    expect(await privileges()).toEqual(before);
  });

  it('asks the session who the service is, and not the URL', async () => {
    const login = await roles.create('login');
    const [quotedLogin, quotedService] = [pg.escapeIdentifier(login), pg.escapeIdentifier(service)];
    await database.rows(`grant ${quotedService} to ${quotedLogin}`);
    await database.rows(
      `alter role ${quotedLogin} in database ${database.name} set role = ${pg.escapeLiteral(service)}`,
    );
    const before = await privileges();
    await migrate(roles.urlOf(owner), roles.urlOf(login));
    expect(await privileges()).toEqual(before);
  });

  async function sentence(url: string, serviceUrl: string): Promise<string> {
    const error: unknown = await migrate(url, serviceUrl).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BootError);
    expect((error as Error).message).toMatch(/^[^\n]+\.$/);
    return (error as Error).message;
  }

  it('that cannot be done says so in a sentence with the name of the variable', async () => {
    const [ownerUrl, serviceUrl] = [roles.urlOf(owner), roles.urlOf(service)];
    const away = (url: string) => Object.assign(new URL(url), { port: '1' }).href;
    const mistaken = (url: string) => Object.assign(new URL(url), { username: 'nobody' }).href;
    for (const url of [away(ownerUrl), mistaken(ownerUrl)]) {
      expect(await sentence(url, serviceUrl)).toMatch(/^The database of MIGRATE_DATABASE_URL cannot be used/);
    }
    for (const url of [away(serviceUrl), mistaken(serviceUrl)]) {
      expect(await sentence(ownerUrl, url)).toMatch(/^The database of DATABASE_URL cannot be used/);
    }
    // The roles in each other's place.
    expect(await sentence(serviceUrl, ownerUrl)).toMatch(/^The role of MIGRATE_DATABASE_URL may not/);
  });

  it('of another database than that of the service is found out', async () => {
    const other = await TestDatabase.create();
    try {
      expect(await sentence(other.url, roles.urlOf(service))).toMatch(
        /^MIGRATE_DATABASE_URL leads to another database than DATABASE_URL/,
      );
      await other.rows('drop schema belfry cascade');
      expect(await sentence(roles.urlOf(owner), roles.urlOf(service, other))).toMatch(
        /^MIGRATE_DATABASE_URL leads to another database than DATABASE_URL/,
      );
    } finally {
      await other.drop();
    }
  });
});

describe('a boot with MIGRATE_DATABASE_URL', () => {
  const started: TestProcess[] = [];
  afterAll(async () => {
    for (const belfry of started) await belfry.end('SIGKILL');
  });

  function boot(env: NodeJS.ProcessEnv): TestProcess {
    const belfry = new TestProcess([resolve('dist/main.js')], {
      PATH: process.env['PATH'],
      PORT: '0',
      HOST: '127.0.0.1',
      JWT_SECRET: SECRET,
      DRAIN_MS: '0',
      DATABASE_URL: roles.urlOf(service),
      ...env,
    });
    started.push(belfry);
    return belfry;
  }

  it('makes the schema as its owner and serves as the other role', async () => {
    await database.rows('drop schema belfry cascade');
    const belfry = boot({ MIGRATE_DATABASE_URL: roles.urlOf(owner) });
    await belfry.prints('listening at ');
    const [url] = /http:\/\/[0-9.:]+/.exec(belfry.output)!;
    const answer = await fetch(`${url}/v1/events`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await tokenFor({ scope: 'publish' })}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ topic: 'all', type: 't' }),
    });
    expect(answer.status).toBe(201);
    const { events } = (await answer.json()) as { events: { id: string }[] };
    expect(seqOf(events[0]!.id)).toBe(1);
    await until('no session but those of the service', async () => {
      const sessions = await database.rows<{ role: string }>(
        `select distinct usename as role from pg_stat_activity
        where datname = current_database() and application_name like 'belfry%'`,
      );
      return sessions.length === 1 && sessions[0]!.role === service;
    });
    const owners = await database.rows<{ role: string }>(
      `select distinct pg_get_userbyid(relowner) as role from pg_class where relnamespace = 'belfry'::regnamespace`,
    );
    expect(owners).toEqual([{ role: owner }]);
    expect(await belfry.end('SIGTERM')).toBe(0);
  });

  it('ends in one line when the owner is not who it should be, or not named', async () => {
    const wrong = boot({ MIGRATE_DATABASE_URL: roles.urlOf(service) });
    const without = boot({});
    expect(await wrong.ended).toBe(1);
    expect(wrong.lines).toEqual([expect.stringMatching(/^The role of MIGRATE_DATABASE_URL may not .+\.$/)]);
    expect(await without.ended).toBe(1);
    expect(without.lines).toEqual([expect.stringMatching(/^The database .+ does not let this user .+\.$/)]);
  });
});

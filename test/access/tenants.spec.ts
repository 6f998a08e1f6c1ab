import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Router } from '../../src/stream/router.js';
import { event, post, postLines } from '../events/posting.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { type Answer, Instance, tokenFor } from '../support/instance.js';
import { SseClient } from '../support/sse.client.js';

/**
 * Two tenants that have everything in common: users, topics, types, keys, dedupeIds, idempotency keys. Only the data of
 * an event says whose it is.
 */
const TENANTS = ['acme', 'globex'] as const;
type Tenant = (typeof TENANTS)[number];

const otherOf = (tenant: Tenant): Tenant => (tenant === 'acme' ? 'globex' : 'acme');

/** What may be asked for, and the topics that it stands for. */
const WANTS = [
  ['what the credential grants', '', /^(?:room:9|user:sam|all)$/],
  ['exact topics', 'topic=room:9&topic=user:sam', /^(?:room:9|user:sam)$/],
  ['a kind', 'topic=room:*', /^room:/],
  ['everything', 'topic=*', /^/],
] as const;
const TOPICS = ['room:9', 'user:sam', 'all', 'room:0', 'room:9'];

let database: TestDatabase;
/** One has all of the log in memory, the other hardly anything. */
let belfry: Instance;
let forgetful: Instance;
/** Sam is a user of both. */
const sam = {} as Record<Tenant, string>;
const boss = {} as Record<Tenant, string>;

beforeAll(async () => {
  database = await TestDatabase.create();
  belfry = await Instance.start(database.url);
  forgetful = await Instance.start(database.url, { RING_EVENTS: '3' });
  for (const tenant of TENANTS) {
    sam[tenant] = await tokenFor({ sub: 'sam', tenant, topics: ['room:9'] });
    boss[tenant] = await tokenFor({ sub: 'boss', tenant, scope: 'publish admin tickets' });
  }
});
afterAll(async () => {
  await Promise.all([belfry.stop(), forgetful.stop()]);
  await database.drop();
});

const seqOf = (cursor: string) => Number(cursor.split('.')[1]);

/** Whoever is granted what a query asks for. */
const readerOf = (tenant: Tenant, query: string) => (query.includes('*') ? boss : sam)[tenant];

interface Published {
  readonly tenant: Tenant;
  readonly topic: string;
  readonly id: string;
}

async function publish(tenant: Tenant, topic: string, more: object = {}): Promise<Published> {
  const answer = await post(belfry, event(topic, tenant, more), { token: boss[tenant] });
  return { tenant, topic, id: idsOf(answer)[0]! };
}

/** The same events for both, one by one in turn. */
async function publishInTurn(more: object = {}): Promise<Published[]> {
  const published: Published[] = [];
  for (const topic of TOPICS) {
    for (const tenant of TENANTS) published.push(await publish(tenant, topic, more));
  }
  return published;
}

/** The ids of a publish that was accepted. */
function idsOf({ status, text, json }: Answer): string[] {
  if (status !== 201) throw new Error(`publish answered ${status}: ${text}`);
  return (json as { events: { id: string }[] }).events.map(({ id }) => id);
}

interface Read {
  readonly ids: unknown[];
  readonly data: unknown[];
  readonly reset: boolean;
}

/** What a stream replays from a cursor up to the head. */
async function replayed(by: Instance, tenant: Tenant, query: string, cursor: string): Promise<Read> {
  const [head] = await database.rows<{ seq: string }>('select belfry.log_head() as seq');
  await by.tail.reaches(Number(head!.seq));
  const client = await by.stream(`?${query}`, {
    token: readerOf(tenant, query),
    headers: { 'last-event-id': cursor },
  });
  await client.isReady();
  client.cut();
  return {
    ids: client.events.map(({ id }) => id),
    data: client.payloads,
    reset: client.controls('reset').length > 0,
  };
}

/** What history answers from a cursor up to the head, page by page. */
async function listed(tenant: Tenant, query: string, after: string): Promise<Read> {
  const ids: unknown[] = [];
  const data: unknown[] = [];
  let reset = false;
  for (let cursor = after, more = true; more;) {
    const answer = await belfry.request('GET', `/v1/events?${query}&after=${cursor}&limit=3`, {
      token: readerOf(tenant, query),
    });
    const page = answer.json as {
      events: { id: string; data: unknown }[];
      cursor: string;
      more: boolean;
      reset?: object;
    };
    for (const read of page.events) {
      ids.push(read.id);
      data.push(read.data);
    }
    reset ||= page.reset !== undefined;
    ({ cursor, more } = page);
  }
  return { ids, data, reset };
}

/** All ways to what was published before. */
const WAYS: readonly (readonly [string, (tenant: Tenant, query: string, cursor: string) => Promise<Read>])[] =
  [
    ['from the ring', (tenant, query, cursor) => replayed(belfry, tenant, query, cursor)],
    ['from Postgres', (tenant, query, cursor) => replayed(forgetful, tenant, query, cursor)],
    ['as history', listed],
  ];

/** Only the one instance still remembers what was published after this cursor. */
async function isForgotten(cursor: string): Promise<void> {
  expect(belfry.tail.ring.start).toBeLessThanOrEqual(seqOf(cursor));
  await until('an instance that has forgotten', () => forgetful.tail.ring.start > seqOf(cursor));
}

describe.each(WANTS)('of %s', (_what, query, wanted) => {
  it('each tenant hears its own as it is published', async () => {
    const clients = new Map<Tenant, SseClient>();
    for (const tenant of TENANTS) {
      const client = await forgetful.stream(`?${query}`, { token: readerOf(tenant, query) });
      clients.set(tenant, await client.isReady());
    }
    const published = [
      ...(await publishInTurn({ key: 'state' })),
      // Behind each event of the one there has to come one of the other.
      await publish('acme', 'room:9'),
    ];
    for (const [tenant, client] of clients) {
      const own = published.filter(({ topic, tenant: of }) => of === tenant && wanted.test(topic));
      await client.hears(own.length);
      expect(client.events.map(({ id }) => id)).toEqual(own.map(({ id }) => id));
      expect(client.payloads).toEqual(own.map(() => tenant));
      client.cut();
    }
  });

  it.each(WAYS)('each gets its own %s, also from a cursor of the other', async (_way, read) => {
    const before = await publish('acme', 'room:9');
    const published = await publishInTurn();
    await isForgotten(before.id);
    for (const tenant of TENANTS) {
      const own = published.filter(({ topic, tenant: of }) => of === tenant && wanted.test(topic));
      expect(await read(tenant, `${query}&collapse=false`, before.id)).toEqual({
        ids: own.map(({ id }) => id),
        data: own.map(() => tenant),
        reset: false,
      });
      // A cursor is a place in the log of all.
      const cursor = published.find(({ tenant: of }) => of === otherOf(tenant))!.id;
      const rest = own.filter(({ id }) => seqOf(id) > seqOf(cursor));
      expect(await read(tenant, `${query}&collapse=false`, cursor)).toEqual({
        ids: rest.map(({ id }) => id),
        data: rest.map(() => tenant),
        reset: false,
      });
    }
  });
});

describe('a key', () => {
  it.each(WAYS)('of one tenant hides no event of the other with the same key, %s', async (_way, read) => {
    const before = await publish('globex', 'room:9');
    await publishInTurn({ key: 'state' });
    const newest = await publishInTurn({ key: 'state' });
    await isForgotten(before.id);
    for (const tenant of TENANTS) {
      // The newer of the two in the same room.
      const own = newest.filter(
        ({ topic, tenant: of }, n) => of === tenant && !(topic === 'room:9' && n < 2),
      );
      expect((await read(tenant, 'topic=*', before.id)).ids).toEqual(own.map(({ id }) => id));
    }
  });
});

describe('a request that waits', () => {
  it('sleeps through what the other tenant publishes', async () => {
    const { id: after } = await publish('acme', 'room:9');
    const waiting = belfry.request('GET', `/v1/events?topic=room:9&after=${after}&wait=30s`, {
      token: sam.globex,
    });
    const routes = belfry.app.get(Router)['routes'];
    await until('a waiting request', () => routes.size === 1);
    await publish('acme', 'room:9');
    expect(routes.size).toBe(1);
    const { id } = await publish('globex', 'room:9');
    expect((await waiting).json).toMatchObject({ events: [{ id, data: 'globex' }], cursor: id });
  });
});

describe('an idempotency key that both use', () => {
  /** @returns each tenant's answer; both come at once, at two instances */
  async function send(
    how: (by: Instance, tenant: Tenant) => Promise<Answer>,
  ): Promise<Record<Tenant, unknown>> {
    const [acme, globex] = await Promise.all([how(belfry, 'acme'), how(forgetful, 'globex')]);
    for (const { status } of [acme, globex]) expect(status).toBe(201);
    return { acme: acme.json, globex: globex.json };
  }

  it.each([
    [
      'for a whole request',
      (by: Instance, tenant: Tenant) =>
        post(by, event('room:9', tenant), { token: boss[tenant], headers: { 'idempotency-key': 'order 7' } }),
    ],
    [
      'as dedupeId',
      (by: Instance, tenant: Tenant) =>
        post(by, event('room:9', tenant, { dedupeId: 'order 7' }), { token: boss[tenant] }),
    ],
  ])('%s stands for two requests, each of which can be repeated', async (_what, how) => {
    const first = (await send(how)) as Record<Tenant, { events: { id: string; duplicate: boolean }[] }>;
    const again = await send(how);
    for (const tenant of TENANTS) {
      const [{ id, duplicate } = { id: '', duplicate: true }] = first[tenant].events;
      expect(duplicate).toBe(false);
      expect(again[tenant]).toEqual({ events: [{ id, duplicate: true }] });
    }
    expect(first.acme.events[0]!.id).not.toBe(first.globex.events[0]!.id);
  });

  it('for lines stands for two uploads', async () => {
    const how = (by: Instance, tenant: Tenant) =>
      postLines(
        by,
        JSON.stringify(event('room:9', `${tenant} line`)),
        { 'idempotency-key': 'job 7' },
        boss[tenant],
      );
    const first = await send(how);
    expect(await send(how)).toEqual(first);
    const { acme, globex } = first as Record<Tenant, { stored: number; last: string }>;
    expect([acme.stored, globex.stored]).toEqual([1, 1]);
    expect(acme.last).not.toBe(globex.last);
  });

  it('is refused with the body of the other, as any body would be', async () => {
    const refused = async (data: string): Promise<unknown> => {
      const answer = await post(belfry, event('room:9', data), {
        token: boss.globex,
        headers: { 'idempotency-key': 'order 7' },
      });
      return withoutInstance(answer);
    };
    expect(await refused('acme')).toMatchObject({ status: 422, code: 'idempotency-mismatch' });
    expect(await refused('acme')).toEqual(await refused('nobody'));
  });
});

/** A problem without what differs from request to request. */
function withoutInstance({ status, json }: Answer): unknown {
  const { instance, ...problem } = json as Record<string, unknown>;
  expect(typeof instance).toBe('string');
  expect(problem['status']).toBe(status);
  return problem;
}

describe('a refusal', () => {
  it.each([
    ['GET', '/v1/stream', undefined],
    ['POST', '/v1/stream', 'topics'],
    ['GET', '/v1/events', undefined],
    ['POST', '/v1/tickets', 'topics'],
  ])(
    'of %s %s says as much of a topic that only the other has as of one that nobody has',
    async (method, path, member) => {
      await publish('acme', 'room:plans');
      await publish('acme', 'plan:1');
      const refusal = async (topic: string): Promise<string> => {
        const answer = await belfry.request(method, member === undefined ? `${path}?topic=${topic}` : path, {
          token: sam.globex,
          ...(member === undefined ? {} : { body: { [member]: [topic] } }),
        });
        expect(answer.json).toMatchObject({ status: 403, code: 'topic-forbidden', topic });
        return JSON.stringify(withoutInstance(answer)).replaceAll(topic, '(topic)');
      };
      expect(await refusal('room:plans')).toBe(await refusal('room:nowhere'));
      expect(await refusal('plan:*')).toBe(await refusal('nowhere:*'));
    },
  );
});

describe('an API key', () => {
  let made: { id: string; key: string };
  beforeAll(async () => {
    const answer = await belfry.request('POST', '/v1/admin/keys', {
      token: boss.acme,
      body: { name: 'acme only', scopes: ['publish', 'admin'] },
    });
    expect(answer.status).toBe(201);
    made = answer.json as { id: string; key: string };
  });

  const unknown = '0'.repeat(12);

  it('of the other tenant cannot be told from one that nobody has', async () => {
    const answers = await Promise.all(
      [made.id, unknown].map(id => belfry.request('DELETE', `/v1/admin/keys/${id}`, { token: boss.globex })),
    );
    const [theirs, none] = answers.map(withoutInstance);
    expect(theirs).toMatchObject({ status: 404, code: 'not-found' });
    expect(theirs).toEqual(none);
    expect([...answers[0]!.headers.keys()]).toEqual([...answers[1]!.headers.keys()]);
  });

  it('of the other tenant cannot be revoked, and is not in the list', async () => {
    const revoke = async (keyId: string): Promise<unknown> =>
      withoutInstance(
        await belfry.request('POST', '/v1/admin/revocations', { token: boss.globex, body: { keyId } }),
      );
    expect(await revoke(made.id)).toMatchObject({ status: 404, code: 'not-found' });
    expect(await revoke(made.id)).toEqual(await revoke(unknown));
    const list = await belfry.request('GET', '/v1/admin/keys', { token: boss.globex });
    expect(list.json).toEqual({ keys: [] });
    expect((await belfry.request('GET', '/v1/admin/keys', { token: made.key })).status).toBe(200);
  });

  it('is made for the tenant of its maker, and for no other', async () => {
    const body = { name: 'x', scopes: ['publish'], tenant: 'acme' };
    const answer = await belfry.request('POST', '/v1/admin/keys', { token: boss.globex, body });
    expect(answer.json).toMatchObject({ status: 403, code: 'tenant-forbidden' });
  });

  it('reads and publishes in its own tenant', async () => {
    const before = await publish('globex', 'room:9');
    const [id] = idsOf(await post(belfry, event('room:9', 'by key'), { token: made.key }));
    expect(await listed('acme', 'topic=*', before.id)).toMatchObject({ ids: [id], data: ['by key'] });
    expect(await listed('globex', 'topic=*', before.id)).toMatchObject({ ids: [] });
  });
});

describe('what is taken back', () => {
  it('from a user of one tenant stays with the user of the same name', async () => {
    const answer = await belfry.request('POST', '/v1/admin/revocations', {
      token: boss.acme,
      body: { sub: 'sam' },
    });
    expect(answer.status).toBe(201);
    const ask = (tenant: Tenant) => belfry.request('GET', '/v1/events?limit=1', { token: sam[tenant] });
    expect((await ask('acme')).json).toMatchObject({ code: 'token-revoked' });
    expect((await ask('globex')).status).toBe(200);
  });
});

describe('a ticket', () => {
  it('opens a stream of the tenant in which it was got, whoever its user is', async () => {
    const tickets = await Promise.all(
      TENANTS.map(tenant =>
        belfry.request('POST', '/v1/tickets', {
          token: boss[tenant],
          body: { sub: 'kim', topics: ['room:9'] },
        }),
      ),
    );
    const before = await publish('globex', 'room:9');
    const published = await publishInTurn();
    for (const [n, tenant] of TENANTS.entries()) {
      const { ticket } = tickets[n]!.json as { ticket: string };
      const url = `${belfry.url}/v1/stream?topic=room:9&lastEventId=${before.id}&ticket=${ticket}`;
      const client = await (await SseClient.open(url, {})).isReady();
      const own = published.filter(({ topic, tenant: of }) => of === tenant && topic === 'room:9');
      expect(client.events.map(({ id }) => id)).toEqual(own.map(({ id }) => id));
      client.cut();
    }
  });
});

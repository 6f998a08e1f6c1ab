import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { Tickets } from '../../src/access/tickets.js';
import { Database } from '../../src/database/database.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { SseClient } from '../support/sse.client.js';
import { TcpProxy } from '../support/tcp.proxy.js';

describe('a ticket', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let other: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    [belfry, other] = await Promise.all([Instance.start(database.url), Instance.start(database.url)]);
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    await Promise.all([belfry.stop(), other.stop()]);
    await database.drop();
  });

  const ask = async (body?: object, token?: string) =>
    belfry.request('POST', '/v1/tickets', {
      token: token ?? (await tokenFor()),
      ...(body === undefined ? {} : { body }),
    });

  async function ticketFor(body?: object, token?: string): Promise<string> {
    const answer = await ask(body, token);
    expect(answer.status).toBe(201);
    return (answer.json as { ticket: string }).ticket;
  }

  const open = (ticket: string, { at = belfry, query = '', headers = {} } = {}) =>
    SseClient.open(`${at.url}/v1/stream?ticket=${ticket}${query}`, headers);

  const madeUp = () => `bt_${randomBytes(32).toString('base64url')}`;

  const spend = (ticket: string, at = belfry): Promise<string> =>
    at.app
      .get(Tickets)
      .spend(ticket)
      .then(
        () => 'spent',
        (error: unknown) => (error as { code: string }).code,
      );

  /** Does some work while what is done with tickets has to wait. @param lock the statement that makes it wait */
  async function holding(lock: string, values: unknown[], work: () => Promise<void>): Promise<void> {
    const holder = await database.pool.connect();
    try {
      await holder.query('begin');
      await holder.query(lock, values);
      await work();
    } finally {
      await holder.query('rollback');
      holder.release();
    }
  }

  const sessionsThatWait = () =>
    database.rows<{ name: string }>(
      `select application_name as name from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%belfry.tickets%'`,
    );

  /** @returns the code of the refusal */
  async function refusal(path: string, headers: Record<string, string> = {}): Promise<unknown> {
    const answer = await belfry.request('GET', path, { headers });
    expect(answer.status).toBe(401);
    return (answer.json as { code: string }).code;
  }

  it('opens one stream, on any instance, for 30 s', async () => {
    const answer = await ask();
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { ticket, expiresAt } = answer.json as { ticket: string; expiresAt: string };
    const [{ now }] = (await database.rows<{ now: Date }>('select clock_timestamp() as now')) as [
      { now: Date },
    ];
    expect(Date.parse(expiresAt) - now.getTime()).toBeGreaterThan(20_000);
    expect(Date.parse(expiresAt) - now.getTime()).toBeLessThanOrEqual(30_000);

    const client = await (await open(ticket, { at: other })).isReady();
    expect(JSON.parse(client.controls('ready')[0]!.data)).toMatchObject({ topics: ['user:alice', 'all'] });
    await belfry.publish({ topic: 'user:alice', type: 'hello' });
    await client.hears(1);
    client.cut();
    expect(await refusal(`/v1/stream?ticket=${ticket}`)).toBe('ticket-spent');
  });

  it('tells an EventSource that comes back with it to get another one', async () => {
    const ticket = await ticketFor();
    const first = await (await open(ticket)).isReady();
    const lastEventId = first.lastEventId!;
    first.cut();
    const again = await open(ticket, { headers: { 'last-event-id': lastEventId } });
    expect(again.status).toBe(200);
    await again.isClosed();
    expect(again.controls('end').map(({ data }) => data)).toEqual(['{"reason":"ticket-spent"}']);
    expect(again.retries[0]).toBeGreaterThanOrEqual(10_000);
    expect(again.controls('ready')).toEqual([]);
    // Its cursor is as good with the next ticket.
    expect(again.lastEventId).toBeUndefined();
    await belfry.publish({ topic: 'all', type: 'missed' });
    const next = await open(await ticketFor(), { headers: { 'last-event-id': lastEventId } });
    await next.hears(1);
    next.cut();
  });

  it('is spent by one of many that try at once, at two instances', async () => {
    for (let round = 0; round < 5; round++) {
      const ticket = await ticketFor();
      const clients = await Promise.all(
        Array.from({ length: 12 }, (_, n) => open(ticket, { at: n % 2 ? belfry : other })),
      );
      expect(clients.map(({ status }) => status).sort()).toEqual([200, ...Array<number>(11).fill(401)]);
      for (const client of clients) client.cut();
    }
  });

  it('is spent by one of those whose turn is the same, and by one instance of those that are shown many', async () => {
    const ticket = await ticketFor();
    const access = jest.spyOn(belfry.app.get(Database), 'access');
    const together = await Promise.all([ticket, madeUp(), ticket, ticket].map(t => spend(t)));
    expect(together).toEqual(['spent', 'ticket-spent', 'ticket-spent', 'ticket-spent']);
    expect(access).toHaveBeenCalledTimes(1);

    const many = await Promise.all(Array.from({ length: 50 }, () => ticketFor()));
    const [here, there] = await Promise.all([
      Promise.all(many.map(t => spend(t))),
      Promise.all(many.toReversed().map(t => spend(t, other))).then(answers => answers.reverse()),
    ]);
    for (const [n, answer] of here.entries()) {
      expect([answer, there[n]].sort()).toEqual(['spent', 'ticket-spent']);
    }
  });

  it('that another instance is spending holds up no other', async () => {
    const [held, free] = [await ticketFor(), await ticketFor()];
    const hash = createHash('sha256').update(held).digest();
    await holding('select from belfry.tickets where hash = $1 for update', [hash], async () => {
      expect(await Promise.all([held, free].map(t => spend(t)))).toEqual(['ticket-spent', 'spent']);
    });
    expect(await spend(held)).toBe('spent');
  });

  it('that is made up shares a few statements with all others, and a good one among them opens its stream', async () => {
    const ticket = await ticketFor();
    const access = jest.spyOn(belfry.app.get(Database), 'access');
    const began = performance.now();
    const shown = Array.from({ length: 501 }, (_, n) => (n === 250 ? ticket : madeUp()));
    const clients = await Promise.all(shown.map(t => open(t)));
    const took = performance.now() - began;
    expect(access.mock.calls.length).toBeLessThanOrEqual(Math.ceil(took / 50) + 1);
    const [good] = clients.splice(250, 1);
    expect(clients.map(({ status }) => status)).toEqual(Array<number>(500).fill(401));
    await good!.isReady();
    good!.cut();
  });

  it('that is made up takes one session, and none of those that streams need', async () => {
    const listener = await (await belfry.stream('?topic=all')).isReady();
    const ticket = await ticketFor();
    let clients: Promise<SseClient[]> | undefined;
    await holding('lock table belfry.tickets', [], async () => {
      clients = Promise.all([...Array.from({ length: 100 }, madeUp), ticket].map(t => open(t)));
      await until('a session waits', async () => (await sessionsThatWait()).length > 0);
      await other.publish({ topic: 'all', type: 'meanwhile' });
      // Long before a statement that waits is given up.
      await until('the event', () => listener.events.length === 1, 10_000);
      expect(await sessionsThatWait()).toEqual([{ name: 'belfry-access' }]);
    });
    const opened = await clients!;
    expect(opened.map(({ status }) => status)).toEqual([...Array<number>(100).fill(401), 200]);
    await opened.at(-1)!.isReady();
    for (const client of [...opened, listener]) client.cut();
  });

  it('that comes when too many are waiting is one to come back with', async () => {
    const ticket = await ticketFor();
    let waiting: Promise<string[]> | undefined;
    await holding('lock table belfry.tickets', [], async () => {
      const first = spend(madeUp());
      await until('a session waits', async () => (await sessionsThatWait()).length > 0);
      waiting = Promise.all([first, ...Array.from({ length: 10_000 }, () => spend(madeUp()))]);
      expect(await spend(ticket)).toBe('rate-limited');
      const client = await open(ticket);
      expect(client.status).toBe(200);
      await client.isClosed();
      expect(client.retries[0]).toBeGreaterThanOrEqual(10_000);
      expect(client.heard).toEqual([]);
    });
    expect(new Set(await waiting)).toEqual(new Set(['ticket-spent']));
    const again = await (await open(ticket)).isReady();
    again.cut();
  });

  it('that meets a limit asks for another one, because it is spent', async () => {
    const full = await Instance.start(database.url, { MAX_CONNECTIONS_PER_USER: '1' });
    const first = await (await open(await ticketFor(), { at: full })).isReady();
    const refused = await open(await ticketFor(), { at: full });
    expect(refused.status).toBe(200);
    await refused.isClosed();
    expect(refused.controls('end').map(({ data }) => data)).toEqual(['{"reason":"ticket-spent"}']);
    first.cut();
    await full.stop();
  });

  it('counts for its user and not for the backend that got it', async () => {
    const limited = await Instance.start(database.url, { USER_REQUESTS_PER_MINUTE: '2' });
    const { key } = (
      await limited.request('POST', '/v1/admin/keys', {
        token: await tokenFor({ sub: 'operator', scope: 'admin' }),
        body: { name: 'minter', scopes: ['tickets'] },
      })
    ).json as { key: string };
    for (const sub of ['u1', 'u2', 'u3', 'u4']) {
      const client = await open(await ticketFor({ sub }, key), { at: limited });
      await client.isReady();
      client.cut();
    }
    await limited.stop();
  });

  it('is no good when its time has passed', async () => {
    const ticket = await ticketFor();
    await database.rows("update belfry.tickets set expires_at = now() - interval '1 ms' where hash = $1", [
      createHash('sha256').update(ticket).digest(),
    ]);
    expect(await refusal(`/v1/stream?ticket=${ticket}`)).toBe('ticket-spent');
  });

  it('is cleared away when nobody came with it', async () => {
    await ticketFor();
    await database.rows("update belfry.tickets set expires_at = now() - interval '1 s'");
    await ticketFor();
    const expired = await database.rows('select from belfry.tickets where expires_at < now()');
    expect(expired).toEqual([]);
  });

  it('grants at most the topics that it was asked for', async () => {
    const token = await tokenFor({ topics: ['room:1', 'room:2', 'doc:*'] });
    const ticket = () => ticketFor({ topics: ['room:1', 'doc:*'] }, token);
    const client = await (await open(await ticket())).isReady();
    expect(JSON.parse(client.controls('ready')[0]!.data)).toMatchObject({ topics: ['room:1'] });
    client.cut();
    const docs = await open(await ticket(), { query: '&topic=doc:7' });
    expect(docs.status).toBe(200);
    docs.cut();
    for (const topic of ['room:2', 'user:alice', '*']) {
      const refused = await open(await ticket(), { query: `&topic=${topic}` });
      expect(refused.status).toBe(403);
    }
    const asked = await ask({ topics: ['room:1', 'room:3'] }, token);
    expect(asked.json).toMatchObject({ status: 403, code: 'topic-forbidden', topic: 'room:3' });
  });

  it('ends its stream when the token that it was got with ends', async () => {
    const exp = Math.floor(Date.now() / 1000) + 2;
    const client = await (await open(await ticketFor({}, await tokenFor({ exp })))).isReady();
    await client.isClosed();
    expect(client.controls('end')[0]?.data).toBe('{"reason":"token-expired"}');
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1000);
  });

  it('ends the stream of a user when its backend said, and not with the token of the backend', async () => {
    const now = Math.floor(Date.now() / 1000);
    const backend = await tokenFor({ scope: 'tickets', exp: now + 3 });
    const [unbounded, bounded] = [{ sub: 'bob' }, { sub: 'bob', exp: now + 4 }];
    const lasting = await (await open(await ticketFor(unbounded, backend))).isReady();
    const client = await (await open(await ticketFor(bounded, backend))).isReady();
    await client.isClosed();
    expect(client.controls('end')[0]?.data).toBe('{"reason":"token-expired"}');
    expect(Date.now()).toBeGreaterThanOrEqual((now + 4) * 1000);
    expect(lasting.closed).toBe(false);
    lasting.cut();
  });

  it('is got by a backend for its users', async () => {
    const backend = await tokenFor({ sub: 'backend', tenant: 'acme', scope: 'tickets' });
    const ticket = await ticketFor({ sub: 'bob', roles: ['sales'], topics: ['room:9'] }, backend);
    const client = await (await open(ticket)).isReady();
    expect(JSON.parse(client.controls('ready')[0]!.data)).toMatchObject({
      topics: ['user:bob', 'all', 'role:sales', 'room:9'],
    });
    await belfry.request('POST', '/v1/events', {
      token: await tokenFor({ tenant: 'acme', scope: 'publish' }),
      body: { topic: 'user:bob', type: 'hello' },
    });
    await client.hears(1);
    client.cut();
  });

  it.each<[string, object, string, string]>([
    ['for another without the scope', { sub: 'bob' }, '', 'scope-missing'],
    ['for oneself by name without the scope', { sub: 'alice' }, 'publish admin', 'scope-missing'],
    ['in another tenant', { sub: 'bob', tenant: 'acme' }, 'tickets', 'body-invalid'],
    ['with a scope', { sub: 'bob', scope: 'admin' }, 'tickets', 'body-invalid'],
    ['for everything', { sub: 'bob', topics: ['*'] }, 'tickets', 'body-invalid'],
    ['that has ended', { sub: 'bob', exp: 1 }, 'tickets', 'body-invalid'],
    ['for no user', { sub: '' }, 'tickets', 'body-invalid'],
    ['for what is no topic', { topics: ['a:b:c'] }, '', 'body-invalid'],
    ["for roles of one's own", { roles: ['admin'] }, '', 'body-invalid'],
    ['with an array', [], '', 'body-invalid'],
    ['for 101 topics', { topics: Array<string>(101).fill('all') }, '', 'topics-too-many'],
    ['for 100,000 of what is no topic', { topics: Array<number>(100_000).fill(7) }, '', 'topics-too-many'],
    [
      'for 100,000 of what is no role',
      { sub: 'bob', roles: Array<number>(100_000).fill(7) },
      'tickets',
      'topics-too-many',
    ],
  ])('is not got %s', async (_what, body, scope, code) => {
    const answer = await ask(body, await tokenFor({ scope }));
    expect(answer.json).toMatchObject({ code });
  });

  it('is no credential but for the GET of a stream', async () => {
    const ticket = await ticketFor();
    expect(await refusal(`/v1/events?ticket=${ticket}`)).toBe('token-missing');
    for (const [method, path] of [
      ['POST', '/v1/stream'],
      ['POST', '/v1/events'],
      ['POST', '/v1/tickets'],
      ['HEAD', '/v1/stream'],
    ] as const) {
      const answer = await belfry.request(method, `${path}?ticket=${ticket}`);
      expect(answer.status).toBe(401);
    }
    const client = await (await open(ticket)).isReady();
    client.cut();
  });

  it('is told from what never was one', async () => {
    const codes = await Promise.all(
      ['x', '', `bt_${'A'.repeat(42)}`, `bt_${'A'.repeat(42)}%00`, 'bt_a&ticket=bt_b'].map(ticket =>
        refusal(`/v1/stream?ticket=${ticket}`, { 'last-event-id': '0' }),
      ),
    );
    expect(new Set(codes)).toEqual(new Set(['ticket-invalid']));
  });

  it('is kept as a hash, and is in no line of the log', async () => {
    const ticket = await ticketFor();
    const rows = await database.rows<{ row: string }>('select t::text as row from belfry.tickets t');
    expect(rows.length).toBeGreaterThan(0);
    expect(JSON.stringify(rows)).not.toContain(ticket.slice(3));
    const client = await (await open(ticket)).isReady();
    client.cut();
    await until('the line of the stream', () =>
      belfry.logs.some(line => JSON.stringify(line).includes('ticket=[redacted]')),
    );
    expect(JSON.stringify(belfry.logs)).not.toContain(ticket);
  });

  it('that cannot be looked for is an answer that an EventSource comes back from', async () => {
    const proxy = await TcpProxy.start(database.url);
    const cut = await Instance.start(proxy.urlOf(database.url));
    try {
      const ticket = await ticketFor();
      proxy.refuse();
      const client = await open(ticket, { at: cut });
      expect(client.status).toBe(200);
      await client.isClosed();
      expect(client.retries[0]).toBeGreaterThanOrEqual(10_000);
      expect(client.heard).toEqual([]);
      const answer = await cut.request('POST', '/v1/tickets', { token: await tokenFor() });
      expect(answer.json).toMatchObject({ status: 503, code: 'database-unavailable' });

      proxy.open();
      await until('the tail is back', () => !cut.tail.isAway);
      await until('it is ready', async () => (await cut.request('GET', '/health/ready')).status === 200);
      const again = await (await open(ticket, { at: cut })).isReady();
      again.cut();
    } finally {
      proxy.open();
      await cut.stop();
      await proxy.stop();
    }
  });
});

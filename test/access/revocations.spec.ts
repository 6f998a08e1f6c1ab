import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { CredentialWatch } from '../../src/access/credential.watch.js';
import { Revocations } from '../../src/access/revocations.js';
import { History } from '../../src/events/history.js';
import type { Subscription } from 'rxjs';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { dataOf, postLines, Upload } from '../events/posting.js';
import { admin, type Answer, type Claims, Instance, tokenFor } from '../support/instance.js';
import { LogLock } from '../support/log.lock.js';
import { SseClient } from '../support/sse.client.js';

const seconds = (): number => Math.floor(Date.now() / 1000);

describe('a revocation', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let other: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    [belfry, other] = await Promise.all([
      Instance.start(database.url),
      Instance.start(database.url, { UPLOAD_IDLE_MS: '0' }),
    ]);
  });
  afterEach(() => {
    jest.useRealTimers();
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    await Promise.all([belfry.stop(), other.stop()]);
    await database.drop();
  });

  const revoke = async (body: object, token?: string): Promise<Answer> =>
    belfry.request('POST', '/v1/admin/revocations', { token: token ?? (await admin()), body });

  /** Of a token that was issued some seconds ago. */
  const issued = (sub: string, ago: number, claims: Claims = {}) =>
    tokenFor({ sub, iat: seconds() - ago, ...claims });

  function watchOver(sub: string, expiresAt: number): CredentialWatch {
    const rights = { scopes: new Set<string>(), topics: [], wildcards: [] };
    const caller = { tenant: 'default', sub, ...rights, issuedAt: Date.now() - 10_000, expiresAt };
    return new CredentialWatch(caller, belfry.app.get(Revocations));
  }

  async function newKey(scope: string, expiresAt?: string): Promise<{ id: string; key: string }> {
    const body = { name: 'desk', scopes: [scope], expiresAt };
    const answer = await belfry.request('POST', '/v1/admin/keys', { token: await admin(), body });
    return answer.json as { id: string; key: string };
  }

  const read = (token: string, at = belfry) => at.request('GET', '/v1/events', { token });

  /** One that a backend gets for a user. */
  const ticket = async (token: string): Promise<string> => {
    const answer = await belfry.request('POST', '/v1/tickets', { token, body: { sub: 'visitor' } });
    return (answer.json as { ticket: string }).ticket;
  };

  const open = (of: string, at = belfry) => SseClient.open(`${at.url}/v1/stream?ticket=${of}`, {});

  it("ends a user's streams on all instances, and no other's", async () => {
    const token = await issued('eve', 10);
    const streams = await Promise.all(
      [belfry, other].flatMap(at => [at.stream('', { token }), at.stream('?topic=all', { token })]),
    );
    const spared = await Promise.all([
      belfry.stream('', { token: await issued('bob', 10) }),
      other.stream('', { token: await issued('eve', 10, { tenant: 'acme' }) }),
    ]);
    await Promise.all([...streams, ...spared].map(client => client.isReady()));

    const began = performance.now();
    const answer = await revoke({ sub: 'eve' });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ tenant: 'default', sub: 'eve' });
    await Promise.all(streams.map(client => client.isClosed()));
    expect(performance.now() - began).toBeLessThan(2_000);
    for (const client of streams) {
      expect(client.controls('end').map(({ data }) => data)).toEqual(['{"reason":"kicked"}']);
    }
    await other.publish({ topic: 'all', type: 'after' });
    await spared[0].hears(1);
    for (const client of spared) {
      expect(client.closed).toBe(false);
      client.cut();
    }
  });

  it('refuses what was issued until then, also when it was found good before, and takes what is issued later', async () => {
    const before = await issued('mallory', 10);
    const undated = await tokenFor({ sub: 'mallory' });
    for (const token of [before, undated]) {
      for (const at of [belfry, other]) expect((await read(token, at)).status).toBe(200);
    }
    expect((await revoke({ sub: 'mallory', tenant: 'default' })).status).toBe(201);
    await until('the other instance knows', async () => (await read(before, other)).status === 401);
    for (const token of [before, undated]) {
      for (const at of [belfry, other]) {
        expect((await read(token, at)).json).toMatchObject({ status: 401, code: 'token-revoked' });
      }
    }
    expect((await read(await issued('mallory', -1))).status).toBe(200);
    expect((await read(await issued('mallory', 10, { tenant: 'acme' }))).status).toBe(200);
    const late = await Instance.start(database.url);
    expect((await read(before, late)).json).toMatchObject({ code: 'token-revoked' });
    await late.stop();
  });

  it('takes a token that was there before it, also of an issuer whose clock is ahead', async () => {
    const token = await issued('augur', -4);
    const client = await (await belfry.stream('', { token })).isReady();
    await revoke({ sub: 'augur' });
    await client.isClosed();
    expect(client.controls('end')[0]?.data).toBe('{"reason":"kicked"}');
    expect((await read(token)).json).toMatchObject({ status: 401, code: 'token-revoked' });
  });

  it('takes the tickets that the user got, too', async () => {
    const token = await issued('trent', 10);
    const { ticket } = (await belfry.request('POST', '/v1/tickets', { token })).json as { ticket: string };
    await revoke({ sub: 'trent' });
    const answer = await belfry.request('GET', `/v1/stream?ticket=${ticket}`);
    expect(answer.json).toMatchObject({ status: 401, code: 'token-revoked' });
  });

  it.each<[string, () => Promise<{ token: string; of: object; later: () => Promise<string> }>]>([
    [
      'a token',
      async () => ({
        token: await issued('desk', 10, { scope: 'tickets' }),
        of: { sub: 'desk' },
        later: () => issued('desk', -1, { scope: 'tickets' }),
      }),
    ],
    [
      'a token that does not say when it was issued',
      async () => ({
        token: await tokenFor({ sub: 'gate', scope: 'tickets' }),
        of: { sub: 'gate' },
        later: () => issued('gate', -1, { scope: 'tickets' }),
      }),
    ],
    [
      'an API key',
      async () => {
        const { id, key } = await newKey('tickets');
        return { token: key, of: { keyId: id }, later: async () => (await newKey('tickets')).key };
      },
    ],
  ])(
    'of a backend with %s takes the tickets that it got for users, and their streams',
    async (_what, its) => {
      const { token, of, later } = await its();
      const [here, there, unspent] = [await ticket(token), await ticket(token), await ticket(token)];
      const streams = await Promise.all([open(here), open(there, other)]);
      const spared = await open(await ticket(await issued('another', 10, { scope: 'tickets' })));
      await Promise.all([...streams, spared].map(client => client.isReady()));

      const began = performance.now();
      expect((await revoke(of)).status).toBe(201);
      await Promise.all(streams.map(client => client.isClosed()));
      expect(performance.now() - began).toBeLessThan(2_000);
      for (const client of streams) {
        expect(client.controls('end').map(({ data }) => data)).toEqual(['{"reason":"kicked"}']);
      }
      const answer = await belfry.request('GET', `/v1/stream?ticket=${unspent}`);
      const code = 'keyId' in of ? 'key-revoked' : 'token-revoked';
      expect(answer.json).toMatchObject({ status: 401, code });
      const next = await (await open(await ticket(await later()))).isReady();
      expect(spared.closed).toBe(false);
      for (const client of [next, spared]) client.cut();
    },
  );

  it('finds users with the names of keys', async () => {
    for (const sub of ['bk_', 'bk_abcdefghijkl']) {
      const token = await issued(sub, 10);
      await revoke({ sub });
      expect((await read(token)).json).toMatchObject({ status: 401, code: 'token-revoked' });
    }
  });

  it('ends a read that waits', async () => {
    const token = await issued('walter', 10);
    const head = (await read(token)).json as { cursor: string };
    const waiting = belfry.request('GET', `/v1/events?after=${head.cursor}&wait=60s`, { token });
    const { waiting: those } = belfry.app.get<object, { waiting: ReadonlyMap<unknown, unknown> }>(History);
    await until('the request waits', () => those.size === 1);
    await revoke({ sub: 'walter' });
    expect((await waiting).json).toMatchObject({ status: 401, code: 'token-revoked' });
  });

  it('ends an upload that began before it', async () => {
    const token = await issued('olivia', 10, { scope: 'publish' });
    const upload = await Upload.start(belfry, { authorization: `Bearer ${token}` });
    await upload.write('{"topic":"up:1","type":"before"}\n');
    await until('the first line is stored', async () => {
      const page = await belfry.request('GET', '/v1/events?topic=up:1', { token: await admin() });
      return (page.json as { events: unknown[] }).events.length === 1;
    });
    await revoke({ sub: 'olivia' });
    await upload.write('{"topic":"up:1","type":"after"}\n');
    upload.end();
    const answer = await upload.answer();
    expect(answer.json).toMatchObject({ status: 401, code: 'token-revoked', stored: 1 });
  });

  it.each([
    ['of a user', 'here', 'token-revoked'],
    ['of a user', 'elsewhere', 'token-revoked'],
    ['of a key', 'here', 'key-revoked'],
    ['of a key', 'elsewhere', 'key-revoked'],
  ])(
    'ends an upload %s %s that sends nothing, at once, and takes what still comes',
    async (who, where, code) => {
      const at = where === 'here' ? belfry : other;
      const sub = `quiet-${where}`;
      const { id: keyId, key } = await newKey('publish');
      const token = who === 'of a key' ? key : await issued(sub, 10, { scope: 'publish' });
      const topic = `quiet:${code}-${where}`;
      const line = (data: unknown) => `${JSON.stringify({ topic, type: 'a', data })}\n`;
      const live = await (await at.stream(`?topic=${topic}`)).isReady();
      const upload = await Upload.start(at, { authorization: `Bearer ${token}` });
      await upload.write(`${line(1)}{"topic":`);
      await live.hears(1);
      await revoke(who === 'of a key' ? { keyId } : { sub });
      expect(await upload.answer()).toMatchObject({
        status: 401,
        json: { code, stored: 1, last: live.events[0]!.id },
      });
      // A client may read the answer only once it has sent all.
      await upload.write(line('late').repeat(200_000));
      upload.end();
      await until('all of the upload to be taken', () => upload.isSent);
      expect(await dataOf(database, topic)).toEqual(['1']);
      upload.cut();
      live.cut();
    },
  );

  it('lets an upload end that has come whole by then', async () => {
    const token = await issued('rupert', 10, { scope: 'publish' });
    const lock = await LogLock.hold(database.url);
    const answer = postLines(belfry, '{"topic":"whole:1","type":"a"}\n', {}, token);
    await lock.isAwaited({ count: 1 });
    await revoke({ sub: 'rupert' });
    await lock.release();
    expect(await answer).toMatchObject({ status: 201, json: { stored: 1 } });
  });

  it('ends an upload that is being stored when it comes, and sends nothing after that', async () => {
    const token = await issued('romeo', 10, { scope: 'publish' });
    const lock = await LogLock.hold(database.url);
    const upload = await Upload.start(belfry, { authorization: `Bearer ${token}` });
    await upload.write('{"topic":"stored:1","type":"a"}\n');
    await lock.isAwaited({ count: 1 });
    await revoke({ sub: 'romeo' });
    await lock.release();
    expect(await upload.answer()).toMatchObject({ status: 401, json: { code: 'token-revoked', stored: 1 } });
    upload.cut();
  });

  it('ends an upload also when it comes while that is being let in', async () => {
    await revoke({ sub: 'sybil' });
    const watch = watchOver('sybil', Infinity);
    expect(watch.over.reason).toMatchObject({ code: 'token-revoked' });
    watch.stop();
  });

  it('is found without a bell', async () => {
    const token = await issued('peggy', 10);
    const client = await (await other.stream('', { token })).isReady();
    await database.rows(
      "insert into belfry.revocations (tenant, sub, revoked_at) values ('default', 'peggy', clock_timestamp())",
    );
    await client.isClosed();
    expect(client.controls('end')[0]?.data).toBe('{"reason":"kicked"}');
  });

  it.each(['token', 'key'])(
    'is not needed where the %s of a silent upload expires: that ends it too',
    async what => {
      const expiresAt = (seconds() + 2) * 1000;
      const { key } = await newKey('publish', new Date(expiresAt).toISOString());
      const token = what === 'key' ? key : await tokenFor({ scope: 'publish', exp: expiresAt / 1000 });
      const upload = await Upload.start(belfry, { authorization: `Bearer ${token}` });
      await upload.write(`{"topic":"expires:${what}","type":"a"}\n`);
      expect(await upload.answer()).toMatchObject({
        status: 401,
        json: { code: `${what}-expired`, stored: 1 },
      });
      expect(Date.now()).toBeGreaterThanOrEqual(expiresAt);
      upload.cut();
    },
  );

  it('is not needed either where a credential lasts longer than a timer can: it ends no upload before that', () => {
    jest.useFakeTimers();
    const DAY_MS = 86_400_000;
    const began = Date.now();
    const watch = watchOver('methuselah', began + 100 * DAY_MS + 0.5);
    jest.advanceTimersToNextTimer();
    expect(Date.now() - began).toBe(2 ** 31 - 1);
    jest.advanceTimersByTime(began + 100 * DAY_MS - Date.now());
    expect(watch.over.aborted).toBe(false);
    jest.advanceTimersByTime(1);
    expect(watch.over.reason).toMatchObject({ code: 'token-expired' });
    watch.stop();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('leaves nothing of the wait for it behind, however an upload ends', async () => {
    const idle = await Instance.start(database.url, { UPLOAD_IDLE_MS: '100' });
    const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length;
    const before = timers();
    const listening = [belfry, idle].map(at => jest.spyOn(at.app.get(Revocations).heard, 'subscribe'));
    const watched = () => listening.flatMap(({ mock }) => mock.results);
    const ROUNDS = 10;
    for (let round = 0; round < ROUNDS; round++) {
      const line = '{"topic":"ways:1","type":"a"}\n';
      const { id: keyId, key } = await newKey('publish');
      const begin = async (at: Instance) => {
        const { length } = watched();
        const upload = await Upload.start(at, { authorization: `Bearer ${key}` });
        await until('the upload is there', () => watched().length > length);
        return upload;
      };
      expect((await postLines(belfry, line, {}, key)).status).toBe(201);
      expect((await postLines(belfry, '{broken}', {}, key)).status).toBe(400);
      (await begin(belfry)).cut();
      const silent = await begin(idle);
      expect((await silent.answer()).status).toBe(408);
      silent.cut();
      const revoked = await begin(belfry);
      await revoke({ keyId });
      expect((await revoked.answer()).status).toBe(401);
      revoked.cut();
    }
    const subscriptions = watched().map(({ value }) => value as Subscription);
    expect(subscriptions).toHaveLength(5 * ROUNDS);
    await until('nobody listens', () => subscriptions.every(({ closed }) => closed));
    await until('the timers are gone', () => timers() <= before + 5);
    await idle.stop();
  });

  it('of the same user again replaces the one before', async () => {
    await revoke({ sub: 'victor' });
    await revoke({ sub: 'victor' });
    const rows = await database.rows("select from belfry.revocations where sub = 'victor'");
    expect(rows).toHaveLength(1);
  });

  it.each<[string, object, Claims, number, string]>([
    ['without the scope', { sub: 'x' }, { scope: 'publish tickets' }, 403, 'scope-missing'],
    ['in another tenant', { sub: 'x', tenant: 'acme' }, { scope: 'admin' }, 403, 'tenant-forbidden'],
    ['of an unknown key', { keyId: 'nobody' }, { scope: 'admin' }, 404, 'not-found'],
    ['of both', { sub: 'x', keyId: 'y' }, { scope: 'admin' }, 400, 'body-invalid'],
    ['of nothing', {}, { scope: 'admin' }, 400, 'body-invalid'],
    ['of what is no name', { sub: 7 }, { scope: 'admin' }, 400, 'body-invalid'],
  ])('is refused %s', async (_what, body, claims, status, code) => {
    expect((await revoke(body, await tokenFor(claims))).json).toMatchObject({ status, code });
  });
});

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, Instance, tokenFor } from '../support/instance.js';
import { TcpProxy } from '../support/tcp.proxy.js';

const KEYS = '/v1/admin/keys';
const EVENT = { topic: 'user:42', type: 'a', data: 1 };

let database: TestDatabase;
let proxy: TcpProxy;
let belfry: Instance;

beforeAll(async () => {
  database = await TestDatabase.create();
  proxy = await TcpProxy.start(database.url);
  belfry = await Instance.start(proxy.urlOf(database.url), { PUBLISH_TIMEOUT_MS: '300' });
});
afterAll(async () => {
  await belfry.stop();
  await proxy.stop();
  await database.drop();
});
afterEach(() => {
  proxy.open();
});

async function create(body: unknown, token?: string): Promise<Answer> {
  return belfry.request('POST', KEYS, { token: token ?? (await admin('acme')), body });
}

async function created(body: object = {}): Promise<{ id: string; key: string }> {
  const answer = await create({ name: 'billing', scopes: ['publish'], ...body });
  expect(answer.status).toBe(201);
  return answer.json as { id: string; key: string };
}

async function listed(token?: string): Promise<Record<string, unknown>[]> {
  const answer = await belfry.request('GET', KEYS, { token: token ?? (await admin('acme')) });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  return (answer.json as { keys: Record<string, unknown>[] }).keys;
}

const revoke = async (id: string, token?: string) =>
  belfry.request('DELETE', `${KEYS}/${id}`, { token: token ?? (await admin('acme')) });

const publish = (token: string) => belfry.request('POST', '/v1/events', { token, body: EVENT });

const detailOf = (answer: Answer) => (answer.json as { detail: string }).detail;

function expectProblem(answer: Answer, status: number, code: string): void {
  expect([answer.status, answer.json]).toEqual([status, expect.objectContaining({ status, code })]);
}

describe('an administrator', () => {
  it('makes a key, is told it once, and a backend publishes with it into that tenant', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const answer = await create({ name: 'billing', scopes: ['publish', 'tickets'], expiresAt });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { id, key } = answer.json as { id: string; key: string };
    expect(answer.json).toEqual({
      id: expect.stringMatching(/^[a-z0-9]{12}$/),
      key: expect.stringMatching(new RegExp(`^bk_${id}_[A-Za-z0-9]{43}$`)),
      tenant: 'acme',
      name: 'billing',
      scopes: ['publish', 'tickets'],
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      expiresAt,
    });
    expect((await publish(key)).status).toBe(201);
    expect(await database.rows('select distinct tenant from belfry.events')).toEqual([{ tenant: 'acme' }]);
  });

  it('sees the keys of the tenant with all but the keys themselves, and nobody else does', async () => {
    const { id, key } = await created({ name: 'seen' });
    const [first] = await listed();
    expect(first).toEqual({
      id,
      name: 'seen',
      tenant: 'acme',
      scopes: ['publish'],
      createdAt: expect.any(String),
      expiresAt: null,
      revokedAt: null,
      lastUsedAt: null,
    });
    expect(JSON.stringify(await listed())).not.toContain(key.slice(-43));
    expect(await listed(await admin('empty'))).toEqual([]);
  });

  it('sees when a key was last used', async () => {
    const { id, key } = await created();
    await publish(key);
    await until('a last use in the list', async () => {
      const used = (await listed()).find(listedKey => listedKey['id'] === id)?.['lastUsedAt'];
      return typeof used === 'string';
    });
  });

  it('sees that a key was used, also by an instance that was shut down right after that', async () => {
    const { id, key } = await created();
    const leaving = await Instance.start(database.url, { DRAIN_MS: '0' });
    const answer = await leaving.request('POST', '/v1/events', { token: key, body: EVENT });
    expect(answer.status).toBe(201);
    await leaving.stop();
    const used = (await listed()).find(one => one['id'] === id);
    expect(used).toMatchObject({ lastUsedAt: expect.any(String) });
  });

  it('revokes a key, with an empty answer, as often as asked; then it is not taken any more', async () => {
    const { id, key } = await created();
    expect((await publish(key)).status).toBe(201);
    const answer = await revoke(id);
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expectProblem(await publish(key), 401, 'key-revoked');
    expect((await listed())[0]).toMatchObject({ id, revokedAt: expect.any(String) });
    expect((await revoke(id)).status).toBe(204);
  });

  it('is told the same of a key of another tenant as of one that does not exist', async () => {
    const { id, key } = await created();
    const answers = [];
    for (const [name, token] of [
      [id, await admin('other')],
      ['000000000000', undefined],
      ['nonsense', undefined],
      [key, undefined],
    ] as const) {
      answers.push(await revoke(name, token));
    }
    for (const answer of answers) {
      expectProblem(answer, 404, 'not-found');
      expect(detailOf(answer)).toBe(detailOf(answers[0]!));
    }
    expect((await publish(key)).status).toBe(201);
  });

  it('makes nothing for another tenant, and may name the own one', async () => {
    expectProblem(await create({ name: 'x', scopes: ['publish'], tenant: 'other' }), 403, 'tenant-forbidden');
    expect((await create({ name: 'x', scopes: ['publish'], tenant: 'acme' })).status).toBe(201);
    expect(await listed(await admin('other'))).toEqual([]);
  });

  it('may be a key itself', async () => {
    const { key } = await created({ scopes: ['admin'] });
    const answer = await create({ name: 'made by a key', scopes: ['publish'] }, key);
    expect(answer.json).toMatchObject({ tenant: 'acme', name: 'made by a key' });
    expect((await listed(key))[0]).toMatchObject({ name: 'made by a key' });
  });

  it.each([
    ['POST', KEYS],
    ['GET', KEYS],
    ['DELETE', `${KEYS}/000000000000`],
  ])('needs the scope admin for %s', async (method, path) => {
    const body = method === 'POST' ? { name: 'x', scopes: ['publish'] } : undefined;
    const token = await tokenFor({ scope: 'publish inbox jobs tickets' });
    expectProblem(await belfry.request(method, path, { token, body }), 403, 'scope-missing');
    expectProblem(await belfry.request(method, path, { body }), 401, 'token-missing');
    const { key } = await created();
    expectProblem(await belfry.request(method, path, { token: key, body }), 403, 'scope-missing');
  });
});

describe('the request for a key', () => {
  it.each([
    ['a name of 100 characters', { name: 'ü'.repeat(99) + '🔔' }],
    ['scopes as in a JWT', { scopes: 'publish jobs' }],
    ['a scope twice', { scopes: ['publish', 'jobs', 'publish'] }],
    ['no expiry', { expiresAt: null }],
    ['an expiry in another zone', { expiresAt: '2999-01-01T00:00:00+02:00' }],
  ])('may have %s', async (_what, body) => {
    const answer = await create({ name: 'x', scopes: ['publish', 'jobs'], ...body });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ scopes: ['publish', 'jobs'] });
  });

  it.each([
    ['no name', { name: undefined }, '"name" must be 1 to 100 characters'],
    ['an empty name', { name: '' }, '"name"'],
    ['a blank name', { name: ' ' }, '"name"'],
    ['a long name', { name: 'x'.repeat(101) }, '"name"'],
    ['a name with a line break', { name: 'a\nb' }, '"name"'],
    ['a name with a control of the terminal', { name: 'a\u009bb' }, '"name"'],
    ['half a character', { name: '\ud83d' }, '"name"'],
    ['no scopes', { scopes: undefined }, '"scopes" must be one or more of publish, inbox'],
    ['an empty list of scopes', { scopes: [] }, '"scopes"'],
    ['an empty string of scopes', { scopes: ' ' }, '"scopes"'],
    ['an unknown scope', { scopes: ['publish', 'root'] }, '"scopes'],
    [
      'a time that has passed',
      { expiresAt: '2020-01-01T00:00:00Z' },
      '"expiresAt" must be a date and time to come',
    ],
    ['a date without a time', { expiresAt: '2999-01-01' }, '"expiresAt"'],
    ['a time without a zone', { expiresAt: '2999-01-01T00:00:00' }, '"expiresAt"'],
    ['a day that is none', { expiresAt: '2999-02-30T00:00:00Z' }, '"expiresAt"'],
    ['a number as expiry', { expiresAt: 4_000_000_000 }, '"expiresAt"'],
    ['a tenant that is no string', { tenant: 7 }, '"tenant"'],
    ['a member that is none', { scope: 'publish' }, '"scopes"'],
  ])('with %s is refused, and says why', async (_what, body, named) => {
    const answer = await create({ name: 'x', scopes: ['publish'], ...body });
    expectProblem(answer, 400, 'body-invalid');
    expect(detailOf(answer)).toContain(named);
    expect(detailOf(answer)).toMatch(/^["A-Z].*\.$/);
  });

  it('has to be there, and to be JSON', async () => {
    const token = await admin('acme');
    expectProblem(await belfry.request('POST', KEYS, { token }), 400, 'body-invalid');
    expectProblem(await create([]), 400, 'body-invalid');
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const form = await belfry.request('POST', KEYS, { token, headers, body: 'name=x&scopes=publish' });
    expectProblem(form, 415, 'media-type-unsupported');
  });
});

describe('without a database', () => {
  it('each is refused as unavailable, but a bad request is told what is wrong', async () => {
    const token = await admin('acme');
    proxy.refuse();
    for (const answer of [
      await create({ name: 'x', scopes: ['publish'] }, token),
      await belfry.request('GET', KEYS, { token }),
      await revoke('000000000000', token),
      await publish(`bk_000000000000_${'s'.repeat(43)}`),
    ]) {
      expectProblem(answer, 503, 'database-unavailable');
      expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    }
    expectProblem(await create({ name: 'x' }, token), 400, 'body-invalid');
    proxy.open();
    await until('a list', async () => (await belfry.request('GET', KEYS, { token })).status === 200);
  });
});

describe('the documentation', () => {
  it('has the three routes, with the body of the request', async () => {
    const answer = await belfry.request('GET', '/openapi.json');
    const { paths } = answer.json as { paths: Record<string, Record<string, { requestBody?: unknown }>> };
    expect(Object.keys(paths[KEYS]!).sort()).toEqual(['get', 'post']);
    expect(Object.keys(paths[`${KEYS}/{id}`]!)).toEqual(['delete']);
    expect(JSON.stringify(paths[KEYS]!['post']!.requestBody)).toContain(
      '"publish","inbox","jobs","tickets","admin"',
    );
  });
});

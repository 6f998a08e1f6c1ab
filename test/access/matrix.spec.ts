import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AddressInfo } from 'node:net';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/config.js';
import { CATALOGUE, type ProblemCode } from '../../src/errors/catalogue.js';
import { TestDatabase } from '../support/databases.js';
import { SECRET } from '../support/instance.js';
import { SseClient } from '../support/sse.client.js';
import { Credentials, type Sent } from './credentials.js';
import { routesOf } from './routes.js';

type Scope = 'publish' | 'inbox' | 'jobs' | 'tickets' | 'admin';

/**
 * Every route: who may, what they are answered, what they send, and what is different for whoever may the same in another
 * tenant. A path may name the key that there is for it.
 */
const ROUTES: Readonly<Record<string, Rule>> = {
  'GET /health/live': ['anybody', 200],
  'GET /health/ready': ['anybody', 200],
  'GET /metrics': ['anybody', 200],
  'GET /docs': ['anybody', 200],
  'GET /docs/': ['anybody', 200],
  'GET /docs/index.html': ['anybody', 200],
  'GET /docs/swagger-ui-init.js': ['anybody', 200],
  'GET /docs/docs/swagger-ui-init.js': ['anybody', 200],
  'GET /docs/LICENSE': ['anybody', 404],
  'USE /docs': ['anybody', 200],
  'GET /openapi.json': ['anybody', 200],
  'GET /v1/stream': ['any user', 200],
  'POST /v1/stream': ['any user', 200, { topics: ['all'] }],
  'GET /v1/events': ['any user', 200],
  'POST /v1/events': ['publish', 201, { topic: 'all', type: 'a' }],
  'POST /v1/tickets': ['any user', 201, { topics: ['all'] }],
  'GET /v1/inbox': ['who has an inbox', 200],
  'GET /v1/inbox/counts': ['who has an inbox', 200],
  'GET /v1/inbox/preferences': ['who has an inbox', 200],
  'PUT /v1/inbox/preferences': ['who has an inbox', 200, { muted: [] }],
  'POST /v1/inbox/mark': ['who has an inbox', 200, { seen: true }],
  'PATCH /v1/inbox/:id': ['who has an inbox', 'notification-unknown', { seen: true }],
  'POST /v1/notifications': ['inbox', 201, { to: 'all', type: 'a', title: 'a' }],
  'DELETE /v1/notifications/:id': ['inbox', 'notification-unknown'],
  'GET /v1/admin/keys': ['admin', 200],
  'POST /v1/admin/keys': ['admin', 201, { name: 'a key', scopes: ['publish'] }],
  'DELETE /v1/admin/keys/:id': ['admin', 204, undefined, 'not-found'],
  'POST /v1/admin/revocations': ['admin', 201, { sub: 'nobody' }],
};
type Rule = readonly [
  who: 'anybody' | 'any user' | 'who has an inbox' | Scope,
  answer: number | ProblemCode,
  body?: object | undefined,
  elsewhere?: ProblemCode,
];

/** The only one that takes tickets: to all others a ticket is nothing. */
const TICKET_ROUTE = 'GET /v1/stream';

const ALL: readonly Scope[] = ['publish', 'inbox', 'jobs', 'tickets', 'admin'];
const FULL = { scope: ALL.join(' ') };
const PAST = { exp: 1_700_000_000 };
const THERE = { ...FULL, tenant: 'elsewhere' };
const ZEROS = '0'.repeat(43);

/** Every credential, and what it is worth: the code of its refusal, or its scopes. */
const CREDENTIALS: readonly Credential[] = [
  ['nothing', () => ({}), 'token-missing'],
  ['another scheme', () => ({ headers: { authorization: 'Basic YTpi' } }), 'token-missing'],
  ['garbage', bearer('nonsense'), 'token-invalid'],
  ['garbage in three parts', bearer('a.b.c'), 'token-invalid'],

  ['an expired token', token({ ...FULL, ...PAST }), 'token-expired'],
  ['an expired token of the issuer', issued({ ...FULL, ...PAST }), 'token-expired'],
  ['a token of another secret', token(FULL, { secret: `${SECRET}.` }), 'token-invalid'],
  ['a token of another algorithm', token(FULL, { secret: SECRET.repeat(2), alg: 'HS512' }), 'token-invalid'],
  ["a token of a stranger's key", issued(FULL, { byStranger: true }), 'token-invalid'],
  ['a token of a key that is not there', issued(FULL, { kid: 'second' }), 'token-invalid'],
  ['a token without a signature', bearer(c => c.unsigned(FULL)), 'token-invalid'],
  ['a token signed with the public key', bearer(c => c.mixedUp(FULL)), 'token-invalid'],
  ['a token of another issuer', token({ ...FULL, iss: 'https://else.example' }), 'token-invalid'],
  ['a token of no issuer', token({ ...FULL, iss: undefined }), 'token-invalid'],
  ['a token for another audience', token({ ...FULL, aud: 'else' }), 'token-invalid'],
  ['a token for no audience', issued({ ...FULL, aud: undefined }), 'token-invalid'],
  ['a token of nobody', token({ ...FULL, sub: undefined }), 'token-claims'],
  ['a token without an end', token({ ...FULL, exp: undefined }), 'token-claims'],
  ['a revoked token', bearer(c => c.revokedToken(FULL)), 'token-revoked'],

  ['what begins like a key', bearer('bk_nonsense'), 'key-invalid'],
  ['a key that nobody has', bearer(`bk_000000000000_${ZEROS}`), 'key-invalid'],
  ['the id of a key with the secret of another', bearer(c => c.mixedKey(ALL)), 'key-invalid'],
  ['a revoked key', bearer(c => c.revokedKey(ALL)), 'key-revoked'],
  ['an expired key', bearer(c => c.expiredKey(ALL)), 'key-expired'],

  ['a garbage ticket', ticket('nonsense'), 'ticket-invalid'],
  ['a ticket that nobody was given', ticket(`bt_${ZEROS}`), 'ticket-spent'],
  ['a spent ticket', ticket(c => c.spentTicket()), 'ticket-spent'],
  ['a right ticket', ticket(c => c.ticket()), []],

  ["a user's token", token({}), []],
  ["a user's token of the issuer", issued({}), []],
  ['a token with other scopes', token({ scope: 'inbox jobs tickets' }), ['inbox', 'jobs', 'tickets']],
  ['a token with what only looks like scopes', token({ scope: 'Admin publish,admin' }), []],
  ['a key with other scopes', key(['inbox', 'jobs']), ['inbox', 'jobs']],

  ['a right token', token(FULL), ALL],
  ['a right token of the issuer', issued(FULL), ALL],
  ['a right key', key(ALL), ALL],
  ['a right token beside a garbage ticket', both(token(FULL), ticket('nonsense')), ALL],
  ['a garbage token beside a right cookie', both(cookie({}), bearer('nonsense')), 'token-invalid'],
  ['a right cookie, from a page of its own', cookie({ 'sec-fetch-site': 'same-origin' }), ALL],
  ['a right cookie, from elsewhere', cookie({ origin: 'https://else.example' }), ALL, 'origin-forbidden'],
  ['a right token of another tenant', token(THERE), 'elsewhere'],
  ['a right key of another tenant', key(ALL, 'elsewhere'), 'elsewhere'],
];
type Credential = readonly [
  what: string,
  make: Make,
  worth: ProblemCode | readonly Scope[] | 'elsewhere',
  /** How it is refused where something is changed. */
  writes?: ProblemCode,
];
type Make = (credentials: Credentials) => Sent | Promise<Sent>;
type Text = string | ((credentials: Credentials) => string | Promise<string>);

function bearer(text: Text): Make {
  return async c => ({ headers: { authorization: `Bearer ${await textOf(text, c)}` } });
}

function token(...given: Parameters<Credentials['token']>): Make {
  return bearer(c => c.token(...given));
}

function issued(...given: Parameters<Credentials['issued']>): Make {
  return bearer(c => c.issued(...given));
}

function key(...given: Parameters<Credentials['key']>): Make {
  return bearer(async c => (await c.key(...given)).key);
}

function ticket(text: Text): Make {
  return async c => ({ ticket: await textOf(text, c) });
}

function cookie(headers: Record<string, string>): Make {
  return async c => ({ headers: { cookie: `belfry_token=${await c.token(FULL)}`, ...headers } });
}

function both(one: Make, other: Make): Make {
  return async c => {
    const [{ headers, ...rest }, more] = [await one(c), await other(c)];
    return { ...rest, ...more, headers: { ...headers, ...more.headers } };
  };
}

function textOf(text: Text, credentials: Credentials): string | Promise<string> {
  return typeof text === 'string' ? text : text(credentials);
}

type Answered = readonly [status: number, code?: string];

/** What the two tables say. */
function expected(method: string, route: string, [what, , worth, writes]: Credential, sent: Sent): Answered {
  const [who, answer, , elsewhere] = ROUTES[route]!;
  const answered: Answered = typeof answer === 'number' ? [answer] : refused(answer);
  if (who === 'anybody') return answer === 404 ? refused('not-found') : answered;
  if (sent.headers === undefined && !(method === 'GET' && route === TICKET_ROUTE))
    return refused('token-missing');
  if (writes !== undefined && method !== 'GET' && method !== 'HEAD') return refused(writes);
  const isGood = worth === 'elsewhere' || typeof worth !== 'string';
  if (isGood && who === 'who has an inbox') return / key\b/.test(what) ? refused('inbox-missing') : answered;
  if (worth === 'elsewhere') return elsewhere === undefined ? answered : refused(elsewhere);
  if (typeof worth === 'string') return refused(worth);
  return who === 'any user' || worth.includes(who as Scope) ? answered : refused('scope-missing');
}

function refused(code: ProblemCode): Answered {
  return [CATALOGUE[code].status, code];
}

let database: TestDatabase;
let credentials: Credentials;
/** A key of the default tenant, for routes that name one. */
let keyId: string;

beforeAll(async () => {
  database = await TestDatabase.create();
  credentials = await Credentials.start(database);
  ({ id: keyId } = await credentials.key(['publish']));
});
afterAll(async () => {
  await credentials.stop();
  await database.drop();
});

/** Of a stream that is ready, only the status; of an error also its code. */
async function ask(
  method: string,
  path: string,
  { headers, ticket }: Sent,
  body?: object,
): Promise<Answered> {
  const query = ticket === undefined ? '' : `?ticket=${ticket}`;
  const url = `${credentials.belfry.url}${path.replace(':id', keyId)}${query}`;
  const json = body === undefined ? {} : { 'content-type': 'application/json' };
  const client = await SseClient.open(
    url,
    { ...headers, ...json },
    { method, body: body === undefined ? '' : JSON.stringify(body) },
  );
  const type = client.headers['content-type'] ?? '';
  if (type.startsWith('text/event-stream') && method !== 'HEAD') {
    await client.isReady();
    client.cut();
  }
  await client.isClosed();
  if (!type.startsWith('application/problem+json') || method === 'HEAD') return [client.status];
  const { status, code } = JSON.parse(client.raw) as { status: number; code: string };
  expect(status).toBe(client.status);
  return [status, code];
}

it('is told of all routes', () => {
  expect(routesOf(credentials.belfry.app)).toEqual(Object.keys(ROUTES).sort());
});

describe.each(Object.entries(ROUTES))('%s', (route, [who, , body]) => {
  const [method = '', path = ''] = route.replace('USE', 'GET').split(' ');

  it.each(CREDENTIALS)('with %s', async (...credential) => {
    const sent = await credential[1](credentials);
    // First, because it takes no ticket and so must not spend it.
    if (method === 'GET') {
      const [status] = expected('HEAD', route, credential, sent);
      expect(await ask('HEAD', path, sent)).toEqual([status]);
    }
    expect(await ask(method, path, sent, body)).toEqual(expected(method, route, credential, sent));
    // A ticket that nobody asked for is as good as before.
    if (route !== TICKET_ROUTE && sent.headers === undefined && typeof credential[2] !== 'string') {
      expect(await ask('GET', '/v1/stream', sent)).toEqual([200]);
    }
  });

  if (who === 'anybody') return;
  it.each([path.toUpperCase(), `${path}/`, `${path}?a=1`])('is no other under the name %s', async name => {
    expect(await ask(method, name, {}, body)).toEqual(refused('token-missing'));
  });
});

describe('a route that is not there', () => {
  it.each(['GET /', 'GET /v1/nothing', 'PUT /v1/events', 'DELETE /v1/admin/keys', 'POST /demo/token'])(
    '%s is not found, whoever asks',
    async route => {
      const [method = '', path = ''] = route.split(' ');
      const makes: Make[] = [() => ({}), bearer('nonsense'), token(FULL)];
      for (const make of makes) {
        expect(await ask(method, path, await make(credentials))).toEqual(refused('not-found'));
      }
    },
  );
});

describe('demo mode', () => {
  it('has its pages, and one route more, which gives everybody a token', async () => {
    const env = { BELFRY_DATA_DIR: '/nonexistent', JWT_SECRET: SECRET, LOG_LEVEL: 'silent' };
    const app = await createApp({ ...loadConfig(env), databaseUrl: database.url });
    await app.listen(0, '127.0.0.1');
    try {
      expect(routesOf(app)).toEqual(
        [...Object.keys(ROUTES), 'POST /demo/token', 'GET /', 'GET /demo/:file'].sort(),
      );
      const { port } = app.getHttpServer().address() as AddressInfo;
      const response = await fetch(`http://127.0.0.1:${port}/demo/token`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: 'Bearer nonsense' },
        body: '{"sub":"42"}',
      });
      expect(await response.json()).toEqual({ token: expect.any(String) });
    } finally {
      await app.close();
    }
  });
});

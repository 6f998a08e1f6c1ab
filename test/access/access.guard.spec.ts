import { All, Controller, Get, Post, Sse } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SignJWT, UnsecuredJWT } from 'jose';
import { type Observable, of } from 'rxjs';

import { CurrentCaller, Public, Scope, StreamCaller } from '../../src/access/access.decorators.js';
import type { Caller, TurnedAway } from '../../src/access/caller.js';
import type { Answer } from '../support/shell-app.js';
import { SECRET, ShellApp, testConfig } from '../support/shell-app.js';

@Controller()
class WhoController {
  @All('who')
  who(@CurrentCaller() caller: Caller): object {
    return { ...caller, scopes: [...caller.scopes] };
  }

  @Post('publish')
  @Scope('publish')
  publish(): object {
    return {};
  }

  @Sse('scoped')
  @Scope('publish')
  scoped(@StreamCaller() caller: Caller | TurnedAway): Observable<object> {
    return of({ data: typeof caller === 'string' ? caller : 'welcome' });
  }

  @Get('open')
  @Public()
  open(): object {
    return {};
  }
}

const KEY = Buffer.from(SECRET);
const inSeconds = (seconds: number): number => Date.now() / 1000 + seconds;

/** A claim of undefined is left out. */
function sign(claims: Record<string, unknown>, key: Uint8Array = KEY, alg = 'HS256'): Promise<string> {
  return new SignJWT({ sub: '42', exp: inSeconds(60), ...claims }).setProtectedHeader({ alg }).sign(key);
}

const ORIGIN = 'https://app.example.com';
let app: ShellApp;
beforeAll(async () => (app = await ShellApp.start(testConfig({ CORS_ORIGINS: ORIGIN }), [WhoController])));
afterAll(() => app.stop());

function ask(token: string, path = '/who', method = 'GET'): Promise<Answer> {
  return app.send(method, path, { authorization: `Bearer ${token}` });
}

async function refused(token: string): Promise<unknown> {
  const answer = await ask(token);
  expect(answer.status).toBe(401);
  expect(answer.headers['www-authenticate']).toBe('Bearer');
  return answer.json?.['code'];
}

describe('a token', () => {
  it('grants the topics of its user, of its roles, and "all", in the default tenant', async () => {
    const exp = Math.floor(inSeconds(60)) + 0.25;
    const answer = await ask(await sign({ sub: 'ada@example.com', roles: ['admin', 'a b'], exp }));
    expect(answer.json).toEqual({
      tenant: 'default',
      sub: 'ada@example.com',
      scopes: [],
      topics: ['user:ada@example.com', 'all', 'role:admin', 'role:a%20b'],
      wildcards: [],
      expiresAt: exp * 1000,
    });
  });

  it('grants extra topics and kinds, each once', async () => {
    const topics = ['room:9', 'user:42', 'all', 'room:9', 'doc:*', 'doc:*'];
    const answer = await ask(await sign({ tenant: 'acme', topics }));
    expect(answer.json).toMatchObject({
      tenant: 'acme',
      topics: ['user:42', 'all', 'room:9'],
      wildcards: ['doc:*'],
    });
  });

  it('grants all jobs with scope jobs, and everything with scope admin', async () => {
    const answer = await ask(await sign({ scope: 'publish jobs  admin' }));
    expect(answer.json).toMatchObject({ scopes: ['publish', 'jobs', 'admin'], wildcards: ['job:*', '*'] });
  });

  it.each([
    ['no sub', { sub: undefined }],
    ['no exp', { exp: undefined }],
    ['an empty sub', { sub: '' }],
    ['a sub that is no string', { sub: 42 }],
    ['a sub that is too long for a topic', { sub: 'x'.repeat(196) }],
    ['a sub that is no Unicode', { sub: '\ud800' }],
    ['a sub that no database can keep', { sub: 'a\u0000b' }],
    ['a role that no database can keep', { roles: ['a\u0000b'] }],
    ['an exp that is no number', { exp: 'tomorrow' }],
    ['a tenant with a slash', { tenant: 'a/b' }],
    ['an empty tenant', { tenant: '' }],
    ['roles that are no array', { roles: 'admin' }],
    ['an empty role', { roles: [''] }],
    ['a topic that is none', { topics: ['room'] }],
    ['everything as a topic', { topics: ['*'] }],
    ['a scope that is no string', { scope: ['admin'] }],
  ])('with %s is refused as token-claims', async (_what, claims) => {
    expect(await refused(await sign(claims))).toBe('token-claims');
  });

  it('is over at its exp, to the millisecond, and no tolerance prolongs it', async () => {
    expect(await refused(await sign({ exp: inSeconds(-0.05) }))).toBe('token-expired');
    expect(await refused(await sign({ exp: inSeconds(-3600) }))).toBe('token-expired');
  });

  it('may come from a clock that is five seconds ahead, and no more', async () => {
    expect((await ask(await sign({ nbf: inSeconds(3), iat: inSeconds(3) }))).status).toBe(200);
    expect(await refused(await sign({ nbf: inSeconds(60) }))).toBe('token-invalid');
    expect(await refused(await sign({ iat: inSeconds(60) }))).toBe('token-invalid');
  });

  it('with another signature, algorithm or shape is refused as token-invalid', async () => {
    const good = await sign({});
    const unsecured = new UnsecuredJWT({ sub: '42', exp: inSeconds(60) }).encode();
    const long = Buffer.alloc(64, KEY);
    const bad = [
      await sign({}, Buffer.from('x'.repeat(32))),
      await sign({}, long, 'HS512'),
      unsecured,
      `${good}x`,
      good.slice(0, -3),
      'abc',
      `${'x'.repeat(9000)}.y.z`,
    ];
    for (const token of bad) expect(await refused(token)).toBe('token-invalid');
  });
});

describe('the issuer and the audience', () => {
  let strict: ShellApp;
  beforeAll(async () => {
    strict = await ShellApp.start(testConfig({ JWT_ISSUER: 'idp', JWT_AUDIENCE: 'belfry' }), [WhoController]);
  });
  afterAll(() => strict.stop());

  it.each([
    [{ iss: 'idp', aud: 'belfry' }, 200],
    [{ iss: 'idp', aud: ['other', 'belfry'] }, 200],
    [{ iss: 'else', aud: 'belfry' }, 401],
    [{ iss: 'idp', aud: 'other' }, 401],
    [{}, 401],
  ])('are checked where they are configured: %j', async (claims, status) => {
    const answer = await strict.send('GET', '/who', { authorization: `Bearer ${await sign(claims)}` });
    expect(answer.status).toBe(status);
    if (status === 401) expect(answer.json?.['code']).toBe('token-invalid');
  });
});

describe('a request', () => {
  it('without a credential is refused, and a public route does not ask for one', async () => {
    const answer = await app.send('GET', '/who');
    expect([answer.status, answer.json?.['code']]).toEqual([401, 'token-missing']);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect((await app.send('GET', '/open', { authorization: 'Bearer nonsense' })).status).toBe(200);
  });

  it('may write the scheme in any case', async () => {
    expect((await app.send('GET', '/who', { authorization: `bEARER  ${await sign({})}` })).status).toBe(200);
  });

  it('may carry the token in a cookie, under which a header of another scheme is not ours', async () => {
    const cookie = `theme=dark; belfry_token=${await sign({})}`;
    expect((await app.send('GET', '/who', { cookie })).json).toMatchObject({ sub: '42' });
    expect((await app.send('GET', '/who', { cookie, authorization: 'Basic eDp5' })).status).toBe(200);
  });

  it('is judged by its header when it has a cookie as well', async () => {
    const headers = { cookie: `belfry_token=${await sign({})}`, authorization: 'Bearer nonsense' };
    expect((await app.send('GET', '/who', headers)).json?.['code']).toBe('token-invalid');
  });

  it('needs the scope that its route asks for', async () => {
    const answer = await ask(await sign({ scope: 'jobs' }), '/publish', 'POST');
    expect([answer.status, answer.json?.['code']]).toEqual([403, 'scope-missing']);
    expect(answer.json?.['detail']).toContain('"publish"');
    expect((await ask(await sign({ scope: 'jobs publish' }), '/publish', 'POST')).status).toBe(201);
  });

  it('for a stream needs it too, unless the stream is there only to turn it away', async () => {
    expect((await ask(await sign({}), '/scoped')).json?.['code']).toBe('scope-missing');
    expect((await ask(await sign({ scope: 'publish' }), '/scoped')).text).toContain('data: welcome');
    const spent = await app.send('GET', `/scoped?ticket=bt_${'0'.repeat(43)}`, { 'last-event-id': '0' });
    expect([spent.status, spent.text]).toEqual([200, expect.stringContaining('data: ticket-spent')]);
  });

  it('leaves no credential in the log', async () => {
    const token = await sign({});
    await app.send('GET', `/who?ticket=tk_77&%74icket=tk_78&a=1`, { cookie: `belfry_token=${token}` });
    await ask(token);
    const lines = JSON.stringify(app.logs);
    expect(lines).toContain('ticket=[redacted]&%74icket=[redacted]&a=1');
    expect(lines).not.toContain(token);
  });
});

describe('a write with a cookie', () => {
  it.each([
    ['from an origin that is listed', { origin: ORIGIN }, 200],
    [
      'from a page of the same host',
      { origin: 'https://belfry.example.com', host: 'belfry.example.com' },
      200,
    ],
    [
      'from the same host with its default port',
      { origin: 'http://b.example.com', host: 'b.example.com:80' },
      200,
    ],
    ['from the same page, says the browser', { 'sec-fetch-site': 'same-origin' }, 200],
    ['from a page of another port', { origin: 'http://b.example.com:81', host: 'b.example.com' }, 403],
    ['from another site', { origin: 'https://evil.example.com' }, 403],
    ['from an origin that begins like one that is listed', { origin: `${ORIGIN}.evil.com` }, 403],
    ['from an opaque origin', { origin: 'null' }, 403],
    ['from who knows where', {}, 403],
    ['from another site, says the browser', { 'sec-fetch-site': 'same-site' }, 403],
  ])('%s', async (_what, headers, status) => {
    const cookie = `belfry_token=${await sign({})}`;
    const answer = await app.send('POST', '/who', { cookie, ...headers });
    expect(answer.status).toBe(status);
    if (status === 403) expect(answer.json?.['code']).toBe('origin-forbidden');
  });

  it('may come from anywhere as a read, or with the token in the header', async () => {
    const token = await sign({});
    const origin = 'https://evil.example.com';
    expect((await app.send('GET', '/who', { cookie: `belfry_token=${token}`, origin })).status).toBe(200);
    expect((await app.send('POST', '/who', { authorization: `Bearer ${token}`, origin })).status).toBe(200);
  });
});

describe('another origin', () => {
  it('may read with credentials when it is listed, and not otherwise', async () => {
    const listed = await app.send('GET', '/open', { origin: ORIGIN });
    expect(listed.headers['access-control-allow-origin']).toBe(ORIGIN);
    expect(listed.headers['access-control-allow-credentials']).toBe('true');
    const other = await app.send('GET', '/open', { origin: 'https://evil.example.com' });
    expect(other.headers['access-control-allow-origin']).toBeUndefined();
  });

  it('is answered a preflight without a credential', async () => {
    const answer = await app.send('OPTIONS', '/who', {
      origin: ORIGIN,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization',
    });
    expect(answer.status).toBe(204);
    expect(answer.headers['access-control-allow-headers']).toBe('authorization');
  });
});

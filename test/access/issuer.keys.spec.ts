import { Controller, Get } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, exportSPKI, SignJWT, UnsecuredJWT } from 'jose';
import { randomBytes, randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';

import { CurrentCaller } from '../../src/access/access.decorators.js';
import type { Caller } from '../../src/access/caller.js';
import { until } from '../support/conditions.js';
import { SECRET, ShellApp, testConfig } from '../support/shell-app.js';
import { inSeconds, TestIssuer } from './test.issuer.js';

@Controller()
class WhoController {
  @Get('who')
  who(@CurrentCaller() caller: Caller): object {
    return { ...caller, scopes: [...caller.scopes] };
  }
}

const MEBIBYTE = 1024 * 1024;

let apps: ShellApp[] = [];
let issuers: TestIssuer[] = [];
afterEach(async () => {
  await Promise.all(apps.map(app => app.stop()));
  await Promise.all(issuers.map(issuer => issuer.stop()));
  apps = [];
  issuers = [];
});

/** A service that takes tokens of an issuer. */
async function serve(issuer: TestIssuer, env: NodeJS.ProcessEnv = {}): Promise<ShellApp> {
  return ShellApp.start(testConfig({ JWKS_URL: issuer.url, ...env }), [WhoController]);
}

/** The same for one test. */
async function app(issuer: TestIssuer, env: NodeJS.ProcessEnv = {}): Promise<ShellApp> {
  const started = await serve(issuer, env);
  apps.push(started);
  return started;
}

async function issuer(...algorithms: string[]): Promise<TestIssuer> {
  const started = await TestIssuer.start(...algorithms);
  issuers.push(started);
  return started;
}

/** What a request with this token is answered: 200, or the code of the problem. */
async function verdict(service: ShellApp, token: string): Promise<unknown> {
  const { status, json } = await service.send('GET', '/who', { authorization: `Bearer ${token}` });
  return status === 200 ? 200 : json?.['code'];
}

function hmac(key: Uint8Array, alg = 'HS256', header: object = {}): Promise<string> {
  return new SignJWT({ sub: '42', exp: inSeconds(60) }).setProtectedHeader({ alg, ...header }).sign(key);
}

function warnings(service: ShellApp): number {
  return service.logs.filter(({ msg }) => String(msg).includes('the keys of the issuer cannot be fetched'))
    .length;
}

describe('a token of an issuer', () => {
  const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
  let idp: TestIssuer;
  let service: ShellApp;
  let withoutSecret: ShellApp;

  beforeAll(async () => {
    idp = await TestIssuer.start(...ALGORITHMS);
    [service, withoutSecret] = await Promise.all([serve(idp), serve(idp, { JWT_SECRET: '' })]);
  });
  afterAll(async () => {
    await Promise.all([service.stop(), withoutSecret.stop()]);
    await idp.stop();
  });

  it.each(ALGORITHMS)('that is signed with %s is good, with a secret beside it or without', async alg => {
    const iat = inSeconds(-10);
    const token = await idp.sign(alg, { iat, scope: 'publish' });
    const answer = await service.send('GET', '/who', { authorization: `Bearer ${token}` });
    expect(answer.json).toMatchObject({ sub: '42', scopes: ['publish'], issuedAt: iat * 1000 });
    expect(await verdict(withoutSecret, token)).toBe(200);
  });

  it('does not put those of the secret out of use; without a secret there are none', async () => {
    const token = await hmac(Buffer.from(SECRET));
    expect(await verdict(service, token)).toBe(200);
    expect(await verdict(withoutSecret, token)).toBe('token-invalid');
  });

  it('costs no fetch', async () => {
    const before = idp.fetches;
    const tokens = await Promise.all(ALGORITHMS.map(alg => idp.sign(alg, { jti: randomUUID() })));
    for (const token of tokens) expect(await verdict(service, token)).toBe(200);
    expect(idp.fetches).toBe(before);
  });

  it('is judged by the same claims as any other', async () => {
    const judged = async (claims: Record<string, unknown>) =>
      verdict(service, await idp.sign('ES256', claims));
    expect(await judged({ exp: inSeconds(-1) })).toBe('token-expired');
    expect(await judged({ exp: undefined })).toBe('token-claims');
    expect(await judged({ sub: undefined })).toBe('token-claims');
    expect(await judged({ roles: 'admin' })).toBe('token-claims');
    expect(await judged({ nbf: inSeconds(60) })).toBe('token-invalid');
    expect(await judged({ iat: inSeconds(60) })).toBe('token-invalid');
    expect(await judged({ nbf: inSeconds(2), iat: inSeconds(2) })).toBe(200);
  });

  it('needs the issuer and the audience that are configured', async () => {
    const strict = await app(idp, { JWT_ISSUER: 'idp', JWT_AUDIENCE: 'belfry' });
    const judged = async (claims: Record<string, unknown>) =>
      verdict(strict, await idp.sign('RS256', claims));
    expect(await judged({ iss: 'idp', aud: ['other', 'belfry'] })).toBe(200);
    expect(await judged({ iss: 'else', aud: 'belfry' })).toBe('token-invalid');
    expect(await judged({ iss: 'idp', aud: 'other' })).toBe('token-invalid');
    expect(await judged({})).toBe('token-invalid');
  });

  it('needs an algorithm of JWKS_ALGORITHMS, whatever the key could do', async () => {
    const narrow = await app(idp, { JWKS_ALGORITHMS: 'ES256, PS256' });
    expect(await verdict(narrow, await idp.sign('ES256'))).toBe(200);
    expect(await verdict(narrow, await idp.sign('PS256'))).toBe(200);
    expect(await verdict(narrow, await idp.sign('RS256'))).toBe('token-invalid');
    expect(await verdict(narrow, await idp.sign('EdDSA'))).toBe('token-invalid');
  });

  it('is refused when it was changed, or is signed with the key of somebody else', async () => {
    const [header, claims, signature] = (await idp.sign('RS256')).split('.') as [string, string, string];
    const admin = Buffer.from(JSON.stringify({ sub: '42', exp: inSeconds(60), scope: 'admin' }));
    expect(await verdict(service, `${header}.${admin.toString('base64url')}.${signature}`)).toBe(
      'token-invalid',
    );
    expect(await verdict(service, `${header}.${claims}.`)).toBe('token-invalid');
    const other = await issuer('RS256', 'ES256');
    expect(await verdict(service, await other.sign('RS256'))).toBe('token-invalid');
    expect(await verdict(service, await other.sign('ES256'))).toBe('token-invalid');
  });

  it('may leave out which key it is signed with, also where several could be it', async () => {
    const several = await issuer();
    for (const kid of ['one', 'two', 'three']) await several.addKey('ES256', kid);
    const anonymous = await app(several);
    for (const kid of ['one', 'two', 'three']) {
      expect(await verdict(anonymous, await several.sign(kid, {}, { kid: undefined }))).toBe(200);
    }
    expect(await verdict(anonymous, await idp.sign('ES256', {}, { kid: undefined }))).toBe('token-invalid');
    const expired = { exp: inSeconds(-1) };
    expect(await verdict(anonymous, await several.sign('three', expired, { kid: undefined }))).toBe(
      'token-expired',
    );
  });

  // What is public must not serve as a secret: RFC 8725, section 2.1.
  it.each([
    ['PEM', async () => Buffer.from(await exportSPKI(idp.key('RS256').publicKey))],
    [
      'PEM without its last newline',
      async () => Buffer.from((await exportSPKI(idp.key('RS256').publicKey)).trimEnd()),
    ],
    ['DER', async () => Buffer.from(await crypto.subtle.exportKey('spki', idp.key('RS256').publicKey))],
    ['JWK', () => Promise.resolve(Buffer.from(JSON.stringify(idp.key('RS256').jwk)))],
    ['modulus', () => Promise.resolve(Buffer.from(idp.key('RS256').jwk.n!, 'base64url'))],
  ])('cannot be made with the %s of a public key as the secret', async (_form, keyBytes) => {
    const key = await keyBytes();
    for (const header of [{}, { kid: 'RS256' }, { kid: 'RS256', typ: 'JWT' }]) {
      for (const alg of ['HS256', 'HS384', 'HS512']) {
        const token = await hmac(key, alg, header);
        expect(await verdict(service, token)).toBe('token-invalid');
        expect(await verdict(withoutSecret, token)).toBe('token-invalid');
      }
    }
  });

  it('cannot be unsigned, nor signed with the secret by another algorithm', async () => {
    const unsecured = new UnsecuredJWT({ sub: '42', exp: inSeconds(60) }).encode();
    const [, claims] = unsecured.split('.') as [string, string];
    const [, , signature] = (await idp.sign('RS256')).split('.') as [string, string, string];
    for (const alg of ['none', 'None', 'NONE', '', 'hs256', 'RS256 ', ['RS256'], null]) {
      const header = Buffer.from(JSON.stringify({ alg, kid: 'RS256' })).toString('base64url');
      for (const end of ['', signature]) {
        expect(await verdict(service, `${header}.${claims}.${end}`)).toBe('token-invalid');
      }
    }
    expect(await verdict(service, unsecured)).toBe('token-invalid');
    const long = Buffer.alloc(64, SECRET);
    expect(await verdict(service, await hmac(long, 'HS384'))).toBe('token-invalid');
    expect(await verdict(service, await hmac(long, 'HS512'))).toBe('token-invalid');
  });

  it('cannot be signed with a secret that the key set gives away', async () => {
    const careless = await issuer('ES256');
    const secret = randomBytes(64);
    const k = secret.toString('base64url');
    careless.strangers = [
      { kty: 'oct', kid: 'said', alg: 'HS256', k },
      { kty: 'oct', kid: 'unsaid', k },
      { kty: 'oct', kid: 'posing', alg: 'ES256', k },
    ];
    for (const trusting of [await app(careless), await app(careless, { JWT_SECRET: '' })]) {
      expect(await verdict(trusting, await careless.sign('ES256'))).toBe(200);
      for (const kid of ['said', 'unsaid', 'posing']) {
        expect(await verdict(trusting, await hmac(secret, 'HS256', { kid }))).toBe('token-invalid');
        const posing = await careless.sign('ES256', {}, { kid });
        expect(await verdict(trusting, posing)).toBe('token-invalid');
      }
    }
  });

  it('cannot bring its own key, nor the address of one', async () => {
    const thief = await issuer('RS256');
    const jwk = await exportJWK(thief.key('RS256').publicKey);
    const headers = [
      { jwk },
      { jwk, kid: undefined },
      { jku: thief.url },
      { jku: thief.url, kid: undefined },
      { x5u: thief.url },
      { jku: thief.url, jwk, kid: 'elsewhere' },
    ];
    for (const header of headers) {
      expect(await verdict(service, await thief.sign('RS256', {}, header))).toBe('token-invalid');
    }
    expect(thief.fetches).toBe(0);
    // Some issuers say where their keys are. It does no harm when they do.
    expect(await verdict(service, await idp.sign('RS256', {}, { jku: thief.url, jwk }))).toBe(200);
  });

  it('is refused when it says that something has to be understood', async () => {
    const token = await idp.sign('RS256', {}, { crit: ['urn:else'], 'urn:else': true });
    expect(await verdict(service, token)).toBe('token-invalid');
  });
});

describe('the keys of an issuer', () => {
  it('are fetched again for the first token of a new key, and not for the next', async () => {
    const idp = await issuer('ES256');
    const service = await app(idp, { JWKS_COOLDOWN_MS: '0' });
    expect(await verdict(service, await idp.sign('ES256'))).toBe(200);
    expect(idp.fetches).toBe(1);

    await idp.addKey('RS256', 'new');
    const tokens = await Promise.all(
      Array.from({ length: 20 }, () => idp.sign('new', { jti: randomUUID() })),
    );
    const verdicts = await Promise.all(tokens.map(token => verdict(service, token)));
    expect(verdicts).toEqual(tokens.map(() => 200));
    expect(await verdict(service, await idp.sign('new', { jti: randomUUID() }))).toBe(200);
    expect(await verdict(service, await idp.sign('ES256', { jti: randomUUID() }))).toBe(200);
    expect(idp.fetches).toBe(2);
  });

  it('are fetched again by and by, and with one that is gone go the tokens that were remembered', async () => {
    const idp = await issuer('ES256', 'EdDSA');
    const service = await app(idp, { JWKS_REFRESH_MS: '1000', JWKS_COOLDOWN_MS: '600000' });
    const [leaving, staying] = [await idp.sign('ES256'), await idp.sign('EdDSA')];
    expect(await verdict(service, leaving)).toBe(200);
    expect(await verdict(service, staying)).toBe(200);

    idp.dropKey('ES256');
    await until('the token to be refused', async () => (await verdict(service, leaving)) !== 200);
    expect(await verdict(service, leaving)).toBe('token-invalid');
    expect(await verdict(service, staying)).toBe(200);
  });

  it('and so it is with a key that has another one under its name', async () => {
    const idp = await issuer('ES256');
    const service = await app(idp, { JWKS_REFRESH_MS: '1000' });
    const old = await idp.sign('ES256');
    expect(await verdict(service, old)).toBe(200);
    await idp.addKey('ES256');
    await until('the token to be refused', async () => (await verdict(service, old)) !== 200);
    expect(await verdict(service, old)).toBe('token-invalid');
    expect(await verdict(service, await idp.sign('ES256'))).toBe(200);
  });

  it('are not fetched for tokens that name keys at random, but once in a while', async () => {
    const idp = await issuer('ES256');
    const cooldown = 400;
    const service = await app(idp, { JWKS_COOLDOWN_MS: String(cooldown) });
    expect(await verdict(service, await idp.sign('ES256'))).toBe(200);
    const began = performance.now();
    for (let round = 0; round < 20; round++) {
      const tokens = await Promise.all(
        Array.from({ length: 25 }, () => idp.sign('ES256', {}, { kid: randomUUID() })),
      );
      const verdicts = await Promise.all(tokens.map(token => verdict(service, token)));
      expect(new Set(verdicts)).toEqual(new Set(['token-invalid']));
    }
    expect(idp.fetches - 1).toBeLessThanOrEqual(1 + (performance.now() - began) / cooldown);

    // And with the default not at all: they were fetched just now.
    const calm = await app(idp);
    expect(await verdict(calm, await idp.sign('ES256'))).toBe(200);
    const before = idp.fetches;
    for (let n = 0; n < 50; n++) {
      expect(await verdict(calm, await idp.sign('ES256', {}, { kid: randomUUID() }))).toBe('token-invalid');
    }
    expect(idp.fetches - before).toBeLessThanOrEqual(1);
  });

  it('stay in use while the issuer is down, also for tokens that were never seen', async () => {
    const idp = await issuer('ES256');
    const cooldown = 400;
    const service = await app(idp, {
      JWKS_REFRESH_MS: '1000',
      JWKS_COOLDOWN_MS: String(cooldown),
      TOKEN_CACHE_TOKENS: '0',
    });
    expect(await verdict(service, await idp.sign('ES256'))).toBe(200);

    idp.goDown();
    await until('a refresh to fail', () => warnings(service) > 0);
    expect(await verdict(service, await idp.sign('ES256', { jti: randomUUID() }))).toBe(200);

    // It is not asked more often for being down.
    const [before, began] = [idp.fetches, performance.now()];
    for (let n = 0; n < 100; n++) {
      const token = await idp.sign('ES256', {}, { kid: randomUUID() });
      expect(await verdict(service, token)).toBe('token-invalid');
    }
    const elapsed = performance.now() - began;
    // Those of the timer come on top.
    expect(idp.fetches - before).toBeLessThanOrEqual(2 + elapsed / cooldown + elapsed / 1000);

    await idp.addKey('ES256', 'new');
    idp.comeUp();
    const token = await idp.sign('new');
    await until('the new key to be known', async () => (await verdict(service, token)) === 200);
  });

  it('that were never there make a token wait and not the boot; they come as soon as they can', async () => {
    const idp = await issuer('ES256');
    idp.goDown();
    const cooldown = 400;
    const service = await app(idp, { JWKS_COOLDOWN_MS: String(cooldown) });
    const token = await idp.sign('ES256');
    const began = performance.now();
    for (let n = 0; n < 100; n++) {
      const answer = await service.send('GET', '/who', { authorization: `Bearer ${token}` });
      expect([answer.status, answer.json?.['code']]).toEqual([503, 'issuer-unavailable']);
      expect(answer.headers['retry-after']).toBe('1');
    }
    expect(idp.fetches).toBeLessThanOrEqual(2 + (performance.now() - began) / cooldown);
    // The issuer has nothing to do with these, and of those nothing needs to be known.
    expect(await verdict(service, await hmac(Buffer.from(SECRET)))).toBe(200);
    expect(await verdict(service, await hmac(Buffer.alloc(64), 'HS512'))).toBe('token-invalid');

    idp.comeUp();
    await until('the token to be good', async () => (await verdict(service, token)) === 200);
  });

  it('are waited for by tokens that come while they are fetched', async () => {
    const idp = await issuer('ES256');
    let waiting: ServerResponse | undefined;
    idp.misbehave = response => (waiting = response);
    const service = await app(idp);
    const token = await idp.sign('ES256');
    await until('the fetch of the boot', () => waiting !== undefined);
    const verdicts = Promise.all(Array.from({ length: 10 }, () => verdict(service, token)));
    const server = service.nest.getHttpServer();
    const connections = promisify(server.getConnections.bind(server));
    await until('the requests to be there', async () => (await connections()) >= 10);
    waiting!.end(idp.keySet);
    expect(new Set(await verdicts)).toEqual(new Set([200]));
    expect(idp.fetches).toBe(1);
  });
});

describe('an answer that is no key set', () => {
  /** Of more than a mebibyte, and good for the rest. */
  const padded = (idp: TestIssuer, bytes: number): string => {
    const { length } = idp.keySet;
    return `{"padding":"${'x'.repeat(bytes - length - '"padding":"",'.length)}",${idp.keySet.slice(1)}`;
  };

  it.each([
    ['is no JSON', (response: ServerResponse) => response.end('<!doctype html>')],
    ['is nothing', (response: ServerResponse) => response.end()],
    ['has no keys', (response: ServerResponse) => response.end('{}')],
    ['has keys that are none', (response: ServerResponse) => response.end('{"keys":["a"]}')],
    ['breaks off', (response: ServerResponse) => response.write('{"keys":[', () => response.destroy())],
    [
      'is that of an error',
      (response: ServerResponse, idp: TestIssuer) => response.writeHead(500).end(idp.keySet),
    ],
    [
      'is elsewhere',
      (response: ServerResponse, idp: TestIssuer) =>
        response.writeHead(302, { location: `${idp.url}/elsewhere` }).end(),
    ],
    ['is too large', (response: ServerResponse, idp: TestIssuer) => response.end(padded(idp, MEBIBYTE + 1))],
  ])('because it %s leaves the keys as they are', async (_what, answer) => {
    const idp = await issuer('ES256');
    idp.misbehave = response => void answer(response, idp);
    const service = await app(idp, { JWKS_COOLDOWN_MS: '0' });
    const token = await idp.sign('ES256');
    expect(await verdict(service, token)).toBe('issuer-unavailable');

    const bad = idp.misbehave;
    idp.misbehave = response => response.end(padded(idp, MEBIBYTE));
    expect(await verdict(service, token)).toBe(200);
    idp.misbehave = bad;
    expect(await verdict(service, await idp.sign('ES256', {}, { kid: 'else' }))).toBe('token-invalid');
    expect(await verdict(service, await idp.sign('ES256', { jti: 'new' }))).toBe(200);
    expect(warnings(service)).toBeGreaterThanOrEqual(2);
  });

  it('because it never ends is cut off when it is too large', async () => {
    const idp = await issuer('ES256');
    let sent = 0;
    let cut = false;
    idp.misbehave = response => {
      const more = () => {
        if (response.destroyed) return;
        sent += 65_536;
        if (response.write(' '.repeat(65_536))) setImmediate(more);
      };
      response.on('drain', more);
      response.on('close', () => (cut = true));
      more();
    };
    const service = await app(idp);
    expect(await verdict(service, await idp.sign('ES256'))).toBe('issuer-unavailable');
    await until('the end of its connection', () => cut);
    // Beyond the limit only what was on the way.
    expect(sent).toBeLessThan(32 * MEBIBYTE);
  });

  it('because it does not come in time is not waited for longer than five seconds', async () => {
    const silent = () => undefined;
    const slow = (response: ServerResponse) => {
      const timer = setInterval(() => response.write(' '), 100);
      response.on('close', () => {
        clearInterval(timer);
      });
    };
    await Promise.all(
      [silent, slow].map(async misbehave => {
        const idp = await issuer('ES256');
        idp.misbehave = misbehave;
        const service = await app(idp, { JWKS_COOLDOWN_MS: '60000' });
        const token = await idp.sign('ES256');
        const began = performance.now();
        expect(await verdict(service, token)).toBe('issuer-unavailable');
        expect(performance.now() - began).toBeLessThan(7_000);
        // Then nobody waits again before the cooldown is over.
        const again = performance.now();
        expect(await verdict(service, token)).toBe('issuer-unavailable');
        expect(performance.now() - again).toBeLessThan(1_000);
        expect(idp.fetches).toBe(1);
      }),
    );
  });

  it('does not hold up the end of the service, and nothing is fetched after it', async () => {
    const idp = await issuer('ES256');
    let cut = false;
    idp.misbehave = response => response.on('close', () => (cut = true));
    const service = await serve(idp, { JWKS_REFRESH_MS: '1000' });
    await until('the fetch of the boot', () => idp.fetches === 1);
    const began = performance.now();
    await service.stop();
    expect(performance.now() - began).toBeLessThan(2_000);
    await until('the end of its connection', () => cut);
    expect(warnings(service)).toBe(0);
  });
});

describe('a key that is too short', () => {
  it('is not used (RFC 7518, section 3.3)', async () => {
    const weak = await crypto.subtle.generateKey(
      {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength: 1024,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: 'SHA-256',
      },
      true,
      ['sign', 'verify'],
    );
    const idp = await issuer('ES256');
    idp.strangers = [{ ...(await exportJWK(weak.publicKey)), kid: 'weak', alg: 'RS256' }];
    const service = await app(idp);
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
    const body = `${encode({ alg: 'RS256', kid: 'weak' })}.${encode({ sub: '42', exp: inSeconds(60) })}`;
    const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', weak.privateKey, Buffer.from(body));
    expect(await verdict(service, `${body}.${Buffer.from(signature).toString('base64url')}`)).toBe(
      'token-invalid',
    );
  });
});

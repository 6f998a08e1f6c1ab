import { Controller, Get } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { CurrentCaller } from '../../src/access/access.decorators.js';
import type { Caller } from '../../src/access/caller.js';
import { JwtSecret } from '../../src/access/jwt-secret.js';
import { loadConfig } from '../../src/config/config.js';
import { BootError } from '../../src/errors/boot-error.js';
import { ShellApp, testConfig } from '../support/shell-app.js';

@Controller('who')
class WhoController {
  @Get()
  who(@CurrentCaller() caller: Caller): object {
    return caller;
  }
}

let dataDir: string;
let app: ShellApp;
beforeAll(async () => {
  dataDir = join(await mkdtemp(join(tmpdir(), 'belfry-')), 'data');
  const config = loadConfig({
    BELFRY_DATA_DIR: dataDir,
    CORS_ORIGINS: 'http://localhost:5173',
    LOG_LEVEL: 'warn',
  });
  app = await ShellApp.start(config, [WhoController]);
});
afterAll(async () => {
  await app.stop();
  await rm(join(dataDir, '..'), { recursive: true });
});

async function tokenFor(claims: object): Promise<string> {
  const answer = await app.send('POST', '/demo/token', { host: 'localhost' }, claims);
  expect(answer.status).toBe(200);
  return String(answer.json?.['token']);
}

describe('the demo sign-in', () => {
  it('answers a token for whoever is asked for', async () => {
    const authorization = `Bearer ${await tokenFor({ sub: '42', tenant: 'acme', roles: ['r'], topics: ['room:*'] })}`;
    const answer = await app.send('GET', '/who', { host: 'localhost', authorization });
    expect(answer.json).toMatchObject({ sub: '42', tenant: 'acme', topics: ['user:42', 'all', 'role:r'] });
    const left = Number(answer.json?.['expiresAt']) - Date.now();
    expect(left).toBeGreaterThan(3_590_000);
    expect(left).toBeLessThanOrEqual(3_600_000);
  });

  it('answers a token that has expired, when that is asked for', async () => {
    const authorization = `Bearer ${await tokenFor({ sub: '42', exp: Date.now() / 1000 - 1 })}`;
    const answer = await app.send('GET', '/who', { host: 'localhost', authorization });
    expect(answer.json?.['code']).toBe('token-expired');
  });

  it.each([
    [{}, '"sub"'],
    [{ sub: '' }, '"sub"'],
    [{ sub: '42', roles: 'admin' }, '"roles"'],
    [{ sub: '42', topics: ['*'] }, '"topics"'],
    [{ sub: '42', exp: 'tomorrow' }, '"exp"'],
    [{ sub: '42', role: 'admin' }, '"roles"'],
    [[], '"sub"'],
    [{ sub: '42', topics: Array.from({ length: 500 }, (_, i) => `room:${i}-and-a-long-name`) }, 'too long'],
  ])('refuses %j', async (body, named) => {
    const answer = await app.send('POST', '/demo/token', { host: 'localhost' }, body);
    expect([answer.status, answer.json?.['code']]).toEqual([400, 'body-invalid']);
    expect(answer.json?.['detail']).toContain(named);
  });

  it('takes JSON only', async () => {
    const headers = { host: 'localhost', 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await app.send('POST', '/demo/token', headers, Buffer.from('{"sub":"42"}'));
    expect([answer.status, answer.json?.['code']]).toEqual([415, 'media-type-unsupported']);
  });

  it('signs for the issuer and audience that are asked of every token', async () => {
    const env = { BELFRY_DATA_DIR: dataDir, JWT_ISSUER: 'idp', JWT_AUDIENCE: 'belfry', LOG_LEVEL: 'warn' };
    const strict = await ShellApp.start(loadConfig(env), [WhoController]);
    const token = String((await strict.send('POST', '/demo/token', {}, { sub: '42' })).json?.['token']);
    expect((await strict.send('GET', '/who', { authorization: `Bearer ${token}` })).status).toBe(200);
    await strict.stop();
  });

  it('does not exist outside demo mode', async () => {
    const real = await ShellApp.start(testConfig());
    expect((await real.send('POST', '/demo/token', {}, { sub: '42' })).json?.['code']).toBe('not-found');
    await real.stop();
  });
});

describe('demo mode', () => {
  it.each([
    ['localhost', { host: 'localhost' }],
    ['127.0.0.1 with a port', { host: '127.0.0.1:3000' }],
    ['::1', { host: '[::1]:3000' }],
    ['a page of its own', { host: 'localhost:3000', origin: 'http://localhost:3000' }],
    ['a page of its own, by its other name', { host: 'localhost:3000', origin: 'http://127.0.0.1:3000' }],
    ['a page that is listed', { host: 'localhost:3000', origin: 'http://localhost:5173' }],
  ])('answers %s', async (_who, headers) => {
    expect((await app.send('GET', '/health/live', headers)).status).toBe(200);
  });

  it.each([
    ['a name that was rebound to this machine', { host: 'evil.example.com' }],
    ['a name that begins like this machine', { host: '127.0.0.1.evil.example.com' }],
    ['a page of another site', { host: 'localhost', origin: 'https://evil.example.com' }],
    ['a page of another port', { host: 'localhost:3000', origin: 'http://localhost:8080' }],
    ['an opaque page', { host: 'localhost', origin: 'null' }],
    ['a port that is none', { host: 'localhost:99999', origin: 'http://localhost' }],
    ['a proxy (Forwarded)', { host: 'localhost', forwarded: 'for=192.0.2.1' }],
    ['a proxy (X-Forwarded-For)', { host: 'localhost', 'x-forwarded-for': '192.0.2.1' }],
    ['a proxy (X-Forwarded-Host)', { host: 'localhost', 'x-forwarded-host': 'belfry.example.com' }],
    ['a proxy (X-Real-IP)', { host: 'localhost', 'x-real-ip': '192.0.2.1' }],
  ])('refuses %s, on every route', async (_who, headers) => {
    for (const path of ['/health/live', '/metrics', '/who', '/nothing-here']) {
      const answer = await app.send('GET', path, headers);
      expect([answer.status, answer.json?.['code']]).toEqual([403, 'host-forbidden']);
    }
  });
});

describe('the demo secret', () => {
  it('is made once, whole, and for its owner only', async () => {
    const file = join(dataDir, 'jwt-secret');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(Buffer.from((await readFile(file, 'utf8')).trim(), 'base64url')).toHaveLength(32);
    expect((await readdir(dataDir)).filter(name => name.startsWith('jwt-secret'))).toEqual(['jwt-secret']);
  });

  it('is the same for all that start at once', async () => {
    const fresh = join(dataDir, 'fresh');
    const config = loadConfig({ BELFRY_DATA_DIR: fresh });
    const secrets = await Promise.all(Array.from({ length: 8 }, () => JwtSecret.load(config)));
    const marks = await Promise.all(
      secrets.map(({ key }) => crypto.subtle.sign('HMAC', key!, Buffer.from('x'))),
    );
    expect(new Set(marks.map(mark => Buffer.from(mark).toString('hex'))).size).toBe(1);
    expect(await readdir(fresh)).toEqual(['jwt-secret']);
  });

  it('that was cut short stops the boot with a sentence', async () => {
    const torn = await mkdtemp(join(dataDir, 'torn-'));
    await writeFile(join(torn, 'jwt-secret'), 'abc');
    await expect(JwtSecret.load(loadConfig({ BELFRY_DATA_DIR: torn }))).rejects.toThrow(BootError);
  });
});

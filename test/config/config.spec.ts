import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';

import { loadConfig } from '../../src/config/config.js';
import { BootError } from '../../src/errors/boot-error.js';

const DATABASE_URL = 'postgres://belfry:hunter2@db.example.com/belfry';
const JWT_SECRET = 'mD8s-0vT3q_Zx7Lw2Rk9Pb5Ny1Hc4Jf6';
const JWKS_URL = 'https://idp.example.com/.well-known/jwks.json';
const ASYMMETRIC = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

function refusal(env: NodeJS.ProcessEnv): string {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof BootError) return error.message;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('the configuration', () => {
  it('has the documented defaults in demo mode', () => {
    expect(loadConfig({})).toEqual({
      port: 3000,
      host: '127.0.0.1',
      demo: true,
      dataDir: resolve('.belfry'),
      databaseUrl: undefined,
      listenDatabaseUrl: undefined,
      migrateDatabaseUrl: undefined,
      jwtSecret: undefined,
      jwksUrl: undefined,
      jwksAlgorithms: ASYMMETRIC,
      jwksRefreshMs: 600_000,
      jwksCooldownMs: 5_000,
      jwtIssuer: undefined,
      jwtAudience: undefined,
      corsOrigins: [],
      heartbeatMs: 15_000,
      tokenCacheTokens: 20_000,
      ringEvents: 100_000,
      ringBytes: 64 * 1024 * 1024,
      maxConnections: 20_000,
      maxConnectionsPerUser: 100,
      maxTopics: 100,
      userRequestsPerMinute: 6_000,
      backendRequestsPerMinute: 0,
      ticketMs: 30_000,
      maxStreamAgeMs: 3_600_000,
      writeDeadlineMs: 30_000,
      drainMs: 10_000,
      maxBodyBytes: 72 * 1024 * 1024,
      maxDataBytes: 64 * 1024,
      headersTimeoutMs: 15_000,
      bodyTimeoutMs: 30_000,
      uploadIdleMs: 600_000,
      keepAliveMs: 65_000,
      publishTimeoutMs: 5_000,
      publishQueueBytes: 128 * 1024 * 1024,
      replayEvents: 200,
      partitionEvents: 1_000_000,
      retentionHours: 72,
      dedupeHours: 24,
      inboxRetentionDays: 90,
      outboxBusyPollMs: 20,
      outboxIdlePollMs: 250,
      logLevel: 'info',
    });
  });

  it('leaves demo mode with DATABASE_URL and listens everywhere then', () => {
    expect(loadConfig({ DATABASE_URL, JWT_SECRET })).toMatchObject({ demo: false, host: '0.0.0.0' });
  });

  it('cannot be changed afterwards', () => {
    const config = loadConfig({ CORS_ORIGINS: 'https://a.example.com' });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.corsOrigins)).toBe(true);
    expect(Object.isFrozen(config.jwksAlgorithms)).toBe(true);
  });

  it('takes an empty variable for an unset one', () => {
    expect(loadConfig({ PORT: '', DATABASE_URL: '', HOST: '' })).toEqual(loadConfig({}));
  });

  it('reads a list of origins, with spaces and repetitions', () => {
    const config = loadConfig({
      CORS_ORIGINS: 'https://a.example.com, http://localhost:5173,https://a.example.com',
    });
    expect(config.corsOrigins).toEqual(['https://a.example.com', 'http://localhost:5173']);
  });

  it.each([
    ['PORT', '65536'],
    ['PORT', '80a'],
    ['PORT', '-1'],
    ['PORT', '1e3'],
    ['HOST', 'http://localhost'],
    ['DATABASE_URL', 'mysql://db/x'],
    ['DATABASE_URL', 'db.example.com'],
    ['CORS_ORIGINS', '*'],
    ['CORS_ORIGINS', 'https://a.example.com/'],
    ['CORS_ORIGINS', 'https://a.example.com,null'],
    ['HEARTBEAT_MS', '99'],
    ['HEARTBEAT_MS', '99999999999'],
    ['TOKEN_CACHE_TOKENS', '-1'],
    ['RING_EVENTS', '0'],
    ['LOG_LEVEL', 'loud'],
    ['JWT_SECRET', 'short'],
    ['MIGRATE_DATABASE_URL', 'owner@db.example.com'],
    ['JWKS_URL', 'idp.example.com/keys'],
    ['JWKS_URL', 'file:///etc/keys.json'],
    ['JWKS_URL', 'https://'],
    ['JWKS_URL', 'https://user:password@idp.example.com/keys'],
    ['JWKS_ALGORITHMS', 'HS256'],
    ['JWKS_ALGORITHMS', 'RS256,HS256'],
    ['JWKS_ALGORITHMS', 'none'],
    ['JWKS_ALGORITHMS', 'rs256'],
    ['JWKS_ALGORITHMS', 'RS256,'],
    ['JWKS_ALGORITHMS', 'RSA-OAEP'],
    ['JWKS_REFRESH_MS', '999'],
    ['JWKS_COOLDOWN_MS', '-1'],
    ['TICKET_MS', '999'],
  ])('refuses %s=%s with a sentence that names the variable', (name, value) => {
    expect(refusal({ [name]: value })).toMatch(new RegExp(`^${name} must be .+\\.$`));
  });

  it('never repeats a secret in a refusal', () => {
    expect(refusal({ DATABASE_URL: 'postgre://belfry:hunter2@db/belfry' })).not.toContain('hunter2');
    expect(refusal({ DATABASE_URL, JWT_SECRET: 'too-short-a-secret' })).not.toContain('too-short-a-secret');
  });

  it('accepts a database behind a Unix socket', () => {
    const url = 'postgresql:///belfry?host=/var/run/postgresql';
    expect(loadConfig({ DATABASE_URL: url, JWT_SECRET }).databaseUrl).toBe(url);
  });

  it.each(['localhost', '127.0.0.1', '127.0.1.1', '::1'])('lets demo mode listen on %s', host => {
    expect(loadConfig({ HOST: host }).host).toBe(host);
  });

  it.each(['0.0.0.0', '::', '192.168.1.7', 'example.com', '127.0.0.1.example.com'])(
    'does not let demo mode listen on %s',
    host => {
      expect(refusal({ HOST: host })).toContain('HOST must be a loopback address');
    },
  );

  it('needs a secret or an issuer with a database', () => {
    const sentence = refusal({ DATABASE_URL });
    expect(sentence).toMatch(/^JWT_SECRET .* or JWKS_URL must be set when DATABASE_URL is\.$/);
    expect(refusal({ DATABASE_URL, JWKS_ALGORITHMS: 'RS256' })).toBe(sentence);
    expect(refusal({ DATABASE_URL, JWT_SECRET: '', JWKS_URL: '' })).toBe(sentence);
  });

  it.each([
    [{ JWT_SECRET }, JWT_SECRET, undefined],
    [{ JWKS_URL }, undefined, JWKS_URL],
    [{ JWT_SECRET, JWKS_URL }, JWT_SECRET, JWKS_URL],
    [{ JWT_SECRET: '', JWKS_URL }, undefined, JWKS_URL],
  ])('takes %j', (keys, jwtSecret, jwksUrl) => {
    for (const mode of [{}, { DATABASE_URL }, { DATABASE_URL, NODE_ENV: 'production' }]) {
      expect(loadConfig({ ...keys, ...mode })).toMatchObject({ jwtSecret, jwksUrl });
    }
  });

  it('reads a list of algorithms, with spaces', () => {
    const config = loadConfig({ JWKS_URL, JWKS_ALGORITHMS: 'ES256, EdDSA' });
    expect(config.jwksAlgorithms).toEqual(['ES256', 'EdDSA']);
  });

  it.each(['LISTEN_DATABASE_URL', 'MIGRATE_DATABASE_URL'])('needs a database for %s', name => {
    expect(refusal({ [name]: DATABASE_URL })).toBe(`DATABASE_URL must be set when ${name} is.`);
  });
});

describe('in production, the configuration', () => {
  const production = { NODE_ENV: 'production', DATABASE_URL };

  it('needs a database', () => {
    expect(refusal({ NODE_ENV: 'production' })).toContain('DATABASE_URL must be set');
  });

  it.each([
    'a'.repeat(64),
    'abababababababababababababababab',
    'changeme'.repeat(5),
    'secretsecretsecretsecretsecretsecret',
    'my-super-secret-jwt-key-for-belfry-please-change-me',
    'your-256-bit-secret-your-256-bit-secret',
    '0123456789abcdef0123456789abcdef',
    '12345678901234567890123456789012',
    'password1234567890password1234567890',
  ])('refuses the secret %s', secret => {
    expect(refusal({ ...production, JWT_SECRET: secret })).toContain('JWT_SECRET must be random');
  });

  it('needs keys that come over https, or from this machine', () => {
    for (const url of [
      'http://idp.example.com/keys',
      'http://10.0.0.7/keys',
      'http://localhost.example.com/',
    ]) {
      expect(refusal({ ...production, JWKS_URL: url })).toMatch(
        /^JWKS_URL must be an https:\/\/ URL in production/,
      );
      expect(loadConfig({ DATABASE_URL, JWKS_URL: url }).jwksUrl).toBe(url);
    }
    for (const url of [
      'https://idp.example.com/keys',
      'http://localhost:8080/keys',
      'http://127.0.0.1/keys',
    ]) {
      expect(loadConfig({ ...production, JWKS_URL: url }).jwksUrl).toBe(url);
    }
  });

  it('does not take a secret that can be guessed for having an issuer besides', () => {
    expect(refusal({ ...production, JWT_SECRET: 'a'.repeat(64), JWKS_URL })).toContain(
      'JWT_SECRET must be random',
    );
  });

  it('accepts random secrets in the usual encodings', () => {
    for (let round = 0; round < 500; round++) {
      for (const encoding of ['hex', 'base64', 'base64url'] as const) {
        const secret = randomBytes(32).toString(encoding);
        expect(loadConfig({ ...production, JWT_SECRET: secret }).jwtSecret).toBe(secret);
      }
    }
  });
});

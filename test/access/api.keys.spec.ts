import { Logger } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createHash } from 'node:crypto';

import { ApiKeys } from '../../src/access/api.keys.js';
import { Database } from '../../src/database/database.js';
import { Outage } from '../../src/errors/outage.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { testConfig } from '../support/shell-app.js';
import { TcpProxy } from '../support/tcp.proxy.js';

let test: TestDatabase;
let proxy: TcpProxy;
let database: Database;
let keys: ApiKeys;
let opened: ApiKeys[];
/** Statements that were sent, by name where they have one. */
let sent: string[];

beforeAll(async () => {
  test = await TestDatabase.create();
  proxy = await TcpProxy.start(test.url);
});
afterAll(async () => {
  await proxy.stop();
  await test.drop();
});
beforeEach(() => {
  Logger.overrideLogger(false);
  database = new Database(testConfig({ DATABASE_URL: proxy.urlOf(test.url) }));
  sent = [];
  for (const method of ['query', 'access'] as const) {
    const query = database[method].bind(database);
    jest.spyOn(database, method).mockImplementation(statement => {
      sent.push(statement.name ?? statement.text);
      return query<never>(statement);
    });
  }
  opened = [];
  keys = other();
});
afterEach(async () => {
  jest.restoreAllMocks();
  proxy.open();
  for (const one of opened) await one.beforeApplicationShutdown();
  await database.onApplicationShutdown();
});

const make = (more: { scopes?: string[]; expiresAt?: Date; tenant?: string } = {}) =>
  keys.create({ tenant: 'acme', name: 'billing', scopes: ['publish'], ...more });

/** Another instance, which remembers nothing yet. */
function other(): ApiKeys {
  const instance = new ApiKeys(database);
  opened.push(instance);
  return instance;
}

const refusal = async (key: string, by = keys): Promise<unknown> =>
  by.verify(key).then(
    () => 'accepted',
    (error: unknown) => (error as { code?: unknown }).code,
  );

const lookups = () => sent.filter(name => name === 'find-keys').length;

const ID = 'abc012xyz789';
const unknown = (n: number) => `bk_${n.toString(36).padStart(12, '0')}_${'s'.repeat(43)}`;

describe('a new key', () => {
  it('has an id and a secret of its own, and is told once', async () => {
    const { key, ...rest } = await make({ scopes: ['publish', 'tickets'] });
    expect(key).toMatch(new RegExp(`^bk_${rest.id}_[A-Za-z0-9]{43}$`));
    expect(rest).toEqual({
      id: expect.stringMatching(/^[a-z0-9]{12}$/),
      name: 'billing',
      tenant: 'acme',
      scopes: ['publish', 'tickets'],
      createdAt: expect.any(Date),
      expiresAt: null,
      revokedAt: null,
      lastUsedAt: null,
    });
    expect((await make()).key.slice(-43)).not.toBe(key.slice(-43));
  });

  it('is in the table as a hash, and its secret nowhere in the database or in a list', async () => {
    const { id, key } = await make();
    const secret = key.slice(-43);
    const [row] = await test.rows<{ hash: string; all: string }>(
      `select encode(secret_hash, 'hex') as hash, k::text as all from belfry.api_keys k where id = $1`,
      [id],
    );
    expect(row!.hash).toBe(createHash('sha256').update(secret).digest('hex'));
    expect(row!.all).not.toContain(secret);
    const listed = (await keys.list('acme')).find(listedKey => listedKey.id === id)!;
    expect(Object.keys(listed).sort()).toEqual(
      ['id', 'name', 'tenant', 'scopes', 'createdAt', 'expiresAt', 'revokedAt', 'lastUsedAt'].sort(),
    );
    expect(JSON.stringify(listed)).not.toContain(secret);
  });

  it('is in the list of its tenant and of all, newest first, and of no other tenant', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.unshift((await make({ tenant: 'listed' })).id);
    expect((await keys.list('listed')).map(({ id }) => id)).toEqual(ids);
    expect((await keys.list(undefined)).map(({ id }) => id)).toEqual(expect.arrayContaining(ids));
    expect(await keys.list('nobody')).toEqual([]);
  });
});

describe('a key', () => {
  it('speaks for its tenant, with its scopes and what they grant', async () => {
    const expiresAt = new Date(Date.now() + 60_000);
    const { id, key } = await make({ scopes: ['publish', 'jobs'], expiresAt });
    expect(await other().verify(key)).toEqual({
      tenant: 'acme',
      sub: `bk_${id}`,
      scopes: new Set(['publish', 'jobs']),
      topics: ['all'],
      wildcards: ['job:*'],
      expiresAt: expiresAt.getTime(),
      keyId: id,
    });
    const admin = await other().verify((await make({ scopes: ['admin'] })).key);
    expect(admin).toMatchObject({ wildcards: ['*'], expiresAt: Infinity });
  });

  it.each([
    ['without its secret', `bk_${ID}`],
    ['with an empty secret', `bk_${ID}_`],
    ['with a short secret', `bk_${ID}_${'s'.repeat(42)}`],
    ['with a long secret', `bk_${ID}_${'s'.repeat(44)}`],
    ['with a short id', `bk_${ID.slice(1)}_${'s'.repeat(43)}`],
    ['with an id in capitals', `bk_${ID.toUpperCase()}_${'s'.repeat(43)}`],
    ['with a character that no secret has', `bk_${ID}_${'s'.repeat(42)}-`],
    ['with a line break behind it', `bk_${ID}_${'s'.repeat(43)}\n`],
    ['that is endless', `bk_${'a'.repeat(16_000)}`],
  ])('%s is refused without a query', async (_what, key) => {
    expect(await refusal(key)).toBe('key-invalid');
    expect(sent).toEqual([]);
  });

  it('with an unknown id, or with another secret, is refused with one and the same answer', async () => {
    const { id, key } = await make();
    const wrong = `bk_${id}_${(await make()).key.slice(-43)}`;
    const answers = [];
    for (const bad of [unknown(1), wrong]) answers.push(await keys.verify(bad).catch((e: unknown) => e));
    expect(answers[0]).toMatchObject({ code: 'key-invalid', status: 401 });
    expect(answers[1]).toEqual(answers[0]);
    // And the same again when the right one is remembered, also in what it costs.
    await keys.verify(key);
    const before = lookups();
    expect(await refusal(wrong)).toBe('key-invalid');
    expect(lookups()).toBe(before + 1);
    expect(await refusal(key)).toBe('accepted');
  });

  it('that has expired is refused as key-expired, if its secret is right', async () => {
    const { id, key } = await make({ expiresAt: new Date(Date.now() - 1) });
    expect(await refusal(key)).toBe('key-expired');
    expect(await refusal(key)).toBe('key-expired');
    expect(await refusal(`bk_${id}_${'s'.repeat(43)}`)).toBe('key-invalid');
  });

  it('is refused from its expiry on, although it is remembered', async () => {
    const expiresAt = Date.now() + 3_600_000;
    const { key } = await make({ expiresAt: new Date(expiresAt) });
    await keys.verify(key);
    const clock = jest.spyOn(Date, 'now').mockReturnValue(expiresAt - 1);
    expect(await refusal(key)).toBe('accepted');
    clock.mockReturnValue(expiresAt);
    expect(await refusal(key)).toBe('key-expired');
    expect(lookups()).toBe(1);
  });

  it('that was revoked is refused as key-revoked, here at once, if its secret is right', async () => {
    const { id, key } = await make();
    await keys.verify(key);
    expect(await keys.revoke(id)).toBe(true);
    expect(await refusal(key)).toBe('key-revoked');
    expect(await refusal(key, other())).toBe('key-revoked');
    expect(await refusal(`bk_${id}_${'s'.repeat(43)}`)).toBe('key-invalid');
    const [row] = await keys.list('acme');
    expect(row!.id === id ? row!.revokedAt : undefined).toBeInstanceOf(Date);
    expect(await test.rows('select tenant, sub from belfry.revocations where key_id = $1', [id])).toEqual([
      { tenant: 'acme', sub: null },
    ]);
  });

  it('is revoked in its own tenant only, and as often as one likes', async () => {
    const { id, key } = await make();
    expect(await keys.revoke(id, 'elsewhere')).toBe(false);
    expect(await keys.revoke('000000000000')).toBe(false);
    expect(await refusal(key)).toBe('accepted');
    expect(await keys.revoke(id, 'acme')).toBe(true);
    expect(await keys.revoke(id, 'acme')).toBe(true);
  });
});

describe('the lookup', () => {
  it('is not done for a key that is remembered, and is done again for one that is to be forgotten', async () => {
    const { id, key } = await make();
    const caller = await keys.verify(key);
    for (let n = 0; n < 100; n++) expect(await keys.verify(key)).toBe(caller);
    expect(lookups()).toBe(1);
    keys.forget(id);
    expect(await keys.verify(key)).toEqual(caller);
    expect(lookups()).toBe(2);
  });

  it('is done again after a minute, should the row be gone without a word', async () => {
    const { id, key } = await make();
    await keys.verify(key);
    await test.rows('delete from belfry.api_keys where id = $1', [id]);
    const now = performance.now.bind(performance);
    let ahead = 30_000;
    jest.spyOn(performance, 'now').mockImplementation(() => now() + ahead);
    expect(await refusal(key)).toBe('accepted');
    expect(lookups()).toBe(1);
    ahead = 60_000;
    // The cache looks at the clock once in a millisecond.
    await until('a lookup', async () => (await refusal(key)) === 'key-invalid');
    expect(lookups()).toBe(2);
  });

  it('of a thousand unknown keys at once takes one query, and finds the good one among them', async () => {
    const { key } = await make();
    const answers = await Promise.all(
      [...Array.from({ length: 1_000 }, (_, n) => unknown(n)), key].map(k => refusal(k)),
    );
    expect(answers.slice(0, -1)).toEqual(Array.from({ length: 1_000 }, () => 'key-invalid'));
    expect(answers.at(-1)).toBe('accepted');
    expect(lookups()).toBe(1);
  });

  it('takes a bounded number of queries from whoever goes on guessing', async () => {
    const began = performance.now();
    let guesses = 0;
    const guess = async () => {
      while (performance.now() - began < 400) expect(await refusal(unknown(guesses++))).toBe('key-invalid');
    };
    await Promise.all(Array.from({ length: 50 }, guess));
    const longest = performance.now() - began;
    expect(guesses).toBeGreaterThan(50);
    expect(lookups()).toBeLessThanOrEqual(Math.ceil(longest / 50) + 1);
  });

  it('is not done for one more than may wait, which is told to come later', async () => {
    const { key } = await make();
    const client = await test.pool.connect();
    await client.query('begin; lock table belfry.api_keys');
    const first = refusal(unknown(0));
    const waits = () =>
      test.rows<{ name: string }>(
        `select application_name as name from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%belfry.api_keys%'`,
      );
    await until('the first is looked up', async () => (await waits()).length > 0);
    const waiting = Array.from({ length: 10_000 }, (_, n) => refusal(unknown(n + 1)));
    try {
      const later = { code: 'rate-limited', status: 429, retryAfterSeconds: 1 };
      await expect(keys.verify(key)).rejects.toMatchObject(later);
      waiting.push(refusal(unknown(1)));
      // And none that the tail needs.
      expect(await waits()).toEqual([{ name: 'belfry-access' }]);
    } finally {
      await client.query('rollback');
      client.release();
    }
    expect(new Set(await Promise.all([first, ...waiting]))).toEqual(new Set(['key-invalid']));
    expect(lookups()).toBe(2);
    expect(await refusal(key)).toBe('accepted');
  });

  it('that does not reach the database says so; with it again, it works', async () => {
    const { key } = await make();
    proxy.refuse();
    const refused = await Promise.all(
      [keys.verify(key), keys.verify(unknown(1))].map(v => v.catch((e: unknown) => e)),
    );
    for (const error of refused) expect(error).toBeInstanceOf(Outage);
    proxy.open();
    await until('a key that is accepted', async () => (await refusal(key)) === 'accepted');
    // A remembered key needs no database.
    proxy.refuse();
    expect(await refusal(key)).toBe('accepted');
    expect(await refusal(`${key.slice(0, -1)}-`)).toBe('key-invalid');
  });
});

describe('the last use', () => {
  async function lastUsed(id: string): Promise<Date | null> {
    const [row] = await test.rows<{ at: Date | null }>(
      'select last_used_at as at from belfry.api_keys where id = $1',
      [id],
    );
    return row!.at;
  }

  it('of many keys is written with one statement, to the minute, and only of keys that exist', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => make()));
    const before = Math.floor(Date.now() / 60_000) * 60_000;
    // Together: one after the other their lookups take as long as uses are gathered.
    await Promise.all(made.map(({ key }) => keys.verify(key)));
    await refusal(unknown(1));
    await until('a last use of each', async () => {
      const uses = await Promise.all(made.map(({ id }) => lastUsed(id)));
      return uses.every(at => at !== null);
    });
    const at = (await lastUsed(made[0]!.id))!.getTime();
    expect(at % 60_000).toBe(0);
    expect(at).toBeGreaterThanOrEqual(before);
    expect(at).toBeLessThanOrEqual(Date.now());
    expect(sent.filter(name => name === 'write-key-uses')).toHaveLength(1);
  });

  it('is not written again within the minute', async () => {
    const [hot, cold] = await Promise.all([make(), make()]);
    await keys.verify(hot.key);
    await until('its last use', async () => (await lastUsed(hot.id)) !== null);
    await test.rows('update belfry.api_keys set last_used_at = null where id = $1', [hot.id]);
    for (let n = 0; n < 100; n++) await keys.verify(hot.key);
    await keys.verify(cold.key);
    await until('the last use of another', async () => (await lastUsed(cold.id)) !== null);
    expect(await lastUsed(hot.id)).toBeNull();
  });

  it('is written at shutdown, and nothing is noted after that', async () => {
    const [used, late] = await Promise.all([make(), make()]);
    await keys.verify(used.key);
    await keys.beforeApplicationShutdown();
    expect(await lastUsed(used.id)).not.toBeNull();
    await keys.verify(late.key);
    await keys.beforeApplicationShutdown();
    expect(await lastUsed(late.id)).toBeNull();
  });

  it('that cannot be written is a warning, and no request waits for it or fails', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const { id, key } = await make();
    await keys.verify(key);
    proxy.refuse();
    expect(await refusal(key)).toBe('accepted');
    await until('a warning', () =>
      warn.mock.calls.some(([message]) => /API keys were used/.test(String(message))),
    );
    expect(await refusal(key)).toBe('accepted');
    // Kept for later: here the shutdown.
    proxy.open();
    await keys.beforeApplicationShutdown();
    expect(await lastUsed(id)).not.toBeNull();
  });

  it('is not waited for where another transaction holds the row', async () => {
    const [held, free] = await Promise.all([make(), make()]);
    const client = await test.pool.connect();
    await client.query('begin');
    await client.query('select from belfry.api_keys where id = $1 for update', [held.id]);
    try {
      await keys.verify(held.key);
      await keys.verify(free.key);
      await until('the last use of the other', async () => (await lastUsed(free.id)) !== null, 10_000);
    } finally {
      await client.query('rollback');
      client.release();
    }
  });
});

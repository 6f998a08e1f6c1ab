import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { RateWindows } from '../../src/access/rate.windows.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { type Answer, type Claims, Instance, tokenFor } from '../support/instance.js';
import { SseClient } from '../support/sse.client.js';

describe('requests in a minute', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { USER_REQUESTS_PER_MINUTE: '3' });
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  async function ask(claims: Claims, instance = belfry): Promise<Answer> {
    return instance.request('GET', '/v1/events', { token: await tokenFor(claims) });
  }

  async function statuses(claims: Claims, count: number, instance = belfry): Promise<number[]> {
    const answers: number[] = [];
    for (let n = 0; n < count; n++) answers.push((await ask(claims, instance)).status);
    return answers;
  }

  function expectRefused(answer: Answer): void {
    expect(answer).toMatchObject({ status: 429, json: { status: 429, code: 'rate-limited' } });
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    const seconds = Number(answer.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(30);
    expect(seconds).toBeLessThanOrEqual(60);
  }

  it('past the limit of a user are refused, and the answer says when to try again', async () => {
    expect(await statuses({ sub: 'ada' }, 3)).toEqual([200, 200, 200]);
    expectRefused(await ask({ sub: 'ada' }));
  });

  it('are those of one user in one tenant', async () => {
    expect(await statuses({ sub: 'bea' }, 4)).toEqual([200, 200, 200, 429]);
    expect((await ask({ sub: 'bea', tenant: 'acme' })).status).toBe(200);
    expect((await ask({ sub: 'ben' })).status).toBe(200);
  });

  it('are counted over all routes and tokens of the user, also those that fail', async () => {
    await ask({ sub: 'cleo', roles: ['a'] });
    await ask({ sub: 'cleo', roles: ['b'] });
    const forbidden = await belfry.request('GET', '/v1/stream?topic=user:x', {
      token: await tokenFor({ sub: 'cleo' }),
    });
    expect(forbidden.status).toBe(403);
    expectRefused(await ask({ sub: 'cleo' }));
  });

  it('are counted also where a scope is missing', async () => {
    const token = await tokenFor({ sub: 'dora' });
    const publish = () => belfry.request('POST', '/v1/events', { token, body: { topic: 'all', type: 'a' } });
    for (let n = 0; n < 3; n++) {
      expect(await publish()).toMatchObject({ status: 403, json: { code: 'scope-missing' } });
    }
    expectRefused(await publish());
  });

  it('are not counted where nobody is asked who they are, or where nobody is let in', async () => {
    const token = await tokenFor({ sub: 'dan' });
    for (let n = 0; n < 5; n++) {
      expect((await belfry.request('GET', '/health/live', { token })).status).toBe(200);
      expect((await ask({ sub: 'dan', exp: 1_700_000_000 })).status).toBe(401);
    }
    expect((await ask({ sub: 'dan' })).status).toBe(200);
  });

  it.each(['GET', 'POST'])('turn a stream by %s away in a way that browsers come back from', async method => {
    const sub = `eve-${method}`;
    await statuses({ sub }, 3);
    const authorization = `Bearer ${await tokenFor({ sub })}`;
    const client = await SseClient.open(`${belfry.url}/v1/stream`, { authorization }, { method });
    await client.isClosed();
    expect(client.status).toBe(200);
    expect(client.headers['content-type']).toMatch(/^text\/event-stream/);
    expect(client.heard).toEqual([]);
    expect(client.retries).toHaveLength(1);
    expect(client.retries[0]).toBeGreaterThanOrEqual(10_000);
  });

  it('of a backend have no limit and cost nothing, unless one is set', async () => {
    const increment = jest.spyOn(RateWindows.prototype, 'increment');
    expect(await statuses({ sub: 'fay', scope: 'publish' }, 5)).toEqual([200, 200, 200, 200, 200]);
    expect(increment).not.toHaveBeenCalled();
  });

  it('of a backend are counted apart from those of the user of that name', async () => {
    const strict = await Instance.start(database.url, {
      USER_REQUESTS_PER_MINUTE: '2',
      BACKEND_REQUESTS_PER_MINUTE: '2',
    });
    expect(await statuses({ sub: 'gus', scope: 'jobs' }, 3, strict)).toEqual([200, 200, 429]);
    expect(await statuses({ sub: 'gus' }, 3, strict)).toEqual([200, 200, 429]);
    expect((await ask({ sub: 'gus', scope: 'jobs', tenant: 'acme' }, strict)).status).toBe(200);
    await strict.stop();
  });

  it('of a user have no limit when none is set', async () => {
    const free = await Instance.start(database.url, { USER_REQUESTS_PER_MINUTE: '0' });
    const increment = jest.spyOn(RateWindows.prototype, 'increment');
    expect(await statuses({ sub: 'ivy' }, 5, free)).toEqual([200, 200, 200, 200, 200]);
    expect(increment).not.toHaveBeenCalled();
    await free.stop();
  });
});

describe('a window of requests', () => {
  const isBlocked = async (windows: RateWindows, key: string, ms: number, limit: number) =>
    (await windows.increment(key, ms, limit)).isBlocked;

  it('ends, however often was asked in it, and then there is room again', async () => {
    const windows = new RateWindows();
    expect(await isBlocked(windows, 'a', 50, 1)).toBe(false);
    const counted = await windows.increment('a', 50, 1);
    expect(counted).toEqual({ totalHits: 2, timeToExpire: 1, isBlocked: true, timeToBlockExpire: 1 });
    await until('the end of the window', async () => !(await isBlocked(windows, 'a', 50, 1)));
  });

  it('needs no timer, and those of too many callers are forgotten, the ones in use last', async () => {
    const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length;
    const before = timers();
    const windows = new RateWindows();
    for (let n = 0; n < 50_000; n++) {
      await windows.increment(`idle ${n}`, 60_000, 1);
      if (n % 1_000 === 0) await windows.increment('busy', 60_000, 1);
    }
    expect(timers()).toBeLessThanOrEqual(before);
    expect(windows['windows'].size).toBeLessThan(50_000);
    expect(await isBlocked(windows, 'busy', 60_000, 1)).toBe(true);
    expect(await isBlocked(windows, 'idle 0', 60_000, 1)).toBe(false);
  });
});

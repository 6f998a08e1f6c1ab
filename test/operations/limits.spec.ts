import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { event, post, postLines } from '../events/posting.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';

describe('a limit that is set', () => {
  let database: TestDatabase;
  const started: Instance[] = [];

  beforeAll(async () => {
    database = await TestDatabase.create();
  });
  afterAll(async () => {
    await Promise.all(started.map(belfry => belfry.stop()));
    await database.drop();
  });

  async function start(env: NodeJS.ProcessEnv): Promise<Instance> {
    const belfry = await Instance.start(database.url, env);
    started.push(belfry);
    return belfry;
  }

  const topics = (count: number) => Array.from({ length: count }, (_, n) => `user:${n}`);
  const query = (count: number) => `?topic=${topics(count).join('&topic=')}`;

  it('of topics counts for streams and history', async () => {
    const belfry = await start({ MAX_TOPICS: '3' });
    const token = await admin();
    for (const refused of [
      await belfry.request('GET', `/v1/stream${query(4)}`, { token }),
      await belfry.request('POST', '/v1/stream', { token, body: { topics: topics(4) } }),
      await belfry.request('GET', `/v1/events${query(4)}`, { token }),
    ]) {
      expect(refused).toMatchObject({ status: 400, json: { code: 'topics-too-many' } });
      expect(refused.text).toContain('at most 3 topics');
    }
    const client = await (await belfry.stream(query(3))).isReady();
    client.cut();
  });

  it('of topics may be more than the usual one', async () => {
    const belfry = await start({ MAX_TOPICS: '500' });
    const body = { topics: topics(500), lastEventId: 'earliest' };
    const page = await belfry.request('GET', `/v1/events${query(500)}`, { token: await admin() });
    expect(page.status).toBe(200);
    const refused = await belfry.request('POST', '/v1/stream', {
      token: await admin(),
      body: { ...body, topics: topics(501) },
    });
    expect(refused.text).toContain('at most 500 topics');
  });

  it('of data counts for JSON and NDJSON, and the answer names it', async () => {
    const belfry = await start({ MAX_DATA_BYTES: '100' });
    const fits = event('small:1', 'x'.repeat(98));
    const tooLarge = event('small:1', 'x'.repeat(99));
    expect((await post(belfry, [fits])).status).toBe(201);
    expect((await postLines(belfry, JSON.stringify(fits))).status).toBe(201);
    for (const refused of [
      await post(belfry, [tooLarge]),
      await postLines(belfry, JSON.stringify(tooLarge)),
    ]) {
      expect(refused).toMatchObject({ status: 413, json: { code: 'data-too-large' } });
      expect(refused.text).toContain('has 101 bytes and may have 100;');
    }
  });

  it('of data may be as large as 1 MiB, in a line too, and reaches the stream', async () => {
    const belfry = await start({ MAX_DATA_BYTES: `${1024 * 1024}` });
    const live = await (await belfry.stream('?topic=large:1')).isReady();
    const text = 'x'.repeat(1024 * 1024 - 2);
    expect((await post(belfry, event('large:1', text))).status).toBe(201);
    expect((await postLines(belfry, JSON.stringify(event('large:1', text)))).status).toBe(201);
    await live.hears(2);
    expect(live.payloads).toEqual([text, text]);
    live.cut();
    const late = await belfry.stream('?topic=large:1&lastEventId=earliest');
    await late.hears(2);
    expect(late.payloads).toEqual([text, text]);
    late.cut();
    const tooLong = await postLines(belfry, ' '.repeat(1024 * 1024 + 64 * 1024 + 1));
    expect(tooLong).toMatchObject({ status: 413, json: { code: 'line-too-long' } });
  });
});

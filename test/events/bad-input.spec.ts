import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { TestDatabase } from '../support/databases.js';
import { admin, type Answer, Instance } from '../support/instance.js';
import { post, postLines, traceOf } from './posting.js';

const GOOD = '{"topic":"user:1","type":"good"}';
const KIB64 = 64 * 1024;

const event = (members: Record<string, unknown>) =>
  JSON.stringify({ topic: 'user:1', type: 'a', data: 1, ...members });
const withData = (data: string) => `{"topic":"user:1","type":"a","data":${data}}`;
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

type Case = readonly [name: string, text: string, status: number, code: string, topic?: string];

const topicCase = (name: string, topic: string): Case => [
  name,
  event({ topic }),
  400,
  'topic-invalid',
  topic.slice(0, 200),
];

const BAD_EVENTS: Case[] = [
  topicCase('a topic without a colon', 'user'),
  topicCase('a topic with two colons', 'user:4:2'),
  topicCase('a topic of 201 characters', `user:${'x'.repeat(196)}`),
  topicCase('a wildcard of a kind', 'user:*'),
  topicCase('a wildcard of everything', '*'),
  topicCase('an empty kind', ':42'),
  topicCase('an empty id', 'user:'),
  topicCase('a colon alone', ':'),
  topicCase('an empty topic', ''),
  topicCase('a topic with a space', 'user:4 2'),
  topicCase('a topic with an umlaut', 'user:jürgen'),
  topicCase('a topic with an emoji', 'user:😀'),
  topicCase('a topic with a line break', 'user:4\n2'),
  topicCase('a topic with a line break at its end', 'user:42\n'),
  topicCase('a topic with NUL', 'user:\u0000'),
  topicCase('a topic with a quote', 'user:"'),
  topicCase('a topic with a backslash', 'user:\\'),
  topicCase('a topic with a question mark', 'user:?'),
  topicCase('"All"', 'All'),
  ['a lone surrogate in the topic', '{"topic":"user:\\ud800","type":"a"}', 400, 'topic-invalid'],
  ['no topic', '{"type":"a"}', 400, 'event-invalid'],
  ['a topic that is a number', event({ topic: 5 }), 400, 'event-invalid'],
  ['a topic that is a list', event({ topic: ['user:1'] }), 400, 'event-invalid'],
  ['an empty object', '{}', 400, 'event-invalid'],
  ['a topic that only a prototype has', '{"__proto__":{"topic":"user:1","type":"a"}}', 400, 'event-invalid'],
  ['no type', '{"topic":"user:1"}', 400, 'event-invalid'],
  ['an empty type', event({ type: '' }), 400, 'event-invalid'],
  ['a type that is null', event({ type: null }), 400, 'event-invalid'],
  ['a type with CR', event({ type: 'a\rb' }), 400, 'type-invalid'],
  ['a type with LF', event({ type: 'a\nid: x' }), 400, 'type-invalid'],
  ['a type with NUL', event({ type: 'a\u0000' }), 400, 'type-invalid'],
  ['a type of 201 characters', event({ type: 'x'.repeat(201) }), 400, 'type-invalid'],
  ['a lone surrogate in the type', '{"topic":"user:1","type":"\\udc00"}', 400, 'type-invalid'],
  ...['ready', 'reset', 'end', 'heartbeat', 'error', 'open', 'message'].map((type): Case => [
    `the reserved type ${type}`,
    event({ type }),
    400,
    'type-reserved',
  ]),
  ...['notification.x', 'inbox.updated', 'job.progress', 'job.'].map((type): Case => [
    `the reserved type ${type}`,
    event({ type }),
    400,
    'type-reserved',
  ]),
  ['a reserved type in escapes', '{"topic":"user:1","type":"\\u0072eady"}', 400, 'type-reserved'],
  ['data of 64 KiB and a byte', withData(`"${'x'.repeat(KIB64 - 1)}"`), 413, 'data-too-large'],
  ['multi-byte data over 64 KiB', withData(`"${'é'.repeat(KIB64 / 2)}"`), 413, 'data-too-large'],
  ['data that nests 65 levels deep', withData(nested(65)), 400, 'data-invalid'],
  ['data that nests 20,000 levels deep', withData(nested(20_000)), 400, 'data-invalid'],
  ['a key that is a number', event({ key: 7 }), 400, 'event-invalid'],
  ['an empty key', event({ key: '' }), 400, 'event-invalid'],
  ['a key of 201 characters', event({ key: 'x'.repeat(201) }), 400, 'event-invalid'],
  ['a key with NUL', event({ key: '\u0000' }), 400, 'event-invalid'],
  ['a lone surrogate in the key', '{"topic":"user:1","type":"a","key":"\\ud83d"}', 400, 'event-invalid'],
  ['a dedupeId that is an object', event({ dedupeId: {} }), 400, 'event-invalid'],
  ['an empty dedupeId', event({ dedupeId: '' }), 400, 'event-invalid'],
  ['a dedupeId of 201 characters', event({ dedupeId: 'x'.repeat(201) }), 400, 'event-invalid'],
  [
    'a lone surrogate in the dedupeId',
    '{"topic":"user:1","type":"a","dedupeId":"\\ud83d"}',
    400,
    'event-invalid',
  ],
  ...(
    [
      4_102_444_800,
      '',
      'tomorrow',
      '2030-01-31',
      '2030-01-31T12:00:00',
      '2030-13-01T00:00:00Z',
      '2030-02-30T00:00:00Z',
      '2030-01-31T25:00:00Z',
      '0000-01-01T00:00:00Z',
      '2030-01-31T12:00:00+99:00',
      'Thu, 31 Jan 2030 12:00:00 GMT',
    ] as const
  ).map((expiresAt): Case => [
    `the expiresAt ${JSON.stringify(expiresAt)}`,
    event({ expiresAt }),
    400,
    'event-invalid',
  ]),
];

/** Elements of a list that are no objects. */
const NO_OBJECTS = ['5', '"user:1"', 'null', 'true', '[]', `[${GOOD}]`];

const BAD_BODIES: readonly (readonly [
  name: string,
  body: string | Uint8Array,
  status: number,
  code: string,
])[] = [
  ['an empty body', '', 400, 'json-invalid'],
  ['a body that is not JSON', 'topic=user:1', 400, 'json-invalid'],
  ['JSON that breaks off', `[${GOOD},{"topic":"user:1","ty`, 400, 'json-invalid'],
  ['JSON with something behind it', `${GOOD} x`, 400, 'json-invalid'],
  ['20,000 opening brackets', '['.repeat(20_000), 400, 'json-invalid'],
  ['a list in lists', nested(20_000), 400, 'event-invalid'],
  ['a line break inside a string', '{"topic":"user:1","type":"a\nb"}', 400, 'json-invalid'],
  ['a string', '"user:1"', 400, 'body-invalid'],
  ['a number', '1', 400, 'body-invalid'],
  ['null', 'null', 400, 'body-invalid'],
  ['"events" that is an object', `{"events":${GOOD}}`, 400, 'body-invalid'],
  [
    '"events" that is null, beside an event',
    '{"topic":"user:1","type":"a","events":null}',
    400,
    'body-invalid',
  ],
  [
    'bytes that are not UTF-8',
    Buffer.from('{"topic":"user:1","type":"\xff"}', 'latin1'),
    400,
    'body-invalid',
  ],
  [
    'an encoded surrogate',
    Buffer.from(`{"topic":"user:1","type":"a","data":"\xed\xa0\x80"}`, 'latin1'),
    400,
    'body-invalid',
  ],
  ['UTF-16', Buffer.from(GOOD, 'utf16le'), 400, 'json-invalid'],
  ['1,001 events', `[${Array(1_001).fill(GOOD).join(',')}]`, 413, 'events-too-many'],
  ['1,001 events in an object', `{"events":[${Array(1_001).fill(GOOD).join(',')}]}`, 413, 'events-too-many'],
];

describe('a bad request', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let small: Instance;
  let before: unknown;

  beforeAll(async () => {
    database = await TestDatabase.create();
    [belfry, small] = await Promise.all([
      Instance.start(database.url),
      Instance.start(database.url, { MAX_BODY_BYTES: '4096' }),
    ]);
  });
  beforeEach(async () => {
    before = await traceOf(database);
  });
  afterAll(async () => {
    await Promise.all([belfry.stop(), small.stop()]);
    await database.drop();
  });

  async function expectRefusal(answer: Answer, status: number, code: string): Promise<void> {
    expect(answer.json).toMatchObject({
      status,
      code,
      type: `urn:belfry:problem:${code}`,
      title: expect.any(String),
      detail: expect.stringMatching(/.{10}/),
    });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(await traceOf(database)).toEqual(before);
  }

  describe.each(BAD_EVENTS)('with %s', (_name, text, status, code, topic) => {
    const named = topic === undefined ? {} : { topic };

    it('as its only event is refused', async () => {
      const answer = await post(belfry, text);
      await expectRefusal(answer, status, code);
      expect(answer.json).toMatchObject({ index: 0, ...named });
    });

    it.each([
      ['a list', (list: string) => list],
      ['"events"', (list: string) => `{"events":${list}}`],
    ])('as the third event of %s is refused, naming it, and nothing is stored', async (_shape, body) => {
      const answer = await post(belfry, body(`[${GOOD},${GOOD},${text},${GOOD}]`));
      await expectRefusal(answer, status, code);
      expect(answer.json).toMatchObject({ index: 2, ...named });
    });

    it('as a line is refused, naming it', async () => {
      const answer = await postLines(belfry, `\n${text}\n${GOOD}\n`);
      await expectRefusal(answer, status, code);
      expect(answer.json).toMatchObject({ line: 2, stored: 0, last: null, ...named });
    });
  });

  it.each(NO_OBJECTS)('with %s for an event is refused, naming its index', async text => {
    const answer = await post(belfry, `[${GOOD},${text}]`);
    await expectRefusal(answer, 400, 'event-invalid');
    expect(answer.json).toMatchObject({ index: 1 });
  });

  it.each(NO_OBJECTS)('with %s for a line is refused, naming its line', async text => {
    const answer = await postLines(belfry, `${text}\n${GOOD}`);
    await expectRefusal(answer, 400, 'line-invalid');
    expect(answer.json).toMatchObject({ line: 1, stored: 0, last: null });
  });

  it.each(BAD_BODIES)('that is %s is refused', async (_name, body, status, code) => {
    await expectRefusal(await post(belfry, body), status, code);
  });

  it('names only the first event that is wrong', async () => {
    const answer = await post(belfry, `[${GOOD},${event({ type: '' })},${event({ topic: 'x' })}]`);
    await expectRefusal(answer, 400, 'event-invalid');
    expect(answer.json).toMatchObject({ index: 1 });
  });

  it.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['application/jsonl'],
    ['application/problem+json'],
    ['text/json'],
    [''],
  ])('with the content type "%s" is refused', async type => {
    const answer = await post(belfry, GOOD, { headers: { 'content-type': type } });
    await expectRefusal(answer, 415, 'media-type-unsupported');
  });

  it('without a content type is refused', async () => {
    const answer = await belfry.request('POST', '/v1/events', {
      token: await admin(),
      body: new TextEncoder().encode(GOOD),
    });
    await expectRefusal(answer, 415, 'media-type-unsupported');
  });

  it.each(['zstd', 'x-secret'])('in the encoding %s is refused', async encoding => {
    const answer = await post(belfry, GOOD, { headers: { 'content-encoding': encoding } });
    await expectRefusal(answer, 415, 'media-type-unsupported');
  });

  it('whose gzip is broken is refused', async () => {
    const answer = await post(belfry, gzipSync(GOOD).subarray(0, 20), {
      headers: { 'content-encoding': 'gzip' },
    });
    expect(answer.status).toBe(400);
    await expectRefusal(answer, 400, (answer.json as { code: string }).code);
  });

  it('over the largest body is refused, also when only inflating shows it', async () => {
    const body = withData(`"${'x'.repeat(5_000)}"`);
    await expectRefusal(await post(small, body), 413, 'body-too-large');
    const zipped = await post(small, gzipSync(body), { headers: { 'content-encoding': 'gzip' } });
    await expectRefusal(zipped, 413, 'body-too-large');
  });

  it.each([
    ['a control character', 'a\tb'],
    ['a letter beyond ASCII', 'schlüssel'],
    ['201 characters', 'x'.repeat(201)],
    ['nothing at all', ''],
  ])('whose Idempotency-Key has %s is refused', async (_name, key) => {
    const headers = { 'idempotency-key': key };
    await expectRefusal(await post(belfry, GOOD, { headers }), 400, 'idempotency-key-invalid');
    await expectRefusal(await postLines(belfry, GOOD, headers), 400, 'idempotency-key-invalid');
  });

  it('never shows what is inside the service', async () => {
    for (const body of ['{', '[1]', event({ type: 'a\u0000' })]) {
      const { text } = await post(belfry, body);
      expect(text).not.toMatch(/node_modules|at .*\.[jt]s:|belfry\.append/);
    }
  });
});

describe('the largest that is allowed', () => {
  let database: TestDatabase;
  let belfry: Instance;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url);
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  it.each([
    ['data of exactly 64 KiB', withData(`"${'x'.repeat(KIB64 - 2)}"`)],
    ['multi-byte data of exactly 64 KiB', withData(`"${'é'.repeat(KIB64 / 2 - 1)}"`)],
    ['data that nests 64 levels deep', withData(nested(64))],
    ['a topic of 200 characters', event({ topic: `user:${'x'.repeat(195)}` })],
    ['every character of a topic', event({ topic: 'aZ09._~-/@|+=%:aZ09._~-/@|+=%' })],
    ['the topic "all"', event({ topic: 'all' })],
    ['a type of 200 characters', event({ type: 'x'.repeat(200) })],
    ['a type with spaces and emoji', event({ type: 'ready set 😀' })],
    ...['readyset', 'Ready', 'jobs.done', 'inboxes', 'job', 'my.job.done'].map(
      type => [`the type ${type}, which only looks reserved,`, event({ type })] as const,
    ),
    ['key and dedupeId of 200 wide characters', event({ key: '漢'.repeat(200), dedupeId: '漢'.repeat(200) })],
    ['a leap day', event({ expiresAt: '2032-02-29T23:59:59.999999Z' })],
  ])('%s is stored', async (_name, text) => {
    const answer = await post(belfry, text);
    expect(answer.json).toMatchObject({ events: [{ duplicate: false }] });
    expect(answer.status).toBe(201);
    const lines = await postLines(belfry, text);
    expect(lines.status).toBe(201);
  });

  it('and an Idempotency-Key of 200 characters', async () => {
    const answer = await post(belfry, GOOD, { headers: { 'idempotency-key': '~'.repeat(200) } });
    expect(answer.status).toBe(201);
  });
});

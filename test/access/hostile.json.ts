import fc, { type Arbitrary } from 'fast-check';
import { anyBytes, asBytes, deep, INHERITED } from './hostile.js';

const MEMBERS = [
  ...['topic', 'type', 'data', 'key', 'expiresAt', 'dedupeId', 'events'],
  ...['topics', 'types', 'lastEventId', 'heartbeat', 'named', 'collapse'],
  ...['sub', 'roles', 'exp', 'tenant', 'name', 'scopes', 'keyId'],
  ...INHERITED,
  '',
];

export const SCALARS = [
  ...['null', 'true', 'false', '0', '-0', '0.1', '1e400', '-1E-999', '12345678901234567890', '4102444800'],
  ...['""', '"a"', '"user:1"', '"room:*"', '"*"', '"all"', '"earliest"', '"event"', '"default"', '"publish"'],
  ...['"ready"', '"job.x"', '"2099-01-01T00:00:00Z"', '"2099-02-30T00:00:00Z"', '"+275761-01-01T00:00:00Z"'],
  ...[String.raw`"\u0000"`, String.raw`"\ud800"`, String.raw`"\u2028\r\n\n"`, '"\u2028"', '"\ufeff"', '"😀"'],
  ...INHERITED.map(name => `"${name}"`),
  `"${'x'.repeat(300)}"`,
  `"${'é'.repeat(33_000)}"`,
  ...['[]', '{}', '["user:1","room:2"]', '["publish"]'],
  ...[64, 65, 5_000].map(deep),
];

/** JSON text, as often as not with members that some route knows; names may repeat, and values are hardly ever right. */
export const anyJson: Arbitrary<string> = fc.letrec<{ value: string; list: string; object: string }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(...SCALARS),
    fc.json({ maxDepth: 3 }),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('value'), { maxLength: 4 }).map(values => `[${values.join(', ')}]`),
  object: fc
    .array(fc.tuple(fc.constantFrom(...MEMBERS), tie('value')), { maxLength: 6 })
    .map(members => `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`),
})).value;

/** The text of an event that is mostly good: whatever may be in its parts. */
export const anyEvent: Arbitrary<string> = fc
  .record({
    topic: fc.constantFrom(
      'user:1',
      'all',
      'room:9',
      'a.b_c~d-/@|+=%:A%20',
      `k:${'x'.repeat(198)}`,
      '__proto__:1',
    ),
    type: fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }),
    key: fc.option(fc.oneof(fc.constantFrom(...INHERITED), fc.string({ unit: 'binary', maxLength: 12 }))),
    data: fc.oneof(
      anyJson,
      fc.string({ unit: 'binary' }).map(text => JSON.stringify(text)),
    ),
  })
  .map(
    ({ topic, type, key, data }) =>
      `{"type":${JSON.stringify(type)},"__proto__":{"key":1},"data":${data},"key":${JSON.stringify(key)},` +
      `"constructor":null,"topic":${JSON.stringify(topic)}}`,
  );

/** A line of NDJSON: a good event, a blank one, or one that stops the upload. */
export interface Line {
  readonly kind: 'good' | 'blank' | 'bad';
  readonly bytes: string;
}

export const anyLine: Arbitrary<Line> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(
        fc.constantFrom('a', 'b c', '\u2028'),
        fc.constantFrom(...SCALARS.slice(0, 30)),
        fc.constantFrom('', ' ', '\r'),
      )
      .map(([type, data, end]) => ({
        kind: 'good' as const,
        bytes: asBytes(`{"topic":"room:9","type":"${type}","data":${data}}${end}`),
      })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('', ' ', '\r', '\t').map(bytes => ({ kind: 'blank' as const, bytes })),
  },
  {
    weight: 1,
    arbitrary: fc
      .oneof(
        fc.constantFrom(
          '{',
          '[]',
          'null',
          '5',
          '{}',
          '{"topic":"room:9"}',
          '{"topic":"x","type":"a"}',
          deep(5_000),
        ),
        // No JSON begins like this.
        anyBytes(100).map(bytes => `\u0001${bytes.replaceAll('\n', '')}`),
        fc.constant('{"topic":"room:9","type":"\u00ff"}'),
        fc.constant(`{"topic":"room:9","type":"${'x'.repeat(20_000)}"}`),
      )
      .map(bytes => ({ kind: 'bad' as const, bytes })),
  },
);

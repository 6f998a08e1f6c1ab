import fc, { type Arbitrary } from 'fast-check';
import { INHERITED, near } from './hostile.js';

export const METHODS = [
  'GET',
  'GET',
  'GET',
  'HEAD',
  'POST',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'PURGE',
  'get',
  'G',
  '',
];

export const TARGETS = [
  '/',
  '//',
  '/v1/stream',
  '/V1//Stream/',
  '/v1/events?limit=1',
  '/v1/%65vents?limit=1',
  '/v1/events;x=1',
  '/v1/events/../stream',
  '/v1/admin/keys',
  '/v1/admin/keys/%',
  '/v1/admin/keys/%00',
  '/v1/admin/keys/%ed%a0%80',
  '/v1/admin/keys/a%2fb',
  '/v1/admin/keys/__proto__',
  '/docs',
  '/docs/',
  '/docs/%2e%2e/%2e%2e/package.json',
  '/docs/..%5c..%5cpackage.json',
  '/docs/%00',
  '/docs/%E0%A4%A',
  '/docs/LICENSE',
  '/health/live#fragment',
  '/health/live?%',
  '/__proto__',
  '/%',
  '/%E0%A4%A',
  '*',
  'v1/events',
  'http://elsewhere.example/v1/events?limit=1',
  'http://',
  'https:/v1/events',
  `/${'x'.repeat(12_000)}`,
];

export const VERSIONS = [
  ...Array<string>(12).fill('HTTP/1.1'),
  'HTTP/1.0',
  'HTTP/1.2',
  'HTTP/2.0',
  'HTTP/0.9',
  'http/1.1',
  'HTTP/1.1 ',
  '',
];

/** What requests are made of: in any order it is hardly one. */
export const FRAGMENTS = [
  'GET ',
  'POST ',
  '/v1/events',
  '/v1/stream',
  ' HTTP/1.1',
  'HTTP/1.1',
  '\r\n',
  '\r\n\r\n',
  '\n',
  '\0',
  'Host: x\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 99999999999999999999\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: upgrade\r\nUpgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  '5\r\nhello\r\n',
  'ffffffffffffffff\r\n',
  '0\r\n\r\n',
  ':',
  ' ',
  '\ud83d\ude00',
];

export const cursorsOf = (epoch: string): string[] => [
  ...[
    '1',
    '0',
    '2',
    '999999999',
    '9007199254740993',
    '9223372036854775808',
    '-1',
    '1e3',
    '01',
    '1.5',
    '',
  ].map(seq => `${epoch}.${seq}`),
  `${epoch.toUpperCase()}.1`,
  `${epoch}.1\u0000`,
  ` ${epoch}.1 `,
  '.1',
  'a.1',
  '__proto__.1',
  `${'a'.repeat(33)}.1`,
  'x'.repeat(3_000),
  'earliest',
  'Earliest',
  '0',
  'null',
];

export function headerValues(token: string, epoch: string): Record<string, string[]> {
  return {
    Authorization: [
      `Bearer ${token}`,
      `bearer   ${token}  `,
      `Bearer ${token} ${token}`,
      `Bearer ${token.slice(0, -2)}`,
      'Bearer',
      'Bearer ..',
      'Bearer a.b.c',
      'Bearer bk_',
      `Bearer bk_abc012xyz789_${'s'.repeat(43)}`,
      `Bearer bt_${'s'.repeat(43)}`,
      `Bearer ${'x'.repeat(9_000)}`,
      'Basic eDp5',
      '',
    ],
    Cookie: [
      `belfry_token=${token}`,
      `belfry_token="${token}"`,
      `belfry_token=%; belfry_token=${token}`,
      'belfry_token=',
      'belfry_token=%E0%A4%A',
      '__proto__=x; constructor=y',
      ';;;===;',
      ';'.repeat(5_000),
    ],
    Origin: ['null', '*', '', 'https://evil.example', 'http://', 'http://[::1', 'http://x:99999', 'file://'],
    'Last-Event-ID': cursorsOf(epoch),
    'Idempotency-Key': ['a', 'k'.repeat(200), 'k'.repeat(201), '', ' ', ...INHERITED, 'schl\u00fcssel'],
    'Content-Type': [
      'application/json',
      'application/json; charset=utf-8',
      'application/json; charset=utf-16',
      'application/json; charset=nonsense',
      'application/json; charset="',
      'APPLICATION/JSON;;',
      'application/vnd.x+json',
      'application/x-ndjson',
      'application/x-ndjson; charset=utf-16',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'text/plain',
      'application/',
      '/',
      '',
    ],
    'Content-Encoding': ['identity', 'gzip', 'deflate', 'br', 'zstd', 'gzip, gzip', 'GZIP', 'x', ''],
    'X-Request-Id': [
      'a',
      'a'.repeat(64),
      'a'.repeat(65),
      'a b',
      '"><script>',
      '%0d%0aX: y',
      '',
      ...INHERITED,
    ],
    Accept: ['*/*', 'text/event-stream', 'application/json;q=x', ';', '', 'a/b,'.repeat(500)],
    Expect: ['100-continue', '100-Continue, x', 'nonsense', ''],
    Range: ['bytes=0-0', 'bytes=9-1', 'bytes=0-0,2-2', 'x'],
    'If-None-Match': ['*', '"x"', 'W/'],
    'Sec-Fetch-Site': ['same-origin', 'cross-site', 'x'],
    'Accept-Encoding': ['gzip', 'identity;q=0', '*;q=0'],
    'Access-Control-Request-Method': ['POST', 'x'],
    Forwarded: ['for=1.2.3.4', '"'],
    Connection: ['close', 'keep-alive', 'upgrade', 'x'],
    Upgrade: ['websocket', 'h2c'],
  };
}

const LIST_PARAMETERS = ['topic', 'type'].flatMap(name => [
  name,
  `${name}s`,
  `${name}[]`,
  `${name}[0]`,
  `${name}[a]`,
]);

/** A whole query string, with its parameters in any number and order. */
export function anyQuery(epoch: string): Arbitrary<string> {
  const values = new Map([
    ...LIST_PARAMETERS.map(
      name => [name, ['room:1', 'user:%32', 'room:*', '*', 'all', 'a', 'user:', ':', '']] as const,
    ),
    ...['lastEventId', 'last_event_id', 'after'].map(name => [name, cursorsOf(epoch)] as const),
    ...['named', 'collapse'].map(name => [name, ['true', 'false', 'TRUE', '0', '']] as const),
    ['heartbeat', ['event', 'Event', 'true', '']],
    ['limit', ['1', '1000', '1001', '0', '-1', '1e2', '0x10', '1.0', ' 1', '\u0661', '9'.repeat(30), '']],
    // None that is long and right: nobody would be answered for as long.
    ['wait', ['0', '1ms', '0s', '61s', '-1s', '1e9', '1m', '99999999', '']],
    ['ticket', ['', 'bt_', `bt_${'s'.repeat(43)}`, 'x'.repeat(2_000), ...INHERITED]],
    ...INHERITED.map(name => [name, ['x', '']] as const),
  ] as (readonly [string, readonly string[]])[]);
  const garbage = [
    '%',
    '%zz',
    '%00',
    '%ff',
    '%ed%a0%80',
    '%0d%0a',
    '+',
    '&',
    '=',
    ';',
    '[',
    '%5B%5D',
    '?',
    '"',
  ];
  const parameter = fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .constantFrom(...values.keys())
        .chain(name => near(values.get(name) ?? []).map(value => `${name}=${value}`))
        .filter(text => !isLongWait(text)),
    },
    {
      weight: 1,
      arbitrary: fc.array(fc.constantFrom(...garbage), { maxLength: 5 }).map(parts => parts.join('')),
    },
  );
  return fc
    .array(parameter, { maxLength: 5 })
    .chain(parameters =>
      fc
        .constantFrom(1, 1, 1, 120)
        .map(times => parameters.flatMap(text => Array<string>(times).fill(text)).join('&')),
    )
    .map(query => query.replace(/[^\x21-\x7e]/g, character => encodeURIComponent(character)));
}

function isLongWait(parameter: string): boolean {
  const [, amount, unit] = /^wait=(\d+)(ms|s)?$/.exec(parameter) ?? [];
  const ms = Number(amount) * (unit === 'ms' ? 1 : 1_000);
  return ms > 20 && ms <= 60_000;
}

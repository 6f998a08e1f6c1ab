import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { KeepAlive } from '../../src/operations/keep.alive.js';
import { Subscriptions } from '../../src/stream/subscriptions.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';
import { RawConnection } from '../support/raw.connection.js';

/** Chunks go to the socket past Node's response: here is who must not be sent them that way. */
describe('a stream on the wire', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let token: string;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url);
    token = await admin();
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  async function send(method: string, path: string, version = '1.1'): Promise<RawConnection> {
    const connection = await RawConnection.open(belfry);
    connection.write(requestOf(method, path, version));
    return connection;
  }

  function requestOf(method: string, path: string, version = '1.1'): string {
    return `${method} ${path} HTTP/${version}\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  }

  it('is in chunks, each of the length it says', async () => {
    const connection = await send('GET', '/v1/stream?topic=wire:1');
    await connection.receives(/event: ready/);
    await belfry.publish([
      { topic: 'wire:1', type: 'a', data: 'é\u2028' },
      { topic: 'wire:1', type: 'last' },
    ]);
    await connection.receives(/event: last\n.*\n\n\r\n/);
    connection.cut();
    const [head, body] = splitOnce(connection.received, '\r\n\r\n');
    expect(head).toMatch(/transfer-encoding: chunked/i);
    const text = unchunked(Buffer.from(body));
    expect(text).toMatch(/^\n/);
    expect(text).toContain('"data":"é\u2028"');
    expect(text.endsWith('\n\n')).toBe(true);
  });

  it('has no chunks for a client of HTTP/1.0, such as a proxy that was not told otherwise', async () => {
    const connection = await send('GET', '/v1/stream?topic=wire:2', '1.0');
    await connection.receives(/event: ready/);
    await belfry.publish({ topic: 'wire:2', type: 'plain' });
    await connection.receives(/event: plain\n.*\n\n/);
    connection.cut();
    const [head, body] = splitOnce(connection.received, '\r\n\r\n');
    expect(head).not.toMatch(/transfer-encoding/i);
    expect(body.split('\n').every(line => /^(?:(?:id|event|data|retry)?:.*)?$/.test(line))).toBe(true);
  });

  it('has no body for HEAD, and the connection goes on', async () => {
    const connection = await send('HEAD', '/v1/stream?topic=wire:3&lastEventId=earliest');
    await connection.receives(/\r\n\r\n/);
    connection.write(requestOf('GET', '/health/live'));
    await connection.receives(/\{"status":"ok"\}/);
    connection.cut();
    const [, rest] = splitOnce(connection.received, '\r\n\r\n');
    expect(rest).toMatch(/^HTTP\/1\.1 200/);
  });

  it.each(['/v1/stream', '/v1/stream/', '/V1/Stream'])('has few headers, also as %s', async path => {
    const connection = await send('GET', `${path}?topic=wire:3`);
    await connection.receives(/event: ready/);
    connection.cut();
    const [head] = splitOnce(connection.received, '\r\n\r\n');
    expect(head).toMatch(/x-content-type-options: nosniff/i);
    expect(head).not.toMatch(/content-security-policy/i);
  });

  it('waits for the answers that were asked for before it on the same connection', async () => {
    const connection = await RawConnection.open(belfry);
    const wait = '/v1/events?topic=wire:4&wait=30s';
    const { cursor } = (await belfry.request('GET', '/v1/events?topic=wire:4', { token })).json as {
      cursor: string;
    };
    connection.write(
      requestOf('GET', `${wait}&after=${cursor}`) + requestOf('GET', '/v1/stream?topic=wire:4'),
    );
    await until('both at work', () => belfry.app.get(Subscriptions)['open'].size === 1);
    await belfry.publish({ topic: 'wire:4', type: 'both' });
    await connection.receives(/event: both\n.*\n\n/);
    connection.cut();
    const [first, second] = connection.received.split(/(?=HTTP\/1\.1 200)/);
    expect(first).toContain('"type":"both"');
    expect(second).toMatch(/event: ready[^]*event: both/);
  });

  it('that waits behind another answer is over when the connection is', async () => {
    const connection = await RawConnection.open(belfry);
    const { cursor } = (await belfry.request('GET', '/v1/events?topic=wire:5', { token })).json as {
      cursor: string;
    };
    const open = belfry.app.get(Subscriptions)['open'];
    await until('no other stream', () => open.size === 0);
    connection.write(
      requestOf('GET', `/v1/events?topic=wire:5&wait=30s&after=${cursor}`) +
        requestOf('GET', '/v1/stream?topic=wire:5'),
    );
    await until('both at work', () => open.size === 1);
    connection.cut();
    await until('nobody', () => open.size === 0);
    // Nothing else holds on to the answers that nobody will ever take.
    await until('no response that is kept', () => belfry.app.get(KeepAlive)['open'].size === 0);
  });

  it('and many others on one connection leave one listener there', async () => {
    const warned = jest.fn();
    process.on('warning', warned);
    const connection = await RawConnection.open(belfry);
    connection.write(requestOf('GET', '/v1/stream?topic=wire:7').repeat(20));
    await until('all at work', () => belfry.app.get(Subscriptions)['open'].size === 20);
    connection.cut();
    await until('nobody', () => belfry.app.get(Subscriptions)['open'].size === 0);
    process.removeListener('warning', warned);
    expect(warned).not.toHaveBeenCalled();
  });

  it('leaves its connection for the next request when it ends', async () => {
    const limited = await Instance.start(database.url, { MAX_CONNECTIONS: '1' });
    const held = await (await limited.stream('?topic=wire:6')).isReady();
    const next = await RawConnection.open(limited);
    next.write(requestOf('GET', '/v1/stream?topic=wire:6'));
    await next.receives(/retry: \d+\n\n\r\n0\r\n\r\n/);
    next.write(requestOf('GET', '/health/live'));
    await next.receives(/\{"status":"ok"\}/);
    next.cut();
    held.cut();
    await limited.stop();
  });
});

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + separator.length)];
}

/** Takes chunks apart as RFC 9112, section 7.1.3, says; a length that is not that of its chunk shows. */
function unchunked(body: Buffer): string {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length;) {
    const end = body.indexOf('\r\n', at);
    const start = end + 2;
    const length = Number.parseInt(body.toString('latin1', at, end), 16);
    expect(body.toString('latin1', start + length, start + length + 2)).toBe('\r\n');
    parts.push(body.subarray(start, start + length));
    at = start + length + 2;
  }
  return Buffer.concat(parts).toString();
}

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { dataOf, Upload } from '../events/posting.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';
import { RawConnection } from '../support/raw.connection.js';
import { SseClient } from '../support/sse.client.js';

/** Of headers, bodies and idle uploads alike, in milliseconds. */
const TIMEOUT_MS = 400;
const HEARTBEAT_MS = 100;
/** Later than this is not in time, whatever the machine does meanwhile; the usual timeouts are longer. */
const LATE_MS = 5_000;

describe('a client that takes its time', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let token: string;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, {
      HEADERS_TIMEOUT_MS: String(TIMEOUT_MS),
      BODY_TIMEOUT_MS: String(TIMEOUT_MS),
      UPLOAD_IDLE_MS: String(TIMEOUT_MS),
      HEARTBEAT_MS: String(HEARTBEAT_MS),
    });
    token = await admin();
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  const line = (topic: string, data: unknown) => `${JSON.stringify({ topic, type: 'a', data })}\n`;

  function head(method: string, path: string, headers: Record<string, string>): string {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${method} ${path} HTTP/1.1\r\nHost: x\r\n${lines.join('')}\r\n`;
  }

  const json = { 'Content-Type': 'application/json' };
  const bearer = () => ({ Authorization: `Bearer ${token}` });

  /** Sends some bytes and no more. @returns what came back until the end of the connection, and when that was */
  async function stalled(
    bytes: string,
  ): Promise<{ status: number; body: unknown; text: string; ms: number }> {
    const connection = await RawConnection.open(belfry);
    const began = performance.now();
    connection.write(bytes);
    await connection.isClosed();
    return { ...answerOf(connection), ms: performance.now() - began };
  }

  function answerOf({ received: text }: RawConnection): { status: number; body: unknown; text: string } {
    const [, status] = /^HTTP\/1\.1 (\d+) /.exec(text) ?? [];
    const [, body = ''] = text.split('\r\n\r\n');
    return { status: Number(status), body: body.startsWith('{') ? JSON.parse(body) : undefined, text };
  }

  function expectInTime(ms: number): void {
    expect(ms).toBeGreaterThan(TIMEOUT_MS - 50);
    expect(ms).toBeLessThan(LATE_MS);
  }

  describe('over its headers', () => {
    it('and says nothing is answered and closed', async () => {
      const { status, ms } = await stalled('');
      expect(status).toBe(408);
      expectInTime(ms);
    });

    it('and sends a byte now and then is answered and closed', async () => {
      const connection = await RawConnection.open(belfry);
      const began = performance.now();
      connection.write('GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ');
      await until('the end of a connection that dribbles', () => {
        connection.write('x');
        return connection.closed;
      });
      expect(answerOf(connection)).toMatchObject({ status: 408, body: { status: 408 } });
      expectInTime(performance.now() - began);
    });

    it('is closed also on a connection that was good before', async () => {
      const connection = await RawConnection.open(belfry);
      connection.write(head('GET', '/health/live', {}));
      await connection.receives(/"ok"/);
      const began = performance.now();
      await until('the end of a connection that dribbles', () => {
        connection.write('G');
        return connection.closed;
      });
      expect(performance.now() - began).toBeLessThan(LATE_MS);
    });

    it('cannot stay by leaving its side of the connection open', async () => {
      let socket: Socket | undefined;
      belfry.app.getHttpServer().once('connection', (accepted: Socket) => (socket = accepted));
      const held = await RawConnection.open(belfry, { allowHalfOpen: true });
      await held.receives(/^HTTP\/1\.1 408 /);
      await until('the server lets go of it', () => socket?.destroyed === true);
      held.cut();
    });
  });

  describe('over a body', () => {
    it.each([
      ['of which half came', { 'Content-Length': '100' }, '{"topic":"all",'],
      ['of which nothing came', { 'Content-Length': '100' }, ''],
      ['in chunks', { 'Transfer-Encoding': 'chunked' }, '5\r\n[{"to\r\n'],
    ])('%s is answered 408 and closed, with a credential', async (_name, headers, body) => {
      const answer = await stalled(head('POST', '/v1/events', { ...json, ...bearer(), ...headers }) + body);
      expect(answer.status).toBe(408);
      expect(answer.body).toMatchObject({ status: 408, code: 'body-timeout', instance: expect.any(String) });
      expect(answer.text).toMatch(/\r\nContent-Type: application\/problem\+json\r\n/);
      expect(answer.text).toMatch(/\r\nConnection: close\r\n/);
      expectInTime(answer.ms);
    });

    it('is answered 408 and closed before it is asked for a credential', async () => {
      const answer = await stalled(
        head('POST', '/v1/stream', { ...json, 'Content-Length': '20' }) + '{"topics":',
      );
      expect(answer).toMatchObject({ status: 408, body: { code: 'body-timeout' } });
      expectInTime(answer.ms);
    });

    it.each([
      ['without a credential', 'POST', '/v1/events', json, 401],
      [
        'of NDJSON, without a credential',
        'POST',
        '/v1/events',
        { 'Content-Type': 'application/x-ndjson' },
        401,
      ],
      ['that no route reads', 'GET', '/health/live', { 'Content-Type': 'application/x-ndjson' }, 200],
      ['where there is no route', 'PUT', '/nowhere', { 'Content-Type': 'text/plain' }, 404],
    ] as const)('%s is closed after its answer', async (_name, method, path, headers, status) => {
      const answer = await stalled(head(method, path, { ...headers, 'Content-Length': '100' }) + 'x');
      expect(answer.status).toBe(status);
      expectInTime(answer.ms);
    });

    it('and sends a byte now and then is answered and closed', async () => {
      const connection = await RawConnection.open(belfry);
      const began = performance.now();
      connection.write(head('POST', '/v1/events', { ...json, ...bearer(), 'Content-Length': '10000000' }));
      await until('the end of a connection that dribbles', () => {
        connection.write(' ');
        return connection.closed;
      });
      expect(answerOf(connection)).toMatchObject({ status: 408, body: { code: 'body-timeout' } });
      expectInTime(performance.now() - began);
    });

    it('loses nothing when it is in time, nor the connection', async () => {
      const body = '{"topic":"slow:1","type":"a"}';
      const connection = await RawConnection.open(belfry);
      for (let n = 1; n <= 3; n++) {
        connection.received = '';
        connection.write(
          head('POST', '/v1/events', { ...json, ...bearer(), 'Content-Length': `${body.length}` }),
        );
        await delay(TIMEOUT_MS / 4);
        connection.write(body);
        await connection.receives(/^HTTP\/1\.1 201 [^]*\r\nConnection: keep-alive\r\n/);
      }
      expect(await dataOf(database, 'slow:1')).toEqual(['null', 'null', 'null']);
      connection.cut();
    });

    it('leaves no timer behind when the body is there', async () => {
      const patient = await Instance.start(database.url, { BODY_TIMEOUT_MS: '2000000000' });
      const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length;
      const before = timers();
      for (let n = 0; n < 50; n++) await patient.publish({ topic: 'timers:1', type: 'a' });
      // Without a credential: answered, and gone, before the body is there.
      for (let n = 0; n < 50; n++) {
        const connection = await RawConnection.open(patient);
        connection.write(head('POST', '/v1/events', { ...json, 'Content-Length': '100' }));
        await connection.receives(/^HTTP\/1\.1 401 /);
        connection.cut();
      }
      await until('the timers are gone', () => timers() <= before + 5);
      await patient.stop();
    });
  });

  describe('over an upload', () => {
    it('and sends nothing any more keeps what is stored, is told so, and closed', async () => {
      const live = await (await belfry.stream('?topic=idle:1')).isReady();
      const connection = await RawConnection.open(belfry);
      const lines = line('idle:1', 1) + line('idle:1', 2) + '{"topic":"idle:1",';
      connection.write(
        head('POST', '/v1/events', {
          ...bearer(),
          'Content-Type': 'application/x-ndjson',
          'Content-Length': '1000',
        }) + lines,
      );
      await live.hears(2);
      const began = performance.now();
      await connection.isClosed();
      expect(performance.now() - began).toBeLessThan(LATE_MS);
      const answer = answerOf(connection);
      expect(answer).toMatchObject({
        status: 408,
        body: { code: 'body-timeout', stored: 2, last: live.events[1]!.id },
      });
      expect(answer.text).toMatch(/\r\nConnection: close\r\n/);
      expect(await dataOf(database, 'idle:1')).toEqual(['1', '2']);
      live.cut();
    });

    it('and sends nothing at all is told that nothing is stored', async () => {
      const upload = await Upload.start(belfry);
      expect(await upload.answer()).toMatchObject({
        status: 408,
        json: { code: 'body-timeout', stored: 0, last: null },
      });
      upload.cut();
    });

    it('and sends a line now and then may last for as long as it likes', async () => {
      const live = await (await belfry.stream('?topic=dribble:1')).isReady();
      const upload = await Upload.start(belfry);
      const began = performance.now();
      let sent = 0;
      while (performance.now() - began < 3 * TIMEOUT_MS) {
        await upload.write(line('dribble:1', sent++));
        await live.hears(sent);
      }
      upload.end();
      expect(await upload.answer()).toMatchObject({ status: 201, json: { stored: sent } });
      live.cut();
    });

    it('after a line that was refused is cut off as well', async () => {
      const answer = await stalled(
        head('POST', '/v1/events', {
          ...bearer(),
          'Content-Type': 'application/x-ndjson',
          'Content-Length': '1000',
        }) + '{broken}\n',
      );
      expect(answer).toMatchObject({ status: 400, body: { line: 1, stored: 0 } });
      expectInTime(answer.ms);
    });

    it('has all the time when none is set', async () => {
      const patient = await Instance.start(database.url, { UPLOAD_IDLE_MS: '0', BODY_TIMEOUT_MS: '100' });
      const live = await (await patient.stream('?topic=patient:1')).isReady();
      const upload = await Upload.start(patient);
      await upload.write(line('patient:1', 1));
      await live.hears(1);
      const other = await RawConnection.open(patient);
      other.write(head('POST', '/v1/stream', { ...json, 'Content-Length': '20' }));
      await other.isClosed();
      await upload.write(line('patient:1', 2));
      upload.end();
      expect(await upload.answer()).toMatchObject({ status: 201, json: { stored: 2 } });
      live.cut();
      await patient.stop();
    });
  });

  it.each(['GET', 'POST'])('over nothing, with a stream by %s, is not cut off', async method => {
    const body = JSON.stringify({ topics: ['all'] });
    const client = await SseClient.open(
      `${belfry.url}/v1/stream`,
      { ...bearer(), ...(method === 'POST' ? json : {}) },
      { method, ...(method === 'POST' ? { body } : {}) },
    );
    await client.isReady();
    const beats = () => client.raw.match(/^id: \S+\n\n/gm)?.length ?? 0;
    // Each comes after some silence: together they last longer than every timeout.
    await until('heartbeats for twice the timeout', () => beats() > (2 * TIMEOUT_MS) / HEARTBEAT_MS);
    const [id] = await belfry.publish({ topic: 'all', type: 'a' });
    await client.hears(1);
    expect(client.events[0]!.id).toBe(id);
    client.cut();
  });

  it('between two requests is closed', async () => {
    const brief = await Instance.start(database.url, { KEEP_ALIVE_MS: '100' });
    const connection = await RawConnection.open(brief);
    const began = performance.now();
    connection.write(head('GET', '/health/live', {}));
    await connection.receives(/"ok"/);
    await connection.isClosed();
    expect(performance.now() - began).toBeLessThan(LATE_MS);
    await brief.stop();
  });
});

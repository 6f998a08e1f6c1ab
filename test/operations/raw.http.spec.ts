import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';
import { RawConnection } from '../support/raw.connection.js';

describe('on a bare connection', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let token: string;

  beforeAll(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { DRAIN_MS: '4000' });
    token = await admin();
  });
  afterAll(async () => {
    await belfry.stop();
    await database.drop();
  });

  const event = '{"topic":"all","type":"a"}';
  const publish = (target: string) =>
    `POST ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${event.length}\r\n\r\n${event}`;

  it.each([
    ['no HTTP at all', 'hello\r\n\r\n', 400, 'request-invalid'],
    ['a target without a path', 'GET http:// HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'request-invalid'],
    ['a header without a name', 'GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n', 400, 'request-invalid'],
    [
      'headers without end',
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'request-invalid',
    ],
  ])('%s is answered with problem details', async (_name, bytes, status, code) => {
    const connection = await RawConnection.open(belfry);
    connection.write(bytes);
    await connection.isClosed();
    expect(connection.received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(connection.received).toMatch(/\r\nContent-Type: application\/problem\+json\r\n/);
    expect(JSON.parse(connection.received.split('\r\n\r\n')[1]!)).toMatchObject({ status, code });
  });

  it('a request without a Host is refused, unless it is older than Host', async () => {
    const answers = [];
    for (const version of ['1.1', '1.0']) {
      const connection = await RawConnection.open(belfry);
      connection.write(`GET /health/live HTTP/${version}\r\n\r\n`);
      const { status, body } = (await connection.answer('GET'))!;
      answers.push([status, (JSON.parse(body) as { code?: string }).code]);
      connection.cut();
    }
    expect(answers).toEqual([
      [400, 'request-invalid'],
      [200, undefined],
    ]);
  });

  it('an expectation that nobody knows is ignored', async () => {
    const connection = await RawConnection.open(belfry);
    connection.write('GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n');
    await connection.receives(/^HTTP\/1\.1 200 [^]*"ok"/);
    connection.cut();
  });

  it('a request target may be a whole URL', async () => {
    const connection = await RawConnection.open(belfry);
    connection.write(publish('http://elsewhere.example/v1/events'));
    await connection.receives(/^HTTP\/1\.1 201 /);
  });

  it('whoever publishes back to back is told, as the service goes down, which answer is the last', async () => {
    const connection = await RawConnection.open(belfry);
    connection.write(publish('/v1/events'));
    await connection.receives(/^HTTP\/1\.1 201 [^]*\r\nConnection: keep-alive\r\n/);
    const stopping = belfry.stop();
    connection.received = '';
    connection.write(publish('/v1/events'));
    await connection.receives(/^HTTP\/1\.1 201 [^]*\r\nConnection: close\r\n[^]*"duplicate":false/);
    await connection.isClosed();
    await stopping;
  });
});

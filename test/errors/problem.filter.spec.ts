import {
  Body,
  Controller,
  ForbiddenException,
  Get,
  ImATeapotException,
  Param,
  Post,
  Res,
} from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Response } from 'express';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';

import { Public } from '../../src/access/access.decorators.js';
import { Problem } from '../../src/errors/problem.js';
import { ShellApp, testConfig } from '../support/shell-app.js';

@Controller('broken')
@Public()
class BrokenController {
  @Get('problem')
  problem(): never {
    throw new Problem('line-too-long', 'Shorten line 3.', { line: 3, stored: 2, last: null });
  }

  @Get('database')
  database(): never {
    throw new Problem('database-unavailable', undefined, { cause: new Error('password=hunter2'), index: 0 });
  }

  @Get('queue')
  queue(): never {
    throw new Problem('queue-full', undefined, { retryAfterSeconds: 7.2 });
  }

  @Get('token')
  token(): never {
    throw new Problem('token-expired');
  }

  @Get('forbidden')
  forbidden(): never {
    throw new ForbiddenException();
  }

  @Get('teapot')
  teapot(): never {
    throw new ImATeapotException();
  }

  @Get('defect')
  defect(): never {
    throw Object.assign(new TypeError('secret detail'), { parameters: ['private data'] });
  }

  @Get('text')
  text(): never {
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- whatever a dependency may throw
    throw 'only a string';
  }

  @Get('half')
  half(@Res() response: Response): never {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.write('half of ');
    throw new Error('the other half is missing');
  }

  @Get('twice')
  twice(@Res({ passthrough: true }) response: Response): string {
    response.end('the first answer');
    return 'the second one';
  }

  @Get('named/:name')
  named(@Param('name') name: string): object {
    return { name };
  }

  @Post('echo')
  echo(@Body() body: unknown): object {
    return { body };
  }
}

describe('an error', () => {
  let app: ShellApp;
  beforeAll(async () => (app = await ShellApp.start(testConfig(), [BrokenController])));
  afterAll(() => app.stop());

  it('is answered as problem details with its code, its members and the id of the request', async () => {
    const answer = await app.send('GET', '/broken/problem', { 'x-request-id': 'r-1' });
    expect(answer.status).toBe(413);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'x-request-id': 'r-1',
    });
    expect(answer.json).toEqual({
      type: 'urn:belfry:problem:line-too-long',
      title: 'Line too long',
      status: 413,
      detail: 'Shorten line 3.',
      code: 'line-too-long',
      instance: 'r-1',
      line: 3,
      stored: 2,
      last: null,
    });
  });

  it('that can pass says when to try again', async () => {
    expect((await app.send('GET', '/broken/database')).headers['retry-after']).toBe('2');
    expect((await app.send('GET', '/broken/queue')).headers['retry-after']).toBe('8');
  });

  it('keeps its cause for the log', async () => {
    const answer = await app.send('GET', '/broken/database', { 'x-request-id': 'r-2' });
    expect(answer.text).not.toContain('hunter2');
    expect(app.logs).toContainEqual(
      expect.objectContaining({
        requestId: 'r-2',
        err: expect.objectContaining({ message: 'password=hunter2' }) as unknown,
      }),
    );
  });

  it('of the credential names the scheme', async () => {
    const answer = await app.send('GET', '/broken/token');
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
  });

  it.each(['defect', 'text'])('that nobody expected tells the client nothing (%s)', async route => {
    const answer = await app.send('GET', `/broken/${route}`, { 'x-request-id': `r-${route}` });
    expect(answer.status).toBe(500);
    expect(answer.json).toMatchObject({ code: 'internal', instance: `r-${route}` });
    expect(answer.text).not.toMatch(/secret|string/);
    expect(app.logs).toContainEqual(
      expect.objectContaining({ requestId: `r-${route}`, msg: 'request failed', level: 50 }),
    );
    expect(JSON.stringify(app.logs)).not.toContain('private data');
  });

  it.each([
    ['forbidden', 403, 'forbidden'],
    ['teapot', 400, 'request-invalid'],
    ['nothing-here', 404, 'not-found'],
    ['named/%zz', 400, 'request-invalid'],
    ['%zz', 404, 'not-found'],
  ])('of Nest or Express gets a code too: %s', async (path, status, code) => {
    const answer = await app.send('GET', `/broken/${path}`);
    expect([answer.status, answer.json?.['code']]).toEqual([status, code]);
    expect(answer.headers['content-type']).toBe('application/problem+json');
  });

  it.each([
    ['JSON that breaks off', Buffer.from('{"a":'), 'application/json', 400, 'json-invalid'],
    ['a number alone', Buffer.from('7'), 'application/json', 400, 'json-invalid'],
    ['more than a mebibyte', Buffer.alloc(1024 * 1024 + 1, 32), 'application/json', 413, 'body-too-large'],
    [
      'bytes that are no UTF-8',
      Buffer.from('{"a":"\xff"}', 'latin1'),
      'application/json',
      400,
      'body-invalid',
    ],
    [
      'another character set',
      Buffer.from('{}'),
      'application/json; charset=koi8-r',
      415,
      'media-type-unsupported',
    ],
  ])('of the body gets a code too: %s', async (_what, body, type, status, code) => {
    const answer = await app.send('POST', '/broken/echo', { 'content-type': type }, body);
    expect([answer.status, answer.json?.['code']]).toEqual([status, code]);
  });

  it('of a body that is compressed gets a code before it is inflated, and before anybody is asked who they are', async () => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const body = gzipSync('{"topics":["all"]}');
    for (const path of ['/broken/echo', '/v1/tickets']) {
      const answer = await app.send('POST', path, headers, body);
      expect([answer.status, answer.json?.['code']]).toEqual([415, 'media-type-unsupported']);
    }
    // As it is, it would have been asked.
    const answer = await app.send('POST', '/v1/tickets', {}, { topics: ['all'] });
    expect([answer.status, answer.json?.['code']]).toEqual([401, 'token-missing']);
  });

  it('answers HEAD with the same headers and no body', async () => {
    const answer = await app.send('HEAD', '/nothing-here');
    expect(answer.status).toBe(404);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.text).toBe('');
  });

  it('in the middle of an answer cuts the connection, so that half does not pass for the whole', async () => {
    await expect(app.send('GET', '/broken/half')).rejects.toThrow(/aborted|hang up/);
  });

  it('after the answer, such as that of a second one, changes nothing and alarms nobody', async () => {
    const answer = await app.send('GET', '/broken/twice', { 'x-request-id': 'r-twice' });
    expect([answer.status, answer.text]).toEqual([200, 'the first answer']);
    const lines = app.logs.filter(({ requestId }) => requestId === 'r-twice');
    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([[30, 'request completed']]);
  });

  it('leaves the connection usable', async () => {
    const socket = connect(app.port, '127.0.0.1');
    const get = 'GET /broken/defect HTTP/1.1\r\nHost: localhost\r\n';
    socket.write(`${get}\r\n${get}Connection: close\r\n\r\n`);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text.match(/HTTP\/1\.1 500/g)).toHaveLength(2);
  });
});

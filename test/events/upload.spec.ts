import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { getEventListeners, once } from 'node:events';
import { type ClientRequest, createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chunksOf } from '../../src/events/upload.js';

describe('the bytes of a body', () => {
  let server: Server;
  let client: ClientRequest;
  let body: IncomingMessage;

  beforeEach(async () => {
    server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    client = request({ host: '127.0.0.1', port, method: 'POST' });
    client.on('error', () => undefined);
    client.flushHeaders();
    [body] = (await once(server, 'request')) as [IncomingMessage];
  });
  afterEach(async () => {
    client.destroy();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  it('are waited for with one listener at a time, and none when they were given up', async () => {
    const over = new AbortController();
    const listeners = () => getEventListeners(over.signal, 'abort').length;
    const chunks = chunksOf(body, 0, over.signal);
    for (const text of ['a', 'b', 'c']) {
      client.write(text);
      expect((await chunks.next()).value).toEqual(Buffer.from(text));
      expect(listeners()).toBe(0);
    }
    const waiting = chunks.next();
    expect(listeners()).toBe(1);
    over.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    expect(listeners()).toBe(0);
  });
});

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/**
 * The ceiling: what Node's own HTTP server does when nothing is kept, checked or asked. GET /stream opens a stream; the
 * lines that are sent to POST /publish are events, and each is framed once and written to all, one by one.
 */
const streams = new Set<ServerResponse>();
const HELLO = Buffer.from('retry: 1000\n\n');
let published = 0;

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    void text(request).then(body => {
      for (const data of body.split('\n')) {
        const frame = Buffer.from(`id: ${++published}\nevent: tick\ndata: ${data}\n\n`);
        for (const stream of streams) stream.write(frame);
      }
      response.end('ok');
    });
    return;
  }
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache, no-transform' });
  response.write(HELLO);
  streams.add(response);
  response.on('close', () => streams.delete(response));
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening at http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/**
 * The ceiling for events that are each for one user: Node's own HTTP server with a map from topic to stream, where
 * nothing is kept, checked or asked. GET /v1/stream?topic=… opens the stream of a topic; POST /v1/events takes one event.
 */
const streams = new Map<string, ServerResponse>();
const HELLO = Buffer.from('retry: 1000\n\n');
let published = 0;

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    void text(request).then(body => {
      const { topic, type, data } = JSON.parse(body) as { topic: string; type: string; data: unknown };
      const id = `nothing.${++published}`;
      const frame = `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify({ topic, type, data })}\n\n`;
      streams.get(topic)?.write(frame);
      const answer = JSON.stringify({ events: [{ id, duplicate: false }] });
      response.writeHead(201, { 'Content-Type': 'application/json', 'Content-Length': answer.length });
      response.end(answer);
    });
    return;
  }
  const topic = new URL(request.url ?? '', 'http://127.0.0.1').searchParams.get('topic') ?? '';
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache, no-transform' });
  response.write(HELLO);
  streams.set(topic, response);
  response.on('close', () => streams.delete(topic));
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening at http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

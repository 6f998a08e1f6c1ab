import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createChannel, createSession } from 'better-sse';

/** One channel of better-sse, as its documentation shows it, without its keep-alive comments. */
const channel = createChannel();

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    void text(request).then(body => {
      for (const line of body.split('\n')) channel.broadcast(JSON.parse(line), 'tick');
      response.end('ok');
    });
    return;
  }
  void createSession(request, response, { keepAlive: null }).then(session => {
    channel.register(session);
  });
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening at http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

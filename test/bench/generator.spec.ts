import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Generator } from '../../bench/generator/generator.js';

const CLIENTS = 10;
/** Which client, and which event, is wronged. */
const VICTIM = 3;
const EVENT = 7;

type Sin = (victim: ServerResponse, frame: string) => void;

/** A server that fans out, and once does something to one client's event instead of writing it. */
class Rogue {
  private readonly streams: ServerResponse[] = [];
  private events = 0;
  private constructor(private readonly server: Server) {}

  static async start(sin: Sin): Promise<Rogue> {
    const server = createServer();
    const rogue = new Rogue(server);
    server.on('request', (request, response) => {
      if (request.method === 'GET') {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        response.write('retry: 1000\n\n');
        rogue.streams.push(response);
        return;
      }
      void text(request).then(body => {
        for (const line of body.split('\n')) rogue.fanOut(`data: ${line}\n\n`, sin);
        response.end('ok');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return rogue;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private fanOut(frame: string, sin: Sin): void {
    this.events++;
    this.streams.forEach((stream, index) => {
      if (this.events === EVENT && index === VICTIM) sin(stream, frame);
      else stream.write(frame);
    });
  }
}

describe('the clients of the bench', () => {
  let rogue: Rogue;
  let generator: Generator;
  afterEach(async () => {
    await generator.disconnect();
    await rogue.stop();
  });

  async function measure(sin: Sin): Promise<number> {
    rogue = await Rogue.start(sin);
    generator = new Generator();
    const { port } = rogue;
    await generator.connect({ streams: [{ port, path: '/stream', ready: 'retry' }], count: CLIENTS });
    const single = { path: '/publish' };
    const publish = { port, single, burst: { ...single, separator: '\n' } };
    const { events, deliveries } = await generator.publish({ publish, burst: 10, ms: 50 });
    expect(deliveries).toBe(events * CLIENTS);
    return events;
  }

  it('measure a server that does as it should', async () => {
    const events = await measure((victim, frame) => {
      victim.write(frame);
    });
    expect(events).toBeGreaterThanOrEqual(30);
  });

  it.each<[string, RegExp, Sin]>([
    ['loses an event', /client \d+ lost/, () => undefined],
    [
      'doubles one',
      /client \d+ doubled/,
      (victim, frame) => {
        victim.write(frame);
        victim.write(frame);
      },
    ],
    [
      'sends one later than the next',
      /client \d+ (lost|doubled) or reordered/,
      (victim, frame) => {
        setImmediate(() => victim.write(frame));
      },
    ],
    [
      'cuts a client off',
      /client \d+ was cut off/,
      victim => {
        victim.destroy();
      },
    ],
  ])('refuse to measure one that %s, and name the client', async (_what, verdict, sin) => {
    await expect(measure(sin)).rejects.toThrow(verdict);
  });
});

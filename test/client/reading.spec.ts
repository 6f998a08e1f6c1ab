import { afterEach, describe, expect, it } from '@jest/globals';
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { type BelfryEvent, connect, type Connection, type ConnectOptions } from '../../client/src/belfry.js';
import { until } from '../support/conditions.js';
import { FaultyServer, frame, ready, refuse, stream } from './faulty.server.js';

let server: FaultyServer;
let connections: Connection[] = [];

afterEach(async () => {
  for (const connection of connections) connection.close();
  connections = [];
  await server.stop();
});

function open(path: string, options: Partial<ConnectOptions> = {}): Connection {
  const connection = connect({
    url: server.url(path),
    lastEventId: 'e.0',
    backoff: 5,
    maxBackoff: 20,
    ...options,
  });
  connections.push(connection);
  return connection;
}

async function read(events: AsyncIterable<BelfryEvent>, count: number): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of events) {
    ids.push(id);
    if (ids.length === count) break;
  }
  return ids;
}

const ids = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => `e.${from + n}`);

describe('for await', () => {
  it('reads every event once and in order, and leaving the loop closes the connection', async () => {
    server = await FaultyServer.start({});
    const connection = open('healthy');
    expect(await read(connection, 4)).toEqual(ids(1, 4));
    expect(connection.state).toBe('closed');
    expect(connection.cursor).toBe('e.4');
    await until('the socket is closed', () => server.open.size === 0);
  });

  it('moves the cursor with the events that are taken, and not before', async () => {
    server = await FaultyServer.start({});
    const connection = open('healthy');
    const reader = connection[Symbol.asyncIterator]();
    await until('all have arrived', () => connection.state === 'live');
    expect(connection.cursor).toBe('e.0');
    await reader.next();
    expect(connection.cursor).toBe('e.1');
  });

  it('goes on over a broken connection, also with events that nobody has taken yet', async () => {
    server = await FaultyServer.start({
      broken: (asked, response, it) => {
        if (asked.before > 0) it.replay(asked, response);
        else {
          stream(response, frame(1) + frame(2) + frame(3));
          void setImmediate().then(() => response.destroy());
        }
      },
    });
    const connection = open('broken');
    const reader = connection[Symbol.asyncIterator]();
    await until('it is back', () => connection.state === 'live');
    const taken: string[] = [];
    while (taken.length < 5) taken.push((await reader.next()).value!.id);
    expect(taken).toEqual(ids(1, 5));
    expect(server.at('broken').map(({ cursor }) => cursor)).toEqual(['e.0', 'e.3']);
  });

  it('that is slow holds up the server, and not the memory of the page', async () => {
    const EVENTS = 3_000;
    const padding = { padding: 'x'.repeat(10_000) };
    let written = 0;
    const drained = (response: ServerResponse) => new Promise(resolve => response.once('drain', resolve));
    server = await FaultyServer.start(
      {
        long: async (_, response) => {
          stream(response);
          for (let seq = 1; seq <= EVENTS; seq++) {
            if (!response.write(frame(seq, 'note', padding))) await drained(response);
            written = seq;
          }
          response.write(ready(EVENTS));
        },
      },
      EVENTS,
    );
    // Silence that is the reader's own doing does not count.
    const connection = open('long', { buffer: 4, heartbeat: 1_000 });
    const reader = connection[Symbol.asyncIterator]();
    const first = (await reader.next()).value!.id;
    let before = -1;
    let since = performance.now();
    await until('the server is held up', () => {
      if (written !== before) since = performance.now();
      before = written;
      return performance.now() - since > 1_300;
    });
    expect(written).toBeLessThan(EVENTS);
    const rest = await read({ [Symbol.asyncIterator]: () => reader }, EVENTS - 1);
    expect([first, ...rest]).toEqual(ids(1, EVENTS));
    expect(server.at('long')).toHaveLength(1);
  });

  it('ends when the server has nothing more, and throws what ends it otherwise', async () => {
    server = await FaultyServer.start({
      done: (_, response) => response.writeHead(204).end(),
      forbidden: (_, response) => {
        refuse(response, 403);
      },
    });
    expect(await read(open('done'), 1)).toEqual([]);
    await expect(read(open('forbidden'), 1)).rejects.toMatchObject({ code: 'code-403' });
  });

  it('ends when the connection is closed while it waits', async () => {
    server = await FaultyServer.start({});
    const connection = open('healthy', { lastEventId: 'e.5' });
    const done = read(connection, 1);
    await until('live', () => connection.state === 'live');
    connection.close();
    expect(await done).toEqual([]);
    expect(() => connection[Symbol.asyncIterator]()).toThrow(TypeError);
  });
});

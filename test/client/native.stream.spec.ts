import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { EventSource } from 'eventsource';
import { connect, type Connection, type ConnectOptions } from '../../client/src/belfry.js';
import { until } from '../support/conditions.js';
import { end, FaultyServer, frame, ready, refuse, stream } from './faulty.server.js';

let server: FaultyServer;
let connections: Connection[] = [];

beforeAll(() => {
  Object.assign(globalThis, { EventSource });
});

afterAll(() => {
  Reflect.deleteProperty(globalThis, 'EventSource');
});

afterEach(async () => {
  for (const connection of connections) connection.close();
  connections = [];
  await server.stop();
});

function open(path: string, options: Partial<ConnectOptions> = {}) {
  const url = server.url(path);
  const connection = connect({
    url,
    transport: 'eventsource',
    lastEventId: 'e.0',
    backoff: 5,
    maxBackoff: 20,
    ...options,
  });
  connections.push(connection);
  const seqs: number[] = [];
  connection.on('message', ({ id }) => seqs.push(Number(id.slice(2))));
  return { connection, seqs, isLive: () => until('live', () => connection.state === 'live') };
}

describe("a stream over the browser's EventSource", () => {
  it('hears events of every type, and asks for them without names', async () => {
    server = await FaultyServer.start({});
    const { seqs, isLive, connection } = open('healthy');
    await isLive();
    server.publish('a type that nobody knew of');
    await until('it came', () => seqs.length === 6);
    expect(seqs).toEqual([1, 2, 3, 4, 5, 6]);
    expect(connection.cursor).toBe('e.6');
    expect(server.at('healthy')[0]!.query.toString()).toBe('lastEventId=e.0&named=false&heartbeat=event');
  });

  it('comes back with its cursor where the browser gives up', async () => {
    server = await FaultyServer.start({
      flaky: (asked, response, it) => {
        if (asked.before === 0) stream(response, 'retry: 1\n\n' + frame(1) + frame(2)).end();
        else if (asked.before === 1) refuse(response, 503);
        else it.replay(asked, response);
      },
    });
    const { seqs, isLive } = open('flaky');
    await isLive();
    expect(seqs).toEqual([1, 2, 3, 4, 5]);
    expect(server.at('flaky').map(({ cursor }) => cursor)).toEqual(['e.0', 'e.2', 'e.2']);
  });

  it('gets another ticket each time', async () => {
    server = await FaultyServer.start({
      ticketed: (asked, response, it) => {
        if (asked.before === 0) stream(response, frame(1) + end('ticket-spent', 60_000));
        else it.replay(asked, response);
      },
    });
    let n = 0;
    const { seqs, isLive } = open('ticketed', { ticket: () => `ticket-${++n}` });
    await isLive();
    expect(server.at('ticketed').map(({ ticket }) => ticket)).toEqual(['ticket-1', 'ticket-2']);
    expect(seqs).toEqual([1, 2, 3, 4, 5]);
  });

  it('is made again when the server falls silent', async () => {
    server = await FaultyServer.start({
      stalled: (asked, response, it) => {
        if (asked.before === 0) stream(response, frame(1));
        else it.replay(asked, response);
      },
    });
    const { seqs, isLive } = open('stalled', { heartbeat: 100 });
    await isLive();
    expect(seqs).toEqual([1, 2, 3, 4, 5]);
  });

  it('is ended while a for await is full, and goes on from there', async () => {
    server = await FaultyServer.start(
      {
        long: (asked, response, it) => {
          it.replay(asked, response);
        },
      },
      50,
    );
    const { connection } = open('long', { buffer: 2 });
    const taken: string[] = [];
    for await (const { id } of connection) {
      taken.push(id);
      if (taken.length === 50) break;
    }
    expect(taken).toEqual(Array.from({ length: 50 }, (_, n) => `e.${n + 1}`));
  });

  it('leaves nothing open when it is closed', async () => {
    server = await FaultyServer.start({ quiet: (_, response) => stream(response, ready(5)) });
    const { connection, isLive } = open('quiet');
    await isLive();
    connection.close();
    await until('the socket is closed', () => server.open.size === 0);
  });
});

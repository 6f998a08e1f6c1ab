import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { connect, type Connection } from '../../client/src/belfry.js';
import { until } from '../support/conditions.js';
import { FaultyServer, ready, refuse, stream } from './faulty.server.js';

let server: FaultyServer;
let connection: Connection;
let page: EventTarget & { visibilityState: string };

beforeEach(() => {
  page = Object.assign(new EventTarget(), { visibilityState: 'visible', baseURI: 'http://page.example/' });
  Object.assign(globalThis, { document: page, window: new EventTarget() });
});

afterEach(async () => {
  jest.restoreAllMocks();
  connection.close();
  Reflect.deleteProperty(globalThis, 'document');
  Reflect.deleteProperty(globalThis, 'window');
  await server.stop();
});

const online = () => window.dispatchEvent(new Event('online'));
const seen = () => page.dispatchEvent(new Event('visibilitychange'));

describe('a page that wakes up', () => {
  it.each([
    ['because the network is back', online],
    ['because it is seen again', seen],
  ])('%s does not wait any longer', async (_, wake) => {
    server = await FaultyServer.start({
      away: (asked, response, it) => {
        if (asked.before > 0) it.replay(asked, response);
        else response.destroy();
      },
    });
    connection = connect({ url: server.url('away'), backoff: 600_000, maxBackoff: 600_000 });
    jest.spyOn(Math, 'random').mockReturnValue(0.02);
    await until('it waits', () => connection.state === 'waiting');
    wake();
    await until('it is live', () => connection.state === 'live');
  });

  it('waits as long as the server has asked for', async () => {
    server = await FaultyServer.start({
      busy: (asked, response, it) => {
        if (asked.before > 0) it.replay(asked, response);
        else refuse(response, 503, { 'retry-after': '1' });
      },
    });
    connection = connect({ url: server.url('busy'), backoff: 1 });
    await until('it waits', () => connection.state === 'waiting');
    online();
    await until('it is live', () => connection.state === 'live');
    const [first, second] = server.at('busy');
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(995);
  });

  it('makes a connection anew that has been silent for too long, and leaves one alone that has not', async () => {
    server = await FaultyServer.start({ quiet: (_, response) => stream(response, ready(5)) });
    connection = connect({ url: server.url('quiet'), heartbeat: 60_000 });
    await until('it is live', () => connection.state === 'live');
    seen();
    const now = Date.now();
    jest.spyOn(Date, 'now').mockReturnValue(now + 31_000);
    expect(server.at('quiet')).toHaveLength(1);
    seen();
    await until('it was made anew', () => server.at('quiet').length === 2);
    expect(server.at('quiet')[1]!.cursor).toBe('e.5');
  });

  it('hears of nothing after the connection was closed', async () => {
    server = await FaultyServer.start({});
    connection = connect({ url: server.url('healthy') });
    await until('it is live', () => connection.state === 'live');
    connection.close();
    online();
    seen();
    expect(server.at('healthy')).toHaveLength(1);
    expect(connection.state).toBe('closed');
  });
});

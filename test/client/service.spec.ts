import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { connect, type Connection, type ConnectOptions } from '../../client/src/belfry.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { TcpProxy } from '../support/tcp.proxy.js';

let database: TestDatabase;
let belfry: Instance;
let proxy: TcpProxy;
let connection: Connection | undefined;

beforeAll(async () => {
  database = await TestDatabase.create();
  belfry = await Instance.start(database.url, { HEARTBEAT_MS: '100' });
  proxy = await TcpProxy.start(belfry.url);
});

afterEach(() => {
  connection?.close();
});

afterAll(async () => {
  await proxy.stop();
  await belfry.stop();
  await database.drop();
});

/** A connection of alice by way of the proxy, and the numbers of the events it hears. */
async function open(options: Partial<ConnectOptions> = {}) {
  const token = await tokenFor();
  const opened = connect({
    url: proxy.urlOf(belfry.url),
    ...(options.ticket ? {} : { token: () => token }),
    backoff: 5,
    maxBackoff: 20,
    maxRetry: 5,
    ...options,
  });
  connection = opened;
  const numbers: unknown[] = [];
  opened.on('note', ({ data }) => numbers.push(data));
  await until('live', () => opened.state === 'live');
  return { opened, numbers };
}

async function publish(from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++) await belfry.publish({ topic: 'user:alice', type: 'note', data: n });
}

const upTo = (to: number) => Array.from({ length: to }, (_, n) => n + 1);

describe('with Belfry, a client', () => {
  it('that is cut again and again hears every event once and in order', async () => {
    const { numbers } = await open();
    const cutting = setInterval(() => {
      proxy.cut();
    }, 30);
    await publish(1, 150);
    clearInterval(cutting);
    await until('all are heard', () => numbers.length >= 150);
    expect(numbers).toEqual(upTo(150));
  });

  it('notices a network that swallows everything, and misses nothing', async () => {
    const { numbers } = await open({ heartbeat: 500 });
    proxy.blackHoleThese();
    await publish(1, 10);
    await until('all are heard', () => numbers.length >= 10);
    expect(numbers).toEqual(upTo(10));
  });

  it('whose token expires goes on with the next one', async () => {
    const soon = Math.floor(Date.now() / 1_000) + 2;
    const tokens = [await tokenFor({ exp: soon }), await tokenFor()];
    const reasons: string[] = [];
    const { opened, numbers } = await open({ token: () => tokens.shift()! });
    opened.on('end', ({ reason }) => reasons.push(reason));
    await publish(1, 3);
    await until('the token has expired', () => reasons.length > 0);
    await publish(4, 6);
    await until('all are heard', () => numbers.length >= 6);
    expect(numbers).toEqual(upTo(6));
    expect(reasons).toEqual(['token-expired']);
    expect(tokens).toEqual([]);
  });

  it('gets a ticket for each connection', async () => {
    let tickets = 0;
    const token = await tokenFor();
    const { numbers } = await open({
      ticket: async () => {
        tickets += 1;
        const answer = await belfry.request('POST', '/v1/tickets', { token, body: {} });
        return (answer.json as { ticket: string }).ticket;
      },
    });
    await publish(1, 1);
    await until('it is heard', () => numbers.length === 1);
    proxy.cut();
    await publish(2, 2);
    await until('the next is heard', () => numbers.length === 2);
    expect(tickets).toBe(2);
  });

  it('that was offline hears the newest of each key, or everything when it asks for it', async () => {
    const { opened } = await open();
    const cursor = opened.cursor!;
    opened.close();
    for (let n = 1; n <= 3; n++) {
      await belfry.publish({ topic: 'user:alice', type: 'note', key: 'progress', data: n });
    }
    expect((await open({ lastEventId: cursor })).numbers).toEqual([3]);
    connection?.close();
    expect((await open({ lastEventId: cursor, collapse: false })).numbers).toEqual([1, 2, 3]);
  });

  it('with a cursor of another log is told so, and goes on', async () => {
    const reasons: string[] = [];
    const { numbers } = await open({
      lastEventId: 'zzzzzz.5',
      onReset: ({ reason }) => reasons.push(reason),
    });
    expect(reasons).toEqual(['unknown']);
    await publish(1, 1);
    await until('it is heard', () => numbers.length === 1);
  });
});

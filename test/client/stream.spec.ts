import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  type BelfryError,
  type BelfryEvent,
  connect,
  type Connection,
  type ConnectOptions,
  cursorIn,
} from '../../client/src/belfry.js';
import { until } from '../support/conditions.js';
import {
  end,
  type Fault,
  FaultyServer,
  frame,
  ready,
  refuse,
  reset,
  stream,
  trickle,
} from './faulty.server.js';

const ALL = [1, 2, 3, 4, 5];
const healthy: Fault = (asked, response, server) => {
  server.replay(asked, response);
};
/** Misbehaves once. */
const once =
  (fault: Fault): Fault =>
  (asked, response, server) =>
    (asked.before === 0 ? fault : healthy)(asked, response, server);

const FAULTS: Record<string, Fault> = {
  healthy,
  trickled: async (_, response, { size }) => {
    stream(response);
    await trickle(response, frame(1) + frame(2) + frame(3) + frame(4) + frame(5) + ready(size));
  },
  'cut in a frame': once((_, response) => {
    stream(response, frame(1) + frame(2) + frame(3).slice(0, -20));
    setImmediate(() => response.destroy());
  }),
  'cut before the blank line': once((_, response) => {
    stream(response, frame(1) + frame(2).slice(0, -1));
    setImmediate(() => response.destroy());
  }),
  stalled: once((_, response) => {
    stream(response, frame(1) + frame(2));
  }),
  'without an answer': once(() => undefined),
  'of another type': once((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Sign in.</p>');
  }),
  'unavailable with 503': once((_, response) => {
    refuse(response, 503);
  }),
  'missing with 404': once((_, response) => {
    refuse(response, 404);
  }),
  'redirected for ever': (asked, response, server) => {
    if (asked.before > 20) server.replay(asked, response);
    else response.writeHead(307, { location: '/redirected%20for%20ever/v1/stream' }).end();
  },
  'with a frame that is no JSON': (_, response) => {
    stream(response, frame(1) + 'id: e.2\nevent: note\ndata: {\n\n' + frame(3) + ready(5));
  },
  'with an endless line': once((_, response) => {
    stream(response, 'data: ' + 'x'.repeat(10_000));
  }),
};

let server: FaultyServer;
let connections: Connection[];

beforeEach(() => {
  connections = [];
});

afterEach(async () => {
  jest.restoreAllMocks();
  for (const connection of connections) connection.close();
  await server.stop();
});

/** A connection to one path of the server, impatient enough for a test, and what it hears. */
function open(path: string, options: Partial<ConnectOptions> = {}) {
  const connection = connect({
    url: server.url(encodeURIComponent(path)),
    lastEventId: 'e.0',
    backoff: 5,
    maxBackoff: 20,
    ...options,
  });
  connections.push(connection);
  const heard: BelfryEvent[] = [];
  const errors: BelfryError[] = [];
  connection.on('message', event => heard.push(event));
  connection.on('error', error => errors.push(error));
  return {
    connection,
    heard,
    errors,
    seqs: () => heard.map(({ id }) => Number(id.slice(2))),
    asked: () => server.at(encodeURIComponent(path)),
    isLive: () => until('live', () => connection.state === 'live'),
  };
}

describe('a stream', () => {
  beforeEach(async () => {
    server = await FaultyServer.start(
      Object.fromEntries(Object.entries(FAULTS).map(([path, fault]) => [encodeURIComponent(path), fault])),
    );
  });

  it.each([
    'healthy',
    'trickled',
    'cut in a frame',
    'cut before the blank line',
    'stalled',
    'without an answer',
  ])('that is %s is heard whole, each event once', async path => {
    const { seqs, heard, connection, isLive } = open(path, { heartbeat: 150 });
    await isLive();
    expect(seqs()).toEqual(ALL);
    expect(heard[2]).toEqual({
      id: 'e.3',
      topic: 'user:alice',
      type: 'note',
      at: '2026-11-20T10:00:00.000Z',
      data: { seq: 3, text: 'aé€😀' },
    });
    expect(connection.cursor).toBe('e.5');
  });

  it.each([
    ['of another type', 'content-type'],
    ['unavailable with 503', 'code-503'],
    ['missing with 404', 'code-404'],
    ['redirected for ever', 'network'],
    ['stalled', 'silent'],
    ['without an answer', 'silent'],
    ['with an endless line', 'too-large'],
  ])('that is %s is tried again, and the page is told %s', async (path, code) => {
    const { seqs, errors, isLive } = open(path, { heartbeat: 150, maxBlock: 5_000 });
    await isLive();
    expect(errors.map(error => error.code)).toEqual([code]);
    expect(seqs()).toEqual(ALL);
  });

  it('with a frame that is no JSON goes on after it, and says so', async () => {
    const { seqs, errors, isLive } = open('with a frame that is no JSON');
    await isLive();
    expect(seqs()).toEqual([1, 3]);
    expect(errors).toMatchObject([{ code: 'malformed', message: expect.stringContaining('e.2') }]);
  });

  it('goes on from the cursor of the last whole event, and not from one that was cut', async () => {
    const { asked, isLive } = open('cut in a frame');
    await isLive();
    expect(asked().map(({ cursor }) => cursor)).toEqual(['e.0', 'e.2']);
  });

  it('asks for topics and types, by POST when they are too long for an address', async () => {
    const long = Array.from({ length: 60 }, (_, n) => `room:${n}${'x'.repeat(150)}`);
    const short = open('healthy', { topics: ['user:alice', 'all'], types: ['a'], collapse: false });
    await short.isLive();
    expect(short.asked()[0]?.query.toString()).toBe(
      'topic=user%3Aalice&topic=all&type=a&collapse=false&lastEventId=e.0',
    );
    server.asked.clear();
    const { asked, isLive } = open('healthy', { topics: long });
    await isLive();
    expect(asked()[0]).toMatchObject({ method: 'POST' });
    expect(JSON.parse(asked()[0]!.body)).toEqual({
      topics: long,
      types: [],
      collapse: true,
      lastEventId: 'e.0',
    });
  });
});

describe('in silence', () => {
  it('ids alone keep the connection, move the cursor and are heard by nobody', async () => {
    let beats = 0;
    server = await FaultyServer.start({
      quiet: (_, response) => {
        stream(response, ready(5));
        const timer = setInterval(() => response.write(`id: e.${5 + ++beats}\n\n`), 20);
        response.on('close', () => {
          clearInterval(timer);
        });
      },
    });
    const { connection, heard, asked } = open('quiet', { heartbeat: 300 });
    await until('more silence than is allowed', () => beats > 30);
    await until('the cursor has moved', () => connection.cursor === `e.${5 + beats}`);
    expect(heard).toEqual([]);
    expect(asked()).toHaveLength(1);
  });

  it('heartbeats as events do the same', async () => {
    server = await FaultyServer.start({
      quiet: (_, response) => stream(response, ready(5) + 'id: e.9\nevent: heartbeat\ndata: {}\n\n'),
    });
    const { connection, heard } = open('quiet');
    await until('the cursor has moved', () => connection.cursor === 'e.9');
    expect(heard).toEqual([]);
  });
});

describe('a credential', () => {
  const only =
    (good: string): Fault =>
    (asked, response, it) => {
      if (asked.token === good) it.replay(asked, response);
      else refuse(response, 401);
    };

  it('that is refused is asked for again, once, and the stream goes on', async () => {
    server = await FaultyServer.start({ guarded: only('new') });
    const tokens = ['old', 'new', 'unwanted'];
    const { asked, seqs, isLive } = open('guarded', { token: () => tokens.shift()! });
    await isLive();
    expect(asked().map(({ token }) => token)).toEqual(['old', 'new']);
    expect(tokens).toEqual(['unwanted']);
    expect(seqs()).toEqual(ALL);
  });

  it('that stays refused is asked for less and less often', async () => {
    server = await FaultyServer.start({ guarded: only('none') });
    jest.spyOn(Math, 'random').mockReturnValue(0.99);
    const { asked, errors } = open('guarded', { token: () => 'bad', backoff: 40, maxBackoff: 160 });
    await until('six attempts', () => asked().length === 6);
    const waits = asked().map(({ at }, n) => at - (asked()[n - 1]?.at ?? at));
    for (const [n, least] of [0, 0, 39, 79, 158, 158].entries())
      expect(waits[n]).toBeGreaterThanOrEqual(least - 2);
    expect(errors[0]).toMatchObject({ code: 'code-401', status: 401 });
  });

  it('that cannot change ends the connection when it is refused', async () => {
    server = await FaultyServer.start({ guarded: only('other') });
    const { connection, asked } = open('guarded', { token: 'bad' });
    expect(await connection.closed).toMatchObject({ code: 'code-401' });
    expect(connection.state).toBe('closed');
    expect(asked()).toHaveLength(1);
  });

  it('that cannot be had is asked for later', async () => {
    server = await FaultyServer.start({ guarded: only('late') });
    let asks = 0;
    const { errors, isLive } = open('guarded', {
      token: async () => {
        asks += 1;
        if (asks < 3) throw new Error('offline');
        return Promise.resolve('late');
      },
    });
    await isLive();
    expect(errors.map(({ code }) => code)).toEqual(['credential', 'credential']);
  });

  it('whose callback never answers does not hold up the stream for ever', async () => {
    server = await FaultyServer.start({ guarded: only('late') });
    const errors: string[] = [];
    const { connection } = open('guarded', { token: () => new Promise(() => undefined), heartbeat: 50 });
    connection.on('error', ({ code }) => errors.push(code));
    await until('it is told', () => errors.length > 0);
    expect(errors[0]).toBe('silent');
  });

  it('whose time is over is asked for again, and the stream goes on where it was', async () => {
    server = await FaultyServer.start({
      ending: once((_, response) =>
        stream(response, frame(1) + frame(2) + end('token-expired', 60_000)).end(),
      ),
    });
    let n = 0;
    const { asked, seqs, isLive } = open('ending', { token: () => `token-${++n}` });
    await isLive();
    expect(asked().map(({ token, cursor }) => [token, cursor])).toEqual([
      ['token-1', 'e.0'],
      ['token-2', 'e.2'],
    ]);
    expect(seqs()).toEqual(ALL);
  });

  it('that is a ticket is another one for each connection', async () => {
    server = await FaultyServer.start({
      ending: once((_, response) => stream(response, end('ticket-spent', 60_000)).end()),
    });
    let n = 0;
    const { asked, isLive } = open('ending', { ticket: () => `ticket-${++n}` });
    await isLive();
    expect(asked().map(({ ticket }) => ticket)).toEqual(['ticket-1', 'ticket-2']);
  });
});

describe('a server', () => {
  it('that says when to come back is not asked before', async () => {
    server = await FaultyServer.start({
      busy: once((_, response) => {
        refuse(response, 429, { 'retry-after': '1' });
      }),
    });
    const { asked, errors, isLive } = open('busy');
    await isLive();
    expect(asked()[1]!.at - asked()[0]!.at).toBeGreaterThanOrEqual(995);
    expect(errors).toMatchObject([{ status: 429, retryAfterMs: 1_000 }]);
  });

  it('that has no room says when to come back, and that is no error', async () => {
    server = await FaultyServer.start({
      full: once((_, response) => stream(response, 'retry: 300\n\n').end()),
    });
    const { asked, errors, isLive } = open('full');
    await isLive();
    expect(asked()[1]!.at - asked()[0]!.at).toBeGreaterThanOrEqual(298);
    expect(errors).toEqual([]);
  });

  it('that asks for more patience than the page has is asked sooner', async () => {
    server = await FaultyServer.start({
      full: once((_, response) => stream(response, 'retry: 999999999\n\n').end()),
    });
    const { isLive } = open('full', { maxRetry: 10 });
    await isLive();
  });

  it('that has nothing more, with 204, ends the connection', async () => {
    server = await FaultyServer.start({ done: (_, response) => response.writeHead(204).end() });
    const { connection, asked } = open('done');
    expect(await connection.closed).toBeUndefined();
    expect(asked()).toHaveLength(1);
  });

  it('that forbids the topics ends the connection, and says why', async () => {
    server = await FaultyServer.start({
      forbidden: (_, response) => {
        refuse(response, 403);
      },
    });
    const { connection, asked } = open('forbidden');
    expect(await connection.closed).toMatchObject({ code: 'code-403', status: 403 });
    expect(asked()).toHaveLength(1);
  });

  it('that resets is heard, and the stream goes on from there', async () => {
    server = await FaultyServer.start({
      forked: once((_, response) => {
        stream(response, reset(3) + ready(3) + frame(4));
        setImmediate(() => response.destroy());
      }),
    });
    const resets: unknown[] = [];
    const { asked, seqs, isLive } = open('forked', { lastEventId: 'old.7', onReset: it => resets.push(it) });
    await until('both connections', () => asked().length === 2);
    await isLive();
    expect(resets).toEqual([{ id: 'e.3', reason: 'unknown', oldest: 'e.1', head: 'e.3' }]);
    expect(asked().map(({ cursor }) => cursor)).toEqual(['old.7', 'e.4']);
    expect(seqs()).toEqual([4, 5]);
  });

  it('that resets without end is left alone for longer and longer', async () => {
    server = await FaultyServer.start({ looping: (_, response) => stream(response, reset(3).repeat(1_000)) });
    jest.spyOn(Math, 'random').mockReturnValue(0.99);
    let resets = 0;
    const { asked, errors } = open('looping', { backoff: 40, maxBackoff: 80, onReset: () => resets++ });
    await until('four attempts', () => asked().length === 4);
    const last = asked().at(-1)!.at - asked().at(-2)!.at;
    expect(last).toBeGreaterThanOrEqual(78);
    expect(resets).toBeLessThanOrEqual(4 * 3);
    expect(errors[0]!.code).toBe('reset-loop');
  });

  it('that ends each connection at once is not hammered', async () => {
    server = await FaultyServer.start({
      hasty: (_, response) => stream(response, 'retry: 0\n\n' + ready(5)).end(),
    });
    jest.spyOn(Math, 'random').mockReturnValue(0.99);
    const { asked } = open('hasty', { backoff: 20, maxBackoff: 80 });
    await until('five attempts', () => asked().length === 5);
    expect(asked()[4]!.at - asked()[3]!.at).toBeGreaterThanOrEqual(78);
  });

  it('that is not there is waited for', async () => {
    server = await FaultyServer.start({});
    await server.stop();
    const { errors, connection } = open('healthy');
    await until('some attempts', () => errors.length > 2);
    expect(errors[0]).toMatchObject({ code: 'network', status: undefined });
    expect(connection.state).not.toBe('closed');
  });
});

describe('a connection', () => {
  beforeEach(async () => {
    server = await FaultyServer.start({ healthy });
  });

  it('tells handlers by type, and takes them away again', async () => {
    const { connection, isLive } = open('healthy');
    const notes: unknown[] = [];
    const off = connection.on('note', ({ data }) => notes.push(data));
    await isLive();
    off();
    server.publish();
    await until('the event came', () => connection.cursor === 'e.6');
    expect(notes).toHaveLength(5);
  });

  it('goes on when a handler throws, and the page hears of that', async () => {
    const { connection, seqs, isLive } = open('healthy');
    const thrown: unknown[] = [];
    const report = jest.fn((error: unknown) => thrown.push(error));
    Object.assign(globalThis, { reportError: report });
    connection.on('note', () => {
      throw new Error('a bug of the page');
    });
    await isLive();
    Object.assign(globalThis, { reportError: undefined });
    expect(seqs()).toEqual(ALL);
    expect(thrown).toHaveLength(5);
  });

  it('moves its cursor when the handlers have the event, not before', async () => {
    const { connection, isLive } = open('healthy');
    const cursors: (string | undefined)[] = [];
    connection.on('note', () => cursors.push(connection.cursor));
    await isLive();
    expect(cursors).toEqual(['e.0', 'e.1', 'e.2', 'e.3', 'e.4']);
  });

  it('leaves nothing open when it is closed, also by a signal or by a handler', async () => {
    const controller = new AbortController();
    const byHandler = open('healthy');
    byHandler.connection.on('note', ({ id }) => {
      if (id === 'e.2') byHandler.connection.close();
    });
    const bySignal = open('healthy', { signal: controller.signal });
    const byHand = open('healthy');
    await Promise.all([bySignal.isLive(), byHand.isLive()]);
    controller.abort();
    byHand.connection.close();
    byHand.connection.close();
    await until('no connection is left', () => server.open.size === 0);
    await Promise.all([byHandler, bySignal, byHand].map(({ connection }) => connection.closed));
    expect(byHandler.seqs()).toEqual([1, 2]);
    expect(byHandler.connection.cursor).toBe('e.2');
  });

  it('keeps its cursor where another one finds it', async () => {
    const kept = new Map<string, string>();
    const storage = cursorIn(
      { getItem: key => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) },
      'alice',
    );
    kept.set('alice', 'e.1');
    const url = server.url('healthy');
    const first = connect({ url, storage, onReset: () => undefined });
    connections.push(first);
    await until('all were heard', () => kept.get('alice') === 'e.5');
    first.close();
    server.size += 2;
    const second = connect({ url, storage });
    connections.push(second);
    await until('it has caught up', () => second.state === 'live');
    expect(server.at('healthy').map(({ cursor }) => cursor)).toEqual(['e.1', 'e.5']);
    expect(kept.get('alice')).toBe('e.7');
  });

  it.each([
    ['a token and a ticket', { token: 'a', ticket: () => 'b' }, /not both/],
    ['less than no silence', { heartbeat: -1 }, /heartbeat/],
    ['an empty buffer', { buffer: 0 }, /buffer/],
    ['more than 100 topics', { topics: Array.from({ length: 101 }, (_, n) => `room:${n}`) }, /topics/],
    ['an EventSource with a token', { transport: 'eventsource' as const, token: 'a' }, /EventSource/],
  ])('refuses %s', (_, options, message) => {
    expect(() => connect({ url: 'http://127.0.0.1', ...options })).toThrow(message);
  });
});

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  type BelfryError,
  connect,
  type Connection,
  type ConnectOptions,
  type Reset,
} from '../../client/src/belfry.js';
import { settle } from '../../client/src/options.js';
import { shareName } from '../../client/src/share.channel.js';
import { until } from '../support/conditions.js';
import { FaultyServer, frame, ready, refuse, reset, stream } from './faulty.server.js';
import { WebLocks } from './web.locks.js';

/** A tab, and what it hears. */
interface Tab {
  readonly connection: Connection;
  readonly seqs: number[];
  readonly resets: Reset[];
  readonly errors: BelfryError[];
}

let server: FaultyServer;
let locks: WebLocks;
let uninstall: () => void;
let tabs: Tab[];

beforeEach(() => {
  tabs = [];
  locks = new WebLocks();
  uninstall = locks.install();
});

afterEach(async () => {
  for (const { connection } of tabs) connection.close();
  await until('no lock is left', () => locks.names.length === 0);
  uninstall();
  await server.stop();
});

function tokenOf(sub: string): string {
  return ['', Buffer.from(JSON.stringify({ sub })).toString('base64url'), ''].join('.');
}

function open(options: Partial<ConnectOptions> = {}, path = 'healthy'): Tab {
  const connection = connect({
    url: server.url(path),
    token: tokenOf('alice'),
    shared: true,
    lastEventId: 'e.0',
    backoff: 5,
    maxBackoff: 20,
    ...options,
  });
  const tab: Tab = { connection, seqs: [], resets: [], errors: [] };
  connection.on('message', ({ id }) => tab.seqs.push(Number(id.split('.')[1])));
  connection.on('reset', it => tab.resets.push(it));
  connection.on('error', it => tab.errors.push(it));
  tabs.push(tab);
  return tab;
}

const isLive = (...some: Tab[]) =>
  until('all are live', () => some.every(({ connection }) => connection.state === 'live'));
const have = (size: number, ...some: Tab[]) =>
  until(`all have come to ${size}`, () => some.every(({ connection }) => connection.cursor === `e.${size}`));
const upTo = (size: number, from = 1) => Array.from({ length: size - from + 1 }, (_, n) => from + n);

describe('tabs of one user', () => {
  it('share one connection, and each hears everything once', async () => {
    server = await FaultyServer.start({});
    const three = [open(), open(), open()];
    await isLive(...three);
    server.publish();
    server.publish();
    await have(7, ...three);
    for (const { seqs } of three) expect(seqs).toEqual(upTo(7));
    expect(server.at('healthy')).toHaveLength(1);
  });

  it('go on when the tab that leads is closed, again and again, and lose or double nothing', async () => {
    server = await FaultyServer.start({});
    const all = [open(), open(), open(), open(), open()];
    await isLive(...all);
    const publishing = setInterval(() => server.publish(), 1);
    for (const [n, { connection }] of all.slice(0, 4).entries()) {
      await until('events came', () => server.size > 50 * (n + 1));
      connection.close();
    }
    await until('some more', () => server.size > 300);
    clearInterval(publishing);
    await have(server.size, all[4]!);
    for (const { seqs, connection } of all) expect(seqs).toEqual(upTo(Number(connection.cursor!.slice(2))));
    expect(server.at('healthy').length).toBeGreaterThan(1);
    expect(server.open.size).toBe(1);
  });

  it('let one that comes with an older cursor catch up, and hear nothing twice', async () => {
    server = await FaultyServer.start({});
    const first = open({ lastEventId: 'e.4' });
    await isLive(first);
    const second = open({ lastEventId: 'e.2' });
    await have(5, second);
    server.publish();
    await have(6, first, second);
    expect(first.seqs).toEqual([5, 6]);
    expect(second.seqs).toEqual([3, 4, 5, 6]);
    expect(server.at('healthy').map(({ cursor }) => cursor)).toEqual(['e.4', 'e.2']);
  });

  it('let one that comes with a newer cursor, or with none, hear what is new to it', async () => {
    server = await FaultyServer.start({});
    const first = open();
    await isLive(first);
    const ahead = open({ lastEventId: 'e.6' });
    const fresh = connect({ url: server.url('healthy'), token: tokenOf('alice'), shared: true });
    const tab: Tab = { connection: fresh, seqs: [], resets: [], errors: [] };
    fresh.on('message', ({ id }) => tab.seqs.push(Number(id.split('.')[1])));
    tabs.push(tab);
    await isLive(ahead, tab);
    server.publish();
    server.publish();
    await have(7, first, ahead, tab);
    expect(ahead.seqs).toEqual([7]);
    expect(tab.seqs).toEqual([6, 7]);
    expect(server.at('healthy')).toHaveLength(1);
  });

  it('notice what did not reach them, and get it', async () => {
    server = await FaultyServer.start({});
    const [leader, follower] = [open(), open()];
    await isLive(leader, follower);
    const post = jest.spyOn(BroadcastChannel.prototype, 'postMessage').mockReturnValue();
    server.publish();
    await have(6, leader);
    post.mockRestore();
    server.publish();
    await have(7, leader, follower);
    expect(follower.seqs).toEqual(upTo(7));
    expect(leader.seqs).toEqual(upTo(7));
  });

  it('take over from one that holds the lock and is not heard of', async () => {
    server = await FaultyServer.start({});
    const name = shareName(settle({ url: server.url('healthy') }), JSON.stringify(['default', 'alice']));
    const frozen = locks
      .request(name, {}, () => new Promise(() => undefined))
      .catch((error: unknown) => error);
    const tab = open({ heartbeat: 60 });
    await isLive(tab);
    expect(tab.seqs).toEqual(upTo(5));
    expect(await frozen).toMatchObject({ name: 'AbortError' });
  });

  it('that lose the lead follow, and hear everything once', async () => {
    server = await FaultyServer.start({});
    const [first, second] = [open({ heartbeat: 300 }), open({ heartbeat: 300 })];
    await isLive(first, second);
    // The leader is not heard, and the other cannot ask: the leader seems frozen, and is not.
    const post = jest.spyOn(BroadcastChannel.prototype, 'postMessage').mockReturnValue();
    await until('the other leads', () => server.at('healthy').length > 1);
    post.mockRestore();
    server.publish();
    await have(6, first, second);
    expect(first.seqs).toEqual(upTo(6));
    expect(second.seqs).toEqual(upTo(6));
    await until('one connection is left', () => server.open.size === 1);
  });

  it('are all told of a reset', async () => {
    server = await FaultyServer.start({
      forked: (asked, response, it) => {
        if (asked.before > 0) it.replay(asked, response);
        else stream(response, reset(3) + ready(3) + frame(4));
      },
    });
    const both = [open({}, 'forked'), open({}, 'forked')];
    await have(4, ...both);
    for (const { seqs, resets } of both) {
      expect(resets.map(({ id }) => id)).toEqual(['e.3']);
      expect(seqs).toEqual([4]);
    }
  });

  it('are told of a reset when a failover lies between them and the stream', async () => {
    server = await FaultyServer.start({
      moved: (_, response) =>
        stream(response, frame(6).replace('e.6', 'f.6') + ready(6).replace('e.6', 'f.6')),
    });
    const ahead = open({ lastEventId: 'e.9' }, 'moved');
    const behind = open({ lastEventId: 'e.5' }, 'moved');
    await until('both are in the new epoch', () =>
      [ahead, behind].every(({ connection }) => connection.cursor === 'f.6'),
    );
    expect(ahead.resets.length + behind.resets.length).toBeGreaterThan(0);
    expect(behind.seqs).toEqual([6]);
  });

  it('find out one after the other that the server will not have them', async () => {
    server = await FaultyServer.start({
      forbidden: (_, response) => {
        refuse(response, 403);
      },
    });
    const both = [open({}, 'forbidden'), open({}, 'forbidden')];
    for (const { connection } of both) expect(await connection.closed).toMatchObject({ status: 403 });
    expect(server.at('forbidden')).toHaveLength(2);
  });

  it('are not held up by one whose for await is slow', async () => {
    server = await FaultyServer.start({});
    const slow = open({ buffer: 2 });
    const reader = slow.connection[Symbol.asyncIterator]();
    const quick = open();
    for (let n = 0; n < 20; n++) server.publish();
    await have(25, quick);
    expect(quick.seqs).toEqual(upTo(25));
    const taken: string[] = [];
    while (taken.length < 25) taken.push((await reader.next()).value!.id);
    expect(taken).toEqual(upTo(25).map(seq => `e.${seq}`));
  });

  it('have a connection each without Web Locks', async () => {
    uninstall();
    server = await FaultyServer.start({});
    const both = [open(), open()];
    await isLive(...both);
    for (const { seqs } of both) expect(seqs).toEqual(upTo(5));
    expect(server.at('healthy')).toHaveLength(2);
  });
});

describe('tabs that differ', () => {
  it.each([
    ['in their user', { token: tokenOf('bob') }],
    ['in their topics', { topics: ['room:9'] }],
    ['in their types', { types: ['note'] }],
    ['in whether they collapse', { collapse: false }],
  ])('%s share nothing', async (_, options) => {
    server = await FaultyServer.start({});
    await isLive(open(), open(options));
    expect(server.at('healthy')).toHaveLength(2);
  });

  it('in the order of their topics alone share all', async () => {
    server = await FaultyServer.start({});
    await isLive(open({ topics: ['all', 'room:9'] }), open({ topics: ['room:9', 'all'] }));
    expect(server.at('healthy')).toHaveLength(1);
  });

  it('in nothing, with cookies, share when the page says who is signed in', async () => {
    server = await FaultyServer.start({});
    const options = { url: server.url('healthy'), shared: true, lastEventId: 'e.0' };
    const known = [1, 2].map(() => connect({ ...options, user: 'alice' }));
    const unknown = [1, 2].map(() => connect(options));
    for (const connection of [...known, ...unknown]) {
      tabs.push({ connection, seqs: [], resets: [], errors: [] });
    }
    await isLive(...tabs);
    expect(server.at('healthy')).toHaveLength(3);
  });
});

describe('a shared connection', () => {
  it('is closed when its token becomes that of another user', async () => {
    server = await FaultyServer.start({
      ending: (asked, response, it) => {
        if (asked.before === 0) refuse(response, 401);
        else it.replay(asked, response);
      },
    });
    const tokens = [tokenOf('alice'), tokenOf('bob')];
    const tab = open({ token: () => tokens.shift()! }, 'ending');
    expect(await tab.connection.closed).toMatchObject({ code: 'user-changed' });
    expect(tab.seqs).toEqual([]);
  });
});

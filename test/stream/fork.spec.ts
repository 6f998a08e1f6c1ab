import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { History } from '../../src/events/history.js';
import { Epochs } from '../../src/log/epochs.js';
import { LogReader } from '../../src/log/log.reader.js';
import { LogLock } from '../support/log.lock.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { admin, Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { holdBackTail } from './held.tail.js';

/** Nothing of these tests is a failover: see test/faults for one. What it leaves behind in the tables is made by hand. */
describe('a log that was forked', () => {
  let database: TestDatabase;
  let belfry: Instance;
  let ids: string[];
  let clients: SseClient[] = [];

  beforeEach(async () => {
    database = await TestDatabase.create();
    belfry = await Instance.start(database.url, { RING_EVENTS: '5', REPLAY_EVENTS: '3' });
    ids = await publish(...Array.from({ length: 20 }, (_, n) => n + 1));
  });
  afterEach(async () => {
    clients.forEach(client => {
      client.cut();
    });
    clients = [];
    await belfry.stop();
    await database.drop();
  });

  /** Resolves when the instance itself has heard of it. */
  async function publish(...data: unknown[]): Promise<string[]> {
    const published = await belfry.publish(data.map(value => ({ topic: 'user:1', type: 'a', data: value })));
    const last = published.at(-1)!.split('.');
    await until('the tail is there', () => belfry.tail.position === Number(last[1]));
    return published;
  }

  async function stream(cursor?: string): Promise<SseClient> {
    const headers = cursor === undefined ? {} : { 'last-event-id': cursor };
    const client = await belfry.stream('?topic=user:1', { headers });
    clients.push(client);
    return client.isReady();
  }

  /** As after a failover to a standby that had not heard of the newest events, or after a restore. */
  async function lose(after: number): Promise<void> {
    await database.rows(`delete from belfry.events where seq > ${after}`);
    await moveElsewhere();
  }

  async function moveElsewhere(): Promise<void> {
    await database.rows(
      `update belfry.epochs set identity = 'elsewhere' where n = (select max(n) from belfry.epochs)`,
    );
  }

  interface Page {
    readonly events: readonly { readonly id: string; readonly data: unknown }[];
    readonly cursor: string;
  }

  async function history(query: string): Promise<Page> {
    const token = await admin();
    const answer = await belfry.request('GET', `/v1/events?topic=user:1&${query}`, { token });
    expect(answer.status).toBe(200);
    return answer.json as Page;
  }

  const epochOf = (id: string) => id.split('.')[0]!;
  const reasonsOf = (client: SseClient) =>
    client.controls('reset').map(({ data }) => (JSON.parse(data) as { reason: string }).reason);

  it('and lost nothing goes on in another epoch, and nobody is told', async () => {
    const live = await stream();
    await moveElsewhere();
    const [id] = await publish('next');
    expect(epochOf(id!)).not.toBe(epochOf(ids[0]!));
    expect(id!.split('.')[1]).toBe('21');
    await live.hears(1);
    expect(live.events[0]!.id).toBe(id);
    expect(reasonsOf(live)).toEqual([]);

    const back = await stream(ids[17]);
    expect(back.payloads).toEqual([19, 20, 'next']);
    expect(reasonsOf(back)).toEqual([]);
  });

  it('tells who is live past the fork, and sends what comes', async () => {
    const live = await stream(ids[18]);
    await lose(15);
    const [id] = await publish('instead of 16');
    expect(id!.split('.')[1]).toBe('16');
    await live.hears(2);
    expect(live.payloads).toEqual([20, 'instead of 16']);
    expect(live.events[1]!.id).toBe(id);
    expect(live.heard.map(({ event }) => event)).toEqual(['a', 'ready', 'reset', 'ready', 'a']);
    const [reset] = live.controls('reset');
    const at = `${epochOf(id!)}.15`;
    expect(reset!.id).toBe(at);
    expect(JSON.parse(reset!.data)).toEqual({ reason: 'forked', oldest: `${epochOf(id!)}.1`, head: at });
  });

  it('is found out by an instance that only reads', async () => {
    const live = await stream();
    const other = await Instance.start(database.url);
    await lose(15);
    // No bell, no append: the poll sees that the log has become shorter.
    await until('the reset', () => reasonsOf(live).length > 0);
    expect(reasonsOf(live)).toEqual(['forked']);
    await until('the other knows', () => other.tail.position === 15);
    await other.stop();
  });

  it('is found out when as much as was lost has been written again', async () => {
    const live = await stream();
    // The tail hears of nothing until the new history is longer than the old.
    const other = await Instance.start(database.url);
    await lose(15);
    const lock = await LogLock.hold(database.url);
    const sent = other.publish(
      Array.from({ length: 10 }, (_, n) => ({ topic: 'user:1', type: 'a', data: -n })),
    );
    await lock.release();
    const [first] = await sent;
    await until('the reset', () => reasonsOf(live).length > 0);
    expect(reasonsOf(live)).toEqual(['forked']);
    await other.publish({ topic: 'user:1', type: 'a', data: 'last' });
    await until('the last event', () => live.payloads.at(-1) === 'last');
    // All after the reset is of the new history; nothing of it was taken for the continuation of the old.
    for (const { id } of live.events) expect(epochOf(id!)).toBe(epochOf(first!));
    await other.stop();
  });

  it.each([
    ['before the fork', 12, [13, 14, 15, 'new'], []],
    ['at the fork', 15, ['new'], []],
    ['past the fork', 16, [], ['forked']],
    ['at the head of what was lost', 20, [], ['forked']],
  ])('honours a cursor of the old epoch %s', async (_where, seq, payloads, reasons) => {
    await lose(15);
    await publish('new');
    const client = await stream(ids[seq - 1]);
    expect(reasonsOf(client)).toEqual(reasons);
    expect(client.payloads).toEqual(payloads);
  });

  it('twice judges cursors by each fork after them', async () => {
    await lose(15);
    const [second] = await publish('16b');
    await publish('17b', '18b');
    await lose(12);
    const [third] = await publish('13c');
    const outcome = async (cursor: string) => {
      const client = await stream(cursor);
      return reasonsOf(client)[0] ?? client.payloads;
    };
    expect(await outcome(ids[11]!)).toEqual(['13c']);
    expect(await outcome(ids[12]!)).toBe('forked');
    expect(await outcome(ids[14]!)).toBe('forked');
    expect(await outcome(`${epochOf(second!)}.12`)).toEqual(['13c']);
    expect(await outcome(`${epochOf(second!)}.13`)).toBe('forked');
    expect(await outcome(`${epochOf(third!)}.13`)).toEqual([]);
  });

  it('is found out by a replay, when the tail does not know of it yet', async () => {
    const other = await Instance.start(database.url);
    const release = holdBackTail(belfry);
    await lose(15);
    await other.publish({ topic: 'user:1', type: 'a', data: 'new' });
    const [before, past] = [await stream(ids[9]), await stream(ids[17])];
    release();
    await other.publish({ topic: 'user:1', type: 'a', data: 'newer' });
    await before.hears(7);
    expect(before.payloads).toEqual([11, 12, 13, 14, 15, 'new', 'newer']);
    expect(reasonsOf(before)).toEqual([]);
    await past.hears(2);
    expect(past.payloads.slice(-2)).toEqual(['new', 'newer']);
    expect(reasonsOf(past)).toEqual(['forked']);
    await other.stop();
  });

  it.each([
    ['past the fork is told', 20, 'forked', []],
    ['at the fork goes on', 15, undefined, ['new']],
  ])('wakes a read that waits: one that is %s', async (_what, seq, reset, payloads) => {
    const token = await admin();
    const read = (after: string) =>
      belfry.request('GET', `/v1/events?topic=user:1&wait=20s&after=${after}`, { token });
    const waiting = read(ids[19]!);
    const whoWait = belfry.app.get<object, { waiting: Map<unknown, unknown> }>(History).waiting;
    await until('it waits', () => whoWait.size === 1);
    await lose(15);
    await publish('new');
    const answer = await (seq === 20 ? waiting : read(ids[seq - 1]!));
    const page = answer.json as { events: { data: unknown }[]; reset?: { reason: string } };
    expect(page.events.map(({ data }) => data)).toEqual(payloads);
    expect(page.reset?.reason).toBe(reset);
    await waiting;
  });

  it('is told to a client that was ahead of this instance, though nothing that this instance knew was lost', async () => {
    const other = await Instance.start(database.url);
    const release = holdBackTail(belfry);
    const ahead = await other.publish([21, 22, 23].map(data => ({ topic: 'user:1', type: 'a', data })));
    const headers = { 'last-event-id': ahead[2]! };
    const client = await belfry.stream('?topic=user:1', { headers });
    clients.push(client);
    await other.stop();
    await lose(21);
    const third = await Instance.start(database.url);
    await third.publish({ topic: 'user:1', type: 'a', data: '22b' });
    release();
    // Its old place comes again much later, or never.
    await until('the reset', () => reasonsOf(client).length > 0);
    expect(reasonsOf(client)).toEqual(['forked']);
    await third.stop();
  });

  it('keeps the ids of what it kept: for repeats, for replays from Postgres and from memory, and for history', async () => {
    const live = await stream();
    const key = { 'idempotency-key': 'k' };
    const first = await belfry.publish([{ topic: 'user:1', type: 'a', data: 21 }], key);
    await live.hears(1);
    await moveElsewhere();
    const [next] = await publish('next');
    expect(epochOf(next!)).not.toBe(epochOf(first[0]!));

    expect(await belfry.publish([{ topic: 'user:1', type: 'a', data: 21 }], key)).toEqual(first);
    const all = [...ids, ...first, next];
    expect((await stream(ids[2])).events.map(({ id }) => id)).toEqual(all.slice(3));
    const { events, cursor } = await history('limit=100');
    expect(events.map(({ id }) => id)).toEqual(all);
    expect(cursor).toBe(next);
    await live.hears(2);
    expect(live.events.map(({ id }) => id)).toEqual([...first, next]);
  });

  it('lets a read wait no longer than it said', async () => {
    const token = await admin();
    const began = performance.now();
    const waiting = belfry.request('GET', `/v1/events?topic=user:1&wait=3s&after=${ids[19]}`, { token });
    const whoWait = belfry.app.get<object, { waiting: Map<unknown, unknown> }>(History).waiting;
    await until('it waits', () => whoWait.size === 1);
    const [before] = whoWait.keys();
    await moveElsewhere();
    // To another topic: the read has nothing to tell.
    await belfry.publish({ topic: 'user:2', type: 'a' });
    await until('it waits anew, in the other epoch', () => whoWait.size === 1 && !whoWait.has(before));
    expect((await waiting).json).toMatchObject({ events: [] });
    expect(performance.now() - began).toBeLessThan(2 * 3_000);
  });

  it('is not suspected while this instance is ahead of what it was just told', async () => {
    const [epochs, reader] = [belfry.app.get(Epochs), belfry.app.get(LogReader)];
    const check = jest.spyOn(epochs, 'check');
    const bounds = jest.spyOn(reader, 'bounds');
    while (bounds.mock.calls.length < 3) await publish('busy');
    expect(check).not.toHaveBeenCalled();
  });

  it.each(['stream', 'read'])(
    'does not put a cursor in doubt whose epoch this instance hears of through it: %s',
    async how => {
      const other = await Instance.start(database.url);
      await lose(15);
      const release = holdBackTail(belfry);
      const [id] = await other.publish(
        [16, 17, 18].map(n => ({ topic: 'user:1', type: 'a', data: `new ${n}` })),
      );
      const cursor = `${epochOf(id!)}.17`;
      if (how === 'read') {
        const answer = await history(`after=${cursor}`);
        expect(answer).toMatchObject({ events: [{ data: 'new 18' }], cursor: `${epochOf(id!)}.18` });
        expect(answer).not.toHaveProperty('reset');
        release();
      } else {
        const client = await belfry.stream('?topic=user:1', { headers: { 'last-event-id': cursor } });
        clients.push(client);
        await until('the instance knows of it', () => belfry.tail.position === 15);
        release();
        await client.isReady();
        expect(reasonsOf(client)).toEqual([]);
        expect(client.payloads).toEqual(['new 18']);
      }
      await other.stop();
    },
  );

  it('is found out by a read, when the tail does not know of it yet', async () => {
    const other = await Instance.start(database.url);
    await lose(15);
    const release = holdBackTail(belfry);
    const [id] = await other.publish(
      Array.from({ length: 10 }, (_, n) => ({ topic: 'user:1', type: 'a', data: `new ${n}` })),
    );
    const epoch = epochOf(id!);
    // It says so although there are events after its seq: they are not those after its place.
    expect(await history(`after=${ids[17]!}`)).toMatchObject({
      events: [],
      cursor: `${epoch}.25`,
      reset: { reason: 'forked', head: `${epoch}.25` },
    });
    const before = await history(`after=${ids[13]!}`);
    expect(before).toMatchObject({ cursor: `${epoch}.25` });
    expect(before).not.toHaveProperty('reset');
    expect(before.events.map(({ data }) => data)).toEqual([
      15,
      ...Array.from({ length: 10 }, (_, n) => `new ${n}`),
    ]);
    release();
    await other.stop();
  });

  it('is not forked once more by an instance that has begun to check what it knew before', async () => {
    const epochs = belfry.app.get(Epochs);
    const holder = await database.pool.connect();
    await holder.query('begin; lock table belfry.partitions in access exclusive mode');
    // Its session waits for that table first.
    const checked = epochs.check(20);
    await until('the session', async () => {
      const waiting = await database.rows(
        `select from pg_stat_activity
        where datname = current_database() and application_name = 'belfry-check' and wait_event_type = 'Lock'`,
      );
      return waiting.length === 1;
    });
    await database.rows('delete from belfry.events where seq > 15');
    await database.rows(
      `insert into belfry.epochs (name, forked_at, identity) values ('another', 15, belfry.identity())`,
    );
    await epochs.load();
    expect(belfry.tail.position).toBe(15);
    await holder.query('commit');
    holder.release();
    await checked;
    expect(await database.rows('select from belfry.epochs')).toHaveLength(2);
  });

  it('ends no replay that has not come to the fork', async () => {
    const slow = await stream();
    slow.pause();
    await lose(15);
    await publish('new');
    slow.resume();
    await slow.hears(1);
    expect(slow.payloads).toEqual(['new']);
  });

  it('by hand tells whoever has heard more', async () => {
    const live = await stream();
    await database.rows('delete from belfry.events where seq > 15');
    await database.rows('begin; select belfry.lock_log(); select belfry.fork(); commit');
    await until('the reset', () => reasonsOf(live).length > 0);
    expect(reasonsOf(live)).toEqual(['forked']);
  });

  it('in another cluster lets what waits in the outbox through, whatever its transactions were', async () => {
    await belfry.stop();
    await database.rows(
      `insert into belfry.outbox (xid, tenant, topic, type, data) values ('9000000000', 'default', 'user:1', 'a', '"waited"')`,
    );
    await database.rows(`insert into belfry.drains (seen) values ('8000000000:8000000000:')`);
    await moveElsewhere();
    belfry = await Instance.start(database.url);
    const client = await stream(ids[19]);
    await database.rows(`select belfry.publish('user:1', 'a', '"published"')`);
    await client.hears(2);
    expect(client.payloads).toEqual(['waited', 'published']);
    expect(reasonsOf(client)).toEqual([]);
  });
});

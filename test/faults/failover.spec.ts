import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Database } from '../../src/database/database.js';
import { migrate } from '../../src/database/migrations.js';
import { LogAudit } from '../../src/log/audit.js';
import { newFolder } from '../database/processes.js';
import { isDense, seqOf, type StoredEvent, storedEvents } from '../log/stored.js';
import { TestCluster } from '../support/cluster.js';
import { until } from '../support/conditions.js';
import { admin, Instance } from '../support/instance.js';
import { ReturningClient, type Told } from '../support/returning.client.js';
import { TcpProxy } from '../support/tcp.proxy.js';
import { KeyedPublisher, type KeyedRequest, type Tried } from './keyed.publisher.js';
import { SqlPublisher } from './sql.publisher.js';

type Log = readonly StoredEvent[];

describe('when Postgres fails over to a standby under load', () => {
  let folder: string;
  let clusters: TestCluster[];
  let primary: TestCluster;
  let standby: TestCluster;
  /** Between the service and whichever is the primary, and between the standby and the first one. */
  let way: TcpProxy;
  let replication: TcpProxy;
  let instances: Instance[];
  let keyed: KeyedPublisher[];
  let sql: SqlPublisher[];
  let publishing: Promise<unknown>;
  let clients: ReturningClient[];
  let token: string;
  let firstEpoch: string;

  beforeEach(async () => {
    [clusters, instances, keyed, sql, clients] = [[], [], [], [], []];
    publishing = Promise.resolve();
    folder = await newFolder();
    primary = await TestCluster.create(join(folder, 'primary'));
    clusters.push(primary);
    await migrate(primary.url);
    await primary.rows(SqlPublisher.SCHEMA);
    replication = await TcpProxy.start(primary.url);
    standby = await primary.follow(join(folder, 'standby'), replication.urlOf(primary.url));
    clusters.push(standby);
    way = await TcpProxy.start(primary.url);
    const url = way.urlOf(primary.url);
    while (instances.length < 2) instances.push(await Instance.start(url, { PARTITION_EVENTS: '500' }));
    token = await admin();
    [firstEpoch] = (await epochs()).map(({ name }) => name) as [string];
  }, 60_000);
  afterEach(async () => {
    // After a failure they would go on for ever.
    for (const publisher of keyed) publisher.abandon();
    for (const publisher of sql) publisher.stop();
    await Promise.all(clients.map(client => client.leave()));
    await Promise.all(instances.map(instance => instance.stop()));
    await Promise.allSettled([publishing]);
    await Promise.all([way, replication].map(proxy => proxy.stop()));
    await Promise.all(clusters.map(cluster => cluster.stop()));
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  function publish(): void {
    keyed = [0, 1].map(n => new KeyedPublisher(`p${n}`, request => send(n, request)));
    sql = ['a', 'b'].map(name => new SqlPublisher(name, way.urlOf(primary.url)));
    publishing = Promise.all([...keyed, ...sql].map(publisher => publisher.run()));
    // Heard of at the end.
    publishing.catch(() => undefined);
  }

  async function send(instance: number, { key, body }: Pick<KeyedRequest, 'key' | 'body'>): Promise<Tried> {
    return instances[instance]!.request('POST', '/v1/events', {
      token,
      headers: { 'idempotency-key': key },
      body,
    });
  }

  /** A client of all that there is, with no instance of its own. */
  function client(cursor?: string): ReturningClient {
    const first = clients.length;
    const made: ReturningClient = new ReturningClient(async lastEventId => {
      const instance = instances[(first + made.connections) % instances.length]!;
      const headers: Record<string, string> =
        lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
      return instance.stream('?topic=*', { token, headers });
    }, cursor);
    clients.push(made);
    made.come();
    return made;
  }

  async function epochs(cluster = primary): Promise<{ name: string; forkedAt: number }[]> {
    return cluster.rows('select name, forked_at::integer as "forkedAt" from belfry.epochs order by n');
  }

  async function head(cluster: TestCluster): Promise<number> {
    return (await cluster.rows<{ head: number }>('select belfry.log_head()::integer as head'))[0]!.head;
  }

  /** Resolves when each publisher has been answered several times more. */
  async function publishersGoOn(): Promise<void> {
    const counts = () => [...keyed.map(k => k.acknowledged), ...sql.map(s => s.committed.length)];
    const before = counts();
    await until('publishes that are stored', () => counts().every((count, n) => count > before[n]! + 5));
  }

  async function publishersStop(): Promise<void> {
    for (const publisher of [...keyed, ...sql]) publisher.stop();
    await publishing;
  }

  /** The log as it is in the end, when everybody has heard all of it. */
  async function theEnd() {
    await until(
      'an empty outbox',
      async () => (await standby.rows('select from belfry.outbox')).length === 0,
    );
    const log = await storedEvents(standby);
    expect(isDense(log)).toBe(true);
    for (const each of clients) await until('the end of the log', () => each.seq === log.length);
    const faults = new LogAudit(instances[0]!.app.get(Database)).faults();
    expect(await faults).toEqual([]);
    const orders = await standby.rows<{ shop: string; n: number }>(
      'select shop, n from orders order by shop, n',
    );
    for (const publisher of sql) publisher.isServedBy(log, orders);
    return { log, orders };
  }

  /** Sends a request again. */
  async function idsOf(request: KeyedRequest, { duplicate }: { duplicate: boolean }): Promise<string[]> {
    const { status, json } = await send(0, request);
    expect(status).toBe(201);
    const { events } = json as { events: { id: string; duplicate: boolean }[] };
    expect(events.map(event => event.duplicate)).toEqual(request.body.map(() => duplicate));
    return events.map(({ id }) => id);
  }

  /** Each request is in the log once, and where its publisher was told. */
  function isStoredOnce({ requests }: KeyedPublisher, log: Log): void {
    const topics = new Set(
      requests.flatMap(({ body }) => (body as { topic: string }[]).map(({ topic }) => topic)),
    );
    const seqs = requests.flatMap(({ ids }) => ids!.map(seqOf));
    expect(log.filter(({ topic }) => topics.has(topic)).map(({ seq }) => seq)).toEqual(
      seqs.toSorted((one, other) => one - other),
    );
    for (const { body, ids } of requests) {
      expect(ids!.map(id => log[seqOf(id) - 1]!.data as unknown)).toEqual(
        body.map(event => (event as { data: unknown }).data),
      );
    }
  }

  /** What a client is to be told that is at `after`, of a log. */
  function tellingOf(log: Log, after: number, upTo = log.length): Told[] {
    return log.slice(after, upTo).map(({ seq, data }) => ({ seq, data: data as unknown }));
  }

  it('and some events are lost, whoever has heard them is told, and nobody else', async () => {
    const live = [client(), client(), client()];
    const early = client();
    await Promise.all(clients.map(each => each.isReady()));
    publish();
    await publishersGoOn();
    await early.leave();
    await until('the standby is past a client that left', async () => (await head(standby)) > early.seq);
    await publishersGoOn();

    replication.refuse();
    await until('the standby is on its own', async () => {
      const receivers = await standby.rows('select from pg_stat_wal_receiver');
      return receivers.length === 0;
    });
    const late = client();
    await publishersGoOn();
    await until('clients past the standby', async () => {
      const known = await head(standby);
      return [...live, late].every(({ seq }) => seq > known + 50);
    });
    await late.leave();

    await primary.kill();
    await standby.promote();
    const fork = await head(standby);
    way.leadTo(standby.url);
    const at = client(`${firstEpoch}.${fork}`);
    const past = client(`${firstEpoch}.${fork + 1}`);
    early.come();
    late.come();
    await publishersGoOn();
    await publishersStop();
    const isLost = ({ ids }: KeyedRequest) => ids![0]!.startsWith(firstEpoch) && seqOf(ids![0]) > fork;
    const lost = keyed.flatMap(({ requests }) => requests.filter(isLost));
    expect(lost.length).toBeGreaterThan(2);
    for (const request of lost) {
      request.ids = await idsOf(request, { duplicate: false });
      expect(await idsOf(request, { duplicate: true })).toEqual(request.ids);
    }

    const { log } = await theEnd();
    const [, second, ...more] = await epochs(standby);
    expect(more).toEqual([]);
    expect(second!.forkedAt).toBe(fork);

    for (const each of live) {
      expect(each.connections).toBe(1);
      expect(each.resets).toEqual(['forked']);
      const told = each.told;
      const reset = told.findIndex(step => 'reset' in step);
      // What it was told before is the log up to the fork, and then what was lost, without a gap.
      const before = told.slice(0, reset) as { seq: number }[];
      expect(before.slice(0, fork)).toEqual(tellingOf(log, 0, fork));
      expect(isDense(before)).toBe(true);
      expect(before.length).toBeGreaterThan(fork);
      expect(told.slice(reset)).toEqual([{ reset: 'forked', at: fork }, ...tellingOf(log, fork)]);
    }
    expect(early.told).toEqual(tellingOf(log, 0));
    expect(at.told).toEqual(tellingOf(log, fork));
    for (const each of [late, past]) expect(each.resets).toEqual(['forked']);
    for (const each of [late, past]) {
      const told = each.told;
      const reset = told.findIndex(step => 'reset' in step);
      const { at } = told[reset] as { at: number };
      expect(told.slice(reset + 1)).toEqual(tellingOf(log, at));
    }

    for (const publisher of keyed) isStoredOnce(publisher, log);
  }, 60_000);

  it.each(['after', 'before'])(
    'and nothing is lost, nobody is told, also when the service gets there %s the promotion',
    async when => {
      await primary.rows(`alter system set synchronous_standby_names = '*'`);
      await primary.rows('select pg_reload_conf()');
      await until('replication that is waited for', async () => {
        const [row] = await primary.rows<{ sync_state: string }>(
          'select sync_state from pg_stat_replication',
        );
        return row?.sync_state === 'sync';
      });
      const live = [client(), client(), client()];
      const away = client();
      await Promise.all(clients.map(each => each.isReady()));
      publish();
      await publishersGoOn();
      await away.leave();
      await publishersGoOn();

      // The host is gone: nothing that a dying backend lets others see gets out of it.
      way.refuse();
      await primary.kill();
      way.leadTo(standby.url);
      if (when === 'before') {
        way.open();
        await until('a session at the standby', async () => {
          const sessions = await standby.rows(
            `select from pg_stat_activity where application_name like 'belfry%'`,
          );
          return sessions.length > 0;
        });
      }
      await standby.promote();
      way.open();
      away.come();
      await publishersGoOn();
      await publishersStop();

      const { log, orders } = await theEnd();
      expect((await epochs(standby)).length).toBe(2);
      for (const publisher of keyed) publisher.isServedBy(log);
      for (const each of clients) expect(each.told).toEqual(tellingOf(log, 0));
      for (const each of live) expect(each.connections).toBe(1);
      const placed = new Set(orders.map(({ shop, n }) => `${shop} ${n}`));
      for (const { name, committed } of sql) {
        expect(committed.filter(n => !placed.has(`${name} ${n}`))).toEqual([]);
      }
    },
    60_000,
  );

  describe('and its address leads to a standby meanwhile', () => {
    let belfry: Instance;
    let ids: string[];

    beforeEach(async () => {
      await Promise.all(instances.map(instance => instance.stop()));
      // What is missed is in Postgres alone.
      belfry = await Instance.start(way.urlOf(primary.url), { RING_EVENTS: '1' });
      instances = [belfry];
      ids = await belfry.publish(events(1, 20));
      await primary.isFollowedBy(standby);
    });

    const events = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, n) => ({ topic: 'all', type: 't', data: from + n }));

    it('no session stays there', async () => {
      way.leadTo(standby.url);
      way.cut();
      const published = belfry.publish(events(21, 30));
      await until('a session at the standby', async () => {
        const sessions = await standby.rows(
          `select from pg_stat_activity where application_name = 'belfry-append' and query like '%belfry.append%'`,
        );
        return sessions.length > 0;
      });
      // What leads there goes on leading there.
      way.leadTo(primary.url);
      expect(await published).toHaveLength(10);
      await until('the instance is there again', () => !belfry.tail.isAway && belfry.tail.position === 30);
      expect(await epochs()).toHaveLength(1);
    }, 60_000);

    it('no replay ends where the standby does', async () => {
      await standby.rows('select pg_wal_replay_pause()');
      // Those that are open stay where they are, new ones get there.
      way.leadTo(standby.url);
      await belfry.publish(events(21, 30));
      const back = client(ids[4]);
      await until('a client that was turned away', () => back.connections > 1 || back.seq === 30);
      way.leadTo(primary.url);
      await until('the end of the log', () => back.seq === 30);
      expect(back.told).toEqual(events(6, 30).map(({ data }) => ({ seq: data, data })));
    }, 60_000);
  });
});

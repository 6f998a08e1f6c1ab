import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Database } from '../../src/database/database.js';
import { migrate } from '../../src/database/migrations.js';
import { LogAudit } from '../../src/log/audit.js';
import { newFolder } from '../database/processes.js';
import { isDense, storedEvents } from '../log/stored.js';
import { TestCluster } from '../support/cluster.js';
import { until } from '../support/conditions.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { TcpProxy } from '../support/tcp.proxy.js';

/** A standby, and the network between it and its primary. */
interface Follower {
  readonly cluster: TestCluster;
  readonly link: TcpProxy;
}

describe('a second failover', () => {
  let folder: string;
  let clusters: TestCluster[];
  let proxies: TcpProxy[];
  let first: TestCluster;
  /** Between the service and whichever is the primary. */
  let way: TcpProxy;
  /** Lives through it all. */
  let belfry: Instance;
  let instances: Instance[];
  let clients: SseClient[];
  let live: SseClient;

  beforeEach(async () => {
    [clusters, proxies, instances, clients] = [[], [], [], []];
    folder = await newFolder();
    first = await TestCluster.create(join(folder, 'first'));
    clusters.push(first);
    await migrate(first.url);
    way = await TcpProxy.start(first.url);
    proxies.push(way);
    belfry = await start();
    live = await stream(belfry);
  }, 60_000);
  afterEach(async () => {
    for (const client of clients) client.cut();
    await Promise.all(instances.map(instance => instance.stop()));
    await Promise.all(proxies.map(proxy => proxy.stop()));
    await Promise.all(clusters.map(cluster => cluster.stop()));
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  async function start(): Promise<Instance> {
    const instance = await Instance.start(way.urlOf(first.url));
    instances.push(instance);
    return instance;
  }

  async function stream(instance: Instance, cursor?: string): Promise<SseClient> {
    const client = await instance.stream('?topic=all', {
      headers: cursor === undefined ? {} : { 'last-event-id': cursor },
    });
    clients.push(client);
    return client.isReady();
  }

  /** Events `<name> <seq>`, heard by the one who listens. @returns their epoch */
  async function publish(name: string, from: number, to: number): Promise<string> {
    const data = Array.from({ length: to - from + 1 }, (_, n) => `${name} ${from + n}`);
    const ids = await belfry.publish(data.map(text => ({ topic: 'all', type: 't', data: text })));
    expect(ids.map(id => id.split('.')[1])).toEqual(data.map(text => text.split(' ')[1]));
    await until('the last event', () => live.payloads.at(-1) === data.at(-1));
    return ids[0]!.split('.')[0]!;
  }

  async function follow(primary: TestCluster, name: string): Promise<Follower> {
    const link = await TcpProxy.start(primary.url);
    proxies.push(link);
    const cluster = await primary.follow(join(folder, name), link.urlOf(primary.url));
    clusters.push(cluster);
    return { cluster, link };
  }

  /** What is published from now on never reaches the follower. */
  async function cutOff(primary: TestCluster, { cluster, link }: Follower): Promise<void> {
    await primary.isFollowedBy(cluster);
    link.refuse();
    await until('the standby is on its own', async () => {
      return (await cluster.rows('select from pg_stat_wal_receiver')).length === 0;
    });
  }

  async function failOver(from: TestCluster, { cluster: to }: Follower): Promise<void> {
    await from.kill();
    await to.promote();
    await leadTo(to);
  }

  async function leadTo(cluster: TestCluster): Promise<void> {
    const before = reasonsOf(live).length;
    way.leadTo(cluster.url);
    // No event is needed for it.
    await until('a reset', () => reasonsOf(live).length > before);
  }

  const payloadsOf = (name: string, from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, n) => `${name} ${from + n}`);

  const reasonsOf = (client: SseClient) =>
    client.controls('reset').map(({ data }) => (JSON.parse(data) as { reason: string }).reason);

  /** What a client that comes back is told, alike by one that lived through it all and by one that did not. */
  async function outcome(cursor: string): Promise<unknown> {
    const [veteran, novice] = await Promise.all(
      instances.map(async instance => {
        const client = await stream(instance, cursor);
        return reasonsOf(client)[0] ?? client.payloads;
      }),
    );
    expect(novice).toEqual(veteran);
    return veteran;
  }

  async function isWhole(cluster: TestCluster): Promise<void> {
    expect(isDense(await storedEvents(cluster))).toBe(true);
    expect(await new LogAudit(belfry.app.get(Database)).faults()).toEqual([]);
  }

  it.each([
    ['past the first', 17],
    ['where the first did', 15],
  ])(
    'that forks the log %s leaves each cursor as good as it is',
    async (_where, fork) => {
      const second = await follow(first, 'second');
      const one = await publish('one', 1, 15);
      await cutOff(first, second);
      await publish('one', 16, 20);
      await failOver(first, second);

      const third = await follow(second.cluster, 'third');
      const two = fork === 15 ? undefined : await publish('two', 16, fork);
      await cutOff(second.cluster, third);
      const sameTwo = await publish('two', fork + 1, 22);
      if (two !== undefined) expect(sameTwo).toBe(two);
      await failOver(second.cluster, third);
      const three = await publish('three', fork + 1, 24);
      await start();

      const rest = [...payloadsOf('two', 16, fork), ...payloadsOf('three', fork + 1, 24)];
      expect(await outcome(`${one}.10`)).toEqual([...payloadsOf('one', 11, 15), ...rest]);
      expect(await outcome(`${one}.15`)).toEqual(rest);
      expect(await outcome(`${one}.16`)).toBe('forked');
      expect(await outcome(`${one}.20`)).toBe('forked');
      expect(await outcome(`${sameTwo}.14`)).toEqual(['one 15', ...rest]);
      expect(await outcome(`${sameTwo}.${fork}`)).toEqual(payloadsOf('three', fork + 1, 24));
      expect(await outcome(`${sameTwo}.${fork + 1}`)).toBe('forked');
      expect(await outcome(`${sameTwo}.22`)).toBe('forked');
      expect(await outcome(`${three}.${fork}`)).toEqual(payloadsOf('three', fork + 1, 24));
      expect(await outcome(`${three}.24`)).toEqual([]);
      expect(await outcome(`${three}.25`)).toBe('forked');

      expect(live.closed).toBe(false);
      expect(reasonsOf(live)).toEqual(['forked', 'forked']);
      expect(live.payloads).toEqual([
        ...payloadsOf('one', 1, 20),
        ...payloadsOf('two', 16, 22),
        ...payloadsOf('three', fork + 1, 24),
      ]);
      await isWhole(third.cluster);
    },
    60_000,
  );

  it('to a standby that never heard of the first forks the log before it, and the epoch between is unknown', async () => {
    const [second, third] = [await follow(first, 'second'), await follow(first, 'third')];
    const one = await publish('one', 1, 12);
    await cutOff(first, third);
    await publish('one', 13, 15);
    await cutOff(first, second);
    await publish('one', 16, 20);
    await failOver(first, second);
    const two = await publish('two', 16, 18);
    await failOver(second.cluster, third);
    const three = await publish('three', 13, 16);
    await start();

    expect(await outcome(`${one}.12`)).toEqual(payloadsOf('three', 13, 16));
    expect(await outcome(`${one}.13`)).toBe('forked');
    expect(await outcome(`${one}.16`)).toBe('forked');
    for (const seq of [10, 15, 18]) expect(await outcome(`${two}.${seq}`)).toBe('unknown');
    expect(await outcome(`${three}.14`)).toEqual(payloadsOf('three', 15, 16));

    expect(live.closed).toBe(false);
    expect(reasonsOf(live)).toEqual(['forked', 'forked']);
    expect(live.payloads).toEqual([
      ...payloadsOf('one', 1, 20),
      ...payloadsOf('two', 16, 18),
      ...payloadsOf('three', 13, 16),
    ]);
    const identities = await third.cluster.rows<{ identity: string }>(
      'select identity from belfry.epochs order by n',
    );
    // Both call their timeline the second: the number alone would not have told them apart.
    expect(identities.map(({ identity }) => identity.split('-')[1])).toEqual(['00000001', '00000002']);
    await isWhole(third.cluster);
  }, 60_000);

  it('back to the server that was the first goes on from what that one has, and the epoch between is unknown', async () => {
    const second = await follow(first, 'second');
    const one = await publish('one', 1, 15);
    await cutOff(first, second);
    await publish('one', 16, 20);
    await failOver(first, second);
    const two = await publish('two', 16, 18);
    await second.cluster.kill();
    await first.start();
    await leadTo(first);
    const three = await publish('three', 21, 22);
    await start();

    const news = payloadsOf('three', 21, 22);
    // It has what was lost to the other.
    expect(await outcome(`${one}.15`)).toEqual([...payloadsOf('one', 16, 20), ...news]);
    expect(await outcome(`${one}.18`)).toEqual([...payloadsOf('one', 19, 20), ...news]);
    expect(await outcome(`${one}.21`)).toBe('forked');
    for (const seq of [10, 18]) expect(await outcome(`${two}.${seq}`)).toBe('unknown');
    expect(await outcome(`${three}.21`)).toEqual(['three 22']);

    expect(live.closed).toBe(false);
    expect(reasonsOf(live)).toEqual(['forked', 'forked']);
    expect(live.payloads).toEqual([
      ...payloadsOf('one', 1, 20),
      ...payloadsOf('two', 16, 18),
      ...payloadsOf('one', 16, 20),
      ...news,
    ]);
    await isWhole(first);
  }, 60_000);
});

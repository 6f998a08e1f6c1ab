import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Retention } from '../../src/log/retention.js';
import { seqOf } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';

const USERS = 5;
const SIZE = 25;
/** Events that are there before anybody connects, and events that come then. */
const BEFORE = 400;
const AFTER = 300;
/** The last event that is gone before anybody connects, and the last that goes then: each the last of a partition. */
const EXPIRED = 100;
const EXPIRING = 350;

/** One of the hundred: what it wants, from where, and what it hears. */
interface Reader {
  readonly cursor: number;
  readonly wants: (seq: number) => boolean;
  readonly client: SseClient;
}

describe('partitions that come and go under a hundred replays', () => {
  let database: TestDatabase;
  let instances: Instance[];
  /** By seq: the user that it was for. */
  const users = new Map<number, number>();
  let epoch: string;

  beforeAll(async () => {
    database = await TestDatabase.create();
    const env = { PARTITION_EVENTS: `${SIZE}`, RING_EVENTS: '10', REPLAY_EVENTS: '10' };
    instances = await Promise.all([1, 2].map(() => Instance.start(database.url, env)));
  });
  afterAll(async () => {
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  });

  async function publish(count: number, instance: Instance): Promise<void> {
    const events = Array.from({ length: count }, (_, n) => ({
      topic: `user:${n % USERS}`,
      type: 't',
      data: n % USERS,
    }));
    const ids = await instance.publish(events);
    ids.forEach((id, n) => users.set(seqOf(id), n % USERS));
    epoch = ids[0]!.split('.')[0]!;
  }

  /** Lets what is stored up to a seq expire, and has it dropped; who reads is in the way, so it may take some tries. */
  async function expire(upTo: number): Promise<void> {
    await database.rows(
      `update belfry.events set at = at - interval '100 hours' where seq <= $1 and at > now() - interval '50 hours'`,
      [upTo],
    );
    await until(`the drop of what is before ${upTo}`, async () => {
      await Promise.allSettled(instances.map(instance => instance.app.get(Retention).trim()));
      const [row] = await database.rows<{ floor: string }>('select belfry.log_floor() as floor');
      return Number(row!.floor) > upTo;
    });
  }

  async function open(n: number): Promise<Reader> {
    const cursor = Math.floor((n * BEFORE) / 100);
    const query = n % 2 === 0 ? '?topic=user:*' : `?topic=user:${n % USERS}&topic=user:${(n + 1) % USERS}`;
    const wanted = n % 2 === 0 ? undefined : [n % USERS, (n + 1) % USERS];
    const client = await instances[n % 2]!.stream(query, {
      headers: { 'last-event-id': `${epoch}.${cursor}` },
    });
    return { cursor, client, wants: seq => wanted?.includes(users.get(seq)!) ?? true };
  }

  /** Walks through what was heard: says what is missing without a reset, or there twice. */
  function faults({ cursor, wants, client }: Reader): string[] {
    const found: string[] = [];
    let place = cursor;
    for (const { event, id } of client.heard) {
      const seq = seqOf(id);
      if (event === 'reset') {
        if (seq < place) found.push(`a reset from ${place} back to ${seq}`);
        place = seq;
        continue;
      }
      if (event !== 'ready' && seq <= place) found.push(`${seq} after ${place}`);
      const upTo = event === 'ready' ? seq : seq - 1;
      for (let missed = place + 1; missed <= upTo; missed++) {
        if (wants(missed)) found.push(`${missed} is missing before ${event} ${seq}`);
      }
      place = Math.max(place, seq);
    }
    return found;
  }

  it('lose and double nothing: each hears all that it wants, or is told that it expired', async () => {
    for (let done = 0; done < BEFORE; done += SIZE) await publish(SIZE, instances[0]!);
    await expire(EXPIRED);

    const opening = Array.from({ length: 100 }, (_, n) => open(n));
    const publishing = (async () => {
      for (let done = 0; done < AFTER; done += 15) await publish(15, instances[done % 2]!);
    })();
    const expiring = (async () => {
      for (let upTo = EXPIRED + SIZE; upTo <= EXPIRING; upTo += SIZE) await expire(upTo);
    })();
    const readers = await Promise.all(opening);
    await Promise.all([publishing, expiring]);
    await publish(USERS, instances[0]!);
    const last = BEFORE + AFTER + USERS;
    expect([...users.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: last }, (_, n) => n + 1));
    const goals = readers.map(({ wants }) => [...users.keys()].filter(wants).sort((a, b) => b - a)[0]!);
    await until('all have heard the last event', () =>
      readers.every(({ client }, n) => seqOf(client.events.at(-1)?.id) === goals[n]),
    );

    expect(readers.flatMap(reader => faults(reader))).toEqual([]);
    const resets = readers.map(({ client }) => client.controls('reset'));
    for (const [reset] of resets.filter(({ length }) => length > 0)) {
      expect(JSON.parse(reset!.data)).toMatchObject({ reason: 'expired' });
    }
    // What expired before they came, and what never did, is certain.
    for (const [n, { cursor }] of readers.entries()) {
      if (cursor < EXPIRED) expect(resets[n]!.length).toBeGreaterThan(0);
      if (cursor >= EXPIRING) expect(resets[n]).toEqual([]);
    }
    for (const { client } of readers) client.cut();
  }, 60_000);
});

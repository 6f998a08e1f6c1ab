import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';

interface Published {
  readonly topic: string;
  readonly type: string;
  readonly key?: string;
  readonly data?: unknown;
  readonly expiresAt?: string;
}

/** Stands for data so large that pages are cut by bytes. */
const LARGE = 'large';
const TOPICS = ['user:1', 'user:2', 'doc:1', 'all'];
const TYPES = ['a', 'b'];

const event: fc.Arbitrary<Published> = fc.record(
  {
    topic: fc.constantFrom(...TOPICS),
    type: fc.constantFrom(...TYPES),
    key: fc.constantFrom('k1', 'k2'),
    data: fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constant('\r\n\u2028\ud83d\ude00'), fc.constant(LARGE)),
    expiresAt: fc.constantFrom('2001-01-01T00:00:00Z', '2999-01-01T00:00:00Z'),
  },
  { requiredKeys: ['topic', 'type'] },
);

const wish = fc.record({
  topics: fc.uniqueArray(fc.constantFrom(...TOPICS, 'user:*', 'doc:*', '*'), { minLength: 1 }),
  types: fc.uniqueArray(fc.constantFrom(...TYPES)),
  collapse: fc.boolean(),
  /** Where the client's cursor is, as a share of the log. */
  from: fc.double({ min: 0, max: 1, noNaN: true }),
  /** After so many events the client is cut off and comes back, again and again. */
  cutAfter: fc.integer({ min: 1, max: 12 }),
});

/** What the design says a catch-up sends: the rule in its plainest form, over the events in order. */
function expected(log: readonly Published[], { topics, types, collapse }: Wish, from: number): number[] {
  const passes = (e: Published) =>
    topics.some(
      t => t === '*' || t === e.topic || (t.endsWith(':*') && e.topic.startsWith(t.slice(0, -1))),
    ) &&
    (types.length === 0 || types.includes(e.type));
  const seen = log.map((e, index) => ({ e, index })).filter(({ e, index }) => index >= from && passes(e));
  return seen
    .filter(
      ({ e, index }) =>
        !(collapse && e.key) ||
        !seen.some(later => later.index > index && later.e.topic === e.topic && later.e.key === e.key),
    )
    .filter(({ e }) => !e.expiresAt?.startsWith('2001'))
    .map(({ index }) => index);
}
type Wish = typeof wish extends fc.Arbitrary<infer T> ? T : never;

function idOf(frame: string | undefined): string | undefined {
  return /^id: (.*)$/m.exec(frame ?? '')?.[1];
}

function queryOf({ topics, types, collapse }: Wish): string {
  const parameters = new URLSearchParams([
    ...topics.map((topic): [string, string] => ['topic', topic]),
    ...types.map((type): [string, string] => ['type', type]),
    ['collapse', String(collapse)],
  ]);
  return `?${parameters.toString()}`;
}

describe('what a client that was away is sent', () => {
  let database: TestDatabase;
  let instances: Instance[];
  afterAll(async () => {
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  });

  it('equals, byte for byte, what was heard live, less what is superseded or expired: from any cursor, cut anywhere, from ring, Postgres or both', async () => {
    database = await TestDatabase.create();
    const sizes = [
      { RING_EVENTS: '1', REPLAY_EVENTS: '1' },
      { RING_EVENTS: '7', REPLAY_EVENTS: '3' },
      { RING_EVENTS: '1000', REPLAY_EVENTS: '200' },
      { RING_BYTES: '100000', REPLAY_EVENTS: '10' },
    ];
    instances = await Promise.all(
      sizes.map(size => Instance.start(database.url, { ...size, PARTITION_EVENTS: '100' })),
    );
    const publisher = instances[0]!;
    const listener = await (await publisher.stream('?topic=*')).isReady();
    const log: Published[] = [];

    const property = fc.asyncProperty(fc.array(event, { maxLength: 25 }), wish, async (more, what) => {
      if (more.length > 0)
        await publisher.publish(more.map(e => (e.data === LARGE ? { ...e, data: 'x'.repeat(20_000) } : e)));
      log.push(...more);
      await listener.hears(log.length);
      const from = Math.floor(what.from * log.length);
      const live = listener.frames;
      const frames = expected(log, what, from).map(index => live[index]);
      const epoch = listener.lastEventId!.split('.')[0]!;

      for (const instance of instances) {
        await until('the instance is up to date', () => instance.tail.position === log.length);
        const received: string[] = [];
        let cursor = `${epoch}.${from}`;
        for (let over = false; !over;) {
          const client = await instance.stream(queryOf(what), { headers: { 'last-event-id': cursor } });
          await until(
            'some events, or the end of the replay',
            () => client.frames.length >= what.cutAfter || isReady(client),
          );
          over = isReady(client) && client.frames.length <= what.cutAfter;
          const taken = client.frames.slice(0, what.cutAfter);
          received.push(...taken);
          cursor = idOf(taken.at(-1)) ?? cursor;
          client.cut();
        }
        expect(received.map(idOf)).toEqual(frames.map(idOf));
        expect(received).toEqual(frames);
      }
    });
    await fc.assert(property, { numRuns: 25, endOnFailure: true });
  }, 120_000);
});

describe('clients that come and go while events are published', () => {
  let database: TestDatabase;
  let instances: Instance[];

  beforeAll(async () => {
    database = await TestDatabase.create();
    instances = await Promise.all(
      ['20', '100000'].map(ring => Instance.start(database.url, { RING_EVENTS: ring, REPLAY_EVENTS: '10' })),
    );
  });
  afterAll(async () => {
    await Promise.all(instances.map(instance => instance.stop()));
    await database.drop();
  });

  it('20 that join during 2,000 publishes each see an unbroken suffix', async () => {
    const total = 2_000;
    const publishing = publishSlowly(instances[0]!, 'room:join', total);
    const clients = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const instance = instances[n % 2]!;
        const joinAt = (n + 1) * 90;
        await until('the log has grown', () => instance.tail.position >= joinAt);
        return (await instance.stream('?topic=room:join')).isReady();
      }),
    );
    await publishing;
    for (const client of clients) {
      await until('the last event', () => client.payloads.at(-1) === total - 1);
      const first = client.payloads[0] as number;
      expect(client.payloads).toEqual(Array.from({ length: total - first }, (_, n) => first + n));
      client.cut();
    }
  });

  it('10 that are cut again and again, in the middle of replays too, hold every event exactly once', async () => {
    const total = 1_000;
    const start = instances[0]!.tail.position;
    const [first] = await instances[0]!.publish({ topic: 'room:start', type: 'a' });
    const epoch = first!.split('.')[0]!;
    const publishing = publishSlowly(instances[1]!, 'room:cut', total);
    const runs = Array.from({ length: 10 }, async (_, n) => {
      const received: unknown[] = [];
      let cursor = `${epoch}.${start}`;
      for (let round = n; received.length < total; round++) {
        const client = await instances[round % 2]!.stream('?topic=room:cut', {
          headers: { 'last-event-id': cursor },
        });
        const enough = 1 + ((round * 37) % 150);
        await until(
          'some events',
          () => client.events.length >= enough || received.length + client.events.length >= total,
        );
        client.cut();
        received.push(...client.payloads);
        cursor = client.lastEventId ?? cursor;
      }
      return received;
    });
    await publishing;
    for (const received of await Promise.all(runs)) {
      expect(received).toEqual(Array.from({ length: total }, (_, n) => n));
    }
  }, 60_000);

  it('a slow reader that falls behind the ring comes back through Postgres, without loss', async () => {
    const slow = await (await instances[0]!.stream('?topic=room:slow')).isReady();
    slow.pause();
    const blob = 'x'.repeat(60_000);
    const total = 400;
    for (let n = 0; n < total; n += 10) {
      await instances[0]!.publish(
        Array.from({ length: 10 }, (_, i) => ({ topic: 'room:slow', type: 'a', data: { n: n + i, blob } })),
      );
    }
    // 24 MB are more than the kernel takes for a client that does not read, and 20 events are all that the ring has.
    expect(slow.events.length).toBeLessThan(total);
    slow.resume();
    await slow.hears(total);
    expect(slow.payloads.map(data => (data as { n: number }).n)).toEqual(
      Array.from({ length: total }, (_, n) => n),
    );
    slow.cut();
  });
});

function isReady(client: SseClient): boolean {
  return client.controls('ready').length > 0;
}

async function publishSlowly(instance: Instance, topic: string, total: number): Promise<void> {
  for (let n = 0; n < total; n += 5) {
    await instance.publish(Array.from({ length: 5 }, (_, i) => ({ topic, type: 'a', data: n + i })));
  }
}

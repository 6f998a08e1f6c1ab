import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { seqOf } from '../log/stored.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import type { SseClient } from '../support/sse.client.js';
import { Bell, type Counts, notify, retract } from './bell.js';

let database: TestDatabase;
let instances: Instance[];
let users = 0;

beforeAll(async () => {
  database = await TestDatabase.create();
  instances = [await Instance.start(database.url), await Instance.start(database.url)];
});
afterAll(async () => {
  await Promise.all(instances.map(instance => instance.stop()));
  await database.drop();
});

/** A badge as a client keeps it: absolute counts, and to them what was heard of after the event that they count up to. */
class Badge {
  private counts: Counts = { unread: 0, unseen: 0, asOf: '.0' };
  private applied = 0;
  private readonly created: number[] = [];

  constructor(
    readonly bell: Bell,
    readonly stream: SseClient,
  ) {}

  take(counts: Counts): void {
    if (seqOf(counts.asOf) >= seqOf(this.counts.asOf)) this.counts = counts;
  }

  get unread(): number {
    for (const { event, id, data } of this.stream.events.slice(this.applied)) {
      this.applied++;
      const { data: change } = JSON.parse(data) as { data: { counts?: Counts } };
      if (event === 'notification.created') this.created.push(seqOf(id));
      else if (change.counts) this.take(change.counts);
    }
    return this.counts.unread + this.created.filter(seq => seq > seqOf(this.counts.asOf)).length;
  }
}

const operation = fc.record({
  client: fc.nat(2),
  does: fc.constantFrom(
    'send',
    'broadcast',
    'read',
    'unread',
    'archive',
    'markRead',
    'markUpTo',
    'mute',
    'retract',
  ),
  nth: fc.nat(20),
});

describe('the badges of one user', () => {
  it('equal the list at the end, at three clients of two instances that do anything at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 40 }), async operations => {
        const sub = `badge${++users}`;
        const claims = { sub, roles: [sub] };
        const token = await tokenFor(claims);
        const badges = await Promise.all(
          [0, 1, 1].map(async index => {
            const at = instances[index]!;
            const bell = await Bell.of(at, claims);
            const { counts, cursor } = await bell.list();
            const badge = new Badge(
              bell,
              await (await at.stream(`?lastEventId=${cursor}`, { token })).isReady(),
            );
            badge.take(counts);
            return badge;
          }),
        );
        const ids: string[] = [];
        await Promise.all(
          operations.map(async ({ client, does, nth }) => {
            const { bell } = badges[client]!;
            const at = instances[client === 0 ? 0 : 1]!;
            const id = ids[nth % Math.max(1, ids.length)];
            switch (does) {
              case 'send':
              case 'broadcast':
                ids.push(await notify(at, `${does === 'send' ? 'user' : 'role'}:${sub}`, 'x'));
                break;
              case 'markRead':
                await bell.mark({ read: true });
                break;
              case 'mute':
                await bell.ask('PUT', '/v1/inbox/preferences', { muted: nth % 2 === 0 ? [] : ['other'] });
                break;
              default:
                if (id === undefined) break;
                if (does === 'markUpTo') await bell.mark({ read: true, upTo: id });
                else if (does === 'retract') await retract(at, id);
                else
                  await bell.touch(id, does === 'archive' ? { archived: true } : { read: does === 'read' });
            }
          }),
        );
        // Taking back carries no counts: a client fetches them, or is told by the next change.
        await badges[0]!.bell.ask('PUT', '/v1/inbox/preferences', { muted: ['last'] });
        const unread = (await badges[0]!.bell.list('?status=unread&limit=200')).items.length;
        for (const badge of badges) {
          await until(`a badge of ${unread}`, () => badge.unread === unread);
          expect((await badge.bell.counts()).unread).toBe(unread);
          badge.stream.cut();
        }
      }),
      { numRuns: 12 },
    );
  });
});

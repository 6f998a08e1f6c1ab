import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { Bell, notify, retract } from './bell.js';
import { InboxModel } from './model.js';

const STATUSES = ['', 'unread', 'unseen', 'read', 'archived', 'snoozed', 'all'];
const TYPES = ['x', 'y'];

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

type Operation =
  | { readonly does: 'send'; readonly broadcast: boolean; readonly type: string; readonly key: string | null }
  | { readonly does: 'touch'; readonly nth: number; readonly change: Record<string, boolean> }
  | { readonly does: 'snooze'; readonly nth: number; readonly on: boolean }
  | {
      readonly does: 'mark';
      readonly flag: 'read' | 'seen' | 'archived';
      readonly nth: number | undefined;
      readonly type: string | undefined;
    }
  | { readonly does: 'retract'; readonly nth: number }
  | { readonly does: 'mute'; readonly types: string[] };

const nth = fc.nat(6);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant('send' as const),
      broadcast: fc.boolean(),
      type: fc.constantFrom(...TYPES),
      key: fc.option(fc.constant('k')),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      does: fc.constant('touch' as const),
      nth,
      change: fc.dictionary(fc.constantFrom('read', 'seen', 'archived'), fc.boolean(), { minKeys: 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('snooze' as const), nth, on: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant('mark' as const),
      flag: fc.constantFrom('read' as const, 'seen' as const, 'archived' as const),
      nth: fc.option(nth, { nil: undefined }),
      type: fc.option(fc.constantFrom(...TYPES), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('retract' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('mute' as const), types: fc.subarray(TYPES) }) },
);

describe('an inbox', () => {
  it('is what its model is after any operations, whichever instance they are done at', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 45 }), async operations => {
        const sub = `model${++users}`;
        const role = `role:${sub}`;
        const bells = await Promise.all(instances.map(instance => Bell.of(instance, { sub, roles: [sub] })));
        // Made now, so that what is sent to the role is in it.
        await bells[0]!.counts();
        const model = new InboxModel();
        const ids = new Map<string, string>();

        for (const [index, done] of operations.entries()) {
          const bell = bells[index % 2]!;
          const at = instances[index % 2]!;
          const title = (n: number) => model.items[n % Math.max(1, model.items.length)]?.title;
          switch (done.does) {
            case 'send': {
              const topic = done.broadcast ? role : `user:${sub}`;
              model.arrive(topic, `n${index}`, done.type, done.key);
              ids.set(`n${index}`, await notify(at, topic, `n${index}`, { type: done.type, key: done.key }));
              break;
            }
            case 'touch':
            case 'snooze': {
              const wanted = title(done.nth);
              if (wanted === undefined) break;
              const change =
                done.does === 'touch'
                  ? done.change
                  : { snoozedUntil: done.on ? '2100-01-01T00:00:00Z' : null };
              const answer = await bell.touch(ids.get(wanted)!, change);
              const item = model.find(wanted);
              expect([wanted, answer.status]).toEqual([wanted, item ? 200 : 404]);
              if (!item) break;
              if (done.does === 'snooze') {
                item.snoozed = done.on;
                if (done.on) item.read = item.seen = false;
              } else {
                Object.assign(item, done.change);
                if (done.change['read'] === true && done.change['seen'] === undefined) item.seen = true;
              }
              expect(answer.json).toMatchObject({ title: wanted, read: item.read, seen: item.seen });
              break;
            }
            case 'mark': {
              const upTo = done.nth === undefined ? undefined : title(done.nth);
              model.mark(done.flag, upTo, done.type);
              const answer = await bell.mark({
                [done.flag]: true,
                ...(upTo !== undefined && { upTo: ids.get(upTo) }),
                ...(done.type !== undefined && { type: done.type }),
              });
              expect(answer.status).toBe(200);
              break;
            }
            case 'retract': {
              const wanted = title(done.nth);
              if (wanted === undefined) break;
              await retract(at, ids.get(wanted)!);
              model.retract(wanted);
              break;
            }
            case 'mute':
              model.muted = done.types;
              await bell.ask('PUT', '/v1/inbox/preferences', { muted: done.types });
              break;
          }
          const other = bells[(index + 1) % 2]!;
          for (const status of STATUSES) {
            const query = status === '' ? '' : `?status=${status}`;
            expect([status, await other.titles(query)]).toEqual([status, model.titles(status)]);
          }
          expect(await bell.counts()).toMatchObject({
            unread: model.titles('unread').length,
            unseen: model.titles('unseen').length,
          });
        }
      }),
      { numRuns: 10 },
    );
  });
});

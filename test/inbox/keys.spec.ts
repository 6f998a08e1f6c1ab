import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { Bell, notify, retract } from './bell.js';

let database: TestDatabase;
let belfry: Instance;
let users = 0;
let sub: string;
let bell: Bell;

beforeAll(async () => {
  database = await TestDatabase.create();
  belfry = await Instance.start(database.url);
});
afterAll(async () => {
  await belfry.stop();
  await database.drop();
});
beforeEach(async () => {
  sub = `user${++users}`;
  bell = await Bell.of(belfry, { sub, roles: [sub] });
  await bell.counts();
});

function sendUnder(key: string, title: string, to = `user:${sub}`): Promise<string> {
  return notify(belfry, to, title, { key });
}

describe.each(['user', 'role'])('a newer notification with the same key, to a %s', kind => {
  const to = () => `${kind}:${sub}`;

  it('takes the place of an older one that is unread, and of no other', async () => {
    await sendUnder('k', '1 comment', to());
    await sendUnder('other', 'else', to());
    await sendUnder('k', '2 comments', to());
    expect(await bell.titles()).toEqual(['2 comments', 'else']);
    expect((await bell.list()).items).toMatchObject([{ key: 'k' }, { key: 'other' }]);
    expect(await bell.counts()).toMatchObject({ unread: 2, unseen: 2 });
  });

  it('leaves one that was read before, alone or by a mark, also when it is read itself', async () => {
    const first = await sendUnder('k', 'read alone', to());
    await bell.touch(first, { read: true });
    await sendUnder('k', 'read by a mark', to());
    await bell.mark({ read: true });
    await sendUnder('k', 'unread', to());
    const all = ['unread', 'read by a mark', 'read alone'];
    expect(await bell.titles()).toEqual(all);
    await bell.mark({ read: true });
    expect(await bell.titles()).toEqual(all);
    await sendUnder('k', 'newest', to());
    await bell.mark({ read: true });
    expect(await bell.titles()).toEqual(['newest', ...all]);
  });

  it('is final: the older one does not come back when everything is marked, or the newer one is taken back', async () => {
    const old = await sendUnder('k', 'old', to());
    const newer = await sendUnder('k', 'new', to());
    await bell.mark({ read: true, upTo: old });
    expect(await bell.titles()).toEqual(['new']);
    expect((await bell.touch(old, { read: true })).status).toBe(404);
    await retract(belfry, newer);
    expect(await bell.titles('?status=all')).toEqual([]);
    await bell.mark({ read: true });
    expect(await bell.titles('?status=all')).toEqual([]);
  });

  it('takes the place of one that was put back to unread, from the next one on', async () => {
    const first = await sendUnder('k', 'first', to());
    await bell.touch(first, { read: true });
    await sendUnder('k', 'second', to());
    await bell.touch(first, { read: false });
    expect(await bell.titles('?status=unread')).toEqual(['second', 'first']);
    await sendUnder('k', 'third', to());
    expect(await bell.titles('?status=all')).toEqual(['third']);
  });

  it('leaves one that was put back to unread and read again by a mark', async () => {
    const first = await sendUnder('k', 'first', to());
    await bell.touch(first, { read: true });
    await sendUnder('k', 'second', to());
    await bell.touch(first, { read: false });
    await bell.mark({ read: true });
    await sendUnder('k', 'third', to());
    expect(await bell.titles()).toEqual(['third', 'second', 'first']);
  });

  it('is judged by the mark of its type', async () => {
    const old = await notify(belfry, to(), 'old', { key: 'k', type: 'a' });
    await bell.mark({ read: true, type: 'a' });
    await notify(belfry, to(), 'new', { key: 'k', type: 'b' });
    expect(await bell.titles()).toEqual(['new', 'old']);
    await bell.mark({ read: true, type: 'a', upTo: old });
    await bell.mark({ read: true });
    expect(await bell.titles()).toEqual(['new', 'old']);
  });
});

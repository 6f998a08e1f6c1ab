import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Inbox, type InboxOptions, type InboxState } from '../../client/src/belfry.js';
import { until } from '../support/conditions.js';
import { InboxServer } from './inbox.server.js';

let server: InboxServer;
let inboxes: Inbox[];

beforeEach(async () => {
  inboxes = [];
  server = await InboxServer.start();
});

afterEach(async () => {
  jest.restoreAllMocks();
  for (const inbox of inboxes) inbox.close();
  await server.stop();
});

function open(options: Partial<InboxOptions> = {}): Inbox {
  const inbox = new Inbox({ url: server.url, backoff: 5, maxBackoff: 20, ...options });
  inboxes.push(inbox);
  inbox.start();
  return inbox;
}

const titles = ({ state }: Inbox) => state.items.map(({ title }) => title);
const isOnline = (inbox: Inbox) =>
  until('the inbox is there', () => inbox.state.status === 'ready' && inbox.state.online);
const shows = (inbox: Inbox, ...expected: string[]) =>
  until(`it shows ${expected.join()}`, () => titles(inbox).join() === expected.join());
const counts = (inbox: Inbox, unread: number, unseen: number) =>
  until(
    `${unread} unread and ${unseen} unseen`,
    () => inbox.state.counts.unread === unread && inbox.state.counts.unseen === unseen,
  );

/** The next request that matches waits until the function that it resolves to is called. */
function hold(wanted: string): { arrived: Promise<void>; release: (status?: number) => void } {
  let arrive!: () => void;
  let release!: (status?: number) => void;
  const arrived = new Promise<void>(resolve => (arrive = resolve));
  const released = new Promise<number | undefined>(resolve => (release = resolve));
  server.hook = (method, path) => {
    if (!`${method} ${path}`.startsWith(wanted)) return undefined;
    server.hook = () => undefined;
    arrive();
    return released;
  };
  return { arrived, release };
}

describe('an inbox', () => {
  it('shows its list, newest first, and what comes after it', async () => {
    server.notify('one');
    server.notify('two');
    const inbox = open();
    expect(inbox.state).toMatchObject({ status: 'loading', items: [], online: false });
    await isOnline(inbox);
    expect(titles(inbox)).toEqual(['two', 'one']);
    server.notify('three');
    await shows(inbox, 'three', 'two', 'one');
    expect(inbox.state.counts).toEqual({ unread: 3, unseen: 3 });
  });

  it('misses nothing and shows nothing twice of what is created between the list and the stream', async () => {
    server.notify('one');
    const { arrived, release } = hold('GET /v1/stream');
    const inbox = open();
    await arrived;
    server.notify('two');
    release();
    await shows(inbox, 'two', 'one');
    await counts(inbox, 2, 2);
  });

  it('sends marks so that they outlive the page, and nothing else', async () => {
    const id = server.notify('one');
    const outliving: [string, boolean | undefined][] = [];
    const inbox = open({
      fetch: (url, init = {}) => {
        if (!/stream/.test((url as URL).pathname)) outliving.push([init.method!, init.keepalive]);
        return fetch(url, init);
      },
    });
    await isOnline(inbox);
    outliving.length = 0;
    await inbox.setRead(id, true);
    await inbox.markAllSeen();
    await inbox.refresh();
    // Browsers refuse to do it for more than 64 KiB.
    await inbox.setPreferences({ muted: [], quietHours: null });
    expect(outliving).toEqual([
      ['PATCH', true],
      ['POST', true],
      ['GET', false],
      ['PUT', false],
    ]);
  });

  it('misses nothing of what happens while it is offline', async () => {
    const id = server.notify('one');
    const inbox = open();
    await isOnline(inbox);
    server.isMute = true;
    server.notify('two');
    server.mark(id, { read: true });
    server.unmute();
    await shows(inbox, 'two', 'one');
    expect(inbox.state.items[1]!.read).toBe(true);
    await counts(inbox, 1, 2);
  });

  it('gives another snapshot for each change, and the same one without', async () => {
    const inbox = open();
    const states: InboxState[] = [];
    const off = inbox.subscribe(state => states.push(state));
    await isOnline(inbox);
    expect(inbox.state).toBe(inbox.state);
    const before = inbox.state;
    server.notify('one');
    await shows(inbox, 'one');
    expect(before.items).toEqual([]);
    expect(states.at(-1)).toBe(inbox.state);
    off();
    const heard = states.length;
    server.notify('two');
    await shows(inbox, 'two', 'one');
    expect(states).toHaveLength(heard);
  });

  it('says when it cannot be read, tries again, and keeps what it shows', async () => {
    let status: number | undefined = 503;
    server.hook = (_, path) => (path === '/v1/inbox' ? status : undefined);
    server.notify('one');
    const inbox = open();
    await until('the error', () => inbox.state.status === 'error');
    expect(inbox.state.error).toMatchObject({ code: 'code-503' });
    status = undefined;
    await shows(inbox, 'one');
    expect(inbox.state).toMatchObject({ status: 'ready' });
    expect(inbox.state.error).toBeUndefined();
    status = 503;
    await inbox.refresh();
    expect(inbox.state.status).toBe('error');
    expect(titles(inbox)).toEqual(['one']);
  });

  it('asks for another token when one is refused', async () => {
    const refused: (number | undefined)[] = [401];
    server.hook = (_, path) => (path === '/v1/inbox' ? refused.shift() : undefined);
    let tokens = 0;
    const inbox = open({ token: () => `token-${++tokens}`, shared: false });
    await isOnline(inbox);
    expect(tokens).toBe(2);
  });

  it('leaves nothing behind when it is closed, and can be started again', async () => {
    server.notify('one');
    const inbox = open();
    await isOnline(inbox);
    inbox.close();
    inbox.close();
    await until('the stream is closed', () => server.openStreams === 0);
    expect(inbox.state).toMatchObject({ online: false });
    server.notify('two');
    inbox.start();
    inbox.start();
    await shows(inbox, 'two', 'one');
    await isOnline(inbox);
    expect(server.openStreams).toBe(1);
  });
});

describe('a mark', () => {
  it('is shown at once, and stays when the server takes it', async () => {
    const id = server.notify('one');
    server.notify('two');
    const inbox = open();
    await isOnline(inbox);
    const { release } = hold('PATCH');
    const marked = inbox.setRead(id, true);
    expect(inbox.state.items[1]!.read).toBe(true);
    expect(inbox.state.counts).toEqual({ unread: 1, unseen: 2 });
    release();
    await marked;
    expect(inbox.state.items[1]!.read).toBe(true);
    expect(inbox.state.counts).toEqual({ unread: 1, unseen: 2 });
  });

  it('is taken back when the server refuses it, and others stay', async () => {
    const [one, two] = [server.notify('one'), server.notify('two')];
    const inbox = open();
    await isOnline(inbox);
    const { release } = hold('PATCH');
    const first = inbox.setRead(one, true);
    const second = inbox.setArchived(two, true);
    expect(titles(inbox)).toEqual(['one']);
    release(500);
    await expect(first).rejects.toMatchObject({ code: 'code-500', status: 500 });
    await second;
    expect(inbox.state.items).toMatchObject([{ title: 'one', read: false }]);
    expect(inbox.state.counts).toEqual({ unread: 1, unseen: 1 });
  });

  it('and its opposite, one right after the other, end with the last', async () => {
    const id = server.notify('one');
    const inbox = open();
    await isOnline(inbox);
    await Promise.all([inbox.setRead(id, true), inbox.setRead(id, false), inbox.setRead(id, true)]);
    await counts(inbox, 0, 1);
    await Promise.all([inbox.setRead(id, false), inbox.setRead(id, true), inbox.setRead(id, false)]);
    expect(inbox.state.items[0]!.read).toBe(false);
    await counts(inbox, 1, 1);
  });

  it('of all covers what was there, not what comes while the server is asked', async () => {
    server.notify('one');
    server.notify('two');
    const inbox = open();
    await isOnline(inbox);
    const { arrived, release } = hold('POST /v1/inbox/mark');
    const marked = inbox.markAllRead();
    expect(inbox.state.counts).toEqual({ unread: 0, unseen: 2 });
    await arrived;
    server.notify('three');
    await shows(inbox, 'three', 'two', 'one');
    expect(inbox.state.counts).toEqual({ unread: 1, unseen: 3 });
    release();
    await marked;
    expect(inbox.state.items.map(({ read }) => read)).toEqual([false, true, true]);
    await counts(inbox, 1, 3);
    await inbox.markAllSeen();
    await counts(inbox, 1, 0);
    await inbox.archiveAll();
    expect(titles(inbox)).toEqual([]);
    await counts(inbox, 0, 0);
  });

  it('of all also counts what is not loaded, and comes back when it fails', async () => {
    for (let n = 0; n < 30; n++) server.notify(`${n}`);
    const inbox = open({ pageSize: 5 });
    await isOnline(inbox);
    const { release } = hold('POST /v1/inbox/mark');
    const marked = inbox.markAllRead();
    expect(inbox.state.counts.unread).toBe(0);
    release(503);
    await expect(marked).rejects.toMatchObject({ status: 503 });
    expect(inbox.state.counts.unread).toBe(30);
  });

  it('that is one too many is refused, and the others are sent', async () => {
    const id = server.notify('one');
    const inbox = open({ maxPending: 2 });
    await isOnline(inbox);
    const { release } = hold('PATCH');
    const sent = [inbox.setRead(id, true), inbox.setSeen(id, true)];
    await expect(inbox.setArchived(id, true)).rejects.toMatchObject({ code: 'overrun' });
    release();
    await Promise.all(sent);
    await counts(inbox, 0, 0);
  });

  it('from another device arrives', async () => {
    const id = server.notify('one');
    const inbox = open();
    await isOnline(inbox);
    server.mark(id, { seen: true });
    await counts(inbox, 1, 0);
    server.mark(id, { archived: true });
    await shows(inbox);
    server.mark(id, { archived: false });
    await shows(inbox, 'one');
  });

  it('that was made here is not undone by what is heard late of an older one', async () => {
    const id = server.notify('one');
    const inbox = open();
    await isOnline(inbox);
    server.isMute = true;
    server.mark(id, { read: true });
    server.notify('two');
    server.isEchoLost = true;
    await inbox.setRead(id, false);
    // The stream now says that it is read, and not that it is unread again.
    server.unmute();
    await shows(inbox, 'two', 'one');
    expect(inbox.state.items[1]!.read).toBe(false);
    await counts(inbox, 2, 2);
  });

  it('that was made before it is closed is still sent, and so is one that waits for it', async () => {
    const ids = [server.notify('one'), server.notify('two')];
    const inbox = open();
    await isOnline(inbox);
    const { arrived, release } = hold('PATCH');
    const marked = ids.map(id => inbox.setRead(id, true));
    await arrived;
    inbox.close();
    await expect(inbox.setRead(ids[0]!, false)).rejects.toMatchObject({ code: 'closed' });
    release();
    await Promise.all(marked);
    expect(inbox.state.items.map(({ read }) => read)).toEqual([true, true]);
    inbox.start();
    await isOnline(inbox);
    expect(inbox.state.counts.unread).toBe(0);
  });

  it.each([true, false])('is never sent as the next user (shared: %s)', async shared => {
    const id = server.notify('one');
    const users = ['ada', 'grace'];
    const token = () => `x.${btoa(JSON.stringify({ sub: users.shift() }))}.x`;
    const inbox = open({ token, shared });
    await isOnline(inbox);
    server.requests.length = 0;
    server.hook = method => (method === 'PATCH' ? 401 : undefined);
    const marked = inbox.setRead(id, true);
    inbox.close();
    await expect(marked).rejects.toMatchObject({ code: 'user-changed' });
    expect(server.requests.filter(request => request.startsWith('PATCH'))).toHaveLength(1);
  });

  it('before the start is refused', async () => {
    const inbox = new Inbox({ url: server.url });
    await expect(inbox.setRead('e.1', true)).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('counts', () => {
  it('are those of the server as of its cursor, with what was heard after it', async () => {
    server.notify('one');
    const inbox = open();
    await isOnline(inbox);
    const asOf = server.cursor;
    server.notify('two');
    await shows(inbox, 'two', 'one');
    // It was counted before "two", and arrives after it.
    server.tell({ reason: 'marked', ids: [], counts: { unread: 0, unseen: 0, asOf } });
    await counts(inbox, 1, 1);
    // An older count says nothing new.
    server.tell({ reason: 'marked', ids: [], counts: { unread: 50, unseen: 50, asOf: 'e.0' } });
    server.notify('three');
    await counts(inbox, 2, 2);
  });

  it('stay at "100 or more" until the server says otherwise', async () => {
    for (let n = 0; n < 105; n++) server.notify(`${n}`);
    const inbox = open();
    await isOnline(inbox);
    expect(inbox.state.counts.unread).toBe(100);
    await inbox.setRead(inbox.state.items[0]!.id, true);
    expect(inbox.state.counts.unread).toBe(100);
    await inbox.markAllRead();
    expect(inbox.state.counts.unread).toBe(0);
  });
});

describe('pages', () => {
  it('follow on each other, also when something new comes in between', async () => {
    for (let n = 1; n <= 7; n++) server.notify(`${n}`);
    const inbox = open({ pageSize: 3 });
    await isOnline(inbox);
    expect(titles(inbox)).toEqual(['7', '6', '5']);
    expect(inbox.state.hasMore).toBe(true);
    server.notify('8');
    await shows(inbox, '8', '7', '6', '5');
    const more = [inbox.loadMore(), inbox.loadMore()];
    expect(inbox.state.loadingMore).toBe(true);
    await Promise.all(more);
    expect(titles(inbox)).toEqual(['8', '7', '6', '5', '4', '3', '2']);
    await inbox.loadMore();
    expect(titles(inbox)).toHaveLength(8);
    expect(inbox.state).toMatchObject({ hasMore: false, loadingMore: false });
    await inbox.loadMore();
    expect(server.requests.filter(request => request.includes('before='))).toHaveLength(2);
  });

  it('that cannot be read say so, and can be asked for again', async () => {
    for (let n = 1; n <= 4; n++) server.notify(`${n}`);
    const inbox = open({ pageSize: 2 });
    await isOnline(inbox);
    const { release } = hold('GET /v1/inbox');
    release(503);
    await inbox.loadMore();
    expect(inbox.state).toMatchObject({ hasMore: true, loadingMore: false, error: { code: 'code-503' } });
    await inbox.loadMore();
    expect(titles(inbox)).toEqual(['4', '3', '2', '1']);
    expect(inbox.state.error).toBeUndefined();
  });

  it('are let go, the oldest first, when more is held than may be', async () => {
    for (let n = 1; n <= 4; n++) server.notify(`${n}`);
    const inbox = open({ pageSize: 4, maxItems: 4 });
    await isOnline(inbox);
    expect(inbox.state.hasMore).toBe(false);
    server.notify('5');
    await shows(inbox, '5', '4', '3', '2');
    expect(inbox.state).toMatchObject({ hasMore: true, counts: { unread: 5 } });
  });

  it('are those of the filter', async () => {
    const [one, two, three] = [server.notify('one'), server.notify('two'), server.notify('three')];
    server.mark(one, { read: true });
    server.mark(two, { archived: true });
    server.mark(three, { snoozedUntil: '2030-01-01T00:00:00.000Z' });
    const inbox = open();
    await shows(inbox, 'one');
    inbox.setFilter('archived');
    expect(inbox.state).toMatchObject({ filter: 'archived', status: 'loading', items: [] });
    await shows(inbox, 'two');
    inbox.setFilter('snoozed');
    await shows(inbox, 'three');
    inbox.setFilter('unread');
    await until('it is there', () => inbox.state.status === 'ready');
    expect(titles(inbox)).toEqual([]);
    server.notify('four');
    await shows(inbox, 'four');
    await inbox.setRead(inbox.state.items[0]!.id, true);
    expect(titles(inbox)).toEqual([]);
  });

  it('of the filter that was chosen last are shown, whichever answer comes first', async () => {
    server.mark(server.notify('old'), { archived: true });
    server.notify('new');
    const inbox = open();
    await isOnline(inbox);
    const { arrived, release } = hold('GET /v1/inbox');
    inbox.setFilter('archived');
    await arrived;
    inbox.setFilter('inbox');
    await shows(inbox, 'new');
    release();
    await inbox.refresh();
    expect(titles(inbox)).toEqual(['new']);
  });
});

describe('a notification', () => {
  it('takes the place of an unread one with its key, and not of a read one', async () => {
    server.notify('first', { key: 'build' });
    const inbox = open();
    await isOnline(inbox);
    const second = server.notify('second', { key: 'build' });
    await shows(inbox, 'second');
    await counts(inbox, 1, 1);
    server.mark(second, { read: true });
    server.notify('third', { key: 'build' });
    await shows(inbox, 'third', 'second');
    await counts(inbox, 1, 2);
    expect(server.requests.filter(request => request.startsWith('GET /v1/inbox?'))).toHaveLength(1);
  });

  it('whose predecessor may be on a page that is not loaded makes the list be read again', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.01);
    server.notify('first', { key: 'build' });
    for (let n = 1; n <= 3; n++) server.notify(`${n}`);
    const inbox = open({ pageSize: 2 });
    await isOnline(inbox);
    server.notify('second', { key: 'build' });
    await shows(inbox, 'second', '3', '2');
    await counts(inbox, 4, 4);
    expect(server.requests.filter(request => request.startsWith('GET /v1/inbox?'))).toHaveLength(2);
  });

  it('that is retracted is gone, loaded or not', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.01);
    const ids = ['1', '2', '3'].map(title => server.notify(title));
    const inbox = open({ pageSize: 2 });
    await isOnline(inbox);
    server.retract(ids[2]!);
    await shows(inbox, '2');
    await counts(inbox, 2, 2);
    server.retract(ids[0]!);
    await counts(inbox, 1, 1);
  });

  it('that was snoozed comes back', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.01);
    const id = server.notify('one');
    const inbox = open();
    await isOnline(inbox);
    await inbox.snooze(id, new Date('2030-01-01T00:00:00Z'));
    expect(inbox.state).toMatchObject({ items: [], counts: { unread: 0 } });
    server.wake(id);
    await shows(inbox, 'one');
    await counts(inbox, 1, 1);
  });
});

describe('after a reset', () => {
  it('the list is read again, and what came meanwhile is announced', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.01);
    server.notify('one');
    const inbox = open();
    const news: string[] = [];
    inbox.onNotification(({ title }) => news.push(title));
    await isOnline(inbox);
    server.isMute = true;
    server.notify('two');
    server.isMute = false;
    server.fork();
    await shows(inbox, 'two', 'one');
    await until('it was announced', () => news.length > 0);
    expect(news).toEqual(['two']);
    await counts(inbox, 2, 2);
  });

  it('what is heard while the list is on its way is not lost', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.01);
    server.notify('one');
    const inbox = open();
    await isOnline(inbox);
    const { arrived, release } = hold('GET /v1/inbox');
    const refreshed = inbox.refresh();
    await arrived;
    server.notify('two');
    await shows(inbox, 'two', 'one');
    release();
    await refreshed;
    expect(titles(inbox)).toEqual(['two', 'one']);
    expect(inbox.state.counts.unread).toBe(2);
  });
});

describe('news', () => {
  it('are told live and after a reconnect, the oldest first, but not what was read meanwhile', async () => {
    server.notify('old');
    const inbox = open();
    const news: string[] = [];
    const off = inbox.onNotification(({ title }) => news.push(title));
    await isOnline(inbox);
    server.notify('live');
    await until('it is told', () => news.length === 1);
    server.isMute = true;
    server.notify('missed');
    const id = server.notify('read elsewhere');
    server.mark(id, { read: true });
    server.notify('missed too');
    server.unmute();
    await until('they are told', () => news.length === 3);
    expect(news).toEqual(['live', 'missed', 'missed too']);
    off();
    server.notify('unheard');
    await until('it is there', () => titles(inbox)[0] === 'unheard');
    expect(news).toHaveLength(3);
  });

  it('are not told of muted types, and in quiet hours urgent ones alone', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.01);
    server.preferences = {
      muted: ['ad'],
      quietHours: { from: '00:00', to: '24:00', timezone: 'Europe/Berlin' },
    };
    const inbox = open();
    const news: string[] = [];
    inbox.onNotification(({ title }) => news.push(title));
    await isOnline(inbox);
    server.notify('by night');
    server.notify('an ad', { type: 'ad', priority: 'urgent' });
    server.notify('fire', { priority: 'urgent' });
    await until('it is told', () => news.length > 0);
    expect(news).toEqual(['fire']);
    await inbox.setPreferences({ muted: [], quietHours: null });
    server.notify('by day');
    await until('it is told', () => news.length > 1);
    expect(news).toEqual(['fire', 'by day']);
    expect(await inbox.preferences()).toEqual({ muted: [], quietHours: null });
  });
});

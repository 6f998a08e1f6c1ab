import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { BrowserContext } from 'playwright-core';

import { Subscriptions } from '../../src/stream/subscriptions.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { TcpProxy } from '../support/tcp.proxy.js';
import { browser } from './browser.js';
import { Shop } from './tab.shop.js';
import { ShopTab } from './shop.tab.js';

let database: TestDatabase;
/** Between Belfry and Postgres. */
let behind: TcpProxy;
let belfry: Instance;
/** Between the browser and Belfry. */
let before: TcpProxy;
let shop: Shop;
let profile: BrowserContext;
let profiles: BrowserContext[] = [];
let errors: string[] = [];

beforeEach(async () => {
  database = await TestDatabase.create();
  behind = await TcpProxy.start(database.url);
  shop = await Shop.start();
  belfry = await startBelfry();
  before = await TcpProxy.start(belfry.url);
  shop.belfry = before.urlOf(belfry.url);
  profile = await newProfile();
});
afterEach(async () => {
  for (const one of profiles) await one.close();
  profiles = [];
  await before.stop();
  await shop.stop();
  await belfry.stop();
  await behind.stop();
  await database.drop();
  expect(errors).toEqual([]);
  errors = [];
});

function startBelfry(port?: number): Promise<Instance> {
  return Instance.start(behind.urlOf(database.url), { CORS_ORIGINS: shop.origin, HEARTBEAT_MS: '200' }, port);
}

async function newProfile(): Promise<BrowserContext> {
  const made = await browser.newContext({ viewport: { width: 900, height: 800 }, locale: 'en-GB' });
  made.on('weberror', error => errors.push(error.error().message));
  profiles.push(made);
  return made;
}

function openTab(context = profile): Promise<ShopTab> {
  return ShopTab.open(context, shop.pageOf('ada'));
}

async function send(...titles: string[]): Promise<void> {
  for (const title of titles) {
    const answer = await belfry.request('POST', '/v1/notifications', {
      token: await tokenFor({ sub: 'backend', scope: 'inbox' }),
      body: { to: 'user:ada', type: 'news', title, url: `/wares/${encodeURIComponent(title)}` },
    });
    expect(answer.status).toBe(201);
  }
}

async function sendBySql(...titles: string[]): Promise<void> {
  for (const title of titles) await database.rows(`select belfry.notify('user:ada', 'news', $1)`, [title]);
}

/** Sends one after the other until it is told to stop. @returns stops, and says what was sent */
function keepSending(): () => Promise<string[]> {
  const sent: string[] = [];
  const stop = new AbortController();
  const sending = (async () => {
    while (!stop.signal.aborted) {
      const title = `No. ${sent.length + 1}.`;
      await send(title);
      sent.push(title);
    }
  })();
  return async () => {
    stop.abort();
    await sending;
    return sent;
  };
}

const openStreams = () => belfry.app.get(Subscriptions).count;

describe('the tabs of a browser, with Belfry', () => {
  it('show badge and toast within a second', async () => {
    const tabs = [await openTab(), await openTab(), await openTab(await newProfile())];
    const shownAt = await Promise.all(tabs.map(tab => tab.watchFor('Shipped')));
    const began = Date.now();
    await send('Shipped');
    for (const at of shownAt) expect((await at()) - began).toBeLessThan(1_000);
  });

  it('have one connection together', async () => {
    const tabs = [await openTab(), await openTab(), await openTab()];
    await send('One');
    for (const tab of tabs) await tab.hears('One');
    expect(tabs.map(({ streams }) => streams > 0)).toEqual([true, false, false]);
    expect(openStreams()).toBe(1);
    const { text } = await belfry.request('GET', '/metrics');
    expect(/^belfry_streams_open (.*)$/m.exec(text)?.[1]).toBe('1');
  });

  it('show what was read in one of them, and so does another profile', async () => {
    await send('One', 'Two');
    const [first, second, other] = [await openTab(), await openTab(), await openTab(await newProfile())];
    await first.openPanel();
    await first.row('One').getByRole('button', { name: 'Mark as read: One', exact: true }).click();
    for (const tab of [second, other]) {
      await tab.says('1 unread');
      expect((await tab.state()).items.map(({ title, read }) => [title, read])).toEqual([
        ['Two', false],
        ['One', true],
      ]);
    }
    await other.openPanel();
    await other.panel.getByRole('button', { name: 'Mark all as read' }).click();
    for (const tab of [first, second, other]) await tab.says('none unread');
  });

  it('lose and double nothing when the one that leads is closed, and the next one too', async () => {
    const tabs = [await openTab(), await openTab(), await openTab(), await openTab()];
    const stop = keepSending();
    await tabs.at(-1)!.hears('No. 10.');
    for (const leader of tabs.slice(0, 2)) {
      expect(leader.streams).toBeGreaterThan(0);
      await leader.page.close();
      const { length } = await tabs.at(-1)!.heard();
      await tabs.at(-1)!.hears(`No. ${length + 10}.`);
    }
    const sent = await stop();
    for (const tab of tabs.slice(2)) {
      await tab.hears(...sent);
      expect(await tab.heard()).toEqual(sent);
      expect(await tab.titles()).toEqual(sent);
      expect((await tab.state()).counts.unread).toBe(Math.min(100, sent.length));
    }
    await until('one stream is left', () => openStreams() === 1);
  });

  it('that were offline for a while hear what they missed, in order', async () => {
    const tabs = [await openTab(), await openTab()];
    await send('Before');
    for (const tab of tabs) await tab.hears('Before');
    await profile.setOffline(true);
    before.cut();
    for (const tab of tabs) await tab.says('no connection$');
    await send('One', 'Two', 'Three');
    await profile.setOffline(false);
    for (const tab of tabs) {
      await tab.hears('One', 'Two', 'Three');
      expect(await tab.heard()).toEqual(['Before', 'One', 'Two', 'Three']);
      expect(await tab.titles()).toEqual(['Before', 'One', 'Two', 'Three']);
      await tab.says('Notifications, 4 unread$');
    }
  });

  it('notice by themselves that nothing comes through any more, and hear what they missed', async () => {
    const address = shop.pageOf('ada', 1_000);
    const tabs = [await ShopTab.open(profile, address), await ShopTab.open(profile, address)];
    await send('Before');
    for (const tab of tabs) await tab.hears('Before');
    before.blackHoleThese();
    await send('One', 'Two', 'Three');
    for (const tab of tabs) {
      await tab.hears('One', 'Two', 'Three');
      expect(await tab.heard()).toEqual(['Before', 'One', 'Two', 'Three']);
      expect(await tab.titles()).toEqual(['Before', 'One', 'Two', 'Three']);
      await tab.says('Notifications, 4 unread$');
    }
  });

  it('go on with another token when the first is over', async () => {
    const soon = Math.floor(Date.now() / 1_000) + 4;
    shop.next.push(await tokenFor({ sub: 'ada', exp: soon }), await tokenFor({ sub: 'ada', exp: soon }));
    const tabs = [await openTab(), await openTab()];
    expect(shop.given.get('ada')).toBe(2);
    const stop = keepSending();
    await until('one asks for another', () => shop.given.get('ada') === 3);
    await send('After');
    const sent = await stop();
    for (const tab of tabs) {
      await tab.hears('After', ...sent);
      expect((await tab.heard()).filter(title => title !== 'After')).toEqual(sent);
      expect((await tab.heard()).length).toBe(sent.length + 1);
    }
    // The other has not needed its own until now.
    await tabs[1]!.openPanel();
    await until('all are seen', async () => (await tabs[0]!.state()).counts.unseen === 0);
    expect(shop.given.get('ada')).toBe(4);
  });

  it('read the list anew when what they missed is in the log no more', async () => {
    await send('Read', 'Kept');
    const tabs = [await openTab(), await openTab()];
    await profile.setOffline(true);
    before.cut();
    for (const tab of tabs) await tab.says('no connection$');
    await send('Missed');
    const [readId] = (await tabs[0]!.state()).items.map(({ id }) => id).reverse();
    const token = await tokenFor({ sub: 'ada' });
    await belfry.request('PATCH', `/v1/inbox/${readId}`, { token, body: { read: true } });
    const [newest] = await belfry.publish({ topic: 'user:grace', type: 'note' });
    const floor = Number(newest!.split('.')[1]);
    await database.rows('delete from belfry.events where seq < $1', [floor]);
    await until('the tail knows', () => belfry.tail.floor === floor);
    await profile.setOffline(false);
    for (const tab of tabs) {
      await tab.hears('Missed');
      expect(await tab.titles()).toEqual(['Read', 'Kept', 'Missed']);
      expect(await tab.heard()).toEqual(['Missed']);
      await tab.says('Notifications, 2 unread$');
    }
    await send('After');
    for (const tab of tabs) {
      await tab.hears('After');
      expect(await tab.heard()).toEqual(['Missed', 'After']);
    }
  });

  it('read the list anew when a failover has lost what they show', async () => {
    await send('Kept', 'Lost');
    const tabs = [await openTab(), await openTab()];
    for (const tab of tabs) expect(await tab.titles()).toEqual(['Kept', 'Lost']);
    // As it is found on a standby that had not heard of the newest.
    const last = belfry.tail.position;
    await database.rows(`delete from belfry.notifications where seq = ${last}`);
    await database.rows(`delete from belfry.events where seq = ${last}`);
    await database.rows(`update belfry.epochs set identity = 'elsewhere'`);
    await send('After');
    for (const tab of tabs) {
      await until('it is right', async () => (await tab.titles()).join() === 'Kept,After');
      await tab.says('Notifications, 2 unread$');
      expect(await tab.heard()).toEqual(['After']);
    }
  });

  it('say that Belfry is away, and have what was sent meanwhile when it is back at its port', async () => {
    const tabs = [await openTab(), await openTab()];
    await send('Before');
    for (const tab of tabs) await tab.hears('Before');
    await belfry.stop();
    for (const tab of tabs) await tab.says('no connection$');
    await sendBySql('One', 'Two');
    belfry = await startBelfry(Number(new URL(belfry.url).port));
    for (const tab of tabs) {
      await tab.hears('One', 'Two');
      expect(await tab.heard()).toEqual(['Before', 'One', 'Two']);
      await tab.says('Notifications, 3 unread$');
    }
  });

  it('have what was sent while Belfry could not reach its database', async () => {
    const tabs = [await openTab(), await openTab()];
    await send('Before');
    for (const tab of tabs) await tab.hears('Before');
    behind.refuse();
    await sendBySql('One', 'Two');
    await until('it is not ready', async () => (await belfry.request('GET', '/health/ready')).status === 503);
    behind.open();
    for (const tab of tabs) {
      await tab.hears('One', 'Two');
      expect(await tab.heard()).toEqual(['Before', 'One', 'Two']);
      await tab.says('Notifications, 3 unread$');
    }
  });

  it('send the mark of what was followed, also when the page is gone before it could', async () => {
    await send('One');
    const [tab, other] = [await openTab(), await openTab(await newProfile())];
    await tab.openPanel();
    await until('it is seen', async () => (await tab.state()).counts.unseen === 0);
    // The browser asks whether it may, and hears nothing until the page is left.
    before.blackHole();
    await tab.row('One').locator('.main').click();
    await tab.page.waitForURL('**/wares/One');
    before.open();
    await other.says('none unread');
  });

  it('send it also when the page takes the bell away at once', async () => {
    await send('One');
    const [tab, other] = [await openTab(), await openTab(await newProfile())];
    await tab.openPanel();
    await until('it is seen', async () => (await tab.state()).counts.unseen === 0);
    await tab.page.evaluate(`document.addEventListener('belfry-select', event => {
      event.preventDefault();
      event.target.remove();
    })`);
    await tab.row('One').locator('.main').click();
    await other.says('none unread');
  });
});

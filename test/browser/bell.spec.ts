import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { until } from '../support/conditions.js';
import { BellPage } from './bell.page.js';
import { WireService } from './wire.service.js';

let service: WireService;
let page: BellPage | undefined;
beforeEach(async () => {
  service = await WireService.start();
});
afterEach(async () => {
  await page?.close();
  expect(page?.errors ?? []).toEqual([]);
  page = undefined;
  await service.stop();
});

async function openBell(attributes = ''): Promise<BellPage> {
  const token = service.tokenFor('ada', ['ops']);
  return (page = await BellPage.open({ url: service.url, token, attributes }));
}

function publish(...titles: string[]): void {
  for (const title of titles) service.publish({ to: 'user:ada', title });
}

describe('the bell', () => {
  it('shows how many are unread, to the eye and to a screen reader', async () => {
    publish('One', 'Two');
    const { bell } = await openBell();
    await bell.getByText('2').waitFor();
    expect(await bell.getAttribute('aria-label')).toBe('Notifications, 2 unread');
  });

  it('says 99+ for a hundred or more', async () => {
    publish(...Array.from({ length: 120 }, (_, i) => `No. ${i}`));
    const { bell } = await openBell();
    await bell.getByText('99+').waitFor();
    expect(await bell.getAttribute('aria-label')).toBe('Notifications, 99+ unread');
  });

  it.each(['user:ada', 'role:ops', 'all'])('counts and toasts what goes to %s within a second', async to => {
    const { bell, toasts } = await openBell();
    await until(
      'the bell has its inbox',
      async () => (await bell.getAttribute('aria-label')) === 'Notifications, none unread',
    );
    await until('the stream is open', () => service.streaming === 1);
    const began = performance.now();
    service.publish({ to, title: 'Disk full', body: 'On db-2.' });
    await bell.getByText('1').waitFor();
    await toasts.getByText('Disk full').waitFor();
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it('is silent about the topics of others', async () => {
    const { bell } = await openBell();
    await until('the stream is open', () => service.streaming === 1);
    service.publish({ to: 'user:grace', title: 'Not hers' });
    publish('Hers');
    await bell.getByText('1').waitFor();
  });

  it('tells the page of counts, opening and selection', async () => {
    publish('One');
    const bellPage = await openBell();
    const events = await bellPage.recordEvents();
    await bellPage.openPanel();
    await bellPage.title('One').click();
    await until('the item is selected', async () =>
      (await events()).some(([name]) => name === 'belfry-select'),
    );
    const names = (await events()).map(([name]) => name);
    expect(names).toContain('belfry-open');
    expect((await events()).find(([name]) => name === 'belfry-select')?.[1]).toMatchObject({ title: 'One' });
    await until('the counts are told', async () => {
      const last = (await events()).filter(([name]) => name === 'belfry-count').at(-1);
      return JSON.stringify(last?.[1]) === '{"unread":0,"unseen":0}';
    });
  });

  it('keeps its connection when it is moved, and ends it when it is taken away', async () => {
    publish('One');
    const { bell, page: tab } = await openBell();
    await bell.getByText('1').waitFor();
    await until('the stream is open', () => service.streaming === 1);
    const before = service.requests;
    await tab.evaluate(`document.querySelector('main').append(document.querySelector('belfry-bell'))`);
    publish('Two');
    await bell.getByText('2').waitFor();
    expect(service.requests).toBe(before);
    await tab.evaluate(`window.taken = document.querySelector('belfry-bell'); taken.remove()`);
    await until('the stream is closed', () => service.streaming === 0);
    await tab.evaluate(`document.body.append(window.taken)`);
    await bell.getByText('2').waitFor();
  });

  it('connects as somebody else when its token changes', async () => {
    publish('One');
    service.publish({ to: 'user:grace', title: 'For Grace' });
    service.publish({ to: 'user:grace', title: 'For her too' });
    const { bell, page: tab } = await openBell();
    await bell.getByText('1').waitFor();
    const token = service.tokenFor('grace');
    await tab.evaluate(`document.querySelector('belfry-bell').setAttribute('token', '${token}')`);
    await bell.getByText('2').waitFor();
  });
});

describe('the panel', () => {
  it('marks all as seen when it opens, and one as read when it is chosen', async () => {
    publish('One', 'Two');
    const bellPage = await openBell();
    await bellPage.openPanel();
    await until('all are seen', () => service.countsOf('ada').unseen === 0);
    expect(service.countsOf('ada').unread).toBe(2);
    await bellPage.title('Two').click();
    await until('one is read', () => service.countsOf('ada').unread === 1);
    await bellPage.bell.getByText('1').waitFor();
  });

  it('marks read and unread by its own button, and all at once', async () => {
    publish('One', 'Two');
    const bellPage = await openBell();
    await bellPage.openPanel();
    const row = bellPage.row('One');
    await row.getByRole('button', { name: 'Mark as read: One', exact: true }).click();
    await until('one is read', () => service.countsOf('ada').unread === 1);
    await row.getByRole('button', { name: 'Mark as unread: One' }).click();
    await until('one is unread again', () => service.countsOf('ada').unread === 2);
    await bellPage.panel.getByRole('button', { name: 'Mark all as read' }).click();
    await until('all are read', () => service.countsOf('ada').unread === 0);
    expect(await bellPage.bell.getAttribute('aria-label')).toBe('Notifications, none unread');
  });

  it('archives, shows the archive, and undoes', async () => {
    publish('One', 'Two');
    const bellPage = await openBell();
    await bellPage.openPanel();
    await bellPage.row('One').getByRole('button', { name: 'Archive: One' }).click();
    await until('it is gone from the list', async () => (await bellPage.rows.count()) === 1);
    await bellPage.panel.getByRole('tab', { name: 'Archived' }).click();
    await bellPage.row('One').waitFor();
    await bellPage.panel.getByRole('tab', { name: 'All' }).click();
    await bellPage.row('Two').waitFor();
    await bellPage.panel.getByRole('button', { name: 'Undo' }).click();
    await until('it is back in the list', async () => (await bellPage.rows.count()) === 2);
  });

  it('puts one off until tomorrow morning', async () => {
    publish('One', 'Two');
    const bellPage = await openBell();
    await bellPage.openPanel();
    await bellPage.row('One').getByRole('button', { name: 'Snooze: One' }).click();
    await bellPage.panel.getByRole('menuitem', { name: /Tomorrow morning/ }).click();
    await until('it is gone from the list', async () => (await bellPage.rows.count()) === 1);
    const until9 = new Date(String(service.itemOf('ada', 'One')?.['snoozedUntil']));
    expect([until9.getHours(), until9.getDate()]).toEqual([9, new Date(Date.now() + 86_400_000).getDate()]);
  });

  it('shows unread ones alone in their tab', async () => {
    publish('One', 'Two');
    const bellPage = await openBell();
    await bellPage.openPanel();
    await bellPage.title('One').click();
    await bellPage.panel.getByRole('tab', { name: 'Unread' }).click();
    await until('one row is left', async () => (await bellPage.rows.allInnerTexts()).length === 1);
    await bellPage.row('Two').waitFor();
  });

  it('follows http, https and paths, unless the page takes that over, and nothing else', async () => {
    service.publish({ to: 'user:ada', title: 'Path', url: '/orders/1' });
    service.publish({ to: 'user:ada', title: 'Script', url: 'javascript:alert(1)' });
    service.publish({ to: 'user:ada', title: 'Hidden script', url: '\tjava\nscript:alert(1)' });
    service.publish({ to: 'user:ada', title: 'Data', url: 'data:text/html,x' });
    const bellPage = await openBell();
    await bellPage.openPanel();
    expect(await bellPage.rows.getByRole('link').count()).toBe(1);
    await bellPage.page.evaluate(
      `document.addEventListener('belfry-select', event => event.preventDefault(), { once: true })`,
    );
    await bellPage.title('Path').click();
    await until('it is read', () => service.itemOf('ada', 'Path')?.['read'] === true);
    expect(new URL(bellPage.page.url()).pathname).toBe('/page');
    await bellPage.title('Path').click();
    await bellPage.page.waitForURL('**/orders/1');
  });

  it('shows what was written, and runs none of it', async () => {
    const markup = '<img src=x onerror="document.title=1"><b>bold</b>';
    service.publish({ to: 'user:ada', title: markup, body: markup });
    const bellPage = await openBell();
    await bellPage.openPanel();
    expect(await bellPage.rows.first().innerText()).toContain(markup);
    expect(await bellPage.rows.locator('img, b').count()).toBe(0);
  });

  it('says what arrives while it is open, and lists it first', async () => {
    publish('One');
    const bellPage = await openBell();
    await bellPage.openPanel();
    await bellPage.row('One').waitFor();
    await until('the stream is open', () => service.streaming === 1);
    publish('Two');
    await bellPage.page.locator('[aria-live=polite]', { hasText: 'New notification: Two' }).waitFor();
    expect(await bellPage.rows.first().innerText()).toContain('Two');
    expect(await bellPage.toasts.count()).toBe(0);
  });

  it('loads older ones as they come near', async () => {
    publish(...Array.from({ length: 65 }, (_, i) => `No. ${i}.`));
    const bellPage = await openBell();
    await bellPage.openPanel();
    await until('all are loaded', async () => {
      await bellPage.rows.last().scrollIntoViewIfNeeded();
      return (await bellPage.rows.count()) === 65;
    });
    expect(await bellPage.rows.last().innerText()).toContain('No. 0.');
  });
});

describe('trouble', () => {
  it('is said, and tried again by a button', async () => {
    service.failWith = 500;
    publish('One');
    const bellPage = await openBell();
    await bellPage.openPanel();
    await bellPage.panel.getByText('Notifications could not be loaded').waitFor();
    service.failWith = undefined;
    // It may have tried by itself meanwhile.
    await bellPage.panel
      .getByRole('button', { name: 'Try again' })
      .click({ timeout: 1_000 })
      .catch(() => undefined);
    await bellPage.row('One').waitFor();
  });

  it('takes back a mark that was refused, and says so', async () => {
    publish('One');
    const bellPage = await openBell();
    await bellPage.openPanel();
    await bellPage.row('One').waitFor();
    await until('all are seen', () => service.countsOf('ada').unseen === 0);
    service.failWith = 422;
    await bellPage.row('One').getByRole('button', { name: 'Mark as read: One', exact: true }).click();
    await bellPage.panel.getByText('That did not work.').waitFor();
    expect(await bellPage.bell.getAttribute('aria-label')).toBe('Notifications, 1 unread');
  });

  it('offline is shown, and what was missed comes when it is over', async () => {
    publish('One');
    const bellPage = await openBell();
    await bellPage.openPanel();
    await bellPage.row('One').waitFor();
    await bellPage.page.context().setOffline(true);
    service.dropStreams();
    await bellPage.panel.getByText('No connection.').waitFor();
    expect(await bellPage.bell.getAttribute('aria-label')).toMatch(/no connection$/);
    publish('Two', 'Three');
    await bellPage.page.context().setOffline(false);
    await bellPage.row('Three').waitFor();
    expect((await bellPage.rows.allInnerTexts()).map(text => /One|Two|Three/.exec(text)?.[0])).toEqual([
      'Three',
      'Two',
      'One',
    ]);
    await bellPage.panel.getByText('No connection.').waitFor({ state: 'hidden' });
  });
});

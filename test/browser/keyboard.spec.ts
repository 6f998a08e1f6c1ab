import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { until } from '../support/conditions.js';
import { BellPage } from './bell.page.js';
import { WireService } from './wire.service.js';

let service: WireService;
let page: BellPage;
beforeEach(async () => {
  service = await WireService.start();
  for (const title of ['One', 'Two', 'Three']) service.publish({ to: 'user:ada', title });
  page = await BellPage.open({ url: service.url, token: service.tokenFor('ada') });
  await page.bell.getByText('3').waitFor();
});
afterEach(async () => {
  await page.close();
  expect(page.errors).toEqual([]);
  await service.stop();
});

async function press(...keys: string[]): Promise<void> {
  for (const key of keys) await page.page.keyboard.press(key);
}

/** What has the focus after each key. */
async function walk(...keys: string[]): Promise<string[]> {
  const visited: string[] = [];
  for (const key of keys) {
    await press(key);
    visited.push(await page.focused());
  }
  return visited;
}

async function openByKeyboard(): Promise<void> {
  await press('Tab');
  expect(await page.focused()).toBe('Notifications, 3 unread');
  await press('Enter');
  await page.row('One').waitFor();
  expect(await page.focused()).toBe('All');
}

describe('with the keyboard alone', () => {
  it('the panel opens, takes the focus, and Escape gives it back', async () => {
    await openByKeyboard();
    expect(await page.bell.getAttribute('aria-expanded')).toBe('true');
    await press('Escape');
    expect(await page.panel.count()).toBe(0);
    expect(await page.focused()).toMatch(/^Notifications/);
    expect(await page.bell.getAttribute('aria-expanded')).toBe('false');
  });

  it('the tabs are one stop, and arrows go round', async () => {
    await openByKeyboard();
    expect(await walk('ArrowRight', 'ArrowRight', 'ArrowLeft', 'Home', 'ArrowLeft', 'End')).toEqual([
      'Archived',
      'Unread3',
      'Archived',
      'Unread3',
      'Archived',
      'Archived',
    ]);
    const tabs = page.panel.getByRole('tab');
    expect(await tabs.evaluateAll(all => all.map(tab => tab.getAttribute('tabindex')))).toEqual([
      '-1',
      '-1',
      '0',
    ]);
    expect(await page.panel.getByRole('tabpanel', { name: 'Archived' }).count()).toBe(1);
  });

  it('one row is a stop with its buttons behind it, and arrows go from row to row', async () => {
    await openByKeyboard();
    expect(await walk('Tab', 'ArrowDown', 'Tab', 'Tab', 'Tab')).toEqual([
      'Unread: Three',
      'Unread: Two',
      'Mark as read: Two',
      'Snooze: Two',
      'Archive: Two',
    ]);
    expect(await walk('ArrowDown', 'Home', 'End', 'PageUp')).toEqual([
      'Unread: One',
      'Unread: Three',
      'Unread: One',
      'Unread: Three',
    ]);
    await press('ArrowDown');
    expect(await walk('Shift+Tab')).toEqual(['All']);
  });

  it('one is read by Enter, and archived, and the focus goes to the next', async () => {
    await openByKeyboard();
    await press('Tab', 'Enter');
    await until('it is read', () => service.itemOf('ada', 'Three')?.['read'] === true);
    await press('Tab', 'Tab', 'Tab', 'Enter');
    await until('it is archived', () => service.itemOf('ada', 'Three')?.['archived'] === true);
    await until('it is gone', async () => (await page.rows.count()) === 2);
    expect(await page.focused()).toBe('Unread: Two');
    await press('Tab', 'Tab', 'Tab', 'Enter', 'Tab', 'Tab', 'Tab', 'Enter');
    await page.panel.getByText('Nothing here yet').waitFor();
    expect(await page.focused()).toBe('All');
  });

  it('the snooze menu is walked by arrows, and Escape closes it alone', async () => {
    await openByKeyboard();
    await press('Tab', 'Tab', 'Tab');
    expect(await page.focused()).toBe('Snooze: Three');
    await press('Enter');
    expect(
      (await walk('ArrowDown', 'ArrowDown', 'ArrowDown', 'End', 'Home')).map(text => text.slice(0, 8)),
    ).toEqual(['Tomorrow', 'Next wee', 'In one h', 'Next wee', 'In one h']);
    await press('Escape');
    expect(await page.focused()).toBe('Snooze: Three');
    expect(await page.panel.count()).toBe(1);
    await press('Enter', 'Enter');
    await until('it is snoozed', () => service.itemOf('ada', 'Three')?.['snoozedUntil'] !== null);
  });

  it('who tabs on to the page leaves the panel closed behind', async () => {
    await openByKeyboard();
    await press('Tab', 'Tab', 'Tab', 'Tab', 'Tab');
    expect(await page.focused()).toBe('Home');
    expect(await page.panel.count()).toBe(0);
  });
});

describe('with the pointer', () => {
  it('a press beside the panel closes it, and leaves the focus alone', async () => {
    await page.openPanel();
    await page.page.getByText('Wares').click();
    expect(await page.panel.count()).toBe(0);
  });
});

describe('a toast', () => {
  it('goes by itself, but not while the pointer or the focus is on it', async () => {
    await page.page.evaluate(`document.querySelector('belfry-bell').setAttribute('toasts', '1')`);
    await until('the stream is open', () => service.streaming === 1);
    service.publish({ to: 'user:ada', title: 'Hovered' });
    await page.toasts.hover();
    service.publish({ to: 'user:ada', title: 'Beside it' });
    await until('both are there', async () => (await page.toasts.count()) === 2);
    await page.page.waitForTimeout(1_500);
    expect(await page.toasts.count()).toBe(2);
    await page.page.mouse.move(0, 0);
    await until('both are gone', async () => (await page.toasts.count()) === 0);
  });

  it('comes with two others at most, and the oldest makes room', async () => {
    await until('the stream is open', () => service.streaming === 1);
    for (const title of ['A', 'B', 'C', 'D']) service.publish({ to: 'user:ada', title });
    await page.toasts.getByText('D', { exact: true }).waitFor();
    expect((await page.toasts.locator('.title').allInnerTexts()).join()).toBe('B,C,D');
  });

  it('that is urgent stays until it is dismissed, and a low one does not come', async () => {
    await page.page.evaluate(`document.querySelector('belfry-bell').setAttribute('toasts', '1')`);
    await until('the stream is open', () => service.streaming === 1);
    service.publish({ to: 'user:ada', title: 'Quiet', priority: 'low' });
    service.publish({ to: 'user:ada', title: 'Fire', priority: 'urgent' });
    service.publish({ to: 'user:ada', title: 'News' });
    await page.toasts.getByText('News').waitFor();
    await page.toasts.getByText('News').waitFor({ state: 'detached' });
    expect(await page.toasts.locator('.title').allInnerTexts()).toEqual(['Fire']);
    await page.toasts.getByRole('button', { name: 'Dismiss: Fire' }).click();
    expect(await page.toasts.count()).toBe(0);
  });

  it('gives the focus to the one beside it as it is dismissed, and the last one to the bell', async () => {
    await until('the stream is open', () => service.streaming === 1);
    for (const title of ['A', 'B']) service.publish({ to: 'user:ada', title });
    await page.toasts.getByText('B', { exact: true }).waitFor();
    await page.toasts.getByRole('button', { name: 'Dismiss: B' }).focus();
    await press('Enter');
    expect(await page.focused()).toBe('A');
    await press('Tab', 'Enter');
    expect(await page.focused()).toBe('Notifications, 5 unread');
  });

  it('goes when the notification was read on another device', async () => {
    await until('the stream is open', () => service.streaming === 1);
    service.publish({ to: 'user:ada', title: 'A', priority: 'urgent' });
    await page.toasts.getByText('A', { exact: true }).waitFor();
    service.markRead('ada', 'A');
    await until('it is gone', async () => (await page.toasts.count()) === 0);
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';

import { until } from '../support/conditions.js';
import { browser } from './browser.js';
import { violationsOn } from './violations.js';
import { serveDemo } from './demo.files.js';
import { WireService } from './wire.service.js';

let service: WireService;
let page: Page;
const errors: string[] = [];
beforeEach(async () => {
  service = await WireService.start();
  page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  page.on('pageerror', error => errors.push(error.message));
  await serveDemo(page, service.url);
  await page.goto(service.url);
  await until('both are live', async () => (await page.getByText('Live', { exact: true }).count()) === 2);
});
afterEach(async () => {
  await page.close();
  expect(errors.splice(0)).toEqual([]);
  await service.stop();
});

const ada = () => page.getByRole('region', { name: 'Ada' });
const grace = () => page.getByRole('region', { name: 'Grace' });

async function send(to: string, title: string): Promise<void> {
  await page.getByLabel('To').selectOption(to);
  await page.getByLabel('Title').fill(title);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
}

describe('the demo', () => {
  it('sends to one, to a role, and to everybody', async () => {
    await send('user:ada', 'For Ada');
    await ada().locator('.log').getByText('For Ada').waitFor();
    await send('role:design', 'For designers');
    await ada().locator('.log').getByText('For designers').waitFor();
    await send('all', 'For all');
    await grace().locator('.log').getByText('For all').waitFor();
    expect(await grace().locator('.log span').allInnerTexts()).toEqual(['For all']);
    await ada()
      .getByRole('button', { name: /3 unread/ })
      .waitFor();
    await grace()
      .getByRole('button', { name: /1 unread/ })
      .waitFor();
  });

  it('cuts the line of one, and brings back in order what that one missed', async () => {
    await ada().getByRole('switch').click();
    await ada().getByText('Connection cut').first().waitFor();
    await until('one stream is left', () => service.streaming === 1);
    await page.getByLabel('Title').fill('News');
    await page.getByRole('button', { name: 'Send five' }).click();
    await grace().locator('.log').getByText('News (5 of 5)').waitFor();
    expect(await ada().locator('.log .live, .log .replayed').count()).toBe(0);

    await ada().getByRole('switch').click();
    await ada().getByText('Back: all 5 that were missed are here').waitFor();
    expect(await ada().locator('.log .replayed span').allInnerTexts()).toEqual(
      [1, 2, 3, 4, 5].map(n => `News (${n} of 5)`),
    );
    await page.getByLabel('Title').fill('After');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await ada().locator('.log .live').getByText('After').waitFor();
    await ada()
      .getByRole('button', { name: /6 unread/ })
      .waitFor();
  });

  it('says why something could not be sent', async () => {
    service.failWith = 503;
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await page.getByText('The test wants this to fail.').waitFor();
  });

  it.each(['light', 'dark'] as const)('gives axe-core nothing to object to in %s', async colorScheme => {
    await page.emulateMedia({ colorScheme });
    await ada().getByRole('switch').click();
    await send('all', 'For all');
    await grace().locator('.log').getByText('For all').waitFor();
    await grace()
      .getByRole('button', { name: /1 unread/ })
      .click();
    await page.getByRole('dialog').getByText('For all').waitFor();
    expect(await violationsOn(page)).toEqual([]);
  });

  it('keeps the theme that was chosen', async () => {
    const theme = page.getByRole('button', { name: /^Theme/ });
    await theme.click();
    await theme.click();
    expect(await theme.getAttribute('aria-label')).toBe('Theme: Dark');
    await page.reload();
    expect(await theme.getAttribute('aria-label')).toBe('Theme: Dark');
    expect(await page.locator('belfry-bell').first().getAttribute('theme')).toBe('dark');
  });
});

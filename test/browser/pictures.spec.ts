import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Page } from 'playwright-core';

import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/config.js';
import { shutDown } from '../../src/operations/shutdown.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { browser } from './browser.js';

/** What the documents show has to load at once. */
const MOST_BYTES = 150_000;

/** The oldest first; how old, in minutes. A picture, not an emoji: not every machine has a font of those. */
const ENGLISH = [
  { age: 2_900, initials: 'N', title: 'Northwind paid invoice 318', body: '€1,280.00 by bank transfer.' },
  { age: 190, initials: '4', title: 'api 4.12 is in production', body: 'Rolled out to 12 of 12 instances.' },
  { age: 26, initials: 'L', title: 'Linus commented on “Roadmap”', body: 'Could we ship a week earlier?' },
  { age: 4, title: 'Checkout answers slowly', body: 'p99 is at 4.2 s since 10:04.', priority: 'urgent' },
  { age: 0, initials: 'M', title: 'Order 2041 is on its way', body: 'It arrives on Friday, before noon.' },
];

const ARABIC = [
  { age: 2_900, initials: 'ش', title: 'تم دفع الفاتورة رقم ٣١٨', body: 'تحويل مصرفي.' },
  { age: 190, initials: 'ن', title: 'الإصدار الجديد متاح الآن', body: 'وصل إلى جميع الخوادم.' },
  { age: 26, initials: 'ل', title: 'علّق ليث على «خطة العمل»', body: 'هل يمكننا البدء قبل أسبوع؟' },
  { age: 4, title: 'بطء في صفحة الدفع', body: 'يرجى المراجعة.', priority: 'urgent' },
  { age: 0, initials: 'م', title: 'طلبك رقم ٢٠٤١ في الطريق', body: 'يصل يوم الجمعة صباحًا.' },
];

const COLORS = ['#0b6b4f', '#8a3ffc', '#b45309', '#0f62fe', '#be185d'];

const ARABIC_WORDS = `({
  title: 'الإشعارات',
  bell: (n, shown) => 'الإشعارات، ' + shown + ' غير مقروءة',
  unread: 'غير مقروءة',
  all: 'الكل',
  archived: 'الأرشيف',
  markAllRead: 'تعليم الكل كمقروء',
  priority: { high: 'مهم', urgent: 'عاجل' },
  now: 'الآن',
})`;

/** Written by SCREENSHOTS=write npm run test:browser -- pictures; they are not compared, since fonts differ. */
const isWanted = process.env['SCREENSHOTS'] === 'write';

(isWanted ? describe : describe.skip)('the pictures of the documents', () => {
  let database: TestDatabase;
  let page: Page;
  beforeAll(async () => {
    database = await TestDatabase.create();
  });
  afterEach(async () => {
    await page.context().close();
  });
  afterAll(async () => {
    await database.drop();
  });

  async function take(name: string): Promise<void> {
    // Of what has come to rest.
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.evaluate('document.fonts.ready');
    const path = resolve('docs/images', `${name}.png`);
    await page.screenshot({ path });
    expect((await stat(path)).size).toBeLessThan(MOST_BYTES);
  }

  it.each([
    ['bell-light', 'mia', 'lang="en"', 'Northwind', ENGLISH, '{}'],
    ['bell-dark', 'noah', 'lang="en"', 'Northwind', ENGLISH, '{}'],
    ['bell-rtl', 'layla', 'lang="ar" dir="rtl"', 'ريح الشمال', ARABIC, ARABIC_WORDS],
  ] as const)(
    '%s',
    async (name, user, html, shop, notifications, words) => {
      const instance = await Instance.start(database.url);
      const token = await tokenFor({ sub: 'backend', scope: 'inbox' });
      for (const [n, { age, ...notification }] of notifications.entries()) {
        const body = {
          to: `user:${user}`,
          type: 'example',
          title: notification.title,
          body: notification.body,
          ...('initials' in notification ? { icon: `/icons/${n}.svg` } : { priority: notification.priority }),
        };
        const answer = await instance.request('POST', '/v1/notifications', { token, body });
        const [id] = (answer.json as { ids: [string] }).ids;
        await database.rows(
          'update belfry.notifications set at = at - make_interval(mins => $1) where seq = $2',
          [age, id.split('.')[1]],
        );
      }
      const context = await browser.newContext({
        viewport: { width: 640, height: 560 },
        deviceScaleFactor: 1.5,
        colorScheme: name === 'bell-dark' ? 'dark' : 'light',
      });
      page = await context.newPage();
      await page.route(`${instance.url}/icons/*.svg`, route => {
        const n = Number(/(\d)\.svg$/.exec(route.request().url())![1]);
        const { initials = '' } = notifications[n] as { initials?: string };
        const body = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 38 38"><rect width="38" height="38" fill="${COLORS[n]}"/>
        <text x="19" y="25.5" font-family="sans-serif" font-size="17" font-weight="600" fill="#fff" text-anchor="middle">${initials}</text></svg>`;
        return route.fulfill({ contentType: 'image/svg+xml', body });
      });
      await page.route(`${instance.url}/belfry-bell.js`, route =>
        route.fulfill({ contentType: 'text/javascript', path: resolve('client/dist/belfry-bell.js') }),
      );
      const bell = `<belfry-bell url="/" token="${await tokenFor({ sub: user })}"></belfry-bell>`;
      await page.route(`${instance.url}/page`, route =>
        route.fulfill({
          contentType: 'text/html; charset=utf-8',
          body: `<!doctype html><html ${html}><title>Shop</title><style>
          :root { color-scheme: light dark; font-family: sans-serif; }
          body { margin: 0; background: light-dark(#f4f5f8, #101218); color: light-dark(#191c24, #eceef4); }
          header { display: flex; align-items: center; justify-content: space-between; padding: 0.5rem 1.5rem;
            background: light-dark(#fff, #171920); border-bottom: 1px solid light-dark(#e3e5eb, #2a2d38); }
          belfry-bell { --belfry-height: 29rem; }
          </style><header><strong>${shop}</strong>${bell}</header>
          <script type="module" src="/belfry-bell.js"></script></html>`,
        }),
      );
      await page.goto(`${instance.url}/page`);
      await page.evaluate(`document.querySelector('belfry-bell').words = ${words}`);
      await page.locator('belfry-bell .badge').getByText('5', { exact: true }).waitFor();
      await page.locator('belfry-bell .bell').click();
      const panel = page.getByRole('dialog');
      await panel.getByRole('tab').nth(1).click();
      const rows = panel.getByRole('listitem');
      await until('all are there', async () => (await rows.count()) === notifications.length);
      for (const n of [3, 4]) await rows.nth(n).locator('.actions button').first().click();
      await page.locator('belfry-bell .badge').getByText('3', { exact: true }).waitFor();
      await page.mouse.move(5, 400);
      await panel.locator('.scroller').evaluate(node => {
        node.scrollTo(0, 0);
      });
      await panel.locator('h2').click();
      await until('its pictures are there', () =>
        panel.evaluate(node => [...node.querySelectorAll('img')].every(image => image.complete)),
      );
      await take(name);
      await instance.stop();
    },
    60_000,
  );

  it('demo', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'belfry-demo-'));
    const config = {
      ...loadConfig({ BELFRY_DATA_DIR: dataDir, LOG_LEVEL: 'fatal' }),
      // In place of the embedded one that demo mode starts.
      databaseUrl: database.url,
    };
    const app: NestExpressApplication = await createApp(config);
    await app.listen(0, '127.0.0.1');
    page = await browser.newPage({ viewport: { width: 1200, height: 1010 } });
    await page.goto(`http://localhost:${(app.getHttpServer().address() as AddressInfo).port}`);
    await until('both are live', async () => (await page.getByText('Live', { exact: true }).count()) === 2);
    await page.getByLabel('To').selectOption('user:ada');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await page.locator('.log').getByText('Linus commented').waitFor();
    await page.getByRole('button', { name: 'Incident' }).click();
    await page.getByLabel('To').selectOption('all');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await until(
      'both have heard of it',
      async () => (await page.locator('.log').getByText('Checkout answers').count()) === 2,
    );
    await page.getByRole('region', { name: 'Grace' }).locator('.toast').waitFor();
    // Those would be in front of the heading.
    const toasts = page.getByRole('region', { name: 'Ada' }).locator('.toast');
    while ((await toasts.count()) > 0)
      await toasts
        .first()
        .getByRole('button', { name: /^Dismiss/ })
        .click();
    await take('demo');
    await shutDown(app, config);
    await rm(dataDir, { recursive: true });
  }, 60_000);
});

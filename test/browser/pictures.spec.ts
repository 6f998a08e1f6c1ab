import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright-core';

import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/config.js';
import { shutDown } from '../../src/operations/shutdown.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance, tokenFor } from '../support/instance.js';
import { BellPage } from './bell.page.js';
import { browser } from './browser.js';

/** What the documents show has to load at once. */
const MOST_BYTES = 150_000;

const ENGLISH = [
  { icon: '📦', title: 'Order 2041 is on its way', body: 'It arrives on Friday, between 9 and 12.' },
  { icon: '💶', title: 'Northwind paid invoice 318', body: '€1,280.00 by bank transfer.' },
  {
    icon: '💬',
    title: 'Linus commented on “Roadmap”',
    body: 'Could we ship the new onboarding a week earlier?',
  },
  { icon: '🚀', title: 'api 4.12 is in production', body: 'Rolled out to 12 of 12 instances.' },
  { title: 'Checkout answers slowly', body: 'p99 is at 4.2 s since 10:04.', priority: 'urgent' },
];

const ARABIC = [
  { icon: '📦', title: 'طلبك رقم ٢٠٤١ في الطريق', body: 'يصل يوم الجمعة صباحًا.' },
  { icon: '💶', title: 'تم دفع الفاتورة رقم ٣١٨', body: 'تحويل مصرفي.' },
  { icon: '💬', title: 'علّق ليث على «خطة العمل»', body: 'هل يمكننا البدء قبل أسبوع؟' },
  { icon: '🚀', title: 'الإصدار الجديد متاح الآن' },
  { title: 'بطء في صفحة الدفع', body: 'يرجى المراجعة.', priority: 'urgent' },
];

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

  async function take(name: string, clip?: { x: number; y: number; width: number; height: number }) {
    // Of what has come to rest.
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.evaluate('document.fonts.ready');
    const path = resolve('docs/images', `${name}.png`);
    await page.screenshot({ path, ...(clip === undefined ? {} : { clip }) });
    expect((await stat(path)).size).toBeLessThan(MOST_BYTES);
  }

  it.each<[string, string, string, readonly object[], BrowserContextOptions]>([
    ['bell-light', 'ada', 'lang="en"', ENGLISH, {}],
    [
      'bell-dark',
      'grace',
      'lang="en" style="background:#101218;color:#eceef4"',
      ENGLISH,
      { colorScheme: 'dark' },
    ],
    ['bell-rtl', 'layla', 'lang="ar" dir="rtl"', ARABIC, {}],
  ])(
    '%s',
    async (name, user, html, notifications, more) => {
      const instance = await Instance.start(database.url);
      const token = await tokenFor({ sub: 'backend', scope: 'inbox' });
      for (const notification of notifications) {
        const body = { to: `user:${user}`, type: 'example', ...notification };
        expect(await instance.request('POST', '/v1/notifications', { token, body })).toMatchObject({
          status: 201,
        });
      }
      const bellPage = await BellPage.open({
        url: instance.url,
        token: await tokenFor({ sub: user }),
        html,
        attributes: 'toasts="off"',
        context: { viewport: { width: 720, height: 620 }, deviceScaleFactor: 1.5, ...more },
      });
      ({ page } = bellPage);
      await bellPage.page.evaluate(
        `document.querySelector('belfry-bell').words = ${name === 'bell-rtl' ? ARABIC_WORDS : '{}'}`,
      );
      await bellPage.openPanel();
      await bellPage.panel.getByRole('tab').nth(1).click();
      await until('all are there', async () => (await bellPage.rows.count()) === notifications.length);
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
    page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    await page.goto(`http://localhost:${(app.getHttpServer().address() as AddressInfo).port}`);
    await until('both are live', async () => (await page.getByText('Live', { exact: true }).count()) === 2);
    await take('demo');
    await shutDown(app, config);
    await rm(dataDir, { recursive: true });
  }, 60_000);
});

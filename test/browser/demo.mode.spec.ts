import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Locator, Page } from 'playwright-core';

import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/config.js';
import { shutDown } from '../../src/operations/shutdown.js';
import { until } from '../support/conditions.js';
import { TestDatabase } from '../support/databases.js';
import { Instance } from '../support/instance.js';
import { browser } from './browser.js';
import { violationsOn } from './violations.js';

let dataDir: string;
let database: TestDatabase;
let app: NestExpressApplication;
let url: string;
const config = () => ({
  ...loadConfig({ BELFRY_DATA_DIR: dataDir, LOG_LEVEL: 'fatal' }),
  // In place of the embedded one that demo mode starts.
  databaseUrl: database.url,
});
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'belfry-demo-'));
  database = await TestDatabase.create();
  app = await createApp(config());
  await app.listen(0, '127.0.0.1');
  url = `http://localhost:${(app.getHttpServer().address() as AddressInfo).port}`;
});
afterAll(async () => {
  await shutDown(app, config());
  await database.drop();
  await rm(dataDir, { recursive: true });
});

/** Not by fetch, which tidies paths and speaks for caches. */
async function ask(
  path: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number | undefined; headers: IncomingHttpHeaders; length: number }> {
  const sent = request(url, { path, method, headers, agent: false }).end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const { length } = await buffer(answer);
  return { status: answer.statusCode, headers: answer.headers, length };
}

describe('the pages of demo mode', () => {
  it.each([
    ['/', 'text/html; charset=utf-8'],
    ['/demo/index.html', 'text/html; charset=utf-8'],
    ['/demo/demo.css', 'text/css; charset=utf-8'],
    ['/demo/demo.js', 'text/javascript; charset=utf-8'],
  ])('are served at %s, under the policy of all pages, and sent once', async (path, type) => {
    const { status, headers, length } = await ask(path);
    expect([status, headers['content-type'], headers['cache-control']]).toEqual([200, type, 'no-cache']);
    expect(length).toBeGreaterThan(1_000);
    expect(headers['content-security-policy']).toContain("default-src 'self'");
    expect(headers['content-security-policy']).not.toContain('script-src ');
    const { etag = '' } = headers;
    expect(await ask(path, { headers: { 'if-none-match': etag } })).toMatchObject({ status: 304, length: 0 });
    expect(await ask(path, { method: 'HEAD' })).toMatchObject({ status: 200, headers: { etag }, length: 0 });
  });

  it.each([
    '/demo/',
    '/demo/demo.ts',
    '/demo/../../package.json',
    '/demo/..%2f..%2fpackage.json',
    '/demo/__proto__',
  ])('are these and no others, such as %s', async path => {
    expect(await ask(path)).toMatchObject({ status: 404 });
  });

  it('are not there in another mode', async () => {
    const instance = await Instance.start(database.url);
    expect((await instance.request('GET', '/')).status).toBe(404);
    expect((await instance.request('GET', '/demo/demo.js')).status).toBe(404);
    await instance.stop();
  });
});

describe('the demo on Belfry itself', () => {
  let page: Page;
  const errors: string[] = [];
  afterEach(async () => {
    await page.close();
    expect(errors.splice(0)).toEqual([]);
  });

  async function open(): Promise<{ ada: Locator; grace: Locator }> {
    page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    page.on('pageerror', error => errors.push(error.message));
    page.on('response', answer => {
      if (answer.status() >= 400) errors.push(`${answer.status()} ${answer.url()}`);
    });
    await page.goto(url);
    await until('both are live', async () => (await page.getByText('Live', { exact: true }).count()) === 2);
    return {
      ada: page.getByRole('region', { name: 'Ada' }),
      grace: page.getByRole('region', { name: 'Grace' }),
    };
  }

  it('rings within a second, replays what was missed, and remembers what was read', async () => {
    const { ada, grace } = await open();
    await page.getByLabel('Title').fill('First');
    const began = performance.now();
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    for (const person of [ada, grace]) {
      await person.getByRole('button', { name: /, 1 unread/ }).waitFor();
      await person.locator('.toast').getByText('First').waitFor();
    }
    expect(performance.now() - began).toBeLessThan(1_000);

    await ada.getByRole('switch').click();
    await page.getByLabel('Title').fill('News');
    await page.getByRole('button', { name: 'Send five' }).click();
    await grace.locator('.log').getByText('News (5 of 5)').waitFor();
    await ada.getByRole('switch').click();
    await ada.getByText('Back: all 5 that were missed are here').waitFor();
    expect(await ada.locator('.log .replayed span').allInnerTexts()).toEqual(
      [1, 2, 3, 4, 5].map(n => `News (${n} of 5)`),
    );

    await ada.getByRole('button', { name: /, 6 unread/ }).click();
    await ada.locator('.row', { hasText: 'First' }).locator('.main').click();
    await ada
      .locator('.row', { hasText: '(2 of 5)' })
      .getByRole('button', { name: /^Archive/ })
      .click();
    await ada.getByRole('button', { name: /, 4 unread/ }).waitFor();
    expect(await violationsOn(page)).toEqual([]);
    await page.close();

    const again = await open();
    await again.ada.getByRole('button', { name: /, 4 unread/ }).waitFor();
    await again.grace.getByRole('button', { name: /, 6 unread/ }).waitFor();
  });
});

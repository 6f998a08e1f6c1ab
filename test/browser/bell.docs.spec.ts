import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { runInNewContext } from 'node:vm';
import type { BrowserContext, Page } from 'playwright-core';
import type { CompilerOptions } from 'vue/compiler-sfc';

import { missingOf } from '../docs/examples.js';
import { until } from '../support/conditions.js';
import { browser } from './browser.js';
import { bundleReact, bundleVue } from './bundler.js';
import { Shop } from './shop.js';
import { violationsOn } from './violations.js';

/** Of an app with a bundler. */
const APP = (id: string): string =>
  `<!doctype html><html lang="en"><head><title>Shop</title></head><body><div id="${id}"></div>
  <script type="module" src="/app.js"></script></body></html>`;

const missing = missingOf('docs/bell.md', ['bash', 'curl', 'tar']);

(missing.length > 0 ? describe.skip : describe)('the examples of docs/bell.md', () => {
  let shop: Shop;
  let context: BrowserContext;
  const errors: string[] = [];
  beforeEach(async () => {
    shop = await Shop.open();
    context = await browser.newContext({ viewport: { width: 900, height: 800 } });
  });
  afterEach(async () => {
    await context.close();
    await shop.close();
    expect(errors.splice(0)).toEqual([]);
  });

  /** Its page; whatever a browser would complain of there is an error. */
  async function openPage(label = 'Notifications, none unread'): Promise<Page> {
    const page = await context.newPage();
    page.on('pageerror', error => errors.push(error.message));
    page.on('console', message => {
      // Without the address, which the response has.
      if (message.text().startsWith('Failed to load resource')) return;
      if (['error', 'warning'].includes(message.type())) errors.push(message.text());
    });
    page.on('response', answer => {
      // Not every shop has those.
      if (answer.status() >= 400 && !/\/(?:favicon\.ico|shop\.css)$/.test(answer.url()))
        errors.push(`${answer.status()} ${answer.url()}`);
    });
    await page.goto(shop.origin);
    await page.getByRole('button', { name: label }).waitFor();
    await until('the stream is open', async () => (await shop.openStreams()) === 1);
    return page;
  }

  /** Sends by the printed command, and waits for badge, toast and panel. */
  async function ring(page: Page): Promise<void> {
    expect(await shop.run('curl')).toContain('{"ids":["');
    await page.locator('belfry-bell .badge').getByText('1', { exact: true }).waitFor();
    await page.locator('belfry-bell .toast').getByText('Order 7 is on its way').waitFor();
    await page.locator('belfry-bell .bell').click();
    await page
      .getByRole('dialog', { name: 'Notifications' })
      .getByRole('link', { name: /Order 7 is on its way/ })
      .waitFor();
  }

  it('show a bell on a plain page, with its looks, words and events', async () => {
    await shop.write('shop.css', shop.block('shop.css', 'css'));
    await shop.add('app.js', shop.block('words.js', 'js') + shop.block('events.js', 'js'));
    await shop.serve();
    const page = await openPage('Mitteilungen, keine ungelesen');
    expect(await shop.run('curl')).toContain('{"ids":["');
    const toast = page.locator('belfry-bell .toast');
    await toast.getByText('Order 7 is on its way').waitFor();
    expect(await toast.evaluate(node => getComputedStyle(node).borderLeft)).toBe(
      '4px solid rgb(11, 107, 79)',
    );
    const badge = page.locator('belfry-bell .badge');
    expect(await badge.innerText()).toBe('1');
    expect(await badge.evaluate(node => getComputedStyle(node).backgroundColor)).toBe('rgb(11, 107, 79)');
    expect(await page.title()).toBe('(1) Shop');
    await page.locator('belfry-bell .bell').click();
    const panel = page.getByRole('dialog', { name: 'Mitteilungen' });
    await panel.getByRole('tab', { name: 'Ungelesen' }).waitFor();
    expect((await panel.boundingBox())?.width).toBe(352);
    expect(await violationsOn(page)).toEqual([]);
    await panel.getByRole('link', { name: /Order 7 is on its way/ }).click();
    await until('it is read', async () => (await page.title()) === 'Shop');
    expect(page.url()).toBe(`${shop.origin}/orders/7`);
  }, 60_000);

  it('ring once for what a backend sends twice', async () => {
    await shop.write('notify.mjs', shop.block('notify.mjs', 'js'));
    await shop.serve();
    const page = await openPage();
    const BELFRY_KEY = await shop.key();
    await shop.node('notify.mjs', { BELFRY_KEY });
    await shop.node('notify.mjs', { BELFRY_KEY });
    await page.locator('belfry-bell .toast').getByText('Order 7 was delivered').waitFor();
    // What is sent last comes last: whatever came before it has been counted by then.
    await shop.run('curl');
    await page.locator('belfry-bell .toast').getByText('Order 7 is on its way').waitFor();
    expect(await page.locator('belfry-bell .badge').innerText()).toBe('2');
  }, 60_000);

  it('sign in by the cookie, and share one connection', async () => {
    const server = shop.block('server.mjs', 'js');
    const place = '  const [name, type]';
    expect(server).toContain(place);
    await shop.write('server.mjs', server.replace(place, `${shop.block('cookie.js', 'js')}\n${place}`));
    await shop.write(
      'index.html',
      shop
        .block('index.html', 'html')
        .replace(/<belfry-bell.*<\/belfry-bell>/, shop.block('cookie.html', 'html')),
    );
    await shop.write('app.js', shop.block('app.js', 'js').split('\n')[0]!);
    await shop.serve();
    const page = await openPage();
    const other = await openPage();
    await ring(page);
    await other.locator('belfry-bell .badge').getByText('1', { exact: true }).waitFor();
    expect(await shop.openStreams()).toBe(1);
    await page.getByRole('button', { name: 'Mark as read: Order 7 is on its way' }).click();
    await other.getByRole('button', { name: 'Notifications, none unread' }).waitFor();
  }, 60_000);

  it('show a bell in an app of React', async () => {
    await shop.install();
    const input = await shop.write('main.tsx', shop.block('main.tsx', 'tsx'));
    await shop.write('app.js', await bundleReact(input));
    await shop.write('index.html', APP('root'));
    await shop.serve();
    const page = await openPage();
    await ring(page);
    expect(await page.title()).toBe('(1) Shop');
  }, 60_000);

  it('share one inbox between the bell and an app of React', async () => {
    await shop.install();
    await shop.write('inbox.tsx', shop.block('inbox.tsx', 'tsx'));
    const main = shop
      .block('main.tsx', 'tsx')
      .replace("import '@belfry/client/bell';", "import { Inbox } from './inbox.js';")
      .replace('<Header user="ada" />', '<Inbox getToken={getToken} />');
    const input = await shop.write('main.tsx', main.replace('./inbox.js', './inbox.tsx'));
    await shop.write('app.js', await bundleReact(input));
    await shop.write('index.html', APP('root'));
    await shop.serve();
    const page = await openPage();
    await page.getByText('Nothing new').waitFor();
    await ring(page);
    await page.locator('#root > p').getByText('Order 7 is on its way').waitFor();
    expect(await shop.openStreams()).toBe(1);
  }, 60_000);

  it('are what TypeScript takes for React', async () => {
    await shop.install();
    for (const [name, language] of [
      ['main.tsx', 'tsx'],
      ['inbox.tsx', 'tsx'],
      ['belfry-bell.d.ts', 'ts'],
    ] as const)
      await shop.write(name, shop.block(name, language));
    // Its types are a package of their own, which nothing else here needs.
    await shop.write(
      'react-dom.d.ts',
      `declare module 'react-dom/client' {
        export function createRoot(node: Element): { render(children: import('react').ReactNode): void };
      }`,
    );
    await shop.write(
      'tsconfig.json',
      JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          target: 'es2022',
          lib: ['es2022', 'dom', 'dom.iterable'],
          module: 'esnext',
          moduleResolution: 'bundler',
          jsx: 'react-jsx',
          types: [],
        },
      }),
    );
    const tsc = resolve('node_modules/typescript/bin/tsc');
    const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', 'shop'], {
      cwd: shop.folder,
      encoding: 'utf8',
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
  }, 60_000);

  it('show a bell in an app of Vue', async () => {
    await shop.install();
    await shop.write('App.vue', shop.block('App.vue', 'vue'));
    const input = await shop.write(
      'main.js',
      `import { createApp } from 'vue';\nimport App from './App.vue';\ncreateApp(App).mount('#app');\n`,
    );
    await shop.write('app.js', await bundleVue(input, printedOptions()));
    await shop.write('index.html', APP('app'));
    await shop.serve();
    const page = await openPage();
    await ring(page);
    await page.getByText('1 unread').waitFor();
  }, 60_000);

  /** What the printed configuration says to Vue's compiler; the plugin that it is for would be a dependency of its own. */
  function printedOptions(): CompilerOptions {
    const config = shop
      .block('vite.config.js', 'js')
      .replace(/^import .*$/m, 'const vue = options => options;')
      .replace('export default', 'config =');
    const { plugins } = runInNewContext(`let config; ${config}; config`) as {
      plugins: { template: { compilerOptions: CompilerOptions } }[];
    };
    return plugins[0]!.template.compilerOptions;
  }
});

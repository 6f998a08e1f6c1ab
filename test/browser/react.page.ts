import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';

const DIST = new URL('../../client/dist/', import.meta.url);
const MODULES = new URL('../../node_modules/', import.meta.url);

/** React as it is published, for `require`: each module under its name. */
const REACT = [
  ['react', 'react/cjs/react.development.js'],
  ['react/jsx-runtime', 'react/cjs/react-jsx-runtime.development.js'],
  ['scheduler', 'scheduler/cjs/scheduler.development.js'],
  ['react-dom', 'react-dom/cjs/react-dom.development.js'],
  ['react-dom/client', 'react-dom/cjs/react-dom-client.development.js'],
] as const;

const HTML = `<!doctype html><title>React</title><div id="root"></div>
<script type="importmap">{ "imports": {
  "react": "/react.mjs", "eventsource-parser": "/modules/eventsource-parser/dist/index.js"
} }</script>
<script src="/react.js"></script>`;

/** Enough of Node's loader to run them; a bundler would be a dependency of its own. */
export async function reactScript(): Promise<string> {
  const modules = await Promise.all(
    REACT.map(async ([name, file]) => {
      const code = await readFile(new URL(file, MODULES), 'utf8');
      return `${JSON.stringify(name)}(require, module, exports) {${code}\n}`;
    }),
  );
  return `globalThis.process = { env: { NODE_ENV: 'development' } };
    const loaded = {};
    const modules = {${modules.join(',\n')}};
    globalThis.require = name => {
      if (!loaded[name]) modules[name](require, (loaded[name] = { exports: {} }), loaded[name].exports);
      return loaded[name].exports;
    };`;
}

/** Opens a page of a service's origin that has React as `require('react')` and the client as `/dist/…`. */
export async function openReactPage(page: Page, url: string): Promise<void> {
  const script = await reactScript();
  await page.route(`${url}/react-page`, route => route.fulfill({ contentType: 'text/html', body: HTML }));
  await page.route(`${url}/react.js`, route =>
    route.fulfill({ contentType: 'text/javascript', body: script }),
  );
  await page.route(`${url}/react.mjs`, route =>
    route.fulfill({
      contentType: 'text/javascript',
      body: `export const { useCallback, useEffect, useRef, useState, useSyncExternalStore } = require('react');`,
    }),
  );
  for (const [prefix, folder] of [
    ['/dist/', DIST],
    ['/modules/', MODULES],
  ] as const) {
    await page.route(`${url}${prefix}**`, async route => {
      const file = new URL(new URL(route.request().url()).pathname.slice(prefix.length), folder);
      if (!existsSync(file)) await route.fulfill({ status: 404 });
      else await route.fulfill({ contentType: 'text/javascript', body: await readFile(file) });
    });
  }
  await page.goto(`${url}/react-page`);
}

import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';

const BUILT = new URL('../../client/dist/demo/', import.meta.url);

const FILES = [
  ['/', 'index.html', 'text/html'],
  ['/demo/demo.css', 'demo.css', 'text/css'],
  ['/demo/demo.js', 'demo.js', 'text/javascript'],
] as const;

/** The pages of the demo in front of a service that has none, under the policy that Belfry sends. */
export async function serveDemo(page: Page, url: string): Promise<void> {
  for (const [path, file, contentType] of FILES) {
    const body = await readFile(new URL(file, BUILT));
    await page.route(`${url}${path}`, route =>
      route.fulfill({
        contentType: `${contentType}; charset=utf-8`,
        headers: { 'content-security-policy': "default-src 'self'; img-src 'self' data:; base-uri 'self'" },
        body,
      }),
    );
  }
}

import { afterAll, beforeAll } from '@jest/globals';
import type { Browser } from 'playwright-core';

import { launchChromium } from './chromium.js';

/** One for all tests of a file; each page has a context of its own. */
export let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
}, 60_000);

afterAll(async () => {
  await browser.close();
});

import { readFile } from 'node:fs/promises';
import type { BrowserContext, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { fileURLToPath } from 'node:url';

import { browser } from './browser.js';

const BUNDLE = fileURLToPath(new URL('../../client/dist/belfry-bell.js', import.meta.url));

interface PageOptions {
  /** Of the service that the bell is to connect to, and whose pages these seem to be. */
  readonly url: string;
  readonly token: string;
  /** Attributes of the bell. */
  readonly attributes?: string;
  /** Attributes of the page. */
  readonly html?: string;
  readonly context?: BrowserContextOptions;
}

/** A page with a bell on it, under the strictest policy that lets it run at all. */
export class BellPage {
  /** What went wrong in the page, which nobody would see otherwise. */
  readonly errors: string[] = [];
  readonly bell: Locator;
  readonly panel: Locator;
  readonly rows: Locator;
  readonly toasts: Locator;

  private constructor(
    readonly page: Page,
    private readonly context: BrowserContext,
  ) {
    page.on('pageerror', error => this.errors.push(error.message));
    this.bell = page.locator('belfry-bell .bell');
    this.panel = page.getByRole('dialog');
    this.rows = this.panel.getByRole('listitem');
    this.toasts = page.locator('belfry-bell .toast');
  }

  static async open({
    url,
    token,
    attributes = '',
    html = 'lang="en"',
    context = {},
  }: PageOptions): Promise<BellPage> {
    const made = await browser.newContext({
      viewport: { width: 900, height: 800 },
      locale: 'en-GB',
      ...context,
    });
    const page = await made.newPage();
    await made.route(`${url}/page`, route =>
      route.fulfill({
        contentType: 'text/html; charset=utf-8',
        headers: {
          'content-security-policy':
            "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self'",
        },
        body: `<!doctype html><html ${html}><head><title>Shop</title></head><body>
          <header><h1>Shop</h1><belfry-bell url="/" shared="false" token="${token}" ${attributes}></belfry-bell></header>
          <main><p>Wares</p><a href="/page">Home</a></main>
          <script type="module" src="/belfry-bell.js"></script></body></html>`,
      }),
    );
    await made.route(`${url}/belfry-bell.js`, async route =>
      route.fulfill({ contentType: 'text/javascript', body: await readFile(BUNDLE) }),
    );
    const bellPage = new BellPage(page, made);
    await page.goto(`${url}/page`);
    await bellPage.bell.waitFor();
    return bellPage;
  }

  async openPanel(): Promise<void> {
    await this.bell.click();
    await this.panel.waitFor();
  }

  /** A row by its title. */
  row(title: string): Locator {
    return this.rows.filter({ hasText: title });
  }

  /** The main control of a row. */
  title(title: string): Locator {
    return this.row(title).locator('.main');
  }

  /** Label or text of what has the focus, also within the bell. */
  focused(): Promise<string> {
    return this.page.evaluate<string>(`(() => {
      let at = document.activeElement;
      while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
      return at.getAttribute('aria-label') ?? at.textContent.trim();
    })()`);
  }

  /** Events of the bell, from now on. */
  async recordEvents(): Promise<() => Promise<[string, unknown][]>> {
    await this.page.evaluate(`window.seen = [];
      for (const name of ['belfry-open', 'belfry-select', 'belfry-count'])
        document.addEventListener(name, event => seen.push([name, event.detail]));`);
    return () => this.page.evaluate<[string, unknown][]>('window.seen');
  }

  async close(): Promise<void> {
    await this.context.close();
  }
}

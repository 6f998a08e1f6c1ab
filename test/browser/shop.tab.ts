import type { BrowserContext, Locator, Page } from 'playwright-core';

import type { InboxState } from '../../client/src/inbox.js';
import { until } from '../support/conditions.js';

/** A tab of the shop. */
export class ShopTab {
  readonly bell: Locator;
  readonly panel: Locator;
  readonly rows: Locator;
  /** Streams that it has asked for. */
  streams = 0;

  private constructor(readonly page: Page) {
    this.bell = page.locator('belfry-bell .bell');
    this.panel = page.getByRole('dialog');
    this.rows = this.panel.getByRole('listitem');
    page.on('request', request => {
      if (request.method() === 'GET' && new URL(request.url()).pathname === '/v1/stream') this.streams += 1;
    });
  }

  /** Resolves when the bell has its inbox and hears what is new. */
  static async open(context: BrowserContext, address: string): Promise<ShopTab> {
    const tab = new ShopTab(await context.newPage());
    await tab.page.goto(address);
    await tab.page.waitForFunction('window.heard');
    await tab.isOnline();
    return tab;
  }

  /** Its state, as the page has it. */
  state(): Promise<InboxState> {
    return this.page.evaluate<InboxState>('(({ error, ...state }) => state)(inbox.state)');
  }

  async isOnline(): Promise<void> {
    await until('the bell is online', async () => {
      const { status, online } = await this.state();
      return status === 'ready' && online;
    });
  }

  /** Titles of what was told as new, in the order in which it was. */
  heard(): Promise<string[]> {
    return this.page.evaluate<string[]>('heard');
  }

  async hears(...titles: string[]): Promise<void> {
    await until(`it hears ${titles.join(', ')}`, async () => {
      const heard = await this.heard();
      return titles.every(title => heard.includes(title));
    });
  }

  /** Titles of the list, the oldest first. */
  async titles(): Promise<string[]> {
    return (await this.state()).items.map(({ title }) => title).reverse();
  }

  /**
   * Looks out for the badge and the toast of the first notification. By a clock in the page: the many steps in which a
   * test asks a browser take longer than what is measured.
   *
   * @returns resolves to when both were there, in milliseconds since 1970
   */
  async watchFor(title: string): Promise<() => Promise<number>> {
    await this.page.evaluate(`window.shownAt = new Promise(resolve => {
      const { shadowRoot } = document.querySelector('belfry-bell');
      new MutationObserver(() => {
        const badge = shadowRoot.querySelector('.badge')?.textContent;
        const toast = shadowRoot.querySelector('.toast .title')?.textContent;
        if (badge === '1' && toast === ${JSON.stringify(title)}) resolve(Date.now());
      }).observe(shadowRoot, { childList: true, characterData: true, subtree: true });
    }); undefined`);
    return () => this.page.evaluate<number>('shownAt');
  }

  async label(): Promise<string> {
    return (await this.bell.getAttribute('aria-label')) ?? '';
  }

  async says(label: string | RegExp): Promise<void> {
    await until(`the bell says ${label}`, async () => new RegExp(label).test(await this.label()));
  }

  async openPanel(): Promise<void> {
    await this.bell.click();
    await this.panel.waitFor();
  }

  row(title: string): Locator {
    return this.rows.filter({ hasText: title });
  }
}

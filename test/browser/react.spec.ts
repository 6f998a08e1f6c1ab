import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';

import { until } from '../support/conditions.js';
import { browser } from './browser.js';
import { openReactPage } from './react.page.js';
import { WireService } from './wire.service.js';

let service: WireService;
let page: Page;
const errors: string[] = [];
beforeEach(async () => {
  service = await WireService.start();
  page = await browser.newPage();
  page.on('pageerror', error => errors.push(error.message));
  page.on('console', message => {
    if (message.type() === 'error') errors.push(message.text());
  });
  await openReactPage(page, service.url);
});
afterEach(async () => {
  await page.close();
  expect(errors.splice(0)).toEqual([]);
  await service.stop();
});

/**
 * Renders a component in strict mode, which mounts everything twice. In it are `h`, the hooks, and `token`, which
 * `setUser` changes.
 */
async function render(component: string): Promise<void> {
  const tokens = JSON.stringify({ ada: service.tokenFor('ada'), grace: service.tokenFor('grace') });
  await page.evaluate(`(async () => {
    const { useInbox, useEvents } = await import('/dist/react.js');
    const { createElement: h, StrictMode, useState } = require('react');
    const tokens = ${tokens};
    function App() {
      const [user, setUser] = useState('ada');
      globalThis.setUser = setUser;
      const token = tokens[user];
      ${component}
    }
    const root = require('react-dom/client').createRoot(document.getElementById('root'));
    globalThis.unmount = () => root.unmount();
    root.render(h(StrictMode, null, h(App)));
  })()`);
}

describe('useInbox', () => {
  it('shows the inbox, acts on it, and ends with the component', async () => {
    service.publish({ to: 'user:ada', title: 'One' });
    await render(`
      const { state, inbox } = useInbox({ url: location.origin, token: () => token, shared: false });
      return h('div', null,
        h('output', null, state.counts.unread),
        ...state.items.map(item => h('button', { key: item.id, onClick: () => inbox.setRead(item.id, true) }, item.title)));
    `);
    await page.getByRole('button', { name: 'One' }).waitFor();
    await until('one stream is open', () => service.streaming === 1);
    service.publish({ to: 'user:ada', title: 'Two' });
    await page.getByRole('button', { name: 'Two' }).click();
    await until('it is read', () => service.itemOf('ada', 'Two')?.['read'] === true);
    await until('it is counted', async () => (await page.locator('output').innerText()) === '1');
    await page.evaluate('unmount()');
    await until('the stream is closed', () => service.streaming === 0);
  });

  it('changes with the user, and waits while there is none', async () => {
    service.publish({ to: 'user:ada', title: 'For Ada' });
    service.publish({ to: 'user:grace', title: 'For Grace' });
    await render(`
      const { state } = useInbox(token ? { url: location.origin, token, shared: false } : null);
      return h('p', null, state.items.map(item => item.title).join() || state.status);
    `);
    await page.getByText('For Ada').waitFor();
    await page.evaluate(`setUser('grace')`);
    await page.getByText('For Grace').waitFor();
    await page.evaluate(`setUser('nobody')`);
    await page.getByText('loading').waitFor();
    await until('the stream is closed', () => service.streaming === 0);
  });
});

describe('useEvents', () => {
  it('hears by the handlers of the last rendering, on one connection', async () => {
    await render(`
      const [titles, setTitles] = useState([]);
      const state = useEvents({ url: location.origin, token: () => token }, {
        'notification.created': ({ data }) => setTitles([...titles, data.title]),
      });
      return h('p', null, state + ' ' + titles.join());
    `);
    await page.getByText('live').waitFor();
    await until('one stream is open', () => service.streaming === 1);
    const { requests } = service;
    service.publish({ to: 'user:ada', title: 'One' });
    await page.getByText('live One').waitFor();
    service.publish({ to: 'user:ada', title: 'Two' });
    await page.getByText('live One,Two').waitFor();
    expect(service.requests).toBe(requests);
    await page.evaluate('unmount()');
    await until('the stream is closed', () => service.streaming === 0);
  });
});

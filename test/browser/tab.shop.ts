import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { tokenFor } from '../support/instance.js';

const FOLDERS = [
  ['/dist/', new URL('../../client/dist/', import.meta.url)],
  ['/modules/', new URL('../../node_modules/', import.meta.url)],
] as const;

/** A shop on an origin of its own, which signs users in, and whose pages have the bell of a Belfry elsewhere. */
export class Shop {
  /** Where Belfry is. */
  belfry = '';
  /** How often each user was given a token. */
  readonly given = new Map<string, number>();
  /** Made for those who come next; after them, tokens are good for an hour. */
  readonly next: string[] = [];

  private constructor(private readonly server: Server) {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void this.answer(new URL(request.url ?? '/', this.origin), response);
    });
  }

  static async start(): Promise<Shop> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Shop(server);
  }

  get origin(): string {
    return `http://localhost:${(this.server.address() as AddressInfo).port}`;
  }

  /** @param heartbeat of an inbox that the page makes by the SDK, in milliseconds; without it the bell makes its own */
  pageOf(user: string, heartbeat?: number): string {
    return `${this.origin}/shop?user=${user}${heartbeat === undefined ? '' : `&heartbeat=${heartbeat}`}`;
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  private async answer({ pathname, searchParams }: URL, response: ServerResponse): Promise<void> {
    const user = searchParams.get('user') ?? '';
    const send = (type: string, body: string | Buffer) => {
      response.writeHead(200, { 'content-type': `text/${type}; charset=utf-8`, 'cache-control': 'no-store' });
      response.end(body);
    };
    const folder = FOLDERS.find(([prefix]) => pathname.startsWith(prefix));
    if (folder) send('javascript', await readFile(new URL(pathname.slice(folder[0].length), folder[1])));
    else if (pathname === '/shop') send('html', this.page(user, searchParams.get('heartbeat')));
    else if (pathname === '/token') {
      this.given.set(user, (this.given.get(user) ?? 0) + 1);
      send('plain', this.next.shift() ?? (await tokenFor({ sub: user })));
    } else send('html', `<!doctype html><title>Shop</title><h1>${pathname}</h1>`);
  }

  private page(user: string, heartbeat: string | null): string {
    const ownInbox = `
      const { Inbox } = await import('/dist/belfry.js');
      bell.inbox = new Inbox({ url: bell.getAttribute('url'), token: bell.token, heartbeat: ${heartbeat} });`;
    return `<!doctype html><html lang="en"><title>Shop</title>
      <script type="importmap">
        { "imports": { "eventsource-parser": "/modules/eventsource-parser/dist/index.js" } }
      </script>
      <script type="module">
        import '/dist/belfry-bell.js';
        const bell = document.createElement('belfry-bell');
        bell.setAttribute('url', '${this.belfry}');
        bell.token = async () => (await fetch('/token?user=${user}')).text();
        ${heartbeat === null ? '' : ownInbox}
        document.body.append(bell);
        // It makes its inbox when all of this has been said.
        await undefined;
        window.inbox = bell.inbox;
        window.heard = [];
        inbox.onNotification(item => heard.push(item.title));
      </script></html>`;
  }
}

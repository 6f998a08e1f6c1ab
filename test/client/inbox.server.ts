import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { InboxUpdate, Marks, NotificationItem, Preferences } from '../../client/src/belfry.js';

/** A line of its log. */
interface Logged {
  readonly type: string;
  readonly key?: string;
  readonly data: unknown;
}

type Stored = NotificationItem & { readonly key: string | null };

/** An inbox of one user and the stream that goes with it, as Belfry serves them, in memory. */
export class InboxServer {
  /** `METHOD path?query`, in the order of arrival. */
  readonly requests: string[] = [];
  preferences: Preferences = { muted: [], quietHours: null };
  /** Called before a request is answered; what it returns is sent instead. */
  hook: (method: string, path: string) => Promise<number | undefined> | number | undefined = () => undefined;
  /** Whether the stream says nothing of what happens, as if it were late. */
  isMute = false;
  /** What marks of the client change is not told on the stream. */
  isEchoLost = false;
  private epoch = 'e';
  private log: Logged[] = [];
  private readonly items = new Map<string, Stored>();
  private readonly streams = new Set<ServerResponse>();

  private constructor(private readonly server: Server) {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void this.answer(request, response);
    });
  }

  static async start(): Promise<InboxServer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new InboxServer(server);
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get cursor(): string {
    return `${this.epoch}.${this.log.length}`;
  }

  get openStreams(): number {
    return this.streams.size;
  }

  /** @returns its id */
  notify(title: string, more: Partial<NotificationItem> & { key?: string } = {}): string {
    const { key = null, type = 'note', topic = 'user:alice' } = more;
    const { priority = 'normal', body = null } = more;
    const content = { type, title, body, url: null, icon: null, data: null, priority };
    const id = this.append('notification.created', content, key ?? undefined);
    for (const item of this.items.values()) {
      if (key !== null && item.key === key && item.topic === topic && !item.read) this.items.delete(item.id);
    }
    const marks = { read: false, seen: false, archived: false, snoozedUntil: null };
    this.items.set(id, { id, topic, at: '2026-11-20T10:00:00.000Z', ...content, ...marks, key });
    return id;
  }

  retract(id: string): void {
    this.items.delete(id);
    this.append('notification.retracted', { id });
  }

  /** What another device of the user does. */
  mark(id: string, marks: Marks): void {
    this.items.set(id, { ...this.items.get(id)!, ...marks });
    const asOf = `${this.epoch}.${this.log.length + 1}`;
    this.append('inbox.updated', {
      reason: 'marked',
      ids: [id],
      ...marks,
      counts: { ...this.counts(), asOf },
    });
  }

  tell(update: InboxUpdate): void {
    this.append('inbox.updated', update);
  }

  /** A snooze is over, and the server says so. */
  wake(id: string): void {
    this.items.set(id, { ...this.items.get(id)!, snoozedUntil: null });
    this.tell({ reason: 'snooze-over', ids: [id] });
  }

  /** As after retention or a failover: old cursors are no good any more. */
  fork(): void {
    this.epoch += 'x';
    this.cut();
  }

  cut(): void {
    for (const response of this.streams) response.destroy();
  }

  /** The stream says what it held back. */
  unmute(): void {
    this.isMute = false;
    this.cut();
  }

  private append(type: string, data: unknown, key?: string): string {
    this.log.push({ type, data, ...(key === undefined ? {} : { key }) });
    if (!this.isMute) for (const response of this.streams) response.write(this.frame(this.log.length));
    return this.cursor;
  }

  private frame(seq: number): string {
    const { type, data, key } = this.log[seq - 1]!;
    const body = { topic: 'user:alice', type, at: '2026-11-20T10:00:00.000Z', data, key };
    return `id: ${this.epoch}.${seq}\nevent: ${type}\ndata: ${JSON.stringify(body)}\n\n`;
  }

  private counts() {
    const there = [...this.items.values()].filter(item => !item.archived && item.snoozedUntil === null);
    const count = (marked: 'read' | 'seen') => Math.min(100, there.filter(item => !item[marked]).length);
    return { unread: count('read'), unseen: count('seen'), asOf: this.cursor };
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request;
    this.requests.push(`${method} ${url}`);
    const { pathname, searchParams } = new URL(url, 'http://server');
    const sent = await text(request);
    const body = (sent === '' ? {} : JSON.parse(sent)) as Marks & { upTo?: string };
    const status = await this.hook(method, pathname);
    if (status !== undefined) {
      json(response, status, { code: `code-${status}`, title: 'No.' });
    } else if (pathname === '/v1/stream') {
      this.stream(response, searchParams.get('lastEventId'));
    } else if (pathname === '/v1/inbox') {
      this.list(response, searchParams);
    } else if (pathname === '/v1/inbox/preferences') {
      if (method === 'PUT') this.preferences = body as unknown as Preferences;
      json(response, 200, this.preferences);
    } else if (pathname === '/v1/inbox/mark') {
      this.markAll(response, body);
    } else {
      const id = decodeURIComponent(pathname.split('/')[3]!);
      if (!this.items.has(id)) json(response, 404, { code: 'notification-unknown' });
      else {
        if (this.isEchoLost) this.items.set(id, { ...this.items.get(id)!, ...body });
        else this.mark(id, body);
        json(response, 200, { ...this.items.get(id), counts: this.counts() });
      }
    }
  }

  private markAll(
    response: ServerResponse,
    { upTo = this.cursor, ...marks }: Marks & { upTo?: string },
  ): void {
    for (const item of this.items.values()) {
      if (seqOf(item.id) <= seqOf(upTo)) this.items.set(item.id, { ...item, ...marks });
    }
    const asOf = `${this.epoch}.${this.log.length + 1}`;
    this.append('inbox.updated', { reason: 'marked', upTo, ...marks, counts: { ...this.counts(), asOf } });
    json(response, 200, { counts: this.counts() });
  }

  private list(response: ServerResponse, query: URLSearchParams): void {
    const status = query.get('status');
    const before = query.get('before');
    const limit = Number(query.get('limit'));
    const all = [...this.items.values()].filter(item => {
      if (status === 'archived') return item.archived;
      if (status === 'snoozed') return !item.archived && item.snoozedUntil !== null;
      return !item.archived && item.snoozedUntil === null && (status !== 'unread' || !item.read);
    });
    const found = all
      .sort((a, b) => seqOf(b.id) - seqOf(a.id))
      .filter(({ id }) => before === null || seqOf(id) < seqOf(before));
    json(response, 200, {
      items: found.slice(0, limit),
      counts: this.counts(),
      cursor: this.cursor,
      more: found.length > limit,
    });
  }

  private stream(response: ServerResponse, cursor: string | null): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('retry: 1\n\n');
    const ids = `id: ${this.cursor}`;
    if (cursor?.split('.')[0] !== this.epoch) {
      const places = JSON.stringify({ reason: 'forked', oldest: this.cursor, head: this.cursor });
      response.write(`${ids}\nevent: reset\ndata: ${places}\n\n`);
    } else {
      for (let seq = seqOf(cursor) + 1; seq <= this.log.length; seq++) response.write(this.frame(seq));
    }
    response.write(`${ids}\nevent: ready\ndata: {"topics":["user:alice"],"replayed":0}\n\n`);
    this.streams.add(response);
    response.on('close', () => this.streams.delete(response));
  }
}

function seqOf(cursor: string): number {
  return Number(cursor.split('.')[1]);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

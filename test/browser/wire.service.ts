import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

import { cursorOf, type Logged, seqOf, WireLog } from './wire.log.js';

/** What a test gives to the inboxes of a topic. */
export interface Notification {
  readonly to: string;
  readonly title: string;
  readonly type?: string;
  readonly body?: string;
  readonly url?: string;
  readonly icon?: string;
  readonly priority?: string;
}

interface Caller {
  readonly user: string;
  readonly topics: readonly string[];
}

/** A service on a socket that has an inbox and a stream and nothing else, as PROTOCOL.md describes both. */
export class WireService {
  readonly log = new WireLog();
  /** Requests that are not answered but with this status. */
  failWith: number | undefined;
  /** How many requests came. */
  requests = 0;
  private readonly server: Server;
  private readonly streams = new Set<ServerResponse>();

  private constructor() {
    this.server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => {
        response.destroy(error as Error);
      });
    });
  }

  static async start(): Promise<WireService> {
    const service = new WireService();
    service.server.listen(0, '127.0.0.1');
    await once(service.server, 'listening');
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** A token of somebody with these roles; unsigned, and read all the same. */
  tokenFor(sub: string, roles: readonly string[] = []): string {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'none' })}.${part({ sub, roles, exp: Math.floor(Date.now() / 1000) + 3600 })}.x`;
  }

  publish({ to, ...notification }: Notification, at?: Date): string {
    const none = { type: 'test', body: null, url: null, icon: null, data: null, priority: 'normal' };
    const event = this.log.append(to, 'notification.created', { ...none, ...notification }, at);
    return cursorOf(event.seq);
  }

  /** How many streams are open. */
  get streaming(): number {
    return this.streams.size;
  }

  countsOf(user: string): { unread: number; unseen: number } {
    return this.log.countsOf(user, this.topicsOf(user)) as { unread: number; unseen: number };
  }

  /** A notification as its user has it, by its title. */
  itemOf(user: string, title: string): Record<string, unknown> | undefined {
    return this.log.inboxOf(user, this.topicsOf(user)).find(item => item['title'] === title);
  }

  /** As the user would on another device. */
  markRead(user: string, title: string): void {
    const id = String(this.itemOf(user, title)?.['id']);
    this.patch({ user, topics: this.topicsOf(user) }, id, { read: true });
  }

  /** Ends all streams, as a proxy does that restarts. */
  dropStreams(): void {
    for (const stream of this.streams) stream.destroy();
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    if (this.server.listening) await once(this.server, 'close');
  }

  private topicsOf(user: string): string[] {
    return [
      `user:${user}`,
      'all',
      ...this.log.events.map(({ topic }) => topic).filter(t => t.startsWith('role:')),
    ];
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests += 1;
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url);
    const route = `${request.method ?? ''} ${pathname}`;
    const body = request.method === 'GET' ? {} : ((await json(request)) as Record<string, unknown>);
    if (route === 'POST /demo/token') {
      send(response, 200, {
        token: this.tokenFor(String(body['sub']), body['roles'] as string[] | undefined),
      });
      return;
    }
    if (this.failWith !== undefined) {
      send(response, this.failWith, { code: 'test', detail: 'The test wants this to fail.' });
      return;
    }
    if (route === 'POST /v1/notifications') {
      const id = this.publish(body as unknown as Notification);
      send(response, 201, { ids: [id], notifications: [{ id, topic: body['to'], duplicate: false }] });
      return;
    }
    const caller = callerOf(request);
    if (caller === undefined) send(response, 401, { code: 'token-invalid', detail: 'Send a token.' });
    else if (route === 'GET /v1/stream') this.stream(caller, searchParams, response);
    else if (route === 'GET /v1/inbox') send(response, 200, this.list(caller, searchParams));
    else if (route === 'GET /v1/inbox/counts') send(response, 200, this.counts(caller));
    else if (route === 'GET /v1/inbox/preferences') send(response, 200, { muted: [], quietHours: null });
    else if (route === 'POST /v1/inbox/mark') send(response, 200, this.mark(caller, body));
    else if (request.method === 'PATCH') send(response, 200, this.patch(caller, pathname, body));
    else send(response, 404, { code: 'not-found', detail: 'There is no such route here.' });
  }

  private list({ user, topics }: Caller, query: URLSearchParams): object {
    const status = query.get('status');
    const before = seqOf(query.get('before') ?? cursorOf(Infinity));
    const limit = Number(query.get('limit') ?? 50);
    const found = this.log.inboxOf(user, topics).filter(item => {
      if (item.seq >= before) return false;
      if (status === 'all') return true;
      if (status === 'archived') return item.archived;
      if (status === 'snoozed') return item.snoozedUntil !== null;
      if (item.archived || item.snoozedUntil !== null) return false;
      if (status === 'unread') return !item.read;
      if (status === 'unseen') return !item.seen;
      return status === 'read' ? item.read : true;
    });
    return {
      items: found.slice(0, limit),
      counts: this.counts({ user, topics }),
      cursor: this.log.head,
      more: found.length > limit,
    };
  }

  private counts({ user, topics }: Caller): Record<string, unknown> {
    return this.log.countsOf(user, topics);
  }

  private patch(caller: Caller, path: string, marks: Record<string, unknown>): object {
    const id = decodeURIComponent(path.split('/').at(-1) ?? '');
    Object.assign(this.log.marksOf(caller.user, seqOf(id)), marks);
    const counts = this.counts(caller);
    this.tell(caller, { reason: 'marked', ids: [id], ...marks, counts });
    const item = this.log.inboxOf(caller.user, caller.topics).find(known => known['id'] === id);
    return { ...item, counts };
  }

  private mark(caller: Caller, { upTo, ...marks }: Record<string, unknown>): object {
    const last = upTo === undefined ? Infinity : seqOf(upTo as string);
    for (const { seq } of this.log.inboxOf(caller.user, caller.topics)) {
      if (seq <= last) Object.assign(this.log.marksOf(caller.user, seq), marks);
    }
    const counts = this.counts(caller);
    this.tell(caller, { reason: 'marked', upTo: upTo ?? this.log.head, ...marks, counts });
    return { counts };
  }

  private tell({ user }: Caller, data: Record<string, unknown>): void {
    this.log.append(`user:${user}`, 'inbox.updated', data);
  }

  private stream({ topics }: Caller, query: URLSearchParams, response: ServerResponse): void {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
    });
    const types = query.getAll('type');
    const write = (event: Logged): boolean => {
      if (!topics.includes(event.topic) || (types.length > 0 && !types.includes(event.type))) return false;
      const { topic, type, at, data } = event;
      response.write(
        `id: ${cursorOf(event.seq)}\nevent: ${type}\ndata: ${JSON.stringify({ topic, type, at, data })}\n\n`,
      );
      return true;
    };
    response.write('retry: 50\n');
    const from = query.get('lastEventId');
    const missed = from === null ? [] : this.log.events.slice(seqOf(from)).filter(write);
    const ready = JSON.stringify({ topics, replayed: missed.length });
    response.write(`event: ready\nid: ${this.log.head}\ndata: ${ready}\n\n`);
    const forget = this.log.onEvent(write);
    this.streams.add(response);
    response.on('close', () => {
      forget();
      this.streams.delete(response);
    });
  }
}

function callerOf({ headers }: IncomingMessage): Caller | undefined {
  const payload = /^Bearer [^.]+\.([^.]+)\./.exec(headers.authorization ?? '')?.[1];
  if (payload === undefined) return undefined;
  const { sub, roles = [] } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
    sub: string;
    roles?: string[];
  };
  return { user: sub, topics: [`user:${sub}`, 'all', ...roles.map(role => `role:${role}`)] };
}

function send(response: ServerResponse, status: number, body: object): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}

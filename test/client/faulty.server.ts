import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

/** What a client asked for. */
export interface Asked {
  readonly method: string;
  /** The cursor it came with. */
  readonly cursor: string | undefined;
  readonly token: string | undefined;
  readonly ticket: string | undefined;
  readonly query: URLSearchParams;
  readonly body: string;
  /** When, by the monotonic clock, in milliseconds. */
  readonly at: number;
  /** How many came before it to the same path. */
  readonly before: number;
}

/** What happens on one path. */
export type Fault = (asked: Asked, response: ServerResponse, server: FaultyServer) => unknown;

/** A stream server whose log has `size` events, one path for each way in which servers misbehave. */
export class FaultyServer {
  /** By path. */
  readonly asked = new Map<string, Asked[]>();
  /** Streams that are open, whatever their path. */
  readonly open = new Set<ServerResponse>();
  private readonly port: number;

  private constructor(
    private readonly server: Server,
    private readonly faults: Record<string, Fault>,
    /** Seq of the newest event. */
    public size: number,
  ) {
    this.port = (server.address() as AddressInfo).port;
    server.on(
      'request',
      (request: IncomingMessage, response: ServerResponse) => void this.answer(request, response),
    );
  }

  static async start(faults: Record<string, Fault>, size = 5): Promise<FaultyServer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultyServer(server, faults, size);
  }

  async stop(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.port}/${path}`;
  }

  at(path: string): Asked[] {
    return this.asked.get(path) ?? [];
  }

  /** As Belfry does it: what comes after the cursor, `ready`, and then the stream stays open. */
  replay({ cursor }: Asked, response: ServerResponse): void {
    stream(response, 'retry: 1\n\n');
    const from = cursor === undefined ? this.size : Number(cursor.split('.')[1] ?? 0);
    for (let seq = from + 1; seq <= this.size; seq++) response.write(frame(seq));
    response.write(ready(this.size));
  }

  /** One more event, to all that are open. */
  publish(type = 'note'): string {
    this.size += 1;
    for (const response of this.open) response.write(frame(this.size, type));
    return `e.${this.size}`;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://server');
    const path = url.pathname.split('/')[1] ?? '';
    const all = this.asked.get(path) ?? [];
    this.asked.set(path, all);
    const body = await text(request);
    const asked: Asked = {
      method: request.method ?? '',
      cursor:
        (request.headers['last-event-id'] as string | undefined) ??
        url.searchParams.get('lastEventId') ??
        undefined,
      token: request.headers.authorization?.replace('Bearer ', ''),
      ticket: url.searchParams.get('ticket') ?? undefined,
      query: url.searchParams,
      body,
      at: performance.now(),
      before: all.length,
    };
    all.push(asked);
    this.open.add(response);
    response.on('close', () => this.open.delete(response));
    if (url.searchParams.get('named') === 'false') leaveOutNames(response);
    const fault = this.faults[path];
    if (fault) await fault(asked, response, this);
    else this.replay(asked, response);
  }
}

/** As Belfry does it: events that were published have no `event:` line. */
function leaveOutNames(response: ServerResponse): void {
  const write = response.write.bind(response) as (chunk: string) => boolean;
  response.write = (chunk: string) => write(chunk.replace(/^event: (?!ready|reset|end|heartbeat).*\n/gm, ''));
}

export function stream(response: ServerResponse, first = ''): ServerResponse {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  response.write(first);
  return response;
}

/** Its data has characters of one to four bytes. */
export function frame(seq: number, type = 'note', more: object = {}): string {
  const body = {
    topic: 'user:alice',
    type,
    at: '2026-11-20T10:00:00.000Z',
    data: { seq, text: 'aé€😀' },
    ...more,
  };
  return `id: e.${seq}\nevent: ${type}\ndata: ${JSON.stringify(body)}\n\n`;
}

export function ready(seq: number): string {
  return `id: e.${seq}\nevent: ready\ndata: {"topics":["user:alice"],"replayed":0}\n\n`;
}

export function reset(seq: number): string {
  return `id: e.${seq}\nevent: reset\ndata: {"reason":"unknown","oldest":"e.1","head":"e.${seq}"}\n\n`;
}

export function end(reason: string, retryMs = 1): string {
  return `retry: ${retryMs}\n\nevent: end\ndata: {"reason":"${reason}"}\n\n`;
}

export function refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers });
  response.end(JSON.stringify({ status, code: `code-${status}`, title: 'No.' }));
}

/** Writes it byte by byte, each in a packet of its own. */
export async function trickle(response: ServerResponse, text: string): Promise<void> {
  for (const byte of Buffer.from(text)) {
    response.write(Buffer.of(byte));
    await delay(0);
  }
}

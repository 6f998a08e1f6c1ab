import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { until } from './conditions.js';

/** What a client hears, as somebody else's parser reads it. */
export interface Heard {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

const CONTROL = new Set(['ready', 'reset', 'end', 'heartbeat']);

/** One connection to a stream, on a socket of its own, which remembers everything it was sent. */
export class SseClient {
  /** Dispatched events, control events included, in order. */
  readonly heard: Heard[] = [];
  /** When each of them came, by the monotonic clock, in milliseconds. */
  readonly heardAt: number[] = [];
  /** The bytes of the body as they came. */
  raw = '';
  /** Values of `retry:`, in order. */
  readonly retries: number[] = [];
  closed = false;

  private constructor(
    private readonly request: ClientRequest,
    private readonly response: IncomingMessage,
  ) {
    const parser = createParser({
      onEvent: (message: EventSourceMessage) => {
        this.heard.push({ id: message.id, event: message.event, data: message.data });
        this.heardAt.push(performance.now());
      },
      onRetry: ms => this.retries.push(ms),
    });
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      this.raw += text;
      parser.feed(text);
    });
    response.on('close', () => (this.closed = true));
    response.on('error', () => (this.closed = true));
  }

  /** Resolves when the headers are there, whatever the status. */
  static open(
    url: string,
    headers: Record<string, string>,
    { method = 'GET', body = '' } = {},
  ): Promise<SseClient> {
    return new Promise((resolve, reject) => {
      const req = request(url, { method, headers, agent: false }, response => {
        resolve(new SseClient(req, response));
      });
      req.on('error', reject);
      req.end(body);
    });
  }

  get status(): number {
    return this.response.statusCode ?? 0;
  }

  get headers(): IncomingHttpHeaders {
    return this.response.headers;
  }

  /** Published events, without the control events. */
  get events(): Heard[] {
    return this.heard.filter(({ event }) => !CONTROL.has(event ?? ''));
  }

  /** The data that was published, of each event. */
  get payloads(): unknown[] {
    return this.events.map(({ data }) => (JSON.parse(data) as { data: unknown }).data);
  }

  /** Control events of a name. */
  controls(name: string): Heard[] {
    return this.heard.filter(({ event }) => event === name);
  }

  /** What an EventSource would send as Last-Event-ID: the newest `id:` of a finished block, dispatched or not. */
  get lastEventId(): string | undefined {
    const finished = this.raw.slice(0, this.raw.lastIndexOf('\n\n') + 1);
    return [...finished.matchAll(/^id: (.*)$/gm)].at(-1)?.[1];
  }

  /** The frames of published events, byte for byte; finished ones only. */
  get frames(): string[] {
    return this.raw
      .split('\n\n')
      .slice(0, -1)
      .filter(block => /^data: \{"topic"/m.test(block));
  }

  async hears(count: number): Promise<void> {
    await until(
      `${count} events on the stream, which has ${this.events.length}`,
      () => this.events.length >= count,
    );
  }

  async isReady(): Promise<this> {
    await until('the event "ready"', () => this.controls('ready').length > 0);
    return this;
  }

  async isClosed(): Promise<void> {
    await until('the end of the stream', () => this.closed);
  }

  /** Stops reading, so that the server's buffers fill up. */
  pause(): void {
    this.response.pause();
  }

  resume(): void {
    this.response.resume();
  }

  /** Cuts the connection, without a goodbye. */
  cut(): void {
    this.request.destroy();
  }
}

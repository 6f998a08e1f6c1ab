import type { NestExpressApplication } from '@nestjs/platform-express';
import { SignJWT } from 'jose';
import type { AddressInfo } from 'node:net';
import { createApp } from '../../src/app.js';
import { type Config, loadConfig } from '../../src/config/config.js';
import { shutDown } from '../../src/operations/shutdown.js';
import { Tail } from '../../src/tail/tail.js';
import { SseClient } from './sse.client.js';

export const SECRET = 'a key for the tests: k3Zp9-vQ7w_Lm2x';

export interface Claims {
  readonly sub?: string;
  readonly tenant?: string;
  readonly roles?: string[];
  readonly topics?: string[];
  readonly scope?: string;
  /** Seconds since 1970. */
  readonly exp?: number;
  /** The same. */
  readonly iat?: number;
}

/** A token; by default of user alice, in the default tenant, for an hour. */
export async function tokenFor({ sub = 'alice', exp, ...claims }: Claims = {}): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(sub)
    .setExpirationTime(exp ?? Math.floor(Date.now() / 1000) + 3600)
    .sign(new TextEncoder().encode(SECRET));
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body, when it is JSON. */
  readonly json: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- tests look into it freely
}

/** One Belfry, in this process, on a real socket. */
export class Instance {
  private stopped = false;

  private constructor(
    readonly app: NestExpressApplication,
    private readonly config: Config,
    readonly url: string,
    /** Its log, a parsed line each. */
    readonly logs: Record<string, unknown>[],
  ) {}

  /**
   * @param env what differs from the defaults
   * @param listenAt a port; 0 for one that is free
   */
  static async start(databaseUrl: string, env: NodeJS.ProcessEnv = {}, listenAt = 0): Promise<Instance> {
    const config = loadConfig({ DATABASE_URL: databaseUrl, JWT_SECRET: SECRET, DRAIN_MS: '500', ...env });
    const logs: Record<string, unknown>[] = [];
    const app = await createApp(config, {
      write: line => {
        logs.push(JSON.parse(line) as Record<string, unknown>);
      },
    });
    await app.listen(listenAt, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    return new Instance(app, config, `http://127.0.0.1:${port}`, logs);
  }

  get tail(): Tail {
    return this.app.get(Tail);
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    await shutDown(this.app, this.config);
  }

  /** Any request; an object or array as body is sent as JSON. */
  async request(
    method: string,
    path: string,
    { token, headers = {}, body }: { token?: string; headers?: Record<string, string>; body?: unknown } = {},
  ): Promise<Answer> {
    const isText = typeof body === 'string' || body instanceof Uint8Array || body instanceof ReadableStream;
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined || isText ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: isText ? (body as string) : JSON.stringify(body), duplex: 'half' }),
    });
    const text = await response.text();
    const isJson = text !== '' && /json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson ? (JSON.parse(text) as unknown) : undefined,
    };
  }

  /** Publishes with a token that may. @returns the ids */
  async publish(events: object | object[], headers: Record<string, string> = {}): Promise<string[]> {
    const answer = await this.request('POST', '/v1/events', {
      token: await publisher(),
      headers,
      body: events,
    });
    if (answer.status !== 201) throw new Error(`publish answered ${answer.status}: ${answer.text}`);
    return (answer.json as { events: { id: string }[] }).events.map(event => event.id);
  }

  /** Opens a stream and resolves when its headers are there. */
  async stream(
    query: string,
    { token, headers = {} }: { token?: string; headers?: Record<string, string> } = {},
  ): Promise<SseClient> {
    return SseClient.open(`${this.url}/v1/stream${query}`, {
      authorization: `Bearer ${token ?? (await admin())}`,
      ...headers,
    });
  }
}

/** May publish, and read every topic of the default tenant. */
export function admin(tenant = 'default'): Promise<string> {
  return tokenFor({ sub: 'admin', tenant, scope: 'publish admin' });
}

function publisher(): Promise<string> {
  return tokenFor({ sub: 'backend', scope: 'publish' });
}

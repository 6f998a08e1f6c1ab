import { randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import { Child } from './child.js';
import type { PublishSpec, StreamSpec } from './generator/protocol.js';
import type { Database } from './postgres.js';

const SECRET = randomBytes(48).toString('base64');

export interface Claims {
  readonly sub?: string;
  readonly scope?: string;
  readonly topics?: readonly string[];
}

export interface NewEvent {
  readonly topic: string;
  readonly type?: string;
  /** JSON text. */
  readonly data: string;
}

/** The built service as a process of its own, with the settings that users get. */
export class Belfry {
  private constructor(
    readonly child: Child,
    readonly port: number,
    readonly database: Database,
  ) {}

  /**
   * @param script that of the build
   * @param folder for its log
   * @param env what differs from the defaults
   */
  static async start(
    script: string,
    database: Database,
    folder: string,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Belfry> {
    const child = await Child.startNode(script, [], {
      name: 'belfry',
      folder,
      env: { DATABASE_URL: database.url, JWT_SECRET: SECRET, HOST: '127.0.0.1', PORT: '0', ...env },
    });
    const [, port] = await child.prints(/listening at http:\/\/[^"\s]+:(\d+)/);
    return new Belfry(child, Number(port), database);
  }

  /** A token, by default one that may publish and read everything. */
  token({ sub = 'bench', scope = 'publish admin', topics = [] }: Claims = {}): Promise<string> {
    return new SignJWT({ scope, topics: [...topics] })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(sub)
      .setExpirationTime('2h')
      .sign(new TextEncoder().encode(SECRET));
  }

  /** A stream of one topic. */
  async stream(
    topic: string,
    { token, cursor }: { token?: string; cursor?: string } = {},
  ): Promise<StreamSpec> {
    return {
      port: this.port,
      path: `/v1/stream?topic=${encodeURIComponent(topic)}`,
      headers: {
        Authorization: `Bearer ${token ?? (await this.token())}`,
        ...(cursor === undefined ? {} : { 'Last-Event-ID': cursor }),
      },
      // The end of the line `event: ready`.
      ready: ': ready\n',
    };
  }

  /** Each event in a request of its own, and a burst as one array. */
  async publishing(topic: string): Promise<PublishSpec> {
    const headers = { Authorization: `Bearer ${await this.token()}`, 'Content-Type': 'application/json' };
    const event = { before: `{"topic":"${topic}","type":"tick","data":`, after: '}' };
    const single = { path: '/v1/events', headers, ...event };
    return { port: this.port, single, burst: { ...single, open: '[', separator: ',', close: ']' } };
  }

  /** Publishes in one request. @returns the ids */
  async publish(events: readonly NewEvent[]): Promise<string[]> {
    const bodies = events.map(
      ({ topic, type = 'tick', data }) => `{"topic":"${topic}","type":"${type}","data":${data}}`,
    );
    const answer = await fetch(`http://127.0.0.1:${this.port}/v1/events`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${await this.token()}`, 'Content-Type': 'application/json' },
      body: `[${bodies.join(',')}]`,
    });
    if (answer.status !== 201)
      throw new Error(`publishing was answered ${answer.status}: ${await answer.text()}`);
    const { events: stored } = (await answer.json()) as { events: { id: string }[] };
    return stored.map(({ id }) => id);
  }
}

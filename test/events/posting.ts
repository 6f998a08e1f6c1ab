import { Agent, type ClientRequest, request } from 'node:http';
import type { TestDatabase } from '../support/databases.js';
import { admin, type Answer, type Instance } from '../support/instance.js';

/** An event to publish. */
export function event(topic: string, data: unknown = 1, more: object = {}): object {
  return { topic, type: 'a', data, ...more };
}

/** Posts a body as it is, by default as JSON and with a token that may publish. */
export async function post(
  belfry: Instance,
  body: unknown,
  { headers = {}, token }: { headers?: Record<string, string>; token?: string } = {},
): Promise<Answer> {
  return belfry.request('POST', '/v1/events', {
    token: token ?? (await admin()),
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
}

/** Posts lines as NDJSON. */
export async function postLines(
  belfry: Instance,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
  token?: string,
): Promise<Answer> {
  return post(belfry, body, {
    headers: { 'content-type': 'application/x-ndjson', ...headers },
    ...(token === undefined ? {} : { token }),
  });
}

/** The newest seq of the log and how many keys it remembers: equal before and after what must leave no trace. */
export async function traceOf(database: TestDatabase): Promise<unknown> {
  const [row] = await database.rows(
    `select belfry.log_head() as head, (select count(*) from belfry.events) as events,
       (select count(*) from belfry.dedupe) as keys`,
  );
  return row;
}

/** Data of the events of a topic as the database has it, in the order of the log. */
export async function dataOf(database: TestDatabase, topic: string, tenant = 'default'): Promise<string[]> {
  const rows = await database.rows<{ data: string }>(
    'select data from belfry.events where tenant = $1 and topic = $2 order by seq',
    [tenant, topic],
  );
  return rows.map(row => row.data);
}

/** An NDJSON upload whose bytes go out as the test says. */
export class Upload {
  private readonly agent = new Agent({ keepAlive: true });
  private readonly request: ClientRequest;
  private readonly answered: Promise<{ status: number; text: string }>;

  private constructor(url: string, headers: Record<string, string>) {
    this.request = request(`${url}/v1/events`, { method: 'POST', headers, agent: this.agent });
    this.request.setNoDelay(true);
    this.answered = new Promise((resolve, reject) => {
      this.request.on('error', reject);
      this.request.on('response', response => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => (text += part));
        response.on('error', reject);
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, text });
        });
      });
    });
    // Whoever waits for the answer hears of it; a test that cuts the upload does not wait for one.
    this.answered.catch(() => undefined);
    this.request.flushHeaders();
  }

  static async start(belfry: Instance, headers: Record<string, string> = {}): Promise<Upload> {
    return new Upload(belfry.url, {
      authorization: `Bearer ${await admin()}`,
      'content-type': 'application/x-ndjson',
      ...headers,
    });
  }

  /** True when the last byte has left this process. */
  get isSent(): boolean {
    return this.request.writableFinished;
  }

  /** Resolves when the bytes have left this process. */
  write(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.request.write(bytes, error => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  end(): void {
    this.request.end();
  }

  cut(): void {
    this.request.destroy();
    this.agent.destroy();
  }

  async answer(): Promise<{ status: number; json: Record<string, unknown> }> {
    const { status, text } = await this.answered;
    return { status, json: JSON.parse(text) as Record<string, unknown> };
  }
}

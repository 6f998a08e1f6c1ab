import { TestProcess } from '../database/processes.js';
import { SECRET } from '../support/instance.js';
import type { Tried } from './keyed.publisher.js';

/** The built service as a process of its own. */
export class Service {
  private constructor(
    readonly process: TestProcess,
    readonly url: string,
  ) {}

  /** @param born told of the process before it is known to serve */
  static async start(databaseUrl: string, born: (process: TestProcess) => void): Promise<Service> {
    const process = new TestProcess(['dist/main.js'], {
      ...globalThis.process.env,
      DATABASE_URL: databaseUrl,
      JWT_SECRET: SECRET,
      HOST: '127.0.0.1',
      PORT: '0',
    });
    born(process);
    await process.prints('listening at ');
    return new Service(process, /listening at (http:\/\/[^"\s]+)/.exec(process.output)![1]!);
  }

  /** One try to publish under a key. Rejects when the connection was lost. */
  async publish(
    token: string,
    { key, body }: { readonly key: string; readonly body: object[] },
  ): Promise<Tried> {
    const response = await fetch(`${this.url}/v1/events`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': key,
      },
      body: JSON.stringify(body),
    });
    return { status: response.status, json: await response.json() };
  }
}

import pg from 'pg';
import { payload } from './payload.js';
import type { SqlPublishSpec } from './protocol.js';

const PUBLISH = { name: 'publish', text: `select belfry.publish($1, 'tick', $2)` };

/** Publishes by SQL over one session, one transaction at a time. */
export class SqlPublisher {
  private constructor(
    private readonly topic: string,
    private readonly client: pg.Client,
  ) {}

  static async open({ url, topic }: SqlPublishSpec): Promise<SqlPublisher> {
    const client = new pg.Client({ connectionString: url });
    // A session that breaks is heard of by the next statement.
    client.on('error', () => undefined);
    await client.connect();
    return new SqlPublisher(topic, client);
  }

  /** Publishes these counters, in order, each in a transaction of its own. Resolves when all of them are committed. */
  async publish(first: number, count: number): Promise<void> {
    for (let counter = first; counter < first + count; counter++) {
      await this.client.query({ ...PUBLISH, values: [this.topic, payload(counter)] });
    }
  }

  close(): void {
    void this.client.end();
  }
}

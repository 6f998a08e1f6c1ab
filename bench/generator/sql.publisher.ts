import pg from 'pg';
import { payload } from './payload.js';
import type { SqlPublishSpec } from './protocol.js';

const PUBLISH = { name: 'publish', text: `select belfry.publish($1, 'tick', $2)` };

/** Publishes by SQL over one session, one event in each transaction. */
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

  /** Begins a transaction and publishes in it. */
  async begin(counter: number): Promise<void> {
    await this.client.query('begin');
    await this.client.query({ ...PUBLISH, values: [this.topic, payload(counter)] });
  }

  async commit(): Promise<void> {
    await this.client.query('commit');
  }

  close(): void {
    void this.client.end();
  }
}

import { randomBytes } from 'node:crypto';
import pg from 'pg';

import type { TestDatabase } from '../support/databases.js';

const PASSWORD = 'only for the tests';

/** Login roles of one test file, which are superusers of nothing. */
export class TestRoles {
  private readonly names: string[] = [];

  constructor(private readonly database: TestDatabase) {}

  /** @returns its name, which needs quotes in SQL and escapes in a URL */
  async create(kind: string): Promise<string> {
    const name = `${kind} "${randomBytes(4).toString('hex')}"`;
    await this.database.rows(
      `create role ${pg.escapeIdentifier(name)} login password ${pg.escapeLiteral(PASSWORD)}`,
    );
    this.names.push(name);
    return name;
  }

  /** The database, as this role. */
  urlOf(name: string, database = this.database): string {
    const url = new URL(database.url);
    url.username = encodeURIComponent(name);
    url.password = encodeURIComponent(PASSWORD);
    return url.href;
  }

  /** A session of this role. */
  async connect(name: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.urlOf(name), application_name: 'test-role' });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** With all that is theirs in this database. */
  async drop(): Promise<void> {
    for (const name of this.names.map(given => pg.escapeIdentifier(given))) {
      await this.database.rows(`drop owned by ${name} cascade`);
      await this.database.rows(`drop role ${name}`);
    }
  }
}

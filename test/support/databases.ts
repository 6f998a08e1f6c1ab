import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../../src/database/migrations.js';

/** A database of one test file's own, in the Postgres that all tests share. */
export class TestDatabase {
  private constructor(
    readonly name: string,
    readonly url: string,
    /** Sessions of the test itself, as superuser. */
    readonly pool: pg.Pool,
  ) {}

  static async create(): Promise<TestDatabase> {
    const name = `test_${randomBytes(6).toString('hex')}`;
    await asAdmin(`create database ${name}`);
    const url = urlOf(name);
    await migrate(url);
    const pool = new pg.Pool({ connectionString: url, max: 4, application_name: 'test' });
    pool.on('error', () => undefined);
    return new TestDatabase(name, url, pool);
  }

  /** Rows of a query of the test's own. */
  async rows<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row>(text, values)).rows;
  }

  async drop(): Promise<void> {
    await this.pool.end();
    await asAdmin(`drop database ${this.name} with (force)`);
  }
}

function adminUrl(): string {
  const url = process.env['BELFRY_TEST_DATABASE_URL'];
  if (!url) throw new Error('the global setup sets BELFRY_TEST_DATABASE_URL');
  return url;
}

function urlOf(database: string): string {
  const url = new URL(adminUrl());
  url.pathname = `/${database}`;
  return url.href;
}

async function asAdmin(statement: string): Promise<void> {
  const client = new pg.Client(adminUrl());
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

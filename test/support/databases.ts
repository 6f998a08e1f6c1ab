import { randomBytes } from 'node:crypto';
import pg from 'pg';

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
    await asAdmin(`create database ${name} template ${setUp('BELFRY_TEST_TEMPLATE')}`);
    const url = urlOf(name);
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

function setUp(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`the global setup sets ${variable}`);
  return value;
}

function urlOf(database: string): string {
  const url = new URL(setUp('BELFRY_TEST_DATABASE_URL'));
  url.pathname = `/${database}`;
  return url.href;
}

async function asAdmin(statement: string): Promise<void> {
  const client = new pg.Client(setUp('BELFRY_TEST_DATABASE_URL'));
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

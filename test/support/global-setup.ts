import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import pg from 'pg';

import type * as Embedded from '../../src/database/embedded-postgres.js';
import type * as Migrations from '../../src/database/migrations.js';

/** What the teardown has to take away; undefined when the tests use a Postgres that was there before. */
export interface TestPostgres {
  readonly postgres: Embedded.EmbeddedPostgres;
  readonly dataDir: string;
}

declare global {
  // `let` would not make it a property of globalThis, which setup and teardown share.
  var belfryTestPostgres: TestPostgres | undefined;
}

/**
 * Builds `dist`, since some tests run the service as a process of its own, and gives all tests one Postgres:
 * that of BELFRY_TEST_DATABASE_URL (a superuser's URL) when it is set, else an embedded one with the settings that
 * users get. In it is a database with a fresh schema, of which the tests make copies. Jest loads this file outside its
 * module system, where the sources cannot be imported: hence from dist.
 */
export default async function setUp(): Promise<void> {
  const { ensureBuilt } = (await import(resolve('bin/build.js'))) as { ensureBuilt: () => Promise<void> };
  await ensureBuilt();
  const url = (process.env['BELFRY_TEST_DATABASE_URL'] ||= await startPostgres());
  process.env['BELFRY_TEST_TEMPLATE'] = await createTemplate(url);
}

async function startPostgres(): Promise<string> {
  const built = resolve('dist/database/embedded-postgres.js');
  const { EmbeddedPostgres } = (await import(built)) as typeof Embedded;
  const dataDir = await mkdtemp(join(tmpdir(), 'belfry-test-'));
  // As root, Postgres runs as another user, who has to enter it.
  await chmod(dataDir, 0o755);
  const postgres = new EmbeddedPostgres({ dataDir });
  globalThis.belfryTestPostgres = { postgres, dataDir };
  return (await postgres.start()).url;
}

async function createTemplate(adminUrl: string): Promise<string> {
  const { migrate } = (await import(resolve('dist/database/migrations.js'))) as typeof Migrations;
  const name = `test_template_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client(adminUrl);
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  await migrate(url.href);
  return name;
}

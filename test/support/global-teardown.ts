import { rm } from 'node:fs/promises';
import pg from 'pg';

import type {} from './global-setup.js';

/** Takes away what the setup made: the Postgres that it started, or else the template in one that was there before. */
export default async function tearDown(): Promise<void> {
  const started = globalThis.belfryTestPostgres;
  if (started === undefined) {
    const client = new pg.Client(process.env['BELFRY_TEST_DATABASE_URL']);
    await client.connect();
    await client.query(`drop database ${process.env['BELFRY_TEST_TEMPLATE']}`);
    await client.end();
    return;
  }
  await started.postgres.stop();
  await rm(started.dataDir, { recursive: true, force: true });
}

import { rm } from 'node:fs/promises';

import type {} from './global-setup.js';

/** Stops and removes the Postgres that the setup started; one that was there before is left alone. */
export default async function tearDown(): Promise<void> {
  const started = globalThis.belfryTestPostgres;
  if (started === undefined) return;
  await started.postgres.stop();
  await rm(started.dataDir, { recursive: true, force: true });
}

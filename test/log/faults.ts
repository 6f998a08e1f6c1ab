import { loadConfig } from '../../src/config/config.js';
import { Database } from '../../src/database/database.js';
import { LogAudit } from '../../src/log/audit.js';
import { SECRET } from '../support/instance.js';

/** What `belfry log verify` says of a log. */
export async function faultsOf(url: string): Promise<string[]> {
  const database = new Database(loadConfig({ DATABASE_URL: url, JWT_SECRET: SECRET }));
  try {
    return await new LogAudit(database).faults();
  } finally {
    await database.onApplicationShutdown();
  }
}

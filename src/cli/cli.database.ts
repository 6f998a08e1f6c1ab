import { Logger } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { explainBootFailure } from '../boot-failure.js';
import { type Config, loadConfig } from '../config/config.js';
import { readEnvironment } from '../config/environment.js';
import { Database } from '../database/database.js';
import { EmbeddedPostgres } from '../database/embedded-postgres.js';
import { bringUpToDate } from '../database/migrations.js';
import { waitAtMost } from '../database/patience.js';
import { Outage } from '../errors/outage.js';
import { DirectoryInUseError } from '../database/owner-lock.js';
import { CommandError, tell } from './command.js';

/** How long a service that is starting may take until its Postgres answers, in milliseconds. */
const START_MS = 30_000;
const POLL_MS = 100;
/** How long the sessions may take to say goodbye, in milliseconds. */
const CLOSE_MS = 1_000;

/** The configuration of the service, for a command: it checks no token, so it needs nothing to check them with. */
export async function readCommandConfig(): Promise<Config> {
  const unused = randomBytes(48).toString('base64');
  return loadConfig({ ...(await readEnvironment()), JWT_SECRET: unused, JWKS_URL: undefined });
}

/**
 * Does some work with the database of the service, which is migrated first as at boot. In demo mode it is the embedded
 * Postgres: that of a running service, else one that runs only for this work.
 *
 * @throws BootError or CommandError when the database cannot be had, or a signal asks to end
 */
export async function withDatabase<Result>(
  config: Config,
  work: (database: Database) => Promise<Result>,
): Promise<Result> {
  // Nobody asked for a log, and standard output is for the answer.
  Logger.overrideLogger(false);
  const postgres = new EmbeddedPostgres({ dataDir: config.dataDir, log: tell });
  try {
    return await Promise.race([run(config, postgres, work), interruption()]);
  } finally {
    await postgres.stop();
  }
}

async function run<Result>(
  config: Config,
  postgres: EmbeddedPostgres,
  work: (database: Database) => Promise<Result>,
): Promise<Result> {
  const databaseUrl = config.databaseUrl ?? (await reach(postgres));
  const complete = { ...config, databaseUrl };
  try {
    await bringUpToDate(complete);
    return await withSessions(complete, work);
  } catch (error) {
    throw explained(error, complete);
  }
}

async function withSessions<Result>(
  config: Config,
  work: (database: Database) => Promise<Result>,
): Promise<Result> {
  const database = new Database(config);
  try {
    return await work(database);
  } finally {
    // A peer that does not answer is not waited for long: the end of the process takes its socket.
    await waitAtMost(CLOSE_MS, database.onApplicationShutdown());
  }
}

/** An error with a sentence for whoever typed the command, where there is one. */
function explained(error: unknown, config: Config): Error {
  const reason = explainBootFailure(error, config);
  if (reason !== undefined) return new CommandError(reason, { cause: error });
  if (error instanceof Outage) {
    const advice = `Look whether it was done before you try again: ${error.message}.`;
    return new CommandError(advice, { cause: error });
  }
  return error instanceof Error ? error : new Error('the command failed', { cause: error });
}

/** Whoever holds the data directory is a service, or about to be one: it is waited for until it has its Postgres. */
async function reach(postgres: EmbeddedPostgres): Promise<string> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    try {
      return (await postgres.start()).url;
    } catch (error) {
      if (!(error instanceof DirectoryInUseError)) throw error;
      const running = await postgres.findRunning();
      if (running !== undefined) return running.url;
      if (performance.now() > deadline) throw error;
    }
    await delay(POLL_MS);
  }
}

/** Rejects at a signal, so that what was started is stopped. A second one ends the process at once. */
function interruption(): Promise<never> {
  return new Promise((_resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        reject(new CommandError(`${signal}: it may not be done, look before you try again.`));
      });
    }
  });
}

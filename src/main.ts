import 'reflect-metadata';

import { Logger } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { once } from 'node:events';
import { createServer } from 'node:net';

import { createApp } from './app.js';
import { explainBootFailure } from './boot-failure.js';
import type { Config } from './config/config.js';
import { loadConfig } from './config/config.js';
import { readEnvironment } from './config/environment.js';
import { EmbeddedPostgres } from './database/embedded-postgres.js';
import { bringUpToDate } from './database/migrations.js';
import { BootError } from './errors/boot-error.js';
import { demoGreeting } from './operations/demo-greeting.js';
import { shutDown } from './operations/shutdown.js';

const logger = new Logger('Belfry');

/**
 * The life of the process: boot, serve, and on SIGTERM or SIGINT end in order; a second signal ends it at once.
 * It exits with 0 after an orderly end and with 1 after anything else.
 */
async function main(): Promise<void> {
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  const asked = askedToEnd();
  const config = await readConfig();
  const postgres = config.demo ? embeddedPostgres(config) : undefined;
  try {
    const app = await serve(config, postgres);
    await asked;
    const orderly = await shutDown(app, config);
    await postgres?.stop();
    process.exit(orderly ? 0 : 1);
  } catch (error) {
    await postgres?.stop();
    fail(error, config);
  }
}

async function readConfig(): Promise<Config> {
  try {
    return loadConfig(await readEnvironment());
  } catch (error) {
    if (error instanceof BootError) exitWith(error.message);
    throw error;
  }
}

async function serve(
  config: Config,
  postgres: EmbeddedPostgres | undefined,
): Promise<NestExpressApplication> {
  // Asked before anything is started, so that a taken port costs nothing and is the only thing reported.
  await tryPort(config);
  const started = await postgres?.start();
  const complete =
    started === undefined
      ? config
      : Object.freeze({ ...config, databaseUrl: started.url, dataDir: started.dataDir });
  await bringUpToDate(complete);
  const app = await createApp(complete);
  await app.listen(config.port, config.host);
  const address = await app.getUrl();
  if (config.demo) process.stdout.write(demoGreeting(address));
  else logger.log(`listening at ${address}`);
  return app;
}

function embeddedPostgres(config: Config): EmbeddedPostgres {
  return new EmbeddedPostgres({
    dataDir: config.dataDir,
    // For whoever sits in front of it: there is no log yet.
    log: message => process.stdout.write(`${message}\n`),
    onExit: exitWith,
  });
}

async function tryPort({ port, host }: Config): Promise<void> {
  const server = createServer();
  server.listen(port, host);
  await once(server, 'listening');
  server.close();
  await once(server, 'close');
}

/** Resolves at the first signal; the second does not wait for anything. */
async function askedToEnd(): Promise<void> {
  await new Promise<void>(resolve => {
    let asked = false;
    const hear = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(1);
      asked = true;
      logger.log(`${signal}: shutting down`);
      resolve();
    };
    process.on('SIGTERM', hear);
    process.on('SIGINT', hear);
  });
}

function fail(error: unknown, config: Config): never {
  const reason = explainBootFailure(error, config);
  if (reason === undefined) return die(error);
  exitWith(reason);
}

function exitWith(reason: string): never {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
}

/** What nobody caught leaves the process in a state that nobody knows. */
function die(error: unknown): never {
  logger.fatal(error);
  process.exit(1);
}

await main();

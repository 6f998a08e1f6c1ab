import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { DestinationStream } from 'pino';

import { AppModule } from './app.module.js';
import type { Config } from './config/config.js';
import { HttpAdapter } from './http-adapter.js';
import { dressHttp } from './http-shell.js';
import { createLogger, PinoLogger } from './operations/logger.js';
import { serveOpenApi } from './operations/openapi.js';

/**
 * Builds the service, ready to `listen`. A boot that fails is the caller's to report: it throws.
 *
 * @param logs where log lines go; standard output when left out
 */
export async function createApp(config: Config, logs?: DestinationStream): Promise<NestExpressApplication> {
  const logger = createLogger(config, logs);
  const adapter = new HttpAdapter(config.headersTimeoutMs);
  const app = await NestFactory.create<NestExpressApplication>(AppModule.forRoot(config), adapter, {
    logger: new PinoLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  dressHttp(app, config, logger);
  serveOpenApi(app);
  return app;
}

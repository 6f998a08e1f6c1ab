import type { ModuleMetadata } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';

import { AccessModule } from '../../src/access/access.module.js';
import type { Config } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/config.js';
import { ConfigModule } from '../../src/config/config.module.js';
import { ErrorsModule } from '../../src/errors/errors.module.js';
import { dressHttp } from '../../src/http-shell.js';
import { createLogger, PinoLogger } from '../../src/operations/logger.js';
import { OperationsModule } from '../../src/operations/operations.module.js';
import { TestDatabase } from './databases.js';

export const SECRET = 'a key for the tests: k3Zp9-vQ7w_Lm2x';

/** A configuration outside demo mode; the application brings a database of its own. */
export function testConfig(env: NodeJS.ProcessEnv = {}): Config {
  return loadConfig({
    DATABASE_URL: 'postgres://127.0.0.1:1/none',
    JWT_SECRET: SECRET,
    LOG_LEVEL: 'debug',
    ...env,
  });
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: Record<string, unknown> | undefined;
}

/** The HTTP shell with a test's own controllers behind it, on a real socket. */
export class ShellApp {
  private constructor(
    readonly nest: NestExpressApplication,
    readonly port: number,
    /** The log, one parsed line each. */
    readonly logs: Record<string, unknown>[],
    private readonly database: TestDatabase,
  ) {}

  static async start(given: Config, controllers: ModuleMetadata['controllers'] = []): Promise<ShellApp> {
    const database = await TestDatabase.create();
    const config = { ...given, databaseUrl: database.url };
    @Module({
      imports: [ConfigModule.forRoot(config), ErrorsModule, AccessModule.forRoot(config), OperationsModule],
      controllers,
    })
    class ShellModule {}

    const logs: Record<string, unknown>[] = [];
    const logger = createLogger(config, {
      write: line => logs.push(JSON.parse(line) as Record<string, unknown>),
    });
    const nest = await NestFactory.create<NestExpressApplication>(ShellModule, {
      logger: new PinoLogger(logger),
      bodyParser: false,
      abortOnError: false,
    });
    dressHttp(nest, config, logger);
    await nest.listen(0, '127.0.0.1');
    return new ShellApp(nest, (nest.getHttpServer().address() as AddressInfo).port, logs, database);
  }

  async stop(): Promise<void> {
    this.nest.getHttpServer().closeAllConnections();
    await this.nest.close();
    await this.database.drop();
  }

  /** A body that is no Buffer is sent as JSON. */
  send(method: string, path: string, headers: OutgoingHttpHeaders = {}, body?: unknown): Promise<Answer> {
    const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const type = bytes === body ? {} : { 'content-type': 'application/json' };
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: this.port, method, path, headers: { ...type, ...headers } };
      const request = httpRequest(options, response => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : undefined,
          });
        });
      });
      request.on('error', reject);
      request.end(bytes);
    });
  }
}

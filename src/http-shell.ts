import type { NestExpressApplication } from '@nestjs/platform-express';
import helmet from 'helmet';
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';

import { demoGuard } from './access/demo.guard.js';
import type { Config } from './config/config.js';
import { Problem } from './errors/problem.js';
import { answerClientError } from './operations/client.error.js';
import { KeepAlive } from './operations/keep.alive.js';
import { requestLog } from './operations/request-log.js';
import { isStream } from './operations/routes.js';

const BODY_BYTES = 1024 * 1024;

/**
 * What stands around the routes, in the order in which a request meets it: its id and log line, security headers,
 * the demo guard, CORS, and the parser of JSON bodies.
 */
export function dressHttp(app: NestExpressApplication, config: Config, logger: Logger): void {
  app.set('query parser', 'simple');
  app.set('trust proxy', false);
  app.set('etag', false);
  app.disable('x-powered-by');

  const keepAlive = app.get(KeepAlive);
  app.use((request: IncomingMessage, response: ServerResponse, next: () => void) => {
    keepAlive.watch(request, response);
    next();
  });
  app.use(requestLog(logger));
  app.use(securityHeaders());
  if (config.demo) app.use(demoGuard(config));
  if (config.corsOrigins.length > 0) {
    app.enableCors({
      origin: [...config.corsOrigins],
      credentials: true,
      exposedHeaders: ['Retry-After', 'X-Request-Id'],
      maxAge: 600,
    });
  }
  // Nest's type leaves out `verify`, because it is how Nest itself keeps raw bodies, which is off here.
  const parser = { limit: BODY_BYTES, type: isParsed, verify: requireUtf8 };
  app.useBodyParser('json', parser);

  const server = app.getHttpServer();
  server.on('clientError', answerClientError);
  server.headersTimeout = 60_000;
  // An NDJSON upload lasts as long as the job that it reports on.
  server.requestTimeout = 0;
  // Longer than the 60 s after which load balancers drop an idle connection: they must be the ones to close it.
  server.keepAliveTimeout = 65_000;
}

/**
 * TLS ends in front of this service, so whether browsers must use it is said there and not here. A stream is no
 * document, and its headers stay in memory as long as it is open: it gets those that are about data.
 */
function securityHeaders(): (request: IncomingMessage, response: ServerResponse, next: () => void) => void {
  const all = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'self'"],
        'base-uri': ["'self'"],
        'form-action': ["'self'"],
        'frame-ancestors': ["'self'"],
        'img-src': ["'self'", 'data:'],
        'object-src': ["'none'"],
        'script-src-attr': ["'none'"],
        // The page at /docs brings its own <style>.
        'style-src': ["'self'", "'unsafe-inline'"],
      },
    },
    strictTransportSecurity: false,
  });
  return (request, response, next) => {
    if (!isStream(request)) {
      all(request, response, next);
      return;
    }
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
    next();
  };
}

/** Publishes are read by their own controller, after its guards and with limits of its own. */
function isParsed(request: IncomingMessage & { path?: string }): boolean {
  const { path = '', headers } = request;
  return (
    !/^\/v1\/events\/?$/i.test(path) &&
    /^application\/(?:.+\+)?json *(?:;|$)/i.test(headers['content-type'] ?? '')
  );
}

/** The parser would put U+FFFD where the bytes are wrong, and nobody would ever know. */
function requireUtf8(_request: IncomingMessage, _response: ServerResponse, body: Buffer): void {
  if (!isUtf8(body)) throw new Problem('body-invalid', 'Send the body in UTF-8.');
}

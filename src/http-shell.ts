import type { NestExpressApplication } from '@nestjs/platform-express';
import helmet from 'helmet';
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';

import { demoGuard } from './access/demo.guard.js';
import type { Config } from './config/config.js';
import { Problem } from './errors/problem.js';
import { bodyDeadline } from './operations/body.deadline.js';
import { answerClientError } from './operations/client.error.js';
import { HttpMetrics } from './operations/http.metrics.js';
import { KeepAlive } from './operations/keep.alive.js';
import { requestLog } from './operations/request-log.js';
import { isStream } from './operations/routes.js';

const BODY_BYTES = 1024 * 1024;

/**
 * What stands around the routes, in the order in which a request meets it: its id and log line, the deadline of its body,
 * security headers, the demo guard, CORS, and the parser of JSON bodies.
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
  app.use(requestLog(logger, app.get(HttpMetrics)));
  app.use(bodyDeadline(config.bodyTimeoutMs));
  app.use(requireHost);
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
  // Not inflated: it is read before anybody is asked who they are, and a little may become a lot.
  const parser = { limit: BODY_BYTES, type: isParsed, verify: requireUtf8, inflate: false };
  app.useBodyParser('json', parser);

  const server = app.getHttpServer();
  server.on('clientError', answerClientError);
  // Of a connection that says nothing, too.
  server.headersTimeout = config.headersTimeoutMs;
  // An NDJSON upload lasts as long as the job that it reports on; other bodies have a deadline of their own.
  server.requestTimeout = 0;
  server.keepAliveTimeout = config.keepAliveMs;
}

/** RFC 9112, section 3.2. */
function requireHost(
  { headers, httpVersion }: IncomingMessage,
  _response: ServerResponse,
  next: (error?: unknown) => void,
): void {
  const isMissing = headers.host === undefined && httpVersion === '1.1';
  next(isMissing ? new Problem('request-invalid', 'Send a "Host" header.') : undefined);
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
      // Whoever answers with what anybody may keep says so.
      response.setHeader('Cache-Control', 'no-store');
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
    !/^\/v1\/(?:events|notifications)\/?$/i.test(path) &&
    /^application\/(?:.+\+)?json *(?:;|$)/i.test(headers['content-type'] ?? '')
  );
}

/** The parser would put U+FFFD where the bytes are wrong, and nobody would ever know. */
function requireUtf8(_request: IncomingMessage, _response: ServerResponse, body: Buffer): void {
  if (!isUtf8(body)) throw new Problem('body-invalid', 'Send the body in UTF-8.');
}

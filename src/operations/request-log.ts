import type { IncomingMessage, ServerResponse } from 'node:http';
import { randomUUID } from 'node:crypto';
import { unescape } from 'node:querystring';
import type { Level, Logger } from 'pino';
import type { HttpMetrics } from './http.metrics.js';
import { whenOver } from './response-over.js';
import { isProbe, isStream, urlOf } from './routes.js';

type Next = () => void;

/** What may be echoed into headers, logs and problem details as it came. */
const REQUEST_ID = /^[A-Za-z0-9._~-]{1,64}$/;
/** A ticket or a key, wherever somebody put it. */
const SECRET = /\b(b[kt])_\w[\w-]{8,}/g;
const SECRET_PARAMETERS = new Set(['ticket', 'token', 'access_token']);

/**
 * Gives each request an id, tells the client, and counts and logs the request when it is over; a stream is logged when it is
 * opened, too, because it may not be over for an hour. Headers are not logged at all, so no credential in them can be. What is kept
 * until then is kept for each open stream, and is little.
 */
export function requestLog(
  logger: Logger,
  metrics: HttpMetrics,
): (request: IncomingMessage & { id?: unknown }, response: ServerResponse, next: Next) => void {
  return (request, response, next) => {
    const began = performance.now();
    const requestId = requestIdOf(request);
    request.id = requestId;
    response.setHeader('X-Request-Id', requestId);
    const { remoteAddress } = request.socket;
    if (isStream(request)) {
      logger.info({ requestId, req: describe(request, remoteAddress) }, 'stream requested');
    }
    whenOver(response, () => {
      metrics.count(request, response);
      const level = levelOf(request, response);
      if (!logger.isLevelEnabled(level)) return;
      const line = {
        requestId,
        req: describe(request, remoteAddress),
        res: { statusCode: response.headersSent ? response.statusCode : null },
        responseTime: Math.round(performance.now() - began),
      };
      logger[level](line, messageOf(request, response));
    });
    next();
  };
}

function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

/** Why a request failed was logged where the error was answered, under the same request id. */
function levelOf(request: IncomingMessage, { statusCode }: ServerResponse): Level {
  if (isProbe(request)) return 'debug';
  return statusCode >= 500 ? 'error' : 'info';
}

function messageOf(request: IncomingMessage, { statusCode, writableFinished }: ServerResponse): string {
  if (statusCode >= 500) return 'request failed';
  if (isStream(request)) return 'stream closed';
  return writableFinished ? 'request completed' : 'request aborted';
}

function describe(request: IncomingMessage, remoteAddress: string | undefined): object {
  return { method: request.method, url: withoutSecrets(urlOf(request)), remoteAddress };
}

/** A ticket is a credential that has to travel in the URL, also when its name is written with percent signs. */
function withoutSecrets(given: string): string {
  const url = given.replace(SECRET, '$1_[redacted]');
  const start = url.indexOf('?') + 1;
  if (start === 0) return url;
  const parameters = url.slice(start).split('&');
  const shown = parameters.map(parameter => {
    const [name = ''] = parameter.split('=', 1);
    return SECRET_PARAMETERS.has(unescape(name).toLowerCase()) ? `${name}=[redacted]` : parameter;
  });
  return url.slice(0, start) + shown.join('&');
}

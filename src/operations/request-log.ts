import type { IncomingMessage, ServerResponse } from 'node:http';
import { randomUUID } from 'node:crypto';
import { unescape } from 'node:querystring';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';

type Next = () => void;

/** What may be echoed into headers, logs and problem details as it came. */
const REQUEST_ID = /^[A-Za-z0-9._~-]{1,64}$/;
const SECRET_PARAMETERS = new Set(['ticket', 'token', 'access_token']);

/**
 * Gives each request an id, tells the client, and logs the request when it is over; a stream when it is opened, too,
 * because it may not be over for an hour. Headers are not logged at all, so no credential in them can be.
 */
export function requestLog(
  logger: Logger,
): (request: IncomingMessage, response: ServerResponse, next: Next) => void {
  const log = pinoHttp({
    logger,
    genReqId: (request, response) => {
      const given = request.headers['x-request-id'];
      const id = typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
      response.setHeader('X-Request-Id', id);
      return id;
    },
    // Otherwise the line goes through a child logger, made for each request.
    quietResLogger: true,
    wrapSerializers: false,
    serializers: { req: describeRequest, res: describeResponse },
    customLogLevel: (request, response, error) => {
      if (isHealth(request)) return 'debug';
      if (error !== undefined) return 'warn';
      return response.statusCode >= 500 ? 'error' : 'info';
    },
    customSuccessMessage: (request, response) =>
      isStream(request) ? 'stream closed' : response.writableEnded ? 'request completed' : 'request aborted',
    customErrorMessage: () => 'request failed',
    customSuccessObject: (request, _response, value: object) => ({
      requestId: request.id,
      ...value,
      req: request,
    }),
    // Its cause was logged where the error was answered, under the same request id.
    customErrorObject: (request, response, _error, value: { responseTime?: number }) => ({
      requestId: request.id,
      req: request,
      res: response,
      responseTime: value.responseTime,
    }),
  });
  return (request, response, next) => {
    log(request, response);
    if (isStream(request)) log.logger.info({ requestId: request.id, req: request }, 'stream requested');
    next();
  };
}

function describeRequest(request: IncomingMessage): object {
  return {
    method: request.method,
    url: withoutSecrets(urlOf(request)),
    remoteAddress: request.socket.remoteAddress,
  };
}

function describeResponse(response: ServerResponse): object {
  return { statusCode: response.headersSent ? response.statusCode : null };
}

/** Express rewrites `url` while it looks for a route, and keeps what was asked for here. */
function urlOf(request: IncomingMessage & { originalUrl?: string }): string {
  return request.originalUrl ?? request.url ?? '';
}

/** A ticket is a credential that has to travel in the URL, also when its name is written with percent signs. */
function withoutSecrets(url: string): string {
  const start = url.indexOf('?') + 1;
  if (start === 0) return url;
  const parameters = url.slice(start).split('&');
  const shown = parameters.map(parameter => {
    const [name = ''] = parameter.split('=', 1);
    return SECRET_PARAMETERS.has(unescape(name).toLowerCase()) ? `${name}=[redacted]` : parameter;
  });
  return url.slice(0, start) + shown.join('&');
}

function isHealth(request: IncomingMessage): boolean {
  return urlOf(request).startsWith('/health/');
}

function isStream(request: IncomingMessage): boolean {
  return /^\/v1\/(?:jobs\/[^/?]+\/)?stream(?:\?|$)/.test(urlOf(request));
}

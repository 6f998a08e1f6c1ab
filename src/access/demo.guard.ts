import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Config } from '../config/config.js';
import { isLoopback } from '../config/loopback.js';
import { Problem } from '../errors/problem.js';

type Next = (error?: unknown) => void;

const PROXY_HEADER = /^(?:forwarded|x-forwarded-.+|x-real-ip)$/;

/**
 * Keeps demo mode, where anyone may have any token, on this machine. Listening on loopback is not enough: a page on
 * the web reaches it by DNS rebinding or a plain cross-origin request, and a proxy or tunnel makes it public. A
 * middleware and not a guard, so that it also stands before documentation and unknown routes.
 */
export function demoGuard(
  config: Config,
): (request: IncomingMessage, response: ServerResponse, next: Next) => void {
  return (request, _response, next) => {
    const { host, origin } = request.headers;
    const local =
      isLocal(host) &&
      (origin === undefined || config.corsOrigins.includes(origin) || isOwnPage(origin, host)) &&
      !Object.keys(request.headers).some(name => PROXY_HEADER.test(name));
    next(local ? undefined : new Problem('host-forbidden'));
  };
}

function isLocal(host: string | undefined): host is string {
  return host !== undefined && isLoopback(host.replace(/:\d{1,5}$/, ''));
}

/** A page of this very server: by another name of the same loopback, but on the same port. */
function isOwnPage(origin: string, host: string): boolean {
  if (!/^http:\/\//.test(origin) || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  const own = `http://${host}`;
  return isLoopback(page.hostname) && URL.canParse(own) && page.port === new URL(own).port;
}

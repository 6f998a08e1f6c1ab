import type { IncomingMessage } from 'node:http';

/**
 * True when a request that a browser may have sent with somebody's cookie comes from a page of ours: one of the same
 * host, or of an origin that `CORS_ORIGINS` lists. The scheme is not compared, because TLS may end at a proxy.
 */
export function isOwnOrigin(request: IncomingMessage, allowed: readonly string[]): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return request.headers['sec-fetch-site'] === 'same-origin';
  return allowed.includes(origin) || isSameHost(origin, host);
}

/** Compares host and port; a port that is the scheme's own may be left out on either side. */
function isSameHost(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  const own = `${page.protocol}//${host}`;
  return page.host !== '' && URL.canParse(own) && new URL(own).host === page.host;
}

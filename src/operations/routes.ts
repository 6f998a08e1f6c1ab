import type { IncomingMessage } from 'node:http';

/** Express rewrites `url` while it looks for a route, and keeps what was asked for here. */
export function urlOf(request: IncomingMessage & { originalUrl?: string }): string {
  return request.originalUrl ?? request.url ?? '';
}

/** Asked by machines every few seconds, of which nobody wants to read. */
export function isProbe(request: IncomingMessage): boolean {
  return /^\/(?:health\/|metrics\/?(?:\?|$))/i.test(urlOf(request));
}

export function isStream(request: IncomingMessage): boolean {
  return /^\/v1\/(?:jobs\/[^/?]+\/)?stream\/?(?:\?|$)/i.test(urlOf(request));
}

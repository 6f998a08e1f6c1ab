/** Frames that Belfry sends of its own accord (WHATWG HTML, section 9.2.6). */

/** Why a stream is ended on purpose. */
export type EndReason = 'token-expired' | 'kicked' | 'ticket-spent' | 'shutdown' | 'rotated';

/** Why a cursor cannot be honoured. */
export type ResetReason = 'expired' | 'forked' | 'unknown';

/** @param ms when an EventSource is to come back after the connection ends, in milliseconds */
export function retry(ms: number): string {
  return `retry: ${Math.round(ms)}\n\n`;
}

/**
 * The answer to a client that cannot be served now. A browser gives up for ever on any status but 200; it comes
 * back after exactly the time it is told, so the service spreads its clients.
 */
export function overload(): string {
  return retry(notSoon());
}

/** The answer to a client that comes back by itself with what opened its last stream, and needs another one. */
export function ticketSpent(): string {
  return retry(notSoon()) + end('ticket-spent');
}

/** Milliseconds after which to come back to an instance that has no room; each time others. */
export function notSoon(): number {
  return 10_000 + Math.random() * 20_000;
}

/** Keeps proxies open and says nothing. */
export const COMMENT = ':\n\n';

/** An id alone: moves the client's cursor, and page code hears nothing. */
export function heartbeat(cursor: string): string {
  return `id: ${cursor}\n\n`;
}

/** A heartbeat that page code does hear. */
export function heartbeatEvent(cursor: string): string {
  return block('heartbeat', {}, cursor);
}

export function ready(cursor: string, topics: readonly string[], replayed: number): string {
  return block('ready', { topics, replayed }, cursor);
}

/** @param body the oldest event still kept, and the newest */
export function reset(cursor: string, body: { reason: ResetReason; oldest: string; head: string }): string {
  return block('reset', body, cursor);
}

/** It has no id: the client keeps the cursor that it has. */
export function end(reason: EndReason): string {
  return block('end', { reason });
}

function block(event: string, data: object, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

import type { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** What is to be called when a connection is gone: one listener of it, however many requests are under way. */
const waiting = new WeakMap<Socket, Set<() => void>>();

/**
 * Calls back once, when a response is over or its connection is gone. A response that still waits behind others on its
 * connection is not told of that by Node.
 */
export function whenOver(response: ServerResponse, callback: () => void): void {
  whenClosed(response, response.req.socket, callback);
}

/**
 * Calls back once, when the body of a request was read to its end or its connection is gone. A request that was answered
 * before is not told of that by Node.
 */
export function whenRead(request: IncomingMessage, callback: () => void): void {
  whenClosed(request, request.socket, callback);
}

function whenClosed(
  stream: EventEmitter & { readonly closed: boolean },
  socket: Socket,
  callback: () => void,
): void {
  if (stream.closed || socket.destroyed) {
    callback();
    return;
  }
  const calls = waiting.get(socket) ?? watch(socket);
  const over = (): void => {
    stream.removeListener('close', over);
    calls.delete(over);
    callback();
  };
  calls.add(over);
  stream.once('close', over);
}

function watch(socket: Socket): Set<() => void> {
  const calls = new Set<() => void>();
  waiting.set(socket, calls);
  socket.once('close', () => {
    for (const call of [...calls]) call();
  });
  return calls;
}

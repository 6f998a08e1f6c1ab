import type { IncomingMessage } from 'node:http';
import { whenRead } from '../operations/response-over.js';

/** A client has sent nothing for as long as it may. */
export class UploadIdle extends Error {}

/**
 * The bytes of a body as they come. The client's time runs while more of them are asked for, and begins anew with each.
 *
 * @param idleMs how long the client may send nothing, in milliseconds; 0: for ever
 * @throws UploadIdle; what the request throws when it breaks off
 */
export async function* chunksOf(request: IncomingMessage, idleMs: number): AsyncGenerator<Buffer> {
  // Destroyed on return, as is usual, the request would take its connection with it, and the answer.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
  let isIdle = false;
  try {
    for (;;) {
      const next = await (idleMs === 0 ? chunks.next() : inTime(chunks.next(), idleMs));
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    isIdle = error instanceof UploadIdle;
    throw error;
  } finally {
    // It would wait for the bytes that do not come.
    if (!isIdle) await chunks.return?.();
  }
}

/**
 * Throws away what nobody reads any more: the client may read the answer only once it has sent all. One that sends nothing
 * for so long is cut off.
 */
export function discard(request: IncomingMessage, idleMs: number): void {
  request.resume();
  if (idleMs === 0 || request.complete) return;
  const timer = setTimeout(() => {
    request.socket.destroy();
  }, idleMs);
  request.on('data', () => timer.refresh());
  whenRead(request, () => {
    clearTimeout(timer);
  });
}

function inTime<Value>(promise: Promise<Value>, ms: number): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new UploadIdle());
    }, ms);
    const stop = (): void => {
      clearTimeout(timer);
    };
    promise.then(resolve, reject).then(stop, stop);
  });
}

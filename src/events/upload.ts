import type { IncomingMessage } from 'node:http';
import { whenRead } from '../operations/response-over.js';

/** A client has sent nothing for as long as it may. */
export class UploadIdle extends Error {}

/**
 * The bytes of a body as they come. The client's time runs while more of them are asked for, and begins anew with each.
 *
 * @param idleMs how long the client may send nothing, in milliseconds; 0: for ever
 * @param over once it is aborted nothing more is waited for; what has come to its end is read to its end
 * @throws UploadIdle; the reason of `over`; what the request throws when it breaks off
 */
export async function* chunksOf(
  request: IncomingMessage,
  idleMs: number,
  over: AbortSignal,
): AsyncGenerator<Buffer> {
  // Destroyed on return, as is usual, the request would take its connection with it, and the answer.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
  let isGivenUp = false;
  try {
    for (;;) {
      const next = await nextOf(chunks, request, idleMs, over);
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    isGivenUp = error instanceof UploadIdle || error === over.reason;
    throw error;
  } finally {
    const released = chunks.return?.();
    // It waits for the bytes that do not come.
    if (!isGivenUp) await released;
  }
}

/**
 * Throws away what nobody reads any more: the client may read the answer only once it has sent all. One that sends nothing
 * for so long is cut off.
 */
export function discard(request: IncomingMessage, idleMs: number): void {
  request.resume();
  if (request.complete) return;
  const timer =
    idleMs === 0
      ? undefined
      : setTimeout(() => {
          request.socket.destroy();
        }, idleMs);
  // Heard in any case: a request whose bytes somebody waited for does not go on by itself.
  request.on('data', () => timer?.refresh());
  whenRead(request, () => {
    clearTimeout(timer);
  });
}

async function nextOf<Value>(
  chunks: AsyncIterator<Value>,
  request: IncomingMessage,
  idleMs: number,
  over: AbortSignal,
): Promise<IteratorResult<Value>> {
  let timer: NodeJS.Timeout | undefined;
  let giveUp = (): void => undefined;
  try {
    return await new Promise((resolve, reject) => {
      chunks.next().then(resolve, reject);
      giveUp = () => {
        if (!request.complete) reject(over.reason as Error);
      };
      if (over.aborted) giveUp();
      over.addEventListener('abort', giveUp);
      if (idleMs === 0) return;
      timer = setTimeout(() => {
        reject(new UploadIdle());
      }, idleMs);
    });
  } finally {
    clearTimeout(timer);
    over.removeEventListener('abort', giveUp);
  }
}

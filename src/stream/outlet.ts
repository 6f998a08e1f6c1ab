import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Chunk } from './chunk.js';

/**
 * The socket as the subscriber sees it. Chunks go down the Observable; the only thing that ever comes back is
 * whether there is room.
 */
export class Outlet {
  constructor(private readonly response: ServerResponse) {}

  /** True from a write that filled the buffer until the client has taken it all. */
  get full(): boolean {
    return this.sink.writableNeedDrain;
  }

  /** Resolves when there is room again. Never, when the client does not come back: nothing waits for it then. */
  drained(): Promise<void> {
    return new Promise(resolve => {
      this.sink.once('drain', resolve);
    });
  }

  /** Resolves when all was handed to the kernel and the response is over, or the client is gone. */
  finished(): Promise<void> {
    return new Promise(resolve => {
      if (this.response.closed) resolve();
      else this.response.once('close', resolve);
    });
  }

  /** Cuts the client off. */
  cut(): void {
    this.response.destroy();
  }

  private get sink(): Socket | ServerResponse {
    return socketOf(this.response) ?? this.response;
  }
}

/**
 * Writes to a response whose headers were sent; on the shortest way, past what Node would do to each chunk of each
 * response.
 */
export function writeChunk(response: ServerResponse, chunk: Chunk): void {
  const socket = socketOf(response);
  if (socket) socket.write(chunk.encoded);
  else response.write(chunk.body);
}

/**
 * The socket, when chunks may be written to it directly: not for HTTP/1.0, which has none, nor for HEAD, which has no
 * body, nor behind another response that the client has asked for before on the same connection.
 */
function socketOf(response: ServerResponse): Socket | undefined {
  const { socket, chunkedEncoding, req } = response;
  return socket && chunkedEncoding && req.method !== 'HEAD' ? socket : undefined;
}

/** The outlet of the request's own response. */
export const RequestOutlet = createParamDecorator(
  (_data: unknown, context: ExecutionContext) =>
    new Outlet(context.switchToHttp().getResponse<ServerResponse>()),
);

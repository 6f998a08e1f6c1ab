import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Chunk } from './chunk.js';

const OUTLET = Symbol('outlet');

/**
 * The way to the client. Chunks come down the Observable; the only thing that ever goes back is whether there is room.
 */
export class Outlet {
  private direct: Socket | undefined;

  private constructor(private readonly response: ServerResponse & { [OUTLET]?: Outlet }) {}

  /** The one outlet of a response. */
  static of(response: ServerResponse & { [OUTLET]?: Outlet }): Outlet {
    return (response[OUTLET] ??= new Outlet(response));
  }

  /** Writes to a response whose headers were sent. */
  write(chunk: Chunk): void {
    const { socket } = this;
    if (socket) socket.write(chunk.encoded);
    else this.response.write(chunk.body);
  }

  /** True from a write that filled the buffer until the client has taken it all. */
  get full(): boolean {
    return (this.socket ?? this.response).writableNeedDrain;
  }

  /** Resolves when there is room again. Never, when the client does not come back: nothing waits for it then. */
  drained(): Promise<void> {
    return new Promise(resolve => {
      (this.socket ?? this.response).once('drain', resolve);
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

  /**
   * The socket, where chunks may be written to it, past what Node would do to each of them: not for HTTP/1.0, which has
   * none, nor for HEAD, which has no body, nor behind another answer that the client asked for before on the same
   * connection.
   */
  private get socket(): Socket | undefined {
    return (this.direct ??= directSocketOf(this.response));
  }
}

function directSocketOf({ headersSent, socket, chunkedEncoding, req }: ServerResponse): Socket | undefined {
  return headersSent && socket && chunkedEncoding && req.method !== 'HEAD' ? socket : undefined;
}

/** The outlet of the request's own response. */
export const RequestOutlet = createParamDecorator((_data: unknown, context: ExecutionContext) =>
  Outlet.of(context.switchToHttp().getResponse<ServerResponse>()),
);

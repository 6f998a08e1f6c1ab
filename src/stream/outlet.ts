import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { whenOver } from '../operations/response-over.js';
import type { Chunk } from './chunk.js';

/**
 * The way to the client. Chunks come down the Observable; the only thing that ever goes back is whether there is room.
 */
export class Outlet {
  private direct: Socket | undefined;
  private piped: Readable | undefined;

  /** To be made before Nest pipes anything into the response. */
  constructor(private readonly response: ServerResponse) {
    response.once('pipe', source => (this.piped = source));
  }

  /** False for HEAD. */
  get hasBody(): boolean {
    return this.response.req.method !== 'HEAD';
  }

  /** Writes to a response whose headers were sent. */
  write(chunk: Chunk): void {
    const { socket } = this;
    if (socket) socket.write(chunk.encoded);
    else this.response.write(chunk.body);
  }

  /** Lets all that is written until this turn of the event loop has nothing left to do go out as one. */
  gather(): void {
    const { socket } = this.response;
    socket?.cork();
    process.nextTick(() => socket?.uncork());
  }

  /** Lets go of whatever was piped into the response: from now on it is written to and ended here alone. */
  takeOver(): void {
    this.piped?.unpipe(this.response);
    this.piped = undefined;
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
      this.onGone(resolve);
    });
  }

  /** Calls back once, when the response is over or the client is gone. */
  onGone(callback: () => void): void {
    whenOver(this.response, callback);
  }

  /** Ends the response in order. */
  end(): void {
    this.response.end();
  }

  /** Cuts the client off, with all it asked for on this connection: a response behind others has no socket to destroy. */
  cut(): void {
    this.response.req.socket.destroy();
  }

  /**
   * The socket, where chunks may be written to it, past what Node would do to each of them: not for HTTP/1.0, which has
   * none, nor behind another answer that the client asked for before on the same
   * connection.
   */
  private get socket(): Socket | undefined {
    return (this.direct ??= directSocketOf(this.response));
  }
}

function directSocketOf({ headersSent, socket, chunkedEncoding }: ServerResponse): Socket | undefined {
  return headersSent && socket && chunkedEncoding ? socket : undefined;
}

/** The outlet of the request's own response. */
export const RequestOutlet = createParamDecorator(
  (_data: unknown, context: ExecutionContext) =>
    new Outlet(context.switchToHttp().getResponse<ServerResponse>()),
);

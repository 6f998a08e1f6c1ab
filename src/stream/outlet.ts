import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { ServerResponse } from 'node:http';

/**
 * The socket as the subscriber sees it. Frames go down the Observable; the only thing that ever comes back is
 * whether there is room.
 */
export class Outlet {
  constructor(private readonly response: ServerResponse) {}

  /** True from a write that filled the buffer until the client has taken it all. */
  get full(): boolean {
    return this.response.writableNeedDrain;
  }

  /** Resolves when there is room again. Never, when the client does not come back: nothing waits for it then. */
  drained(): Promise<void> {
    return new Promise(resolve => {
      this.response.once('drain', resolve);
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
}

/** The outlet of the request's own response. */
export const RequestOutlet = createParamDecorator(
  (_data: unknown, context: ExecutionContext) =>
    new Outlet(context.switchToHttp().getResponse<ServerResponse>()),
);

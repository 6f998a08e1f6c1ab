import { type NestApplicationOptions, SSE_ABORT_CONTROLLER } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { Application } from 'express';
import { createServer, IncomingMessage, ServerResponse } from 'node:http';

/** What Express' types leave out: the prototypes of what its handlers are given. */
interface Prototypes {
  request: object;
  response: object;
}

/**
 * Nest makes one for each stream, for handlers with `@SseSignal()`, and aborts it when it lets go of the stream. There is
 * no such handler here, and the reason of each abort would come with a stack that holds on to the stream's state.
 */
const NEVER_ABORTED = Object.assign(new AbortController(), { abort: () => undefined });

/**
 * Express gives every request and response the prototypes of its application, one by one. To the engine each is then an
 * object of its own kind, and whatever is called on it is looked up anew: a quarter of the cost of a write. Here Node
 * makes them with these prototypes at once, and there is nothing left to change.
 */
export class HttpAdapter extends ExpressAdapter {
  override initHttpServer({ forceCloseConnections }: NestApplicationOptions): void {
    if (forceCloseConnections) throw new Error('connections are closed by whoever shuts the service down');
    const app = this.getInstance<Application & Prototypes>();
    class Request extends IncomingMessage {}
    class Response extends ServerResponse {}
    Object.setPrototypeOf(Request.prototype, app.request);
    Object.setPrototypeOf(Response.prototype, app.response);
    Object.assign(Request.prototype, { [SSE_ABORT_CONTROLLER]: NEVER_ABORTED });
    app.request = Request.prototype;
    app.response = Response.prototype;
    this.setHttpServer(createServer({ IncomingMessage: Request, ServerResponse: Response }, app));
  }
}

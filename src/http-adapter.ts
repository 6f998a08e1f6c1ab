import { type NestApplicationOptions, SSE_ABORT_CONTROLLER } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { Application } from 'express';
import { createServer, IncomingMessage, ServerResponse } from 'node:http';

/** What Express' types leave out: the prototypes of what its handlers are given, and what is called when none answers. */
interface Untyped {
  request: object;
  response: object;
  (request: IncomingMessage, response: ServerResponse, unanswered: () => void): void;
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
  /** @param headersTimeoutMs that of the server, which looks only now and then who has exceeded it */
  constructor(private readonly headersTimeoutMs: number) {
    super();
  }

  override initHttpServer({ forceCloseConnections }: NestApplicationOptions): void {
    if (forceCloseConnections) throw new Error('connections are closed by whoever shuts the service down');
    const app = this.getInstance<Application & Untyped>();
    class Request extends IncomingMessage {}
    class Response extends ServerResponse {}
    Object.setPrototypeOf(Request.prototype, app.request);
    Object.setPrototypeOf(Response.prototype, app.response);
    Object.assign(Request.prototype, { [SSE_ABORT_CONTROLLER]: NEVER_ABORTED });
    app.request = Request.prototype;
    app.response = Response.prototype;
    const options = {
      IncomingMessage: Request,
      ServerResponse: Response,
      connectionsCheckingInterval: Math.floor(this.headersTimeoutMs / 4),
      // Node itself would answer 400 and 417 with nothing in them. Who sends no Host is refused in the shell.
      requireHostHeader: false,
    };
    const server = createServer(options, (request, response) => {
      // Express calls back when it finds no path in the target, such as `http://`; no middleware has seen it then.
      app(request, response, () => server.emit('clientError', new Error('no path'), request.socket));
    });
    server.on('checkExpectation', (request, response) => {
      // One that is not known may be ignored (RFC 9110, section 10.1.1).
      server.emit('request', request, response);
    });
    this.setHttpServer(server);
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { answerProblem } from '../errors/problem.filter.js';
import { Problem } from '../errors/problem.js';
import { whenRead } from './response-over.js';

const LIFT = Symbol('lift the deadline');

type Timed = IncomingMessage & { [LIFT]?: () => void };

/**
 * Gives each body a time to arrive in, on any route, read or not, before and after authentication; Node's own timeout
 * would hold for uploads that last for hours as well. Too late, it is answered with 408 `body-timeout` where there is no
 * answer yet, and its connection is closed. A request without a body costs nothing.
 *
 * @param ms from the headers of the request on
 */
export function bodyDeadline(
  ms: number,
): (request: IncomingMessage & { id?: unknown }, response: ServerResponse, next: () => void) => void {
  return (request, response, next) => {
    if (hasBody(request)) {
      const timer = setTimeout(() => {
        expire(request, response);
      }, ms);
      const lift = (): void => {
        clearTimeout(timer);
      };
      (request as Timed)[LIFT] = lift;
      whenRead(request, lift);
    }
    next();
  };
}

/** For a body that has a rule of its own. */
export function liftBodyDeadline(request: IncomingMessage): void {
  (request as Timed)[LIFT]?.();
}

/** RFC 9112, section 6. */
function hasBody({ headers }: IncomingMessage): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = headers;
  return length !== '0' || encoding !== undefined;
}

function expire(request: IncomingMessage & { id?: unknown }, response: ServerResponse): void {
  // It has come, and nobody reads it.
  if (request.complete) return;
  if (response.headersSent) {
    request.socket.destroy();
    return;
  }
  answerProblem(
    response,
    new Problem('body-timeout'),
    typeof request.id === 'string' ? request.id : undefined,
  );
}

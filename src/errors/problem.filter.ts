import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { Catch, HttpException, Logger } from '@nestjs/common';
import type { Request } from 'express';
import type { ServerResponse } from 'node:http';
import { isNativeError } from 'node:util/types';

import { Outage } from './outage.js';
import { codeOf, type ProblemCode } from './catalogue.js';
import { Problem } from './problem.js';

const answered = new WeakMap<ServerResponse, ProblemCode>();

/** The problem that a request was answered with; undefined when there was none. */
export function answeredWith(response: ServerResponse): ProblemCode | undefined {
  return answered.get(response);
}

/**
 * Answers whatever was thrown, by a controller, a guard, a parser or the router, as problem details. What is not
 * a `Problem` is a defect of ours unless Express or Nest gave it a status below 500: the client learns nothing of
 * it but the request id, under which the log has all of it.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger(ProblemFilter.name);

  catch(exception: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<Request & { id?: unknown }>();
    const requestId = typeof request.id === 'string' ? request.id : undefined;
    const problem = problemOf(exception);
    const response = http.getResponse<ServerResponse>();
    // It was answered already, perhaps because its body did not come in time.
    if (response.writableEnded && isSecondAnswer(exception)) return;
    this.log(problem, requestId);
    answerProblem(response, problem, requestId);
  }

  private log(problem: Problem, requestId: string | undefined): void {
    const { cause } = problem;
    if (problem.code === 'internal') this.logger.error({ err: cause, requestId, msg: 'request failed' });
    else if (cause !== undefined && problem.status >= 500) {
      this.logger.warn({ err: cause, requestId, msg: `request refused: ${problem.code}` });
    }
  }
}

function isSecondAnswer(exception: unknown): boolean {
  return isNativeError(exception) && 'code' in exception && exception.code === 'ERR_HTTP_HEADERS_SENT';
}

/** @param requestId what the log has the request under */
export function answerProblem(
  response: ServerResponse,
  problem: Problem,
  requestId: string | undefined,
): void {
  answered.set(response, problem.code);
  if (response.headersSent) {
    // The status is gone and half an answer must not pass for a whole one: cutting the connection tells the client.
    if (!response.writableEnded) response.destroy();
    return;
  }
  const { retryAfterSeconds } = problem;
  if (retryAfterSeconds !== undefined)
    response.setHeader('Retry-After', String(Math.ceil(retryAfterSeconds)));
  if (problem.status === 401) response.setHeader('WWW-Authenticate', 'Bearer');
  // RFC 9110, section 15.5.9: what of the request may still come is not waited for.
  if (problem.status === 408) response.setHeader('Connection', 'close');
  const body = Buffer.from(JSON.stringify(problem.details(requestId)));
  response.statusCode = problem.status;
  response.setHeader('Content-Type', 'application/problem+json');
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Content-Length', body.length);
  // Node leaves the body out when the request was HEAD.
  response.end(body);
}

function problemOf(exception: unknown): Problem {
  if (exception instanceof Problem) return exception;
  if (exception instanceof Outage) {
    return new Problem('database-unavailable', 'Try again after the time in Retry-After.', {
      cause: exception,
    });
  }
  // body-parser and Nest each dress up what is thrown while a body is read.
  if (exception instanceof HttpException && exception.cause instanceof Problem) return exception.cause;
  if (exception instanceof HttpException && exception.getStatus() < 500) {
    const code = codeOfHttp(exception);
    // Only these say more than the catalogue does: where the JSON broke off, what in the URL could not be decoded.
    const detail = code === 'json-invalid' || code === 'request-invalid' ? exception.message : undefined;
    return new Problem(code, detail, { cause: exception });
  }
  return new Problem('internal', undefined, { cause: exception ?? new Error('nothing was thrown') });
}

/** body-parser gives its errors a `type`: one of them is JSON that does not parse, the others are of their status. */
function codeOfHttp(exception: HttpException) {
  const { cause } = exception;
  const type = cause instanceof Error && 'type' in cause ? cause.type : undefined;
  if (type === 'entity.parse.failed') return 'json-invalid';
  return codeOf(exception.getStatus());
}

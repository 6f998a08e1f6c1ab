import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { Problem } from './problem.js';

/**
 * The parsed JSON body of a request; undefined when it has none. One that was sent and not parsed must not pass for none.
 *
 * @throws Problem `media-type-unsupported`
 */
export const JsonBody = createParamDecorator((_data: unknown, context: ExecutionContext): unknown => {
  const request: Omit<Request, 'body'> & { body?: unknown } = context.switchToHttp().getRequest<Request>();
  const { body, headers } = request;
  if (body !== undefined) return body;
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = headers;
  if (length === '0' && encoding === undefined) return undefined;
  throw new Problem('media-type-unsupported');
});

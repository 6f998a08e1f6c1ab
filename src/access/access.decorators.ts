import type { CustomDecorator, ExecutionContext } from '@nestjs/common';
import { createParamDecorator, SetMetadata } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { IncomingMessage } from 'node:http';

import { type Caller, callerOf, type TurnedAway, turnedAway } from './caller.js';

/** What a credential may do, besides reading the topics it grants. */
type ScopeName = 'publish' | 'inbox' | 'jobs' | 'tickets' | 'admin';

export const PUBLIC = 'belfry:public';

/** A route that looks at no credential. */
export function Public(): CustomDecorator {
  return SetMetadata(PUBLIC, true);
}

/** A route that needs a credential with this scope. */
export const Scope = Reflector.createDecorator<ScopeName>();

/** The caller of a route that is not public. */
export const CurrentCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller => {
  const caller = callerOf(context.switchToHttp().getRequest<IncomingMessage>());
  if (caller === undefined) throw new Error('a public route has no caller');
  return caller;
});

/** The caller of a stream, or why there is to be none. */
export const StreamCaller = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Caller | TurnedAway => {
    const request = context.switchToHttp().getRequest<IncomingMessage>();
    const caller = turnedAway(request) ?? callerOf(request);
    if (caller === undefined) throw new Error('a public route has no caller');
    return caller;
  },
);

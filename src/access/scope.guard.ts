import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { IncomingMessage } from 'node:http';
import { Problem } from '../errors/problem.js';
import { Scope } from './access.decorators.js';
import { callerOf, turnedAway } from './caller.js';

/** Lets a caller pass who has the scope that the route asks for. It comes last, so that those without it are counted too. */
@Injectable()
export class ScopeGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<IncomingMessage>();
    // It is told in the stream, and gets nothing else.
    if (turnedAway(request) !== undefined) return true;
    const route = [context.getHandler(), context.getClass()];
    const scope = this.reflector.getAllAndOverride(Scope, route) as string | undefined;
    if (scope === undefined || callerOf(request)?.scopes.has(scope) === true) return true;
    throw new Problem('scope-missing', `Use a credential with the scope "${scope}".`);
  }
}

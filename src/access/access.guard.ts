import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { Inject, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { parseCookie } from 'cookie';
import type { IncomingMessage } from 'node:http';

import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import { PUBLIC, Scope } from './access.decorators.js';
import type { Caller } from './caller.js';
import { identify } from './caller.js';
import { isOwnOrigin } from './origin.js';
import { TokenVerifier } from './token.verifier.js';

const COOKIE = 'belfry_token';
/** Methods that change nothing (RFC 9110, section 9.2.1), so that a forged request gains nothing. */
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Lets a request pass that carries a good credential with the scope its route asks for, and notes its caller. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly verifier: TokenVerifier,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const route = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC, route) === true) return true;

    const request = context.switchToHttp().getRequest<IncomingMessage>();
    const caller = await this.callerOf(request);
    const scope = this.reflector.getAllAndOverride(Scope, route) as string | undefined;
    if (scope !== undefined && !caller.scopes.has(scope)) {
      throw new Problem('scope-missing', `Use a credential with the scope "${scope}".`);
    }
    identify(request, caller);
    return true;
  }

  private async callerOf(request: IncomingMessage): Promise<Caller> {
    const token = bearerOf(request);
    if (token !== undefined) return this.verifier.verify(token);

    const cookie = parseCookie(request.headers.cookie ?? '')[COOKIE];
    if (cookie === undefined || cookie === '') throw new Problem('token-missing');
    // A browser adds the cookie to whatever any page sends here: only Origin tells whose page it was.
    if (!SAFE_METHODS.has(request.method ?? '') && !isOwnOrigin(request, this.config.corsOrigins)) {
      throw new Problem('origin-forbidden');
    }
    return this.verifier.verify(cookie);
  }
}

/** The token of RFC 6750, section 2.1. Another scheme is not ours: a proxy in front may want it. */
function bearerOf(request: IncomingMessage): string | undefined {
  return /^bearer +(\S.*)$/i.exec(request.headers.authorization ?? '')?.[1]?.trimEnd();
}

import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { Inject, Injectable } from '@nestjs/common';
import { SSE_METADATA } from '@nestjs/common/constants.js';
import { Reflector } from '@nestjs/core';
import { parseCookie } from 'cookie';
import type { Request } from 'express';

import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.js';
import { Outage } from '../errors/outage.js';
import { Problem } from '../errors/problem.js';
import { PUBLIC } from './access.decorators.js';
import { KEY_PREFIX } from './api.key.js';
import { ApiKeys } from './api.keys.js';
import { type Caller, identify, type TurnedAway, turnAway } from './caller.js';
import { isOwnOrigin } from './origin.js';
import { Revocations } from './revocations.js';
import { Tickets } from './tickets.js';
import { TokenVerifier } from './token.verifier.js';

const COOKIE = 'belfry_token';
/** Methods that change nothing (RFC 9110, section 9.2.1), so that a forged request gains nothing. */
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Lets a request pass that carries a good credential, and notes its caller. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly verifier: TokenVerifier,
    private readonly keys: ApiKeys,
    private readonly tickets: Tickets,
    private readonly revocations: Revocations,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const route = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC, route) === true) return true;

    const request = context.switchToHttp().getRequest<Request>();
    const isStream = this.reflector.get<boolean | undefined>(SSE_METADATA, context.getHandler()) === true;
    try {
      identify(request, await this.callerOf(request, isStream));
    } catch (error) {
      const reason = isStream ? comesBack(error, request) : undefined;
      if (!reason) throw error;
      turnAway(request, reason);
    }
    return true;
  }

  private async callerOf(request: Request, isStream: boolean): Promise<Caller> {
    const caller = await this.identityOf(request, isStream);
    const revoked = this.revocations.find(caller);
    if (revoked) throw new Problem(revoked);
    return caller;
  }

  private async identityOf(request: Request, isStream: boolean): Promise<Caller> {
    const token = bearerOf(request);
    if (token?.startsWith(KEY_PREFIX) === true) return this.keys.verify(token);
    if (token !== undefined) return this.verifier.verify(token);

    const { ticket } = request.query;
    if (ticket !== undefined && isStream && request.method === 'GET') {
      return this.tickets.spend(typeof ticket === 'string' ? ticket : '');
    }

    const cookie = parseCookie(request.headers.cookie ?? '')[COOKIE];
    if (cookie === undefined || cookie === '') throw new Problem('token-missing');
    // A browser adds the cookie to whatever any page sends here: only Origin tells whose page it was.
    if (!SAFE_METHODS.has(request.method) && !isOwnOrigin(request, this.config.corsOrigins)) {
      throw new Problem('origin-forbidden');
    }
    return this.verifier.verify(cookie);
  }
}

/**
 * Why a stream is refused in the stream itself, where trying again is the thing to do: a browser's EventSource gives up for
 * ever on any status but 200.
 */
function comesBack(error: unknown, { headers }: Request): TurnedAway | undefined {
  if (error instanceof Outage) return 'overload';
  if (!(error instanceof Problem)) return undefined;
  if (error.code === 'ticket-spent' && headers['last-event-id'] !== undefined) return 'ticket-spent';
  return error.status === 503 || error.status === 429 ? 'overload' : undefined;
}

/** The token of RFC 6750, section 2.1. Another scheme is not ours: a proxy in front may want it. */
function bearerOf(request: Request): string | undefined {
  return /^bearer +(\S.*)$/i.exec(request.headers.authorization ?? '')?.[1]?.trimEnd();
}

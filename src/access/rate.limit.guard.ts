import { type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { SSE_METADATA } from '@nestjs/common/constants.js';
import { ThrottlerGuard, type ThrottlerLimitDetail, type ThrottlerModuleOptions } from '@nestjs/throttler';
import type { IncomingMessage } from 'node:http';
import { CONFIG, type Config } from '../config/config.js';
import { Problem } from '../errors/problem.js';
import { type Caller, callerOf, isBackend, turnAway } from './caller.js';
import { RateWindows } from './rate.windows.js';

const MINUTE_MS = 60_000;

/** What the throttler has to know: one limit for all routes together, and no headers about it on each answer. */
export function rateLimits(config: Config): ThrottlerModuleOptions {
  const limit = (context: ExecutionContext): number => limitOf(callerOf(requestOf(context)), config);
  return { throttlers: [{ ttl: MINUTE_MS, limit }], storage: new RateWindows(), setHeaders: false };
}

/**
 * Limits how often a caller may ask this instance, on all routes together. It comes after the `AccessGuard`: a public
 * route has no caller and no limit.
 */
@Injectable()
export class RateLimitGuard extends ThrottlerGuard {
  @Inject(CONFIG) private readonly config!: Config;

  /** Before anything is looked up or counted. */
  protected override shouldSkip(context: ExecutionContext): Promise<boolean> {
    return Promise.resolve(limitOf(callerOf(requestOf(context)), this.config) === 0);
  }

  protected override generateKey(context: ExecutionContext): string {
    const caller = callerOf(requestOf(context));
    if (caller === undefined) throw new Error('only who is known is counted');
    const { keyId, tenant, sub } = caller;
    if (keyId !== undefined && isBackend(caller)) return `key ${keyId}`;
    // There is no space in the name of a tenant.
    return `${isBackend(caller) ? 'backend' : 'user'} ${tenant} ${sub}`;
  }

  /** The key says who it is; an address would say nothing. */
  protected override getTracker(): Promise<string> {
    return Promise.resolve('');
  }

  /** A stream is let through, to be told in its own way: a browser gives up for ever on any status but 200. */
  protected override throwThrottlingException(
    context: ExecutionContext,
    { timeToBlockExpire }: ThrottlerLimitDetail,
  ): Promise<void> {
    if (this.reflector.get<boolean | undefined>(SSE_METADATA, context.getHandler()) !== true) {
      return Promise.reject(new Problem('rate-limited', undefined, { retryAfterSeconds: timeToBlockExpire }));
    }
    const request = requestOf(context);
    turnAway(request, callerOf(request)?.byTicket ? 'ticket-spent' : 'overload');
    return Promise.resolve();
  }
}

function requestOf(context: ExecutionContext): IncomingMessage {
  return context.switchToHttp().getRequest<IncomingMessage>();
}

/** Requests in a minute; 0: no limit. */
function limitOf(
  caller: Caller | undefined,
  { userRequestsPerMinute, backendRequestsPerMinute }: Config,
): number {
  if (caller === undefined) return 0;
  return isBackend(caller) ? backendRequestsPerMinute : userRequestsPerMinute;
}

import type { DynamicModule } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ThrottlerModule } from '@nestjs/throttler';

import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.js';
import { DatabaseModule } from '../database/database.module.js';
import { TailModule } from '../tail/tail.module.js';
import { AccessGuard } from './access.guard.js';
import { ApiKeys } from './api.keys.js';
import { DemoController } from './demo.controller.js';
import { IssuerKeys } from './issuer.keys.js';
import { JwtSecret } from './jwt-secret.js';
import { KeysController } from './keys.controller.js';
import { RateLimitGuard, rateLimits } from './rate.limit.guard.js';
import { Revocations } from './revocations.js';
import { RevocationsController } from './revocations.controller.js';
import { ScopeGuard } from './scope.guard.js';
import { Tickets } from './tickets.js';
import { TicketsController } from './tickets.controller.js';
import { TokenCache } from './token.cache.js';
import { TokenVerifier } from './token.verifier.js';

/** Credentials: every route needs one unless it says that it is public. */
@Module({})
export class AccessModule {
  static forRoot(config: Config): DynamicModule {
    return {
      module: AccessModule,
      // What a credential may do is asked for everywhere.
      global: true,
      imports: [DatabaseModule, TailModule, ThrottlerModule.forRoot(rateLimits(config))],
      controllers: [
        KeysController,
        RevocationsController,
        TicketsController,
        ...(config.demo ? [DemoController] : []),
      ],
      providers: [
        { provide: JwtSecret, useFactory: (given: Config) => JwtSecret.load(given), inject: [CONFIG] },
        TokenCache,
        IssuerKeys,
        TokenVerifier,
        ApiKeys,
        Tickets,
        Revocations,
        // In this order: who asks, how often, and for what they may have.
        { provide: APP_GUARD, useClass: AccessGuard },
        { provide: APP_GUARD, useClass: RateLimitGuard },
        { provide: APP_GUARD, useClass: ScopeGuard },
      ],
      exports: [Revocations],
    };
  }
}

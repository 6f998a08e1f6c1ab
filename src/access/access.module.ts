import type { DynamicModule } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';

import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.js';
import { AccessGuard } from './access.guard.js';
import { DemoController } from './demo.controller.js';
import { JwtSecret } from './jwt-secret.js';
import { TokenCache } from './token.cache.js';
import { TokenVerifier } from './token.verifier.js';

/** Credentials: every route needs one unless it says that it is public. */
@Module({})
export class AccessModule {
  static forRoot(config: Config): DynamicModule {
    return {
      module: AccessModule,
      controllers: config.demo ? [DemoController] : [],
      providers: [
        { provide: JwtSecret, useFactory: (given: Config) => JwtSecret.load(given), inject: [CONFIG] },
        TokenCache,
        TokenVerifier,
        { provide: APP_GUARD, useClass: AccessGuard },
      ],
      exports: [TokenVerifier],
    };
  }
}

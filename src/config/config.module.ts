import type { DynamicModule } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { ConfigModule as NestConfigModule, registerAs } from '@nestjs/config';

import type { Config } from './config.js';
import { CONFIG } from './config.js';

/**
 * Gives every module the same frozen `Config`. The environment was read before: two applications with different
 * configurations can run in one process.
 */
@Module({})
export class ConfigModule {
  static forRoot(config: Config): DynamicModule {
    const belfry = registerAs('belfry', () => config);
    return {
      module: ConfigModule,
      global: true,
      imports: [NestConfigModule.forRoot({ ignoreEnvFile: true, skipProcessEnv: true, load: [belfry] })],
      providers: [{ provide: CONFIG, useExisting: belfry.KEY }],
      exports: [CONFIG],
    };
  }
}

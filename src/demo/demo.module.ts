import type { DynamicModule } from '@nestjs/common';
import { Module } from '@nestjs/common';

import type { Config } from '../config/config.js';
import { DemoPages } from './demo.pages.js';
import { DemoPagesController } from './demo.pages.controller.js';

@Module({})
export class DemoModule {
  static forRoot(config: Config): DynamicModule {
    return {
      module: DemoModule,
      controllers: config.demo ? [DemoPagesController] : [],
      providers: config.demo ? [DemoPages] : [],
    };
  }
}

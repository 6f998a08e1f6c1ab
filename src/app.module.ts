import type { DynamicModule } from '@nestjs/common';
import { Module } from '@nestjs/common';

import { AccessModule } from './access/access.module.js';
import type { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import { DemoModule } from './demo/demo.module.js';
import { ErrorsModule } from './errors/errors.module.js';
import { EventsModule } from './events/events.module.js';
import { InboxModule } from './inbox/inbox.module.js';
import { LogModule } from './log/log.module.js';
import { LogMetrics } from './operations/log.metrics.js';
import { LogReadiness } from './operations/log.readiness.js';
import { OperationsModule } from './operations/operations.module.js';
import { StreamModule } from './stream/stream.module.js';
import { TailModule } from './tail/tail.module.js';

/** The whole service. */
@Module({})
export class AppModule {
  static forRoot(config: Config): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot(config),
        ErrorsModule,
        AccessModule.forRoot(config),
        OperationsModule,
        LogModule,
        TailModule,
        StreamModule,
        EventsModule,
        InboxModule,
        DemoModule.forRoot(config),
      ],
      providers: [LogMetrics, LogReadiness],
    };
  }
}

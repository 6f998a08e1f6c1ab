import { Global, Module } from '@nestjs/common';

import { HealthController } from './health.controller.js';
import { KeepAlive } from './keep.alive.js';
import { Readiness } from './readiness.js';

/** Global, because every part that can fail registers its check with `Readiness`. */
@Global()
@Module({
  controllers: [HealthController],
  providers: [KeepAlive, Readiness],
  exports: [KeepAlive, Readiness],
})
export class OperationsModule {}

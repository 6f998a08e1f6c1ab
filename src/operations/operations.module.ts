import { Global, Module } from '@nestjs/common';

import { HealthController } from './health.controller.js';
import { HttpMetrics } from './http.metrics.js';
import { KeepAlive } from './keep.alive.js';
import { MetricsController } from './metrics.controller.js';
import { Metrics } from './metrics.js';
import { Readiness } from './readiness.js';

/** Global, because every part registers with `Readiness` what can fail, and with `Metrics` what it counts. */
@Global()
@Module({
  controllers: [HealthController, MetricsController],
  providers: [HttpMetrics, KeepAlive, Metrics, Readiness],
  exports: [HttpMetrics, KeepAlive, Metrics, Readiness],
})
export class OperationsModule {}

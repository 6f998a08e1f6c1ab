import { Module } from '@nestjs/common';
import { LogModule } from '../log/log.module.js';
import { StreamModule } from '../stream/stream.module.js';
import { TailModule } from '../tail/tail.module.js';
import { EventsController } from './events.controller.js';
import { EventsMetrics } from './events.metrics.js';
import { History } from './history.js';
import { LinePublisher } from './line.publisher.js';
import { Publisher } from './publisher.js';

@Module({
  imports: [LogModule, StreamModule, TailModule],
  controllers: [EventsController],
  providers: [Publisher, LinePublisher, History, EventsMetrics],
  exports: [Publisher],
})
export class EventsModule {}

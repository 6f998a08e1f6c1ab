import { Module } from '@nestjs/common';
import { LogModule } from '../log/log.module.js';
import { TailModule } from '../tail/tail.module.js';
import { Connections } from './connections.js';
import { CursorJudge } from './cursor.judge.js';
import { ReplayPages } from './replay.pages.js';
import { Router } from './router.js';
import { StreamController } from './stream.controller.js';
import { StreamMetrics } from './stream.metrics.js';
import { StreamTally } from './stream.tally.js';
import { Subscriptions } from './subscriptions.js';
import { UserStreams } from './user.streams.js';

@Module({
  imports: [LogModule, TailModule],
  controllers: [StreamController],
  providers: [
    Connections,
    CursorJudge,
    ReplayPages,
    Router,
    StreamMetrics,
    StreamTally,
    Subscriptions,
    UserStreams,
  ],
  exports: [Connections, CursorJudge, ReplayPages, Router],
})
export class StreamModule {}

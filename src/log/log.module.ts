import { Module } from '@nestjs/common';
import { DatabaseModule } from '../database/database.module.js';
import { Appender } from './appender.js';
import { Epochs } from './epochs.js';
import { LogReader } from './log.reader.js';
import { OutboxDrainer } from './outbox.drainer.js';
import { OutboxTally } from './outbox.tally.js';
import { Partitions } from './partitions.js';
import { Retention } from './retention.js';

@Module({
  imports: [DatabaseModule],
  providers: [Appender, Epochs, LogReader, OutboxDrainer, OutboxTally, Partitions, Retention],
  exports: [Appender, Epochs, LogReader, OutboxDrainer, OutboxTally],
})
export class LogModule {}

import { Module } from '@nestjs/common';
import { DatabaseModule } from '../database/database.module.js';
import { Appender } from './appender.js';
import { Epochs } from './epochs.js';
import { LogReader } from './log.reader.js';
import { Partitions } from './partitions.js';

@Module({
  imports: [DatabaseModule],
  providers: [Appender, Epochs, LogReader, Partitions],
  exports: [Appender, Epochs, LogReader],
})
export class LogModule {}

import { Module } from '@nestjs/common';
import { DatabaseModule } from '../database/database.module.js';
import { LogModule } from '../log/log.module.js';
import { Doorbell } from './doorbell.js';
import { Tail } from './tail.js';

@Module({
  imports: [DatabaseModule, LogModule],
  providers: [Doorbell, Tail],
  exports: [Doorbell, Tail],
})
export class TailModule {}

import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { LogReader } from '../log/log.reader.js';
import { Doorbell } from '../tail/doorbell.js';
import { Tail } from '../tail/tail.js';
import { Readiness } from './readiness.js';

/** An instance that has not known for so long how far the log goes should get no new clients, in milliseconds. */
const MAX_STALE_MS = 10_000;

/** What the log and the tail have to say about being ready. */
@Injectable()
export class LogReadiness implements OnApplicationBootstrap {
  constructor(
    private readonly readiness: Readiness,
    private readonly reader: LogReader,
    private readonly doorbell: Doorbell,
    private readonly tail: Tail,
  ) {}

  onApplicationBootstrap(): void {
    this.readiness.register('database', async () => {
      await this.reader.bounds();
      return { ok: true };
    });
    this.readiness.register('listener', () => ({ ok: this.doorbell.isListening }));
    this.readiness.register('lag', () => {
      const staleMs = Math.round(this.tail.staleMs);
      return { ok: staleMs < MAX_STALE_MS, staleMs };
    });
  }
}

import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { Subject } from 'rxjs';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { reasonOf } from '../errors/reason.js';
import { judge } from './append.error.js';
import { AppendSession, type Drained } from './append.session.js';
import { OutboxTally } from './outbox.tally.js';
import { Partitions } from './partitions.js';

/** Seqs that one call may need. */
const CHUNK = 500;
/** How long the answer of one call is waited for, in milliseconds. */
const TIMEOUT_MS = 15_000;

/**
 * Moves what was published by SQL from the outbox to the log. Every instance does; the lock of the log sees to it that no
 * row is moved twice.
 *
 *     waiting ─ bell, or its time is up ─► draining ─┬─ there is more ─► draining
 *        ▲                                          ├─ moved some ────► waiting, briefly
 *        └──────────────────────────────────────────┴─ nothing, or an error ─► waiting, each time twice as long
 *
 * The bell may be late, because only a few of the transactions that are open ring it: so it is not relied upon.
 */
@Injectable()
export class OutboxDrainer implements OnApplicationBootstrap, OnApplicationShutdown {
  /** A chunk, after its commit. */
  readonly drained = new Subject<Drained>();

  private readonly logger = new Logger(OutboxDrainer.name);
  private session: AppendSession | undefined;
  private running: Promise<void> | undefined;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private pauseMs: number;
  private failed = false;
  private stopped = false;

  constructor(
    private readonly database: Database,
    private readonly partitions: Partitions,
    private readonly tally: OutboxTally,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.pauseMs = config.outboxIdlePollMs;
  }

  async onApplicationBootstrap(): Promise<void> {
    const { maxDataBytes } = this.config;
    await this.database.query({
      text: 'update belfry.limits set max_data_bytes = $1 where max_data_bytes <> $1',
      values: [maxDataBytes],
    });
    this.wake();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
    await this.session?.close();
    await this.tally.stop();
    this.drained.complete();
  }

  /** Looks for something to move; now, or once more when it is looking already. */
  wake(): void {
    this.again = true;
    if (this.stopped) return;
    clearTimeout(this.timer);
    this.running ??= this.run();
  }

  private async run(): Promise<void> {
    let moved = false;
    try {
      while (this.again && !this.stopped) {
        this.again = false;
        if (await this.drain()) moved = true;
      }
      this.failed = false;
    } catch (error) {
      if (!this.failed) this.logger.warn(`the outbox could not be drained: ${reasonOf(error)}`);
      this.failed = true;
      await this.recover(error);
    }
    this.tally.look();
    const { outboxBusyPollMs, outboxIdlePollMs } = this.config;
    this.pauseMs = moved ? outboxBusyPollMs : Math.min(outboxIdlePollMs, this.pauseMs * 2);
    // In the turn in which nothing was left to do: a bell that comes later starts it again.
    this.running = undefined;
    if (this.stopped) return;
    if (this.again) this.wake();
    else
      this.timer = setTimeout(() => {
        this.wake();
      }, this.pauseMs);
  }

  /** @returns false when nothing was moved */
  private async drain(): Promise<boolean> {
    if (!this.session?.isOpen) {
      const { session } = await AppendSession.open(this.database, 'belfry-drain', TIMEOUT_MS);
      this.session = session;
    }
    const drained = await this.session.drain(TIMEOUT_MS);
    if (!drained) return false;
    this.tally.add(drained.moved, drained.rejected);
    this.partitions.headIsAt(drained.head);
    this.drained.next(drained);
    if (drained.more) this.again = true;
    return true;
  }

  /** What was not moved is there still, and what was is not: so the next try may come without knowing which. */
  private async recover(cause: unknown): Promise<void> {
    const verdict = judge(cause);
    if (verdict === 'no-partition') {
      await this.partitions.extend(CHUNK).then(
        () => (this.again = true),
        // Said by the next try.
        () => undefined,
      );
    } else if (verdict === 'refused-session' || verdict === 'unknown') {
      void this.session?.close();
      this.session = undefined;
    }
  }
}

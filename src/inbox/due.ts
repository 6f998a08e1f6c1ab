import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { reasonOf } from '../errors/reason.js';

/** What is due is looked for so often, in milliseconds; sooner when it is known that something will be. */
const PAUSE_MS = 1_000;
/** And at most so often, because somebody may hold what is due, in milliseconds. */
const SHORTEST_MS = 20;
/** What has expired is deleted so often, in milliseconds; half of it is random, so that instances take turns. */
const PRUNE_MS = 60_000;
/** Rows of each kind in one transaction. */
const AT_ONCE = 500;
const DELETED_AT_ONCE = 5_000;

const DELIVER = `select more, greatest(0, extract(epoch from next_at - clock_timestamp()) * 1000)::float8 as wait
  from belfry.deliver_due(${AT_ONCE})`;
const PRUNE = `select belfry.prune_inbox($1 * interval '1 hour', $2 * interval '1 hour', ${DELETED_AT_ONCE}) as deleted`;

/**
 * Does what is to happen to inboxes at a time: scheduled notifications are sent, snoozed ones come back, users are told of
 * those that expire, and old ones are deleted. Every instance does; what one has taken, the others leave. While the database
 * is away nothing is lost, and comes late.
 */
@Injectable()
export class Due implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(Due.name);
  private deliverTimer: NodeJS.Timeout | undefined;
  private pruneTimer: NodeJS.Timeout | undefined;
  private delivering: Promise<void> | undefined;
  private pruning: Promise<void> | undefined;
  private failed = false;
  private stopped = false;

  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  onApplicationBootstrap(): void {
    this.deliverIn(0);
    this.pruneIn(PAUSE_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.deliverTimer);
    clearTimeout(this.pruneTimer);
    await Promise.all([this.delivering, this.pruning]);
  }

  /** Deletes all that is older than `INBOX_RETENTION_DAYS`, now; but nothing whose event the log may still have. */
  async prune(): Promise<void> {
    const { inboxRetentionDays, retentionHours, dedupeHours } = this.config;
    // A partition of the log goes as a whole.
    const keepHours = Math.max(24 * inboxRetentionDays, 2 * retentionHours);
    const query = { text: PRUNE, values: [keepHours, dedupeHours] };
    while (!this.stopped) {
      const [row] = await this.database.inbox<{ deleted: number }>(query);
      if (row?.deleted !== DELETED_AT_ONCE) return;
    }
  }

  private deliverIn(ms: number): void {
    if (this.stopped) return;
    this.deliverTimer = setTimeout(() => {
      this.delivering = this.deliver();
    }, ms);
  }

  private pruneIn(ms: number): void {
    if (this.stopped) return;
    this.pruneTimer = setTimeout(
      () => {
        this.pruning = this.pruneOnce();
      },
      ms * (0.5 + Math.random() / 2),
    );
  }

  private async deliver(): Promise<void> {
    try {
      const [row] = await this.database.inbox<{ more: boolean; wait: number | null }>({
        name: 'due',
        text: DELIVER,
      });
      this.failed = false;
      this.deliverIn(
        row?.more === true ? 0 : Math.max(SHORTEST_MS, Math.min(PAUSE_MS, row?.wait ?? PAUSE_MS)),
      );
    } catch (error) {
      // Once, and not every second of an outage.
      if (!this.failed) this.logger.warn(`what is due could not be delivered: ${reasonOf(error)}`);
      this.failed = true;
      this.deliverIn(PAUSE_MS);
    }
  }

  private async pruneOnce(): Promise<void> {
    try {
      await this.prune();
    } catch (error) {
      this.logger.warn(`old notifications could not be deleted: ${reasonOf(error)}`);
    }
    this.pruneIn(PRUNE_MS);
  }
}

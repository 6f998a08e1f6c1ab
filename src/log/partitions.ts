import { Inject, Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { reasonOf } from '../errors/reason.js';

const EXTEND = 'select belfry.extend_log($1, $2) as covered';

/** Keeps partitions of the log attached ahead of its head: always the next two. */
@Injectable()
export class Partitions implements OnModuleInit {
  private readonly logger = new Logger(Partitions.name);
  /** The first seq without a partition. */
  private covered = 0;
  /** The newest seq that this instance heard of. */
  private head = 0;
  private extending: Promise<void> | undefined;

  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.extend();
  }

  /** To be told of every append; adds partitions in the background when the head comes near. */
  headIsAt(seq: number): void {
    this.head = seq;
    if (seq + this.ahead < this.covered || this.extending) return;
    this.extend().then(
      () => {
        // An append that came meanwhile may have used up what was just added.
        if (this.head !== seq) this.headIsAt(this.head);
      },
      (error: unknown) => {
        // The next append tries again, and an append that finds no partition waits for one.
        this.logger.error(`the log could not be given another partition: ${reasonOf(error)}`);
      },
    );
  }

  /**
   * Adds what is missing, now.
   *
   * @param events how many there must be room for, if they are more than two partitions hold
   */
  extend(events = 0): Promise<void> {
    this.extending ??= this.database
      .query<{ covered: string }>({
        name: 'extend-log',
        text: EXTEND,
        values: [this.config.partitionEvents, Math.max(this.ahead, events)],
      })
      .then(([row]) => {
        this.covered = Number(row?.covered);
      })
      .finally(() => (this.extending = undefined));
    return this.extending;
  }

  private get ahead(): number {
    return 2 * this.config.partitionEvents;
  }
}

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
    if (seq + this.ahead < this.covered || this.extending) return;
    this.extend().catch((error: unknown) => {
      // The next append tries again, and an append that finds no partition waits for one.
      this.logger.error(`the log could not be given another partition: ${reasonOf(error)}`);
    });
  }

  /** Adds what is missing, now. */
  extend(): Promise<void> {
    this.extending ??= this.database
      .query<{ covered: string }>({
        name: 'extend-log',
        text: EXTEND,
        values: [this.config.partitionEvents, this.ahead],
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

import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { type Caller, isBackend } from '../access/caller.js';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';
import { waitAtMost } from '../database/patience.js';
import { reasonOf } from '../errors/reason.js';
import { StreamCounts } from './stream.counts.js';

/** Instances tell each other so often, in milliseconds. */
const EXCHANGE_MS = 2_000;
/** What was heard counts for so long, in milliseconds: an instance that died takes its streams along. */
const FRESH_MS = 10_000;
/** The others hear of users with at least the limit divided by this, so that the row of an instance stays small. */
const TOLD_PARTS = 20;
/** How long a shutdown waits for the row to be gone, in milliseconds. The others forget it by themselves. */
const GOODBYE_MS = 1_000;

/** All in one round trip: this instance's row is written, forgotten ones are deleted, those of the others are read. */
const EXCHANGE = {
  name: 'exchange-streams',
  text: `
    with own as (
      insert into belfry.instances (id, seen_at, streams) values ($1, clock_timestamp(), $2)
      on conflict (id) do update set seen_at = excluded.seen_at, streams = excluded.streams
    ), forgotten as (
      delete from belfry.instances where id <> $1 and seen_at < clock_timestamp() - interval '1 hour'
    )
    select streams from belfry.instances
    where id <> $1 and seen_at > clock_timestamp() - interval '${FRESH_MS} milliseconds'`,
};
const LEAVE = { text: 'delete from belfry.instances where id = $1' };

/**
 * Limits how many streams a user has open, on all instances together; a read that waits is one of them. Those of this
 * instance are counted as they come and go; those of the others are as they last told in `belfry.instances`, every two
 * seconds. A connect never asks the database, and one that cannot be asked keeps nobody away.
 *
 * The limit is exact on one instance. On several, users who open streams everywhere within a few seconds may get as many
 * on each; and on each other instance almost a twentieth of the limit goes unnoticed.
 */
@Injectable()
export class UserStreams implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(UserStreams.name);
  private readonly id = randomUUID();
  /** 0: no limit, and nothing is counted or told. */
  private readonly limit: number;
  private readonly here = new StreamCounts();
  private elsewhere = new StreamCounts();
  /** By the monotonic clock. */
  private heardAt = -Infinity;
  /** What there is to tell; undefined when a stream came or went since it was put together. */
  private news: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private exchanging: Promise<void> | undefined;
  private isCutOff = false;
  private stopped = false;

  constructor(
    private readonly database: Database,
    @Inject(CONFIG) { maxConnectionsPerUser }: Config,
  ) {
    this.limit = maxConnectionsPerUser;
  }

  onApplicationBootstrap(): void {
    if (this.limit > 0) this.exchange();
  }

  /** Counts a new stream, to be taken back by `leave`. @returns false when its user has as many as there may be */
  enter(caller: Caller): boolean {
    if (!this.isCounted(caller)) return true;
    const { tenant, sub } = caller;
    const open = this.here.of(tenant, sub) + (this.isFresh ? this.elsewhere.of(tenant, sub) : 0);
    if (open >= this.limit) return false;
    this.here.add(tenant, sub, 1);
    this.news = undefined;
    return true;
  }

  /** To be called once for each stream that entered. */
  leave(caller: Caller): void {
    if (!this.isCounted(caller)) return;
    this.here.add(caller.tenant, caller.sub, -1);
    this.news = undefined;
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    if (!this.exchanging) return;
    const gone = this.exchanging
      .then(() => this.database.query({ ...LEAVE, values: [this.id] }))
      .catch((error: unknown) => {
        this.logger.warn(`the row of this instance stays until it is forgotten: ${reasonOf(error)}`);
      });
    await waitAtMost(GOODBYE_MS, gone);
  }

  private isCounted(caller: Caller): boolean {
    return this.limit > 0 && !isBackend(caller);
  }

  private get isFresh(): boolean {
    return performance.now() - this.heardAt < FRESH_MS;
  }

  private exchange(): void {
    this.exchanging = this.tellAndHear().then(() => {
      if (this.stopped) return;
      this.timer = setTimeout(() => {
        this.exchange();
      }, EXCHANGE_MS);
    });
  }

  private async tellAndHear(): Promise<void> {
    this.news ??= this.here.toJson(Math.ceil(this.limit / TOLD_PARTS));
    const asked = performance.now();
    try {
      const rows = await this.database.query<{ streams: unknown }>({
        ...EXCHANGE,
        values: [this.id, this.news],
      });
      this.elsewhere = StreamCounts.sumOf(rows.map(({ streams }) => streams));
      this.heardAt = asked;
      this.isCutOff = false;
    } catch (error) {
      // Tried again as if nothing had happened; said once.
      if (!this.isCutOff) {
        this.logger.warn(`the streams of users are counted on this instance alone: ${reasonOf(error)}`);
      }
      this.isCutOff = true;
    }
  }
}

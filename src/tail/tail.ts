import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { filter, firstValueFrom, merge, startWith, Subject } from 'rxjs';
import { CONFIG, type Config } from '../config/config.js';
import { reasonOf } from '../errors/reason.js';
import type { AppendedEvents } from '../log/append.batch.js';
import { Appender } from '../log/appender.js';
import { Epochs } from '../log/epochs.js';
import type { LogEvent } from '../log/event.js';
import { type Bounds, LogReader } from '../log/log.reader.js';
import { OutboxDrainer } from '../log/outbox.drainer.js';
import { Doorbell } from './doorbell.js';
import { FramedEvent } from './frame.js';
import { Ring } from './ring.js';

/** The log is looked at so often even when no bell rings, in milliseconds. */
const SAFETY_POLL_MS = 1_000;
/** While the database is away it is tried so often, in milliseconds. */
const RECHECK_MS = 100;
/** Rung by transactions that publish by SQL. */
const OUTBOX_CHANNEL = 'belfry_outbox';
/** Frames that are handed on together, in bytes; a single one may be larger. */
const SLICE_BYTES = 256 * 1024;

/**
 * Follows the log: the one reader of an instance. Each event is taken once, in order, whichever way it comes:
 *
 * - from a bell, the safety poll or a new LISTEN session: hints, on which the log is read after the position;
 * - from this instance's own appends, when they are the very next ones.
 *
 * Reading is asynchronous and taking is not, so a page may hold events that were taken meanwhile: they are skipped.
 *
 * Its position only grows, except at a fork: what was taken past it is no part of the log any more. Every answer of the
 * log says in which epoch it was given, and nothing is taken of one that is not known yet.
 */
@Injectable()
export class Tail implements OnApplicationBootstrap, OnApplicationShutdown {
  /** Events as they are taken, at least one at a time, after they are in the ring. */
  readonly taken = new Subject<readonly FramedEvent[]>();
  /** Emits when events were dropped before they could be taken, with the position before the gap. */
  readonly gap = new Subject<number>();
  /** Emits when the log was forked before the position, with the position that is left. */
  readonly cutBack = new Subject<number>();
  /** Emits when another epoch is known, after that. */
  readonly forked = new Subject<void>();
  readonly ring: Ring;

  private readonly logger = new Logger(Tail.name);
  private reading: Promise<void> | undefined;
  private readAgain = false;
  private checking: Promise<void> | undefined;
  private recheck: NodeJS.Timeout | undefined;
  private lookedAt = 0;
  private poll: NodeJS.Timeout | undefined;
  private stopped = false;
  private oldest = 1;
  private newest = 0;
  private away = false;
  /** The database's clock minus the monotonic one, in milliseconds. */
  private clockOffset = 0;
  /** How often the session of the bell was lost or made anew, perhaps at another server, and how many of that were looked into. */
  private doubts = 1;
  private settled = 0;

  constructor(
    private readonly reader: LogReader,
    private readonly epochs: Epochs,
    private readonly doorbell: Doorbell,
    private readonly appender: Appender,
    private readonly drainer: OutboxDrainer,
    @Inject(CONFIG) config: Config,
  ) {
    this.ring = new Ring(config.ringEvents, config.ringBytes);
    this.epochs.forked.subscribe(at => {
      this.cut(at);
      this.forked.next();
    });
    // Channels are made known before the bell is listened to.
    this.doorbell.channel(OUTBOX_CHANNEL).subscribe(() => {
      this.drainer.wake();
    });
  }

  /** Everything up to this seq was taken. */
  get position(): number {
    return this.ring.end;
  }

  /** Now, by the database's clock as last read, in milliseconds since 1970. */
  get databaseNow(): number {
    return performance.now() + this.clockOffset;
  }

  /** The oldest seq that the log still keeps, as last read. */
  get floor(): number {
    return this.oldest;
  }

  /** The newest seq of the log, as last read or taken. */
  get head(): number {
    return Math.max(this.newest, this.position);
  }

  /** True while the database cannot be asked how far the log goes: what is in memory may be old. */
  get isAway(): boolean {
    return this.away;
  }

  /** Milliseconds since this instance last knew how far the log goes. */
  get staleMs(): number {
    return performance.now() - this.lookedAt;
  }

  /** Resolves when the position is at least this seq, or another epoch began. Rejects when the tail stops before that. */
  async reaches(seq: number): Promise<void> {
    const there = this.taken.pipe(
      startWith([]),
      filter(() => this.position >= seq),
    );
    await firstValueFrom(merge(there, this.forked));
  }

  async onApplicationBootstrap(): Promise<void> {
    // LISTEN comes before the head is read: what is appended in between rings.
    await this.doorbell.start();
    await this.checkEpoch();
    const { head } = await this.look();
    this.ring.restart(head);

    this.appender.appended.subscribe(appended => {
      this.takeOwn(appended);
      this.doorbell.ring(appended.head + appended.events.length);
    });
    this.doorbell.heard.subscribe(announced => {
      if (announced > this.position) this.read();
    });
    this.drainer.drained.subscribe(({ head }) => {
      this.doorbell.ring(head);
      if (head > this.position) this.read();
    });
    this.doorbell.listening.subscribe(() => {
      this.doubt();
      this.read();
    });
    this.doorbell.deaf.subscribe(() => {
      this.doubt();
    });
    this.poll = setInterval(() => {
      this.check();
    }, SAFETY_POLL_MS);
    this.read();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearInterval(this.poll);
    await this.doorbell.stop();
    await Promise.all([this.reading, this.checking]);
    clearTimeout(this.recheck);
    this.taken.complete();
    this.gap.complete();
    this.cutBack.complete();
    this.forked.complete();
  }

  private doubt(): void {
    this.doubts++;
    this.check();
  }

  /** The safety poll: finds what no bell announced, and keeps the clock and the floor fresh. */
  private check(): void {
    clearTimeout(this.recheck);
    this.checking ??= this.inspect()
      .then(() => {
        this.away = false;
      })
      .catch((error: unknown) => {
        if (!this.away) this.logger.warn(`the log could not be looked at: ${reasonOf(error)}`);
        this.away = true;
        if (!this.stopped) this.recheck = setTimeout(this.check.bind(this), RECHECK_MS);
      })
      .finally(() => (this.checking = undefined));
  }

  private async inspect(): Promise<void> {
    do {
      if (this.settled < this.doubts) await this.checkEpoch();
      const known = this.position;
      const { epoch, head, floor } = await this.look();
      await this.epochs.follow(epoch);
      // All that comes next has expired, and nothing new has come that would show it.
      if (epoch === this.epochs.current && floor - 1 > this.position) this.skipTo(floor - 1);
      // Not because of a fork that is known by now.
      if (head < Math.min(known, this.position)) await this.checkEpoch();
      if (head > this.position) this.read();
    } while (this.settled < this.doubts);
  }

  private async look(): Promise<Bounds> {
    const asked = performance.now();
    const bounds = await this.reader.bounds();
    this.lookedAt = performance.now();
    this.clockOffset = bounds.now - (asked + this.lookedAt) / 2;
    this.oldest = bounds.floor;
    this.newest = bounds.head;
    return bounds;
  }

  private async checkEpoch(): Promise<void> {
    const { doubts } = this;
    await this.epochs.check(this.position);
    this.settled = doubts;
  }

  private cut(at: number): void {
    if (at >= this.position) return;
    this.logger.error(
      `the log was forked: the events after ${at} and up to ${this.position} are no part of it any more`,
    );
    this.ring.cut(at);
    this.cutBack.next(at);
  }

  /** Reads on, until the end of the log; now, or once more when reading already. */
  private read(): void {
    this.readAgain = true;
    this.reading ??= this.readToEnd();
  }

  private async readToEnd(): Promise<void> {
    try {
      while (this.readAgain && !this.stopped) {
        this.readAgain = false;
        const after = this.position;
        const { epoch, events } = await this.reader.next(after);
        await this.epochs.follow(epoch);
        if (epoch !== this.epochs.current || this.position < after) {
          // It goes on from where the log was before it was forked.
          this.readAgain = true;
          continue;
        }
        this.take(events);
        if (events.length > 0) this.readAgain = true;
      }
      this.lookedAt = performance.now();
    } catch (error) {
      // The next hint or poll tries again.
      this.logger.warn(`the log could not be read: ${reasonOf(error)}`);
    }
    // In the turn in which nothing was left to read: a hint that comes later starts it again.
    this.reading = undefined;
  }

  private takeOwn({ epoch, head, events }: AppendedEvents): void {
    // Others' events come first; or the epoch is one that this instance has not read.
    if (head > this.position || epoch !== this.epochs.current) this.read();
    else this.take(events);
  }

  private take(events: readonly LogEvent[]): void {
    const fresh = events.filter(event => event.seq > this.position);
    const [first] = fresh;
    if (!first) return;
    if (first.seq !== this.position + 1) this.skipTo(first.seq - 1);

    // In slices, so that a client that does not read is found out after the first of them, however large a publish.
    let slice: FramedEvent[] = [];
    let bytes = 0;
    for (const event of fresh) {
      const framed = new FramedEvent(event, this.epochs.epochOf(event.seq));
      this.ring.push(framed);
      slice.push(framed);
      bytes += framed.bytes;
      if (bytes >= SLICE_BYTES) {
        this.taken.next(slice);
        slice = [];
        bytes = 0;
      }
    }
    if (slice.length > 0) this.taken.next(slice);
  }

  /** The log is dense, so what is missing was dropped by retention while this instance could not read. */
  private skipTo(seq: number): void {
    const before = this.position;
    this.logger.error(
      `the events after ${before} and up to ${seq} are gone from the log before they were read`,
    );
    this.ring.restart(seq);
    this.gap.next(before);
  }
}

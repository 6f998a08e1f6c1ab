import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { setTimeout } from 'node:timers/promises';
import { defer, type Observable, of } from 'rxjs';
import type { Caller } from '../access/caller.js';
import { CONFIG, type Config } from '../config/config.js';
import { reasonOf } from '../errors/reason.js';
import { Epochs } from '../log/epochs.js';
import { LogReader } from '../log/log.reader.js';
import { Tail } from '../tail/tail.js';
import { overload } from './control.frames.js';
import { CursorJudge } from './cursor.judge.js';
import type { Outlet } from './outlet.js';
import { Router } from './router.js';
import type { StreamContext } from './stream.context.js';
import { Subscriber } from './subscriber.js';
import type { Subscription } from './subscription.js';

/** How exact deadlines are, in milliseconds. */
const TICK_MS = 250;
/** How long the last frames may take to leave, in milliseconds. */
const FLUSH_MS = 1_000;

interface Open {
  readonly outlet: Outlet;
  /** By the wall clock. */
  readonly tokenExpiresAt: number;
  /** By the monotonic clock. */
  readonly rotateAt: number;
}

/** All open streams of an instance, and the one timer that keeps their deadlines. */
@Injectable()
export class Subscriptions implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(Subscriptions.name);
  private readonly open = new Map<Subscriber, Open>();
  private readonly context: StreamContext;
  private timer: NodeJS.Timeout | undefined;
  private draining = false;

  constructor(
    tail: Tail,
    reader: LogReader,
    epochs: Epochs,
    judge: CursorJudge,
    router: Router,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.context = {
      tail,
      reader,
      epochs,
      judge,
      router,
      replayEvents: config.replayEvents,
      reportFailure: cause => {
        this.logger.warn(`a stream was closed because the log could not be read: ${reasonOf(cause)}`);
      },
    };
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(
      () => {
        this.tick();
      },
      Math.min(TICK_MS, this.config.heartbeatMs / 4),
    );
  }

  /** The frames of a new stream; those of the overload answer when there are too many. */
  subscribe(subscription: Subscription, caller: Caller, outlet: Outlet): Observable<Buffer> {
    // Counted when the frames are asked for: a client that left before that never is.
    return defer(() => {
      if (this.draining || this.open.size >= this.config.maxConnections) return of(Buffer.from(overload()));
      const subscriber = new Subscriber(this.context, subscription, outlet, () => {
        this.open.delete(subscriber);
      });
      this.open.set(subscriber, {
        outlet,
        tokenExpiresAt: caller.expiresAt,
        rotateAt: this.rotateAt(),
      });
      return subscriber.frames;
    });
  }

  /**
   * Ends all streams. Each client is told to come back at some time within the drain window, so that the instances
   * that stay are not stormed. Resolves when the sockets have had time to take the last frames.
   */
  async beforeApplicationShutdown(): Promise<void> {
    this.draining = true;
    clearInterval(this.timer);
    const finished = [...this.open].map(([subscriber, { outlet }]) => {
      subscriber.end('shutdown', Math.random() * this.config.drainMs);
      return outlet.finished();
    });
    // A client that does not read cannot hold up the others.
    const patience = new AbortController();
    await Promise.race([
      Promise.all(finished),
      setTimeout(FLUSH_MS, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
  }

  /** Up to a quarter earlier than the longest age, so that streams opened together do not come back together. */
  private rotateAt(): number {
    const { maxStreamAgeMs } = this.config;
    return maxStreamAgeMs === 0 ? Infinity : performance.now() + maxStreamAgeMs * (1 - Math.random() / 4);
  }

  private tick(): void {
    const monotonic = performance.now();
    const wall = Date.now();
    for (const [subscriber, { tokenExpiresAt, rotateAt }] of this.open) {
      if (wall >= tokenExpiresAt) subscriber.end('token-expired', jitter(1_000));
      else if (monotonic >= rotateAt) subscriber.end('rotated', jitter(1_000));
      else subscriber.tick(monotonic, this.config);
    }
  }
}

/** Between one and two times the value. */
function jitter(ms: number): number {
  return ms * (1 + Math.random());
}

import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { defer, type Observable, of } from 'rxjs';
import { CONFIG, type Config } from '../config/config.js';
import { waitAtMost } from '../database/patience.js';
import { Outage } from '../errors/outage.js';
import { reasonOf } from '../errors/reason.js';
import { Revocations } from '../access/revocations.js';
import { Epochs } from '../log/epochs.js';
import { Tail } from '../tail/tail.js';
import { Chunk } from './chunk.js';
import { Connections } from './connections.js';
import { end, overload, retry, ticketSpent } from './control.frames.js';
import { CursorJudge } from './cursor.judge.js';
import type { Outlet } from './outlet.js';
import { ReplayPages } from './replay.pages.js';
import { Router } from './router.js';
import type { StreamContext } from './stream.context.js';
import { type Refusal, StreamTally } from './stream.tally.js';
import { Subscriber } from './subscriber.js';
import type { Subscription } from './subscription.js';

/** How exact deadlines are, in milliseconds. */
const TICK_MS = 250;
/** How long the last frames may take to leave, in milliseconds. */
const FLUSH_MS = 1_000;

interface Open {
  readonly outlet: Outlet;
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
    pages: ReplayPages,
    epochs: Epochs,
    judge: CursorJudge,
    router: Router,
    private readonly revocations: Revocations,
    private readonly connections: Connections,
    private readonly tally: StreamTally,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.context = {
      tail,
      pages,
      epochs,
      judge,
      router,
      tally,
      replayEvents: config.replayEvents,
      reportFailure: cause => {
        if (cause instanceof Outage) this.logger.warn(`a stream was closed: ${reasonOf(cause)}`);
        else this.logger.error({ err: cause, msg: 'a stream failed' });
      },
    };
  }

  onApplicationBootstrap(): void {
    this.revocations.heard.subscribe(() => {
      for (const subscriber of this.open.keys()) {
        if (this.revocations.find(subscriber.caller)) subscriber.end('kicked');
      }
    });
    this.context.tail.cutBack.subscribe(() => {
      for (const subscriber of this.open.keys()) subscriber.fork();
    });
    this.timer = setInterval(
      () => {
        this.tick();
      },
      Math.min(TICK_MS, this.config.heartbeatMs / 4),
    );
  }

  /** Open streams, those included that are over and whose last frames are under way. */
  get count(): number {
    return this.open.size;
  }

  /** What a new stream writes; those of the overload answer when there are too many. */
  subscribe(subscription: Subscription, outlet: Outlet): Observable<Chunk> {
    // Counted when the frames are asked for: a client that left before that never is.
    return defer(() => {
      const { caller } = subscription;
      const later = caller.byTicket ? ticketSpent : overload;
      if (this.draining) {
        const lastWords = caller.byTicket ? ticketSpent() : retry(Math.random() * this.config.drainMs);
        return this.refuse('shutdown', lastWords);
      }
      if (this.context.tail.isAway) return this.refuse('database-unavailable', later());
      // Since the guard let it pass.
      if (this.revocations.find(caller)) return this.refuse('kicked', retry(1_000) + end('kicked'));
      const full = this.connections.enter(caller);
      if (full) return this.refuse(full, later());
      const subscriber = new Subscriber(this.context, subscription, outlet, () => {
        this.open.delete(subscriber);
        this.connections.leave(caller);
      });
      this.open.set(subscriber, { outlet, rotateAt: this.rotateAt() });
      return subscriber.chunks;
    });
  }

  /**
   * Ends all streams. Each client is told to come back at some time within the drain window, so that the instances
   * that stay are not stormed. Resolves when the sockets have had time to take the last frames.
   */
  async drain(): Promise<void> {
    this.draining = true;
    const finished = [...this.open].map(([subscriber, { outlet }]) => {
      subscriber.end('shutdown', Math.random() * this.config.drainMs);
      return outlet.finished();
    });
    // A client that does not read cannot hold up the others.
    await waitAtMost(FLUSH_MS, Promise.all(finished));
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.drain();
    clearInterval(this.timer);
  }

  private refuse(reason: Refusal, lastWords: string): Observable<Chunk> {
    this.tally.refused[reason]++;
    return of(Chunk.of(lastWords));
  }

  /** Up to a quarter earlier than the longest age, so that streams opened together do not come back together. */
  private rotateAt(): number {
    const { maxStreamAgeMs } = this.config;
    return maxStreamAgeMs === 0 ? Infinity : performance.now() + maxStreamAgeMs * (1 - Math.random() / 4);
  }

  private tick(): void {
    const monotonic = performance.now();
    for (const [subscriber, { rotateAt }] of this.open) {
      if (monotonic >= rotateAt) subscriber.end('rotated');
      subscriber.tick(monotonic, this.config);
    }
  }
}

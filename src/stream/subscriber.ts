import { setImmediate } from 'node:timers/promises';
import { Observable, type Subscriber as Observer } from 'rxjs';
import type { Caller } from '../access/caller.js';
import { formatCursor } from '../log/cursor.js';
import type { TopicFilter } from '../log/topic.filter.js';
import type { Bundle } from './bundle.js';
import { Chunk } from './chunk.js';
import {
  COMMENT,
  type EndReason,
  end,
  heartbeat,
  heartbeatEvent,
  overload,
  type ResetReason,
  ready,
  reset,
  retry,
} from './control.frames.js';
import type { Outlet } from './outlet.js';
import { Replay } from './replay.js';
import type { Listener } from './router.js';
import type { StreamContext } from './stream.context.js';
import type { Ending } from './stream.tally.js';
import type { Subscription } from './subscription.js';

/**
 * One open connection: a cursor over the log. It holds no events of its own, so what it costs does not depend on
 * how far behind it is.
 *
 *     new ─ open ─► replaying ─ caught up, `ready` ─► live ─ socket full, or a gap ─► lagging
 *                                                      ▲                                │
 *                                                      └────────── caught up ───────────┘
 *
 * Any state ─ the client leaves, the stream is ended, the database cannot be read ─► closed.
 *
 * Replaying and lagging are the same work: pages from Postgres until the cursor is inside the ring, then from the
 * ring, and between two pages a wait for the socket to have room. Each catch-up has a target, the head as it
 * began; only up to there newer events hide older ones with the same key.
 */
export class Subscriber implements Listener {
  readonly caller: Caller;
  readonly tenant: string;
  readonly filter: TopicFilter;
  /** What to write; subscribed to once. Completes when the stream ends on purpose. */
  readonly chunks = new Observable<Chunk>(observer => {
    this.observer = observer;
    void this.open();
    return () => {
      this.close();
    };
  });

  private state: 'new' | 'replaying' | 'live' | 'lagging' | 'closed' = 'new';
  private observer: Observer<Chunk> | undefined;
  /** Where the client is, while it is not live; then it is where the tail is. */
  private readonly replay: Replay;
  private replayed = 0;
  /** Whether anything was written since the last tick; a clock for each write would cost more than the rest of it. */
  private wrote = true;
  /** The tick that found it out. */
  private wroteAt = 0;
  private fullSince: number | undefined;
  /** Why it is over; undefined as long as it is open, and when the client left. */
  private ending: Ending | undefined;

  constructor(
    private readonly context: StreamContext,
    private readonly subscription: Subscription,
    private readonly outlet: Outlet,
    /** Called once, when nothing of the subscriber and its connection is left. */
    private readonly closed: (subscriber: Subscriber) => void,
  ) {
    this.caller = subscription.caller;
    this.tenant = subscription.tenant;
    this.filter = subscription.filter;
    this.replay = new Replay(context, subscription);
  }

  deliver(bundle: Bundle, before: number): void {
    if (this.isExpired) this.end('token-expired');
    else if (this.outlet.full) this.lag(before);
    else {
      this.context.tally.live += bundle.size;
      this.write(bundle.chunk(this.subscription.named));
    }
  }

  interrupt(before: number): void {
    this.lag(before);
  }

  /**
   * Does what is due by time.
   *
   * @param now by the monotonic clock
   */
  tick(
    now: number,
    { heartbeatMs, writeDeadlineMs }: { heartbeatMs: number; writeDeadlineMs: number },
  ): void {
    if (this.isExpired) this.end('token-expired');
    // A stream that was ended still has to be taken by its client.
    if (this.outlet.full || this.state === 'closed') {
      this.fullSince ??= now;
      if (now - this.fullSince >= writeDeadlineMs) {
        this.ending ??= 'write-deadline';
        this.outlet.cut();
      }
      return;
    }
    this.fullSince = undefined;
    if (this.wrote) {
      this.wrote = false;
      this.wroteAt = now;
    } else if (now - this.wroteAt >= heartbeatMs) {
      this.beat();
    }
  }

  /** Says why, and closes; by default the client is to come back soon, but not all clients at once. */
  end(reason: EndReason & Ending, retryMs = 1_000 * (1 + Math.random())): void {
    this.finish(retry(retryMs) + end(reason), reason);
  }

  private beat(): void {
    // As long as it is not known where the client is, or that place is gone, an id would move it to where it is not.
    if (this.state !== 'live' && (!this.replay.isPlaced || this.replay.isForked)) {
      this.write(COMMENT);
      return;
    }
    const cursor = this.cursorText();
    this.write(heartbeat(cursor));
    if (this.subscription.heartbeatEvent) this.write(heartbeatEvent(cursor));
  }

  private get isExpired(): boolean {
    return Date.now() >= this.caller.expiresAt;
  }

  private async open(): Promise<void> {
    this.state = 'replaying';
    this.write(retry(1_000 + Math.random() * 2_000));
    try {
      const reason = await this.replay.begin();
      if (reason) this.reset(reason);
      await this.catchUp();
    } catch (error) {
      this.fail(error);
    }
  }

  /**
   * Sends what lies between the cursor and the tail, then joins the live ones. The join:
   *
   * 1. the cursor has reached the tail's position;
   * 2. `ready` is written, with that position;
   * 3. the router knows the subscriber.
   *
   * All three happen in one turn of the event loop, and the tail takes events in turns of their own: whatever it
   * takes next finds the subscriber in the router, and whatever it took before was sent. So there is no gap to
   * buffer and nothing to drop.
   */
  private async catchUp(): Promise<void> {
    const { replay } = this;
    const { tail, router } = this.context;
    let target = tail.position;
    while (this.state !== 'closed') {
      target = Math.min(target, tail.position);
      if (replay.isForked) {
        this.reset('forked');
      } else if (this.outlet.full) {
        await this.outlet.drained();
      } else if (replay.cursor > tail.position) {
        await tail.reaches(replay.cursor);
      } else if (replay.cursor < target) {
        await this.sendPage(target);
      } else if (target < tail.position) {
        target = tail.position;
      } else {
        if (this.state === 'replaying') {
          this.write(ready(this.cursorText(), this.filter.patterns, this.replayed));
        }
        this.state = 'live';
        router.add(this);
      }
      if (this.state === 'live') return;
    }
  }

  private async sendPage(target: number): Promise<void> {
    const page = await this.replay.page(target);
    if (this.isExpired) this.end('token-expired');
    if (this.state === 'closed' || page === 'stale') return;
    if (page === 'expired') {
      this.reset('expired');
      return;
    }
    this.send(page.bundle);
    this.replay.moveTo(page.cursor);
    // A long way through the ring would keep everybody else waiting.
    if (this.replay.cursor < target) await setImmediate();
  }

  private send(bundle: Bundle): void {
    if (bundle.size === 0) return;
    this.replayed += bundle.size;
    this.context.tally.caughtUp += bundle.size;
    this.write(bundle.chunk(this.subscription.named));
  }

  private lag(before: number): void {
    if (this.state === 'closed') return;
    this.context.router.remove(this);
    this.state = 'lagging';
    this.replay.moveTo(before);
    this.catchUp().catch((error: unknown) => {
      this.fail(error);
    });
  }

  /** The log was forked before the tail's position: so before that of whoever is live. The others see it by themselves. */
  fork(): void {
    if (this.state !== 'live') return;
    this.context.router.remove(this);
    this.reset('forked');
    this.catchUp().catch((error: unknown) => {
      this.fail(error);
    });
  }

  /** Tells the client that what it missed cannot be had, and goes on from now. */
  private reset(reason: ResetReason): void {
    if (this.state === 'closed') return;
    const { tail, epochs } = this.context;
    this.replay.moveTo(tail.position);
    // Whoever was live is told again when it is.
    this.state = 'replaying';
    this.replayed = 0;
    const cursor = this.cursorText();
    this.write(reset(cursor, { reason, oldest: formatCursor(epochs.current, tail.floor), head: cursor }));
  }

  /**
   * The log cannot be read now. The client keeps its cursor and comes back; not all of them at once, and not soon.
   */
  private fail(cause: unknown): void {
    if (this.state === 'closed') return;
    this.context.reportFailure(cause);
    this.finish(overload(), 'failed');
  }

  private finish(lastWords: string, ending: Ending): void {
    if (this.state === 'closed') return;
    this.ending = ending;
    this.write(lastWords);
    this.observer?.complete();
    this.close();
  }

  private write(frames: string | Chunk): void {
    this.wrote = true;
    this.observer?.next(typeof frames === 'string' ? Chunk.of(frames) : frames);
  }

  private cursorText(): string {
    const { tail, epochs } = this.context;
    return formatCursor(epochs.current, this.state === 'live' ? tail.position : this.replay.cursor);
  }

  private close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.context.tally.ended[this.ending ?? 'client-left']++;
    this.context.router.remove(this);
    // It counts until its socket is done with it.
    void this.outlet.finished().then(() => {
      this.closed(this);
    });
  }
}

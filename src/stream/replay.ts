import type { Bundle } from './bundle.js';
import type { ResetReason } from './control.frames.js';
import { catchUpPage } from './ring.page.js';
import type { StreamContext } from './stream.context.js';
import type { Subscription } from './subscription.js';

/** Events to send, and the client's place once they are sent. */
interface Page {
  readonly bundle: Bundle;
  readonly cursor: number;
}

/** A client's place in the log, and the way from there, page by page, to the head. */
export class Replay {
  /** True once the place is one that the client may be told. */
  private placed = false;
  /** True until the first page of a replay from the oldest event on: wherever the log begins, it begins. */
  private fromOldest = false;
  private place = 0;
  /** The epoch that the place is known to be part of. */
  private epoch: string;

  constructor(
    private readonly context: StreamContext,
    private readonly subscription: Subscription,
  ) {
    this.epoch = context.epochs.current;
  }

  /** Everything up to here was sent or is not wanted. */
  get cursor(): number {
    return this.place;
  }

  get isPlaced(): boolean {
    return this.placed;
  }

  /** True when the log was forked before the place. */
  get isForked(): boolean {
    const { epochs } = this.context;
    if (this.epoch === epochs.current) return false;
    if (this.place > (epochs.lastSeqOf(this.epoch) ?? -1)) return true;
    this.epoch = epochs.current;
    return false;
  }

  /** Goes to where the client wants to go on. @returns why it cannot, when it cannot */
  async begin(): Promise<ResetReason | undefined> {
    const { tail, judge } = this.context;
    const { lastEventId } = this.subscription;
    if (lastEventId === undefined) {
      this.moveTo(tail.position);
      return undefined;
    }
    const start = await judge.judge(lastEventId);
    if ('reset' in start) return start.reset;
    if ('earliest' in start) {
      // Memory may have more than is kept.
      this.place = tail.floor - 1;
      this.fromOldest = true;
    } else {
      this.moveTo(start.after, start.epoch);
    }
    return undefined;
  }

  /** @param epoch in which the place was found good */
  moveTo(cursor: number, epoch = this.context.epochs.current): void {
    this.place = cursor;
    this.epoch = epoch;
    this.placed = true;
    this.fromOldest = false;
  }

  /**
   * The next page on the way to a target, at once when the ring has it, else from Postgres. The place stays where
   * it is until the page was sent. One that is stale, because the log was forked meanwhile, is nothing to send.
   */
  page(target: number): Page | Promise<Page | 'expired' | 'stale'> {
    const { tail } = this.context;
    if (this.place < tail.ring.start) return this.pageOfPostgres(target);
    return catchUpPage(tail, this.subscription, this.place, target);
  }

  private async pageOfPostgres(target: number): Promise<Page | 'expired' | 'stale'> {
    const { pages, replayEvents, epochs } = this.context;
    const { tenant, filter, collapse } = this.subscription;
    const after = this.place;
    const epoch = epochs.current;
    const page = await pages.read({ tenant, filter, after, upTo: target, collapse, limit: replayEvents });
    // The place or the target may be no part of the log any more.
    if (page.epoch !== epoch || epochs.current !== epoch) return 'stale';
    if (page.floor - 1 > after && !this.fromOldest) return 'expired';
    return page;
  }
}

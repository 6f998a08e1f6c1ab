import type { TopicFilter } from '../log/topic.filter.js';
import type { Bundle } from '../stream/bundle.js';
import type { Listener } from '../stream/router.js';

/**
 * A read that waits.
 *
 *     looking ─ nothing there, and told of nothing ─► asleep ─ told, or ended ─► looking
 *
 * Whoever looks begins with `look`, in the same turn of the event loop in which the position of the tail is read: what the
 * tail takes later is told.
 */
export class Waiter implements Listener {
  /** True once it is to wait no more. */
  isOver = false;
  private isTold = false;
  private wake: (() => void) | undefined;

  constructor(
    readonly tenant: string,
    readonly filter: TopicFilter,
    /** Everything up to here was looked at, or is not for it. */
    public cursor: number,
  ) {}

  look(): void {
    this.isTold = false;
  }

  /** Resolves when there is a reason to look again. */
  async sleep(): Promise<void> {
    if (this.isTold) return;
    await new Promise<void>(resolve => (this.wake = resolve));
  }

  deliver(_bundle: Bundle, before: number): void {
    this.tell(before);
  }

  interrupt(before: number): void {
    this.tell(before);
  }

  /** @param position of the tail */
  end(position: number): void {
    this.isOver = true;
    this.tell(position);
  }

  /** @param before the tail took no event for it up to here, as long as it slept */
  private tell(before: number): void {
    this.isTold = true;
    const { wake } = this;
    if (!wake) return;
    this.wake = undefined;
    // So it need not look there, which may be further back than the ring. With types it has to: in a page, events on its
    // topics that do not pass count as well.
    if (this.filter.types === null) this.cursor = Math.max(this.cursor, before);
    wake();
  }
}

import { BelfryError } from './belfry.error.js';
import { seqOf } from './cursor.js';
import type { InboxCounts } from './inbox.state.js';
import type { Marks, NotificationItem } from './notification.js';
import { addCount, weigh } from './tally.js';

/** A change that the page shows already, and the server has not answered. */
export interface Change {
  /** Of one notification. */
  readonly id?: string;
  /** Of all that are neither archived nor snoozed, up to this cursor. */
  readonly upTo?: string;
  readonly marks: Marks;
}

/**
 * Changes on their way to the server, sent one after the other so that the last one wins there too. They are laid over
 * what the server said: when one fails, taking it away is all there is to rolling back.
 */
export class Pending {
  private changes: readonly Change[] = [];
  private last: Promise<unknown> = Promise.resolve();

  /** @param limit how many may wait */
  constructor(
    private readonly limit: number,
    private readonly changed: () => void,
  ) {}

  /**
   * @param send asks the server, and takes what it says
   * @throws BelfryError `overrun`, or what `send` throws
   */
  async run(change: Change, send: () => Promise<void>): Promise<void> {
    if (this.changes.length >= this.limit) {
      throw new BelfryError('overrun', `${this.limit} changes are waiting for the server: try again later.`);
    }
    this.changes = [...this.changes, change];
    this.changed();
    const sent = this.last.then(send);
    // The next one goes out whether or not this one could.
    this.last = sent.catch(() => undefined);
    try {
      await sent;
    } finally {
      this.changes = this.changes.filter(other => other !== change);
      this.changed();
    }
  }

  /** The notification as the page is to show it. */
  show(item: NotificationItem): NotificationItem {
    return this.changes.reduce(
      (shown, change) => (covers(change, shown) ? { ...shown, ...change.marks } : shown),
      item,
    );
  }

  /** The counts as the page is to show them. */
  count(counts: InboxCounts, known: readonly NotificationItem[]): InboxCounts {
    if (this.changes.length === 0) return counts;
    return { unread: this.countOf('unread', counts, known), unseen: this.countOf('unseen', counts, known) };
  }

  private countOf(of: keyof InboxCounts, counts: InboxCounts, known: readonly NotificationItem[]): number {
    const all = this.changes.some(
      ({ upTo, marks }) =>
        upTo !== undefined && (marks.archived ?? (of === 'unread' ? marks.read : marks.seen)) === true,
    );
    const shown = known.reduce((sum, item) => sum + weigh(this.show(item))[of], 0);
    // What is not known is older, and marked with the rest.
    if (all) return shown;
    return addCount(counts[of], shown - known.reduce((sum, item) => sum + weigh(item)[of], 0));
  }
}

function covers({ id, upTo }: Change, item: NotificationItem): boolean {
  if (id !== undefined) return item.id === id;
  return upTo !== undefined && !item.archived && item.snoozedUntil === null && seqOf(item.id) <= seqOf(upTo);
}

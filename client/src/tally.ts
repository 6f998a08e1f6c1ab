import { compareCursors, isWithin } from './cursor.js';
import type { CountsAsOf } from './event.js';
import type { InboxCounts } from './inbox.state.js';

/** The server counts no further; it stands for "or more". */
const MANY = 100;
/** So many changes are remembered; more of them than this do not come between two counts of the server. */
const MAX_CHANGES = 1_000;

/**
 * The counts of an inbox: the newest that the server told, and what was heard after them. The server counts at some
 * place in the log, and its answer and the stream race: whichever comes first, nothing is counted twice or forgotten.
 */
export class Tally {
  private base: CountsAsOf | undefined;
  private changes: { readonly id: string; readonly unread: number; readonly unseen: number }[] = [];

  /** Of a list that was just read: whatever was known before is no more. */
  reset(counts: CountsAsOf): void {
    this.base = counts;
    this.changes = [];
  }

  /** @returns false when it cannot be known which of the two counts is the newer one */
  take(counts: CountsAsOf): boolean {
    const order = this.base ? compareCursors(counts.asOf, this.base.asOf) : 1;
    if (order === undefined) return false;
    if (order < 0) return true;
    this.base = counts;
    this.changes = this.changes.filter(({ id }) => !isWithin(id, counts.asOf));
    return true;
  }

  /** @param id the cursor of the event that changes them */
  change(id: string, { unread, unseen }: InboxCounts): void {
    if (this.base && isWithin(id, this.base.asOf)) return;
    this.changes.push({ id, unread, unseen });
    if (this.changes.length > MAX_CHANGES) this.changes.shift();
  }

  get counts(): InboxCounts {
    return { unread: this.sum('unread'), unseen: this.sum('unseen') };
  }

  private sum(of: keyof InboxCounts): number {
    return this.changes.reduce((sum, change) => addCount(sum, change[of]), this.base?.[of] ?? 0);
  }
}

/** One less than "100 or more" is not known to be less. */
export function addCount(count: number, change: number): number {
  return count >= MANY ? MANY : Math.min(MANY, Math.max(0, count + change));
}

/** What a notification adds to the counts. */
export function weigh(item: {
  readonly read: boolean;
  readonly seen: boolean;
  readonly archived: boolean;
  readonly snoozedUntil: string | null;
}): InboxCounts {
  const counts = !item.archived && item.snoozedUntil === null;
  return { unread: counts && !item.read ? 1 : 0, unseen: counts && !item.seen ? 1 : 0 };
}

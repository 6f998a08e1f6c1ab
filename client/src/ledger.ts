import { isWithin } from './cursor.js';
import type { BelfryEvent, CountsAsOf, InboxUpdate, NotificationData } from './event.js';
import type { InboxPage, ServerItem } from './inbox.api.js';
import type { Heard } from './inbox.feed.js';
import type { InboxCounts, InboxFilter } from './inbox.state.js';
import type { Marks, NotificationItem } from './notification.js';
import { Shelf } from './shelf.js';
import { Tally, weigh } from './tally.js';

/** Whom a ledger asks and tells. */
interface LedgerContext {
  readonly isMuted: (type: string) => boolean;
  /** A new notification was put in. */
  readonly created: (id: string) => void;
  /** What was heard does not say all: the list has to be read again. */
  readonly doubted: () => void;
}

/** What the server said of an inbox: a list, and what the stream says after it. */
export class Ledger {
  /** There are older notifications than those that are here. */
  hasMore = false;
  /** The oldest notification that pages have reached. */
  oldest: string | undefined;
  /** The cursor of the last list. */
  listed: string | undefined;
  private filter: InboxFilter = 'inbox';
  private readonly shelf: Shelf;
  private readonly tally = new Tally();

  /** @param limit how many notifications it holds */
  constructor(
    limit: number,
    private readonly context: LedgerContext,
  ) {
    this.shelf = new Shelf(limit);
  }

  /** Newest first. */
  get items(): NotificationItem[] {
    return this.shelf.items;
  }

  get counts(): InboxCounts {
    return this.tally.counts;
  }

  get(id: string): NotificationItem | undefined {
    return this.shelf.get(id);
  }

  /** Another list is wanted. The counts are the same. */
  clear(filter: InboxFilter): void {
    this.filter = filter;
    this.shelf.clear();
    this.hasMore = false;
    this.oldest = undefined;
  }

  replace(page: InboxPage): void {
    this.clear(this.filter);
    this.listed = page.cursor;
    this.tally.reset(page.counts);
    this.add(page);
  }

  /** The next page. */
  add(page: InboxPage): void {
    for (const item of page.items) this.shelf.put(item, page.cursor);
    this.oldest = page.items.at(-1)?.id ?? this.oldest;
    this.hasMore = page.more;
    this.trim();
  }

  /** The answer to a mark of one notification. */
  update(item: ServerItem, counts: CountsAsOf): void {
    if (this.shelf.has(item.id)) this.shelf.put(item, counts.asOf);
    this.count(counts);
  }

  /** The answer to a mark of all up to a cursor. */
  mark(range: { readonly upTo?: string }, marks: Marks, counts: CountsAsOf): void {
    this.shelf.mark(range, marks, counts.asOf);
    this.count(counts);
  }

  hear({ type, event }: Heard): void {
    // The list has it.
    if (this.listed !== undefined && isWithin(event.id, this.listed)) return;
    if (type === 'notification.created') this.created(event);
    else if (type === 'notification.retracted') this.retracted(event);
    else this.updated(event);
  }

  private created(event: BelfryEvent<NotificationData>): void {
    if (this.shelf.has(event.id)) return;
    if (this.context.isMuted(event.data.type)) {
      // Whether it is listed and counted is for the server to say.
      this.context.doubted();
      return;
    }
    if (!this.shelf.knows(event, this.filter === 'inbox' && !this.hasMore)) this.context.doubted();
    const twin = this.shelf.twin(event);
    if (twin) this.forget(twin, event.id);
    this.tally.change(event.id, weigh(this.shelf.add(event)));
    this.trim();
    this.context.created(event.id);
  }

  private retracted({ id, data }: BelfryEvent<{ readonly id: string }>): void {
    const item = this.shelf.get(data.id);
    if (item) this.forget(item, id);
    else this.context.doubted();
  }

  private updated({ id, data }: BelfryEvent<InboxUpdate>): void {
    if (data.counts) this.count(data.counts);
    if (data.reason === 'marked') this.shelf.hear(data, id);
    if (data.reason !== 'marked' || this.mayBring(data)) this.context.doubted();
  }

  /** Whether marks may have brought something into the list that is not known here. */
  private mayBring({ ids, read, archived, snoozedUntil }: InboxUpdate): boolean {
    if (ids?.every(id => this.shelf.has(id))) return false;
    switch (this.filter) {
      case 'inbox':
        return archived === false || snoozedUntil === null;
      case 'unread':
        return archived === false || snoozedUntil === null || read === false;
      case 'archived':
        return archived === true;
      case 'snoozed':
        return archived === false || typeof snoozedUntil === 'string';
    }
  }

  private count(counts: CountsAsOf): void {
    if (!this.tally.take(counts)) this.context.doubted();
  }

  private forget(item: NotificationItem, at: string): void {
    const { unread, unseen } = weigh(item);
    this.tally.change(at, { unread: -unread, unseen: -unseen });
    this.shelf.delete(item.id);
  }

  private trim(): void {
    const oldest = this.shelf.trim();
    if (oldest === undefined) return;
    this.oldest = oldest;
    this.hasMore = true;
  }
}

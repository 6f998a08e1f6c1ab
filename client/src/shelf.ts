import { isWithin, newestFirst, seqOf } from './cursor.js';
import type { BelfryEvent, InboxUpdate, NotificationData } from './event.js';
import type { ServerItem } from './inbox.api.js';
import type { InboxFilter } from './inbox.state.js';
import type { Marks, NotificationItem } from './notification.js';

/** A notification as the server has it. */
interface Copy {
  item: NotificationItem;
  /** The cursor as of which it is so: what is older says nothing new. */
  asOf: string;
  /** Null: it has none; undefined: not known. */
  readonly key: string | null | undefined;
}

/** The notifications that are known, as the server has them. */
export class Shelf {
  private readonly copies = new Map<string, Copy>();

  /** @param limit how many there may be */
  constructor(private readonly limit: number) {}

  get items(): NotificationItem[] {
    return [...this.copies.values()].map(({ item }) => item).sort(newestFirst);
  }

  get(id: string): NotificationItem | undefined {
    return this.copies.get(id)?.item;
  }

  has(id: string): boolean {
    return this.copies.has(id);
  }

  clear(): void {
    this.copies.clear();
  }

  /** @returns false when it is not known whether one of those that are not here has the same key */
  knows(event: BelfryEvent, isAll: boolean): boolean {
    if (event.key === undefined || this.twin(event)) return true;
    return isAll && [...this.copies.values()].every(({ key }) => key !== undefined);
  }

  /** The unread notification whose place a new one takes. */
  twin({ topic, key }: BelfryEvent): NotificationItem | undefined {
    for (const copy of this.copies.values()) {
      if (key !== undefined && copy.key === key && copy.item.topic === topic && !copy.item.read) {
        return copy.item;
      }
    }
    return undefined;
  }

  put({ key, ...item }: ServerItem, asOf: string): void {
    const known = this.copies.get(item.id);
    if (known && isOlder(asOf, known.asOf)) return;
    this.copies.set(item.id, { item, asOf, key: key === undefined ? known?.key : key });
  }

  /** What was just published. */
  add(event: BelfryEvent<NotificationData>): NotificationItem {
    const { id, topic, at, data, key = null } = event;
    const marks = { read: false, seen: false, archived: false, snoozedUntil: null };
    const item = { id, topic, at, ...marks, ...pick(data) };
    this.copies.set(id, { item, asOf: id, key });
    return item;
  }

  delete(id: string): void {
    this.copies.delete(id);
  }

  /** Changes all up to a cursor, as the server has answered. */
  mark(range: { readonly upTo?: string }, marks: Marks, asOf: string): void {
    this.change(range, marks, asOf, known => !isOlder(asOf, known));
  }

  /** Changes those that an event is about. An answer as of that event or a later one has it already. */
  hear(update: InboxUpdate, id: string): void {
    this.change(update, marksOf(update), id, known => !isWithin(id, known));
  }

  private change(
    { ids, upTo, type }: Pick<InboxUpdate, 'ids' | 'upTo' | 'type'>,
    marks: Marks,
    asOf: string,
    isNewTo: (known: string) => boolean,
  ): void {
    const listed = ids && new Set(ids);
    for (const copy of this.copies.values()) {
      const { item } = copy;
      const isMeant = listed
        ? listed.has(item.id)
        : upTo !== undefined && seqOf(item.id) <= seqOf(upTo) && (type === undefined || type === item.type);
      if (!isMeant || !isNewTo(copy.asOf)) continue;
      copy.item = { ...item, ...marks };
      copy.asOf = asOf;
    }
  }

  /** Lets the oldest go when there are too many. @returns the oldest that is left, when any went */
  trim(): string | undefined {
    if (this.copies.size <= this.limit) return undefined;
    const kept = this.items.slice(0, this.limit);
    const ids = new Set(kept.map(({ id }) => id));
    for (const id of [...this.copies.keys()]) if (!ids.has(id)) this.copies.delete(id);
    return kept.at(-1)?.id;
  }
}

/** Whether a notification is in the list of a filter. */
export function belongs(item: NotificationItem, filter: InboxFilter): boolean {
  if (filter === 'archived') return item.archived;
  if (item.archived) return false;
  if (filter === 'snoozed') return item.snoozedUntil !== null;
  return item.snoozedUntil === null && (filter === 'inbox' || !item.read);
}

/** The marks that an update names. */
function marksOf({ read, seen, archived, snoozedUntil }: InboxUpdate): Marks {
  return {
    ...(read === undefined ? {} : { read }),
    ...(seen === undefined ? {} : { seen }),
    ...(archived === undefined ? {} : { archived }),
    ...(snoozedUntil === undefined ? {} : { snoozedUntil }),
  };
}

function pick(data: NotificationData) {
  const { type, title, body, url, icon, priority } = data;
  return { type, title, body, url, icon, data: data.data, priority };
}

function isOlder(a: string, b: string): boolean {
  return a !== b && isWithin(a, b);
}

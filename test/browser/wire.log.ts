/** A notification as it is in the log. */
export interface Logged {
  readonly seq: number;
  readonly topic: string;
  readonly type: string;
  readonly at: string;
  readonly data: Record<string, unknown>;
}

interface Marks {
  read: boolean;
  seen: boolean;
  archived: boolean;
  snoozedUntil: string | null;
}

const EPOCH = 'e1';

export function cursorOf(seq: number): string {
  return `${EPOCH}.${seq}`;
}

export function seqOf(cursor: string): number {
  return Number(cursor.split('.')[1] ?? 0);
}

/** The log and the receipts of a service that speaks the inbox's wire format, in memory and on one thread. */
export class WireLog {
  readonly events: Logged[] = [];
  private readonly marks = new Map<string, Marks>();
  private readonly listeners = new Set<(event: Logged) => void>();

  get head(): string {
    return cursorOf(this.events.length);
  }

  append(topic: string, type: string, data: Record<string, unknown>, at = new Date()): Logged {
    const event = { seq: this.events.length + 1, topic, type, at: at.toISOString(), data };
    this.events.push(event);
    for (const hear of this.listeners) hear(event);
    return event;
  }

  onEvent(listener: (event: Logged) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  marksOf(user: string, seq: number): Marks {
    const key = `${user} ${seq}`;
    const known = this.marks.get(key) ?? { read: false, seen: false, archived: false, snoozedUntil: null };
    this.marks.set(key, known);
    return known;
  }

  /** What a user has, newest first. */
  inboxOf(user: string, topics: readonly string[]): (Record<string, unknown> & Marks & { seq: number })[] {
    return this.events
      .filter(({ topic, type }) => type === 'notification.created' && topics.includes(topic))
      .map(({ seq, topic, at, data }) => ({
        id: cursorOf(seq),
        seq,
        topic,
        at,
        ...data,
        ...this.marksOf(user, seq),
      }))
      .reverse();
  }

  countsOf(user: string, topics: readonly string[]): Record<string, unknown> {
    const items = this.inboxOf(user, topics).filter(item => !item.archived && item.snoozedUntil === null);
    const count = (mark: 'read' | 'seen'): number => Math.min(100, items.filter(item => !item[mark]).length);
    return { unread: count('read'), unseen: count('seen'), asOf: this.head };
  }
}

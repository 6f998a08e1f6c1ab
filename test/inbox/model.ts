/** What the inbox of one user is to be, said as plainly as can be: each notification on its own, in the order of events. */
export interface Modelled {
  readonly title: string;
  readonly type: string;
  readonly key: string | null;
  readonly topic: string;
  read: boolean;
  seen: boolean;
  archived: boolean;
  /** Put off until a time that the test does not see. */
  snoozed: boolean;
  /** A newer one with its topic and key came while it was unread. */
  replaced: boolean;
  retracted: boolean;
}

export class InboxModel {
  /** In the order of the log. */
  readonly items: Modelled[] = [];
  muted: string[] = [];

  arrive(topic: string, title: string, type: string, key: string | null): void {
    for (const older of this.items) {
      if (key !== null && older.key === key && older.topic === topic && !older.read) older.replaced = true;
    }
    this.items.push({
      title,
      type,
      key,
      topic,
      read: false,
      seen: false,
      archived: false,
      snoozed: false,
      replaced: false,
      retracted: false,
    });
  }

  retract(title: string): void {
    for (const item of this.items) if (item.title === title) item.retracted = true;
  }

  /** @returns undefined when the inbox does not show it */
  find(title: string): Modelled | undefined {
    return this.shown().find(item => item.title === title);
  }

  /** @param upTo the title of the newest that is marked; undefined: all */
  mark(flag: 'read' | 'seen' | 'archived', upTo: string | undefined, type: string | undefined): void {
    for (const item of this.items) {
      if (!item.replaced && (type === undefined || item.type === type)) {
        item[flag] = true;
        if (flag === 'read') item.seen = true;
      }
      if (item.title === upTo) break;
    }
  }

  titles(status: string): string[] {
    return this.shown()
      .filter(item => hasStatus(item, status))
      .map(({ title }) => title)
      .reverse();
  }

  private shown(): Modelled[] {
    return this.items.filter(item => !item.replaced && !item.retracted && !this.muted.includes(item.type));
  }
}

function hasStatus({ read, seen, archived, snoozed }: Modelled, status: string): boolean {
  switch (status) {
    case 'all':
      return true;
    case 'snoozed':
      return snoozed;
    case 'archived':
      return archived && !snoozed;
    case 'read':
      return read && !archived && !snoozed;
    case 'unread':
      return !read && !archived && !snoozed;
    case 'unseen':
      return !seen && !archived && !snoozed;
    default:
      return !archived && !snoozed;
  }
}

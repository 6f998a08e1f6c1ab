import { newestFirst } from './cursor.js';
import type { NotificationItem } from './notification.js';
import type { Preferences } from './preferences.js';
import { mayDisturb } from './quiet.hours.js';

/** So many may wait; of more the newest are told. */
const MAX_WAITING = 100;

/**
 * New notifications, on their way to those who call for attention. While the stream catches up they wait: what was
 * read elsewhere in the meantime is no news.
 */
export class News {
  private readonly listeners = new Set<(item: NotificationItem) => void>();
  private waiting = new Set<string>();

  constructor(
    /** As the page shows it; undefined when it is gone. */
    private readonly find: (id: string) => NotificationItem | undefined,
    private readonly preferences: () => Preferences | undefined,
  ) {}

  /** @returns takes the listener away */
  listen(listener: (item: NotificationItem) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  add(id: string): void {
    this.waiting.add(id);
    const [oldest] = this.waiting;
    if (this.waiting.size > MAX_WAITING && oldest !== undefined) this.waiting.delete(oldest);
  }

  clear(): void {
    this.waiting.clear();
  }

  /** Tells what is waiting, the oldest first. */
  tell(): void {
    if (this.waiting.size === 0) return;
    const items = [...this.waiting].map(this.find).filter(item => item !== undefined);
    this.waiting = new Set();
    for (const item of items.sort(newestFirst).reverse()) {
      if (item.read || item.archived || item.snoozedUntil !== null) continue;
      if (!mayDisturb(item, this.preferences(), new Date())) continue;
      for (const listener of [...this.listeners]) listener(item);
    }
  }
}

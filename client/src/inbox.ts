import type { InboxFilter, InboxState } from './inbox.state.js';
import type { NotificationItem } from './notification.js';
import type { Preferences } from './preferences.js';

export type { InboxCounts, InboxFilter, InboxState } from './inbox.state.js';
export type { Marks, NotificationItem, Priority } from './notification.js';
export type { Preferences, QuietHours } from './preferences.js';

/** A credential; a function is asked for another one when the server refuses the last. */
export type Token = string | (() => string | Promise<string>);

export interface InboxOptions {
  /** Where Belfry is, such as `https://belfry.example.com`; a path before `/v1` is kept. */
  readonly url: string | URL;
  /** A JWT of the user. Without it the cookie `belfry_token` has to be there. */
  readonly token?: Token;
  /** As for `fetch`; `include` sends the cookie to another origin. Default: `same-origin`. */
  readonly credentials?: RequestCredentials;
  /** Whether the tabs of one browser share one connection. Default: true. */
  readonly shared?: boolean;
  /** Who is signed in; needed for `shared` without a JWT, so that users of one browser do not hear each other. */
  readonly user?: string;
  /** Notifications per page, 1 to 200. Default: 20. */
  readonly pageSize?: number;
  /** How many notifications are held, at least a page; older ones are let go and can be loaded again. Default: 1000. */
  readonly maxItems?: number;
  /** How long a request may take, in milliseconds. Default: 15000; 0: as long as it likes. */
  readonly timeout?: number;
  /** Instead of the global one. */
  readonly fetch?: typeof globalThis.fetch;
}

export interface Inbox {
  /** The present snapshot; another object after each change. */
  readonly state: InboxState;
  /** @returns takes the listener away */
  subscribe(listener: (state: InboxState) => void): () => void;
  /** Hears what is new, live or after a reconnect; not muted ones, and in quiet hours urgent ones alone. */
  onNotification(listener: (item: NotificationItem) => void): () => void;
  start(): void;
  close(): void;
  setFilter(filter: InboxFilter): void;
  loadMore(): Promise<void>;
  refresh(): Promise<void>;
  setRead(id: string, read: boolean): Promise<void>;
  setSeen(id: string, seen: boolean): Promise<void>;
  setArchived(id: string, archived: boolean): Promise<void>;
  snooze(id: string, until: Date | null): Promise<void>;
  markAllRead(): Promise<void>;
  markAllSeen(): Promise<void>;
  archiveAll(): Promise<void>;
  preferences(): Promise<Preferences>;
  setPreferences(preferences: Preferences): Promise<void>;
}

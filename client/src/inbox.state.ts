import type { NotificationItem } from './notification.js';

/** `inbox` is what is neither archived nor snoozed, `unread` what of that is not read. */
export type InboxFilter = 'inbox' | 'unread' | 'archived' | 'snoozed';

/** Of what is neither archived nor snoozed; exact to 99, and 100 stands for "100 or more". */
export interface InboxCounts {
  readonly unread: number;
  readonly unseen: number;
}

/** A snapshot: whatever changes, changes in another one. */
export interface InboxState {
  /** Newest first. */
  readonly items: readonly NotificationItem[];
  readonly counts: InboxCounts;
  /** `error`: the list could not be read, and is tried again by itself; what was there before is still shown. */
  readonly status: 'loading' | 'ready' | 'error';
  /** Whether news arrive just now. */
  readonly online: boolean;
  readonly filter: InboxFilter;
  readonly hasMore: boolean;
  readonly loadingMore: boolean;
  /** Why `status` is `error`, or why the last page could not be read. */
  readonly error?: Error;
}

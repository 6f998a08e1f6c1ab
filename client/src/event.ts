import type { Priority } from './notification.js';

/** One published event. */
export interface BelfryEvent<T = unknown> {
  /** Its cursor, `<epoch>.<seq>`: a stream that begins there goes on after it. */
  readonly id: string;
  readonly topic: string;
  readonly type: string;
  /** When it was stored, in ISO 8601, by the server's clock. */
  readonly at: string;
  /** Of several events with one topic and key only the newest matters. */
  readonly key?: string;
  readonly data: T;
}

/** The stream has caught up: what comes now is new. */
export interface Ready {
  readonly id: string;
  readonly topics: readonly string[];
  /** How many events came before it. */
  readonly replayed: number;
}

/** The cursor could not be honoured: something may be missing, and the stream goes on from `id`. Fetch afresh what you show. */
export interface Reset {
  readonly id: string;
  readonly reason: 'expired' | 'forked' | 'unknown';
  /** Cursor of the oldest event that is kept. */
  readonly oldest: string;
  /** That of the newest. */
  readonly head: string;
}

/** The server ended one connection on purpose. What is to be done about it is done already. */
export interface End {
  readonly reason: string;
}

/** The data of a notification as it is created; the event's id is the notification's. */
export interface NotificationData {
  readonly type: string;
  readonly title: string;
  readonly body: string | null;
  readonly url: string | null;
  readonly icon: string | null;
  readonly data: unknown;
  readonly priority: Priority;
}

/** The data of the events that Belfry itself publishes, by type. */
export interface BelfryEvents {
  'notification.created': NotificationData;
  'notification.retracted': { readonly id: string };
  'inbox.updated': InboxUpdate;
}

/** Counts as of a cursor. */
export interface CountsAsOf {
  readonly unread: number;
  readonly unseen: number;
  readonly asOf: string;
}

/** The marks of a user changed, here or elsewhere. */
export interface InboxUpdate {
  readonly reason: 'marked' | 'preferences' | 'snooze-over' | 'expired' | (string & {});
  /** The notifications it is about. */
  readonly ids?: readonly string[];
  /** It is about all up to this cursor. */
  readonly upTo?: string;
  /** Of this type alone. */
  readonly type?: string;
  readonly read?: boolean;
  readonly seen?: boolean;
  readonly archived?: boolean;
  readonly snoozedUntil?: string | null;
  readonly counts?: CountsAsOf;
}

/** What arrives on a stream, one after the other. Plain JSON, so that it can go from tab to tab. */
export type Block =
  | { readonly kind: 'event'; readonly id: string; readonly event: BelfryEvent }
  | { readonly kind: 'cursor'; readonly id: string }
  | { readonly kind: 'ready'; readonly id: string; readonly ready: Ready }
  | { readonly kind: 'reset'; readonly id: string; readonly reset: Reset }
  | { readonly kind: 'end'; readonly id?: undefined; readonly end: End };

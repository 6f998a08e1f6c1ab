export type Priority = 'low' | 'normal' | 'high' | 'urgent';

/** One notification as its user has it, with the marks that this page has made and the server has not answered yet. */
export interface NotificationItem {
  /** The cursor of its event, `<epoch>.<seq>`. */
  readonly id: string;
  readonly topic: string;
  readonly type: string;
  readonly title: string;
  readonly body: string | null;
  readonly url: string | null;
  readonly icon: string | null;
  /** What the publisher added, as it is. */
  readonly data: unknown;
  readonly priority: Priority;
  /** When it was created, in ISO 8601, by the server's clock. */
  readonly at: string;
  readonly read: boolean;
  readonly seen: boolean;
  readonly archived: boolean;
  /** Until when it stays away, in ISO 8601; null when it does not. */
  readonly snoozedUntil: string | null;
}

/** What a user can change of a notification. */
export type Marks = Partial<Pick<NotificationItem, 'read' | 'seen' | 'archived' | 'snoozedUntil'>>;

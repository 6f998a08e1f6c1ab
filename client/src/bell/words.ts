/** Every text the bell shows or says. Numbers come formatted, so that a language only has to place them. */
export interface BellWords {
  /** What the bell, its panel and its toasts are called. */
  readonly title: string;
  /** The bell's label. `shown` is `n` as the badge shows it, "99+" when there are more. */
  readonly bell: (n: number, shown: string) => string;
  readonly offlineHint: string;
  readonly unread: string;
  readonly all: string;
  readonly archived: string;
  readonly markAllRead: string;
  readonly close: string;
  readonly isUnread: string;
  readonly priority: { readonly high: string; readonly urgent: string };
  readonly read: (title: string) => string;
  readonly unreadAgain: (title: string) => string;
  readonly archive: (title: string) => string;
  readonly unarchive: (title: string) => string;
  readonly snooze: (title: string) => string;
  readonly snoozeFor: {
    readonly title: string;
    readonly hour: string;
    readonly tomorrow: string;
    readonly week: string;
  };
  readonly didArchive: string;
  readonly didUnarchive: string;
  readonly didSnooze: (until: string) => string;
  readonly didMarkAll: string;
  readonly undo: string;
  readonly loading: string;
  readonly empty: {
    readonly unread: readonly [title: string, text: string];
    readonly all: readonly [title: string, text: string];
    readonly archived: readonly [title: string, text: string];
  };
  readonly failed: readonly [title: string, text: string];
  readonly retry: string;
  readonly moreFailed: string;
  readonly actionFailed: string;
  readonly offline: string;
  readonly arrived: (title: string) => string;
  readonly dismiss: (title: string) => string;
  readonly now: string;
}

export const ENGLISH: BellWords = {
  title: 'Notifications',
  bell: (n, shown) => (n === 0 ? 'Notifications, none unread' : `Notifications, ${shown} unread`),
  offlineHint: 'no connection',
  unread: 'Unread',
  all: 'All',
  archived: 'Archived',
  markAllRead: 'Mark all as read',
  close: 'Close',
  isUnread: 'Unread',
  priority: { high: 'Important', urgent: 'Urgent' },
  read: title => `Mark as read: ${title}`,
  unreadAgain: title => `Mark as unread: ${title}`,
  archive: title => `Archive: ${title}`,
  unarchive: title => `Move back to the inbox: ${title}`,
  snooze: title => `Snooze: ${title}`,
  snoozeFor: { title: 'Snooze until', hour: 'In one hour', tomorrow: 'Tomorrow morning', week: 'Next week' },
  didArchive: 'Archived.',
  didUnarchive: 'Moved back to the inbox.',
  didSnooze: until => `Snoozed until ${until}.`,
  didMarkAll: 'All marked as read.',
  undo: 'Undo',
  loading: 'Loading notifications',
  empty: {
    unread: ['You’re all caught up', 'New notifications appear here the moment they happen.'],
    all: ['Nothing here yet', 'What happens to you and your team will appear here.'],
    archived: ['The archive is empty', 'What you archive is kept here, out of the way.'],
  },
  failed: ['Notifications could not be loaded', 'The service did not answer as expected.'],
  retry: 'Try again',
  moreFailed: 'Older ones could not be loaded.',
  actionFailed: 'That did not work. Please try again.',
  offline: 'No connection. What you miss will be here once it is back.',
  arrived: title => `New notification: ${title}`,
  dismiss: title => `Dismiss: ${title}`,
  now: 'now',
};

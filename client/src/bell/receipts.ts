import type { Inbox, NotificationItem } from '../inbox.js';
import type { Clock } from './clock.js';
import type { Notice } from './notice.js';
import type { BellWords } from './words.js';

/** What the user does to notifications, and what the panel says about it: how to undo it, or that it did not work. */
export class Receipts {
  constructor(
    private readonly inbox: () => Inbox | undefined,
    private readonly notice: Notice,
    private readonly words: BellWords,
    private readonly clock: Clock,
  ) {}

  read(item: NotificationItem): void {
    if (!item.read) this.attempt(inbox => inbox.setRead(item.id, true));
  }

  toggleRead(item: NotificationItem): void {
    this.attempt(inbox => inbox.setRead(item.id, !item.read));
  }

  toggleArchived({ id, archived }: NotificationItem): void {
    const { words } = this;
    this.attempt(inbox => inbox.setArchived(id, !archived));
    this.notice.say(archived ? words.didUnarchive : words.didArchive, () => {
      this.attempt(inbox => inbox.setArchived(id, archived));
    });
  }

  snooze({ id }: NotificationItem, until: Date): void {
    this.attempt(inbox => inbox.snooze(id, until));
    this.notice.say(this.words.didSnooze(this.clock.upcoming(until)), () => {
      this.attempt(inbox => inbox.snooze(id, null));
    });
  }

  markAllRead(): void {
    this.attempt(inbox => inbox.markAllRead());
    this.notice.say(this.words.didMarkAll);
  }

  private attempt(act: (inbox: Inbox) => Promise<void>): void {
    const inbox = this.inbox();
    if (inbox === undefined) return;
    // The store shows again what the server has; why it refused is in the network log, and nothing the user could use.
    act(inbox).catch(() => {
      this.notice.say(this.words.actionFailed);
    });
  }
}

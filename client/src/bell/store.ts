import { Inbox, type InboxOptions, type InboxState, type NotificationItem, type Token } from '../inbox.js';

/** What a bell hears of the inbox that it shows. */
export interface StoreListener {
  changed(state: InboxState): void;
  arrived(item: NotificationItem): void;
}

/** The inbox a bell shows, from when it is shown until it is not: its own, which ends with it, or one of the page's. */
export class Store {
  private readonly forget: (() => void)[];
  private renderIsDue = false;
  private hasEnded = false;
  /** The newest when all was last marked as seen: what failed is not tried again until there is another. */
  private seenUpTo: string | undefined;

  constructor(
    readonly inbox: Inbox,
    private readonly isOwn: boolean,
    private readonly listener: StoreListener,
  ) {
    this.forget = [
      inbox.subscribe(() => {
        this.renderSoon();
      }),
      inbox.onNotification(item => {
        listener.arrived(item);
      }),
    ];
    inbox.start();
    this.renderSoon();
  }

  /** Once per notification that is new: also while the panel stays open. */
  markSeen(): void {
    const { items, counts } = this.inbox.state;
    const newest = items[0]?.id;
    if (counts.unseen === 0 || newest === undefined || newest === this.seenUpTo) return;
    this.seenUpTo = newest;
    // Nobody asked for it by hand: at the next opening it is tried again.
    this.inbox.markAllSeen().catch(() => undefined);
  }

  /** Lets the next `markSeen` try again. */
  panelClosed(): void {
    this.seenUpTo = undefined;
  }

  end(): void {
    this.hasEnded = true;
    for (const forget of this.forget) forget();
    if (this.isOwn) this.inbox.close();
  }

  /** A burst of events is drawn once. Not by animation frame: a page in the background has none, and has a badge. */
  private renderSoon(): void {
    if (this.renderIsDue) return;
    this.renderIsDue = true;
    queueMicrotask(() => {
      this.renderIsDue = false;
      if (!this.hasEnded) this.listener.changed(this.inbox.state);
    });
  }
}

/** The store that a bell's attributes describe; none without a `url`. */
export function storeOf(bell: HTMLElement, token: Token | undefined): Inbox | undefined {
  const url = bell.getAttribute('url');
  if (url === null) return undefined;
  const user = bell.getAttribute('user');
  const credentials = bell.getAttribute('credentials') as InboxOptions['credentials'] | null;
  return new Inbox({
    url: new URL(url, bell.baseURI),
    shared: bell.getAttribute('shared') !== 'false',
    ...(token === undefined ? {} : { token }),
    ...(user === null ? {} : { user }),
    ...(credentials === null || credentials === undefined ? {} : { credentials }),
  });
}

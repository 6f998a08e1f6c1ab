import { Inbox, type InboxOptions, type InboxState, type NotificationItem, type Token } from '../inbox.js';

/** What a bell hears of the inbox that it shows. */
export interface StoreListener {
  changed(state: InboxState): void;
  arrived(item: NotificationItem): void;
}

/** The inbox a bell shows, from when it is shown until it is not: its own, which ends with it, or one of the page's. */
export class Store {
  private readonly forget: (() => void)[];
  /** What was there when all was last marked as seen: what failed is not tried again while nothing has changed. */
  private askedFor: string | undefined;

  constructor(
    readonly inbox: Inbox,
    private readonly isOwn: boolean,
    listener: StoreListener,
  ) {
    this.forget = [
      inbox.subscribe(state => {
        listener.changed(state);
      }),
      inbox.onNotification(item => {
        listener.arrived(item);
      }),
    ];
    inbox.start();
    listener.changed(inbox.state);
  }

  /** Whenever there is something new: also while the panel stays open. */
  markSeen(): void {
    const { items, counts } = this.inbox.state;
    const asked = `${items[0]?.id ?? ''} ${counts.unseen}`;
    if (counts.unseen === 0 || asked === this.askedFor) return;
    this.askedFor = asked;
    this.inbox.markAllSeen().then(
      () => {
        this.askedFor = undefined;
      },
      // Nobody asked for it by hand: it is tried again with the next notification, or at the next opening.
      () => undefined,
    );
  }

  /** Lets the next `markSeen` try again. */
  panelClosed(): void {
    this.askedFor = undefined;
  }

  end(): void {
    for (const forget of this.forget) forget();
    if (this.isOwn) this.inbox.close();
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

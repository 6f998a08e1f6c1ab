import type { Inbox, InboxState, NotificationItem } from '../inbox.js';
import { Clock } from './clock.js';
import { icon } from './icons.js';
import { element, setAttributes, setText } from './node.js';
import { Outage } from './outage.js';
import { Panel } from './panel.js';
import { Anchor } from './placement.js';
import { Receipts } from './receipts.js';
import { Toasts } from './toasts.js';
import type { BellWords } from './words.js';

/** What the view asks of the element it is in. */
export interface BellHost {
  readonly inbox: Inbox | undefined;
  placement(): string | null;
  /** Opens or closes, and the focus goes along. */
  toggle(open: boolean): void;
  /** Closes, and leaves the focus where it went. */
  leave(): void;
  /** @returns whether the link is to be followed */
  selected(item: NotificationItem): boolean;
}

/** All that is seen of the bell, in one language: another language makes another view. */
export class BellView {
  readonly nodes: readonly HTMLElement[];
  private readonly button: HTMLButtonElement;
  private readonly badge = element('span', {
    class: 'badge',
    'aria-hidden': 'true',
    hidden: true,
  });
  /** Says what arrives while the panel is open, where a toast would cover what one reads. */
  private readonly announcer = element('div', { class: 'hidden-text', 'aria-live': 'polite' });
  private readonly panel: Panel;
  private readonly toasts: Toasts;
  private readonly anchor: Anchor;
  private readonly outage: Outage;
  private readonly clock: Clock;

  constructor(
    host: BellHost,
    lang: string,
    private readonly words: BellWords,
  ) {
    this.clock = new Clock(lang, words.now);
    this.button = element(
      'button',
      {
        type: 'button',
        class: 'bell',
        'aria-haspopup': 'dialog',
        'aria-controls': 'panel',
        'aria-expanded': 'false',
        'aria-label': words.title,
      },
      icon('bell'),
      this.badge,
    );
    this.button.addEventListener('click', () => {
      host.toggle(!this.panel.isOpen);
    });
    const select = (item: NotificationItem, event: Event): void => {
      receipts.read(item);
      if (!host.selected(item)) event.preventDefault();
    };
    this.panel = new Panel(
      {
        words,
        clock: this.clock,
        actions: {
          select,
          toggleRead: item => {
            receipts.toggleRead(item);
          },
          toggleArchived: item => {
            receipts.toggleArchived(item);
          },
          snooze: (item, button) => {
            this.panel.menu.open(button, until => {
              receipts.snooze(item, until);
            });
          },
        },
      },
      {
        close: () => {
          host.toggle(false);
        },
        filter: filter => {
          host.inbox?.setFilter(filter);
        },
        markAllRead: () => {
          receipts.markAllRead();
        },
        loadMore: () => {
          // The store keeps the error in its state, from where the panel shows it.
          host.inbox?.loadMore().catch(() => undefined);
        },
        retry: () => {
          // Likewise.
          host.inbox?.refresh().catch(() => undefined);
        },
      },
    );
    const receipts = new Receipts(() => host.inbox, this.panel.notice, words, this.clock);
    this.toasts = new Toasts(words, { select }, () => {
      this.button.focus();
    });
    // Who tabs on to the page would not see where he is, under the panel.
    this.panel.element.addEventListener('focusout', ({ relatedTarget }) => {
      if (relatedTarget instanceof Node && !this.nodes.some(node => node.contains(relatedTarget)))
        host.leave();
    });
    this.anchor = new Anchor(this.button, this.panel.element, () => host.placement());
    this.outage = new Outage(() => {
      if (host.inbox !== undefined) this.update(host.inbox.state);
    });
    this.nodes = [this.button, this.panel.element, this.toasts.element, this.announcer];
  }

  update(state: InboxState): void {
    const { unread, unseen } = state.counts;
    const shown = this.clock.count(unread);
    setText(this.badge, shown);
    this.badge.hidden = unread === 0;
    this.outage.update(state.online || state.status !== 'loading' ? state.online : undefined);
    const isOffline = this.outage.isSaid;
    const label = this.words.bell(unread, shown);
    setAttributes(this.button, {
      'aria-label': isOffline ? `${label}, ${this.words.offlineHint}` : label,
      'data-offline': isOffline,
      'data-unseen': unseen > 0,
    });
    this.toasts.update(state.items);
    // Rows are made when somebody looks at them.
    if (this.panel.isOpen) this.panel.update(state, isOffline);
  }

  open(state: InboxState | undefined, takeFocus: boolean): void {
    this.toasts.clear();
    setAttributes(this.button, { 'aria-expanded': 'true' });
    this.panel.open();
    if (state !== undefined) this.panel.update(state, this.outage.isSaid);
    this.anchor.hold();
    if (takeFocus) this.panel.focus();
  }

  close(giveFocusBack: boolean): void {
    setAttributes(this.button, { 'aria-expanded': 'false' });
    this.anchor.release();
    this.panel.close();
    setText(this.announcer, '');
    if (giveFocusBack) this.button.focus();
  }

  /** @param milliseconds how long the toast stays; 0 until it is dismissed, undefined for none */
  announce(item: NotificationItem, milliseconds: number | undefined): void {
    if (this.panel.isOpen) setText(this.announcer, this.words.arrived(item.title));
    else if (milliseconds !== undefined && item.priority !== 'low') this.toasts.show(item, milliseconds);
  }

  /** Leaves no timer, observer or listener outside its own nodes. */
  dispose(): void {
    this.close(false);
    this.toasts.clear();
    this.outage.stop();
  }
}

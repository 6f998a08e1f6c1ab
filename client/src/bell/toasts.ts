import type { NotificationItem } from '../inbox.js';
import { Countdown } from './countdown.js';
import { icon } from './icons.js';
import { picture, type RowActions, urgencyOf } from './item.row.js';
import { safeUrl } from './link.js';
import { element, setAttributes } from './node.js';
import { lower, raise } from './top.layer.js';
import type { BellWords } from './words.js';

const AT_MOST = 3;

/**
 * What just arrived, in a corner of the window, spoken politely. It goes away by itself, but not while the pointer or
 * the focus is on it, nor while nobody can see the page; what is urgent stays until somebody dismisses it.
 */
export class Toasts {
  readonly element: HTMLDivElement;
  private readonly countdowns = new Map<HTMLElement, Countdown>();

  constructor(
    private readonly words: BellWords,
    private readonly actions: Pick<RowActions, 'select'>,
  ) {
    // Always there, also when empty: a live region that comes with its text is not spoken.
    this.element = element('div', {
      class: 'toasts',
      part: 'toasts',
      role: 'log',
      'aria-live': 'polite',
      'aria-relevant': 'additions',
      'aria-label': words.title,
      popover: 'manual',
    });
    for (const type of ['pointerenter', 'pointerleave', 'focusin'])
      this.element.addEventListener(type, this.settle);
    // The focus is still where it was while focusout is told.
    this.element.addEventListener('focusout', () => {
      queueMicrotask(this.settle);
    });
  }

  /** @param milliseconds until it goes; 0 shows it until it is dismissed */
  show(item: NotificationItem, milliseconds: number): void {
    const toast = this.makeToast(item);
    const stays = item.priority === 'urgent' || milliseconds === 0;
    const countdown = new Countdown(stays ? Infinity : milliseconds, () => {
      this.dismiss(toast);
    });
    if (this.countdowns.size === 0) {
      document.addEventListener('visibilitychange', this.settle);
      raise(this.element);
    }
    this.countdowns.set(toast, countdown);
    this.element.append(toast);
    for (const [oldest] of this.countdowns) {
      if (this.countdowns.size <= AT_MOST) break;
      this.dismiss(oldest);
    }
    this.settle();
  }

  clear(): void {
    for (const toast of [...this.countdowns.keys()]) this.dismiss(toast);
  }

  /** As a property, so that the document can be told to forget it. */
  private readonly settle = (): void => {
    const isHeld = document.hidden || this.element.matches(':hover, :focus-within');
    for (const countdown of this.countdowns.values()) {
      if (isHeld) countdown.hold();
      else countdown.run();
    }
  };

  private dismiss(toast: HTMLElement): void {
    this.countdowns.get(toast)?.stop();
    this.countdowns.delete(toast);
    const hadFocus = toast.matches(':focus-within');
    toast.remove();
    if (hadFocus) [...this.countdowns.keys()].at(-1)?.querySelector('button')?.focus();
    if (this.countdowns.size > 0) {
      this.settle();
      return;
    }
    document.removeEventListener('visibilitychange', this.settle);
    lower(this.element);
  }

  private makeToast(item: NotificationItem): HTMLElement {
    const { words } = this;
    const href = safeUrl(item.url, document.baseURI);
    const main =
      href === undefined
        ? element('button', { class: 'main', type: 'button' })
        : element('a', { class: 'main', href, rel: 'noopener noreferrer' });
    main.append(
      element('span', { class: 'hidden-text' }, `${urgencyOf(item, words) ?? ''} `),
      element('span', { class: 'title', part: 'toast-title', dir: 'auto' }, item.title),
    );
    const text = element('div', { class: 'text' }, main);
    if (item.body !== null && item.body !== '')
      text.append(element('p', { class: 'body', part: 'toast-body', dir: 'auto' }, item.body));
    const close = element(
      'button',
      {
        class: 'icon-button',
        type: 'button',
        'aria-label': words.dismiss(item.title),
        title: words.dismiss(item.title),
      },
      icon('close'),
    );
    const toast = element('div', { class: 'toast', part: 'toast' }, picture(item), text, close);
    setAttributes(toast, { 'data-priority': item.priority });
    close.addEventListener('click', () => {
      this.dismiss(toast);
    });
    main.addEventListener('click', event => {
      this.actions.select(item, event);
      this.dismiss(toast);
    });
    return toast;
  }
}

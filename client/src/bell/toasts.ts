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
  /** By id of the notification, the oldest first. */
  private readonly toasts = new Map<string, { readonly node: HTMLElement; readonly countdown: Countdown }>();

  constructor(
    private readonly words: BellWords,
    private readonly actions: Pick<RowActions, 'select'>,
    private readonly giveFocusBack: () => void,
  ) {
    // Always there, also when empty: a live region that comes with its text is not spoken.
    this.element = element('div', {
      class: 'toasts',
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
    const { id } = item;
    const node = this.makeToast(item);
    const stays = item.priority === 'urgent' || milliseconds === 0;
    const countdown = new Countdown(stays ? Infinity : milliseconds, () => {
      this.dismiss(id);
    });
    if (this.toasts.size === 0) {
      document.addEventListener('visibilitychange', this.settle);
      raise(this.element);
    }
    this.toasts.set(id, { node, countdown });
    this.element.append(node);
    for (const oldest of this.toasts.keys()) {
      if (this.toasts.size <= AT_MOST) break;
      this.dismiss(oldest);
    }
    this.settle();
  }

  /** What was read or archived meanwhile, perhaps on another device, is news no more. */
  update(items: readonly NotificationItem[]): void {
    if (this.toasts.size === 0) return;
    for (const { id, read, archived } of items) if (read || archived) this.dismiss(id);
  }

  clear(): void {
    for (const id of [...this.toasts.keys()]) this.dismiss(id);
  }

  /** As a property, so that the document can be told to forget it. */
  private readonly settle = (): void => {
    const isHeld = document.hidden || this.element.matches(':hover, :focus-within');
    for (const { countdown } of this.toasts.values()) {
      if (isHeld) countdown.hold();
      else countdown.run();
    }
  };

  private dismiss(id: string): void {
    const toast = this.toasts.get(id);
    if (toast === undefined) return;
    this.toasts.delete(id);
    toast.countdown.stop();
    const hadFocus = toast.node.matches(':focus-within');
    toast.node.remove();
    const newest = [...this.toasts.values()].at(-1);
    if (hadFocus && newest === undefined) this.giveFocusBack();
    else if (hadFocus) newest?.node.querySelector<HTMLElement>('.main')?.focus();
    this.settle();
    if (newest !== undefined) return;
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
      element('span', { class: 'title', dir: 'auto' }, item.title),
    );
    const text = element('div', { class: 'text' }, main);
    if (item.body !== null && item.body !== '')
      text.append(element('p', { class: 'body', dir: 'auto' }, item.body));
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
    const toast = element('div', { class: 'toast' }, picture(item), text, close);
    setAttributes(toast, { 'data-priority': item.priority });
    close.addEventListener('click', () => {
      this.dismiss(item.id);
    });
    main.addEventListener('click', event => {
      this.actions.select(item, event);
      this.dismiss(item.id);
    });
    return toast;
  }
}

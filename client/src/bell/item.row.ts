import type { NotificationItem } from '../inbox.js';
import type { Clock } from './clock.js';
import { icon, type IconName } from './icons.js';
import { safeUrl } from './link.js';
import { element, setAttributes, setText } from './node.js';
import type { BellWords } from './words.js';

/** What a row asks of whoever shows it. */
export interface RowActions {
  /** The item was opened; `event` is the click, whose default follows the link. */
  select(item: NotificationItem, event: Event): void;
  toggleRead(item: NotificationItem): void;
  toggleArchived(item: NotificationItem): void;
  snooze(item: NotificationItem, button: HTMLButtonElement): void;
}

export interface RowContext {
  readonly words: BellWords;
  readonly clock: Clock;
  readonly actions: RowActions;
}

let rows = 0;

/**
 * One notification. Its main control is the title, stretched over the whole row; Tab goes from there to the row's
 * buttons, and only one row of the list is in the tab order at a time.
 */
export class ItemRow {
  readonly element: HTMLLIElement;
  private readonly main: HTMLElement;
  private readonly mark = element('span', { class: 'hidden-text' });
  private readonly time: HTMLTimeElement;
  private readonly buttons: Readonly<Record<'read' | 'snooze' | 'archive', HTMLButtonElement>>;

  constructor(
    private item: NotificationItem,
    private readonly context: RowContext,
  ) {
    const { words, actions } = context;
    const id = `row${++rows}`;
    this.main = this.makeMain(id);
    this.time = element('time', { id: `${id}t`, part: 'time', datetime: item.at });
    this.buttons = {
      read: this.makeButton('dot', () => {
        actions.toggleRead(this.item);
      }),
      snooze: this.makeButton('clock', button => {
        actions.snooze(this.item, button);
      }),
      archive: this.makeButton('archive', () => {
        actions.toggleArchived(this.item);
      }),
    };
    setAttributes(this.buttons.snooze, {
      'aria-haspopup': 'menu',
      'aria-expanded': 'false',
      'aria-label': words.snooze(item.title),
      title: words.snooze(item.title),
    });
    const { read, snooze, archive } = this.buttons;
    const text = element('div', { class: 'text' }, this.main);
    if (item.body !== null && item.body !== '')
      text.append(element('p', { id: `${id}b`, class: 'body', dir: 'auto' }, item.body));
    const meta = element('p', { class: 'meta' }, this.time);
    const urgency = urgencyOf(item, words);
    if (urgency !== undefined) meta.append(element('span', { class: 'pill' }, urgency));
    text.append(meta);
    this.element = element(
      'li',
      { class: 'row', 'data-priority': item.priority },
      element('span', { class: 'unread-dot' }),
      picture(item),
      text,
      element('div', { class: 'actions' }, read, snooze, archive),
    );
    this.show();
    this.tick();
  }

  get id(): string {
    return this.item.id;
  }

  update(item: NotificationItem): void {
    if (item === this.item) return;
    this.item = item;
    this.show();
  }

  /** Brings "5 minutes ago" up to date. */
  tick(): void {
    const at = new Date(this.item.at);
    setText(this.time, this.context.clock.relative(at));
    if (this.time.title === '') this.time.title = this.context.clock.exact(at);
  }

  setInTabOrder(inOrder: boolean): void {
    for (const control of [this.main, ...Object.values(this.buttons)]) control.tabIndex = inOrder ? 0 : -1;
  }

  focus(): void {
    this.main.focus();
  }

  private makeMain(id: string): HTMLElement {
    const { item, context } = this;
    const href = safeUrl(item.url, document.baseURI);
    const attributes = { class: 'main', 'aria-describedby': `${id}b ${id}t` };
    const main =
      href === undefined
        ? element('button', { ...attributes, type: 'button' })
        : element('a', { ...attributes, href, rel: 'noopener noreferrer' });
    main.append(this.mark, element('span', { class: 'title', dir: 'auto' }, item.title));
    main.addEventListener('click', event => {
      context.actions.select(this.item, event);
      // What leads nowhere else is read here, in full.
      if (href === undefined) this.element.toggleAttribute('data-full');
    });
    return main;
  }

  private makeButton(name: IconName, act: (button: HTMLButtonElement) => void): HTMLButtonElement {
    const button = element('button', { class: 'icon-button', type: 'button' }, icon(name));
    button.addEventListener('click', () => {
      act(button);
    });
    return button;
  }

  private show(): void {
    const { words } = this.context;
    const { title, read, archived } = this.item;
    setAttributes(this.element, { 'data-unread': !read });
    setText(this.mark, read ? '' : `${words.isUnread}: `);
    this.relabel(
      this.buttons.read,
      read ? 'dot' : 'check',
      read ? words.unreadAgain(title) : words.read(title),
    );
    this.relabel(
      this.buttons.archive,
      archived ? 'unarchive' : 'archive',
      archived ? words.unarchive(title) : words.archive(title),
    );
    this.buttons.snooze.hidden = archived;
  }

  private relabel(button: HTMLButtonElement, name: IconName, label: string): void {
    if (button.getAttribute('aria-label') === label) return;
    setAttributes(button, { 'aria-label': label, title: label });
    button.replaceChildren(icon(name));
  }
}

export function urgencyOf({ priority }: NotificationItem, words: BellWords): string | undefined {
  return priority === 'high' || priority === 'urgent' ? words.priority[priority] : undefined;
}

/** An image of its own, an emoji, or the bell. */
export function picture(item: NotificationItem): HTMLElement {
  const frame = element('span', { class: 'picture', 'aria-hidden': 'true' });
  const drawn = icon(item.priority === 'urgent' ? 'alert' : 'bell');
  const src = safeUrl(item.icon, document.baseURI);
  if (src !== undefined) {
    const image = element('img', { src, alt: '', loading: 'lazy', referrerpolicy: 'no-referrer' });
    image.addEventListener('error', () => {
      frame.replaceChildren(drawn);
    });
    frame.append(image);
  } else if (item.icon !== null && /^\p{Emoji_Presentation}/u.test(item.icon) && item.icon.length <= 16) {
    frame.append(item.icon);
  } else {
    frame.append(drawn);
  }
  return frame;
}

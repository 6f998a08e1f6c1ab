import type { InboxFilter, InboxState } from '../inbox.js';
import { icon } from './icons.js';
import { ItemList } from './item.list.js';
import type { RowContext } from './item.row.js';
import { More } from './more.js';
import { element } from './node.js';
import { Notice } from './notice.js';
import { Placeholder } from './placeholder.js';
import { SnoozeMenu } from './snooze.menu.js';
import { Tabs } from './tabs.js';
import { lower, raise } from './top.layer.js';

/** Relative times are in minutes. */
const TICK_MS = 30_000;

/** What the panel asks of the bell. */
export interface PanelActions {
  close(): void;
  filter(filter: InboxFilter): void;
  markAllRead(): void;
  loadMore(): void;
  retry(): void;
}

/** The box under the bell: heading, tabs, the list or what stands for it, and a notice at the foot. */
export class Panel {
  readonly element: HTMLElement;
  readonly notice: Notice;
  readonly menu: SnoozeMenu;
  private readonly tabs: Tabs<InboxFilter>;
  private readonly list: ItemList;
  private readonly placeholder: Placeholder;
  private readonly more: More;
  private readonly markAll: HTMLButtonElement;
  private readonly offline: HTMLElement;
  private readonly scroller: HTMLDivElement;
  private filter: InboxFilter | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly context: RowContext,
    actions: PanelActions,
  ) {
    const { words, clock } = context;
    this.markAll = element('button', { type: 'button', class: 'text-button mark-all' }, words.markAllRead);
    this.markAll.addEventListener('click', () => {
      if (this.markAll.getAttribute('aria-disabled') !== 'true') actions.markAllRead();
    });
    const close = element(
      'button',
      { type: 'button', class: 'icon-button', part: 'close', 'aria-label': words.close, title: words.close },
      icon('close'),
    );
    close.addEventListener('click', () => {
      actions.close();
    });
    this.list = new ItemList(context);
    this.placeholder = new Placeholder(words, () => {
      actions.retry();
    });
    this.scroller = element('div', { id: 'list', role: 'tabpanel', class: 'scroller' });
    this.more = new More(words, this.scroller, () => {
      actions.loadMore();
    });
    this.scroller.append(this.placeholder.element, this.list.element, this.more.element);
    this.tabs = new Tabs<InboxFilter>(
      words.title,
      [
        ['unread', words.unread],
        ['inbox', words.all],
        ['archived', words.archived],
      ],
      this.scroller,
      filter => {
        actions.filter(filter);
      },
    );
    this.offline = element(
      'p',
      { class: 'offline', hidden: true },
      icon('cloud'),
      element('span', {}, words.offline),
    );
    this.notice = new Notice(words.undo);
    this.menu = new SnoozeMenu(words, clock);
    this.element = element(
      'div',
      {
        id: 'panel',
        role: 'dialog',
        class: 'panel',
        tabindex: '-1',
        popover: 'manual',
        'aria-labelledby': 'heading',
        hidden: true,
      },
      element(
        'div',
        { class: 'header' },
        element('h2', { id: 'heading', part: 'heading' }, words.title),
        this.markAll,
        close,
      ),
      this.tabs.element,
      // A live region that is always there: going offline is spoken, once.
      element('div', { role: 'status' }, this.offline),
      this.scroller,
      this.notice.element,
      this.menu.element,
    );
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  open(): void {
    this.element.hidden = false;
    raise(this.element);
    this.more.watch();
    this.timer = setInterval(() => {
      this.list.tick();
    }, TICK_MS);
  }

  focus(): void {
    this.tabs.focus();
  }

  close(): void {
    this.menu.close();
    this.notice.clear();
    this.more.stop();
    clearInterval(this.timer);
    lower(this.element);
    this.element.hidden = true;
  }

  update(state: InboxState, isOffline: boolean): void {
    const { clock } = this.context;
    const { filter, counts, items } = state;
    if (filter !== this.filter) {
      this.filter = filter;
      this.tabs.show(filter);
      this.scroller.scrollTop = 0;
    }
    this.tabs.setCount('unread', counts.unread === 0 ? '' : clock.count(counts.unread));
    // Disabled and not gone, so that nothing jumps; and it keeps the focus it has.
    this.markAll.setAttribute('aria-disabled', `${counts.unread === 0}`);
    this.offline.hidden = !isOffline;
    this.list.element.hidden = !this.placeholder.show(state);
    this.scroller.setAttribute('aria-busy', `${state.status === 'loading' || state.loadingMore}`);
    const lostFocus = this.list.update(items);
    this.more.show(state);
    if (lostFocus) this.tabs.focus();
  }
}

import type { NotificationItem } from '../inbox.js';
import { ItemRow, type RowContext } from './item.row.js';
import { element } from './node.js';

/** How many rows Page Up and Page Down go. */
const PAGE = 8;

/**
 * The rows, in the order of the store. Rows outside the view cost no layout (`content-visibility` in the style), so
 * all that were loaded stay in the document: find-in-page and screen readers see them.
 */
export class ItemList {
  readonly element: HTMLUListElement;
  private readonly rows = new Map<string, ItemRow>();
  private order: ItemRow[] = [];
  /** The one row that Tab stops at. */
  private current: ItemRow | undefined;

  constructor(private readonly context: RowContext) {
    // The role is said again because list-style: none takes it away in Safari.
    this.element = element('ul', {
      role: 'list',
      class: 'list',
      'aria-label': context.words.title,
    });
    this.element.addEventListener('focusin', event => {
      this.makeCurrent(this.rowOf(event.target));
    });
    this.element.addEventListener('keydown', event => {
      this.walk(event);
    });
  }

  /** @returns whether the row that had the focus is gone and no other could take it */
  update(items: readonly NotificationItem[]): boolean {
    const focused = this.order.findIndex(row => row.element.matches(':focus-within'));
    const kept = new Set(items.map(item => item.id));
    for (const [id, row] of this.rows) {
      if (kept.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    let before: Element | null = this.element.firstElementChild;
    this.order = items.map(item => {
      const row = this.rowFor(item);
      // Only what is out of place is moved: moving a row takes the focus from it.
      if (row.element === before) before = before.nextElementSibling;
      else this.element.insertBefore(row.element, before);
      return row;
    });
    if (this.current === undefined || !kept.has(this.current.id)) {
      this.makeCurrent(this.order[Math.min(Math.max(focused, 0), this.order.length - 1)]);
    }
    if (focused < 0 || this.element.matches(':focus-within')) return false;
    this.current?.focus();
    return this.current === undefined;
  }

  tick(): void {
    for (const row of this.order) row.tick();
  }

  private rowFor(item: NotificationItem): ItemRow {
    const known = this.rows.get(item.id);
    if (known !== undefined) {
      known.update(item);
      return known;
    }
    const row = new ItemRow(item, this.context);
    row.setInTabOrder(false);
    this.rows.set(item.id, row);
    return row;
  }

  private rowOf(target: EventTarget | null): ItemRow | undefined {
    return this.order.find(row => target instanceof Node && row.element.contains(target));
  }

  private makeCurrent(row: ItemRow | undefined): void {
    if (row === this.current) return;
    this.current?.setInTabOrder(false);
    this.current = row;
    row?.setInTabOrder(true);
  }

  private walk(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || this.current === undefined) return;
    const at = this.order.indexOf(this.current);
    const last = this.order.length - 1;
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + PAGE,
      PageUp: at - PAGE,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.order[Math.min(Math.max(to, 0), last)]?.focus();
  }
}

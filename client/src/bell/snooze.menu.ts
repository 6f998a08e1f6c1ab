import type { Clock } from './clock.js';
import { snoozeTimes } from './clock.js';
import { element, setAttributes } from './node.js';
import type { BellWords } from './words.js';

/**
 * The menu of a snooze button, one for all rows: a row clips what it holds, so the menu lies over the panel instead.
 */
export class SnoozeMenu {
  readonly element: HTMLDivElement;
  private button: HTMLButtonElement | undefined;
  private choose: ((until: Date) => void) | undefined;

  constructor(
    private readonly words: BellWords,
    private readonly clock: Clock,
  ) {
    this.element = element('div', {
      role: 'menu',
      class: 'menu',
      'aria-label': words.snoozeFor.title,
      hidden: true,
    });
    this.element.addEventListener('keydown', event => {
      this.walk(event);
    });
    this.element.addEventListener('focusout', event => {
      if (!(event.relatedTarget instanceof Node) || !this.element.contains(event.relatedTarget)) this.close();
    });
  }

  /** @param choose hears the time; after that, or without one, the focus is back at the button */
  open(button: HTMLButtonElement, choose: (until: Date) => void): void {
    const wasOpenHere = this.button === button;
    this.close();
    if (wasOpenHere) return;
    const { hour, tomorrow, week } = snoozeTimes();
    const { snoozeFor } = this.words;
    this.element.replaceChildren(
      this.makeItem(snoozeFor.hour, hour),
      this.makeItem(snoozeFor.tomorrow, tomorrow),
      this.makeItem(snoozeFor.week, week),
    );
    this.button = button;
    this.choose = choose;
    setAttributes(button, { 'aria-expanded': 'true' });
    this.element.hidden = false;
    this.place(button);
    this.focus(0);
  }

  close(): void {
    if (this.button === undefined) return;
    setAttributes(this.button, { 'aria-expanded': 'false' });
    this.button = undefined;
    this.choose = undefined;
    this.element.hidden = true;
  }

  private makeItem(text: string, until: Date): HTMLButtonElement {
    const item = element(
      'button',
      { role: 'menuitem', type: 'button', tabindex: '-1' },
      element('span', {}, text),
      element('span', { class: 'when' }, this.clock.upcoming(until)),
    );
    item.addEventListener('click', () => {
      const { choose } = this;
      this.leave();
      choose?.(until);
    });
    return item;
  }

  /** Closes and gives the focus back. */
  private leave(): void {
    const { button } = this;
    this.close();
    button?.focus();
  }

  /** Under the button, or above it when the panel ends too soon. */
  private place(button: HTMLButtonElement): void {
    const parent = this.element.parentElement;
    if (parent === null) return;
    const panel = parent.getBoundingClientRect();
    const at = button.getBoundingClientRect();
    const { offsetHeight, offsetWidth, style } = this.element;
    const below = at.bottom - panel.top + 4;
    const fits = below + offsetHeight <= panel.height - 8;
    style.top = `${Math.max(8, fits ? below : at.top - panel.top - offsetHeight - 4)}px`;
    const isRtl = getComputedStyle(parent).direction === 'rtl';
    const left = isRtl ? at.left - panel.left : at.right - panel.left - offsetWidth;
    style.left = `${Math.min(Math.max(8, left), panel.width - offsetWidth - 8)}px`;
  }

  private focus(at: number): void {
    const items = [...this.element.children] as HTMLElement[];
    items.at(at % items.length)?.focus();
  }

  private walk(event: KeyboardEvent): void {
    const at = [...this.element.children].indexOf(event.target as Element);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) this.focus(to);
    else if (event.key === 'Escape') this.leave();
    // Tab goes on from the button.
    else if (event.key === 'Tab') {
      this.leave();
      return;
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

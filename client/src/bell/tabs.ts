import { element, setAttributes, setText } from './node.js';

/**
 * A tab list as ARIA's authoring practices have it: one tab stop, arrows go round and select, Home and End.
 */
export class Tabs<Name extends string> {
  readonly element: HTMLDivElement;
  private readonly tabs: Map<Name, HTMLButtonElement>;

  /**
   * @param panel the one tab panel, which every tab controls
   * @param select is called when the user chooses another
   */
  constructor(
    label: string,
    names: readonly (readonly [Name, string])[],
    private readonly panel: HTMLElement,
    private readonly select: (name: Name) => void,
  ) {
    this.tabs = new Map(names.map(([name, text]) => [name, this.makeTab(name, text)]));
    this.element = element('div', { role: 'tablist', class: 'tabs', 'aria-label': label });
    this.element.append(...this.tabs.values());
    this.element.addEventListener('keydown', event => {
      this.walk(event);
    });
  }

  show(selected: Name): void {
    for (const [name, tab] of this.tabs) {
      const isSelected = name === selected;
      setAttributes(tab, { 'aria-selected': `${isSelected}` });
      tab.tabIndex = isSelected ? 0 : -1;
      if (isSelected) setAttributes(this.panel, { 'aria-labelledby': tab.id });
    }
  }

  /** A number beside the tab's name; an empty one shows none. */
  setCount(name: Name, count: string): void {
    const badge = this.tabs.get(name)?.lastElementChild;
    if (badge) setText(badge, count);
  }

  focus(): void {
    this.element.querySelector<HTMLElement>('[aria-selected=true]')?.focus();
  }

  private makeTab(name: Name, text: string): HTMLButtonElement {
    const tab = element(
      'button',
      { role: 'tab', class: 'tab', id: `tab-${name}`, type: 'button', 'aria-controls': this.panel.id },
      element('span', {}, text),
      element('span', { class: 'tab-count' }),
    );
    tab.addEventListener('click', () => {
      this.select(name);
    });
    return tab;
  }

  private walk(event: KeyboardEvent): void {
    const tabs = [...this.tabs];
    const at = tabs.findIndex(([, tab]) => tab === event.target);
    const forward = getComputedStyle(this.element).direction === 'rtl' ? -1 : 1;
    const to = { ArrowRight: at + forward, ArrowLeft: at - forward, Home: 0, End: tabs.length - 1 }[
      event.key
    ];
    const next = to === undefined ? undefined : tabs.at(to % tabs.length);
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    next[1].focus();
    this.select(next[0]);
  }
}

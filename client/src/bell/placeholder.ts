import type { InboxState } from '../inbox.js';
import { icon } from './icons.js';
import { element } from './node.js';
import type { BellWords } from './words.js';

const SKELETONS = 4;

type Shown = 'nothing' | 'loading' | 'failed' | 'empty unread' | 'empty all' | 'empty archived';

/** What stands where the list would be: bones while it loads, a friendly word when there is none, or why it failed. */
export class Placeholder {
  readonly element: HTMLDivElement;
  private shown: Shown = 'nothing';

  constructor(
    private readonly words: BellWords,
    private readonly retry: () => void,
  ) {
    this.element = element('div', { class: 'placeholder', hidden: true });
  }

  /** @returns whether the list itself is to be shown */
  show(state: InboxState): boolean {
    const shown = choose(state);
    if (shown !== this.shown) {
      this.shown = shown;
      this.element.hidden = shown === 'nothing';
      this.element.replaceChildren(...this.content(shown));
    }
    return shown === 'nothing';
  }

  private content(shown: Shown): Node[] {
    const { words } = this;
    switch (shown) {
      case 'nothing':
        return [];
      case 'loading': {
        const bones = Array.from({ length: SKELETONS }, () =>
          element('div', { class: 'skeleton' }, element('i'), element('b'), element('u')),
        );
        return [element('p', { class: 'hidden-text' }, words.loading), ...bones];
      }
      case 'failed': {
        const button = element('button', { type: 'button', class: 'button' }, words.retry);
        button.addEventListener('click', this.retry);
        return [figure('alert', words.failed), button];
      }
      case 'empty unread':
        return [figure('check', words.empty.unread)];
      case 'empty all':
        return [figure('bell', words.empty.all)];
      case 'empty archived':
        return [figure('archive', words.empty.archived)];
    }
  }
}

function choose({ items, status, filter }: InboxState): Shown {
  if (items.length > 0) return 'nothing';
  if (status === 'error') return 'failed';
  if (status === 'loading') return 'loading';
  return filter === 'unread' ? 'empty unread' : filter === 'archived' ? 'empty archived' : 'empty all';
}

function figure(name: Parameters<typeof icon>[0], [title, text]: readonly [string, string]): HTMLElement {
  return element(
    'div',
    { class: 'figure' },
    icon(name),
    element('p', { class: 'figure-title' }, title),
    element('p', {}, text),
  );
}

import type { InboxState } from '../inbox.js';
import { element } from './node.js';
import type { BellWords } from './words.js';

/** The foot of the list: asks for the next page as it comes near, and by a button when that failed. */
export class More {
  readonly element: HTMLDivElement;
  private readonly failed: HTMLElement;
  private readonly observer: IntersectionObserver;
  private isNear = false;
  private state: InboxState | undefined;

  /** @param scroller the box that scrolls */
  constructor(
    words: BellWords,
    scroller: HTMLElement,
    private readonly load: () => void,
  ) {
    const button = element('button', { type: 'button', class: 'text-button' }, words.retry);
    button.addEventListener('click', load);
    this.failed = element('p', { class: 'more-failed', hidden: true }, `${words.moreFailed} `, button);
    this.element = element('div', { class: 'more' }, element('span', { class: 'spinner' }), this.failed);
    this.observer = new IntersectionObserver(
      ([...entries]) => {
        this.isNear = entries.at(-1)?.isIntersecting ?? false;
        this.ask();
      },
      { root: scroller, rootMargin: '400px 0px' },
    );
  }

  watch(): void {
    this.observer.observe(this.element);
  }

  stop(): void {
    this.observer.disconnect();
    this.isNear = false;
  }

  show(state: InboxState): void {
    const wasLoading = this.state?.loadingMore === true;
    this.state = state;
    const isOver = !state.hasMore && !state.loadingMore;
    this.element.hidden = isOver || state.items.length === 0;
    this.failed.hidden = state.loadingMore || state.error === undefined;
    // The observer tells of changes only, and a short page may leave the foot where it was: have it look again.
    if (wasLoading && !state.loadingMore && state.hasMore && this.isNear) {
      this.stop();
      this.watch();
    }
  }

  private ask(): void {
    const { state } = this;
    if (!this.isNear || state === undefined || state.error !== undefined) return;
    if (state.hasMore && !state.loadingMore && state.status === 'ready') this.load();
  }
}

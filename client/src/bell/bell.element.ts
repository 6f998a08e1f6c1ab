import type { Inbox, InboxCounts, InboxState, NotificationItem, Token } from '../inbox.js';
import { dress } from './bell.style.js';
import { BellView } from './bell.view.js';
import { Store, storeOf } from './store.js';
import { type BellWords, ENGLISH } from './words.js';

const TOAST_SECONDS = 6;

/** Where there is no DOM, as on a server that renders pages, the class can be imported and is of no use. */
const Base = (globalThis as { HTMLElement?: typeof HTMLElement }).HTMLElement ?? (Object as never);

/** What the bell dispatches. All of it bubbles, and leaves the shadow trees that the bell is in. */
export interface BellEvents {
  'belfry-open': CustomEvent<null>;
  /** Cancelable: canceled, the link is not followed, and the page goes where it likes. */
  'belfry-select': CustomEvent<NotificationItem>;
  'belfry-count': CustomEvent<InboxCounts>;
}

/**
 * `<belfry-bell url="https://belfry.example.com">`: a bell with a badge, a panel and toasts. Its attributes are its
 * state:
 * - `url`: where Belfry is; without it (and without an `inbox`) nothing is connected.
 * - `token`: a JWT; for one that is renewed, set the property to a function.
 * - `user`, `credentials`: as of the inbox, where a cookie signs in.
 * - `shared="false"`: a connection of its own for each tab.
 * - `open`: whether the panel is open.
 * - `placement`: `bottom-end` (default), `bottom-start`, `top-end`, `top-start`.
 * - `theme`: `auto` (default), `light`, `dark`.
 * - `lang`: for numbers and times; by default that of the nearest element that has one.
 * - `toasts`: seconds that a toast stays (default 6), `0` until it is dismissed, `off` for none.
 * - `toast-placement`: the corner they come in, named like those of `placement`.
 *
 * A page styles it by custom properties (`--belfry-accent`, `-on-accent`, `-surface`, `-raised`, `-text`, `-muted`,
 * `-line`, `-badge`, `-on-badge`, `-ring`, `-icon`, `-font`, `-radius`, `-size`, `-width`, `-height`) and by parts, of
 * which the main ones are `bell`, `badge`, `panel`, `header`, `tabs`, `tab`, `list`, `row`, `title`, `body`, `menu`,
 * `notice` and `toast`.
 */
export class BelfryBell extends Base {
  static readonly observedAttributes = ['url', 'token', 'user', 'credentials', 'shared', 'lang', 'open'];

  private view: BellView | undefined;
  private store: Store | undefined;
  private ownWords: Partial<BellWords> = {};
  private ownToken: Token | undefined;
  private ownInbox: Inbox | undefined;
  /** Whether the store is not the one that attributes and properties ask for. */
  private isStale = true;
  private settlingIsDue = false;
  /** Whether the user opens or closes, and takes the focus along. */
  private isByUser = false;
  private counts: InboxCounts = { unread: 0, unseen: 0 };

  constructor() {
    super();
    this.attachShadow({ mode: 'open' });
  }

  /** The inbox that is shown. One that is set is the page's own: the bell starts it, and leaves it open. */
  get inbox(): Inbox | undefined {
    return this.ownInbox ?? this.store?.inbox;
  }

  set inbox(inbox: Inbox | undefined) {
    this.ownInbox = inbox;
    this.restock();
  }

  get token(): Token | undefined {
    return this.ownToken ?? this.getAttribute('token') ?? undefined;
  }

  set token(token: Token | undefined) {
    this.ownToken = token;
    this.restock();
  }

  /** Words in place of the English ones; those left out stay English. */
  get words(): Partial<BellWords> {
    return this.ownWords;
  }

  set words(words: Partial<BellWords>) {
    this.ownWords = words;
    if (this.view !== undefined) this.draw();
  }

  get open(): boolean {
    return this.hasAttribute('open');
  }

  set open(open: boolean) {
    this.toggleAttribute('open', open);
  }

  connectedCallback(): void {
    this.upgrade();
    if (this.view === undefined) this.draw();
    else if (this.open) this.show();
    this.settleSoon();
  }

  disconnectedCallback(): void {
    this.open = false;
    // An element that is moved is out for no longer than this task: it keeps its store, and what that has loaded.
    this.settleSoon();
  }

  adoptedCallback(): void {
    dress(this);
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after || this.view === undefined) return;
    if (name === 'lang') this.draw();
    else if (name !== 'open') this.restock();
    else if (after === null) this.hide();
    else if (before === null && this.isConnected) this.show();
  }

  /** What was set before the element was defined is in the way of the accessors. */
  private upgrade(): void {
    for (const name of ['inbox', 'token', 'words', 'open'] as const) {
      if (!Object.hasOwn(this, name)) continue;
      const value: unknown = this[name];
      Reflect.deleteProperty(this, name);
      Reflect.set(this, name, value);
    }
  }

  private restock(): void {
    this.isStale = true;
    this.settleSoon();
  }

  /** Attributes come one by one, and a move is two steps: the store follows when all of it has been said. */
  private settleSoon(): void {
    if (this.settlingIsDue) return;
    this.settlingIsDue = true;
    queueMicrotask(() => {
      this.settlingIsDue = false;
      if (this.isConnected && !this.isStale) return;
      this.store?.end();
      this.store = undefined;
      this.isStale = true;
      if (this.isConnected) this.connectStore();
      else this.view?.dispose();
    });
  }

  private connectStore(): void {
    this.isStale = false;
    const inbox = this.ownInbox ?? storeOf(this, this.token);
    if (inbox === undefined) return;
    this.store = new Store(inbox, inbox !== this.ownInbox, {
      changed: state => {
        this.render(state);
      },
      arrived: item => this.view?.announce(item, this.toastMs()),
    });
  }

  private draw(): void {
    this.view?.dispose();
    const lang = this.closest('[lang]')?.getAttribute('lang') ?? '';
    const inbox = (): Inbox | undefined => this.store?.inbox;
    this.view = new BellView(
      {
        get inbox() {
          return inbox();
        },
        placement: () => this.getAttribute('placement'),
        toggle: open => {
          this.isByUser = true;
          this.open = open;
          this.isByUser = false;
        },
        leave: () => {
          this.open = false;
        },
        selected: item => this.emit('belfry-select', item, true),
      },
      lang,
      { ...ENGLISH, ...this.ownWords },
    );
    this.shadowRoot?.replaceChildren(...this.view.nodes);
    dress(this);
    if (this.store !== undefined) this.view.update(this.store.inbox.state);
    if (this.isConnected && this.open) this.show();
  }

  private render(state: InboxState): void {
    this.view?.update(state);
    const { unread, unseen } = state.counts;
    if (unread !== this.counts.unread || unseen !== this.counts.unseen) {
      this.counts = { unread, unseen };
      this.emit('belfry-count', this.counts);
    }
    if (this.open) this.store?.markSeen();
  }

  private show(): void {
    this.view?.open(this.store?.inbox.state, this.isByUser);
    document.addEventListener('pointerdown', this.leaveOnPress);
    document.addEventListener('keydown', this.closeOnEscape);
    this.store?.markSeen();
    this.emit('belfry-open', null);
  }

  private hide(): void {
    document.removeEventListener('pointerdown', this.leaveOnPress);
    document.removeEventListener('keydown', this.closeOnEscape);
    this.view?.close(this.isByUser);
    this.store?.panelClosed();
  }

  private readonly leaveOnPress = (event: Event): void => {
    if (!event.composedPath().includes(this)) this.open = false;
  };

  /** On the document: an item that goes away under the focus leaves it to the body. */
  private readonly closeOnEscape = (event: KeyboardEvent): void => {
    const isHere = event.composedPath().includes(this) || document.activeElement === document.body;
    if (event.key !== 'Escape' || event.defaultPrevented || !isHere) return;
    event.preventDefault();
    this.isByUser = true;
    this.open = false;
    this.isByUser = false;
  };

  private emit(name: keyof BellEvents, detail: unknown, cancelable = false): boolean {
    return this.dispatchEvent(new CustomEvent(name, { detail, cancelable, bubbles: true, composed: true }));
  }

  private toastMs(): number | undefined {
    const seconds = this.getAttribute('toasts');
    if (seconds === 'off') return undefined;
    return (seconds !== null && /^\d{1,4}$/.test(seconds) ? Number(seconds) : TOAST_SECONDS) * 1000;
  }
}

import { Backoff } from './backoff.js';
import { asBelfryError, BelfryError } from './belfry.error.js';
import type { Connection } from './connection.js';
import { Credential } from './credential.js';
import { seqOf } from './cursor.js';
import { type Heard, openFeed } from './inbox.feed.js';
import { InboxApi, type InboxPage, type MarkAll } from './inbox.api.js';
import type { InboxOptions } from './inbox.options.js';
import type { InboxFilter, InboxState } from './inbox.state.js';
import { Ledger } from './ledger.js';
import { News } from './news.js';
import type { Marks, NotificationItem } from './notification.js';
import { Pending } from './pending.js';
import type { Preferences } from './preferences.js';
import { belongs } from './shelf.js';
import { Timer } from './timer.js';

export type { Token } from './credential.js';
export type { InboxOptions } from './inbox.options.js';
export type { InboxCounts, InboxFilter, InboxState } from './inbox.state.js';
export type { Marks, NotificationItem, Priority } from './notification.js';
export type { Preferences, QuietHours } from './preferences.js';

/** Reads that follow from what was heard happen within this time, in milliseconds, all at once and not in all tabs together. */
const REFETCH_MS = 1_000;
/** So many events are remembered while a list is on its way; after more, the list is read again. */
const MAX_HEARD = 1_000;

/**
 * The inbox of one user, as a page shows it.
 *
 *     idle ─ start ─► loading ─ the list is there ─► ready ─ setFilter ─► loading
 *                      │  ▲                           │ ▲
 *                      │  └───────── time ── error ◄──┘ │ a list could not be read; what there was stays
 *                      └─────────────────────▲          │
 *                                            └─ time ───┘
 *
 * Any state ─ `close` ─► idle, from where it can be started again.
 *
 * A list comes with the cursor of its snapshot, and the stream begins there: nothing is missed between the two, and what
 * the list has already is not taken twice. Events that arrive while another list is on its way are shown at once, and
 * once more on top of it when they are newer.
 */
export class Inbox {
  private readonly api: InboxApi;
  private readonly credential: Credential;
  private readonly ledger: Ledger;
  private readonly pending: Pending;
  private readonly news: News;
  private readonly backoff: Backoff;
  private readonly listeners = new Set<(state: InboxState) => void>();
  private readonly again = new Timer(() => {
    void this.load();
  });

  private snapshot: InboxState | undefined;
  private isTelling = false;
  private filter: InboxFilter = 'inbox';
  private status: InboxState['status'] = 'loading';
  private error: Error | undefined;
  private loadingMore: Promise<void> | undefined;
  /** What was heard since the list was asked for that is on its way. */
  private heard: Heard[] | undefined;
  /** After a reset: the cursor up to which nothing was missed. */
  private missedAfter: string | undefined;
  private prefs: Preferences | undefined;
  private connection: Connection | undefined;
  /** Ends all requests of one run. */
  private run: AbortController | undefined;
  /** Ends the reading of a list that is wanted no more. */
  private reading: AbortController | undefined;

  constructor(private readonly options: InboxOptions) {
    const { pageSize = 20, maxItems = 1_000, maxPending = 100 } = options;
    if (!(pageSize >= 1 && pageSize <= 200)) throw new TypeError(`pageSize is 1 to 200, not ${pageSize}.`);
    this.credential = new Credential(options.token);
    this.api = new InboxApi(options, this.credential);
    this.ledger = new Ledger(Math.max(maxItems, pageSize), {
      isMuted: type => this.prefs?.muted.includes(type) ?? false,
      created: id => {
        this.news.add(id);
      },
      doubted: () => {
        this.loadSoon();
      },
    });
    this.pending = new Pending(maxPending, () => {
      this.changed();
    });
    this.news = new News(
      id => {
        const item = this.ledger.get(id);
        return item && this.pending.show(item);
      },
      () => this.prefs,
    );
    this.backoff = new Backoff(options);
  }

  /** The present snapshot; another object after each change. */
  get state(): InboxState {
    return (this.snapshot ??= this.look());
  }

  /**
   * Hears each change; of several in one turn the last.
   *
   * @returns takes the listener away
   */
  subscribe(listener: (state: InboxState) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Hears what is new, live or after a reconnect: not what is muted or was read meanwhile, and in quiet hours urgent
   * ones alone.
   *
   * @returns takes the listener away
   */
  onNotification(listener: (item: NotificationItem) => void): () => void {
    return this.news.listen(listener);
  }

  /** Nothing when it was started. */
  start(): void {
    if (this.run) return;
    this.run = new AbortController();
    void this.load();
  }

  /** Ends the stream and all reading; what is shown stays, and marks still arrive. Nothing when it was not started. */
  close(): void {
    this.run?.abort(new BelfryError('closed', 'The inbox was closed.'));
    this.run = undefined;
    this.reading?.abort();
    this.reading = undefined;
    this.heard = undefined;
    this.again.clear();
    this.news.clear();
    this.connection?.close();
    this.connection = undefined;
    this.changed();
  }

  setFilter(filter: InboxFilter): void {
    if (filter === this.filter) return;
    this.filter = filter;
    this.ledger.clear(filter);
    this.status = 'loading';
    this.changed();
    if (this.run) void this.load();
  }

  /** The next page. Resolves when it is there, or `state.error` says why not. */
  async loadMore(): Promise<void> {
    if (!this.run || !this.ledger.hasMore || this.status === 'loading') return;
    this.loadingMore ??= this.readMore(this.run.signal).finally(() => {
      this.loadingMore = undefined;
      this.changed();
    });
    this.changed();
    await this.loadingMore;
  }

  /** Reads the list again. Resolves when it is there, or `state.error` says why not; another one in between takes over. */
  async refresh(): Promise<void> {
    if (this.run) await this.load();
  }

  /** Shown at once, and taken back when it fails: then it rejects with a BelfryError. So do the others. */
  setRead(id: string, read: boolean): Promise<void> {
    return this.mark(id, { read });
  }

  setSeen(id: string, seen: boolean): Promise<void> {
    return this.mark(id, { seen });
  }

  setArchived(id: string, archived: boolean): Promise<void> {
    return this.mark(id, { archived });
  }

  /** @param until null brings it back now */
  snooze(id: string, until: Date | null): Promise<void> {
    return this.mark(id, { snoozedUntil: until?.toISOString() ?? null });
  }

  /** Everything that this page can know of; what comes while the server is asked stays as it is. */
  markAllRead(): Promise<void> {
    return this.markAll({ read: true });
  }

  markAllSeen(): Promise<void> {
    return this.markAll({ seen: true });
  }

  archiveAll(): Promise<void> {
    return this.markAll({ archived: true });
  }

  async preferences(): Promise<Preferences> {
    return (this.prefs = await this.api.preferences(this.signal()));
  }

  async setPreferences(preferences: Preferences): Promise<void> {
    await this.api.setPreferences(preferences, this.signal());
    this.prefs = preferences;
    // What is muted may be counted no more.
    this.loadSoon();
  }

  /** @throws BelfryError when it was not started, or was closed */
  private signal(): AbortSignal {
    if (!this.run) throw new BelfryError('closed', 'Start the inbox first.');
    return this.run.signal;
  }

  private async load(): Promise<void> {
    const { run, filter, options } = this;
    if (!run) return;
    this.again.clear();
    this.reading?.abort(new BelfryError('closed', 'Another list was asked for.'));
    const reading = (this.reading = new AbortController());
    this.heard = [];
    try {
      const limit = Math.min(200, Math.max(options.pageSize ?? 20, this.shown().length));
      const [page] = await Promise.all([
        this.api.list(filter, undefined, limit, reading.signal),
        this.prefs ?? this.readPreferences(reading.signal),
      ]);
      if (this.reading === reading) this.take(page);
    } catch (error) {
      if (this.reading !== reading) return;
      this.reading = undefined;
      this.heard = undefined;
      this.status = 'error';
      this.error = asBelfryError(error);
      this.again.set(this.backoff.next());
      this.changed();
    }
  }

  private async readPreferences(signal: AbortSignal): Promise<void> {
    try {
      this.prefs = await this.api.preferences(signal);
    } catch {
      // Without them every notification is told; they are asked for again with the next list.
    }
  }

  private take(page: InboxPage): void {
    const { heard = [], missedAfter } = this;
    this.reading = undefined;
    this.heard = undefined;
    this.missedAfter = undefined;
    this.backoff.reset();
    this.status = 'ready';
    this.error = undefined;
    this.ledger.replace(page);
    for (const item of page.items) {
      if (missedAfter !== undefined && seqOf(item.id) > seqOf(missedAfter)) this.news.add(item.id);
    }
    for (const one of heard) this.ledger.hear(one);
    if (heard.length > MAX_HEARD) this.loadSoon();
    this.changed();
    if (this.connection) this.tellNews();
    else this.connect(page.cursor);
  }

  private async readMore(signal: AbortSignal): Promise<void> {
    const { filter, ledger, options } = this;
    const { listed, oldest } = ledger;
    try {
      const page = await this.api.list(filter, oldest, options.pageSize ?? 20, signal);
      // The list was replaced meanwhile: this page may not follow on it.
      if (this.filter !== filter || ledger.listed !== listed) return;
      ledger.add(page);
      this.error = undefined;
    } catch (error) {
      this.error = asBelfryError(error);
    }
  }

  /** Soon, and once, however many ask for it. */
  private loadSoon(): void {
    if (this.run && !this.again.isSet) this.again.set(Math.random() * REFETCH_MS);
  }

  private connect(lastEventId: string): void {
    const connection = (this.connection = openFeed(this.options, this.credential, lastEventId, heard => {
      this.hear(heard);
    }));
    connection.onState(() => {
      this.tellNews();
      this.changed();
    });
    connection.on('reset', () => {
      this.missedAfter ??= connection.cursor;
      this.loadSoon();
    });
    void connection.closed.then(error => {
      // For good: the server will not have this user any more.
      if (error && this.connection === connection) {
        this.error = error;
        this.changed();
      }
    });
  }

  private hear(heard: Heard): void {
    if (this.heard && this.heard.length <= MAX_HEARD) this.heard.push(heard);
    this.ledger.hear(heard);
    if (heard.type === 'inbox.updated' && heard.event.data.reason === 'preferences') this.prefs = undefined;
    this.tellNews();
    this.changed();
  }

  private tellNews(): void {
    if (this.connection?.state === 'live') this.news.tell();
  }

  private async mark(id: string, marks: Marks): Promise<void> {
    this.signal();
    await this.pending.run({ id, marks }, async () => {
      const { counts, ...item } = await this.api.patch(id, marks);
      this.ledger.update(item, counts);
    });
  }

  private async markAll(marks: MarkAll): Promise<void> {
    this.signal();
    const upTo = this.position;
    const range = upTo === undefined ? {} : { upTo };
    await this.pending.run({ ...range, marks }, async () => {
      const { counts } = await this.api.markAll({ ...marks, ...range });
      this.ledger.mark(range, marks, counts);
    });
  }

  /** Everything up to here is known. */
  private get position(): string | undefined {
    const { listed } = this.ledger;
    const heard = this.connection?.cursor;
    if (heard === undefined || listed === undefined) return heard ?? listed;
    return seqOf(heard) > seqOf(listed) ? heard : listed;
  }

  private shown(): NotificationItem[] {
    return this.ledger.items.map(item => this.pending.show(item)).filter(item => belongs(item, this.filter));
  }

  private look(): InboxState {
    const { filter, status, ledger, error } = this;
    const connection = this.connection?.state;
    return {
      items: this.shown(),
      counts: this.pending.count(ledger.counts, ledger.items),
      status,
      online: connection === 'live' || connection === 'replaying',
      filter,
      hasMore: ledger.hasMore,
      loadingMore: this.loadingMore !== undefined,
      ...(error ? { error } : {}),
    };
  }

  private changed(): void {
    this.snapshot = undefined;
    if (this.isTelling) return;
    this.isTelling = true;
    queueMicrotask(() => {
      this.isTelling = false;
      for (const listener of [...this.listeners]) listener(this.state);
    });
  }
}

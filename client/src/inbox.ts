import { Backoff } from './backoff.js';
import { asBelfryError, BelfryError } from './belfry.error.js';
import { connectAs } from './connect.js';
import type { Connection } from './connection.js';
import { Credential } from './credential.js';
import { isWithin, seqOf } from './cursor.js';
import type { BelfryEvent, InboxUpdate, NotificationData } from './event.js';
import { InboxApi, type InboxPage, type MarkAll } from './inbox.api.js';
import type { InboxOptions } from './inbox.options.js';
import type { InboxFilter, InboxState } from './inbox.state.js';
import { News } from './news.js';
import type { Marks, NotificationItem } from './notification.js';
import { Pending } from './pending.js';
import type { Preferences } from './preferences.js';
import { belongs, marksOf, Shelf } from './shelf.js';
import { Tally, weigh } from './tally.js';
import { Timer } from './timer.js';

export type { Token } from './credential.js';
export type { InboxOptions } from './inbox.options.js';
export type { InboxCounts, InboxFilter, InboxState } from './inbox.state.js';
export type { Marks, NotificationItem, Priority } from './notification.js';
export type { Preferences, QuietHours } from './preferences.js';

const TYPES = ['notification.created', 'notification.retracted', 'inbox.updated'];
/** Reads that follow from what was heard happen within this time, in milliseconds, all at once and not in all tabs together. */
const REFETCH_MS = 1_000;
/** So many events are remembered while a list is on its way; after more, the list is read again. */
const MAX_HEARD = 1_000;

type Heard =
  | { readonly type: 'notification.created'; readonly event: BelfryEvent<NotificationData> }
  | { readonly type: 'notification.retracted'; readonly event: BelfryEvent<{ readonly id: string }> }
  | { readonly type: 'inbox.updated'; readonly event: BelfryEvent<InboxUpdate> };

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
  private readonly shelf: Shelf;
  private readonly tally = new Tally();
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
  private hasMore = false;
  private loadingMore: Promise<void> | undefined;
  /** The oldest notification that pages have reached. */
  private oldest: string | undefined;
  /** The cursor of the last list. */
  private listed: string | undefined;
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
    this.shelf = new Shelf(Math.max(maxItems, pageSize));
    this.pending = new Pending(maxPending, () => {
      this.changed();
    });
    this.news = new News(
      id => {
        const item = this.shelf.get(id);
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

  /** Ends the stream and all requests; what is shown stays. Nothing when it was not started. */
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
    this.shelf.clear();
    this.status = 'loading';
    this.hasMore = false;
    this.changed();
    if (this.run) void this.load();
  }

  /** The next page. Resolves when it is there, or `state.error` says why not. */
  async loadMore(): Promise<void> {
    if (!this.run || !this.hasMore || this.status === 'loading') return;
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
    this.shelf.clear();
    this.listed = page.cursor;
    this.tally.reset(page.counts);
    this.add(page);
    for (const item of page.items) {
      if (missedAfter !== undefined && seqOf(item.id) > seqOf(missedAfter)) this.news.add(item.id);
    }
    for (const one of heard) this.apply(one);
    if (heard.length > MAX_HEARD) this.loadSoon();
    this.changed();
    if (this.connection) this.tellNews();
    else this.connect(page.cursor);
  }

  private add(page: InboxPage): void {
    for (const item of page.items) this.shelf.put(item, page.cursor);
    this.oldest = page.items.at(-1)?.id ?? this.oldest;
    this.hasMore = page.more;
    this.trim();
  }

  private trim(): void {
    const oldest = this.shelf.trim();
    if (oldest === undefined) return;
    this.oldest = oldest;
    this.hasMore = true;
  }

  private async readMore(signal: AbortSignal): Promise<void> {
    const { filter, listed, options } = this;
    try {
      const page = await this.api.list(filter, this.oldest, options.pageSize ?? 20, signal);
      // The list was replaced meanwhile: this page may not follow on it.
      if (this.filter !== filter || this.listed !== listed) return;
      this.add(page);
    } catch (error) {
      this.error = asBelfryError(error);
    }
  }

  /** Soon, and once, however many ask for it. */
  private loadSoon(): void {
    if (this.run && !this.again.isSet) this.again.set(Math.random() * REFETCH_MS);
  }

  private connect(lastEventId: string): void {
    const {
      url,
      token,
      credentials,
      shared = true,
      user,
      heartbeat,
      fetch,
      backoff,
      maxBackoff,
    } = this.options;
    const connection = connectAs(
      defined({
        url,
        token,
        credentials,
        shared,
        user,
        heartbeat,
        fetch,
        backoff,
        maxBackoff,
        types: TYPES,
        lastEventId,
      }),
      this.credential,
    );
    this.connection = connection;
    connection.onState(() => {
      this.tellNews();
      this.changed();
    });
    connection.on('notification.created', event => {
      this.hear({ type: 'notification.created', event });
    });
    connection.on('notification.retracted', event => {
      this.hear({ type: 'notification.retracted', event });
    });
    connection.on('inbox.updated', event => {
      this.hear({ type: 'inbox.updated', event });
    });
    connection.on('reset', () => {
      this.missedAfter ??= connection.cursor;
      this.loadSoon();
    });
    void connection.closed.then(error => {
      // For good: the server will not have this user, or the page has closed it.
      if (error && this.connection === connection) {
        this.error = error;
        this.changed();
      }
    });
  }

  private hear(heard: Heard): void {
    if (this.heard && this.heard.length <= MAX_HEARD) this.heard.push(heard);
    this.apply(heard);
    this.tellNews();
    this.changed();
  }

  private apply({ type, event }: Heard): void {
    // The list has it.
    if (this.listed !== undefined && isWithin(event.id, this.listed)) return;
    if (type === 'notification.created') this.created(event);
    else if (type === 'notification.retracted') this.retracted(event);
    else this.updated(event);
  }

  private created(event: BelfryEvent<NotificationData>): void {
    if (this.shelf.has(event.id)) return;
    if (this.prefs?.muted.includes(event.data.type)) {
      // Whether it is listed and counted is for the server to say.
      this.loadSoon();
      return;
    }
    if (!this.shelf.knows(event, this.filter === 'inbox' && !this.hasMore)) this.loadSoon();
    const twin = this.shelf.twin(event);
    if (twin) this.forget(twin, event.id);
    this.tally.change(event.id, weigh(this.shelf.add(event)));
    this.trim();
    this.news.add(event.id);
  }

  private retracted({ id, data }: BelfryEvent<{ readonly id: string }>): void {
    const item = this.shelf.get(data.id);
    if (item) this.forget(item, id);
    else this.loadSoon();
  }

  private forget(item: NotificationItem, at: string): void {
    const { unread, unseen } = weigh(item);
    this.tally.change(at, { unread: -unread, unseen: -unseen });
    this.shelf.delete(item.id);
  }

  private updated({ id, data }: BelfryEvent<InboxUpdate>): void {
    const isComparable = !data.counts || this.tally.take(data.counts);
    if (data.reason === 'marked') this.shelf.mark(data, marksOf(data), id);
    if (data.reason === 'preferences') this.prefs = undefined;
    if (!isComparable || data.reason !== 'marked' || this.mayBring(data)) this.loadSoon();
  }

  /** Whether marks may have brought something into the list that is not known here. */
  private mayBring({ ids, read, archived, snoozedUntil }: InboxUpdate): boolean {
    if (ids?.every(id => this.shelf.has(id))) return false;
    switch (this.filter) {
      case 'inbox':
        return archived === false || snoozedUntil === null;
      case 'unread':
        return archived === false || snoozedUntil === null || read === false;
      case 'archived':
        return archived === true;
      case 'snoozed':
        return archived === false || typeof snoozedUntil === 'string';
    }
  }

  private tellNews(): void {
    if (this.connection?.state === 'live') this.news.tell();
  }

  private async mark(id: string, marks: Marks): Promise<void> {
    const signal = this.signal();
    await this.pending.run({ id, marks }, async () => {
      const { counts, ...item } = await this.api.patch(id, marks, signal);
      if (this.shelf.has(id)) this.shelf.put(item, counts.asOf);
      if (!this.tally.take(counts)) this.loadSoon();
    });
  }

  private async markAll(marks: MarkAll): Promise<void> {
    const signal = this.signal();
    const upTo = this.position;
    const range = upTo === undefined ? {} : { upTo };
    await this.pending.run({ ...range, marks }, async () => {
      const { counts } = await this.api.markAll({ ...marks, ...range }, signal);
      if (upTo !== undefined) this.shelf.mark(range, marks, counts.asOf);
      if (!this.tally.take(counts)) this.loadSoon();
    });
  }

  /** Everything up to here is known. */
  private get position(): string | undefined {
    const { listed } = this;
    const heard = this.connection?.cursor;
    if (heard === undefined || listed === undefined) return heard ?? listed;
    return seqOf(heard) > seqOf(listed) ? heard : listed;
  }

  private shown(): NotificationItem[] {
    return this.shelf.items.map(item => this.pending.show(item)).filter(item => belongs(item, this.filter));
  }

  private look(): InboxState {
    const { filter, status, hasMore, error } = this;
    const connection = this.connection?.state;
    return {
      items: this.shown(),
      counts: this.pending.count(this.tally.counts, this.shelf.items),
      status,
      online: connection === 'live' || connection === 'replaying',
      filter,
      hasMore,
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

/** Without what is undefined, which an option may not be. */
function defined<T extends object>(options: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

import { asBelfryError, type BelfryError } from './belfry.error.js';
import { CursorKeeper } from './cursor.storage.js';
import type { BelfryEvent, BelfryEvents, Block, End, Ready, Reset } from './event.js';
import { EventQueue } from './event.queue.js';
import type { Settings } from './options.js';
import type { ConnectionState, Sink, Source } from './source.js';

/** What can be heard besides published events. None of these names can be published. */
export interface ControlEvents {
  /** Every published event, whatever its type. */
  message: BelfryEvent;
  ready: Ready;
  reset: Reset;
  end: End;
  /** Something went wrong; it is tried again unless `state` is `closed`. */
  error: BelfryError;
}

/** The handler of one type; `E` is the data of each type of event. */
export type Handler<E, K> = (
  event: K extends keyof ControlEvents
    ? ControlEvents[K]
    : K extends keyof E
      ? BelfryEvent<E[K]>
      : BelfryEvent,
) => void;

/**
 * One logical stream, however many connections it takes. Events go to handlers and to a `for await`, in the order of the
 * log, each once.
 *
 * `for await` begins with the event that comes next; leave the loop, and the connection is closed. There may be one.
 *
 * @typeParam E data of events by type, such as `{ 'invoice.paid': { total: number } }`; those of Belfry are known
 */
export class Connection<E extends object = BelfryEvents> implements AsyncIterable<BelfryEvent> {
  /** Resolves when it is closed, with the error that closed it, if any. */
  readonly closed: Promise<BelfryError | undefined>;

  private passed: string | undefined;
  private current: ConnectionState = 'connecting';
  private source: Source | undefined;
  private queue: EventQueue | undefined;
  private readonly handlers = new Map<string, Set<(event: never) => void>>();
  private readonly stateListeners = new Set<(state: ConnectionState) => void>();
  private readonly keeper: CursorKeeper | undefined;
  private settleClosed!: (error: BelfryError | undefined) => void;
  private readonly abort = () => {
    this.close();
  };

  constructor(
    private readonly settings: Settings,
    private readonly open: (sink: Sink) => Source,
  ) {
    const { storage, onReset, signal } = settings;
    this.closed = new Promise(resolve => {
      this.settleClosed = resolve;
    });
    this.keeper =
      storage &&
      new CursorKeeper(storage, error => {
        this.emit('error', asBelfryError(error, 'storage'));
      });
    if (onReset) this.listen('reset', onReset);
    signal?.addEventListener('abort', this.abort, { once: true });
    void this.begin();
  }

  /** Everything up to here was heard: by the handlers, or by the `for await` when there is one. */
  get cursor(): string | undefined {
    return this.passed;
  }

  get state(): ConnectionState {
    return this.current;
  }

  /**
   * @param type a type of events, or a name of `ControlEvents`
   * @returns takes the handler away
   */
  on<K extends keyof (E & BelfryEvents & ControlEvents) & string>(
    type: K,
    handler: Handler<E & BelfryEvents, K>,
  ): () => void;
  on(type: string & {}, handler: (event: BelfryEvent) => void): () => void;
  on(type: string, handler: (event: never) => void): () => void {
    return this.listen(type, handler);
  }

  /** @returns takes the listener away */
  onState(listener: (state: ConnectionState) => void): () => void {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  }

  [Symbol.asyncIterator](): AsyncIterator<BelfryEvent, undefined> {
    if (this.queue) throw new TypeError('A connection is read by one loop.');
    this.queue = new EventQueue(
      this.settings.buffer,
      cursor => {
        this.pass(cursor);
      },
      this.abort,
    );
    if (this.current === 'closed') this.queue.end();
    return this.queue;
  }

  /** Ends it, for good. The cursor stays where it is. */
  close(): void {
    this.queue?.drop();
    this.finish(undefined);
  }

  private async begin(): Promise<void> {
    let { lastEventId } = this.settings;
    try {
      // Also without a storage the handlers of this very turn are to be there first.
      lastEventId ??= (await this.settings.storage?.load()) ?? undefined;
    } catch (error) {
      this.emit('error', asBelfryError(error, 'storage'));
    }
    await Promise.resolve();
    if (this.settings.signal?.aborted) this.close();
    if (this.current === 'closed') return;
    this.passed = lastEventId;
    this.source = this.open({
      take: block => this.take(block),
      state: state => {
        this.change(state);
      },
      error: error => {
        this.emit('error', error);
      },
      over: error => {
        this.queue?.end(error);
        if (error) this.emit('error', error);
        this.finish(error);
      },
    });
    this.source.start(lastEventId);
  }

  private take(block: Block): void | Promise<void> {
    switch (block.kind) {
      case 'event':
        this.emit(block.event.type, block.event);
        this.emit('message', block.event);
        break;
      case 'ready':
        this.emit('ready', block.ready);
        break;
      case 'reset':
        this.emit('reset', block.reset);
        break;
      case 'end':
        this.emit('end', block.end);
        break;
      case 'cursor':
    }
    if (this.queue) return this.queue.put(block);
    if (block.id !== undefined) this.pass(block.id);
  }

  private pass(cursor: string): void {
    this.passed = cursor;
    this.keeper?.keep(cursor);
  }

  private finish(error: BelfryError | undefined): void {
    if (this.current === 'closed') return;
    this.source?.close();
    this.settings.signal?.removeEventListener('abort', this.abort);
    this.change('closed');
    this.settleClosed(error);
  }

  private change(state: ConnectionState): void {
    if (this.current === state || this.current === 'closed') return;
    this.current = state;
    for (const listener of [...this.stateListeners]) this.call(listener, state);
  }

  private listen(type: string, handler: (event: never) => void): () => void {
    const handlers = this.handlers.get(type) ?? new Set();
    this.handlers.set(type, handlers.add(handler));
    return () => {
      handlers.delete(handler);
    };
  }

  private emit(type: string, event: unknown): void {
    for (const handler of [...(this.handlers.get(type) ?? [])]) this.call(handler, event);
  }

  /** A handler that throws keeps nothing from the others, and not the stream from going on. */
  private call(handler: (value: never) => void, value: unknown): void {
    try {
      handler(value as never);
    } catch (error) {
      reportToPage(error);
    }
  }
}

/** As if the handler had been called by the browser, or by a timer of Node. */
function reportToPage(error: unknown): void {
  if (typeof reportError === 'function') reportError(error);
  else {
    setTimeout(() => {
      throw error;
    });
  }
}

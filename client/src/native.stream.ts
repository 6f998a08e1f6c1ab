import { asBelfryError, BelfryError } from './belfry.error.js';
import { Backoff } from './backoff.js';
import { blockOf } from './blocks.js';
import type { Settings } from './options.js';
import type { Sink, Source } from './source.js';
import { streamUrl } from './stream.request.js';
import { Timer } from './timer.js';

const CONTROL = ['ready', 'reset', 'end', 'heartbeat'];
/** `EventSource.CLOSED`, which is not there to be read where the page brings its own. */
const CLOSED = 2;

/**
 * A stream over the browser's EventSource, which waits and comes back by itself with its cursor. Three things it does
 * not do are done here: it comes back after it has given up for ever, which it does on any status but 200; it notices a
 * server that has fallen silent; and each time it gets another ticket.
 *
 *     connecting ─ open ─► replaying ─ `ready` ─► live
 *       ▲    ▲                └────────┬───────────┘
 *       │    └── the browser comes back ┤
 *       └── time ── waiting ◄───────────┘ given up, silent, ticket spent
 *
 * Any state ─ `close`, `end` `job-finished` ─► closed.
 */
export class NativeStream implements Source {
  private source: EventSource | undefined;
  private cursor: string | undefined;
  private isClosed = false;
  private readonly backoff: Backoff;
  private readonly again = new Timer(() => {
    void this.open();
  });
  private readonly watchdog = new Timer(() => {
    this.retry(new BelfryError('silent', 'The server was silent for too long.'));
  });

  constructor(
    private readonly settings: Settings,
    private readonly sink: Sink,
  ) {
    this.backoff = new Backoff(settings);
  }

  start(cursor: string | undefined): void {
    this.cursor = cursor;
    void this.open();
  }

  close(): void {
    this.isClosed = true;
    this.again.clear();
    this.drop();
  }

  private async open(): Promise<void> {
    if (this.isClosed) return;
    this.sink.state('connecting');
    try {
      const ticket = await this.settings.ticket?.();
      // It may have been closed while the page fetched a ticket.
      if (this.hasEnded()) return;
      const { credentials } = this.settings;
      const source = new EventSource(
        streamUrl(this.settings, {
          lastEventId: this.cursor,
          ticket,
          // Named events reach only those who listen for the name, and nobody knows them all.
          named: 'false',
          heartbeat: 'event',
        }),
        { withCredentials: credentials === 'include' },
      );
      this.source = source;
      this.watch();
      this.listen(source);
    } catch (error) {
      this.retry(asBelfryError(error, 'credential'));
    }
  }

  private listen(source: EventSource): void {
    source.onopen = () => {
      this.watch();
      this.sink.state('replaying');
    };
    source.onmessage = (message: MessageEvent<string>) => {
      this.hear(source, undefined, message);
    };
    for (const name of CONTROL) {
      source.addEventListener(name, message => {
        this.hear(source, name, message as MessageEvent<string>);
      });
    }
    source.onerror = () => {
      if (source !== this.source) return;
      // With a ticket that is spent the browser would come back in vain.
      if (source.readyState === CLOSED || this.settings.ticket) {
        this.retry(new BelfryError('network', 'The connection ended.'));
      } else {
        this.watchdog.clear();
        this.sink.state('connecting');
      }
    };
  }

  private hear(source: EventSource, event: string | undefined, message: MessageEvent<string>): void {
    // One that was closed may have had events on their way.
    if (source !== this.source) return;
    this.watch();
    const block = blockOf({ event, id: message.lastEventId, data: message.data });
    if (!block) return;
    const busy = this.sink.take(block);
    if (block.id !== undefined) this.cursor = block.id;
    if (this.isClosed) return;
    if (busy) {
      // An EventSource cannot be held up, only ended.
      this.drop();
      void busy.then(() => this.open());
    } else if (block.kind === 'ready') {
      this.backoff.reset();
      this.sink.state('live');
    } else if (block.kind === 'end') this.ended(block.end.reason);
  }

  private ended(reason: string): void {
    if (reason === 'job-finished') {
      this.close();
      this.sink.over();
    } else if (reason === 'ticket-spent') {
      this.retry();
    }
  }

  /** Another EventSource, later. */
  private retry(error?: BelfryError): void {
    this.drop();
    if (this.isClosed) return;
    if (error) this.sink.error(error);
    this.sink.state('waiting');
    this.again.set(this.backoff.next());
  }

  /** Asked again after waiting, when it may have changed. */
  private hasEnded(): boolean {
    return this.isClosed;
  }

  private drop(): void {
    this.watchdog.clear();
    this.source?.close();
    this.source = undefined;
  }

  private watch(): void {
    if (this.settings.heartbeat > 0) this.watchdog.set(this.settings.heartbeat);
  }
}

import { type Credential, userOf } from './credential.js';
import type { Block, Ready } from './event.js';
import { Leadership } from './leadership.js';
import type { Settings } from './options.js';
import { isAtLeast, seam } from './seam.js';
import { type Message, ShareChannel, shareName } from './share.channel.js';
import type { ConnectionState, Sink, Source } from './source.js';
import { Stream } from './stream.js';
import { Timer } from './timer.js';

/**
 * A stream that the tabs of one browser share: the leader holds a Web Lock and the connection, and tells the others what
 * it hears.
 *
 *     new ─ the user is known ─► following ─ the lock is free, or the leader silent ─► leading
 *      │                            ▲  │                                                  │ │
 *      │                            └──┼──────────── the lock was seized ─────────────────┘ │
 *      └─ no user can be told ─► alone ◄┴──────────── a `for await` is too slow ────────────┘
 *
 * Any state ─ `close`, the stream is over ─► closed.
 *
 * Nothing is lost and nothing doubled, because every block comes with the cursor that the stream had before it, and each
 * tab has its own cursor:
 *
 * - the block follows on it: taken;
 * - the block is at or before it: dropped, another tab needed it;
 * - there is a gap between the two: the tab says `hello` with its cursor, and the leader goes back there;
 * - they cannot be compared, since a failover lies between them that only the leader's cursor was judged by: the tab is
 *   told `reset`.
 *
 * So a new leader begins at its own cursor and goes back to the oldest that any tab names. A tab whose `for await` is
 * full can hold up nobody else: it leaves, and reads on with a connection of its own.
 */
export class SharedStream implements Source {
  /** Everything up to here was handed on. */
  private cursor: string | undefined;
  private channel: ShareChannel | undefined;
  private leadership: Leadership | undefined;
  /** While it leads, or is alone. */
  private stream: Stream | undefined;
  /** Where the stream is, and how, while it leads. */
  private at: string | undefined;
  private state: ConnectionState = 'connecting';
  private ready: Ready | undefined;
  /** It has said that it misses something. */
  private isAsking = false;
  private isClosed = false;
  private readonly pulse = new Timer(() => {
    this.beat();
  });
  /** Runs out when the leader is not heard of: its tab may be frozen. */
  private readonly watchdog = new Timer(() => {
    this.suspect();
  });
  private isSuspect = false;

  constructor(
    private readonly settings: Settings,
    private readonly credential: Credential,
    private readonly sink: Sink,
  ) {}

  start(cursor: string | undefined): void {
    this.cursor = cursor;
    void this.join();
  }

  close(): void {
    this.isClosed = true;
    this.leave();
    this.stream?.close();
  }

  private async join(): Promise<void> {
    const user = await this.user();
    if (this.isClosed) return;
    if (user === undefined) {
      this.goAlone();
      return;
    }
    const name = shareName(this.settings, user);
    this.channel = new ShareChannel(name, message => {
      this.hear(message);
    });
    this.leadership = new Leadership(
      name,
      () => {
        this.lead();
      },
      () => {
        this.follow();
      },
    );
    this.hello();
    this.watch();
    this.leadership.stand();
  }

  private async user(): Promise<string | undefined> {
    try {
      const token = await this.credential.token();
      const user = token === undefined ? undefined : userOf(token);
      if (user !== undefined) this.credential.bind(user);
      return user ?? this.settings.user;
    } catch {
      // A stream of its own asks again, and says what is wrong.
      return undefined;
    }
  }

  private goAlone(): void {
    this.stream = new Stream(this.settings, this.credential, this.sink);
    this.stream.start(this.cursor);
  }

  private leave(): void {
    this.pulse.clear();
    this.watchdog.clear();
    this.channel?.close();
    this.channel = undefined;
    this.leadership?.resign();
  }

  private lead(): void {
    this.watchdog.clear();
    this.at = this.cursor;
    this.stream = new Stream(this.settings, this.credential, {
      take: block => {
        this.spread(block);
      },
      state: state => {
        this.state = state;
        this.sink.state(state);
        this.beat();
      },
      error: error => {
        this.sink.error(error);
      },
      over: error => {
        // The next in line finds out for itself.
        this.leave();
        this.sink.over(error);
      },
    });
    this.stream.start(this.cursor);
  }

  private follow(): void {
    this.pulse.clear();
    this.stream?.close();
    this.stream = undefined;
    this.ready = undefined;
    this.hello();
    this.watch();
  }

  private spread(block: Block): void {
    const previous = this.at;
    if (block.id !== undefined) this.at = block.id;
    if (block.kind === 'ready') this.ready = block.ready;
    this.channel?.post({ kind: 'block', previous, block });
    this.accept(previous, block);
  }

  private beat(): void {
    this.channel?.post({ kind: 'pulse', at: this.at, state: this.state });
    if (this.channel && this.settings.heartbeat > 0) this.pulse.set(this.settings.heartbeat / 3);
  }

  private hear(message: Message): void {
    if (message.kind === 'hello') {
      if (this.leadership?.isHeld) this.answer(message.from, message.cursor);
      return;
    }
    // One that was seized may not know it yet.
    if (this.leadership?.isHeld) return;
    this.watch();
    if (message.kind === 'block') this.accept(message.previous, message.block);
    else if (message.kind === 'pulse') this.compare(message.at, message.state);
    else if (message.to === this.channel?.id) this.arrive(message.at, message.state, message.ready);
  }

  /** As the leader, to a tab that has everything up to a cursor. */
  private answer(to: string, cursor: string | undefined): void {
    const isBehind = cursor !== undefined && !isAtLeast(cursor, this.at);
    this.channel?.post({
      kind: 'welcome',
      to,
      at: this.at,
      state: isBehind ? 'connecting' : this.state,
      ready: isBehind ? undefined : this.ready,
    });
    if (!isBehind) return;
    this.at = cursor;
    this.stream?.goTo(cursor);
  }

  private arrive(at: string | undefined, state: ConnectionState, ready: Ready | undefined): void {
    this.isAsking = false;
    this.cursor ??= at;
    if (ready && this.cursor !== undefined && state === 'live') {
      this.hand({ kind: 'ready', id: this.cursor, ready: { ...ready, id: this.cursor, replayed: 0 } });
    }
    this.sink.state(state);
  }

  private compare(at: string | undefined, state: ConnectionState): void {
    this.isAsking = false;
    this.cursor ??= at;
    if (this.cursor !== undefined && at !== undefined && !isAtLeast(this.cursor, at)) this.hello();
    this.sink.state(state);
  }

  private hello(): void {
    if (this.isAsking) return;
    this.isAsking = true;
    this.channel?.post({ kind: 'hello', from: this.channel.id, cursor: this.cursor });
  }

  private accept(previous: string | undefined, block: Block): void {
    const fit = seam(this.cursor, previous, block);
    if (fit === 'gap') {
      this.hello();
    } else if (fit === 'drop') {
      // That it has caught up is news to this tab too.
      if (block.kind === 'ready' && this.cursor !== undefined) this.hand({ ...block, id: this.cursor });
    } else {
      if (fit === 'forked' && block.id !== undefined) {
        const { id } = block;
        this.hand({ kind: 'reset', id, reset: { id, reason: 'forked', oldest: id, head: id } });
      }
      this.isAsking = false;
      this.hand(block);
    }
  }

  private hand(block: Block): void {
    if (this.isClosed) return;
    const busy = this.sink.take(block);
    if (block.id !== undefined) this.cursor = block.id;
    if (!busy || !this.channel) return;
    this.leave();
    this.stream?.close();
    void busy.then(() => {
      if (!this.isClosed) this.goAlone();
    });
  }

  private watch(): void {
    this.isSuspect = false;
    if (this.settings.heartbeat > 0) this.watchdog.set(this.settings.heartbeat * 2);
  }

  private suspect(): void {
    if (this.isSuspect) {
      this.leadership?.seize();
      return;
    }
    // The timers of this tab may have been late as well: the leader has a chance to answer.
    this.isSuspect = true;
    this.isAsking = false;
    this.hello();
    this.watchdog.set(this.settings.heartbeat / 2);
  }
}

import { abortable } from './abortable.js';
import { Attempt } from './attempt.js';
import { asBelfryError, BelfryError } from './belfry.error.js';
import type { Credential } from './credential.js';
import type { Block } from './event.js';
import type { Settings } from './options.js';
import { Pause } from './pause.js';
import type { Sink, Source } from './source.js';
import { streamRequest } from './stream.request.js';
import { isAboutCredential, Verdicts } from './verdict.js';
import { onWake } from './wake.js';

/**
 * A stream over fetch: one request after the other, each from where the one before it came to.
 *
 *     connecting ─ 200 ─► replaying ─ `ready` ─► live
 *         ▲                   │                    │
 *         │                   └─────────┬──────────┘  the answer ends, breaks or falls silent
 *         └──────── time, or waking ── waiting ◄── 401, 429, 5xx, nobody there, no event stream
 *
 * Any state ─ `close`, 204, `end` `job-finished`, a status that no other attempt will better ─► closed.
 *
 * A credential that was refused or whose time is over is asked for again, the first time at once. The cursor is that of
 * the last block the sink has taken.
 */
export class Stream implements Source {
  private cursor: string | undefined;
  private attempt: Attempt | undefined;
  private token: string | undefined;
  private readonly pause = new Pause();
  /** The pause is the server's wish. */
  private isAsked = false;
  /** The attempt was cut to begin another one at once. */
  private isHurried = false;
  private isClosed = false;
  private readonly verdicts: Verdicts;
  private sleep: (() => void) | undefined;

  constructor(
    private readonly settings: Settings,
    private readonly credential: Credential,
    private readonly sink: Sink,
  ) {
    const canRenew = settings.ticket !== undefined || !(credential.isFixed || credential.isCookie);
    this.verdicts = new Verdicts(settings, settings.maxRetry, canRenew);
  }

  start(cursor: string | undefined): void {
    this.cursor = cursor;
    this.sleep = onWake(() => {
      this.wake();
    });
    void this.run();
  }

  /** Goes on from another cursor. */
  goTo(cursor: string | undefined): void {
    this.cursor = cursor;
    this.hurry();
  }

  close(): void {
    this.isClosed = true;
    this.sleep?.();
    this.attempt?.cut(new BelfryError('closed', 'The connection was closed.'));
    this.pause.end();
  }

  private wake(): void {
    // Not all clients of an office whose network is back at the same moment.
    if (!this.isAsked) this.pause.shorten(Math.random() * 1_000);
    // More than a heartbeat is missing.
    const { heartbeat } = this.settings;
    if (heartbeat > 0 && this.attempt && this.attempt.silence > heartbeat / 2) this.hurry();
  }

  private hurry(): void {
    if (!this.attempt) return;
    this.isHurried = true;
    this.attempt.cut(new BelfryError('closed', 'Another connection is made.'));
  }

  private async run(): Promise<void> {
    while (!this.isClosed) {
      this.sink.state('connecting');
      const attempt = (this.attempt = this.newAttempt());
      const error = await attempt.run().then(
        () => undefined,
        (reason: unknown) => asBelfryError(reason),
      );
      this.attempt = undefined;
      await this.conclude(attempt, error);
    }
  }

  private newAttempt(): Attempt {
    return new Attempt({
      request: signal => this.request(signal),
      heartbeat: this.settings.heartbeat,
      maxBlock: this.settings.maxBlock,
      opened: () => {
        this.sink.state('replaying');
      },
      take: block => this.take(block),
      report: error => {
        this.sink.error(error);
      },
    });
  }

  private async request(signal: AbortSignal): Promise<Response> {
    const [token, ticket] = await abortable(signal, Promise.all([this.credential.token(), this.ticket()]));
    this.token = token;
    const [url, init] = streamRequest(this.settings, { cursor: this.cursor, token, ticket, signal });
    const { fetch = globalThis.fetch } = this.settings;
    return fetch(url, init);
  }

  private async ticket(): Promise<string | undefined> {
    try {
      return await this.settings.ticket?.();
    } catch (error) {
      throw new BelfryError('credential', 'The callback for a ticket failed.', { cause: error });
    }
  }

  private take(block: Block): void | Promise<void> {
    const busy = this.sink.take(block);
    // A handler may have sent the stream elsewhere.
    if (block.id !== undefined && !this.isHurried) this.cursor = block.id;
    if (block.kind === 'ready') this.sink.state('live');
    return busy;
  }

  private async conclude(attempt: Attempt, error: BelfryError | undefined): Promise<void> {
    if (this.isClosed) return;
    if (this.isHurried) {
      this.isHurried = false;
      return;
    }
    if (attempt.isFinished || attempt.reason === 'job-finished') {
      this.finish();
      return;
    }
    if (error) {
      if (!error.isTransient || (error.status === 401 && this.credential.isFixed)) {
        this.finish(error);
        return;
      }
      this.sink.error(error);
    }
    if (isAboutCredential(attempt, error) || attempt.reason === 'kicked')
      await this.credential.drop(this.token);
    const { ms, asked = false } = this.verdicts.next(attempt, error);
    // A handler of the error may have closed it.
    if (ms === 0 || this.hasEnded()) return;
    this.sink.state('waiting');
    this.isAsked = asked;
    await this.pause.take(ms);
    this.isAsked = false;
  }

  /** Asked again after waiting, when it may have changed. */
  private hasEnded(): boolean {
    return this.isClosed;
  }

  private finish(error?: BelfryError): void {
    this.close();
    this.sink.over(error);
  }
}

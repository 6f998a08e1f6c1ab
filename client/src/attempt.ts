import { abortable } from './abortable.js';
import { BelfryError, refusal } from './belfry.error.js';
import { Blocks } from './blocks.js';
import type { Block } from './event.js';
import { Timer } from './timer.js';

/** So many resets without an event in between are a fault of the server, not news. */
const MAX_RESETS = 3;

/** What an attempt needs of its stream. */
export interface AttemptContext {
  /** Sends the request. */
  readonly request: (signal: AbortSignal) => Promise<Response>;
  /** How long the server may be silent, in milliseconds; 0: for ever. */
  readonly heartbeat: number;
  readonly maxBlock: number;
  readonly opened: () => void;
  readonly take: (block: Block) => void | Promise<void>;
  readonly report: (error: BelfryError) => void;
}

/** One request and its answer, read until it ends. */
export class Attempt {
  /** Whether there was an answer that may be read. */
  isOpen = false;
  /** When it had caught up, by the monotonic clock. */
  readyAt: number | undefined;
  /** How many resets came since the last event. */
  resets = 0;
  /** Why the server ended it, if it said so. */
  reason: string | undefined;
  /** The server has nothing more for this client, ever. */
  isFinished = false;

  private readonly controller = new AbortController();
  private readonly watchdog = new Timer(() => {
    this.cut(new BelfryError('silent', 'The server was silent for too long.'));
  });
  private readonly blocks: Blocks;
  /** By the clock on the wall: the monotonic one may stand still while the computer sleeps. */
  private heardAt = Date.now();

  constructor(private readonly context: AttemptContext) {
    this.blocks = new Blocks(context.maxBlock, context.report);
  }

  /** What the server asked to wait, in milliseconds. */
  get retryMs(): number | undefined {
    return this.blocks.retryMs;
  }

  /** Milliseconds since something was heard. */
  get silence(): number {
    return Date.now() - this.heardAt;
  }

  /** Ends it wherever it is: `run` rejects with the error. */
  cut(error: BelfryError): void {
    this.controller.abort(error);
  }

  /** Resolves when the server has ended the answer; rejects when anything else did. */
  async run(): Promise<void> {
    const { signal } = this.controller;
    try {
      this.watch();
      const response = await abortable(signal, this.context.request(signal));
      this.watch();
      if (response.status === 204) this.isFinished = true;
      else await this.read(await this.accept(response));
    } finally {
      this.watchdog.clear();
      // Lets go of the socket, also of an answer that nobody wants to read.
      this.controller.abort(new BelfryError('closed', 'The connection is over.'));
    }
  }

  private async accept(response: Response): Promise<ReadableStream<Uint8Array>> {
    if (response.status !== 200) throw await abortable(this.controller.signal, refusal(response));
    const type = response.headers.get('content-type') ?? 'nothing';
    if (!/^text\/event-stream\b/i.test(type) || !response.body) {
      throw new BelfryError('content-type', `The answer is ${type}, not text/event-stream.`);
    }
    this.isOpen = true;
    this.context.opened();
    return response.body;
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const { signal } = this.controller;
    const reader = body.getReader();
    // A character may be cut in two by the pieces in which it arrives.
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await abortable(signal, reader.read());
      if (done) return;
      this.heardAt = Date.now();
      // While the reader is busy, the silence is its own.
      this.watchdog.clear();
      for (const block of this.blocks.feed(decoder.decode(value, { stream: true }))) {
        this.note(block);
        const busy = this.context.take(block);
        if (busy) await abortable(signal, busy);
        // A handler may have closed the connection.
        signal.throwIfAborted();
      }
      if (this.reason !== undefined) return;
      this.watch();
    }
  }

  private note(block: Block): void {
    if (block.kind === 'ready') this.readyAt ??= performance.now();
    else if (block.kind === 'end') this.reason = block.end.reason;
    else if (block.kind === 'event') this.resets = 0;
    else if (block.kind === 'reset' && ++this.resets > MAX_RESETS) {
      throw new BelfryError('reset-loop', 'The server resets the stream again and again.');
    }
  }

  private watch(): void {
    if (this.context.heartbeat > 0) this.watchdog.set(this.context.heartbeat);
  }
}

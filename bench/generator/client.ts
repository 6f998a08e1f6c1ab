import { connect, type Socket } from 'node:net';
import type { StreamSpec } from './protocol.js';
import { type Findings, Scanner } from './scanner.js';

/** What all clients of a generator share. */
export interface Crowd {
  /** All sockets read into the same memory: each read is dealt with before the next one. */
  readonly buffer: Buffer;
  /** Before what was read is looked at. */
  onRead(): void;
  onFirstByte(): void;
  /** The client is subscribed and has seen what it missed. Comes once. */
  onReady(client: Client): void;
  onDelivered(counter: number): void;
  /** The client has seen what no client may see. */
  onViolation(client: Client, what: string): void;
}

/** One stream. It expects the counters to come without a gap, once each and in order. */
export class Client implements Findings {
  /** Of its first connection attempt, by the monotonic clock. */
  readonly began = performance.now();
  private readonly scanner: Scanner;
  private readonly socket: Socket;
  private readonly waitsForText: boolean;
  private state: 'opening' | 'subscribing' | 'ready' | 'closed' = 'opening';
  private subscribed = false;
  private silent = true;

  constructor(
    readonly index: number,
    { port, path, headers = {}, ready }: StreamSpec,
    localAddress: string | undefined,
    private readonly crowd: Crowd,
    /** The counter that comes next. */
    private next: number,
    /** It is not ready before it has seen what comes before this one. */
    private readonly readyAt: number,
  ) {
    this.scanner = new Scanner(this, ready === undefined ? undefined : Buffer.from(ready));
    this.waitsForText = ready !== undefined;
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const { buffer } = crowd;
    this.socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
      onread: {
        buffer,
        callback: (length: number): boolean => {
          this.take(length);
          return true;
        },
      },
    });
    this.socket.on('error', error => {
      this.closed(error.message);
    });
    this.socket.on('close', () => {
      this.closed('the server closed the connection');
    });
    this.socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: text/event-stream\r\n${lines.join('')}\r\n`,
    );
  }

  get expected(): number {
    return this.next;
  }

  onHead(head: string): void {
    if (!/^HTTP\/1\.1 200 /.test(head)) {
      this.crowd.onViolation(this, `was answered "${head.split('\r\n', 1)[0] ?? ''}" when it subscribed`);
      return;
    }
    this.state = 'subscribing';
    if (!this.waitsForText) this.onWatched();
  }

  onWatched(): void {
    this.subscribed = true;
    this.checkReady();
  }

  onCounter(counter: number): void {
    if (counter === this.next) {
      this.next++;
      this.crowd.onDelivered(counter);
      if (this.state === 'subscribing') this.checkReady();
      return;
    }
    const what = counter > this.next ? 'lost or reordered' : 'doubled or reordered';
    this.crowd.onViolation(this, `${what}: expected event ${this.next}, got ${counter}`);
    // Once reported, the same gap is not reported again with each event that follows.
    if (counter > this.next) this.next = counter + 1;
  }

  onEnd(): void {
    this.closed('the server ended the stream');
  }

  /** Resolves when the socket is gone. */
  async close(): Promise<void> {
    if (this.state === 'closed' && this.socket.destroyed) return;
    this.state = 'closed';
    await new Promise<void>(resolve => {
      this.socket.once('close', () => {
        resolve();
      });
      this.socket.destroy();
    });
  }

  private take(length: number): void {
    this.crowd.onRead();
    if (this.silent) {
      this.silent = false;
      this.crowd.onFirstByte();
    }
    this.scanner.take(this.crowd.buffer, length);
  }

  private checkReady(): void {
    if (this.state !== 'subscribing' || !this.subscribed || this.next < this.readyAt) return;
    this.state = 'ready';
    this.crowd.onReady(this);
  }

  private closed(reason: string): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.crowd.onViolation(this, `was cut off: ${reason}`);
  }
}

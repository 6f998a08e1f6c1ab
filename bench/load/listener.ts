import { connect, type Socket } from 'node:net';
import type { StreamSpec } from '../generator/protocol.js';
import { type Findings, Scanner } from '../generator/scanner.js';

/** Who is told what a listener hears. */
export interface Ear {
  /** It is subscribed and has what it missed. */
  onReady(): void;
  onCounter(counter: number): void;
  /** The stream is over, or never began: nobody closes it but the lab. */
  onCut(reason: string): void;
}

/** Bytes of one read, at most. */
const READ = 64 * 1024;
/** All sockets read into the same memory: each read is dealt with before the next one. */
const BUFFER = Buffer.allocUnsafe(READ);

/** One stream on a raw socket. It can stop reading, and begin again. */
export class Listener implements Findings {
  /** When the request was written, by the monotonic clock. */
  askedAt = 0;
  private readonly scanner: Scanner;
  private readonly socket: Socket;
  private reads = true;
  private ear: Ear;
  private over = false;

  constructor({ port, path, headers = {}, ready }: StreamSpec, ear: Ear) {
    this.ear = ear;
    this.scanner = new Scanner(this, ready === undefined ? undefined : Buffer.from(ready));
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: BUFFER,
        callback: (length: number): boolean => {
          this.scanner.take(BUFFER, length);
          return this.reads;
        },
      },
    });
    this.socket.on('connect', () => {
      this.askedAt = performance.now();
      this.socket.write(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: text/event-stream\r\n${lines.join('')}\r\n`,
      );
    });
    this.socket.on('error', error => {
      this.cut(error.message);
    });
    this.socket.on('close', () => {
      this.cut('the server closed the connection');
    });
  }

  onHead(head: string): void {
    const status = head.split('\r\n', 1)[0] ?? '';
    if (!status.startsWith('HTTP/1.1 200 ')) this.cut(`it was answered "${status}"`);
  }

  onWatched(): void {
    this.ear.onReady();
  }

  onCounter(counter: number): void {
    this.ear.onCounter(counter);
  }

  onEnd(): void {
    this.cut('the server ended the stream');
  }

  /** Takes nothing more from the socket after what is being read now. */
  stall(): void {
    this.reads = false;
  }

  /** Reads again, for another ear. */
  wake(ear: Ear): void {
    this.ear = ear;
    this.reads = true;
    this.socket.resume();
  }

  close(): void {
    this.over = true;
    this.socket.destroy();
  }

  private cut(reason: string): void {
    if (this.over) return;
    this.close();
    this.ear.onCut(reason);
  }
}

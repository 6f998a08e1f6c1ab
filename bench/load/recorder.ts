import type { StreamSpec } from '../generator/protocol.js';
import { type Ear, Listener } from './listener.js';

/** A server that has everything in its log is given so long to deliver it. */
const PATIENCE_MS = 30_000;

/** Notes all counters that one stream hears. */
export class Recorder implements Ear {
  heard: number[] = [];
  /** When the last one came, by the monotonic clock. */
  lastAt = 0;
  private listener: Listener | undefined;
  private ready = false;
  private broken: string | undefined;
  private look: (() => void) | undefined;

  /** Resolves when the stream is ready. */
  async open(stream: StreamSpec): Promise<void> {
    this.listener = new Listener(stream, this);
    await this.until(() => this.ready, 'it is ready');
  }

  /** Takes over a stream that somebody else has opened. */
  takeOver(listener: Listener): void {
    this.listener = listener;
    listener.wake(this);
  }

  /** Resolves when it has heard so many since it was last asked; they are forgotten. @returns them, in their order */
  async take(count: number): Promise<number[]> {
    await this.until(() => this.heard.length >= count, `it heard ${count} events`);
    return this.heard.splice(0);
  }

  close(): void {
    this.listener?.close();
  }

  onReady(): void {
    this.ready = true;
    this.look?.();
  }

  onCounter(counter: number): void {
    this.heard.push(counter);
    this.lastAt = performance.now();
    this.look?.();
  }

  onCut(reason: string): void {
    this.broken = reason;
    this.look?.();
  }

  private async until(reached: () => boolean, what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>(resolve => {
      timer = setTimeout(resolve, PATIENCE_MS);
      this.look = () => {
        if (this.broken !== undefined || reached()) resolve();
      };
      this.look();
    });
    clearTimeout(timer);
    this.look = undefined;
    if (this.broken !== undefined) throw new Error(`a subscriber was cut off: ${this.broken}`);
    if (!reached()) {
      throw new Error(`after ${PATIENCE_MS / 1000} s it is not so that ${what}, but ${this.heard.length}`);
    }
  }
}

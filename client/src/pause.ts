import { Timer } from './timer.js';

/** A wait that can be made shorter. */
export class Pause {
  private done: (() => void) | undefined;
  private readonly timer = new Timer(() => {
    this.end();
  });

  /** Resolves when it is over; one at a time. */
  async take(ms: number): Promise<void> {
    await new Promise<void>(resolve => {
      this.done = resolve;
      this.timer.set(ms);
    });
  }

  /** To be over in so many milliseconds; nothing when nobody waits. */
  shorten(ms: number): void {
    if (this.done) this.timer.set(ms);
  }

  end(): void {
    this.timer.clear();
    this.done?.();
    this.done = undefined;
  }
}

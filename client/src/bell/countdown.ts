/** A timer that can be held. States: running, held, and over, which it never leaves. */
export class Countdown {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private since = 0;
  private isOver = false;

  /** @param left in milliseconds; Infinity never ends by itself */
  constructor(
    private left: number,
    private readonly end: () => void,
  ) {}

  run(): void {
    if (this.isOver || this.timer !== undefined || this.left === Infinity) return;
    this.since = performance.now();
    this.timer = setTimeout(() => {
      this.stop();
      this.end();
    }, this.left);
  }

  hold(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.left = Math.max(0, this.left - (performance.now() - this.since));
  }

  stop(): void {
    this.hold();
    this.isOver = true;
  }
}

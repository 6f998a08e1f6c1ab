/** A reconnect takes less, in milliseconds, and is nothing to speak of. */
const UNSAID_MS = 2_000;

/** Whether it is time to say that nothing new can arrive. */
export class Outage {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private said = false;

  /** @param changed is called when it is time */
  constructor(private readonly changed: () => void) {}

  get isSaid(): boolean {
    return this.said;
  }

  /** @param online undefined while nobody knows */
  update(online: boolean | undefined): void {
    if (online === true) this.stop();
    else if (online === false && !this.said) {
      this.timer ??= setTimeout(
        () => {
          this.said = true;
          this.changed();
        },
        navigator.onLine ? UNSAID_MS : 0,
      );
    }
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.said = false;
  }
}

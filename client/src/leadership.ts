/**
 * One of those that stand for the same name leads, by a Web Lock; the next in the queue when it resigns, or when its tab
 * is closed or crashes.
 */
export class Leadership {
  private release: (() => void) | undefined;
  /** Of the request that waits. */
  private waiting: AbortController | undefined;
  private isOver = false;

  constructor(
    private readonly name: string,
    private readonly began: () => void,
    /** Another one has seized it. */
    private readonly lost: () => void,
  ) {}

  get isHeld(): boolean {
    return this.release !== undefined;
  }

  /** Gets in line. */
  stand(): void {
    if (this.isOver || this.waiting || this.isHeld) return;
    const waiting = (this.waiting = new AbortController());
    void this.request({ signal: waiting.signal });
  }

  /** Leads at once, whoever does now: for one that holds the lock and is not heard of. */
  seize(): void {
    if (this.isOver || this.isHeld) return;
    this.waiting?.abort();
    this.waiting = undefined;
    void this.request({ steal: true });
  }

  /** For good. */
  resign(): void {
    this.isOver = true;
    this.waiting?.abort();
    this.waiting = undefined;
    this.release?.();
    this.release = undefined;
  }

  private async request(options: LockOptions): Promise<void> {
    let hold: (() => void) | undefined;
    try {
      await navigator.locks.request(this.name, options, () => {
        this.waiting = undefined;
        if (this.isOver) return undefined;
        return new Promise<void>(resolve => {
          this.release = hold = resolve;
          this.began();
        });
      });
    } catch {
      // Aborted by ourselves, or seized by another: what follows is the same for both.
    }
    if (hold === undefined || this.release !== hold) return;
    this.release = undefined;
    this.lost();
    this.stand();
  }
}

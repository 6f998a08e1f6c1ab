/** The longest that a timer can be set to, in milliseconds; beyond it runs out at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** One timer that can be set anew, at most one at a time. */
export class Timer {
  private handle: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly due: () => void) {}

  get isSet(): boolean {
    return this.handle !== undefined;
  }

  set(ms: number): void {
    this.clear();
    this.handle = setTimeout(
      () => {
        this.handle = undefined;
        this.due();
      },
      Math.min(ms, LONGEST_MS),
    );
  }

  clear(): void {
    clearTimeout(this.handle);
    this.handle = undefined;
  }
}

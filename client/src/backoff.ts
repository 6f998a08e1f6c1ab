/** How long to wait between attempts. */
export interface BackoffOptions {
  /** The most that the first wait takes, in milliseconds; doubled with each failure. Default: 1000. */
  readonly backoff?: number | undefined;
  /** The most that any wait takes, in milliseconds. Default: 30000. */
  readonly maxBackoff?: number | undefined;
}

/**
 * Waits that grow: anything from 0 to the bound, so that clients which were cut together do not come back together
 * ("full jitter").
 */
export class Backoff {
  private failures = 0;
  private readonly firstMs: number;
  private readonly maxMs: number;

  constructor({ backoff = 1_000, maxBackoff = 30_000 }: BackoffOptions = {}) {
    this.firstMs = backoff;
    this.maxMs = maxBackoff;
  }

  /**
   * @param atLeastMs a first bound that the server asked for
   * @returns milliseconds
   */
  next(atLeastMs = 0): number {
    const bound = Math.max(this.firstMs, atLeastMs) * 2 ** Math.min(this.failures, 30);
    this.failures += 1;
    return Math.random() * Math.min(this.maxMs, bound);
  }

  reset(): void {
    this.failures = 0;
  }
}

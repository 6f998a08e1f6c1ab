import type { Attempt } from './attempt.js';
import { Backoff, type BackoffOptions } from './backoff.js';
import type { BelfryError } from './belfry.error.js';

/** A connection that was good for so long, in milliseconds, makes up for the failures before it. */
const STABLE_MS = 5_000;

/** When the next attempt is due. */
export interface Wait {
  /** In milliseconds. */
  readonly ms: number;
  /** The server asked for it: waking up makes it no shorter. */
  readonly asked?: boolean;
}

/** Says what follows from the end of an attempt. */
export class Verdicts {
  private readonly backoff: Backoff;
  /** How often in a row a credential was refused or ran out. */
  private refusals = 0;

  constructor(
    options: BackoffOptions,
    private readonly maxRetry: number,
    /** Whether another credential can be had by asking at once. */
    private readonly canRenew: boolean,
  ) {
    this.backoff = new Backoff(options);
  }

  /** @param error why it failed; undefined when the server has ended it */
  next(attempt: Attempt, error: BelfryError | undefined): Wait {
    const { readyAt, resets, retryMs } = attempt;
    const isGood = readyAt !== undefined && resets === 0;
    const isStable = isGood && performance.now() - readyAt >= STABLE_MS;
    if (isStable) {
      this.backoff.reset();
      this.refusals = 0;
    }
    if (isAboutCredential(attempt, error) && this.canRenew) {
      this.refusals += 1;
      // Its time was over, which is nobody's fault; a new one that is no better has to wait.
      return { ms: this.refusals === 1 ? 0 : this.backoff.next() };
    }
    const askedMs = error ? error.retryAfterMs : retryMs;
    if (askedMs !== undefined) {
      // On top, when it went wrong before: a server that asks for nothing would be hammered.
      return {
        ms: Math.min(askedMs, this.maxRetry) + (isGood && isStable ? 0 : this.backoff.next()),
        asked: true,
      };
    }
    return { ms: this.backoff.next(Math.min(retryMs ?? 0, this.maxRetry)) };
  }
}

/** The credential was refused, spent or taken back, or its time is over: another one is needed. */
export function isAboutCredential({ reason }: Attempt, error: BelfryError | undefined): boolean {
  if (error) return error.status === 401;
  return reason === 'token-expired' || reason === 'ticket-spent';
}

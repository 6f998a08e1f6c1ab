import type { Subscription } from 'rxjs';
import { LONGEST_TIMER } from '../config/config.js';
import type { ProblemCode } from '../errors/catalogue.js';
import { Problem } from '../errors/problem.js';
import type { Caller } from './caller.js';
import type { Revocations } from './revocations.js';

/** Watches over the credential of a request that may outlast it, from its making until it is stopped. */
export class CredentialWatch {
  private readonly controller = new AbortController();
  private readonly heard: Subscription;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly caller: Caller,
    private readonly revocations: Revocations,
  ) {
    this.heard = revocations.heard.subscribe(() => {
      this.look();
    });
    // Since the guard let it pass.
    this.look();
    this.waitForExpiry();
  }

  /** Aborted, with the Problem that it is, as soon as the credential has expired or was revoked. */
  get over(): AbortSignal {
    return this.controller.signal;
  }

  /** @throws Problem when it is good no more, to the millisecond */
  requireGood(): void {
    this.look();
    this.over.throwIfAborted();
  }

  stop(): void {
    this.heard.unsubscribe();
    clearTimeout(this.timer);
  }

  private look(): void {
    const { caller } = this;
    const code = caller.expiresAt <= Date.now() ? expired(caller) : this.revocations.find(caller);
    if (code !== undefined) this.controller.abort(new Problem(code));
  }

  /** In steps: it may be later than a timer can tell, and a timer is a little early now and then. */
  private waitForExpiry(): void {
    if (this.over.aborted) return;
    const step = Math.min(this.caller.expiresAt - Date.now(), LONGEST_TIMER);
    this.timer = setTimeout(() => {
      this.look();
      this.waitForExpiry();
    }, step);
  }
}

function expired({ keyId }: Caller): ProblemCode {
  return keyId === undefined ? 'token-expired' : 'key-expired';
}

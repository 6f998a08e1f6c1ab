import type { IncomingMessage } from 'node:http';

/** Whoever a request speaks for, as its credential says. */
export interface Caller {
  /** Hard boundary: nothing of another tenant is ever read or written. */
  readonly tenant: string;
  readonly sub: string;
  readonly scopes: ReadonlySet<string>;
  /** Exact topics that may be read, each once: those of the user, of the roles, `all`, and the extra grants. */
  readonly topics: readonly string[];
  /** Whole kinds that may be read: `kind:*`, or `*` for every topic of the tenant. */
  readonly wildcards: readonly string[];
  /** When the credential ends, in epoch milliseconds. It may be the fraction of a millisecond. */
  readonly expiresAt: number;
}

const CALLER = Symbol('caller');

type Identified = IncomingMessage & { [CALLER]?: Caller };

/** Notes who a request speaks for, once its credential has been verified. */
export function identify(request: IncomingMessage, caller: Caller): void {
  (request as Identified)[CALLER] = caller;
}

/** Who a request speaks for; undefined on a public route, which looks at no credential. */
export function callerOf(request: IncomingMessage): Caller | undefined {
  return (request as Identified)[CALLER];
}

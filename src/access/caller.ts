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
  /** When the credential ends, in epoch milliseconds; it may be the fraction of one, and Infinity. */
  readonly expiresAt: number;
  /** When the credential was issued, in epoch milliseconds; undefined when it does not say. */
  readonly issuedAt?: number;
  /** It came with a ticket, which is spent by now: whoever is told to come back needs another one. */
  readonly byTicket?: boolean;
  /** The API key that it is, or that its ticket was got with. */
  readonly keyId?: string;
  /** Whose token its ticket was got with, where that was another's than its own. */
  readonly minter?: { readonly sub: string; readonly issuedAt: number | undefined };
}

/** The scopes that no mere user has. */
export const BACKEND_SCOPES = ['publish', 'inbox', 'jobs', 'tickets', 'admin'] as const;

/** True for a program of the operator's, which is not limited as a user is. */
export function isBackend({ scopes }: Caller): boolean {
  return BACKEND_SCOPES.some(scope => scopes.has(scope));
}

/** Why a stream is answered and closed at once: an EventSource would never come back from the error that it is. */
export type TurnedAway = 'ticket-spent' | 'overload';

const CALLER = Symbol('caller');
const TURNED_AWAY = Symbol('turned away');

type Identified = IncomingMessage & { [CALLER]?: Caller; [TURNED_AWAY]?: TurnedAway };

/** Notes who a request speaks for, once its credential has been verified. */
export function identify(request: IncomingMessage, caller: Caller): void {
  (request as Identified)[CALLER] = caller;
}

/** Who a request speaks for; undefined on a public route, which looks at no credential. */
export function callerOf(request: IncomingMessage): Caller | undefined {
  return (request as Identified)[CALLER];
}

/** Lets the request for a stream pass, to be told in the stream itself that it cannot be had. */
export function turnAway(request: IncomingMessage, reason: TurnedAway): void {
  (request as Identified)[TURNED_AWAY] = reason;
}

export function turnedAway(request: IncomingMessage): TurnedAway | undefined {
  return (request as Identified)[TURNED_AWAY];
}

import type { BackoffOptions } from './backoff.js';
import type { Token } from './credential.js';

export interface InboxOptions extends BackoffOptions {
  /** Where Belfry is, such as `https://belfry.example.com`; a path before `/v1` is kept. */
  readonly url: string | URL;
  /**
   * A JWT of the user. A function is asked for one, and for another when the server refuses the last or its time is
   * over. Without it the cookie `belfry_token` has to be there.
   */
  readonly token?: Token;
  /** As for `fetch`; `include` sends the cookie to another origin. Default: `same-origin`. */
  readonly credentials?: RequestCredentials | undefined;
  /** Whether the tabs of one browser share one connection. Default: true. */
  readonly shared?: boolean | undefined;
  /** Who is signed in; needed for `shared` without a JWT, so that users of one browser do not hear each other. */
  readonly user?: string | undefined;
  /** Notifications per page, 1 to 200. Default: 20. */
  readonly pageSize?: number | undefined;
  /** How many notifications are held, at least a page; older ones are let go and can be loaded again. Default: 1000. */
  readonly maxItems?: number | undefined;
  /** How many changes may wait for the server to answer; more are refused with `overrun`. Default: 100. */
  readonly maxPending?: number | undefined;
  /** How long a request may take, in milliseconds. Default: 15000; 0: as long as it likes. */
  readonly timeout?: number | undefined;
  /** How long the stream may be silent, in milliseconds, before it is made again. Default: 45000; 0: for ever. */
  readonly heartbeat?: number | undefined;
  /** Instead of the global one. */
  readonly fetch?: typeof globalThis.fetch;
}

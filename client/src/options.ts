import type { BackoffOptions } from './backoff.js';
import type { Ticket, Token } from './credential.js';
import type { CursorStorage } from './cursor.storage.js';
import type { Reset } from './event.js';

/** What to connect to, as whom, and how patiently. */
export interface ConnectOptions extends BackoffOptions {
  /** Where Belfry is, such as `https://belfry.example.com`; a path before `/v1` is kept. */
  readonly url: string | URL;
  /**
   * A JWT or an API key. A function is asked for one, and for another when the server refuses the last or its time is
   * over. Without it the cookie `belfry_token` has to be there, or a ticket.
   */
  readonly token?: Token;
  /** Instead of a token: asked for a one-shot ticket before each connection. */
  readonly ticket?: Ticket | undefined;
  /** As for `fetch`; `include` sends the cookie to another origin. Default: `same-origin`. */
  readonly credentials?: RequestCredentials | undefined;
  /** At most 100: `kind:id`, `kind:*`, `all` or `*`. Default: every exact topic that the credential grants. */
  readonly topics?: readonly string[] | undefined;
  /** Types of events, at most 100. Default: all. */
  readonly types?: readonly string[] | undefined;
  /** The cursor to go on from; `earliest` for all that is kept. Default: what `storage` has, else from now on. */
  readonly lastEventId?: string | undefined;
  /**
   * How long the server may be silent, in milliseconds, before the connection is taken for dead and made again. It
   * sends something every 15 seconds. Default: 45000; 0: for ever.
   */
  readonly heartbeat?: number | undefined;
  /** `false` shows all that was missed, and not only the newest event of each topic and key. Default: true. */
  readonly collapse?: boolean | undefined;
  /** Keeps the cursor, so that another run goes on where this one ended; see `cursorIn`. */
  readonly storage?: CursorStorage | undefined;
  /** Called when something may have been missed; the same as `on('reset', …)`. */
  readonly onReset?: ((reset: Reset) => void) | undefined;
  /** Closes the connection when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How many events a `for await` may be behind, at least 1. When as many wait, no more are read from the socket until
   * one is taken: the server keeps the place. Default: 256.
   */
  readonly buffer?: number | undefined;
  /** The longest event, in characters; a longer one breaks the connection. Default: 4194304. */
  readonly maxBlock?: number | undefined;
  /** The longest that a server may keep the client waiting, by `retry:` or `Retry-After`, in milliseconds. Default: 300000. */
  readonly maxRetry?: number | undefined;
  /**
   * One connection for all tabs of the browser that ask for the same as the same user. Needs Web Locks and
   * BroadcastChannel, and a JWT or `user`; without them each tab has its own. Default: false.
   */
  readonly shared?: boolean | undefined;
  /** Who is signed in, for `shared` where no JWT tells. */
  readonly user?: string | undefined;
  /**
   * `eventsource` uses the browser's own EventSource: with a cookie or tickets, never with `token`. It reconnects as
   * browsers do. Default: `fetch`.
   */
  readonly transport?: 'fetch' | 'eventsource' | undefined;
  /** Instead of the global one. */
  readonly fetch?: typeof globalThis.fetch;
}

/** The same with its defaults. */
export type Settings = ConnectOptions & {
  readonly [K in 'heartbeat' | 'collapse' | 'buffer' | 'maxBlock' | 'maxRetry']: NonNullable<
    ConnectOptions[K]
  >;
};

/** @throws TypeError naming the option that cannot be */
export function settle(options: ConnectOptions): Settings {
  const settings: Settings = {
    ...options,
    heartbeat: options.heartbeat ?? 45_000,
    collapse: options.collapse ?? true,
    buffer: options.buffer ?? 256,
    maxBlock: options.maxBlock ?? 4_194_304,
    maxRetry: options.maxRetry ?? 300_000,
  };
  for (const name of ['heartbeat', 'maxRetry', 'backoff', 'maxBackoff'] as const) {
    const value = settings[name] ?? 0;
    if (!(value >= 0)) throw new TypeError(`${name} is a number of milliseconds, 0 or more; not ${value}.`);
  }
  for (const name of ['buffer', 'maxBlock'] as const) {
    if (!(settings[name] >= 1))
      throw new TypeError(`${name} is a number of 1 or more; not ${settings[name]}.`);
  }
  for (const name of ['topics', 'types'] as const) {
    if ((settings[name]?.length ?? 0) > 100) throw new TypeError(`${name} has more than 100 entries.`);
  }
  if (options.token !== undefined && options.ticket) {
    throw new TypeError('Either token or ticket, not both.');
  }
  if (options.transport === 'eventsource' && options.token !== undefined) {
    throw new TypeError('An EventSource cannot send a token: use a cookie or a ticket.');
  }
  if (options.transport === 'eventsource' && options.shared) {
    throw new TypeError('A shared connection is made by fetch.');
  }
  return settings;
}

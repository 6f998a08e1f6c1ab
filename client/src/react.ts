import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';

import { connect } from './connect.js';
import type { ControlEvents, Handler } from './connection.js';
import type { BelfryEvent, BelfryEvents } from './event.js';
import { Inbox, type InboxOptions, type InboxState, type Token } from './inbox.js';
import type { ConnectOptions } from './options.js';
import type { ConnectionState } from './source.js';

/** What is shown before there is an inbox, as on a server that renders pages. */
const NONE: InboxState = {
  items: [],
  counts: { unread: 0, unseen: 0 },
  status: 'loading',
  online: false,
  filter: 'inbox',
  hasMore: false,
  loadingMore: false,
};

/** By type of event: of what is published, of what Belfry itself publishes, and of the connection's own. */
export type EventHandlers<E extends object> = {
  readonly [K in keyof (E & BelfryEvents & ControlEvents) & string]?: Handler<E & BelfryEvents, K>;
};

/**
 * The inbox of the user, from when the component is mounted until it is not.
 *
 * @param options another inbox is made when a value in them is another; a new function for `token` or `fetch` alone is
 *   not, and the newest one is asked. `null` while nobody is signed in.
 * @returns the state, and the inbox to act on; `undefined` until the component is mounted
 */
export function useInbox(options: InboxOptions | null): {
  readonly state: InboxState;
  readonly inbox: Inbox | undefined;
} {
  const [inbox, setInbox] = useState<Inbox>();
  const newest = useNewest(options);
  const key = keyOf(options);
  useEffect(() => {
    if (newest.current === null) return undefined;
    const made = new Inbox(withNewest(newest.current, newest));
    made.start();
    setInbox(made);
    return () => {
      made.close();
      setInbox(undefined);
    };
  }, [key, newest]);
  const subscribe = useCallback(
    (listener: () => void) => inbox?.subscribe(listener) ?? (() => undefined),
    [inbox],
  );
  const state = useSyncExternalStore(
    subscribe,
    () => inbox?.state ?? NONE,
    () => NONE,
  );
  return { state, inbox };
}

/**
 * Hears events, from when the component is mounted until it is not.
 *
 * @param options as for `useInbox`; another connection is made when a value in them is another
 * @param handlers may be others with each rendering; each event goes to those of the last
 * @returns the state of the connection
 */
export function useEvents<E extends object = BelfryEvents>(
  options: ConnectOptions | null,
  handlers: EventHandlers<E>,
): ConnectionState {
  const [state, setState] = useState<ConnectionState>('connecting');
  const newest = useNewest(options);
  const newestHandlers = useNewest(
    handlers as Readonly<Record<string, ((event: unknown) => void) | undefined>>,
  );
  const key = keyOf(options);
  useEffect(() => {
    if (newest.current === null) return undefined;
    const connection = connect(withNewest(newest.current, newest));
    setState(connection.state);
    connection.onState(setState);
    for (const name of ['ready', 'reset', 'end', 'error'] as const) {
      connection.on(name, (event: unknown) => newestHandlers.current[name]?.(event));
    }
    connection.on('message', (event: BelfryEvent) => {
      newestHandlers.current['message']?.(event);
      newestHandlers.current[event.type]?.(event);
    });
    return () => {
      connection.close();
    };
  }, [key, newest, newestHandlers]);
  return state;
}

/** The value of the last rendering, for what happens between two of them. */
function useNewest<T>(value: T): { readonly current: T } {
  const ref = useRef(value);
  useEffect(() => {
    ref.current = value;
  });
  return ref;
}

/** Options as text, so that an object that is written anew in each rendering is the same while it says the same. */
function keyOf(options: object | null): string {
  return JSON.stringify(options, (_name, value: unknown) =>
    typeof value === 'function' ? 'function' : value,
  );
}

/** The options, except that a function in them is looked up at each call. */
function withNewest<T extends { readonly token?: Token; readonly fetch?: typeof globalThis.fetch }>(
  options: T,
  newest: { readonly current: T | null },
): T {
  const { token } = options;
  if (typeof token !== 'function') return options;
  return {
    ...options,
    token: () => {
      const now = newest.current?.token ?? token;
      return typeof now === 'function' ? now() : now;
    },
  };
}

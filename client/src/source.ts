import type { BelfryError } from './belfry.error.js';
import type { Block } from './event.js';

/**
 * - `connecting`: a request was sent, or is about to be
 * - `replaying`: what was missed is coming
 * - `live`: it has caught up
 * - `waiting`: the next attempt is due later
 * - `closed`: for good
 */
export type ConnectionState = 'connecting' | 'replaying' | 'live' | 'waiting' | 'closed';

/** Where blocks come from: a stream of this page's own over fetch or EventSource, or one that tabs share. */
export interface Source {
  start(cursor: string | undefined): void;
  /** Ends it without a word to the sink. */
  close(): void;
}

/** Whom a source feeds. */
export interface Sink {
  /**
   * Called for one block after the other.
   *
   * @returns a promise when there is no room: the next block is due when it resolves
   */
  take(block: Block): void | Promise<void>;
  state(state: ConnectionState): void;
  /** Something went wrong and is tried again. */
  error(error: BelfryError): void;
  /** There will be no more; with an error, unless the server said that it is done. */
  over(error?: BelfryError): void;
}

import type { Caller } from '../access/caller.js';
import type { TopicFilter } from '../log/topic.filter.js';

/** What a client asked for, and may have. */
export interface Subscription {
  /** Whose it is; it ends with the credential. */
  readonly caller: Caller;
  readonly tenant: string;
  readonly filter: TopicFilter;
  /** The client's cursor as it was sent; undefined: from now on. */
  readonly lastEventId: string | undefined;
  /** Whether published events carry their `event:` line. */
  readonly named: boolean;
  /** Whether a catch-up sends only the newest of the events with one topic and key. */
  readonly collapse: boolean;
  /** Whether page code is to hear heartbeats. */
  readonly heartbeatEvent: boolean;
}

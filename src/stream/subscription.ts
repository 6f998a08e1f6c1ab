import type { TopicFilter } from '../log/topic.filter.js';

/** What a client asked for, and may have. */
export interface Subscription {
  readonly tenant: string;
  readonly filter: TopicFilter;
  /** The client's cursor as it was sent; undefined: from now on. */
  readonly lastEventId: string | undefined;
  /** When the credential ends, in milliseconds since 1970; the stream ends with it. */
  readonly expiresAt: number;
  /** Whether published events carry their `event:` line. */
  readonly named: boolean;
  /** Whether a catch-up sends only the newest of the events with one topic and key. */
  readonly collapse: boolean;
  /** Whether page code is to hear heartbeats. */
  readonly heartbeatEvent: boolean;
}

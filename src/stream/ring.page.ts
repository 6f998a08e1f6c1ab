import type { FramedEvent } from '../tail/frame.js';
import type { Tail } from '../tail/tail.js';
import type { Subscription } from './subscription.js';

/** Events that one page looks at, and bytes of frames in it, at most so many; a single frame may be larger. */
const PAGE_EVENTS = 5_000;
const PAGE_BYTES = 64 * 1024;

/**
 * What a subscriber is to be sent of the ring's events between its cursor and the target of its catch-up; the same
 * as the replay query finds in Postgres.
 */
export function catchUpPage(
  { ring, databaseNow }: Pick<Tail, 'ring' | 'databaseNow'>,
  subscription: Pick<Subscription, 'tenant' | 'filter' | 'collapse'>,
  cursor: number,
  target: number,
): { events: FramedEvent[]; cursor: number } {
  const events: FramedEvent[] = [];
  const end = Math.min(target, cursor + PAGE_EVENTS);
  let bytes = 0;
  let seq = cursor;
  while (seq < end && bytes < PAGE_BYTES) {
    const event = ring.at(++seq);
    if (event.tenant !== subscription.tenant || !subscription.filter.passes(event)) continue;
    if (event.expiresAt !== null && event.expiresAt <= databaseNow) continue;
    if (subscription.collapse && isSuperseded(event, subscription, target)) continue;
    events.push(event);
    bytes += event.frame.length;
  }
  return { events, cursor: seq };
}

/** Whether a newer event of the same topic and key, which the subscriber is to see as well, is up to the target. */
function isSuperseded(event: FramedEvent, { filter }: Pick<Subscription, 'filter'>, target: number): boolean {
  for (let { newer } = event; newer && newer.seq <= target; newer = newer.newer) {
    if (filter.passesType(newer.type)) return true;
  }
  return false;
}

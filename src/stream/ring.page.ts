import { RETRACTABLE, RETRACTION, retractionKey } from '../log/event.js';
import { REPLAY_BYTES, type ReplayRequest, reachOf } from '../log/log.reader.js';
import type { EventRun } from '../tail/event.run.js';
import type { FramedEvent } from '../tail/frame.js';
import type { Ring } from '../tail/ring.js';
import type { Tail } from '../tail/tail.js';
import { Bundle } from './bundle.js';
import type { Subscription } from './subscription.js';

/** Events that one page looks at, and bytes of frames in it, at most so many; a single frame may be larger. */
const PAGE_EVENTS = 5_000;
const PAGE_BYTES = 64 * 1024;

/**
 * What a subscriber is to be sent of the ring's events between its cursor and the target of its catch-up; the same
 * as the replay query finds in Postgres. What it costs depends on the events of the subscriber's own topics, unless it
 * has wildcards.
 */
export function catchUpPage(
  { ring, databaseNow }: Pick<Tail, 'ring' | 'databaseNow'>,
  subscription: Pick<Subscription, 'tenant' | 'filter' | 'collapse'>,
  cursor: number,
  target: number,
): { bundle: Bundle; cursor: number } {
  let bundle = Bundle.empty();
  let lookedAt = 0;
  let bytes = 0;
  for (const event of candidates(ring, subscription, cursor, target)) {
    if (event.tenant === subscription.tenant && isShown(ring, event, subscription, target, databaseNow)) {
      bundle = bundle.with(event);
      bytes += event.frame.length;
    }
    if (++lookedAt >= PAGE_EVENTS || bytes >= PAGE_BYTES) return { bundle, cursor: event.seq };
  }
  return { bundle, cursor: target };
}

/** The very page that `LogReader.replay` reads of Postgres, cut at the same event. */
export function replayPage(
  { ring, databaseNow }: Pick<Tail, 'ring' | 'databaseNow'>,
  request: ReplayRequest & { readonly upTo: number },
): { events: FramedEvent[]; cursor: number } {
  const { tenant, filter, after, upTo, limit } = request;
  const reach = reachOf(request);
  const events: FramedEvent[] = [];
  let cursor = after;
  let lookedAt = 0;
  let bytes = 0;
  for (const event of candidates(ring, request, after, reach)) {
    if (event.tenant !== tenant || !filter.passesTopic(event.topic)) continue;
    if (bytes >= REPLAY_BYTES) return { events, cursor };
    if (isShown(ring, event, request, upTo, databaseNow)) events.push(event);
    cursor = event.seq;
    bytes += event.dataBytes;
    if (++lookedAt === limit) return { events, cursor };
  }
  return { events, cursor: reach };
}

/** Whether an event of the tenant is one to show. */
function isShown(
  ring: Ring,
  event: FramedEvent,
  wanted: Pick<Subscription, 'filter' | 'collapse'>,
  target: number,
  databaseNow: number,
): boolean {
  if (!wanted.filter.passes(event)) return false;
  if (event.expiresAt !== null && event.expiresAt <= databaseNow) return false;
  return !(wanted.collapse && (isSuperseded(event, wanted, target) || isRetracted(ring, event, target)));
}

/** All events after a cursor and up to a target that may be among those wanted, and perhaps others. */
function candidates(
  ring: Ring,
  wanted: Pick<Subscription, 'tenant' | 'filter'>,
  cursor: number,
  target: number,
): Generator<FramedEvent> {
  return wanted.filter.exact ? ofTopics(ring, wanted, cursor, target) : ofAll(ring, cursor, target);
}

/** All events after a cursor and up to a target. */
function* ofAll(ring: Ring, cursor: number, target: number): Generator<FramedEvent> {
  for (let seq = cursor + 1; seq <= target; seq++) yield ring.at(seq);
}

/** Those of the subscriber's topics, merged into the order of the log. */
function* ofTopics(
  ring: Ring,
  { tenant, filter }: Pick<Subscription, 'tenant' | 'filter'>,
  cursor: number,
  target: number,
): Generator<FramedEvent> {
  const places: { readonly run: EventRun; index: number }[] = [];
  for (const topic of filter.topics) {
    const run = ring.ofTopic(tenant, topic);
    if (run) places.push({ run, index: run.after(cursor) });
  }
  for (;;) {
    let next: FramedEvent | undefined;
    let from: (typeof places)[number] | undefined;
    for (const place of places) {
      const event = place.run.at(place.index);
      if (event && event.seq <= target && (!next || event.seq < next.seq)) {
        next = event;
        from = place;
      }
    }
    if (!next || !from) return;
    from.index++;
    yield next;
  }
}

/** Whether a newer event of the same topic and key, which the subscriber is to see as well, is up to the target. */
function isSuperseded(event: FramedEvent, { filter }: Pick<Subscription, 'filter'>, target: number): boolean {
  for (let { newer } = event; newer && newer.seq <= target; newer = newer.newer) {
    if (filter.passesType(newer.type)) return true;
  }
  return false;
}

/** Whether the event was taken back up to the target. */
function isRetracted(ring: Ring, { type, tenant, topic, seq }: FramedEvent, target: number): boolean {
  if (type !== RETRACTABLE) return false;
  const retraction = ring.newestWith(tenant, topic, retractionKey(seq));
  return retraction?.type === RETRACTION && retraction.seq <= target;
}

import type { NewEvent } from '../log/event.js';
import { Members, type Place } from './members.js';
import type { RawValue } from './raw.json.js';

/** Types that Belfry itself sends: a published one could pass for them. */
const RESERVED_TYPES = new Set(['ready', 'reset', 'end', 'heartbeat', 'error', 'open', 'message']);
const RESERVED_PREFIXES = ['notification.', 'inbox.', 'job.'];

/**
 * Checks one event of a request.
 *
 * @param value as JSON.parse made it
 * @param data the text of its data
 * @param maxDataBytes of that text
 * @throws Problem naming the place
 */
export function parseEvent(
  value: unknown,
  data: RawValue | undefined,
  place: Place,
  maxDataBytes: number,
): NewEvent {
  const members = new Members('Event', 'event-invalid', place);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw members.problem(' is not a JSON object.');
  }
  const { topic, type, key, expiresAt, dedupeId } = value as Record<string, unknown>;
  return {
    topic: members.topic(topic, 'topic'),
    type: parseType(type, members),
    data: members.data(data, maxDataBytes),
    key: members.name(key, 'key'),
    expiresAt: members.time(expiresAt, 'expiresAt'),
    dedupeId: members.name(dedupeId, 'dedupeId'),
  };
}

function parseType(value: unknown, members: Members): string {
  const type = members.type(value, 'type-invalid');
  if (RESERVED_TYPES.has(type) || RESERVED_PREFIXES.some(prefix => type.startsWith(prefix))) {
    throw members.problem(`: the type "${type}" belongs to Belfry itself; choose another.`, 'type-reserved');
  }
  return type;
}

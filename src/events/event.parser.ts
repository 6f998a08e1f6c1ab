import { Problem } from '../errors/problem.js';
import type { NewEvent } from '../log/event.js';
import { isName, NAME_LENGTH } from '../log/name.js';
import { isTopic, TOPIC_LENGTH, TOPIC_RULE } from '../log/topic.js';
import type { RawValue } from './raw.json.js';

const DATA_DEPTH = 64;

/** Types that Belfry itself sends: a published one could pass for them. */
const RESERVED_TYPES = new Set(['ready', 'reset', 'end', 'heartbeat', 'error', 'open', 'message']);
const RESERVED_PREFIXES = ['notification.', 'inbox.', 'job.'];

/** RFC 3339, section 5.6, seconds optional. */
const DATE_TIME = /^(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/;
/** Years of four digits, in UTC too: Postgres reads no others in this form. */
const FIRST_TIME = Date.parse('0001-01-01T00:00:00Z');
const LAST_TIME = Date.parse('9999-12-31T23:59:59.999Z');

/** Where an event is in its request, for error answers. */
export type Place = { readonly index: number } | { readonly line: number };

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
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Problem('event-invalid', `${nameOf(place)} is not a JSON object.`, place);
  }
  const { topic, type, key, expiresAt, dedupeId } = value as Record<string, unknown>;
  return {
    topic: parseTopic(topic, place),
    type: parseType(type, place),
    data: parseData(data, place, maxDataBytes),
    key: parseName(key, 'key', place),
    expiresAt: parseExpiry(expiresAt, place),
    dedupeId: parseName(dedupeId, 'dedupeId', place),
  };
}

function nameOf(place: Place): string {
  return 'line' in place ? `Line ${place.line}` : `Event ${place.index}`;
}

function parseTopic(topic: unknown, place: Place): string {
  if (typeof topic !== 'string') {
    throw new Problem('event-invalid', `${nameOf(place)} needs a "topic", such as "user:42".`, place);
  }
  if (!isTopic(topic)) {
    const shown = topic.slice(0, TOPIC_LENGTH);
    throw new Problem('topic-invalid', `${nameOf(place)}: "${shown}" is not a topic: ${TOPIC_RULE}.`, {
      ...place,
      topic: shown,
    });
  }
  return topic;
}

function parseType(type: unknown, place: Place): string {
  if (typeof type !== 'string' || type === '') {
    throw new Problem('event-invalid', `${nameOf(place)} needs a "type", such as "invoice.paid".`, place);
  }
  if (!isName(type)) {
    throw new Problem('type-invalid', `${nameOf(place)}: "type" is ${NAME_RULE}.`, place);
  }
  if (RESERVED_TYPES.has(type) || RESERVED_PREFIXES.some(prefix => type.startsWith(prefix))) {
    throw new Problem(
      'type-reserved',
      `${nameOf(place)}: the type "${type}" belongs to Belfry itself; choose another.`,
      place,
    );
  }
  return type;
}

function parseName(name: unknown, member: string, place: Place): string | null {
  if (name === undefined || name === null) return null;
  if (typeof name !== 'string' || !isName(name)) {
    throw new Problem('event-invalid', `${nameOf(place)}: "${member}" is ${NAME_RULE}.`, place);
  }
  return name;
}

const NAME_RULE = `text of 1 to ${NAME_LENGTH} characters without control characters and lone surrogates`;

/** An event without data has the data null. */
function parseData(data: RawValue | undefined, place: Place, maxDataBytes: number): string {
  if (!data) return 'null';
  if (data.depth > DATA_DEPTH) {
    throw new Problem(
      'data-invalid',
      `${nameOf(place)}: "data" nests deeper than ${DATA_DEPTH} levels.`,
      place,
    );
  }
  // In valid JSON a line break is always insignificant space, and a frame has one line of data.
  const line = data.text.replace(/[\r\n]/g, ' ');
  const bytes = Buffer.byteLength(line);
  if (bytes > maxDataBytes) {
    throw new Problem(
      'data-too-large',
      `${nameOf(place)}: "data" has ${bytes} bytes and may have ${maxDataBytes}; publish a reference instead.`,
      place,
    );
  }
  return line;
}

function parseExpiry(expiresAt: unknown, place: Place): number | null {
  if (expiresAt === undefined || expiresAt === null) return null;
  const ms = typeof expiresAt === 'string' ? timeOf(expiresAt) : NaN;
  if (!(ms >= FIRST_TIME && ms <= LAST_TIME)) {
    throw new Problem(
      'event-invalid',
      `${nameOf(place)}: "expiresAt" is a date and time such as "2030-01-31T12:00:00Z".`,
      place,
    );
  }
  return ms;
}

/** @returns NaN for what is no time */
function timeOf(text: string): number {
  const date = DATE_TIME.exec(text)?.[1];
  // Date.parse takes the 30th of February for the 2nd of March.
  if (date === undefined || new Date(date).getUTCDate() !== Number(date.slice(-2))) return NaN;
  return Date.parse(text);
}

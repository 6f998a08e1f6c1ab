import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from '../access/caller.js';
import { requireRead } from '../access/grants.js';
import { Problem } from '../errors/problem.js';
import { isName, NAME_LENGTH } from '../log/name.js';
import { isTopic, isWildcard, TOPIC_LENGTH, TOPIC_RULE } from '../log/topic.js';
import { TopicFilter } from '../log/topic.filter.js';
import type { Subscription } from './subscription.js';

/** Types in one request. */
const MAX_NAMES = 100;

/** Parameters as a query string or a JSON body gives them. */
export type Parameters = Record<string, unknown>;

/**
 * What to subscribe to.
 *
 * @throws Problem when a parameter is wrong or a topic is not granted
 */
export function parseSubscription(
  parameters: Parameters,
  headers: IncomingHttpHeaders,
  caller: Caller,
  maxTopics: number,
): Subscription {
  const heartbeat = one(parameters, 'heartbeat');
  if (heartbeat !== undefined && heartbeat !== 'event') {
    throw new Problem(
      'query-invalid',
      'Leave out "heartbeat", or set it to "event" to hear heartbeats as events.',
    );
  }
  return {
    caller,
    tenant: caller.tenant,
    filter: parseFilter(parameters, caller, maxTopics),
    lastEventId: parseLastEventId(parameters, headers),
    named: parseFlag(parameters, 'named'),
    collapse: parseFlag(parameters, 'collapse'),
    heartbeatEvent: heartbeat === 'event',
  };
}

/**
 * The topics and types asked for; without topics, all exact ones that the caller is granted.
 *
 * @throws Problem `topic-invalid`, `topics-too-many`, `topic-forbidden`, `query-invalid`
 */
export function parseFilter(parameters: Parameters, caller: Caller, maxTopics: number): TopicFilter {
  const types = list(parameters, 'type');
  if (types.length > MAX_NAMES || !types.every(type => isName(type))) {
    throw new Problem(
      'query-invalid',
      `Give at most ${MAX_NAMES} types of 1 to ${NAME_LENGTH} characters each, without control characters, or none to hear every type.`,
    );
  }
  const asked = list(parameters, 'topic');
  if (asked.length === 0) return new TopicFilter(caller.topics, types);
  if (asked.length > maxTopics) {
    throw new Problem(
      'topics-too-many',
      `Ask for at most ${maxTopics} topics, or for a whole kind with kind:*.`,
    );
  }
  for (const pattern of asked) {
    if (!isTopic(pattern) && !isWildcard(pattern)) {
      const shown = pattern.slice(0, TOPIC_LENGTH);
      throw new Problem(
        'topic-invalid',
        `"${shown}" is not a topic: ${TOPIC_RULE}; kind:* and * stand for many.`,
        {
          topic: shown,
        },
      );
    }
    requireRead(caller, pattern);
  }
  return new TopicFilter([...new Set(asked)], types);
}

/** True unless it is "false". */
export function parseFlag(parameters: Parameters, name: string): boolean {
  const value = parameters[name];
  if (value === undefined || value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new Problem('query-invalid', `Set "${name}" to true or false.`);
}

/** The value of a parameter that is given at most once; an empty one counts as left out. */
export function one(parameters: Parameters, name: string): string | undefined {
  const [value, ...more] = list(parameters, name);
  if (more.length > 0) throw new Problem('query-invalid', `Give "${name}" at most once.`);
  return value === '' ? undefined : value;
}

/**
 * The header wins: it is what the browser itself remembers, while the query is what the page said at first. An
 * EventSource's first request cannot carry the header, and a polyfill names the parameter in its own way.
 */
function parseLastEventId(parameters: Parameters, headers: IncomingHttpHeaders): string | undefined {
  const header = headers['last-event-id'];
  if (typeof header === 'string' && header !== '') return header;
  // Whatever is wrong with a cursor is said on the stream: an EventSource would never come back from an error.
  const given = [parameters['lastEventId'], parameters['last_event_id']].flat();
  return given.find(value => typeof value === 'string' && value !== '') as string | undefined;
}

/** All values of a parameter; a JSON body may also use the plural for a list. */
function list(parameters: Parameters, name: string): string[] {
  const texts: string[] = [];
  for (const given of [parameters[name], parameters[`${name}s`]]) {
    for (const value of Array.isArray(given) ? (given as unknown[]) : [given]) {
      if (typeof value === 'string') texts.push(value);
      else if (typeof value === 'number') texts.push(String(value));
      else if (value !== undefined && value !== null) {
        throw new Problem('query-invalid', `Give "${name}" as text.`);
      }
    }
  }
  return texts;
}

/** @throws Problem when `limit` is no whole number from 1 to `most` */
export function parseLimit(
  parameters: Parameters,
  { fallback, most }: { fallback: number; most: number },
): number {
  const text = one(parameters, 'limit');
  if (text === undefined) return fallback;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (!(limit >= 1 && limit <= most)) {
    throw new Problem('limit-invalid', `"limit" is a whole number from 1 to ${most}.`);
  }
  return limit;
}

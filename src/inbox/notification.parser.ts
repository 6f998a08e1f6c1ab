import { Members } from '../events/members.js';
import type { RawValue } from '../events/raw.json.js';

const TITLE_LENGTH = 500;
const BODY_LENGTH = 5_000;
const LINK_LENGTH = 2_000;
const PRIORITIES = ['low', 'normal', 'high', 'urgent'];
/** No control characters, and nothing that UTF-8 cannot carry; line breaks only in a body. */
const LINE = /^[^\p{Control}\p{Surrogate}]*$/u;
const TEXT = /^(?:[^\p{Control}\p{Surrogate}]|[\n\r\t])*$/u;
/** Absolute, or a path; `//host` would be another origin, and browsers take `\` for `/`. */
const LINK = /^(?:https?:\/\/[^/]|\/(?!\/))/i;

/** A notification as a publisher hands it in; checked. */
export interface NewNotification {
  /** Each once. */
  readonly topics: readonly string[];
  readonly key: string | null;
  /** The data of its event: one line of JSON text. */
  readonly content: string;
  /** Milliseconds since 1970; null: as long as the inbox keeps it. */
  readonly expiresAt: number | null;
  /** The same; null: now. */
  readonly deliverAt: number | null;
  readonly dedupeId: string | null;
}

/**
 * Checks one notification of a request.
 *
 * @param value as JSON.parse made it
 * @param data the text of its data
 * @param limits of topics, and of bytes of all that is shown together with the data
 * @throws Problem naming its index
 */
export function parseNotification(
  value: unknown,
  data: RawValue | undefined,
  index: number,
  limits: { readonly maxTopics: number; readonly maxDataBytes: number },
): NewNotification {
  const members = new Members('Notification', 'notification-invalid', { index });
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw members.problem(' is not a JSON object.');
  }
  const given = value as Record<string, unknown>;
  const content = [
    `"type":${JSON.stringify(members.type(given['type']))}`,
    `"title":${JSON.stringify(titleOf(given['title'], members))}`,
    `"body":${JSON.stringify(bodyOf(given['body'], members))}`,
    `"url":${JSON.stringify(linkOf(given['url'], members))}`,
    `"icon":${JSON.stringify(iconOf(given['icon'], members))}`,
    `"data":${members.data(data, limits.maxDataBytes)}`,
    `"priority":${JSON.stringify(priorityOf(given['priority'], members))}`,
  ].join(',');
  const bytes = Buffer.byteLength(content) + 2;
  if (bytes > limits.maxDataBytes) {
    throw members.problem(
      `: all that it says has ${bytes} bytes and may have ${limits.maxDataBytes}; put a reference into "data".`,
      'data-too-large',
    );
  }
  return {
    topics: topicsOf(given['to'], members, limits.maxTopics),
    key: members.name(given['key'], 'key'),
    content: `{${content}}`,
    expiresAt: members.time(given['expiresAt'], 'expiresAt'),
    deliverAt: members.time(given['deliverAt'], 'deliverAt'),
    dedupeId: members.name(given['dedupeId'], 'dedupeId'),
  };
}

function topicsOf(to: unknown, members: Members, most: number): string[] {
  if (!Array.isArray(to)) return [members.topic(to, 'to')];
  if (to.length === 0) throw members.problem(' needs a topic in "to", such as "user:42".');
  if (to.length > most) {
    throw members.problem(
      `: "to" has ${to.length} topics and may have ${most}; send it to a role or to all.`,
      'topics-too-many',
    );
  }
  return [...new Set(to.map(topic => members.topic(topic, 'to')))];
}

function titleOf(title: unknown, members: Members): string {
  if (typeof title === 'string' && title !== '' && isText(title, TITLE_LENGTH, LINE)) return title;
  throw members.problem(` needs a "title": text of 1 to ${TITLE_LENGTH} characters in one line.`);
}

function bodyOf(body: unknown, members: Members): string | null {
  if (isAbsent(body)) return null;
  if (typeof body === 'string' && isText(body, BODY_LENGTH, TEXT)) return body;
  throw members.problem(`: "body" is text of at most ${BODY_LENGTH} characters.`);
}

function linkOf(url: unknown, members: Members): string | null {
  if (isAbsent(url)) return null;
  if (typeof url === 'string' && isText(url, LINK_LENGTH, LINE) && LINK.test(url) && !/[\s\\]/.test(url))
    return url;
  throw members.problem(
    `: "url" is an http or https URL, or a path that begins with one slash, of at most ${LINK_LENGTH} characters.`,
  );
}

function iconOf(icon: unknown, members: Members): string | null {
  if (isAbsent(icon)) return null;
  if (typeof icon === 'string' && icon !== '' && isText(icon, LINK_LENGTH, LINE)) return icon;
  throw members.problem(`: "icon" is a URL, a path or a name of 1 to ${LINK_LENGTH} characters.`);
}

function priorityOf(priority: unknown, members: Members): string {
  if (isAbsent(priority)) return 'normal';
  if (typeof priority === 'string' && PRIORITIES.includes(priority)) return priority;
  throw members.problem(`: "priority" is one of ${PRIORITIES.join(', ')}.`);
}

function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** Characters are Unicode's, as Postgres counts them. */
function isText(text: string, length: number, pattern: RegExp): boolean {
  return text.length <= 2 * length && pattern.test(text) && Array.from(text).length <= length;
}

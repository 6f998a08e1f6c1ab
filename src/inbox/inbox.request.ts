import { z } from 'zod';
import type { Caller } from '../access/caller.js';
import { explain } from '../access/claims.js';
import { Problem } from '../errors/problem.js';
import { timeOf } from '../events/members.js';
import { type Cursor, parseCursor } from '../log/cursor.js';
import { isName, NAME_LENGTH } from '../log/name.js';
import { topicFor } from '../log/topic.js';
import { one, type Parameters, parseLimit } from '../stream/stream.request.js';

const LIMIT = { fallback: 50, most: 200 };
/** Types that a user may mute. */
const MOST_MUTED = 200;

const STATUSES = ['unread', 'unseen', 'read', 'archived', 'snoozed', 'all'] as const;
/** `inbox`: neither archived nor snoozed. */
type Status = 'inbox' | (typeof STATUSES)[number];

/** A user, by its own topic, and whose notifications it gets. */
export interface Owner {
  readonly tenant: string;
  readonly topic: string;
  readonly topics: readonly string[];
}

/** What one page is to have. */
export interface PageRequest {
  readonly status: Status;
  readonly type: string | null;
  readonly before: Cursor | null;
  readonly limit: number;
}

const FLAG = z.boolean('true or false').optional();
const TYPE = z
  .string('text')
  .refine(isName, `text of 1 to ${NAME_LENGTH} characters without control characters`);
const TIME = z
  .string('a date and time such as "2030-01-31T12:00:00Z", or null')
  .refine(text => !Number.isNaN(timeOf(text)), 'a date and time such as "2030-01-31T12:00:00Z", or null')
  .transform(text => new Date(timeOf(text)).toISOString());

/** `PATCH /v1/inbox/:id` */
export const TOUCH = z
  .strictObject(
    { read: FLAG, seen: FLAG, archived: FLAG, snoozedUntil: TIME.nullable().optional() },
    { error: () => 'Send {"read"?, "seen"?, "archived"?, "snoozedUntil"?}.' },
  )
  .refine(
    touch => Object.keys(touch).length > 0,
    'Send one or more of "read", "seen", "archived", "snoozedUntil".',
  );
export type Touch = z.infer<typeof TOUCH>;

const FLAGS = ['read', 'seen', 'archived'] as const;
export type Flag = (typeof FLAGS)[number];

/** `POST /v1/inbox/mark` */
export const MARK = z
  .strictObject(
    {
      read: z.literal(true, 'true').optional(),
      seen: z.literal(true, 'true').optional(),
      archived: z.literal(true, 'true').optional(),
      upTo: z.string('a cursor').optional(),
      type: TYPE.optional(),
    },
    {
      error: () =>
        'Send {"read": true}, {"seen": true} or {"archived": true}, with "upTo" and "type" where wanted.',
    },
  )
  .refine(
    mark => FLAGS.filter(flag => mark[flag] !== undefined).length === 1,
    'Send exactly one of "read", "seen" and "archived", as true.',
  );

const HOUR = z
  .string('a time of day such as "22:00"')
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time of day such as "22:00"');

/** `PUT /v1/inbox/preferences` */
export const PREFERENCES = z.strictObject(
  {
    muted: z
      .array(TYPE, 'an array of types')
      .max(MOST_MUTED, `at most ${MOST_MUTED} types`)
      .transform(types => [...new Set(types)])
      .default([]),
    quietHours: z
      .strictObject(
        {
          from: HOUR,
          to: HOUR,
          timezone: z.string('a time zone').refine(isZone, 'a time zone such as "Europe/Berlin"'),
        },
        { error: () => 'null or {"from", "to", "timezone"}' },
      )
      .nullable()
      .default(null),
  },
  { error: () => 'Send {"muted": [types], "quietHours": {"from", "to", "timezone"} or null}.' },
);
export type Preferences = z.infer<typeof PREFERENCES>;

/** @throws Problem `inbox-missing` when the credential is not that of a user */
export function ownerOf({ tenant, sub, topics }: Caller): Owner {
  const topic = topicFor('user', sub);
  if (!topics.includes(topic)) throw new Problem('inbox-missing');
  return { tenant, topic, topics };
}

/** @throws Problem when a parameter is wrong, or `before` is no id */
export function parsePage(parameters: Parameters): PageRequest {
  const before = one(parameters, 'before');
  const type = one(parameters, 'type');
  if (type !== undefined && !isName(type)) {
    throw new Problem('query-invalid', '"type" is the type of notifications, such as invoice.paid.');
  }
  return {
    status: parseStatus(one(parameters, 'status')),
    type: type ?? null,
    before: before === undefined ? null : parseId(before),
    limit: parseLimit(parameters, LIMIT),
  };
}

/** @throws Problem `notification-unknown` for what cannot be an id */
export function parseId(text: string): Cursor {
  const cursor = parseCursor(text);
  if (!cursor || !Number.isSafeInteger(cursor.seq)) throw new Problem('notification-unknown');
  return cursor;
}

/** @throws Problem `body-invalid` */
export function parseBody<Shape extends z.ZodType>(shape: Shape, body: unknown): z.infer<Shape> {
  const parsed = shape.safeParse(body);
  if (!parsed.success) throw new Problem('body-invalid', explain(parsed.error));
  return parsed.data;
}

/** @throws Problem when it cannot be one that this service gave out */
export function parsePlace(text: string): Cursor {
  const cursor = parseCursor(text);
  if (!cursor || !Number.isSafeInteger(cursor.seq)) throw new Problem('cursor-unknown');
  return cursor;
}

/** The flag that a mark sets. */
export function flagOf(mark: z.infer<typeof MARK>): Flag {
  return FLAGS.find(flag => mark[flag] === true) ?? 'read';
}

function parseStatus(text: string | undefined): Status {
  if (text === undefined) return 'inbox';
  const status = STATUSES.find(known => known === text);
  if (!status) throw new Problem('query-invalid', `"status" is one of ${STATUSES.join(', ')}.`);
  return status;
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    // RangeError: that is how it says no.
    return false;
  }
}

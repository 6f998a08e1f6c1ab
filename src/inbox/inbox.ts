import { Injectable } from '@nestjs/common';
import pg from 'pg';
import { Database } from '../database/database.js';
import { Problem } from '../errors/problem.js';
import { type Cursor, formatCursor } from '../log/cursor.js';
import type { Flag, Owner, PageRequest, Preferences, Touch } from './inbox.request.js';

/** Exact to 99; 100 means 100 or more. Up to and including the event of `asOf`. */
export interface Counts {
  readonly unread: number;
  readonly unseen: number;
  readonly asOf: string;
}

/** What is newer than any seq. */
const NEWEST = Number.MAX_SAFE_INTEGER;
/** SQLSTATE of belfry.mark_inbox when marks of too many types are kept apart. */
const TOO_MANY_TYPES = 'BF030';

const READ = `
  select unread, unseen, as_of, is_before, id, topic, key, content, belfry.time_of(at) as at, read, seen, archived,
    belfry.time_of(snoozed_until) as snoozed_until
  from belfry.read_inbox($1, $2, $3, $4, $5, $6, $7, $8)`;

const TOUCH_ITEM = `
  select item.topic, item.key, item.content, item.read, item.seen, item.archived, belfry.time_of(item.at) as at,
    belfry.time_of(item.snoozed_until) as snoozed_until, item.unread, item.unseen, item.as_of
  from belfry.touch_item($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as item`;
const MARK = `
  select unread, unseen, as_of from belfry.mark_inbox($1, $2, $3, $4, $5, $6)
  where $5::bigint is null or belfry.is_cursor($7, $5)`;

interface CountsRow extends pg.QueryResultRow {
  unread: number;
  unseen: number;
  as_of: string;
}

interface ItemRow {
  id: string;
  topic: string;
  key: string | null;
  content: string;
  at: string;
  read: boolean;
  seen: boolean;
  archived: boolean;
  snoozed_until: string | null;
}

/** Without items there is one row, with the counts alone. */
type PageRow = CountsRow & { is_before: boolean } & (ItemRow | { id: null });

/** Reads and changes the inboxes of users; every change is told to the user's other tabs and devices in its transaction. */
@Injectable()
export class Inbox {
  constructor(private readonly database: Database) {}

  /** @returns a page as JSON, in which the data of each item is the very text that was sent */
  async page(owner: Owner, { status, type, before, limit }: PageRequest): Promise<string> {
    const rows = await this.read(owner, status, type, before, limit + 1);
    const [first] = rows;
    if (!first) throw new Error('an inbox that is open has counts');
    if (before && !first.is_before) throw new Problem('notification-unknown');
    const items = rows.slice(0, limit).flatMap(row => (row.id === null ? [] : [itemOf(row)]));
    return (
      `{"items":[${items.join(',')}],"counts":${JSON.stringify(countsOf(first))},` +
      `"cursor":"${first.as_of}","more":${rows.length > limit}}`
    );
  }

  async counts(owner: Owner): Promise<Counts> {
    const [row] = await this.read(owner, 'inbox', null, null, 0);
    if (!row) throw new Error('an inbox that is open has counts');
    return countsOf(row);
  }

  /**
   * @returns the item as it is now, with the counts, as JSON
   * @throws Problem `notification-unknown` when the inbox does not have it
   */
  async touch(owner: Owner, id: Cursor, { read, seen, archived, snoozedUntil }: Touch): Promise<string> {
    const text = formatCursor(id.epoch, id.seq);
    const snooze = [snoozedUntil !== undefined, snoozedUntil ?? null];
    const [row] = await this.database.inbox<Omit<ItemRow, 'id'> & CountsRow>({
      name: 'inbox_touch',
      text: TOUCH_ITEM,
      values: [owner.tenant, owner.topic, owner.topics, text, id.seq, read, seen, archived, ...snooze],
    });
    if (!row) throw new Problem('notification-unknown');
    return `${itemOf({ ...row, id: text }).slice(0, -1)},"counts":${JSON.stringify(countsOf(row))}}`;
  }

  /**
   * Marks everything, or what is of one type; up to the head, or up to a place.
   *
   * @throws Problem when the place is not in the log, or marks of too many types are kept apart
   */
  async mark(owner: Owner, flag: Flag, upTo: Cursor | undefined, type: string | undefined): Promise<Counts> {
    const values = [owner.tenant, owner.topic, owner.topics, flag, upTo?.seq, type, upTo?.epoch];
    try {
      const [row] = await this.database.inbox<CountsRow>({ name: 'inbox_mark', text: MARK, values });
      if (!row) throw new Problem('cursor-unknown');
      return countsOf(row);
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code === TOO_MANY_TYPES)
        throw new Problem('types-too-many');
      throw error;
    }
  }

  async preferences(owner: Owner): Promise<Preferences> {
    const [row] = await this.opened<{ muted: string[]; quiet_hours: Preferences['quietHours'] }>(owner, {
      name: 'inbox_preferences',
      text: 'select muted, quiet_hours from belfry.inboxes where tenant = $1 and owner = $2',
      values: [owner.tenant, owner.topic],
    });
    return { muted: row?.muted ?? [], quietHours: row?.quiet_hours ?? null };
  }

  async prefer(owner: Owner, { muted, quietHours }: Preferences): Promise<void> {
    const quiet = quietHours && JSON.stringify(quietHours);
    await this.database.inbox({
      name: 'inbox_prefer',
      text: 'select belfry.set_preferences($1, $2, $3, $4, $5)',
      values: [owner.tenant, owner.topic, owner.topics, muted, quiet],
    });
  }

  private read(
    { tenant, topic, topics }: Owner,
    status: string,
    type: string | null,
    before: Cursor | null,
    most: number,
  ): Promise<PageRow[]> {
    const values = [tenant, topic, topics, status, type, before?.seq ?? NEWEST, before?.epoch ?? null, most];
    return this.opened<PageRow>({ tenant, topic }, { name: 'inbox_read', text: READ, values });
  }

  /** Rows of the owner's inbox, which is made at the first call. */
  private async opened<Row extends pg.QueryResultRow>(
    owner: Pick<Owner, 'tenant' | 'topic'>,
    query: { name: string; text: string; values: unknown[] },
  ): Promise<Row[]> {
    const rows = await this.database.inbox<Row>(query);
    if (rows.length > 0) return rows;
    await this.database.inbox({
      text: 'select belfry.open_inbox($1, $2)',
      values: [owner.tenant, owner.topic],
    });
    return this.database.inbox<Row>(query);
  }
}

function countsOf({ unread, unseen, as_of: asOf }: CountsRow): Counts {
  return { unread, unseen, asOf };
}

function itemOf({ id, topic, key, content, at, read, seen, archived, snoozed_until }: ItemRow): string {
  const state = JSON.stringify({ at, read, seen, archived, snoozedUntil: snoozed_until });
  const keyMember = key === null ? '' : `"key":${JSON.stringify(key)},`;
  return `{"id":"${id}","topic":"${topic}",${inner(content)},${keyMember}${inner(state)}}`;
}

/** The members of an object as JSON, without its braces. */
function inner(object: string): string {
  return object.slice(1, -1);
}

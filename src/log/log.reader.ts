import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { type LogEvent, RETRACTABLE, RETRACTION } from './event.js';
import type { TopicFilter } from './topic.filter.js';

/** Rows and bytes of data in one page of the tail, at most so many; a single event may be larger. */
const TAIL_EVENTS = 500;
const TAIL_BYTES = 1024 * 1024;
/** Bytes of data in one page of a replay: what a client that stops reading may leave in memory. */
export const REPLAY_BYTES = 256 * 1024;
/** Seqs that one page of a wildcard looks through. */
const WILDCARD_WINDOW = 5_000;

const COLUMNS = `seq, tenant, topic, type, key, data, (extract(epoch from at) * 1000)::bigint as at,
  (extract(epoch from expires_at) * 1000)::bigint as expires_at`;

const EPOCH = '(select name from belfry.epochs order by n desc limit 1)';

/** The events right after a seq, of all tenants, and the epoch they belong to. */
const NEXT = `
  select ${EPOCH} as epoch, page.* from (values (true)) as always left join (
    select ${COLUMNS}, sum(octet_length(data)) over (order by seq) - octet_length(data) as bytes_before
    from belfry.next_events($1, ${TAIL_EVENTS})
  ) as page on bytes_before < ${TAIL_BYTES}
  order by seq`;

/**
 * A page of a replay: `candidate` reads a bounded number of rows; `page` cuts them by bytes; and only then are
 * filtered, superseded and expired ones left out, so that `looked_at` tells how far the page got, whatever it
 * shows. One statement is one snapshot: the floor and the rows belong together.
 *
 * It is not prepared. Planned for its own values it sees the partitions that they lead to and no others, which
 * costs less than a plan for all of them.
 *
 * $1 tenant, $2 topics, $3 after, $4 look up to, $5 limit, $6 types (null: all), $7 collapse, up to $8 (null: the head)
 */
const replay = (candidate: string) => `
  with candidate as (${candidate}
  ), page as materialized (
    select * from (
      select *, sum(octet_length(data)) over (order by seq) - octet_length(data) as bytes_before from candidate
    ) as sized
    where bytes_before < ${REPLAY_BYTES}
  ), shown as (
    select * from page
    where ($6::text[] is null or type = any($6))
      and (expires_at is null or expires_at > now())
      and not ($7 and key is not null and exists (
        select from belfry.events newer
        where newer.tenant = $1 and newer.topic = page.topic and newer.key = page.key
          and newer.seq > page.seq and newer.seq > $3 and ($8::bigint is null or newer.seq <= $8)
          and ($6::text[] is null or newer.type = any($6))))
      and not ($7 and type = '${RETRACTABLE}' and exists (
        select from belfry.events retraction
        where retraction.tenant = $1 and retraction.topic = page.topic and retraction.key = 'retracted ' || page.seq
          and retraction.type = '${RETRACTION}'
          and retraction.seq > page.seq and ($8::bigint is null or retraction.seq <= $8)))
  ), bound as materialized (
    select ${EPOCH} as epoch, belfry.log_floor() as floor, coalesce($8::bigint, belfry.log_head()) as head,
      case when (select count(*) from page) = $5
          or (select count(*) from page) < (select count(*) from candidate)
        then (select max(seq) from page) end as looked_at
  )
  select bound.*, shown.seq, shown.tenant, shown.topic, shown.type, shown.key, shown.data,
    (extract(epoch from shown.at) * 1000)::bigint as at,
    (extract(epoch from shown.expires_at) * 1000)::bigint as expires_at
  from bound left join shown on true
  order by shown.seq`;

/** Topic by topic: see the index events_by_topic for its `seq + 0`. */
const REPLAY_TOPICS = replay(`
    select event.* from unnest($2::text[]) as wanted(topic)
    cross join lateral (
      select * from belfry.events
      where tenant = $1 and topic = wanted.topic and seq > $3 and seq <= $4 and seq + 0 > $3
      order by seq + 0 limit $5
    ) as event
    order by seq limit $5`);

/** By seq pages: a wildcard has no index of its own, and needs none as long as each page looks at a bounded range. */
const REPLAY_WILDCARDS = replay(`
    select * from belfry.events
    where tenant = $1 and seq > $3 and seq <= $4 and ($9 or topic = any($2) or topic ^@ any($10))
    order by seq limit $5`);

export interface ReplayRequest {
  readonly tenant: string;
  readonly filter: TopicFilter;
  /** Events newer than this seq. */
  readonly after: number;
  /** And not newer than this one, which the log has already; left out: up to the head of the page's own snapshot. */
  readonly upTo?: number | undefined;
  /** Whether an event is left out when a newer one up to there has its topic and key and passes the filter. */
  readonly collapse: boolean;
  /** Rows to look at, at most. */
  readonly limit: number;
}

export interface ReplayPage {
  readonly events: readonly LogEvent[];
  /** Everything up to here was looked at: the cursor after this page. */
  readonly cursor: number;
  /** The oldest seq kept, in the page's own snapshot. */
  readonly floor: number;
  /** `upTo`, or else the head in the page's own snapshot. */
  readonly head: number;
  /** The epoch that is being written, in the same snapshot. */
  readonly epoch: string;
}

/** Events right after a seq, and the epoch that is being written, in the same snapshot. */
export interface NextEvents {
  readonly epoch: string;
  readonly events: readonly LogEvent[];
}

/** How far the log goes, where it begins, and the database's clock (ms since 1970). */
export interface Bounds {
  readonly epoch: string;
  readonly floor: number;
  readonly head: number;
  readonly now: number;
}

interface EventRow {
  seq: string;
  tenant: string;
  topic: string;
  type: string;
  key: string | null;
  data: string;
  at: string;
  expires_at: string | null;
}

/** A row of a page, or all that there is when the page shows nothing: its bounds. */
type ReplayRow = (EventRow | { seq: null }) & {
  epoch: string;
  floor: string;
  head: string;
  /** The last row of a page that was cut; null: all was looked at. */
  looked_at: string | null;
};

type NextRow = (EventRow | { seq: null }) & { epoch: string };

/** Reads the log: in order, in bounded pages. */
@Injectable()
export class LogReader {
  private replays = 0;

  constructor(private readonly database: Database) {}

  /** Pages of replays that Postgres was asked for since the start. */
  get replayQueries(): number {
    return this.replays;
  }

  /** The events after a seq, of all tenants, at most one page of them. */
  async next(after: number): Promise<NextEvents> {
    const rows = await this.database.query<NextRow>({ name: 'next', text: NEXT, values: [after] });
    const [first] = rows;
    if (!first) throw new Error('a page always has its epoch');
    return { epoch: first.epoch, events: first.seq === null ? [] : (rows as EventRow[]).map(toEvent) };
  }

  /** The events after a seq that one subscriber is to see, at most one page of them. */
  async replay(request: ReplayRequest): Promise<ReplayPage> {
    const { tenant, filter, after, upTo, collapse, limit } = request;
    const reach = reachOf(request);
    const values = [tenant, filter.topics, after, reach, limit, filter.types, collapse, upTo];
    this.replays++;
    const rows = await this.database.replay<ReplayRow>(
      filter.exact
        ? { text: REPLAY_TOPICS, values }
        : { text: REPLAY_WILDCARDS, values: [...values, filter.everything, filter.prefixes] },
    );
    const [first] = rows;
    if (!first) throw new Error('a replay page always has its bounds');
    const [floor, head] = [Number(first.floor), Number(first.head)];
    const lookedAt = first.looked_at === null ? Math.min(reach, head) : Number(first.looked_at);
    return {
      // Without events there is one row, with the bounds alone.
      events: first.seq === null ? [] : (rows as EventRow[]).map(toEvent),
      // Below the floor there is nothing to look at.
      cursor: Math.max(after, lookedAt, Math.min(head, floor - 1)),
      floor,
      head,
      epoch: first.epoch,
    };
  }

  async bounds(): Promise<Bounds> {
    const [row] = await this.database.query<{ epoch: string; floor: string; head: string; now: string }>({
      name: 'bounds',
      text: `select ${EPOCH} as epoch, belfry.log_floor() as floor, belfry.log_head() as head,
        (extract(epoch from clock_timestamp()) * 1000)::bigint as now`,
    });
    if (!row) throw new Error('a SELECT without FROM returned no row');
    return { epoch: row.epoch, floor: Number(row.floor), head: Number(row.head), now: Number(row.now) };
  }
}

/** How far one page may look. */
export function reachOf({ filter, after, upTo = Number.MAX_SAFE_INTEGER }: ReplayRequest): number {
  return filter.exact ? upTo : Math.min(upTo, after + WILDCARD_WINDOW);
}

function toEvent(row: EventRow): LogEvent {
  return {
    seq: Number(row.seq),
    tenant: row.tenant,
    topic: row.topic,
    type: row.type,
    key: row.key,
    data: row.data,
    at: Number(row.at),
    expiresAt: row.expires_at === null ? null : Number(row.expires_at),
  };
}

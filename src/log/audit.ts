import type pg from 'pg';
import type { Database } from '../database/database.js';
import { isOutage } from '../database/outage.js';
import { Outage } from '../errors/outage.js';

/** The log and what belongs to it, in numbers. Seqs are those of the log, sizes are in bytes. */
export interface LogStatus {
  readonly floor: number;
  readonly head: number;
  readonly epochs: readonly { readonly name: string; readonly forkedAt: number; readonly beganAt: Date }[];
  readonly partitions: readonly {
    readonly name: string;
    readonly from: number;
    /** The last seq that fits. */
    readonly to: number;
    readonly bytes: number;
    /** When its newest event was stored; null: there is none. */
    readonly newestAt: Date | null;
  }[];
  /** Published by SQL and not in the log yet. */
  readonly waiting: number;
  /** Published by SQL and set aside. */
  readonly rejected: number;
  /** Keys of publishers that are remembered; as the planner estimates it. */
  readonly keys: number;
}

const STATUS = `
  select belfry.log_floor() as floor, belfry.log_head() as head,
    (select json_agg(json_build_object('name', name, 'forkedAt', forked_at, 'beganAt', began_at) order by n)
      from belfry.epochs) as epochs,
    (select json_agg(json_build_object('name', p.name, 'from', p.from_seq, 'to', p.to_seq - 1,
        'bytes', pg_total_relation_size(to_regclass('belfry.' || p.name)), 'newestAt', newest.at) order by p.from_seq)
      from belfry.partitions p
      left join lateral (
        select e.at from belfry.events e where e.seq >= p.from_seq and e.seq < p.to_seq order by e.seq desc limit 1
      ) as newest on true) as partitions,
    (select count(*) from belfry.outbox) as waiting,
    (select count(*) from belfry.outbox_rejected) as rejected,
    (select greatest(reltuples, 0) from pg_class where oid = 'belfry.dedupe'::regclass) as keys`;

/** One row for each thing that is wrong. Each check says what it looks at; together they see one snapshot. */
const FAULTS = `
  with part as (
    -- By scanning all of it.
    select p.name, p.from_seq, p.to_seq, found.*
    from belfry.partitions p
    cross join lateral (
      select count(*) as events, min(e.seq) as oldest, max(e.seq) as newest
      from belfry.events e where e.seq >= p.from_seq and e.seq < p.to_seq
    ) as found
  ), attached as (
    select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'belfry.events'::regclass
  ), drain as (
    select (d).* from (select belfry.newest_drain() as d) as newest
  )
  select format('the log was cut off before %s and begins with %s', cut, oldest) as fault
    from (select min(oldest) as oldest, (select max(seq) from belfry.floors) as cut from part) as p where oldest <> cut
  union all
  select format('the seqs %s to %s of partition %s hold %s events: some are missing', oldest, newest, name, events)
    from part where events <> newest - oldest + 1
  union all
  select format('partition %s goes on after %s with %s: what was between is missing', name, before, oldest)
    from (select name, oldest, lag(newest) over (order by from_seq) as before from part where events > 0) as p
    where oldest <> before + 1
  union all
  select format('the partition before %s does not end where it begins', name)
    from (select name, from_seq, lag(to_seq) over (order by from_seq) as ends from part) as p where ends <> from_seq
  union all
  select format('partition %s is known and not attached', p.name) from part p
    where not exists (select from attached a where a.name = p.name
      and a.bound = format('FOR VALUES FROM (''%s'') TO (''%s'')', p.from_seq, p.to_seq))
  union all
  select format('partition %s is attached and not known', a.name) from attached a
    where not exists (select from part p where p.name = a.name)
  union all
  select format('epoch %s began after seq %s, and the log ends at %s', name, forked_at, belfry.log_head())
    from belfry.epochs where forked_at > belfry.log_head()
  union all
  select format('event %s of the outbox will never be looked at', o.id) from belfry.outbox o, drain d
    where pg_visible_in_snapshot(o.xid, d.seen)
      or pg_visible_in_snapshot(o.xid, d.upto) and not (o.id > d.moved and o.id <= d.newest)
  union all
  select format('event %s of the outbox is of a transaction that this cluster never had', o.id) from belfry.outbox o
    where o.xid >= pg_snapshot_xmax(pg_current_snapshot())
  union all
  select format('a key of tenant %s stands for seq %s, and the log ends at %s', tenant, seq, belfry.log_head())
    from (select tenant, seq from belfry.dedupe where seq > belfry.log_head() limit 10) as k`;

interface StatusRow {
  readonly floor: string;
  readonly head: string;
  readonly epochs: { name: string; forkedAt: number; beganAt: string }[];
  readonly partitions:
    { name: string; from: number; to: number; bytes: number; newestAt: string | null }[] | null;
  readonly waiting: string;
  readonly rejected: string;
  readonly keys: number;
}

/** Looks at the log as a whole, for its operator. What it asks may read all of it. */
export class LogAudit {
  constructor(private readonly database: Database) {}

  async status(): Promise<LogStatus> {
    const [row] = await this.ask<StatusRow>(STATUS);
    if (!row) throw new Error('a SELECT without FROM returned no row');
    const { floor, head, epochs, partitions, waiting, rejected, keys } = row;
    return {
      floor: Number(floor),
      head: Number(head),
      epochs: epochs.map(epoch => ({ ...epoch, beganAt: new Date(epoch.beganAt) })),
      partitions: (partitions ?? []).map(part => ({
        ...part,
        newestAt: part.newestAt === null ? null : new Date(part.newestAt),
      })),
      waiting: Number(waiting),
      rejected: Number(rejected),
      keys: Math.round(keys),
    };
  }

  /** @returns a sentence for each thing that is not as it must be */
  async faults(): Promise<string[]> {
    return (await this.ask<{ fault: string }>(FAULTS)).map(({ fault }) => fault);
  }

  /** Begins another epoch at the head. */
  async fork(): Promise<void> {
    await this.ask(
      'begin isolation level read committed; select belfry.lock_log(); select belfry.fork(); commit',
    );
  }

  /** In a session of its own, because it may take as long as it takes. */
  private async ask<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
    const client = this.database.session('belfry-audit');
    try {
      await client.connect();
      return (await client.query<Row>(text)).rows;
    } catch (error) {
      throw isOutage(error) ? new Outage(error) : error;
    } finally {
      await this.database.close(client);
    }
  }
}

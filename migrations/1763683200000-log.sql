-- The log: one dense, append-only sequence of events of all tenants. All of it is in the schema belfry.

-- `data` is text, not jsonb: jsonb reorders keys and refuses valid JSON such as "\u0000", and what is replayed
-- must equal what was heard live byte for byte. `batch` and `batch_index` say which append call stored the row,
-- and as which of its events; that is how an append whose answer was lost is looked for.
create table belfry.events (
  seq bigint not null,
  tenant text not null,
  topic text not null,
  type text not null,
  key text,
  data text not null,
  at timestamptz not null,
  expires_at timestamptz,
  batch uuid not null,
  batch_index integer not null,
  constraint events_pkey primary key (seq)
) partition by range (seq);
-- `seq + 0` is seq, but an order that the primary key cannot give: a planner that takes a quiet topic for a busy one
-- would rather walk the whole log by primary key, in the hope of meeting the topic soon.
create index events_by_topic on belfry.events (tenant, topic, (seq + 0));
create index events_by_key on belfry.events (tenant, topic, key, seq) where key is not null;

-- Which history is being written: the cluster, its timeline and the table. A promotion begins a timeline, and the one of
-- the WAL is asked for because that of the control file follows only with the next checkpoint; a dump restored elsewhere
-- has another cluster, and one restored in place another table.
create function belfry.identity() returns text
language plpgsql volatile
as $$
begin
  return (select system_identifier from pg_control_system()) || '-'
    || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '-' || 'belfry.events'::regclass::oid;
end
$$;
comment on function belfry.identity() is 'The cluster, its timeline and the oid of the log.';

-- Each unforked history of the log has a random name, the first half of every cursor. A cursor of an earlier
-- epoch is still good up to every fork point after that epoch.
create table belfry.epochs (
  n integer generated always as identity,
  name text not null,
  -- The newest seq that this epoch shares with the one before it.
  forked_at bigint not null,
  began_at timestamptz not null default clock_timestamp(),
  -- See belfry.identity.
  identity text not null,
  constraint epochs_pkey primary key (n),
  constraint epochs_name_key unique (name)
);
insert into belfry.epochs (name, forked_at, identity)
values (substr(replace(gen_random_uuid()::text, '-', ''), 1, 12), 0, belfry.identity());

-- Which partitions exist: seqs from from_seq up to, but not including, to_seq.
create table belfry.partitions (
  name text not null,
  from_seq bigint not null,
  to_seq bigint not null,
  constraint partitions_pkey primary key (name),
  constraint partitions_range check (from_seq < to_seq)
);

-- The oldest seq still kept. Inserted, never updated; the largest counts. While the log is empty it says where the log goes
-- on; otherwise the oldest and the newest row speak for themselves.
create table belfry.floors (
  seq bigint not null,
  set_at timestamptz not null default now(),
  constraint floors_pkey primary key (seq)
);
insert into belfry.floors (seq) values (1);

-- What was published under a key of the publisher's: `request:<Idempotency-Key>` with the place of the event in
-- its request, or `event:<dedupeId>` with place 0. The digest tells a repeat from another body.
create table belfry.dedupe (
  tenant text not null,
  id text not null,
  place integer not null,
  digest text not null,
  seq bigint not null,
  stored_at timestamptz not null default now(),
  constraint dedupe_pkey primary key (tenant, id, place)
);
create index dedupe_by_age on belfry.dedupe (stored_at);

-- Append calls that were given up before they happened: should one wake up after all, it fails on its row here.
create table belfry.voided_batches (
  id uuid not null,
  voided_at timestamptz not null default now(),
  constraint voided_batches_pkey primary key (id)
);

-- The oldest or the newest row is looked for partition by partition, and in the partition itself: so each query plans and
-- locks one table and not all of them, of which there may be hundreds. That is why it runs as the owner, who alone may read
-- a partition other than through the log.
create function belfry.log_edge(newest boolean) returns bigint
language plpgsql stable
security definer set search_path = pg_catalog, pg_temp
as $$
declare
  part name;
  found_seq bigint;
  -- Under an old snapshot, what was deleted before it stays in the indexes and is not to be walked through each time.
  floor bigint := (select max(f.seq) from belfry.floors f);
begin
  for part in select p.name from belfry.partitions p order by case when newest then -p.from_seq else p.from_seq end loop
    -- Those to come are files without a page.
    continue when pg_relation_size(to_regclass('belfry.' || part)) = 0;
    begin
      execute format('select seq from belfry.%I where seq >= %s order by seq %s limit 1', part, floor,
        case when newest then 'desc' else 'asc' end)
      into found_seq;
    exception when undefined_table then
      -- Dropped since its name was read.
      continue;
    end;
    exit when found_seq is not null;
  end loop;
  return found_seq;
end
$$;
comment on function belfry.log_edge(boolean) is 'The seq of the newest row, or of the oldest; null when there is none.';

create function belfry.log_head() returns bigint
language sql stable
as $$ select coalesce(belfry.log_edge(true), (select max(seq) - 1 from belfry.floors)) $$;
comment on function belfry.log_head() is 'The newest seq of the log; 0 when nothing was ever stored.';

create function belfry.log_floor() returns bigint
language sql stable
as $$ select coalesce(belfry.log_edge(false), (select max(seq) from belfry.floors)) $$;
comment on function belfry.log_floor() is 'The oldest seq still kept; head + 1 when the log is empty.';

-- The next events after a seq, of all tenants. By the primary key, whatever the statistics say: a plan of a session that is from
-- when a partition was short reads all of it, until somebody has counted its rows anew.
create function belfry.next_events(after bigint, most integer) returns setof belfry.events
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
begin
  return query select e.* from belfry.events e where e.seq > next_events.after order by e.seq limit next_events.most;
end
$$;

-- Whoever appends holds this lock, and only within one server-side call, so that no client round trip and no
-- transaction of a caller's is ever waited for. Every statement after it sees all earlier appends, because in a
-- READ COMMITTED session each statement of a VOLATILE function takes a snapshot of its own.
create function belfry.lock_log() returns void
language plpgsql volatile
-- Here and not in the session, which may be a pooler's: whoever gave up waiting leaves no backend waiting for long.
set lock_timeout = '5s'
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'the log is appended to in READ COMMITTED transactions only'
      using errcode = 'active_sql_transaction';
  end if;
  perform pg_advisory_xact_lock(1650815078, 1);
  -- What is acknowledged, or heard by anybody, is on disk, whatever the default is here; for this transaction, since the
  -- session may be a pooler's.
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
end
$$;

-- The functions from here to belfry.append are called under that lock.

-- What was committed after the newest row may be gone, and its seqs given out again.
create function belfry.fork() returns text
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
declare
  epoch text;
begin
  insert into belfry.epochs (name, forked_at, identity)
  values (substr(replace(gen_random_uuid()::text, '-', ''), 1, 12), belfry.log_head(), belfry.identity())
  returning name into epoch;
  -- The transactions of another cluster have other numbers: what waits in the outbox gets one of this cluster's.
  insert into belfry.drains (seen) values ('1:1:');
  update belfry.outbox set xid = pg_current_xact_id();
  return epoch;
end
$$;
comment on function belfry.fork() is 'Begins an epoch at the head of the log, and returns its name.';

create function belfry.current_epoch() returns text
language plpgsql volatile
as $$
declare
  newest belfry.epochs;
begin
  select * into newest from belfry.epochs e order by e.n desc limit 1;
  return case when newest.identity = belfry.identity() then newest.name else belfry.fork() end;
end
$$;
comment on function belfry.current_epoch() is 'The epoch to append to; a new one when this is not the history that the last one was written in.';

-- Stores the events of one batch, all or none, as the next seqs of the log: see belfry.append.
create function belfry.store(
  batch uuid, keyed boolean,
  requests integer[], places integer[], tenants text[], topics text[], types text[], keys text[], data text[],
  expiries timestamptz[], request_keys text[], request_digests text[], dedupe_ids text[], dedupe_digests text[],
  out at_ms bigint, out head bigint, out seqs bigint[], out known boolean[], out mismatched integer[])
language plpgsql volatile
-- Keys are looked up by the index, one by one. Postgres plans for the few keys that it has counted last, and would go through
-- all of them when there are many by now.
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
declare
  moment timestamptz := date_trunc('milliseconds', clock_timestamp());
begin
  store.head := belfry.log_head();
  store.at_ms := extract(epoch from moment) * 1000;

  if not store.keyed then
    insert into belfry.events (seq, tenant, topic, type, key, data, at, expires_at, batch, batch_index)
    select store.head + e.n, e.tenant, e.topic, e.type, e.key, e.data, moment, e.expires_at, store.batch, e.n
    from unnest(store.tenants, store.topics, store.types, store.keys, store.data, store.expiries)
      with ordinality as e(tenant, topic, type, key, data, expires_at, n);
    return;
  end if;

  with event as (
    select e.*,
      whole.seq as request_seq, single.seq as single_seq, coalesce(whole.seq, single.seq) as known_seq,
      coalesce(whole.digest <> e.request_digest, false)
        or coalesce(single.digest <> e.dedupe_digest, false) as mismatch
    from unnest(store.requests, store.places, store.tenants, store.topics, store.types, store.keys,
        store.data, store.expiries, store.request_keys, store.request_digests, store.dedupe_ids,
        store.dedupe_digests)
      with ordinality as e(request, place, tenant, topic, type, key,
        data, expires_at, request_key, request_digest, dedupe_id,
        dedupe_digest, n)
    left join lateral (
      select d.seq, d.digest from belfry.dedupe d
      where d.tenant = e.tenant and d.id = 'request:' || e.request_key and d.place = e.place limit 1
    ) as whole on true
    left join lateral (
      select d.seq, d.digest from belfry.dedupe d
      where d.tenant = e.tenant and d.id = 'event:' || e.dedupe_id and d.place = 0 limit 1
    ) as single on true
  ), judged as (
    select *, bool_or(mismatch) over (partition by request) as refused from event
  ), placed as (
    select *, case when not refused then coalesce(known_seq,
      store.head + count(*) filter (where known_seq is null and not refused) over (order by n)) end as seq
    from judged
  ), stored as (
    insert into belfry.events (seq, tenant, topic, type, key, data, at, expires_at, batch, batch_index)
    select p.seq, p.tenant, p.topic, p.type, p.key, p.data, moment, p.expires_at, store.batch, p.n
    from placed p where p.known_seq is null and not p.refused
  ), remembered as (
    insert into belfry.dedupe (tenant, id, place, digest, seq)
    select p.tenant, 'request:' || p.request_key, p.place, p.request_digest, p.seq
    from placed p where p.request_key is not null and p.request_seq is null and not p.refused
    union all
    select p.tenant, 'event:' || p.dedupe_id, 0, p.dedupe_digest, p.seq
    from placed p where p.dedupe_id is not null and p.single_seq is null and not p.refused
  )
  select array_agg(p.seq order by p.n), array_agg(p.known_seq is not null order by p.n),
    coalesce(array_agg(p.n::integer order by p.n) filter (where p.mismatch), '{}')
  into store.seqs, store.known, store.mismatched
  from placed p;
end
$$;

-- The append call of the HTTP door: locks the log and stores the events of one batch, all or none, as its next seqs. What
-- was committed through the SQL door before comes before them (see belfry.drain_before).
--
-- One array element per event: `requests` numbers the request it belongs to, `places` its place in that request.
-- `request_keys` and `dedupe_ids` are null where the publisher gave none; within one batch no key may occur in
-- two requests, and no dedupe id twice. A request of which any key is known with another digest is left out.
--
-- Returns the epoch, the time given to the events (ms since 1970), the head before the first of them and, unless
-- nothing had a key (then the seqs are head + 1, head + 2, …), for each event its seq (null: left out) and
-- whether it was known already, with the indexes (from 1) of the events whose key had another digest. And how many rows
-- of the outbox it moved, those that were set aside among them.
create function belfry.append(
  batch uuid, keyed boolean,
  requests integer[], places integer[], tenants text[], topics text[], types text[], keys text[], data text[],
  expiries timestamptz[], request_keys text[], request_digests text[], dedupe_ids text[], dedupe_digests text[],
  out epoch text, out at_ms bigint, out head bigint,
  out seqs bigint[], out known boolean[], out mismatched integer[], out moved integer, out rejected integer)
language plpgsql volatile
as $$
begin
  perform belfry.lock_log();

  if exists (select from belfry.voided_batches v where v.id = append.batch) then
    raise exception 'batch % was given up before it was stored', append.batch using errcode = 'BF001';
  end if;
  append.epoch := belfry.current_epoch();
  select d.moved, d.rejected into append.moved, append.rejected from belfry.drain_before() d;
  select s.at_ms, s.head, s.seqs, s.known, s.mismatched
  into append.at_ms, append.head, append.seqs, append.known, append.mismatched
  from belfry.store(append.batch, append.keyed, append.requests, append.places, append.tenants, append.topics,
    append.types, append.keys, append.data, append.expiries, append.request_keys, append.request_digests,
    append.dedupe_ids, append.dedupe_digests) s;
end
$$;

-- Finds out what became of a batch whose answer was lost. Returns its rows if it was stored; if not, makes sure
-- that it never will be, should its backend still be waiting for the lock. `after` is a seq known to be older
-- than the batch.
create function belfry.settle_batch(batch uuid, after bigint)
returns table (batch_index integer, seq bigint, epoch text)
language plpgsql volatile
as $$
declare
  present text;
begin
  perform belfry.lock_log();
  present := belfry.current_epoch();
  return query
    select e.batch_index, e.seq, present
    from belfry.events e
    where e.seq > settle_batch.after and e.batch = settle_batch.batch
    order by e.seq;
  if not found then
    delete from belfry.voided_batches v where v.voided_at < now() - interval '1 day';
    insert into belfry.voided_batches (id) values (settle_batch.batch) on conflict do nothing;
  end if;
end
$$;

-- What an instance calls that knows the epochs up to one, and everything up to a seq of that, before it reads on: if the log is
-- written elsewhere now, has lost the newest of them or does not reach that far any more, another epoch begins.
create function belfry.check_epoch(known text[], seq bigint) returns void
language plpgsql volatile
as $$
declare
  present text;
begin
  perform belfry.lock_log();
  present := belfry.current_epoch();
  if present = any (check_epoch.known)
    and (present <> check_epoch.known[cardinality(check_epoch.known)] or belfry.log_head() < check_epoch.seq)
  then
    perform belfry.fork();
  end if;
end
$$;

-- Adds partitions of `size` seqs until `ahead` seqs past the head are covered, and returns the first seq that has
-- no partition. They are made as plain tables and attached: CREATE TABLE … PARTITION OF would wait for every open
-- reader of the log and hold up all appends behind it, ATTACH waits for no reader and no writer.
--
-- They belong to whoever owns the log. The service calls this and may be somebody else.
create function belfry.extend_log(size bigint, ahead bigint) returns bigint
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
declare
  first bigint;
  child text;
begin
  perform pg_advisory_xact_lock(1650815078, 2);
  loop
    select coalesce(max(p.to_seq), 1) into first from belfry.partitions p;
    if first > belfry.log_head() + extend_log.ahead then
      return first;
    end if;
    child := 'events_' || first;
    execute format('create table belfry.%I (like belfry.events including all, constraint %I check (seq >= %s and seq < %s))',
      child, child || '_range', first, first + extend_log.size);
    execute format('alter table belfry.events attach partition belfry.%I for values from (%s) to (%s)',
      child, first, first + extend_log.size);
    execute format('alter table belfry.%I drop constraint %I', child, child || '_range');
    insert into belfry.partitions (name, from_seq, to_seq) values (child, first, first + extend_log.size);
  end loop;
end
$$;

-- Drops the oldest partition when it is full and the last event in it is older than `keep`, and returns the first seq that
-- is kept then; null when nothing was dropped. To drop it, nobody may be reading the log: that is waited for so briefly that
-- nobody waits long behind it (lock_not_available).
create function belfry.trim_log(keep interval) returns bigint
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp set lock_timeout = '50ms'
as $$
declare
  oldest belfry.partitions;
  newest_at timestamptz;
begin
  -- One at a time; and none is attached meanwhile.
  perform pg_advisory_xact_lock(1650815078, 2);
  select * into oldest from belfry.partitions p order by p.from_seq limit 1;
  if not found or oldest.to_seq > belfry.log_head() + 1 then
    return null;
  end if;
  execute format('select at from belfry.%I order by seq desc limit 1', oldest.name) into newest_at;
  if newest_at > clock_timestamp() - trim_log.keep then
    return null;
  end if;
  -- The last partition may hold the head, which is then what `floors` says; no snapshot covers both. So whoever acts on the
  -- head is kept out.
  perform pg_advisory_xact_lock(1650815078, 1);
  execute format('drop table belfry.%I', oldest.name);
  delete from belfry.partitions p where p.name = oldest.name;
  delete from belfry.floors;
  insert into belfry.floors (seq) values (oldest.to_seq);
  return oldest.to_seq;
end
$$;
comment on function belfry.trim_log(interval) is 'Drops the oldest partition if all of it has expired; returns the new floor.';

-- A partition that is not full cannot be dropped, and a slow log takes months to fill one. So what is older than `keep` in
-- the partition of the head is deleted, the oldest first and so many at most; returns how many. A log that fills a partition
-- before its first event expires has nothing to delete, and one that does not has no more than a partition's events to
-- delete in the whole of `keep`. Nobody waits for it.
create function belfry.delete_expired(keep interval, most integer) returns integer
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp set lock_timeout = '50ms'
as $$
declare
  oldest belfry.partitions;
  first bigint;
  last bigint;
  deleted integer;
begin
  perform pg_advisory_xact_lock(1650815078, 2);
  select * into oldest from belfry.partitions p order by p.from_seq limit 1;
  if not found or oldest.to_seq <= belfry.log_head() + 1 then
    return 0;
  end if;
  first := belfry.log_floor();
  -- Up to the first that has not expired, and not by time alone: the log has no holes, even when a clock was set back.
  execute format(
    'select coalesce(min(seq) filter (where at > $1) - 1, max(seq))
    from (select seq, at from belfry.%I where seq >= $2 order by seq limit $3) as e', oldest.name)
  into last using clock_timestamp() - delete_expired.keep, first, delete_expired.most;
  execute format('delete from belfry.%I where seq between $1 and $2', oldest.name) using first, last;
  get diagnostics deleted = row_count;
  if deleted > 0 then
    delete from belfry.floors;
    insert into belfry.floors (seq) values (last + 1);
  end if;
  return deleted;
end
$$;
comment on function belfry.delete_expired(interval, integer) is
  'Deletes expired events of a partition that is not full, so many at most; returns how many.';

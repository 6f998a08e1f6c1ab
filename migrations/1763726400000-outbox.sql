-- The SQL door: belfry.publish inside a transaction of the caller's writes to the outbox, and from there the instances move
-- the events to the log once that transaction is committed.

-- What a publisher may send, as the service was configured when it last began; one row.
create table belfry.limits (
  only_row boolean not null default true,
  max_data_bytes integer not null default 65536,
  constraint limits_pkey primary key (only_row),
  constraint limits_one_row check (only_row)
);
insert into belfry.limits default values;

-- Roles that were let in to publish. With a tenant: to that one only.
create table belfry.publishers (
  role name not null,
  tenant text,
  constraint publishers_pkey primary key (role)
);

-- Ids are in the order of the calls that published; a row is there from its commit until it is moved to the log.
create table belfry.outbox (
  id bigint not null generated always as identity,
  xid xid8 not null default pg_current_xact_id(),
  tenant text not null,
  topic text not null,
  type text not null,
  key text,
  data json not null,
  expires_at timestamptz,
  dedupe_id text,
  -- That it can be an event was found out when it was published. What got in by another way is looked at when it is moved.
  checked boolean not null default false,
  constraint outbox_pkey primary key (id)
);
create index outbox_by_xid on belfry.outbox (xid, id);

-- What could not be moved to the log, and why.
create table belfry.outbox_rejected (
  id bigint not null,
  tenant text not null,
  topic text not null,
  type text not null,
  key text,
  data json not null,
  expires_at timestamptz,
  dedupe_id text,
  reason text not null,
  rejected_at timestamptz not null default now(),
  constraint outbox_rejected_pkey primary key (id)
);

-- How far the outbox was moved: the newest row counts, and none is updated. Under an old snapshot, such as that of a dump,
-- the rows that were moved stay in the index of the outbox as dead ones. So what is new is not looked for by id, but by
-- transaction: the window of those that are visible now and were not in the last snapshot, as PgQ does it.
create table belfry.drains (
  n bigint not null generated always as identity,
  -- Every row that is visible in this snapshot was moved.
  seen pg_snapshot not null,
  -- A window that is too large for one call: rows that are visible in `upto` and not in `seen`. Those with ids up to
  -- `moved` were moved, and none has an id above `newest`.
  upto pg_snapshot,
  moved bigint,
  newest bigint,
  constraint drains_pkey primary key (n),
  constraint drains_window check (num_nulls(upto, moved, newest) in (0, 3))
);
insert into belfry.drains (seen) values ('1:1:');

-- For what a type, a key and a dedupe id may be.
create function belfry.is_name(name text) returns boolean
language sql immutable
as $$ select name <> '' and length(name) <= 200 and name !~ '[\u0001-\u001f\u007f]' $$;

-- More than 64 arrays and objects in each other. Most data shows by its size or its brackets that it is not.
create function belfry.is_deep(data text) returns boolean
language sql immutable
as $$
  select length(data) > 128 and length(data) - length(translate(data, '[{', '')) > 64
    and jsonb_path_exists(data::jsonb, 'strict $.**{64} ? (@.type() == "array" || @.type() == "object")')
$$;

-- Why an event cannot be published, in the words of the HTTP door where it has one; null: it can.
create function belfry.event_fault(
  tenant text, topic text, type text, key text, data text, expires_at timestamptz, dedupe_id text, max_data_bytes integer
) returns text
language plpgsql immutable
as $$
begin
  return case
    when tenant is null or tenant !~ '^[A-Za-z0-9._~-]{1,100}$' then 'tenant-invalid'
    when topic is null or length(topic) > 200
      or topic <> 'all' and topic !~ '^[A-Za-z0-9._~/@|+=%-]+:[A-Za-z0-9._~/@|+=%-]+$' then 'topic-invalid'
    when type is null or not belfry.is_name(type) then 'type-invalid'
    when not belfry.is_name(key) then 'key-invalid'
    when not belfry.is_name(dedupe_id) then 'dedupe-id-invalid'
    when expires_at not between '0001-01-01Z' and '9999-12-31T23:59:59.999Z' then 'expires-at-invalid'
    when octet_length(data) > max_data_bytes then 'data-too-large'
    when data ~ '[\r\n]' or belfry.is_deep(data) then 'data-invalid'
  end;
end
$$;

-- The tenant that whoever is connected publishes to, who named this one or left it at the default.
create function belfry.admitted_tenant(tenant text) returns text
language plpgsql stable
as $$
declare
  publisher name;
  -- Tenants; a null among them stands for any.
  tenants text[];
begin
  -- The role that was taken with SET ROLE counts, or else the one that is logged in; current_user is the owner here. Of each:
  -- what it was let in to itself, or else what the groups were whose rights it has. Who has the owner's rights is free.
  foreach publisher in array array_remove(array[nullif(current_setting('role'), 'none'), session_user], null) loop
    select array[p.tenant] into tenants from belfry.publishers p where p.role = publisher;
    exit when found or pg_has_role(publisher, current_user, 'usage');
    select array_agg(distinct p.tenant) into tenants
    from belfry.publishers p join pg_roles r on r.rolname = p.role where pg_has_role(publisher, r.oid, 'usage');
    exit when tenants is not null;
  end loop;
  if array_position(tenants, null) is null and admitted_tenant.tenant <> all (tenants) then
    if admitted_tenant.tenant <> 'default' or cardinality(tenants) > 1 then
      raise exception 'tenant-forbidden: the role "%" publishes to the tenant "%" only',
        publisher, array_to_string(tenants, '" or "') using errcode = 'BF019';
    end if;
    return tenants[1];
  end if;
  return admitted_tenant.tenant;
end
$$;

-- Raises why an event cannot be published.
create function belfry.check_event(
  tenant text, topic text, type text, key text, data text, expires_at timestamptz, dedupe_id text
) returns void
language plpgsql stable
as $$
declare
  most integer;
  fault text;
begin
  select l.max_data_bytes into most from belfry.limits l;
  fault := belfry.event_fault(check_event.tenant, check_event.topic, check_event.type, check_event.key, check_event.data,
    check_event.expires_at, check_event.dedupe_id, most);
  if fault is null then
    return;
  end if;
  raise exception '%', fault || ': ' || case fault
    when 'tenant-invalid' then 'a tenant is 1 to 100 characters of A-Z a-z 0-9 . _ ~ -'
    when 'topic-invalid' then
      'a topic is kind:id, such as user:42, or "all": 1 to 200 characters of A-Z a-z 0-9 . _ ~ - / @ | + = % and '
      'exactly one colon between kind and id'
    when 'expires-at-invalid' then 'expires_at is a time in the years 1 to 9999'
    when 'data-too-large' then
      format('data has %s bytes and may have %s; publish a reference instead', octet_length(check_event.data), most)
    when 'data-invalid' then 'data nests deeper than 64 levels'
    else 'a type, a key or a dedupe id is text of 1 to 200 characters without control characters'
  end using errcode = case fault
    when 'tenant-invalid' then 'BF010'
    when 'topic-invalid' then 'BF011'
    when 'type-invalid' then 'BF012'
    when 'key-invalid' then 'BF014'
    when 'dedupe-id-invalid' then 'BF015'
    when 'expires-at-invalid' then 'BF016'
    when 'data-too-large' then 'BF017'
    else 'BF018'
  end;
end
$$;

-- Puts an event that was checked into the outbox, and rings for the instances.
create function belfry.put(
  tenant text, topic text, type text, key text, data text, expires_at timestamptz, dedupe_id text
) returns void
language plpgsql volatile
as $$
declare
  xid xid8;
begin
  insert into belfry.outbox as o (tenant, topic, type, key, data, expires_at, dedupe_id, checked)
  values (put.tenant, put.topic, put.type, put.key, put.data::json, put.expires_at, put.dedupe_id, true)
  returning o.xid into xid;

  -- A NOTIFY holds a lock of the whole cluster across the flush of its commit. So only a few of the transactions that are
  -- open at a time ring; the others count on them, and on the polls of the instances.
  if current_setting('belfry.rang', true) is distinct from xid::text
    and coalesce(nullif(current_setting('belfry.ring', true), ''), 'on')::boolean
  then
    for slot in 11..14 loop
      if pg_try_advisory_xact_lock(1650815078, slot) then
        perform pg_notify('belfry_outbox', '');
        perform set_config('belfry.rang', xid::text, true);
        exit;
      end if;
    end loop;
  end if;
end
$$;

-- Publishes an event of whoever is connected.
create function belfry.enqueue(
  tenant text, topic text, type text, key text, data text, expires_at timestamptz, dedupe_id text
) returns void
language plpgsql volatile
as $$
begin
  enqueue.tenant := belfry.admitted_tenant(enqueue.tenant);
  perform belfry.check_event(enqueue.tenant, enqueue.topic, enqueue.type, enqueue.key, enqueue.data, enqueue.expires_at,
    enqueue.dedupe_id);
  perform belfry.put(enqueue.tenant, enqueue.topic, enqueue.type, enqueue.key, enqueue.data, enqueue.expires_at,
    enqueue.dedupe_id);
end
$$;

create function belfry.publish(
  topic text, type text, data jsonb, tenant text default 'default', key text default null,
  expires_at timestamptz default null, dedupe_id text default null
) returns void
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if publish.type ~ '^(ready|reset|end|heartbeat|error|open|message)$|^(notification|inbox|job)\.' then
    raise exception 'type-reserved: the type "%" belongs to Belfry itself; choose another', publish.type
      using errcode = 'BF013';
  end if;
  perform belfry.enqueue(publish.tenant, publish.topic, publish.type, publish.key,
    coalesce(publish.data, 'null')::text, publish.expires_at, publish.dedupe_id);
end
$$;
comment on function belfry.publish(text, text, jsonb, text, text, timestamptz, text) is
  'Publishes an event when, and only if, the transaction commits. SET LOCAL belfry.ring = off for PREPARE TRANSACTION.';

-- The rows of a window are those that are visible in `upto` and not in `seen`. The functions that look for them are called
-- with a fixed choice of plans, because what the statistics say of this table is never true: mostly it is empty. They are
-- not compiled either: up to Postgres 17, what is planned against such a choice has a cost at which it would be, each time.

create function belfry.next_xid(xid xid8) returns xid8
language sql immutable
as $$ select (xid::text::numeric + 1)::text::xid8 $$;

-- The ids of some of them, in no order, found by transaction. Not among those that are still running: what they have
-- published so far may be a lot, and every append would look at it in vain.
create function belfry.window_ids(seen pg_snapshot, upto pg_snapshot, most integer) returns setof bigint
language plpgsql stable
as $$
declare
  next xid8 := pg_snapshot_xmax(window_ids.seen);
  running xid8;
begin
  return query
    select o.id from belfry.outbox o
    where o.xid = any (array(
      select t.xid from pg_snapshot_xip(window_ids.seen) as t(xid) where pg_visible_in_snapshot(t.xid, window_ids.upto)))
    limit window_ids.most;
  for running in
    select t.xid from pg_snapshot_xip(window_ids.upto) as t(xid) where t.xid >= next
    union all select pg_snapshot_xmax(window_ids.upto)
    order by 1
  loop
    return query
      select o.id from belfry.outbox o where o.xid >= next and o.xid < running limit window_ids.most;
    next := belfry.next_xid(running);
  end loop;
end
$$;

-- Those of a large window that come next.
create function belfry.window_ids(drain belfry.drains, most integer) returns setof bigint
language plpgsql stable
as $$
begin
  return query
    select o.id from belfry.outbox o
    where o.id > drain.moved and o.id <= drain.newest
      and (o.xid >= pg_snapshot_xmax(drain.seen) or o.xid = any (array(select pg_snapshot_xip(drain.seen))))
      and pg_visible_in_snapshot(o.xid, drain.upto)
    order by o.id
    limit window_ids.most;
end
$$;

-- The lowest of them: the first row of each transaction says, and the index leads from one transaction to the next.
create function belfry.window_start(seen pg_snapshot, upto pg_snapshot) returns bigint
language plpgsql stable
as $$
declare
  lowest bigint;
  first record;
  next xid8 := pg_snapshot_xmax(window_start.seen);
  running xid8;
begin
  select min(o.id) into lowest
  from pg_snapshot_xip(window_start.seen) as t(xid)
  cross join lateral (
    select b.id from belfry.outbox b where b.xid = t.xid order by b.xid, b.id limit 1
  ) as o
  where pg_visible_in_snapshot(t.xid, window_start.upto);
  for running in
    select t.xid from pg_snapshot_xip(window_start.upto) as t(xid) where t.xid >= next
    union all select pg_snapshot_xmax(window_start.upto)
    order by 1
  loop
    loop
      select o.xid, o.id into first from belfry.outbox o
      where o.xid >= next and o.xid < running order by o.xid, o.id limit 1;
      exit when not found;
      lowest := least(lowest, first.id);
      next := belfry.next_xid(first.xid);
    end loop;
    next := belfry.next_xid(running);
  end loop;
  return lowest;
end
$$;

create function belfry.newest_drain() returns belfry.drains
language sql stable
set enable_seqscan = off set jit = off
as $$ select d from belfry.drains d order by d.n desc limit 1 $$;

create function belfry.outbox_waits(drain belfry.drains) returns boolean
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
begin
  return drain.upto is not null or exists (select belfry.window_ids(drain.seen, pg_current_snapshot(), 1));
end
$$;
comment on function belfry.outbox_waits(belfry.drains) is 'True when there are committed rows in the outbox.';

-- What an event said, to tell a repeat from another event under the same dedupe id.
create function belfry.outbox_digest(topic text, type text, key text, data text, expires_at timestamptz) returns text
language sql immutable
as $$
  select 'sql:' || left(encode(sha256(convert_to(
    jsonb_build_array(topic, type, key, data, extract(epoch from expires_at))::text, 'UTF8')), 'base64'), 22)
$$;

-- Moves the next rows of the outbox to the log, in the order of their ids: at most so many, and about 1 MiB of data. The
-- caller holds the lock of the log. Rows that cannot be events go to outbox_rejected; with a fault, all of them do.
create function belfry.drain_chunk(
  most integer, fault text default null,
  out moved integer, out rejected integer, out more boolean
)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  drain belfry.drains := belfry.newest_drain();
  is_open boolean := drain.upto is not null;
  waiting bigint[];
  -- Those of this chunk, in order; good ones have no reason.
  chunk belfry.outbox_rejected[];
begin
  if not is_open then
    drain.upto := pg_current_snapshot();
    waiting := array(select belfry.window_ids(drain.seen, drain.upto, drain_chunk.most + 1));
    select 0, max(i) into drain.moved, drain.newest from unnest(waiting) as i;
    if cardinality(waiting) > drain_chunk.most then
      drain.moved := belfry.window_start(drain.seen, drain.upto) - 1;
      -- Whoever is visible took its ids before.
      select s.last_value into drain.newest from belfry.outbox_id_seq s;
    end if;
  end if;
  if is_open or cardinality(waiting) > drain_chunk.most then
    waiting := array(select belfry.window_ids(drain, drain_chunk.most + 1));
  end if;

  select array_agg(row(c.id, c.tenant, c.topic, c.type, c.key, c.data, c.expires_at, c.dedupe_id,
    case when drain_chunk.fault is not null then drain_chunk.fault
      when not c.checked then belfry.event_fault(c.tenant, c.topic, c.type, c.key, c.data::text, c.expires_at,
        c.dedupe_id, l.max_data_bytes) end, now())::belfry.outbox_rejected order by c.id)
  into chunk
  from (
    select n.*, sum(octet_length(n.data::text)) over (order by n.id) - octet_length(n.data::text) as bytes_before
    from (
      select o.* from belfry.outbox o where o.id = any (waiting) order by o.id limit drain_chunk.most
    ) as n
  ) as c
  cross join belfry.limits l
  where c.bytes_before < 1048576;

  drain_chunk.moved := coalesce(cardinality(chunk), 0);
  drain_chunk.rejected := 0;
  drain_chunk.more := cardinality(waiting) > drain_chunk.moved;
  if drain_chunk.moved > 0 then
    -- Of those with one dedupe id the first is stored.
    perform from (
      select array_agg(g.n::integer) as n, array_agg(0) as places, array_agg(g.tenant) as tenants,
        array_agg(g.topic) as topics, array_agg(g.type) as types, array_agg(g.key) as keys, array_agg(g.data::text) as data,
        array_agg(g.expires_at) as expiries, array_agg(null::text) as nothing, array_agg(g.dedupe_id) as dedupe_ids,
        array_agg(case when g.dedupe_id is not null
          then belfry.outbox_digest(g.topic, g.type, g.key, g.data::text, g.expires_at) end) as digests
      from (
        select r.* from (
          select u.*, row_number() over (partition by u.tenant, u.dedupe_id order by u.n) as nth
          from unnest(chunk) with ordinality
            as u(id, tenant, topic, type, key, data, expires_at, dedupe_id, reason, rejected_at, n)
          where u.reason is null
        ) as r
        where r.dedupe_id is null or r.nth = 1
        order by r.n
      ) as g
    ) as good
    cross join lateral belfry.store(gen_random_uuid(), num_nonnulls(variadic good.dedupe_ids) > 0, good.n, good.places,
      good.tenants, good.topics, good.types, good.keys, good.data, good.expiries, good.nothing, good.nothing,
      good.dedupe_ids, good.digests)
    where good.n is not null;

    insert into belfry.outbox_rejected
    select c.id, c.tenant, c.topic, c.type, c.key, c.data, c.expires_at, c.dedupe_id,
      coalesce(c.reason, 'idempotency-mismatch'), c.rejected_at
    from unnest(chunk) as c
    where c.reason is not null or c.dedupe_id is not null and (
      select d.digest from belfry.dedupe d where d.tenant = c.tenant and d.id = 'event:' || c.dedupe_id and d.place = 0
    ) <> belfry.outbox_digest(c.topic, c.type, c.key, c.data::text, c.expires_at);
    get diagnostics drain_chunk.rejected = row_count;
    delete from belfry.outbox o where o.id = any (array(select id from unnest(chunk)));
  end if;

  if drain_chunk.more then
    insert into belfry.drains (seen, upto, moved, newest)
    values (drain.seen, drain.upto, chunk[drain_chunk.moved].id, drain.newest);
  elsif is_open or drain_chunk.moved > 0 then
    insert into belfry.drains (seen) values (drain.upto);
  end if;
end
$$;

-- What an append does first, so that what was committed through the SQL door before it began comes before it in the log; as
-- long as that fits into one chunk. More is moved beside the appends, which would wait for it too long. An error here is
-- none of the append's: belfry.drain meets it too, and deals with it.
create function belfry.drain_before(out moved integer, out rejected integer)
language plpgsql volatile
as $$
declare
  drain belfry.drains := belfry.newest_drain();
begin
  drain_before.moved := 0;
  drain_before.rejected := 0;
  if drain.upto is null and belfry.outbox_waits(drain) then
    begin
      select d.moved, d.rejected into drain_before.moved, drain_before.rejected from belfry.drain_chunk(500) d;
    exception when others then
      null;
    end;
  end if;
end
$$;

-- Moves a chunk of the outbox to the log, and answers with the head after it; nulls when there was nothing to do, or
-- another session is at it.
create function belfry.drain(out epoch text, out head bigint, out moved integer, out rejected integer, out more boolean)
language plpgsql volatile
as $$
declare
  before belfry.drains := belfry.newest_drain();
  -- A large window is moved in smaller steps: appends have their turn between two of them, and wait for one.
  most integer := case when before.upto is null then 500 else 100 end;
  step record;
  missing text;
begin
  -- The lock of the log is what counts; this one saves the others the work.
  if not pg_try_advisory_xact_lock(1650815078, 5) or not belfry.outbox_waits(before) then
    return;
  end if;
  perform belfry.lock_log();
  drain.epoch := belfry.current_epoch();
  begin
    select * into drain.moved, drain.rejected, drain.more from belfry.drain_chunk(most);
  exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
    get stacked diagnostics missing = constraint_name;
    -- No partition: nothing is wrong with the row.
    if sqlstate = '23514' and missing = '' then
      raise;
    end if;
    -- One row is to blame. The window is moved row by row, and that one is set aside. It is held open meanwhile: what is
    -- committed between two looks belongs to the next one, and cannot take the blame.
    insert into belfry.drains (seen, upto, moved, newest)
    select d.seen, s.upto, belfry.window_start(d.seen, s.upto) - 1, q.last_value
    from belfry.newest_drain() d, pg_current_snapshot() as s(upto), belfry.outbox_id_seq q
    where d.upto is null;
    select 0, 0, true into drain.moved, drain.rejected, drain.more;
    while drain.more and drain.moved < most loop
      begin
        select * into step from belfry.drain_chunk(1);
      exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
        get stacked diagnostics missing = constraint_name;
        if sqlstate = '23514' and missing = '' then
          raise;
        end if;
        select * into step from belfry.drain_chunk(1, sqlerrm);
      end;
      drain.moved := drain.moved + step.moved;
      drain.rejected := drain.rejected + step.rejected;
      drain.more := step.more;
    end loop;
  end;
  drain.head := belfry.log_head();
end
$$;
comment on function belfry.drain() is 'Moves a chunk of what was published by SQL to the log.';

-- The inbox: notifications, and what each user did with them. A notification is an event of type notification.created; its
-- place in the log is its id, and its topic says whose inboxes it is in. A user is known here by its own topic, `user:<sub>`.

create table belfry.notifications (
  seq bigint not null,
  tenant text not null,
  topic text not null,
  -- What its publisher calls it, such as invoice.paid.
  type text not null,
  key text,
  -- The data of the event, to the letter.
  content text not null,
  at timestamptz not null,
  expires_at timestamptz,
  -- Retracted, or expired and told of. The row stays, so that an older one that it replaced does not come back.
  gone boolean not null default false,
  constraint notifications_pkey primary key (seq)
);
create index notifications_by_topic on belfry.notifications (tenant, topic, seq);
create index notifications_by_key on belfry.notifications (tenant, topic, key, seq) where key is not null;
create index notifications_by_expiry on belfry.notifications (expires_at) where expires_at is not null and not gone;

-- The log knows nothing of the inbox: whatever way an event comes in, its notification is there with it.
create function belfry.place_notification() returns trigger
language plpgsql volatile
as $$
begin
  insert into belfry.notifications (seq, tenant, topic, type, key, content, at, expires_at)
  values (new.seq, new.tenant, new.topic,
    -- Its first member. What comes after it may be JSON that Postgres cannot take apart, such as "\u0000".
    substring(new.data from '^\{"type" ?: ?("(?:[^"\\]|\\.)*")')::json #>> '{}',
    new.key, new.data, new.at, new.expires_at)
  on conflict do nothing;
  return null;
end
$$;
create trigger place_notification after insert on belfry.events
  for each row when (new.type = 'notification.created') execute function belfry.place_notification();

-- A user, from the first call to the inbox on. What was sent to roles and to all before that is not in it. Everything up to
-- the marks is read, seen or archived, unless a receipt says otherwise.
create table belfry.inboxes (
  tenant text not null,
  owner text not null,
  -- The head of the log at the first call.
  since bigint not null,
  read_mark bigint not null default 0,
  seen_mark bigint not null default 0,
  archived_mark bigint not null default 0,
  -- Where the mark of one type is further on: {"read": {"<type>": seq}, "seen": {…}, "archived": {…}}.
  type_marks jsonb not null default '{}',
  muted text[] not null default '{}',
  quiet_hours jsonb,
  constraint inboxes_pkey primary key (tenant, owner)
);

-- Exceptions from the marks, on both sides; null: as the mark says.
create table belfry.receipts (
  tenant text not null,
  owner text not null,
  seq bigint not null,
  read boolean,
  seen boolean,
  archived boolean,
  snoozed_until timestamptz,
  -- Of one with a key: newer ones up to this seq do not replace it; null: see belfry.item_state.
  kept_to bigint,
  constraint receipts_pkey primary key (tenant, owner, seq)
);
create index receipts_by_seq on belfry.receipts (seq);
create index receipts_by_snooze on belfry.receipts (snoozed_until) where snoozed_until is not null;

-- To be published when they are due. Those that were stay for as long as their ids are remembered.
create table belfry.scheduled (
  id uuid not null,
  tenant text not null,
  topics text[] not null,
  key text,
  content text not null,
  expires_at timestamptz,
  deliver_at timestamptz not null,
  -- Tells a repeat from another notification under the same id.
  digest text,
  delivered_at timestamptz,
  constraint scheduled_pkey primary key (id)
);
create index scheduled_by_time on belfry.scheduled (deliver_at) where delivered_at is null;
create index scheduled_by_delivery on belfry.scheduled (delivered_at) where delivered_at is not null;

create function belfry.cursor_of(seq bigint) returns text
language sql stable
as $$
  select e.name || '.' || cursor_of.seq from belfry.epochs e where e.forked_at < cursor_of.seq order by e.n desc limit 1
$$;
comment on function belfry.cursor_of(bigint) is 'The id of the event with this seq, in the epoch in which it was stored.';

-- A cursor is good when its seq is at or before every fork after its epoch, and no newer than the head.
create function belfry.is_cursor(epoch text, seq bigint) returns boolean
language sql stable
as $$
  select is_cursor.seq <= belfry.log_head() and exists (
    select from belfry.epochs e where e.name = is_cursor.epoch
      and not exists (select from belfry.epochs f where f.n > e.n and f.forked_at < is_cursor.seq))
$$;

create function belfry.place_of(seq bigint) returns text
language sql stable
as $$ select e.name || '.' || place_of.seq from belfry.epochs e order by e.n desc limit 1 $$;
comment on function belfry.place_of(bigint) is 'A cursor for this place in the log as it is now, whether or not an event is there.';

-- As JavaScript writes it.
create function belfry.time_of(moment timestamptz) returns text
language sql immutable
as $$ select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

create function belfry.mark_of(inbox belfry.inboxes, flag text, type text) returns bigint
language sql immutable
as $$
  select greatest(
    case mark_of.flag when 'read' then inbox.read_mark when 'seen' then inbox.seen_mark else inbox.archived_mark end,
    (inbox.type_marks -> mark_of.flag ->> mark_of.type)::bigint)
$$;

create function belfry.furthest_mark(inbox belfry.inboxes, flag text) returns bigint
language sql immutable
as $$
  select greatest(belfry.mark_of(inbox, furthest_mark.flag, ''), max(m.value::bigint))
  from jsonb_each_text(inbox.type_marks -> furthest_mark.flag) as m
$$;

create function belfry.has_status(status text, read boolean, seen boolean, archived boolean, snoozed boolean) returns boolean
language sql immutable
as $$
  select case has_status.status
    when 'all' then true
    when 'archived' then has_status.archived and not has_status.snoozed
    when 'snoozed' then has_status.snoozed
    else not has_status.archived and not has_status.snoozed and case has_status.status
      when 'unread' then not has_status.read
      when 'unseen' then not has_status.seen
      when 'read' then has_status.read
      else true end
    end
$$;

-- The state of one notification for a user, from the marks and its receipt. One with a key is not shown once it was replaced:
-- when a newer one with its topic and key came while it was unread. Of two that are both up to the mark this is taken to be so;
-- whoever moves the mark writes a receipt where it is not (see belfry.move_read_mark).
create function belfry.item_state(inbox belfry.inboxes, n belfry.notifications, r belfry.receipts)
returns table (read boolean, seen boolean, archived boolean, snoozed boolean, shown boolean)
language sql stable
as $$
  select coalesce(r.read, n.seq <= mark.read), coalesce(r.seen, n.seq <= mark.seen), coalesce(r.archived, n.seq <= mark.archived),
    coalesce(r.snoozed_until > now(), false),
    not n.gone and (n.expires_at is null or n.expires_at > now())
      and (n.topic = inbox.owner or n.seq > inbox.since) and n.type <> all (inbox.muted)
      and (n.key is null or not exists (
        select from belfry.notifications newer
        where newer.tenant = n.tenant and newer.topic = n.topic and newer.key = n.key
          and newer.seq > greatest(n.seq, r.kept_to)
          and (num_nonnulls(r.kept_to, r.read) > 0 or n.seq > mark.read or newer.seq <= mark.read)))
  from (
    select belfry.mark_of(inbox, 'read', n.type) as read, belfry.mark_of(inbox, 'seen', n.type) as seen,
      belfry.mark_of(inbox, 'archived', n.type) as archived
  ) as mark
$$;

-- What a user's inbox has of a status, the newest first: inbox (neither archived nor snoozed) and of that unread, unseen and
-- read; archived, snoozed, all. At most so many, older than a seq, and of one type where one is given.
--
-- Only a part of the user's notifications is walked through: those that the marks leave in question, and of the others the
-- ones that have a receipt.
create function belfry.inbox_items(
  inbox belfry.inboxes, topics text[], status text, type text, before bigint, most integer
) returns table (
  seq bigint, topic text, key text, content text, at timestamptz,
  read boolean, seen boolean, archived boolean, snoozed_until timestamptz
)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
  -- Above `low` and up to `high` all are walked through.
  low bigint := case inbox_items.status
    when 'unread' then greatest(inbox.archived_mark, inbox.read_mark)
    when 'unseen' then greatest(inbox.archived_mark, inbox.seen_mark)
    when 'archived' then 0
    when 'all' then 0
    else inbox.archived_mark end;
  high bigint := least(inbox_items.before - 1, case inbox_items.status
    when 'read' then belfry.furthest_mark(inbox, 'read')
    when 'archived' then belfry.furthest_mark(inbox, 'archived')
    when 'snoozed' then 0 end);
begin
  return query
  select found.seq, found.topic, found.key, found.content, found.at, found.read, found.seen, found.archived, found.snoozed_until
  from (
    select ranged.* from unnest(inbox_items.topics) as wanted(topic)
    cross join lateral (
      select n.seq, n.topic, n.key, n.content, n.at, s.read, s.seen, s.archived, r.snoozed_until
      from belfry.notifications n
      left join belfry.receipts r on r.tenant = inbox.tenant and r.owner = inbox.owner and r.seq = n.seq
      cross join lateral belfry.item_state(inbox, n, r) as s
      where n.tenant = inbox.tenant and n.topic = wanted.topic and n.seq > low and n.seq <= high and s.shown
        and belfry.has_status(inbox_items.status, s.read, s.seen, s.archived, s.snoozed)
        and (inbox_items.type is null or n.type = inbox_items.type)
      order by n.seq desc
      limit inbox_items.most
    ) as ranged
    union all
    (select n.seq, n.topic, n.key, n.content, n.at, s.read, s.seen, s.archived, r.snoozed_until
    from belfry.receipts r
    join belfry.notifications n on n.seq = r.seq
    cross join lateral belfry.item_state(inbox, n, r) as s
    where r.tenant = inbox.tenant and r.owner = inbox.owner and r.seq < inbox_items.before and (r.seq <= low or r.seq > high)
      and n.topic = any (inbox_items.topics) and s.shown
      and belfry.has_status(inbox_items.status, s.read, s.seen, s.archived, s.snoozed)
      and (inbox_items.type is null or n.type = inbox_items.type)
    order by r.seq desc
    limit inbox_items.most)
  ) as found
  order by found.seq desc
  limit inbox_items.most;
end
$$;

-- How many are unread and unseen, counted to 100, and up to which event; to be called in the statement that it belongs to, whose
-- snapshot it takes.
create function belfry.inbox_counts(inbox belfry.inboxes, topics text[], out unread integer, out unseen integer, out as_of text)
language sql stable
as $$
  select
    (select count(*) from belfry.inbox_items(inbox, inbox_counts.topics, 'unread', null, 9223372036854775807, 100)),
    (select count(*) from belfry.inbox_items(inbox, inbox_counts.topics, 'unseen', null, 9223372036854775807, 100)),
    belfry.place_of(belfry.log_head())
$$;

-- The inbox of a user, made at the first call.
create function belfry.open_inbox(tenant text, owner text) returns belfry.inboxes
language plpgsql volatile
as $$
declare
  inbox belfry.inboxes;
begin
  insert into belfry.inboxes (tenant, owner, since) values (open_inbox.tenant, open_inbox.owner, belfry.log_head())
  on conflict do nothing;
  select * into inbox from belfry.inboxes i where i.tenant = open_inbox.tenant and i.owner = open_inbox.owner;
  return inbox;
end
$$;

-- One change of a user's comes after the other, also in the log; and whoever reads waits for a change under way. So of two
-- counts the one with the later `as_of` has everything that the other has.
create function belfry.inbox_lock(tenant text, owner text) returns integer
language sql immutable
as $$ select hashtext(inbox_lock.tenant || ' ' || inbox_lock.owner) $$;

-- The same for who is going to change it. What is read after the lock sees what was changed before.
create function belfry.lock_inbox(tenant text, owner text) returns belfry.inboxes
language plpgsql volatile
as $$
declare
  inbox belfry.inboxes;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'an inbox is changed in READ COMMITTED transactions only' using errcode = 'active_sql_transaction';
  end if;
  perform pg_advisory_xact_lock(1650815079, belfry.inbox_lock(lock_inbox.tenant, lock_inbox.owner));
  return belfry.open_inbox(lock_inbox.tenant, lock_inbox.owner);
end
$$;

-- A page of an inbox, with its counts, of one snapshot; without items one row, with the counts alone, and no row when there is
-- no inbox yet. `is_before` says whether `before` is a place in the log.
create function belfry.read_inbox(
  tenant text, owner text, topics text[], status text, type text, before bigint, before_epoch text, most integer
) returns table (
  unread integer, unseen integer, as_of text, is_before boolean, id text, topic text, key text, content text, at timestamptz,
  read boolean, seen boolean, archived boolean, snoozed_until timestamptz
)
language plpgsql volatile
set plan_cache_mode = force_generic_plan set jit = off
as $$
#variable_conflict use_column
begin
  perform pg_advisory_xact_lock_shared(1650815079, belfry.inbox_lock(read_inbox.tenant, read_inbox.owner));
  return query
    with mine as materialized (
      select i as inbox from belfry.inboxes i where i.tenant = read_inbox.tenant and i.owner = read_inbox.owner
    )
    select c.unread, c.unseen, c.as_of, belfry.is_cursor(read_inbox.before_epoch, read_inbox.before),
      belfry.cursor_of(item.seq), item.topic, item.key, item.content, item.at, item.read, item.seen, item.archived,
      case when item.snoozed_until > now() then item.snoozed_until end
    from mine
    cross join lateral belfry.inbox_counts(mine.inbox, read_inbox.topics) as c
    left join lateral belfry.inbox_items(mine.inbox, read_inbox.topics, read_inbox.status, read_inbox.type, read_inbox.before,
      read_inbox.most) as item on true
    order by item.seq desc;
end
$$;

-- Tells a user's tabs and devices what has changed, and what the counts are now.
create function belfry.tell_inbox(
  inbox belfry.inboxes, topics text[], change jsonb, out unread integer, out unseen integer, out as_of text)
language plpgsql volatile
as $$
begin
  select c.unread, c.unseen, c.as_of into tell_inbox.unread, tell_inbox.unseen, tell_inbox.as_of
  from belfry.inbox_counts(inbox, tell_inbox.topics) c;
  perform belfry.put(inbox.tenant, inbox.owner, 'inbox.updated', null, (tell_inbox.change || jsonb_build_object('counts',
    jsonb_build_object('unread', tell_inbox.unread, 'unseen', tell_inbox.unseen, 'asOf', tell_inbox.as_of)))::text, null, null);
end
$$;

-- Moves the read mark, or that of one type, and sees to it that what is shown of those with a key stays shown, and what was
-- replaced stays away.
create function belfry.move_read_mark(inbox belfry.inboxes, topics text[], type text, upto bigint) returns void
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
set plan_cache_mode = force_generic_plan set jit = off
as $$
begin
  -- Put back to unread, and not replaced since.
  update belfry.receipts r set kept_to = 9223372036854775807
  from belfry.notifications n
  where r.tenant = inbox.tenant and r.owner = inbox.owner and r.seq <= move_read_mark.upto and r.kept_to > 0 and n.seq = r.seq
    and (move_read_mark.type is null or n.type = move_read_mark.type)
    and not exists (
      select from belfry.notifications newer
      where newer.tenant = n.tenant and newer.topic = n.topic and newer.key = n.key and newer.seq > r.kept_to);

  insert into belfry.receipts as r (tenant, owner, seq, kept_to)
  select inbox.tenant, inbox.owner, k.seq, k.kept_to
  from (
    -- Read before the next one came, which the mark is about to pass.
    select older.seq, 9223372036854775807 as kept_to
    from belfry.notifications n
    cross join lateral (
      select o.seq, o.type from belfry.notifications o
      where o.tenant = n.tenant and o.topic = n.topic and o.key = n.key and o.seq < n.seq order by o.seq desc limit 1
    ) as older
    where n.tenant = inbox.tenant and n.topic = any (move_read_mark.topics) and n.key is not null
      and n.seq > inbox.read_mark and n.seq <= move_read_mark.upto
      and (move_read_mark.type is null or older.type = move_read_mark.type)
      and older.seq <= belfry.mark_of(inbox, 'read', older.type) and n.seq > belfry.mark_of(inbox, 'read', older.type)
    union all
    -- Replaced by one that the mark does not reach.
    select n.seq, 0
    from belfry.notifications n
    where n.tenant = inbox.tenant and n.topic = any (move_read_mark.topics) and n.key is not null
      and n.seq > belfry.mark_of(inbox, 'read', n.type) and n.seq <= move_read_mark.upto
      and (move_read_mark.type is null or n.type = move_read_mark.type)
      and (
        select newer.seq > move_read_mark.upto from belfry.notifications newer
        where newer.tenant = n.tenant and newer.topic = n.topic and newer.key = n.key and newer.seq > n.seq
        order by newer.seq limit 1)
  ) as k
  where not exists (
    select from belfry.receipts e where e.tenant = inbox.tenant and e.owner = inbox.owner and e.seq = k.seq
      and num_nonnulls(e.kept_to, e.read) > 0)
  on conflict on constraint receipts_pkey do update set kept_to = excluded.kept_to;
end
$$;

-- Marks everything up to a seq, or what is of one type. Returns the counts; raises types-too-many when marks of so many types
-- are kept apart already.
create function belfry.mark_inbox(
  tenant text, owner text, topics text[], flag text, upto bigint, type text,
  out unread integer, out unseen integer, out as_of text)
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
declare
  inbox belfry.inboxes := belfry.lock_inbox(mark_inbox.tenant, mark_inbox.owner);
  last bigint := coalesce(mark_inbox.upto, belfry.log_head());
  one text;
  marks jsonb;
  change jsonb;
begin
  if not exists (
    select from unnest(case mark_inbox.flag when 'read' then array['unread', 'unseen'] when 'seen' then array['unseen']
      else array['inbox'] end) as left_over(status)
    cross join lateral belfry.inbox_items(inbox, mark_inbox.topics, left_over.status, mark_inbox.type, last + 1, 1))
  then
    select c.unread, c.unseen, c.as_of into mark_inbox.unread, mark_inbox.unseen, mark_inbox.as_of
    from belfry.inbox_counts(inbox, mark_inbox.topics) c;
    return;
  end if;
  -- What is read was seen.
  foreach one in array case mark_inbox.flag when 'read' then array['read', 'seen'] else array[mark_inbox.flag] end loop
    if one = 'read' then
      perform belfry.move_read_mark(inbox, mark_inbox.topics, mark_inbox.type, last);
    end if;
    execute format('update belfry.receipts r set %1$I = null
      where r.tenant = $1 and r.owner = $2 and r.seq <= $3 and r.%1$I is not null
        and ($4 is null or (select n.type = $4 from belfry.notifications n where n.seq = r.seq))', one)
    using inbox.tenant, inbox.owner, last, mark_inbox.type;
    if mark_inbox.type is not null then
      marks := coalesce(inbox.type_marks -> one, '{}');
      if last > belfry.mark_of(inbox, one, mark_inbox.type) then
        marks := marks || jsonb_build_object(mark_inbox.type, last);
      end if;
      if (select count(*) from jsonb_object_keys(marks)) > 100 then
        raise exception 'types-too-many' using errcode = 'BF030';
      end if;
    else
      inbox.read_mark := case one when 'read' then greatest(inbox.read_mark, last) else inbox.read_mark end;
      inbox.seen_mark := case one when 'seen' then greatest(inbox.seen_mark, last) else inbox.seen_mark end;
      inbox.archived_mark := case one when 'archived' then greatest(inbox.archived_mark, last) else inbox.archived_mark end;
      select coalesce(jsonb_object_agg(m.key, m.value), '{}') into marks
      from jsonb_each(inbox.type_marks -> one) as m where m.value::bigint > last;
    end if;
    inbox.type_marks := inbox.type_marks || jsonb_build_object(one, marks);
  end loop;
  delete from belfry.receipts r
  where r.tenant = inbox.tenant and r.owner = inbox.owner and r.seq <= last
    and num_nonnulls(r.read, r.seen, r.archived, r.snoozed_until, r.kept_to) = 0;
  update belfry.inboxes i
  set read_mark = inbox.read_mark, seen_mark = inbox.seen_mark, archived_mark = inbox.archived_mark, type_marks = inbox.type_marks
  where i.tenant = inbox.tenant and i.owner = inbox.owner;

  change := jsonb_build_object('reason', 'marked', mark_inbox.flag, true, 'upTo', belfry.place_of(last));
  if mark_inbox.type is not null then
    change := change || jsonb_build_object('type', mark_inbox.type);
  end if;
  select c.unread, c.unseen, c.as_of into mark_inbox.unread, mark_inbox.unseen, mark_inbox.as_of
  from belfry.tell_inbox(inbox, mark_inbox.topics, change) c;
end
$$;

-- Where many were marked one by one, moves the mark behind them and keeps the others as exceptions, so that what the marks
-- leave in question stays short; only when that makes fewer receipts.
create function belfry.compact_inbox(inbox belfry.inboxes, topics text[], flag text) returns void
language plpgsql volatile
as $$
declare
  mark bigint := case compact_inbox.flag
    when 'read' then inbox.read_mark when 'seen' then inbox.seen_mark else inbox.archived_mark end;
  last bigint := belfry.log_head();
  marked integer;
  found integer;
  others bigint[];
begin
  execute format('select count(*) from belfry.receipts r
    where r.tenant = $1 and r.owner = $2 and r.seq > $3 and r.%I', compact_inbox.flag)
  into marked using inbox.tenant, inbox.owner, mark;
  -- Not at each one, because it has to look at all of them.
  if marked < 200 or marked % 50 <> 0 then
    return;
  end if;
  -- Those that are muted may be heard of again.
  inbox.muted := '{}';
  execute format('select count(*), coalesce(array_agg(i.seq) filter (where not i.%I), ''{}'')
    from belfry.inbox_items($1, $2, ''all'', null, 9223372036854775807, $3) i where i.seq > $4', compact_inbox.flag)
  into found, others using inbox, compact_inbox.topics, 2 * marked, mark;
  if found >= 2 * marked or cardinality(others) >= marked then
    return;
  end if;
  if compact_inbox.flag = 'read' then
    perform belfry.move_read_mark(inbox, compact_inbox.topics, null, last);
  end if;
  execute format('update belfry.receipts r set %1$I = null
    where r.tenant = $1 and r.owner = $2 and r.seq > $3 and r.%1$I', compact_inbox.flag)
  using inbox.tenant, inbox.owner, mark;
  execute format('insert into belfry.receipts (tenant, owner, seq, %1$I) select $1, $2, o.seq, false from unnest($3) as o(seq)
    on conflict on constraint receipts_pkey do update set %1$I = false', compact_inbox.flag)
  using inbox.tenant, inbox.owner, others;
  delete from belfry.receipts r
  where r.tenant = inbox.tenant and r.owner = inbox.owner and r.seq > mark
    and num_nonnulls(r.read, r.seen, r.archived, r.snoozed_until, r.kept_to) = 0;
  execute format('update belfry.inboxes i set %1$I = $3, type_marks = i.type_marks - $4
    where i.tenant = $1 and i.owner = $2', compact_inbox.flag || '_mark')
  using inbox.tenant, inbox.owner, last, compact_inbox.flag;
end
$$;

-- Marks one notification; a flag that is null stays as it is, and it is snoozed until a time, or no more, with `snooze`. What is read was seen, and
-- what is put off is to be read again. No row when the user's inbox does not have it.
create function belfry.touch_item(
  tenant text, owner text, topics text[], id text, seq bigint,
  to_read boolean, to_seen boolean, to_archived boolean, snooze boolean, until timestamptz
) returns table (
  topic text, key text, content text, at timestamptz, read boolean, seen boolean, archived boolean, snoozed_until timestamptz,
  unread integer, unseen integer, as_of text
)
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
declare
  inbox belfry.inboxes := belfry.lock_inbox(touch_item.tenant, touch_item.owner);
  notification belfry.notifications;
  before record;
  after record;
  flag text;
  change jsonb;
begin
  select n.* into notification from belfry.notifications n
  where n.seq = touch_item.seq and n.tenant = touch_item.tenant and n.topic = any (touch_item.topics)
    and belfry.cursor_of(n.seq) = touch_item.id;
  if not found then
    return;
  end if;
  select s.*, case when s.snoozed then r.snoozed_until end as snoozed_until into before
  from (select) as always
  left join belfry.receipts r on r.tenant = inbox.tenant and r.owner = inbox.owner and r.seq = notification.seq
  cross join lateral belfry.item_state(inbox, notification, r) as s;
  if not before.shown then
    return;
  end if;

  if touch_item.until <= statement_timestamp() then
    touch_item.until := null;
  end if;
  if touch_item.snooze and touch_item.until is not null then
    touch_item.to_read := coalesce(touch_item.to_read, false);
    touch_item.to_seen := coalesce(touch_item.to_seen, touch_item.to_read);
  end if;
  select coalesce(touch_item.to_read, before.read) as read,
    coalesce(touch_item.to_seen, before.seen or touch_item.to_read, before.seen) as seen,
    coalesce(touch_item.to_archived, before.archived) as archived,
    case when touch_item.snooze then touch_item.until else before.snoozed_until end as snoozed_until
  into after;
  change := jsonb_strip_nulls(jsonb_build_object(
      'read', nullif(after.read, before.read), 'seen', nullif(after.seen, before.seen),
      'archived', nullif(after.archived, before.archived)))
    || case when after.snoozed_until is distinct from before.snoozed_until
      then jsonb_build_object('snoozedUntil', belfry.time_of(after.snoozed_until)) else '{}' end;

  if change <> '{}' then
    delete from belfry.receipts r where r.tenant = inbox.tenant and r.owner = inbox.owner and r.seq = notification.seq;
    insert into belfry.receipts (tenant, owner, seq, read, seen, archived, snoozed_until, kept_to)
    select inbox.tenant, inbox.owner, notification.seq, x.read, x.seen, x.archived, after.snoozed_until, x.kept_to
    from (
      select nullif(after.read, notification.seq <= belfry.mark_of(inbox, 'read', notification.type)) as read,
        nullif(after.seen, notification.seq <= belfry.mark_of(inbox, 'seen', notification.type)) as seen,
        nullif(after.archived, notification.seq <= belfry.mark_of(inbox, 'archived', notification.type)) as archived,
        -- What was on the screen when it was marked stays there.
        case when notification.key is null then null when after.read then 9223372036854775807 else (
          select max(newer.seq) from belfry.notifications newer
          where newer.tenant = notification.tenant and newer.topic = notification.topic and newer.key = notification.key
            and newer.seq > notification.seq) end as kept_to
    ) as x
    where num_nonnulls(x.read, x.seen, x.archived, after.snoozed_until, x.kept_to) > 0;
    for flag in select k from jsonb_each(change) as c(k, v) where c.v = 'true' loop
      perform belfry.compact_inbox(inbox, touch_item.topics, flag);
      select * into inbox from belfry.inboxes i where i.tenant = inbox.tenant and i.owner = inbox.owner;
    end loop;
    select c.unread, c.unseen, c.as_of into touch_item.unread, touch_item.unseen, touch_item.as_of
    from belfry.tell_inbox(inbox, touch_item.topics,
      jsonb_build_object('reason', 'marked', 'ids', jsonb_build_array(touch_item.id)) || change) c;
  else
    select c.unread, c.unseen, c.as_of into touch_item.unread, touch_item.unseen, touch_item.as_of
    from belfry.inbox_counts(inbox, touch_item.topics) c;
  end if;
  select notification.topic, notification.key, notification.content, notification.at, after.read, after.seen, after.archived, after.snoozed_until
  into touch_item.topic, touch_item.key, touch_item.content, touch_item.at, touch_item.read, touch_item.seen, touch_item.archived,
    touch_item.snoozed_until;
  return next;
end
$$;

create function belfry.set_preferences(tenant text, owner text, topics text[], muted text[], quiet_hours jsonb) returns void
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
declare
  inbox belfry.inboxes := belfry.lock_inbox(set_preferences.tenant, set_preferences.owner);
begin
  if inbox.muted = set_preferences.muted and inbox.quiet_hours is not distinct from set_preferences.quiet_hours then
    return;
  end if;
  inbox.muted := set_preferences.muted;
  update belfry.inboxes i set muted = set_preferences.muted, quiet_hours = set_preferences.quiet_hours
  where i.tenant = inbox.tenant and i.owner = inbox.owner;
  perform belfry.tell_inbox(inbox, set_preferences.topics, '{"reason": "preferences"}');
end
$$;

-- Keeps notifications until they are due: `due` is an array of {id, topics, key, content, expiresAt, deliverAt, digest}, all of
-- them or none. Those with an id that is there already are repeats; with another digest idempotency-mismatch is raised.
create function belfry.schedule(tenant text, due jsonb) returns void
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into belfry.scheduled (id, tenant, topics, key, content, expires_at, deliver_at, digest)
  select d.id, schedule.tenant, d.topics, d.key, d.content, d."expiresAt", d."deliverAt", d.digest
  from jsonb_to_recordset(schedule.due) as d(id uuid, topics text[], key text, content text, "expiresAt" timestamptz,
    "deliverAt" timestamptz, digest text)
  on conflict do nothing;
  if exists (
    select from jsonb_to_recordset(schedule.due) as d(id uuid, digest text)
    join belfry.scheduled s on s.id = d.id where s.digest <> d.digest
  ) then
    raise exception 'idempotency-mismatch' using errcode = 'BF031';
  end if;
end
$$;

-- Takes back one that is in the inboxes. Replays leave it out because of the key of the event that says so.
create function belfry.retract_seq(tenant text, seq bigint) returns boolean
language plpgsql volatile
as $$
declare
  topic text;
begin
  update belfry.notifications n set gone = true, content = '{}'
  where n.seq = retract_seq.seq and n.tenant = retract_seq.tenant and not n.gone
  returning n.topic into topic;
  if not found then
    return false;
  end if;
  perform belfry.put(retract_seq.tenant, topic, 'notification.retracted', 'retracted ' || retract_seq.seq,
    json_build_object('id', belfry.cursor_of(retract_seq.seq))::text, null, null);
  return true;
end
$$;

-- Takes back the one with this id, which is its cursor. Returns its seq; null: there is none.
create function belfry.retract(tenant text, id text, seq bigint) returns bigint
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return case when belfry.cursor_of(retract.seq) = retract.id and belfry.retract_seq(retract.tenant, retract.seq)
    then retract.seq end;
end
$$;

-- Takes back one that was scheduled, also when it was delivered since: then with its seqs. Not found: there is none; null: it
-- is on its way to the log, where it can be taken back in a moment.
create function belfry.unschedule(tenant text, id uuid, out known boolean, out seqs bigint[])
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
declare
  topics text[];
begin
  unschedule.known := true;
  unschedule.seqs := '{}';
  -- The row stays, so that a late repeat of the request does not schedule it again.
  update belfry.scheduled s set delivered_at = statement_timestamp(), topics = '{}', content = '{}'
  where s.id = unschedule.id and s.tenant = unschedule.tenant and s.delivered_at is null;
  if found then
    return;
  end if;
  select s.topics into topics from belfry.scheduled s where s.id = unschedule.id and s.tenant = unschedule.tenant;
  unschedule.seqs := array(
    select d.seq from belfry.dedupe d
    where d.tenant = unschedule.tenant and d.place = 0
      and d.id in (select 'event:' || belfry.delivery_id(unschedule.id, t.n) from generate_subscripts(topics, 1) as t(n)));
  if cardinality(unschedule.seqs) < cardinality(topics) then
    unschedule.known := null;
    return;
  end if;
  unschedule.seqs := array(select s from unnest(unschedule.seqs) as s where belfry.retract_seq(unschedule.tenant, s));
  unschedule.known := cardinality(unschedule.seqs) > 0;
end
$$;

create function belfry.delivery_id(scheduled uuid, n integer) returns text
language sql immutable
-- No publisher's dedupe id has a control character.
as $$ select 'scheduled' || chr(1) || delivery_id.scheduled || ':' || delivery_id.n $$;

-- What is due by now: scheduled notifications are published, snoozed ones come back, and of those that have expired the users
-- are told. So many of each at most; and whether there may be more, or when the next is due.
create function belfry.deliver_due(most integer, out more boolean, out next_at timestamptz)
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  due belfry.scheduled;
  told record;
  done integer;
begin
  -- Of several at once, one is enough; the rows that it takes are locked all the same.
  if not pg_try_advisory_xact_lock(1650815078, 7) then
    deliver_due.more := false;
    return;
  end if;
  deliver_due.more := false;

  done := 0;
  for due in
    select * from belfry.scheduled s where s.delivered_at is null and s.deliver_at <= statement_timestamp()
    order by s.deliver_at limit deliver_due.most for update skip locked
  loop
    perform belfry.put(due.tenant, t.topic, 'notification.created', due.key, due.content, due.expires_at,
      belfry.delivery_id(due.id, t.n::integer))
    from unnest(due.topics) with ordinality as t(topic, n);
    update belfry.scheduled s set delivered_at = statement_timestamp() where s.id = due.id;
    done := done + cardinality(due.topics);
    exit when done >= deliver_due.most;
  end loop;
  deliver_due.more := deliver_due.more or done >= deliver_due.most;

  done := 0;
  for told in
    with back as (
      select r.tenant, r.owner, r.seq from belfry.receipts r where r.snoozed_until <= statement_timestamp()
      order by r.snoozed_until limit deliver_due.most for update skip locked
    ), woken as (
      update belfry.receipts r set snoozed_until = null from back
      where r.tenant = back.tenant and r.owner = back.owner and r.seq = back.seq
      returning r.tenant, r.owner, r.seq
    )
    select w.tenant, w.owner, count(*) as n, jsonb_agg(belfry.cursor_of(w.seq)) as ids from woken w group by w.tenant, w.owner
  loop
    perform belfry.put(told.tenant, told.owner, 'inbox.updated', null,
      jsonb_build_object('reason', 'snooze-over', 'ids', told.ids)::text, null, null);
    done := done + told.n;
  end loop;
  deliver_due.more := deliver_due.more or done = deliver_due.most;

  done := 0;
  for told in
    with over as (
      select n.seq from belfry.notifications n where n.expires_at <= statement_timestamp() and not n.gone
      order by n.expires_at limit deliver_due.most for update skip locked
    ), ended as (
      update belfry.notifications n set gone = true from over where n.seq = over.seq
      returning n.tenant, n.topic, n.seq
    )
    select e.tenant, e.topic, count(*) as n, jsonb_agg(belfry.cursor_of(e.seq)) as ids from ended e group by e.tenant, e.topic
  loop
    perform belfry.put(told.tenant, told.topic, 'inbox.updated', null,
      jsonb_build_object('reason', 'expired', 'ids', told.ids)::text, null, null);
    done := done + told.n;
  end loop;
  deliver_due.more := deliver_due.more or done = deliver_due.most;

  deliver_due.next_at := least(
    (select min(s.deliver_at) from belfry.scheduled s where s.delivered_at is null),
    (select min(r.snoozed_until) from belfry.receipts r where r.snoozed_until is not null),
    (select min(n.expires_at) from belfry.notifications n where n.expires_at is not null and not n.gone));
end
$$;

-- Deletes notifications that are older, and what users did with them, so many rows of each at most; returns as many as `most`
-- when there may be more.
create function belfry.prune_inbox(keep interval, remember interval, most integer) returns integer
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set jit = off
as $$
declare
  notifications integer;
  receipts integer;
begin
  if not pg_try_advisory_xact_lock(1650815078, 8) then
    return 0;
  end if;
  delete from belfry.notifications n
  where n.seq = any (array(
      select o.seq from belfry.notifications o order by o.seq limit prune_inbox.most for update skip locked))
    and n.at < statement_timestamp() - prune_inbox.keep;
  get diagnostics notifications = row_count;
  delete from belfry.receipts r where r.ctid = any (array(
    select o.ctid from belfry.receipts o
    where o.seq < coalesce((select min(n.seq) from belfry.notifications n), belfry.log_head() + 1)
    order by o.seq limit prune_inbox.most for update skip locked));
  get diagnostics receipts = row_count;
  delete from belfry.scheduled s where s.id = any (array(
    select o.id from belfry.scheduled o where o.delivered_at < statement_timestamp() - prune_inbox.remember
    order by o.delivered_at limit prune_inbox.most));
  return greatest(notifications, receipts);
end
$$;

create function belfry.is_link(url text) returns boolean
language sql immutable
as $$ select url !~ '[\u0001-\u0020\u007f\\]' and (url ~* '^https?://[^/]' or url ~ '^/($|[^/])') $$;

-- Why a notification cannot be published; null: it can.
create function belfry.notification_fault(type text, title text, body text, url text, icon text, priority text) returns text
language sql immutable
as $$
  select case
    when type is null or not belfry.is_name(type) then 'a type is text of 1 to 200 characters without control characters'
    when title is null or title = '' or length(title) > 500 or title ~ '[\u0001-\u001f\u007f-\u009f]' then
      'a title has 1 to 500 characters, none a control character'
    when length(body) > 5000 or body ~ '[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]' then
      'a body has at most 5000 characters, and no control characters but line breaks and tabs'
    when length(url) > 2000 or not belfry.is_link(url) then
      'a url is an http or https URL, or a path that begins with one slash, of at most 2000 characters'
    when length(icon) > 2000 or icon = '' or icon ~ '[\u0001-\u001f\u007f-\u009f]' then
      'an icon has 1 to 2000 characters without control characters'
    when priority is null or priority not in ('low', 'normal', 'high', 'urgent') then
      'a priority is low, normal, high or urgent'
  end
$$;

create function belfry.notify(
  topic text, type text, title text, body text default null, url text default null, icon text default null,
  data jsonb default null, tenant text default 'default', key text default null, priority text default 'normal',
  expires_at timestamptz default null, deliver_at timestamptz default null, dedupe_id text default null
) returns uuid
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := belfry.notification_fault(notify.type, notify.title, notify.body, notify.url, notify.icon, notify.priority);
  content text;
  scheduled uuid;
begin
  if fault is not null then
    raise exception 'notification-invalid: %', fault using errcode = 'BF020';
  end if;
  content := json_build_object('type', notify.type, 'title', notify.title, 'body', notify.body, 'url', notify.url,
    'icon', notify.icon, 'data', notify.data, 'priority', notify.priority)::text;
  if notify.deliver_at is null then
    perform belfry.enqueue(notify.tenant, notify.topic, 'notification.created', notify.key, content, notify.expires_at,
      notify.dedupe_id);
    return null;
  end if;
  if notify.deliver_at not between '0001-01-01Z' and '9999-12-31T23:59:59.999Z' then
    raise exception 'notification-invalid: deliver_at is a time in the years 1 to 9999' using errcode = 'BF020';
  end if;
  notify.tenant := belfry.admitted_tenant(notify.tenant);
  perform belfry.check_event(notify.tenant, notify.topic, 'notification.created', notify.key, content, notify.expires_at,
    notify.dedupe_id);
  scheduled := case when notify.dedupe_id is null then gen_random_uuid()
    else left(encode(sha256(convert_to(notify.tenant || ' event ' || notify.dedupe_id, 'UTF8')), 'hex'), 32)::uuid
  end;
  insert into belfry.scheduled (id, tenant, topics, key, content, expires_at, deliver_at)
  values (scheduled, notify.tenant, array[notify.topic], notify.key, content, notify.expires_at, notify.deliver_at)
  on conflict do nothing;
  return scheduled;
end
$$;
comment on function belfry.notify(text, text, text, text, text, text, jsonb, text, text, text, timestamptz, timestamptz, text) is
  'Puts a notification into the inboxes of a topic when, and only if, the transaction commits; with deliver_at, then, and it returns the id to take it back by.';

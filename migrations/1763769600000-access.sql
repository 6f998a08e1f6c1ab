-- Credentials that are kept here and not signed elsewhere, what was taken back of them, and who may do what in this
-- schema.

-- A key is bk_<id>_<secret>. The secret is random and long, so a plain hash of it is as good as a slow one.
create table belfry.api_keys (
  id text not null,
  tenant text not null,
  name text not null,
  -- SHA-256 of the secret.
  secret_hash bytea not null,
  scopes text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  -- To the minute.
  last_used_at timestamptz,
  constraint api_keys_pkey primary key (id)
);
create index api_keys_by_tenant on belfry.api_keys (tenant, created_at);

-- Good once, for seconds: not worth writing ahead.
create unlogged table belfry.tickets (
  -- SHA-256 of the ticket.
  hash bytea not null,
  tenant text not null,
  -- What its stream is granted.
  grants jsonb not null,
  expires_at timestamptz not null,
  constraint tickets_pkey primary key (hash)
);
create index tickets_by_age on belfry.tickets (expires_at);

-- What is not to be let in any more: a key, or the tokens that a user had until then. Of each the newest counts. They are
-- numbered in the order in which they are committed (see belfry.revoke), so that whoever has read up to one misses none.
create table belfry.revocations (
  n bigint not null generated always as identity,
  tenant text not null,
  key_id text,
  sub text,
  revoked_at timestamptz not null,
  constraint revocations_pkey primary key (n),
  constraint revocations_of_one check (num_nonnulls(key_id, sub) = 1)
);
create index revocations_by_subject on belfry.revocations (tenant, coalesce(key_id, sub));

create function belfry.revoke(tenant text, key_id text, sub text) returns timestamptz
language plpgsql volatile
as $$
declare
  moment timestamptz;
begin
  perform pg_advisory_xact_lock(1650815078, 4);
  moment := clock_timestamp();
  if revoke.key_id is not null then
    update belfry.api_keys k set revoked_at = coalesce(k.revoked_at, moment)
    where k.id = revoke.key_id and k.tenant = revoke.tenant;
    if not found then
      return null;
    end if;
  end if;
  delete from belfry.revocations r
  where r.tenant = revoke.tenant and coalesce(r.key_id, r.sub) = coalesce(revoke.key_id, revoke.sub)
    and (r.key_id is null) = (revoke.key_id is null);
  insert into belfry.revocations (tenant, key_id, sub, revoked_at)
  values (revoke.tenant, revoke.key_id, revoke.sub, moment);
  perform pg_notify('belfry_revoked', '');
  return moment;
end
$$;
comment on function belfry.revoke(text, text, text) is 'Takes back a key, or what a user was issued until now, and tells all instances; null: no such key.';

-- What the instances tell each other every few seconds; an instance that is not heard of for a while is gone.
create unlogged table belfry.instances (
  id uuid not null,
  seen_at timestamptz not null,
  -- Open streams of each user who has several: {tenant: {sub: n}}.
  streams jsonb not null,
  constraint instances_pkey primary key (id)
);

-- Deletes what is of no more use; returns as many as `most` when there may be more of it.
create function belfry.prune(remember interval, most integer) returns integer
language plpgsql volatile
security definer set search_path = pg_catalog, pg_temp
-- By age, through the indexes: mostly there is nothing to find.
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  forgotten integer;
  cleared integer;
begin
  -- Of several at once, one is enough.
  if not pg_try_advisory_xact_lock(1650815078, 6) then
    return 0;
  end if;
  delete from belfry.drains d where d.n < (select max(l.n) from belfry.drains l);
  delete from belfry.dedupe d where d.ctid = any (array(
    select o.ctid from belfry.dedupe o where o.stored_at < statement_timestamp() - prune.remember
    order by o.stored_at limit prune.most));
  get diagnostics forgotten = row_count;
  -- Those that are being spent or cleared are not waited for.
  delete from belfry.tickets t where t.hash in (
    select o.hash from belfry.tickets o where o.expires_at < statement_timestamp()
    order by o.expires_at limit prune.most for update skip locked);
  get diagnostics cleared = row_count;
  return greatest(forgotten, cleared);
end
$$;
comment on function belfry.prune(interval, integer) is
  'Forgets keys of publishers that are older, and tickets that have expired, so many at most.';

-- Nobody gets anything in this schema but by a GRANT.
revoke execute on all functions in schema belfry from public;

-- Lets a role run the service, and no more than that: what is in the log is never changed by it, nor is the schema. To be
-- called by the owner after each migration, because there may be new tables.
create function belfry.admit_service(service name) returns void
language plpgsql volatile
as $$
begin
  execute format('grant usage on schema belfry to %I', service);
  execute format('grant execute on all functions in schema belfry to %I', service);
  execute format('revoke execute on function belfry.admit_service, belfry.admit_publisher from %I', service);
  execute format('grant select, insert on belfry.events, belfry.dedupe, belfry.drains to %I', service);
  execute format('grant select on belfry.epochs, belfry.partitions, belfry.floors, belfry.outbox_id_seq to %I', service);
  execute format('grant select, insert on belfry.outbox_rejected to %I', service);
  execute format('grant select, delete on belfry.outbox to %I', service);
  execute format('grant select, update on belfry.limits to %I', service);
  execute format('grant select, insert, delete on belfry.voided_batches, belfry.revocations to %I', service);
  execute format('grant select, insert, update on belfry.api_keys to %I', service);
  execute format('grant select, insert, update, delete on belfry.tickets, belfry.instances to %I', service);
  execute format('grant select, insert on belfry.notifications, belfry.inboxes to %I', service);
  execute format('grant select on belfry.receipts, belfry.scheduled to %I', service);
end
$$;
comment on function belfry.admit_service(name) is 'Grants a role what the service needs, and nothing else.';
revoke execute on function belfry.admit_service(name) from public;

-- Lets a role publish by SQL, to any tenant or to one only.
create function belfry.admit_publisher(publisher name, tenant text default null) returns void
language plpgsql volatile
as $$
begin
  if admit_publisher.tenant !~ '^[A-Za-z0-9._~-]{1,100}$' then
    raise exception 'a tenant is 1 to 100 characters of A-Z a-z 0-9 . _ ~ -' using errcode = 'BF010';
  end if;
  execute format('grant usage on schema belfry to %I', publisher);
  execute format('grant execute on function belfry.publish, belfry.notify to %I', publisher);
  delete from belfry.publishers p where p.role = publisher;
  insert into belfry.publishers (role, tenant) values (publisher, admit_publisher.tenant);
end
$$;
comment on function belfry.admit_publisher(name, text) is
  'Lets a role publish by SQL and do nothing else here; to one tenant only, when one is named.';
revoke execute on function belfry.admit_publisher(name, text) from public;

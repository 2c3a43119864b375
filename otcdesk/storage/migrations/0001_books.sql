-- The books: lanes, their chains, and every kind of row that batches write.
--
-- Every protected row names its lane and, in seq, the batch that wrote it last. A trigger refuses any other writer, and
-- append-only rows can be neither changed nor deleted. There are no foreign keys between hot tables: they would cost a
-- look-up for every row of a batch whose actions have just loaded both sides, and invariants.sql checks the same.

create table lanes (
    lane integer primary key,
    name text not null unique,
    kind text not null check (kind in ('live', 'sandbox')),
    created_at timestamptz not null,
    closed_at timestamptz
);

create sequence lane_numbers as integer;

create table batches (
    lane integer not null references lanes,
    seq bigint not null check (seq > 0),
    previous_hash text not null,
    hash text not null,
    kind text not null check (kind in ('batch', 'void')),
    at timestamptz not null,
    writer text not null,
    notes text not null,
    writes bytea not null,
    primary key (lane, seq)
);

-- Digests do not compress; trying costs more than all else that a link costs.
alter table batches alter column writes set storage external;

create table assets (
    lane integer not null,
    seq bigint not null,
    code text not null,
    scale integer not null check (scale between 0 and 18),
    primary key (lane, code)
);

create table tenants (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    name text not null,
    status text not null check (status in ('active', 'suspended')),
    primary key (lane, id)
);

create table accounts (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    owner_id uuid not null,
    purpose text not null,
    asset text not null,
    label text,
    status text not null check (status in ('active', 'inactive')),
    network text not null,
    address text,
    floor numeric(40, 0),
    balance numeric(40, 0) not null,
    held numeric(40, 0) not null check (held >= 0),
    version bigint not null check (version >= 0),
    primary key (lane, id),
    constraint available_never_below_floor check (floor is null or balance - held >= floor)
) with (fillfactor = 50);

create index accounts_of_owner on accounts (lane, owner_id);

create table ledger_transactions (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    reason text not null,
    order_id uuid,
    reference text,
    caller text not null,
    booked_at timestamptz not null,
    primary key (lane, id)
);

create index ledger_transactions_of_order on ledger_transactions (lane, order_id) where order_id is not null;

create table postings (
    lane integer not null,
    seq bigint not null,
    transaction_id uuid not null,
    number integer not null check (number > 0),
    source_account_id uuid not null,
    destination_account_id uuid not null check (destination_account_id <> source_account_id),
    asset text not null,
    units numeric(40, 0) not null check (units > 0),
    primary key (lane, transaction_id, number)
);

create table entries (
    lane integer not null,
    seq bigint not null,
    account_id uuid not null,
    account_version bigint not null check (account_version > 0),
    transaction_id uuid not null,
    posting_number integer not null,
    units numeric(40, 0) not null check (units <> 0),
    balance_after numeric(40, 0) not null,
    primary key (lane, account_id, account_version)
);

create table holds (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    account_id uuid not null,
    order_id uuid not null,
    units numeric(40, 0) not null check (units > 0),
    state text not null check (state in ('open', 'captured', 'released')),
    placed_at timestamptz not null,
    ended_at timestamptz,
    primary key (lane, id)
);

create index holds_of_order on holds (lane, order_id);

create table orders (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    product text not null,
    side text not null,
    state text not null,
    version integer not null check (version > 0),
    source_account_id uuid not null,
    source_asset text not null,
    source_units numeric(40, 0) not null check (source_units > 0),
    destination_account_id uuid not null,
    destination_asset text not null,
    destination_units numeric(40, 0) not null check (destination_units > 0),
    rate numeric not null check (rate > 0),
    quoted_rate numeric not null,
    quoted_by text not null,
    quoted_at timestamptz not null,
    market_rate numeric not null,
    market_source text not null,
    market_at timestamptz not null,
    approved_rate numeric,
    approved_units numeric(40, 0),
    approved_market_rate numeric,
    approved_market_source text,
    approved_market_at timestamptz,
    approved_by text,
    approved_at timestamptz,
    ttl_seconds integer not null,
    expires_at timestamptz not null,
    due_at timestamptz,
    waits_for text,
    rail_reference text,
    pay_hold_id uuid,
    collect_hold_id uuid,
    reason text,
    dialect_data text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    confirmed_at timestamptz,
    ended_at timestamptz,
    primary key (lane, id)
) with (fillfactor = 70);

create index orders_of_tenant on orders (lane, tenant_id, created_at, id);
create index orders_by_time on orders (lane, created_at, id);
create index orders_due on orders (lane, due_at) where due_at is not null;
create index orders_waiting on orders (lane, updated_at) where waits_for is not null;

create table trades (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    source_asset text not null,
    source_units numeric(40, 0) not null check (source_units > 0),
    destination_asset text not null,
    destination_units numeric(40, 0) not null check (destination_units > 0),
    executed_rate numeric not null check (executed_rate > 0),
    executed_by text not null,
    executed_at timestamptz not null,
    quoted_rate numeric not null,
    quoted_by text not null,
    quoted_at timestamptz not null,
    market_rate numeric not null,
    market_source text not null,
    market_at timestamptz not null,
    approved_market_rate numeric,
    approved_market_source text,
    approved_market_at timestamptz,
    primary key (lane, order_id)
);

create table events (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    order_version integer not null,
    tenant_id uuid not null,
    name text not null,
    state text not null,
    caller text not null,
    detail text,
    happened_at timestamptz not null,
    primary key (lane, order_id, order_version)
);

create table idempotency_keys (
    lane integer not null,
    seq bigint not null,
    owner_id uuid not null,
    scope text not null,
    idempotency_key text not null,
    fingerprint text,
    outcome text not null,
    answer text not null,
    used_at timestamptz not null,
    primary key (lane, owner_id, scope, idempotency_key)
);

create table prices (
    lane integer not null,
    seq bigint not null,
    source_asset text not null,
    destination_asset text not null,
    feed_rate numeric,
    feed_source text not null,
    feed_at timestamptz,
    feed_up boolean not null,
    stale_after_ms bigint,
    set_rate numeric,
    set_by text,
    set_at timestamptz,
    set_until timestamptz,
    primary key (lane, source_asset, destination_asset)
);

create table spreads (
    lane integer not null,
    seq bigint not null,
    tenant_id uuid not null,
    source_asset text not null,
    destination_asset text not null,
    bps integer not null check (bps >= 0 and bps < 10000),
    primary key (lane, tenant_id, source_asset, destination_asset)
);

create table conversion_terms (
    lane integer not null,
    seq bigint not null,
    id integer not null check (id = 1),
    cash_asset text not null,
    custody_asset text not null,
    ttl_seconds integer not null check (ttl_seconds > 0),
    debit_settles_after_ms bigint,
    primary key (lane, id)
);

create table lane_clocks (
    lane integer not null,
    seq bigint not null,
    id integer not null check (id = 1),
    offset_ms bigint not null,
    frozen_at timestamptz,
    primary key (lane, id)
);

create table faults (
    lane integer not null,
    seq bigint not null,
    rail text not null,
    mode text not null,
    delay_ms integer not null check (delay_ms >= 0),
    primary key (lane, rail)
);

-- Raises unless a compare-and-set part changed every row that it should: a returned count would undo nothing.
create function otcdesk_expect(part text, expected bigint, changed bigint) returns boolean language plpgsql as $$
begin
    if changed is distinct from expected then
        raise exception 'batch changed % rows of % where % were expected', changed, part, expected
            using errcode = 'OT001';
    end if;
    return true;
end $$;

-- The state of an order at a time: what its deadline has brought about, recorded or not (conversions.by_the_clock).
create function state_by_the_clock(state text, due_at timestamptz, at timestamptz) returns text language sql immutable as $$
    select case
        when due_at is null or at < due_at then state
        when state = 'debit_pending' then 'pending_approval'
        else 'expired'
    end
$$;

-- Refuses rows that were not written by the batch of this very database transaction.
create function otcdesk_only_batches() returns trigger language plpgsql as $$
declare
    batch text := coalesce(current_setting('otcdesk.batch', true), '');
begin
    if exists (select from written where lane || ':' || seq is distinct from batch) then
        raise exception '% is written by batches of its lane only', tg_table_name using errcode = 'OT002';
    end if;
    return null;
end $$;

create function otcdesk_never() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never %d', tg_table_name, lower(tg_op) using errcode = 'OT003';
end $$;

do $$
declare
    protected text[] := array[
        'assets', 'tenants', 'accounts', 'ledger_transactions', 'postings', 'entries', 'holds', 'orders', 'trades',
        'events', 'idempotency_keys', 'prices', 'spreads', 'conversion_terms', 'lane_clocks', 'faults'];
    appended text[] := array[
        'ledger_transactions', 'postings', 'entries', 'trades', 'events', 'idempotency_keys', 'batches'];
    name text;
begin
    foreach name in array protected loop
        execute format(
            'create trigger only_batches_insert after insert on %I referencing new table as written
             for each statement execute function otcdesk_only_batches()', name);
        execute format('create trigger never_delete before delete or truncate on %I
             for each statement execute function otcdesk_never()', name);
        if name <> all (appended) then
            execute format(
                'create trigger only_batches_update after update on %I referencing new table as written
                 for each statement execute function otcdesk_only_batches()', name);
        end if;
    end loop;
    foreach name in array appended loop
        execute format('create trigger never_update before update on %I
             for each statement execute function otcdesk_never()', name);
    end loop;
    execute 'create trigger never_delete before delete or truncate on batches
             for each statement execute function otcdesk_never()';
end $$;

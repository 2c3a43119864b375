-- Callbacks: events say what changed with an order's terms, and are told to subscriptions in the order of the batches.
--
-- No decision depends on the tables here, so no batch writes them: subscriptions are the edges' own, deliveries are
-- made from what batches have committed. A lane's batches are gapless and become visible in their order, so a position
-- in them is all that has to be kept in order to miss nothing.

alter table events add column rate numeric;
alter table events add column destination_units numeric(40, 0);

create index events_by_batch on events (lane, seq);
create index entries_by_batch on entries (lane, seq);

-- Who is told what, where, and in which dialect's envelope. A tenant's places are numbered, which bounds them. Nothing
-- is sent before `held_until`, if the receiver asked for it.
create table subscriptions (
    id uuid primary key,
    lane integer not null references lanes,
    lane_kind text not null check (lane_kind in ('live', 'sandbox')),
    owner_id uuid not null,
    place integer not null check (place between 1 and 10),
    envelope text not null,
    url text not null,
    event_types text[] not null,
    description text,
    from_seq bigint not null,
    is_active boolean not null,
    consecutive_failures integer not null default 0,
    failed_at timestamptz,
    failing_since timestamptz,
    held_until timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);

create unique index subscriptions_place on subscriptions (lane, owner_id, place) where deleted_at is null;
create unique index subscriptions_url on subscriptions (lane, owner_id, envelope, url) where deleted_at is null;

-- What signs: secrets of one subscription, or key pairs of the desk. The private half is a sealed secret of the same id.
-- `owner` is a subscription's id, or an envelope's name and a kind of lane; `shown` is the public key, or how a secret begins.
create table signing_keys (
    id uuid primary key,
    owner text not null,
    kind text not null check (kind in ('hmac-sha256', 'ed25519', 'ecdsa-p256', 'ecdsa-p384')),
    shown text not null,
    made_at timestamptz not null,
    retires_at timestamptz
);

create index signing_keys_of_owner on signing_keys (owner, made_at);

-- Up to which batch a lane's events have been turned into deliveries.
create table outbox_positions (
    lane integer primary key references lanes,
    seq bigint not null
);

-- One event for one subscription: the bytes that are sent, as often as it takes. A delivery that somebody is sending
-- until `sending_until` is due again when that attempt can no longer be under way. `attempts_before` are those made
-- before somebody asked for it again: the schedule of retries begins anew after them.
create table deliveries (
    id uuid primary key,
    lane integer not null,
    subscription_id uuid not null,
    event_id text not null,
    event_type text not null,
    subject_id uuid not null,
    subject_version bigint not null,
    body bytea not null,
    state text not null check (state in ('pending', 'succeeded', 'failed')),
    due_at timestamptz,
    sending_until timestamptz,
    attempts integer not null default 0,
    attempts_before integer not null default 0,
    response_status integer,
    response_ms integer,
    error text,
    created_at timestamptz not null,
    attempted_at timestamptz,
    constraint only_pending_is_due check ((state = 'pending') = (due_at is not null)),
    constraint deliveries_once unique (subscription_id, subject_id, subject_version, event_type)
) with (fillfactor = 70);

create index deliveries_due on deliveries (subscription_id, due_at, id) where state = 'pending';
create index deliveries_by_time on deliveries (subscription_id, created_at, id);
create index deliveries_of_lane on deliveries (lane, created_at, id);
create index deliveries_untried on deliveries (subscription_id, subject_id, subject_version)
    where due_at is not null and attempts = attempts_before;
create index deliveries_of_event on deliveries (lane, event_id);
create index deliveries_over on deliveries (created_at) where state <> 'pending';

-- What came of every attempt, with the beginning of the answer.
create table delivery_attempts (
    delivery_id uuid not null,
    number integer not null,
    attempted_at timestamptz not null,
    response_status integer,
    response_ms integer not null,
    error text,
    response_body text,
    primary key (delivery_id, number)
);

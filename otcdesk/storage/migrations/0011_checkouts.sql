-- Checkouts: what a person completes on a page of the desk, and what is waited for where it is paid to.

create table checkouts (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    party_id uuid not null,
    asset text not null,
    fiat text,
    ceiling numeric check (ceiling >= 0),
    category text check (category in ('bank', 'card', 'identifier')),
    return_url text not null,
    items text not null,
    external_id text,
    token_hash text not null,
    spread_bps integer not null check (spread_bps >= 0),
    fee_bps integer not null check (fee_bps >= 0 and fee_bps < 10000),
    network text,
    address text,
    method text,
    reference text,
    primary key (lane, order_id)
);

-- Who opens a page names the checkout and nothing else.
create index checkouts_by_id on checkouts (order_id);

create table awaited_payments (
    lane integer not null,
    seq bigint not null,
    place text not null,
    order_id uuid not null,
    due_units numeric(40, 0) not null check (due_units > 0),
    arrived_units numeric(40, 0) not null check (arrived_units >= 0),
    brought_units numeric(40, 0) not null check (brought_units >= 0),
    unbought_ids uuid[] not null check (cardinality(unbought_ids) <= 100),
    rate numeric check (rate > 0),
    primary key (lane, place)
);

-- What has arrived and is to be bought for is looked for again and again.
create index awaited_payments_unbought on awaited_payments (lane, place) where cardinality(unbought_ids) > 0;

create index payments_of_checkout on payments (lane, checkout_id) where checkout_id is not null;

select otcdesk_protect(array['checkouts', 'awaited_payments'], array['checkouts']);

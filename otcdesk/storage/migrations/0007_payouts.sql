-- Payouts: the channels by which somebody can be paid, who is to be paid, what was prepared, and what orders of payouts
-- are about.

create table payout_terms (
    lane integer not null,
    seq bigint not null,
    id integer not null check (id = 1),
    validity_seconds integer not null check (validity_seconds > 0),
    slippage_bps integer not null check (slippage_bps >= 0),
    primary key (lane, id)
);

create table channels (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    category text not null check (category in ('bank', 'card', 'identifier')),
    type text not null,
    country text not null,
    fiat text not null,
    min_units numeric(40, 0) not null check (min_units > 0),
    max_units numeric(40, 0) check (max_units >= min_units),
    fixed_fee_units numeric(40, 0) not null check (fixed_fee_units >= 0),
    fee_percent numeric not null check (fee_percent >= 0),
    spread_bps integer not null check (spread_bps >= 0 and spread_bps < 10000),
    processing_seconds integer not null check (processing_seconds > 0),
    form_schema text not null,
    rail text not null check (rail in ('payout', 'bank_file', 'by_hand')),
    review_from_units numeric(40, 0) check (review_from_units > 0),
    enabled boolean not null,
    primary key (lane, id)
);

create table surcharges (
    lane integer not null,
    seq bigint not null,
    tenant_id uuid not null,
    percent numeric not null check (percent >= 0),
    primary key (lane, tenant_id)
);

create table party_profiles (
    lane integer not null,
    seq bigint not null,
    party_id uuid not null,
    tenant_id uuid not null,
    kind text not null check (kind in ('individual', 'business')),
    details text not null,
    updated_at timestamptz not null,
    primary key (lane, party_id)
);

create table payment_methods (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    party_id uuid,
    name text not null,
    category text not null check (category in ('bank', 'card', 'identifier')),
    type text not null,
    subtype text,
    country text not null,
    fiat text not null,
    number text,
    bank_code text,
    details text not null,
    created_at timestamptz not null,
    primary key (lane, id)
);

create index payment_methods_of_party on payment_methods (lane, tenant_id, party_id, created_at, id);
create index payment_methods_by_name on payment_methods (lane, tenant_id, name);

create table prepared_payouts (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    party_id uuid,
    channel_id uuid not null,
    method_id uuid not null,
    asset text not null,
    fiat text not null,
    fiat_units numeric(40, 0) not null check (fiat_units > 0),
    details text not null,
    rate numeric not null check (rate > 0),
    prepared_at timestamptz not null,
    expires_at timestamptz not null,
    order_id uuid,
    primary key (lane, id)
) with (fillfactor = 50);

create table payments (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    kind text not null,
    asset text not null,
    fiat text,
    fiat_units numeric(40, 0) not null check (fiat_units >= 0),
    fee_units numeric(40, 0) not null check (fee_units >= 0),
    surcharge_units numeric(40, 0) not null check (surcharge_units >= 0),
    rate numeric check (rate > 0),
    ceiling numeric check (ceiling >= 0),
    party_id uuid,
    channel_id uuid,
    method_id uuid,
    prepared_id uuid,
    external_id text,
    rule_id uuid,
    rule_execution_id uuid,
    returns_id uuid,
    adjusts_id uuid,
    adjustment_id uuid,
    deposit_id uuid,
    checkout_id uuid,
    primary key (lane, order_id),
    constraint fiat_has_a_rate check ((fiat is null) = (rate is null))
);

create index payments_by_external_id on payments (lane, tenant_id, external_id) where external_id is not null;

select otcdesk_protect(
    array[
        'payout_terms', 'channels', 'surcharges', 'party_profiles', 'payment_methods', 'prepared_payouts', 'payments'],
    array['payments']
);

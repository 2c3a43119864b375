-- Resale: branches and what they issue, what is listed and bought, the rules that take it, and the jobs of the chain.

create table resale_terms (
    lane integer not null,
    seq bigint not null,
    id integer not null check (id = 1),
    validity_seconds integer check (validity_seconds > 0),
    bid_validity_seconds integer not null check (bid_validity_seconds > 0),
    otc_fee_percent numeric not null check (otc_fee_percent >= 0),
    secondary_fee_percent numeric not null check (secondary_fee_percent >= 0),
    primary_fee_percent numeric not null check (primary_fee_percent >= 0),
    fees text not null,
    verifies_parties boolean not null,
    primary key (lane, id)
);

create table branches (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    number integer not null check (number > 0),
    path text not null,
    name text not null,
    otc_fee_percent numeric not null check (otc_fee_percent >= 0),
    secondary_fee_percent numeric not null check (secondary_fee_percent >= 0),
    primary_fee_percent numeric not null check (primary_fee_percent >= 0),
    fees text not null,
    parties_trade boolean not null,
    last_number bigint not null check (last_number >= 0),
    primary key (lane, id)
) with (fillfactor = 50);

create unique index branches_by_path on branches (lane, tenant_id, path);

create table holders (
    lane integer not null,
    seq bigint not null,
    party_id uuid not null,
    tenant_id uuid not null,
    branch_id uuid not null,
    primary key (lane, party_id)
);

create table currencies (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    branch_id uuid not null,
    asset text not null,
    name text not null,
    symbol text not null,
    description text not null,
    fiat text,
    state text not null check (state in ('draft', 'in_progress', 'deployed', 'error')),
    enabled boolean not null,
    logo text,
    address text,
    hash text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (lane, id)
);

create unique index currencies_by_asset on currencies (lane, asset);

create table instruments (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    branch_id uuid not null,
    asset text not null,
    name text not null,
    symbol text not null,
    description text not null,
    state text not null check (
        state in ('draft', 'in_progress', 'error', 'not_listed', 'delisted', 'listed', 'passive', 'burnt')),
    currency_id uuid not null,
    price numeric not null check (price > 0),
    max_supply_units numeric(40, 0) not null check (max_supply_units > 0),
    salable_percent numeric not null check (salable_percent between 0 and 100),
    open_to_resale boolean not null,
    open_to_market boolean not null,
    is_public boolean not null,
    address text,
    hash text,
    details text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (lane, id)
);

create unique index instruments_by_asset on instruments (lane, asset);

create table resales (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    branch_id uuid not null,
    party_id uuid not null,
    instrument_id uuid not null,
    currency_id uuid not null,
    market text not null check (market in ('otc', 'secondary')),
    quantity numeric(40, 0) not null check (quantity > 0),
    available numeric(40, 0) not null check (available >= 0),
    promised numeric(40, 0) not null check (promised >= 0),
    sold numeric(40, 0) not null check (sold >= 0),
    price_units numeric(40, 0) not null check (price_units > 0),
    number bigint check (number > 0),
    taken_fee_units numeric(40, 0) not null check (taken_fee_units >= 0),
    taken_desk_fee_units numeric(40, 0) not null check (taken_desk_fee_units >= 0),
    primary key (lane, order_id),
    constraint parts_of_the_quantity check (available + promised + sold <= quantity)
) with (fillfactor = 50);

create unique index resales_by_number on resales (lane, branch_id, number) where number is not null;
create index resales_of_party on resales (lane, party_id, instrument_id);
create index resales_of_instrument on resales (lane, instrument_id, market, number desc);
create index resales_available on resales (lane, instrument_id, market, number desc) where available > 0;

create table purchases (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    branch_id uuid not null,
    party_id uuid not null,
    instrument_id uuid not null,
    currency_id uuid not null,
    market text not null check (market in ('otc', 'secondary', 'primary')),
    listing_id uuid,
    quantity numeric(40, 0) not null check (quantity > 0),
    price_units numeric(40, 0) not null check (price_units > 0),
    fee_units numeric(40, 0) not null check (fee_units >= 0),
    desk_fee_units numeric(40, 0) not null check (desk_fee_units >= 0),
    primary key (lane, order_id),
    constraint of_a_listing check ((market = 'primary') = (listing_id is null))
);

create index purchases_of_party on purchases (lane, party_id, instrument_id);
create index purchases_of_listing on purchases (lane, listing_id) where listing_id is not null;

create table jobs (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    kind text not null check (kind in ('list', 'withdraw', 'purchase', 'burn', 'follow', 'send')),
    market text not null check (market in ('otc', 'secondary', 'primary')),
    state text not null check (state in ('started', 'in_progress', 'completed', 'failed')),
    version integer not null check (version > 0),
    order_id uuid not null,
    party_id uuid,
    instrument_id uuid not null,
    source_account_id uuid not null,
    destination_account_id uuid not null,
    asset text not null,
    units numeric(40, 0) not null check (units > 0),
    waits_for text,
    reference text not null,
    tries integer not null check (tries > 0),
    replaces uuid,
    hash text,
    error text,
    caller text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (lane, id),
    constraint waits_until_it_is_over check ((waits_for is null) = (state in ('completed', 'failed'))),
    constraint fails_for_a_reason check ((error is null) = (state <> 'failed'))
) with (fillfactor = 50);

create index jobs_waiting on jobs (waits_for, updated_at) where waits_for is not null;
create index jobs_of_party on jobs (lane, party_id, created_at desc, id desc) where kind <> 'follow';
create index jobs_of_order on jobs (lane, order_id);
create unique index jobs_in_place on jobs (lane, replaces) where replaces is not null;
create index jobs_failed on jobs (lane, created_at desc, id desc) where state = 'failed' and kind in ('follow', 'send');
create index jobs_of_burns on jobs (lane, instrument_id, created_at desc, id desc) where kind = 'burn';
create index jobs_of_sends on jobs (lane, instrument_id, created_at desc, id desc) where kind = 'send';

create table resale_rules (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    branch_id uuid not null,
    name text not null,
    side text not null check (side in ('both', 'buys', 'sells')),
    test text not null check (test in ('unconditional', 'percent', 'absolute')),
    action text not null check (action in ('accept', 'reject')),
    consume_on_match boolean not null,
    active boolean not null,
    priority integer not null,
    instrument_id uuid,
    above_percent numeric check (above_percent >= 0),
    below_percent numeric check (below_percent >= 0),
    above_amount numeric check (above_amount >= 0),
    below_amount numeric check (below_amount >= 0),
    quantity_min numeric(40, 0) check (quantity_min > 0),
    quantity_max numeric(40, 0) check (quantity_max > 0),
    valid_from timestamptz,
    valid_until timestamptz,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    ended_at timestamptz,
    primary key (lane, id)
);

create index resale_rules_of_branch on resale_rules (lane, branch_id, priority, created_at, id) where ended_at is null;

create table branch_rules (
    lane integer not null,
    seq bigint not null,
    branch_id uuid not null,
    rule_ids uuid[] not null check (cardinality(rule_ids) <= 100),
    primary key (lane, branch_id)
);

create table resale_decisions (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    rule_id uuid,
    action text check (action in ('accept', 'reject')),
    explanation text not null,
    decided_at timestamptz not null,
    primary key (lane, order_id),
    constraint a_rule_does_something check ((rule_id is null) = (action is null))
);

create index accounts_at_address on accounts (lane, lower(address)) where address is not null;

select otcdesk_protect(
    array[
        'resale_terms', 'branches', 'holders', 'currencies', 'instruments', 'resales', 'purchases', 'jobs', 'resale_rules',
        'branch_rules', 'resale_decisions'],
    array['holders', 'purchases', 'resale_decisions']
);

-- Deposits: where money arrives, what arrived, the rules that it sets off, and what leaves for a chain.

create table deposit_addresses (
    lane integer not null,
    seq bigint not null,
    network text not null,
    address text not null,
    tenant_id uuid not null,
    party_id uuid,
    rule_id uuid,
    created_at timestamptz not null,
    primary key (lane, network, address)
);

create table bank_details (
    lane integer not null,
    seq bigint not null,
    name text not null,
    tenant_id uuid not null,
    party_id uuid,
    rule_id uuid,
    type text not null,
    country text not null,
    fiat text not null,
    number text not null,
    bank_code text,
    holder text not null,
    created_at timestamptz not null,
    primary key (lane, name)
);

create table deposits (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    party_id uuid,
    rule_id uuid,
    outside_id text not null,
    method text,
    reference text,
    sender_name text,
    sender_number text,
    sender_bank_code text,
    network text,
    address text,
    hash text,
    sender_address text,
    primary key (lane, order_id),
    constraint at_one_place check ((method is null) <> (address is null) and (network is null) = (address is null))
);

create table rules (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    party_id uuid,
    terms text not null,
    is_bound boolean not null,
    is_permanent boolean not null,
    expires_at timestamptz,
    state text not null check (state in ('live', 'done', 'expired')),
    fired bigint not null check (fired >= 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (lane, id),
    constraint fires_once check (is_permanent or fired <= 1 and (state = 'done') = (fired = 1))
);

create table live_rules (
    lane integer not null,
    seq bigint not null,
    tenant_id uuid not null,
    rule_ids uuid[] not null check (cardinality(rule_ids) <= 100),
    primary key (lane, tenant_id)
);

create table rule_executions (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    number integer not null check (number > 0),
    rule_id uuid not null,
    tenant_id uuid not null,
    deposit_id uuid not null,
    order_id uuid,
    code text,
    detail text,
    happened_at timestamptz not null,
    primary key (lane, id, number),
    constraint made_an_order_or_was_refused check ((order_id is null) <> (code is null))
);

create table chain_payouts (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    party_id uuid,
    network text not null,
    address text not null,
    rule_id uuid,
    rule_execution_id uuid,
    deposit_id uuid,
    primary key (lane, order_id)
);

select otcdesk_protect(
    array[
        'deposit_addresses', 'bank_details', 'deposits', 'rules', 'live_rules', 'rule_executions', 'chain_payouts'],
    array['deposit_addresses', 'bank_details', 'deposits', 'rule_executions', 'chain_payouts']
);

create index rules_by_time on rules (lane, created_at, id);
create index rule_executions_by_time on rule_executions (lane, happened_at, id);
create index rule_executions_of_rule on rule_executions (lane, rule_id);
create index deposit_addresses_by_address on deposit_addresses (lane, address);
create index purchases_of_deposit on payments (lane, deposit_id) where kind = 'purchase';

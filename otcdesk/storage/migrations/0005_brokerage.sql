-- Brokerage: parties of tenants, what may be traded for them and on which terms, firm quotes and their acceptance.
--
-- Rows that batches write are protected as those of the books are. The last two tables are the edges' own: what is kept
-- of refresh tokens, and which dialects of a lane are closed for maintenance.

-- Protects tables of rows that batches write: nobody else writes them, and nobody deletes them. Those of them that are
-- appended to are never updated either, not even by batches.
create function otcdesk_protect(protected text[], appended text[]) returns void language plpgsql as $$
declare
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
end $$;

alter table faults add column reason text;
alter table faults add column percent integer check (percent between 0 and 100);
alter table faults add column price_bps integer check (price_bps > -10000);

create table parties (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    external_id text not null,
    status text not null check (status in ('active', 'unverified', 'inactive')),
    level_id uuid,
    tax_bps integer check (tax_bps between 0 and 10000),
    country text,
    account_type text not null check (account_type in ('user', 'business_user')),
    accepted_agreement_ids uuid[] not null,
    created_at timestamptz not null,
    primary key (lane, id)
);

create index parties_of_tenant on parties (lane, tenant_id, created_at, id);

create table party_names (
    lane integer not null,
    seq bigint not null,
    tenant_id uuid not null,
    name text not null,
    party_id uuid not null,
    primary key (lane, tenant_id, name)
);

create table brokerage_terms (
    lane integer not null,
    seq bigint not null,
    id integer not null check (id = 1),
    validity_seconds integer not null check (validity_seconds > 0),
    default_level_id uuid,
    agreement_ids uuid[] not null,
    primary key (lane, id)
);

create table listings (
    lane integer not null,
    seq bigint not null,
    code text not null,
    kind text not null check (kind in ('fiat', 'asset')),
    number integer not null check (number > 0),
    pid uuid not null,
    name text not null,
    asset_group text not null,
    buy_enabled boolean not null,
    sell_enabled boolean not null,
    dividend_pending boolean not null,
    primary key (lane, code)
);

-- What a tenant names by number or pid is one thing.
create unique index listings_by_number on listings (lane, kind, number);

create unique index listings_by_pid on listings (lane, pid);

create table markets (
    lane integer not null,
    seq bigint not null,
    asset text not null,
    fiat text not null,
    total_min numeric(40, 0) not null check (total_min > 0),
    total_max numeric(40, 0) check (total_max >= total_min),
    broker_cost numeric not null check (broker_cost >= 0),
    primary key (lane, asset, fiat)
);

create table account_levels (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    name_key text not null,
    margin_bps integer not null check (margin_bps >= 0 and margin_bps < 10000),
    primary key (lane, id)
);

create table agreements (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    type text not null,
    version integer not null check (version > 0),
    title text not null,
    url text not null,
    content_type text not null,
    mandatory boolean not null,
    effective_at timestamptz not null,
    country text,
    account_type text not null check (account_type in ('user', 'business_user')),
    journeys text[] not null,
    primary key (lane, id)
);

create table revenue_shares (
    lane integer not null,
    seq bigint not null,
    tenant_id uuid not null,
    revenue_share_bps integer not null check (revenue_share_bps between 0 and 10000),
    primary key (lane, tenant_id)
);

create table firm_quotes (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    party_id uuid not null,
    asset text not null,
    fiat text not null,
    defined_for text not null check (defined_for in ('fiat', 'asset')),
    by_pid boolean not null,
    asset_units numeric(40, 0) not null check (asset_units > 0),
    total_units numeric(40, 0) not null check (total_units > 0),
    tax_units numeric(40, 0) not null check (tax_units >= 0),
    fiat_units numeric(40, 0) not null check (fiat_units > 0),
    gain_units numeric(40, 0),
    price numeric not null check (price > 0),
    reference numeric not null check (reference > 0),
    margin_bps integer not null,
    spread numeric not null check (spread >= 0),
    broker_cost numeric not null check (broker_cost >= 0),
    revenue_share_bps integer not null,
    warnings text[] not null,
    primary key (lane, order_id),
    constraint total_is_fiat_and_tax check (total_units = fiat_units + tax_units)
);

create index firm_quotes_of_party on firm_quotes (lane, party_id, order_id);

-- What a tenant has traded in a while, in the order of time.
create index trades_of_tenant on trades (lane, tenant_id, executed_at, order_id);

create table newest_quotes (
    lane integer not null,
    seq bigint not null,
    party_id uuid not null,
    order_id uuid not null,
    primary key (lane, party_id)
) with (fillfactor = 50);

create table acceptances (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    tenant_id uuid not null,
    party_id uuid not null,
    external_id text,
    accepted_at timestamptz not null,
    primary key (lane, order_id)
);

create index acceptances_by_external_id on acceptances (lane, tenant_id, external_id) where external_id is not null;

create table positions (
    lane integer not null,
    seq bigint not null,
    party_id uuid not null,
    asset text not null,
    fiat text not null,
    units numeric(40, 0) not null check (units >= 0),
    basis_units numeric(40, 0) not null check (basis_units >= 0),
    primary key (lane, party_id, asset)
) with (fillfactor = 50);

create table notices (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    tenant_id uuid not null,
    kind text not null check (kind in ('settlement', 'top_up')),
    reference text not null,
    transaction_id text not null,
    direction text not null,
    fiat text not null,
    amount numeric not null,
    balance_after numeric,
    noticed_at timestamptz not null,
    recorded_at timestamptz not null,
    primary key (lane, id)
);

create index notices_of_tenant on notices (lane, tenant_id, recorded_at, id);

select otcdesk_protect(
    protected => array[
        'parties', 'party_names', 'brokerage_terms', 'listings', 'markets', 'account_levels', 'agreements', 'revenue_shares',
        'firm_quotes', 'newest_quotes', 'acceptances', 'positions', 'notices'],
    appended => array['party_names', 'firm_quotes', 'acceptances', 'notices']
);

-- Refresh tokens of tenants, by hash. One that was used, or revoked, is dead; `spent_at` says since when. `reported_at`
-- says since when the audit chain knows that it was used a second time.
create table refresh_tokens (
    hash text primary key,
    lane integer not null references lanes,
    owner_id uuid not null,
    credential_id uuid not null,
    issued_at timestamptz not null,
    expires_at timestamptz not null,
    spent_at timestamptz,
    spent_by text check (spent_by in ('use', 'revocation')),
    reported_at timestamptz check (reported_at is null or spent_by = 'use'),
    constraint spent_somehow check ((spent_at is null) = (spent_by is null))
);

create index refresh_tokens_over on refresh_tokens (expires_at);

-- Dialects of a lane that are closed for maintenance, since when and why.
create table maintenance (
    lane integer not null references lanes,
    dialect text not null,
    since timestamptz not null,
    reason text not null,
    primary key (lane, dialect)
);

alter table credentials drop constraint credentials_kind_check;
alter table credentials add constraint credentials_kind_check check (kind in ('api_key', 'operator', 'client'));

-- The audit chain names a client by its name, so of a tenant's live ones no two have the same.
create unique index clients_by_name on credentials (lane, owner_id, name) where kind = 'client' and revoked_at is null;

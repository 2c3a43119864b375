-- What the edges read and workers claim; no decision depends on these rows, so no batch writes them.

create table credentials (
    id uuid primary key,
    lane integer not null references lanes,
    kind text not null check (kind in ('api_key', 'operator')),
    owner_id uuid not null,
    name text not null,
    secret_hash text not null unique,
    shown_prefix text not null,
    scopes text[] not null,
    source_ips text[] not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz
);

create index credentials_of_lane on credentials (lane, name);

-- A worker's claim on a work item; committed before the outside call, given back after its outcome is recorded.
create table leases (
    lane integer not null,
    item text not null,
    holder text not null,
    held_until timestamptz not null,
    attempts integer not null,
    primary key (lane, item)
);

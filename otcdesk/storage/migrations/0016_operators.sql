-- The people who run the desk, and where they are signed in. These tables are the edges' own, as credentials are; what
-- makes an operator's codes is a sealed secret. A step is half a minute of the Unix epoch: its code is good once.

create table operators (
    lane integer not null references lanes,
    id uuid primary key,
    email text not null,
    name text not null,
    password_hash text not null,
    roles text[] not null,
    enabled boolean not null,
    failures integer not null check (failures >= 0),
    locked_until timestamptz,
    totp_step_used bigint not null,
    created_at timestamptz not null,
    password_changed_at timestamptz not null,
    unique (lane, id)
);

create unique index operators_by_email on operators (lane, lower(email));
create index operators_of_email on operators (lower(email));

create table operator_sessions (
    id uuid primary key,
    token_hash text not null unique,
    lane integer not null,
    operator_id uuid not null,
    csrf_token text not null,
    address text not null,
    agent text not null,
    created_at timestamptz not null,
    seen_at timestamptz not null,
    ended_at timestamptz,
    foreign key (lane, operator_id) references operators (lane, id)
);

create index operator_sessions_of_operator on operator_sessions (operator_id, created_at);
create index operator_sessions_by_time on operator_sessions (created_at);

-- Failures that are no operator's: those from an address until its minute ends, and those with an e-mail address that
-- nobody has, which is locked as an operator would be.
create table sign_in_brakes (
    name text primary key,
    failures integer not null,
    ends_at timestamptz not null
);

create index sign_in_brakes_by_time on sign_in_brakes (ends_at);

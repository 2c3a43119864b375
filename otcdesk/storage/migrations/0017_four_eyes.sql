-- What operators did, what two of them decide together, and what is limited or frozen.

create table acts (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    verb text not null,
    content text not null,
    subject_id uuid,
    caller text not null,
    address text not null,
    why text not null,
    request_id text not null,
    happened_at timestamptz not null,
    primary key (lane, id)
);

create index acts_by_time on acts (lane, happened_at, id);
create index acts_of_subject on acts (lane, subject_id, happened_at) where subject_id is not null;
create index acts_of_request on acts (lane, request_id);

create table guards (
    lane integer not null,
    seq bigint not null,
    asset text not null,
    second_from_units numeric(40, 0) check (second_from_units >= 0),
    typed_from_units numeric(40, 0) check (typed_from_units >= 0),
    exposure_units_max numeric(40, 0) check (exposure_units_max >= 0),
    primary key (lane, asset)
);

create table guard_terms (
    lane integer not null,
    seq bigint not null,
    id integer not null check (id = 1),
    deviation_bps_max integer check (deviation_bps_max >= 0),
    spread_change_bps_max integer check (spread_change_bps_max >= 0),
    limits_second boolean not null,
    proposal_seconds integer not null check (proposal_seconds > 0),
    primary key (lane, id)
);

create table proposals (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    verb text not null,
    duty text not null,
    command text not null,
    subject_id uuid not null,
    subject_version bigint,
    asset text,
    units numeric(40, 0),
    seen text not null,
    why text not null,
    proposed_by text not null,
    proposed_at timestamptz not null,
    expires_at timestamptz not null,
    state text not null check (state in ('open', 'carried_out', 'withdrawn', 'expired')),
    decided_by text,
    decided_at timestamptz,
    decided_why text,
    primary key (lane, id),
    constraint decided_once check ((state = 'open') = (decided_at is null)),
    constraint two_people check (state <> 'carried_out' or (decided_by is not null and decided_by <> proposed_by))
);

create index proposals_by_time on proposals (lane, proposed_at, id);
create index proposals_open on proposals (lane, proposed_at) where state = 'open';
create index proposals_of_subject on proposals (lane, subject_id, proposed_at);

create table open_proposals (
    lane integer not null,
    seq bigint not null,
    subject_id uuid not null,
    proposal_id uuid not null,
    primary key (lane, subject_id)
);

create table limits (
    lane integer not null,
    seq bigint not null,
    subject_id uuid not null,
    asset text not null,
    order_units_max numeric(40, 0) check (order_units_max >= 0),
    day_units_max numeric(40, 0) check (day_units_max >= 0),
    month_units_max numeric(40, 0) check (month_units_max >= 0),
    day text not null,
    day_units numeric(40, 0) not null check (day_units >= 0),
    month text not null,
    month_units numeric(40, 0) not null check (month_units >= 0),
    primary key (lane, subject_id, asset)
);

-- The newest change of a spread, in force from a time on; who has limits at all; and what a frozen party was before.
alter table spreads add column next_bps integer check (next_bps >= 0 and next_bps < 10000);
alter table spreads add column next_from timestamptz;
alter table tenants add column limited boolean;
alter table parties add column limited boolean;
alter table parties add column status_before text;

select otcdesk_protect(
    array['acts', 'guards', 'guard_terms', 'proposals', 'open_proposals', 'limits'],
    array['acts']
);

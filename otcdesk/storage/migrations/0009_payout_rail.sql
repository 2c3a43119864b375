-- What the simulated payout provider has taken and decided, by the reference that it was asked under. It stands for the
-- memory of an outside system: nothing of the desk reads or writes it but the simulation, and no batch does.
-- `due_at` is the business time from which an outcome holds; nobody has been told of it before it is `decided`, and what
-- is decided never changes. `asked_at` is when it was last asked for, also in business time. A payout without an outcome is one that the provider is to be told how to end. What comes back
-- of a payout is told until the desk has acknowledged it.
create table simulated_payouts (
    lane integer not null,
    reference text not null,
    order_id uuid not null,
    channel_type text not null,
    fiat text not null,
    units numeric(40, 0) not null check (units > 0),
    outcome text check (outcome in ('done', 'refused')),
    detail text not null,
    due_at timestamptz not null,
    decided boolean not null,
    returned_units numeric(40, 0) check (returned_units > 0 and returned_units <= units),
    return_reason text,
    acknowledged boolean not null default false,
    asked integer not null default 0,
    asked_at timestamptz not null,
    taken_at timestamptz not null default clock_timestamp(),
    primary key (lane, reference),
    constraint decided_is_an_outcome check (not decided or outcome is not null),
    constraint only_what_was_paid_comes_back check (returned_units is null or outcome = 'done')
);

-- Which version of its order a claim was made for, where an order changes while it rests between two attempts.
alter table leases add column order_version integer;

create index simulated_payouts_returned on simulated_payouts (taken_at)
    where returned_units is not null and decided and not acknowledged;

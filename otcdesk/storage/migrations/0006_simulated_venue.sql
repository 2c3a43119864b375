-- What the simulated execution venue has decided, by the reference that it was first asked under. It stands for the
-- memory of an outside system: nothing of the desk reads or writes it but the simulation, and no batch does.
create table simulated_executions (
    lane integer not null,
    reference text not null,
    side text not null check (side in ('buy', 'sell')),
    asset text not null,
    units numeric(40, 0) not null check (units > 0),
    fiat text not null,
    done boolean not null,
    price numeric check (price > 0),
    reason text not null,
    asked integer not null default 1,
    taken_at timestamptz not null default clock_timestamp(),
    primary key (lane, reference),
    constraint done_at_a_price check (done = (price is not null))
);

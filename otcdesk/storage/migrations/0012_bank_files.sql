-- Payouts through a bank that takes files and gives statements: the desk's accounts there, the files, which payout is in
-- which, and the lines of statements.

create table bank_accounts (
    lane integer not null,
    seq bigint not null,
    fiat text not null,
    iban text not null,
    bic text,
    name text not null,
    primary key (lane, fiat)
);

create table payout_files (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    fiat text not null,
    format text not null,
    iban text not null,
    bic text,
    name text not null,
    execution_on date not null,
    order_ids uuid[] not null check (cardinality(order_ids) > 0),
    total_units numeric(40, 0) not null check (total_units > 0),
    created_by text not null,
    created_at timestamptz not null,
    primary key (lane, id)
);

create index payout_files_by_time on payout_files (lane, created_at, id);

create table filed_payouts (
    lane integer not null,
    seq bigint not null,
    order_id uuid not null,
    file_id uuid not null,
    number integer not null check (number > 0),
    name text not null,
    iban text not null,
    bic text,
    remittance text not null,
    units numeric(40, 0) not null check (units > 0),
    debited_by uuid,
    returned_by uuid,
    primary key (lane, order_id)
) with (fillfactor = 70);

create index filed_payouts_by_file on filed_payouts (lane, file_id, number);

create table statement_lines (
    lane integer not null,
    seq bigint not null,
    id uuid not null,
    account text not null,
    statement text not null,
    bank_reference text,
    booked_on date not null,
    amount numeric not null check (amount >= 0),
    currency text not null,
    direction text not null check (direction in ('debit', 'credit')),
    reversal boolean not null,
    returned boolean not null,
    return_reason text,
    end_to_end_id text,
    batch_reference text,
    batch_count bigint,
    remittance text,
    doubt text,
    state text not null check (state in ('matched', 'unmatched', 'set aside')),
    reason text,
    order_id uuid,
    file_id uuid,
    note text,
    resolved_by text,
    imported_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (lane, id),
    constraint matched_with_one check (num_nonnulls(order_id, file_id) <= 1),
    constraint matched_with_any check ((state = 'matched') = (num_nonnulls(order_id, file_id) = 1)),
    constraint unmatched_has_a_reason check ((state = 'unmatched') = (reason is not null))
);

create index statement_lines_by_time on statement_lines (lane, imported_at, id);
create index statement_lines_unmatched on statement_lines (lane, imported_at, id) where state = 'unmatched';

select otcdesk_protect(
    array['bank_accounts', 'payout_files', 'filed_payouts', 'statement_lines'],
    array['payout_files']
);

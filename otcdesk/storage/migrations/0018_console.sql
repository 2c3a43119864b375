-- What the console looks for: orders by what has become of them, and every id that somebody may quote.

-- A filter names products, sides and states; each of them is one range of this index, newest last, whatever the others
-- hold. It costs orders no cheap updates: they have none since `updated_at`, which each of them changes, is indexed.
create index orders_by_state on orders (lane, product, side, state, created_at, id);

-- Ids that others have given are as long as they like, and what an index keeps is not: their beginning finds them.
create index deposits_by_outside_id on deposits (lane, left(outside_id, 80));
create index deposits_by_hash on deposits (lane, left(hash, 80)) where hash is not null;
create index deposits_by_reference on deposits (lane, left(reference, 80)) where reference is not null;
create index checkouts_by_external_id on checkouts (lane, left(external_id, 80)) where external_id is not null;
create index parties_by_external_id on parties (lane, lower(left(external_id, 80)));
create index jobs_by_hash on jobs (lane, left(hash, 80)) where hash is not null;
create index statement_lines_by_bank_reference on statement_lines (lane, left(bank_reference, 80))
    where bank_reference is not null;

-- What a rail calls a payout that it has made.
create index events_by_rail_id on events (lane, left(detail, 80))
    where name in ('payout.settle', 'chain_payout.settle') and detail is not null;

-- What was booked without an order, by the reference that the operator gave: those of orders begin with the order's id.
create index ledger_transactions_by_reference on ledger_transactions (lane, left(reference, 80))
    where order_id is null and reference is not null;

-- People quote how an IBAN or an address ends; read backwards it begins so.
create index accounts_by_end on accounts (lane, reverse(lower(right(address, 80))) text_pattern_ops)
    where address is not null;
create index payment_methods_by_end on payment_methods (lane, reverse(lower(right(number, 80))) text_pattern_ops)
    where number is not null;
create index payments_of_method on payments (lane, method_id, order_id) where method_id is not null;

-- What the desk's trades have won, by day: added up once from trades that never change, so that a year is a few hundred
-- rows. Derived and never decided on: emptied together with `traded_until`, it is made again. Day and time are the
-- lane's; components are in units of `asset`, exact (console/position/pnl.py says what each is).
create table trade_days (
    lane integer not null,
    day date not null,
    product text not null,
    side text not null,
    source_asset text not null,
    destination_asset text not null,
    asset text not null,
    trades bigint not null,
    source_sum numeric not null,
    destination_sum numeric not null,
    spread numeric not null,
    slippage numeric not null,
    fees numeric not null,
    other numeric not null,
    primary key (lane, day, product, side, source_asset, destination_asset)
);

-- The batch up to which trades have been added up.
create table traded_until (
    lane integer primary key,
    seq bigint not null
);

-- What each of the desk's own accounts had at the end of each day on which it had an entry: `version` is that entry's.
create table account_days (
    lane integer not null,
    account_id uuid not null,
    day date not null,
    version bigint not null,
    balance numeric(40, 0) not null,
    primary key (lane, account_id, day)
);

create index trades_by_batch on trades (lane, seq);
create index trades_by_time on trades (lane, executed_at, order_id);

-- The few accounts that are the desk's own although they are in a tenant's record.
create index accounts_of_treasury on accounts (lane) where purpose = 'treasury';

-- What operators have booked by hand, newest last.
create index ledger_transactions_by_hand on ledger_transactions (lane, booked_at, id)
    where order_id is null and reference is not null;

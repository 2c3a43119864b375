-- What must hold at every instant between batches, each rule once, as a query that must return no rows.
--
-- $1 is the lane, null for all lanes. A row that comes back names what breaks the rule: its lane, its table (`what`),
-- its key as it is printed everywhere, and how it breaks (`detail`). Every query is one statement, so it sees one
-- instant.

-- name: assets_sum_to_zero
-- Money only moves: over all accounts of a lane, each asset's balances sum to zero.
select a.lane, 'accounts' as what, a.asset as key, 'all balances of this asset sum to ' || sum(a.balance) as detail
from accounts as a
where $1::integer is null or a.lane = $1
group by a.lane, a.asset
having sum(a.balance) <> 0

-- name: balance_is_sum_of_entries
-- An account's balance is the sum of its entries, and its version their count.
select a.lane, 'accounts' as what, a.id::text as key,
    'balance ' || a.balance || ' at version ' || a.version || ', but ' || coalesce(e.entries, 0)
    || ' entries sum to ' || coalesce(e.units, 0) as detail
from accounts as a
left join (
    select lane, account_id, count(*) as entries, sum(units) as units
    from entries
    where $1::integer is null or lane = $1
    group by lane, account_id
) as e on e.lane = a.lane and e.account_id = a.id
where ($1::integer is null or a.lane = $1)
    and (a.balance <> coalesce(e.units, 0) or a.version <> coalesce(e.entries, 0))

-- name: entries_are_a_chain
-- An account's entries number from 1 without a gap, and each balance after is the one before plus the units.
select c.lane, 'entries' as what, c.account_id || '/' || c.account_version as key,
    'follows version ' || c.version_before || ' with balance ' || c.balance_before || ', adds ' || c.units
    || ' and says ' || c.balance_after as detail
from (
    select e.lane, e.account_id, e.account_version, e.units, e.balance_after,
        lag(e.account_version, 1, 0::bigint) over history as version_before,
        lag(e.balance_after, 1, 0::numeric) over history as balance_before
    from entries as e
    where $1::integer is null or e.lane = $1
    window history as (partition by e.lane, e.account_id order by e.account_version)
) as c
where c.account_version <> c.version_before + 1 or c.balance_after <> c.balance_before + c.units

-- name: held_is_sum_of_open_holds
-- What is held on an account is the sum of the open holds on it.
select a.lane, 'accounts' as what, a.id::text as key,
    'holds ' || a.held || ', but its open holds sum to ' || coalesce(h.units, 0) as detail
from accounts as a
left join (
    select lane, account_id, sum(units) as units
    from holds
    where state = 'open' and ($1::integer is null or lane = $1)
    group by lane, account_id
) as h on h.lane = a.lane and h.account_id = a.id
where ($1::integer is null or a.lane = $1) and a.held <> coalesce(h.units, 0)

-- name: available_never_below_floor
-- What is available on an account is never less than its floor.
select a.lane, 'accounts' as what, a.id::text as key,
    'available are ' || a.balance - a.held || ', the floor is ' || a.floor as detail
from accounts as a
where ($1::integer is null or a.lane = $1) and a.balance - a.held < a.floor

-- name: hold_belongs
-- Every hold is on an account that exists, for an order that exists.
select h.lane, 'holds' as what, h.id::text as key,
    case when a.id is null then 'no account ' || h.account_id else 'no order ' || h.order_id end as detail
from holds as h
left join accounts as a on a.lane = h.lane and a.id = h.account_id
left join orders as o on o.lane = h.lane and o.id = h.order_id
where ($1::integer is null or h.lane = $1) and (a.id is null or o.id is null)

-- name: closed_order_has_no_open_hold
-- An order that has come to an end, or expired, reserves nothing.
select o.lane, 'orders' as what, o.id::text as key, 'is ' || o.state || ', but hold ' || h.id || ' is open' as detail
from holds as h
join orders as o on o.lane = h.lane and o.id = h.order_id
where h.state = 'open' and ($1::integer is null or h.lane = $1)
    and o.state in ('completed', 'cancelled', 'rejected', 'failed', 'expired', 'finished', 'settled', 'refunded', 'declined')

-- name: waiting_order_has_open_holds
-- An order waits for a rail in exactly the states that say so, under a reference, with the open holds of that state.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ', waits for ' || coalesce(o.waits_for, 'nothing') || ' under '
    || coalesce(o.rail_reference, 'no reference') || ', its pay hold is ' || coalesce(pay.state, 'missing')
    || ', its collect hold ' || coalesce(collect.state, 'missing') as detail
from orders as o
left join holds as pay on pay.lane = o.lane and pay.id = o.pay_hold_id and pay.order_id = o.id
left join holds as collect on collect.lane = o.lane and collect.id = o.collect_hold_id and collect.order_id = o.id
where ($1::integer is null or o.lane = $1) and o.product = 'conversion'
    and (
        (o.waits_for is not null) <> (o.state in ('collecting', 'paying', 'returning'))
        or (o.rail_reference is not null) <> (o.waits_for is not null)
        or (o.pay_hold_id is not null) <> (o.state in ('collecting', 'paying'))
        or (o.collect_hold_id is not null) <> (
            o.state in ('collecting', 'returning') or (o.side = 'sell' and o.state = 'paying')
        )
        or (o.pay_hold_id is not null and pay.state is distinct from 'open')
        or (o.collect_hold_id is not null and collect.state is distinct from 'open')
    )

-- name: open_hold_is_named_by_its_order
-- Nothing stays reserved that its order does not know of.
select h.lane, 'holds' as what, h.id::text as key, 'is open, but order ' || h.order_id || ' does not name it' as detail
from holds as h
left join orders as o on o.lane = h.lane and o.id = h.order_id and h.id in (o.pay_hold_id, o.collect_hold_id)
where h.state = 'open' and ($1::integer is null or h.lane = $1) and o.id is null

-- name: completed_order_has_its_trade
-- An order that was completed left a trade; what was listed for resale has its own rule.
select o.lane, 'orders' as what, o.id::text as key, 'is ' || o.state || ' but left no trade' as detail
from orders as o
left join trades as t on t.lane = o.lane and t.order_id = o.id
where ($1::integer is null or o.lane = $1) and t.order_id is null and o.product <> 'resale'
    and (o.state in ('completed', 'finished') or (o.state = 'settled' and o.side in ('buy', 'sell')))

-- name: trade_agrees_with_its_order
-- A trade belongs to a completed order and says what that order says; those of resale have their own rule.
select t.lane, 'trades' as what, t.order_id::text as key,
    case
        when o.id is null then 'there is no such order'
        when o.state not in ('completed', 'finished', 'settled') then 'its order is ' || o.state
        else t.source_units || ' ' || t.source_asset || ' for ' || t.destination_units || ' ' || t.destination_asset
            || ' at ' || t.executed_rate || ', its order: ' || o.source_units || ' ' || o.source_asset || ' for '
            || o.destination_units || ' ' || o.destination_asset || ' at ' || o.rate
    end as detail
from trades as t
left join orders as o on o.lane = t.lane and o.id = t.order_id
where ($1::integer is null or t.lane = $1) and o.product is distinct from 'resale'
    and (
        o.id is null
        or o.state not in ('completed', 'finished', 'settled')
        or (t.tenant_id, t.source_asset, t.source_units, t.destination_asset, t.destination_units, t.executed_rate)
        is distinct from
        (o.tenant_id, o.source_asset, o.source_units, o.destination_asset, o.destination_units, o.rate)
    )

-- name: buy_is_debited_once
-- A buy is debited exactly once when it is confirmed, and never without.
select o.lane, 'orders' as what, o.id::text as key,
    'was ' || case when o.confirmed_at is null then 'never ' else '' end || 'confirmed, and debited '
    || coalesce(d.debits, 0) || ' times' as detail
from orders as o
left join (
    select lane, order_id, count(*) as debits
    from ledger_transactions
    where reason = 'conversion debit' and ($1::integer is null or lane = $1)
    group by lane, order_id
) as d on d.lane = o.lane and d.order_id = o.id
where ($1::integer is null or o.lane = $1) and o.product = 'conversion'
    and coalesce(d.debits, 0) <> case when o.side = 'buy' and o.confirmed_at is not null then 1 else 0 end

-- name: confirm_key_has_one_effect
-- The order in the answer of a confirm's key was confirmed, at least once for each of its keys.
select k.lane, 'idempotency_keys' as what, k.owner_id || '/confirm_conversion/' || k.idempotency_key as key,
    'is one of ' || k.keys || ' done keys of order ' || k.order_id || ', which was confirmed '
    || coalesce(c.confirms, 0) || ' times' as detail
from (
    select a.lane, a.owner_id, a.idempotency_key, a.order_id, count(*) over (partition by a.lane, a.order_id) as keys
    from (
        select lane, owner_id, idempotency_key,
            split_part(split_part(answer, '"order_id":"', 2), '"', 1) collate "C" as order_id
        from idempotency_keys
        where scope = 'confirm_conversion' and outcome = 'done' and ($1::integer is null or lane = $1)
    ) as a
) as k
left join (
    select lane, tenant_id, order_id, count(*) as confirms
    from events
    where name = 'conversion.confirm' and ($1::integer is null or lane = $1)
    group by lane, tenant_id, order_id
) as c on c.lane = k.lane and c.order_id::text = k.order_id and c.tenant_id = k.owner_id
where coalesce(c.confirms, 0) < k.keys

-- name: booking_key_has_one_effect
-- The ledger transaction in the answer of a booking's key, or the proposal to make it, exists, and is in no other
-- key's answer.
select k.lane, 'idempotency_keys' as what, k.owner_id || '/booking/' || k.idempotency_key as key,
    'is one of ' || k.keys || ' done keys of ' || k.effect_id
    || case when t.id is null and p.id is null then ', which is no ledger transaction and no proposal' else '' end
    as detail
from (
    select a.lane, a.owner_id, a.idempotency_key, a.effect_id,
        count(*) over (partition by a.lane, a.effect_id) as keys
    from (
        select lane, owner_id, idempotency_key,
            coalesce(
                nullif(split_part(split_part(answer, '"transaction":{"id":"', 2), '"', 1), ''),
                split_part(split_part(answer, '"proposal":{"id":"', 2), '"', 1)
            ) collate "C" as effect_id
        from idempotency_keys
        where scope = 'booking' and outcome = 'done' and ($1::integer is null or lane = $1)
    ) as a
) as k
left join ledger_transactions as t on t.lane = k.lane and t.id::text = k.effect_id
left join proposals as p on p.lane = k.lane and p.id::text = k.effect_id
where (t.id is null and p.id is null) or k.keys > 1

-- name: posting_has_its_two_entries
-- A posting has exactly two entries: its units off the source, and onto the destination.
select p.lane, 'postings' as what, p.transaction_id || '/' || p.number as key,
    'moves ' || p.units || ' from ' || p.source_account_id || ' to ' || p.destination_account_id || ', its entries: '
    || coalesce(string_agg(e.units || ' on ' || e.account_id, ', ' order by e.units), 'none') as detail
from postings as p
left join entries as e on e.lane = p.lane and e.transaction_id = p.transaction_id and e.posting_number = p.number
where $1::integer is null or p.lane = $1
group by p.lane, p.transaction_id, p.number
having count(e.units) <> 2
    or count(*) filter (where e.account_id = p.source_account_id and e.units = -p.units) <> 1
    or count(*) filter (where e.account_id = p.destination_account_id and e.units = p.units) <> 1

-- name: posting_is_of_its_accounts_asset
-- Both accounts of a posting exist and hold its asset.
select p.lane, 'postings' as what, p.transaction_id || '/' || p.number as key,
    'moves ' || p.asset || ' from an account of ' || coalesce(s.asset, 'nothing') || ' to one of '
    || coalesce(d.asset, 'nothing') as detail
from postings as p
left join accounts as s on s.lane = p.lane and s.id = p.source_account_id
left join accounts as d on d.lane = p.lane and d.id = p.destination_account_id
where ($1::integer is null or p.lane = $1) and (s.asset is distinct from p.asset or d.asset is distinct from p.asset)

-- name: ledger_transaction_has_postings
-- A ledger transaction has postings, numbered from 1 without a gap.
select t.lane, 'ledger_transactions' as what, t.id::text as key,
    'has ' || count(p.number) || ' postings, the last is number ' || coalesce(max(p.number), 0) as detail
from ledger_transactions as t
left join postings as p on p.lane = t.lane and p.transaction_id = t.id
where $1::integer is null or t.lane = $1
group by t.lane, t.id
having count(p.number) = 0 or count(p.number) <> max(p.number)

-- name: posting_has_its_ledger_transaction
-- Every posting belongs to a ledger transaction.
select p.lane, 'postings' as what, p.transaction_id || '/' || p.number as key, 'has no ledger transaction' as detail
from postings as p
where ($1::integer is null or p.lane = $1)
    and not exists (select from ledger_transactions as t where t.lane = p.lane and t.id = p.transaction_id)

-- name: entry_has_its_posting
-- Every entry belongs to a posting and to an account.
select e.lane, 'entries' as what, e.account_id || '/' || e.account_version as key,
    case
        when p.number is null then 'has no posting ' || e.transaction_id || '/' || e.posting_number
        else 'has no account'
    end as detail
from entries as e
left join postings as p on p.lane = e.lane and p.transaction_id = e.transaction_id and p.number = e.posting_number
left join accounts as a on a.lane = e.lane and a.id = e.account_id
where ($1::integer is null or e.lane = $1) and (p.number is null or a.id is null)

-- name: order_has_its_events
-- Every version of an order but its first has one event, and the last event says the order's state.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ' at version ' || o.version || ', but has ' || coalesce(e.events, 0) || ' events, versions '
    || coalesce(e.first, 0) || ' to ' || coalesce(e.last, 0) || coalesce(', the last to ' || l.state, '') as detail
from orders as o
left join (
    select lane, order_id, count(*) as events, min(order_version) as first, max(order_version) as last
    from events
    where $1::integer is null or lane = $1
    group by lane, order_id
) as e on e.lane = o.lane and e.order_id = o.id
left join events as l on l.lane = o.lane and l.order_id = o.id and l.order_version = o.version
where ($1::integer is null or o.lane = $1)
    and (
        coalesce(e.events, 0) <> o.version - 1
        or (o.version > 1 and (e.first <> 2 or l.state is distinct from o.state))
    )

-- name: event_has_its_order
-- Every event belongs to an order, and to its tenant.
select e.lane, 'events' as what, e.order_id || '/' || e.order_version as key,
    'there is no such order of tenant ' || e.tenant_id as detail
from events as e
where ($1::integer is null or e.lane = $1)
    and not exists (
        select from orders as o where o.lane = e.lane and o.id = e.order_id and o.tenant_id = e.tenant_id
    )

-- name: last_event_has_the_terms
-- The last event of an order says the order's rate and what it brings; events from before there were callbacks do not.
select o.lane, 'orders' as what, o.id::text as key,
    'brings ' || o.destination_units || ' at ' || o.rate || ', but its last event says ' || e.destination_units
    || ' at ' || e.rate as detail
from orders as o
join events as e on e.lane = o.lane and e.order_id = o.id and e.order_version = o.version
where ($1::integer is null or o.lane = $1)
    and (e.rate <> o.rate or e.destination_units <> o.destination_units)

-- name: firm_quote_has_its_order
-- Every firm quote is the terms of an order of its product, tenant, assets and amounts, and every such order has them.
select coalesce(o.lane, f.lane) as lane, 'firm_quotes' as what, coalesce(o.id, f.order_id)::text as key,
    case
        when o.id is null then 'there is no such order'
        when f.order_id is null then 'the order has no quote'
        else 'differs from its order in tenant, assets or amounts'
    end as detail
from (select * from orders where product = 'brokerage' and ($1::integer is null or lane = $1)) as o
full join (select * from firm_quotes where $1::integer is null or lane = $1) as f on f.lane = o.lane and f.order_id = o.id
where o.id is null
    or f.order_id is null
    or o.rate <> f.price
    or (o.tenant_id, o.source_asset, o.source_units, o.destination_asset, o.destination_units) is distinct from
    case o.side
        when 'buy' then (f.tenant_id, f.fiat, f.total_units, f.asset, f.asset_units)
        else (f.tenant_id, f.asset, f.asset_units, f.fiat, f.fiat_units)
    end

-- name: brokerage_in_progress_has_its_hold
-- An order waits for the venue exactly while it is in progress, under a reference, and reserves what it takes.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ', waits for ' || coalesce(o.waits_for, 'nothing') || ' under '
    || coalesce(o.rail_reference, 'no reference') || ', its hold is ' || coalesce(h.state, 'missing') as detail
from orders as o
left join holds as h on h.lane = o.lane and h.id = o.collect_hold_id and h.order_id = o.id
    and h.account_id = o.source_account_id and h.units = o.source_units
where ($1::integer is null or o.lane = $1) and o.product = 'brokerage'
    and (
        (o.waits_for is not null) <> (o.state = 'in_progress')
        or (o.rail_reference is not null) <> (o.state = 'in_progress')
        or (o.collect_hold_id is not null) <> (o.state = 'in_progress')
        or (o.state = 'in_progress' and h.state is distinct from 'open')
    )

-- name: accepted_quote_has_its_acceptance
-- A quote was accepted exactly if it has an acceptance, by its tenant and party.
select coalesce(o.lane, a.lane) as lane, 'acceptances' as what, coalesce(o.id, a.order_id)::text as key,
    case when a.order_id is null then 'is missing' else 'its quote was never accepted by that party' end as detail
from (
    select o.lane, o.id, o.tenant_id, f.party_id
    from orders as o
    left join firm_quotes as f on f.lane = o.lane and f.order_id = o.id
    where o.product = 'brokerage' and o.confirmed_at is not null and ($1::integer is null or o.lane = $1)
) as o
full join (select * from acceptances where $1::integer is null or lane = $1) as a
    on a.lane = o.lane and a.order_id = o.id and a.tenant_id = o.tenant_id and a.party_id = o.party_id
where o.id is null or a.order_id is null

-- name: external_id_accepts_one_quote
-- A tenant's external id was bound to one quote.
select a.lane, 'acceptances' as what, a.tenant_id || '/' || a.external_id as key,
    'is bound to ' || count(*) || ' quotes' as detail
from acceptances as a
where a.external_id is not null and ($1::integer is null or a.lane = $1)
group by a.lane, a.tenant_id, a.external_id
having count(*) > 1

-- name: accept_key_has_its_acceptance
-- A used external id is that of the acceptance of the order in its answer.
select k.lane, 'idempotency_keys' as what, k.owner_id || '/accept_quote/' || k.idempotency_key as key,
    'has no acceptance of order ' || k.order_id as detail
from (
    select lane, owner_id, idempotency_key,
        split_part(split_part(answer, '"order_id":"', 2), '"', 1) collate "C" as order_id
    from idempotency_keys
    where scope = 'accept_quote' and outcome = 'done' and ($1::integer is null or lane = $1)
) as k
left join acceptances as a on a.lane = k.lane and a.tenant_id = k.owner_id and a.external_id = k.idempotency_key
    and a.order_id::text = k.order_id
where a.order_id is null

-- name: executed_quote_is_booked_once
-- A finished order was booked exactly once, and no other ever.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ', and booked ' || coalesce(b.bookings, 0) || ' times' as detail
from orders as o
left join (
    select lane, order_id, count(*) as bookings
    from ledger_transactions
    where reason = 'brokerage execution' and ($1::integer is null or lane = $1)
    group by lane, order_id
) as b on b.lane = o.lane and b.order_id = o.id
where ($1::integer is null or o.lane = $1) and o.product = 'brokerage'
    and coalesce(b.bookings, 0) <> case when o.state = 'finished' then 1 else 0 end

-- name: position_is_of_its_party
-- A cost basis belongs to a party that exists.
select p.lane, 'positions' as what, p.party_id || '/' || p.asset as key, 'there is no such party' as detail
from positions as p
where ($1::integer is null or p.lane = $1)
    and not exists (select from parties as u where u.lane = p.lane and u.id = p.party_id)

-- name: payment_has_its_order
-- Every payment is what an order of its product and tenant is about, with its amounts, and every such order has one.
select coalesce(o.lane, p.lane) as lane, 'payments' as what, coalesce(o.id, p.order_id)::text as key,
    case
        when o.id is null then 'there is no such order'
        when p.order_id is null then 'the order has no payment'
        else 'differs from its order in tenant, assets or amounts'
    end as detail
from (select * from orders where product = 'payout' and ($1::integer is null or lane = $1)) as o
full join (select * from payments where $1::integer is null or lane = $1) as p on p.lane = o.lane and p.order_id = o.id
where o.id is null
    or p.order_id is null
    or o.tenant_id <> p.tenant_id
    or case o.side
        when 'sell' then
            (o.source_asset, o.destination_asset, o.destination_units, o.rate)
            is distinct from (p.asset, p.fiat, p.fiat_units, p.rate)
        when 'buy' then
            (o.source_asset, o.source_units, o.destination_asset, o.rate)
            is distinct from (p.fiat, p.fiat_units, p.asset, p.rate)
        else (o.source_asset, o.destination_asset) is distinct from (p.asset, p.asset)
    end

-- name: payout_costs_what_it_says
-- What a payout takes of the asset covers what arrives and its fees at its rate, by less than one more unit, and is no
-- more than its ceiling; what comes back brings at most that much (ramp contract 7).
select o.lane, 'orders' as what, o.id::text as key,
    'takes or brings ' || o.source_units || ' ' || o.source_asset || ' for ' || p.fiat_units || ' + ' || p.fee_units
    || ' + ' || p.surcharge_units || ' at ' || p.rate || ', its ceiling is ' || coalesce(p.ceiling::text, 'none') as detail
from orders as o
join payments as p on p.lane = o.lane and p.order_id = o.id
join assets as a on a.lane = o.lane and a.code = p.asset
join assets as f on f.lane = o.lane and f.code = p.fiat
where ($1::integer is null or o.lane = $1) and o.product = 'payout' and p.rate is not null
    and case o.side
        when 'sell' then
            o.source_units * p.rate * 10::numeric ^ f.scale
            < (p.fiat_units + p.fee_units + p.surcharge_units) * 10::numeric ^ a.scale
            or (o.source_units - 1) * p.rate * 10::numeric ^ f.scale
            >= (p.fiat_units + p.fee_units + p.surcharge_units) * 10::numeric ^ a.scale
            or o.source_units > p.ceiling * 10::numeric ^ a.scale
        else
            o.destination_units * p.rate * 10::numeric ^ f.scale > p.fiat_units * 10::numeric ^ a.scale
    end

-- name: payout_reserves_what_it_takes
-- A payout reserves what it takes, and the fiat that it pays with its fees, exactly until its rail has spoken; it waits
-- for a rail exactly while it is pending or cancelling, under a reference.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ', waits for ' || coalesce(o.waits_for, 'nothing') || ' under '
    || coalesce(o.rail_reference, 'no reference') || ', its pay hold is ' || coalesce(pay.state, 'missing')
    || ', its collect hold ' || coalesce(collect.state, 'missing') as detail
from orders as o
join payments as p on p.lane = o.lane and p.order_id = o.id
left join holds as pay on pay.lane = o.lane and pay.id = o.pay_hold_id and pay.order_id = o.id
    and pay.units = p.fiat_units + p.fee_units + p.surcharge_units
left join holds as collect on collect.lane = o.lane and collect.id = o.collect_hold_id and collect.order_id = o.id
    and collect.account_id = o.source_account_id and collect.units = o.source_units
where ($1::integer is null or o.lane = $1) and o.product = 'payout'
    and (
        (o.waits_for is not null) <> (o.state in ('pending', 'cancelling'))
        or (o.rail_reference is not null) <> (o.state in ('pending', 'held', 'filed', 'cancelling'))
        or (pay.state is not distinct from 'open') <> (o.state in ('pending', 'held', 'filed', 'cancelling'))
        or (collect.state is not distinct from 'open') <> (o.state in ('pending', 'held', 'filed', 'cancelling'))
        or (o.pay_hold_id is not null) <> (o.state in ('pending', 'held', 'filed', 'cancelling'))
        or (o.collect_hold_id is not null) <> (o.state in ('pending', 'held', 'filed', 'cancelling'))
    )

-- name: prepared_payout_is_sold_once
-- What was prepared names the order that sold it, an order of that tenant; no two name one.
select q.lane, 'prepared_payouts' as what, q.id::text as key,
    'was sold as ' || q.order_id || case when p.order_id is null then ', which does not say so' else ', as another' end
    as detail
from (
    select r.*, count(*) over (partition by r.lane, r.order_id) as sales
    from prepared_payouts as r
    where r.order_id is not null and ($1::integer is null or r.lane = $1)
) as q
left join payments as p on p.lane = q.lane and p.order_id = q.order_id and p.prepared_id = q.id
    and p.tenant_id = q.tenant_id
where p.order_id is null or q.sales > 1

-- name: sell_key_has_its_payout
-- The payout in the answer of a nonce is its tenant's, and in no other nonce's answer.
select k.lane, 'idempotency_keys' as what, k.owner_id || '/sell_payout/' || k.idempotency_key as key,
    'is one of ' || k.keys || ' done keys of payout ' || k.order_id
    || case when o.id is null then ', which is none of the tenant''s' else '' end as detail
from (
    select a.lane, a.owner_id, a.idempotency_key, a.order_id, count(*) over (partition by a.lane, a.order_id) as keys
    from (
        select lane, owner_id, idempotency_key,
            split_part(split_part(answer, '"order_id":"', 2), '"', 1) collate "C" as order_id
        from idempotency_keys
        where scope = 'sell_payout' and outcome = 'done' and ($1::integer is null or lane = $1)
    ) as a
) as k
left join orders as o on o.lane = k.lane and o.id::text = k.order_id and o.tenant_id = k.owner_id and o.product = 'payout'
where o.id is null or k.keys > 1

-- name: adjustment_key_has_its_order
-- The order in the answer of an adjustment's key is an adjustment, and in no other key's answer.
select k.lane, 'idempotency_keys' as what, k.owner_id || '/adjust_payout/' || k.idempotency_key as key,
    'is one of ' || k.keys || ' done keys of order ' || k.order_id
    || case when p.order_id is null then ', which is no adjustment' else '' end as detail
from (
    select a.lane, a.owner_id, a.idempotency_key, a.order_id, count(*) over (partition by a.lane, a.order_id) as keys
    from (
        select lane, owner_id, idempotency_key,
            split_part(split_part(answer, '"order_id":"', 2), '"', 1) collate "C" as order_id
        from idempotency_keys
        where scope = 'adjust_payout' and outcome = 'done' and ($1::integer is null or lane = $1)
    ) as a
) as k
left join payments as p on p.lane = k.lane and p.order_id::text = k.order_id and p.kind = 'adjustment'
where p.order_id is null or k.keys > 1

-- name: settled_payout_is_booked_once
-- A payout is booked exactly once if it is settled, and never otherwise; so is what came back, or was corrected.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ' and was booked ' || coalesce(t.bookings, 0) || ' times' as detail
from orders as o
left join (
    select lane, order_id, count(*) as bookings
    from ledger_transactions
    where order_id is not null and ($1::integer is null or lane = $1)
    group by lane, order_id
) as t on t.lane = o.lane and t.order_id = o.id
where ($1::integer is null or o.lane = $1) and o.product = 'payout'
    and coalesce(t.bookings, 0) <> case when o.state = 'settled' then 1 else 0 end

-- name: return_is_of_a_settled_payout
-- What came back is of a settled payout of the same tenant, and not more than was paid; what is corrected was settled.
select p.lane, 'payments' as what, p.order_id::text as key, 'is not of a settled payout that it fits' as detail
from payments as p
left join orders as o on o.lane = p.lane and o.id = coalesce(p.returns_id, p.adjusts_id) and o.tenant_id = p.tenant_id
    and o.product = 'payout' and o.side = 'sell' and o.state = 'settled'
left join payments as q on q.lane = o.lane and q.order_id = o.id
where ($1::integer is null or p.lane = $1) and p.kind in ('return', 'adjustment')
    and (o.id is null or (p.kind = 'return' and p.fiat_units > q.fiat_units) or p.asset <> q.asset)

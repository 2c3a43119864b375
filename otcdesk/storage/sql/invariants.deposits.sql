-- What must hold of deposits, of the rules that they set off and of what leaves for a chain; see invariants.sql.

-- name: deposit_has_its_order
-- Every deposit is what an order of its product and tenant is about, at the kind of place that its side says, and every
-- such order has one; what arrives is what is credited.
select coalesce(o.lane, d.lane) as lane, 'deposits' as what, coalesce(o.id, d.order_id)::text as key,
    case
        when o.id is null then 'there is no such order'
        when d.order_id is null then 'the order has no deposit'
        else 'differs from its order in tenant, place or amounts'
    end as detail
from (select * from orders where product = 'deposit' and ($1::integer is null or lane = $1)) as o
full join (select * from deposits where $1::integer is null or lane = $1) as d on d.lane = o.lane and d.order_id = o.id
where o.id is null
    or d.order_id is null
    or o.tenant_id <> d.tenant_id
    or (o.side = 'fiat') <> (d.method is not null)
    or (o.source_asset, o.source_units) <> (o.destination_asset, o.destination_units)

-- name: settled_deposit_is_booked_once
-- A deposit is booked exactly once if it is settled, and never otherwise; so is what leaves for a chain.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ' and was booked ' || coalesce(t.bookings, 0) || ' times' as detail
from orders as o
left join (
    select lane, order_id, count(*) as bookings
    from ledger_transactions
    where order_id is not null and ($1::integer is null or lane = $1)
    group by lane, order_id
) as t on t.lane = o.lane and t.order_id = o.id
where ($1::integer is null or o.lane = $1) and o.product in ('deposit', 'chain_payout')
    and coalesce(t.bookings, 0) <> case when o.state = 'settled' then 1 else 0 end

-- name: deposit_came_to_its_place
-- A deposit came to an address or to bank details of its tenant's, and is for whom that is.
select d.lane, 'deposits' as what, d.order_id::text as key, 'is for somebody else than its place' as detail
from deposits as d
left join deposit_addresses as a on a.lane = d.lane and a.network = d.network and a.address = d.address
left join bank_details as b on b.lane = d.lane and b.name = d.method
where ($1::integer is null or d.lane = $1)
    and (d.tenant_id, d.party_id, d.rule_id) is distinct from (
        coalesce(a.tenant_id, b.tenant_id), coalesce(a.party_id, b.party_id), coalesce(a.rule_id, b.rule_id)
    )

-- name: rule_fires_once_for_a_deposit
-- A rule has fired as often as it made an order for a deposit. It was tried at most once for each deposit, and for settled
-- deposits of its tenant only.
select r.lane, 'rules' as what, r.id::text as key,
    'says that it has fired ' || r.fired || ' times, but did ' || r.firings || ' times, and was tried ' || r.tries
    || ' times for ' || r.deposits || ' settled deposits' as detail
from (
    select u.lane, u.id, u.fired, count(distinct x.id) as tries, count(distinct o.id) as deposits,
        count(distinct x.id) filter (where x.order_id is not null) as firings
    from rules as u
    left join rule_executions as x on x.lane = u.lane and x.rule_id = u.id
    left join orders as o on o.lane = x.lane and o.id = x.deposit_id and o.product = 'deposit' and o.state = 'settled'
        and o.tenant_id = u.tenant_id and x.tenant_id = u.tenant_id
    where $1::integer is null or u.lane = $1
    group by u.lane, u.id
) as r
where r.fired <> r.firings or r.tries <> r.deposits

-- name: live_rules_are_listed
-- A rule is in its tenant's list exactly while it can fire.
select coalesce(r.lane, l.lane) as lane, 'rules' as what, coalesce(r.id, l.rule_id)::text as key,
    case when l.rule_id is null then 'is live, and in no list' else 'is listed, and not live' end as detail
from (select * from rules where state = 'live' and ($1::integer is null or lane = $1)) as r
full join (
    select lane, tenant_id, unnest(rule_ids) as rule_id from live_rules where $1::integer is null or lane = $1
) as l on l.lane = r.lane and l.rule_id = r.id and l.tenant_id = r.tenant_id
where r.id is null or l.rule_id is null

-- name: rule_execution_has_its_order
-- What a rule's execution says it made says so too, and the other way round.
select coalesce(x.lane, p.lane) as lane, 'rule_executions' as what,
    coalesce(x.id || '/' || x.number, p.rule_execution_id::text) as key,
    case
        when x.id is null then 'is named by payment ' || p.order_id || ' and not there'
        else 'has no payment ' || x.order_id
    end as detail
from (select * from rule_executions where order_id is not null and ($1::integer is null or lane = $1)) as x
full join (select * from payments where rule_id is not null and ($1::integer is null or lane = $1)) as p
    on p.lane = x.lane and p.order_id = x.order_id and p.rule_execution_id = x.id and p.rule_id = x.rule_id
    and p.tenant_id = x.tenant_id
where x.id is null or p.order_id is null

-- name: purchase_is_paid_by_its_deposit
-- What was bought for a deposit was paid with all of it.
select p.lane, 'payments' as what, p.order_id::text as key, 'is of no settled deposit that it fits' as detail
from payments as p
left join orders as o on o.lane = p.lane and o.id = p.deposit_id and o.tenant_id = p.tenant_id
    and o.product = 'deposit' and o.state = 'settled' and o.source_asset = p.fiat and o.source_units = p.fiat_units
where ($1::integer is null or p.lane = $1) and p.kind = 'purchase' and o.id is null

-- name: deposit_is_spent_once
-- At most one purchase is paid with a deposit.
select p.lane, 'payments' as what, p.order_id::text as key,
    'is one of ' || p.purchases || ' purchases for deposit ' || p.deposit_id as detail
from (
    select s.lane, s.order_id, s.deposit_id, count(*) over (partition by s.lane, s.deposit_id) as purchases
    from payments as s
    where s.kind = 'purchase' and ($1::integer is null or s.lane = $1)
) as p
where p.purchases > 1

-- name: chain_payout_has_its_order
-- What leaves for a chain has an order of its tenant's, and every such order says where it goes; it waits for the chain,
-- under a reference, and reserves what it takes exactly while it is pending.
select coalesce(o.lane, c.lane) as lane, 'chain_payouts' as what, coalesce(o.id, c.order_id)::text as key,
    case
        when o.id is null then 'there is no such order'
        when c.order_id is null then 'the order says not where it goes'
        else 'is ' || o.state || ', waits for ' || coalesce(o.waits_for, 'nothing') || ' under '
            || coalesce(o.rail_reference, 'no reference') || ', its hold is ' || coalesce(h.state, 'missing')
    end as detail
from (select * from orders where product = 'chain_payout' and ($1::integer is null or lane = $1)) as o
full join (select * from chain_payouts where $1::integer is null or lane = $1) as c
    on c.lane = o.lane and c.order_id = o.id and c.tenant_id = o.tenant_id
left join holds as h on h.lane = o.lane and h.id = o.collect_hold_id and h.order_id = o.id
    and h.account_id = o.source_account_id and h.units = o.source_units
where o.id is null
    or c.order_id is null
    or (o.waits_for is not null) <> (o.state = 'pending')
    or (o.rail_reference is not null) <> (o.state = 'pending')
    or (h.state is not distinct from 'open') <> (o.state = 'pending')

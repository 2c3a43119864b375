-- What must always hold of checkouts; see invariants.sql.

-- name: checkout_has_its_order
-- Every checkout is what an order of its product, tenant and assets is about, and every such order has one.
select coalesce(o.lane, c.lane) as lane, 'checkouts' as what, coalesce(o.id, c.order_id)::text as key,
    case
        when o.id is null then 'there is no such order'
        when c.order_id is null then 'the order has no checkout'
        else 'differs from its order in tenant or assets'
    end as detail
from (select * from orders where product = 'checkout' and ($1::integer is null or lane = $1)) as o
full join (select * from checkouts where $1::integer is null or lane = $1) as c on c.lane = o.lane and c.order_id = o.id
where o.id is null
    or c.order_id is null
    or (o.tenant_id, o.source_asset, o.destination_asset) is distinct from
    case o.side
        when 'fiat_out' then (c.tenant_id, c.asset, c.fiat)
        when 'fiat_in' then (c.tenant_id, c.fiat, c.asset)
        else (c.tenant_id, c.asset, c.asset)
    end

-- name: checkout_follows_its_payout
-- A checkout that pays out has one payout of its tenant, party, amount and ceiling from its confirmation on, and is over
-- exactly if that is.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ' and has ' || coalesce(p.payouts, 0) || ' payouts that fit, the last '
    || coalesce(p.state, 'missing') as detail
from orders as o
left join (
    select s.lane, s.checkout_id, count(*) as payouts, max(t.state) as state
    from payments as s
    join checkouts as c on c.lane = s.lane and c.order_id = s.checkout_id and c.tenant_id = s.tenant_id
        and c.party_id = s.party_id and c.fiat = s.fiat and c.ceiling is not distinct from s.ceiling
    join orders as d on d.lane = s.lane and d.id = s.checkout_id and d.destination_units = s.fiat_units
    join orders as t on t.lane = s.lane and t.id = s.order_id
    where s.checkout_id is not null and ($1::integer is null or s.lane = $1)
    group by s.lane, s.checkout_id
) as p on p.lane = o.lane and p.checkout_id = o.id
where ($1::integer is null or o.lane = $1) and o.product = 'checkout' and o.side = 'fiat_out'
    and (
        coalesce(p.payouts, 0) <> case when o.confirmed_at is null then 0 else 1 end
        or (o.state = 'settled') <> (p.state is not distinct from 'settled')
        or (o.state = 'failed' and o.confirmed_at is not null) <> (p.state is not distinct from 'failed')
    )

-- name: awaited_payment_has_its_checkout
-- What is waited for is the source of a checkout that names the place. The checkout is settled or failed only once all of it
-- has arrived (or somebody turned it down) and nothing waits to be bought for, and has no deadline once it is paid.
select a.lane, 'awaited_payments' as what, a.place as key,
    'waits for ' || a.due_units || ', ' || a.arrived_units || ' arrived, ' || cardinality(a.unbought_ids)
    || ' deposits wait; its checkout is ' || coalesce(o.state, 'missing') as detail
from awaited_payments as a
left join checkouts as c on c.lane = a.lane and c.order_id = a.order_id
    and a.place = coalesce(c.reference, c.network || '/' || c.address)
left join orders as o on o.lane = c.lane and o.id = c.order_id and o.source_units = a.due_units
where ($1::integer is null or a.lane = $1)
    and (
        o.id is null
        or (
            o.state = 'settled'
            and (a.arrived_units < a.due_units or cardinality(a.unbought_ids) > 0
                or a.brought_units <> o.destination_units)
        )
        or (o.state in ('open', 'confirmed') and (o.due_at is null) <> (a.arrived_units >= a.due_units))
    )

-- name: arrival_is_bought_once
-- What has arrived for a checkout in fiat is at least what its purchases took and what waits, and has brought what they
-- brought; what waits is settled deposits of the tenant's that nothing was bought for.
select a.lane, 'awaited_payments' as what, a.place as key,
    a.arrived_units || ' arrived, ' || coalesce(p.fiat_units, 0) || ' bought ' || coalesce(p.units, 0) || ' and not '
    || a.brought_units || ', ' || w.units || ' wait in ' || w.deposits || ' of ' || cardinality(a.unbought_ids)
    || ' deposits' as detail
from awaited_payments as a
join orders as o on o.lane = a.lane and o.id = a.order_id and o.side = 'fiat_in'
left join (
    select s.lane, s.checkout_id, sum(s.fiat_units) as fiat_units, sum(t.destination_units) as units
    from payments as s
    join orders as t on t.lane = s.lane and t.id = s.order_id
    where s.kind = 'purchase' and s.checkout_id is not null and ($1::integer is null or s.lane = $1)
    group by s.lane, s.checkout_id
) as p on p.lane = a.lane and p.checkout_id = a.order_id
cross join lateral (
    select count(distinct d.id) as deposits, coalesce(sum(d.source_units), 0) as units
    from unnest(a.unbought_ids) as u (id)
    join orders as d on d.lane = a.lane and d.id = u.id and d.product = 'deposit' and d.state = 'settled'
        and d.tenant_id = o.tenant_id and d.source_asset = o.source_asset
    where not exists (
        select from payments as b where b.lane = d.lane and b.deposit_id = d.id and b.kind = 'purchase'
    )
) as w
where ($1::integer is null or a.lane = $1)
    and (
        a.brought_units <> coalesce(p.units, 0)
        or w.deposits <> cardinality(a.unbought_ids)
        or a.arrived_units < coalesce(p.fiat_units, 0) + w.units
    )

-- name: open_key_has_its_checkout
-- The checkout in the answer of a nonce is its tenant's, and in no other nonce's answer.
select k.lane, 'idempotency_keys' as what, k.owner_id || '/open_checkout/' || k.idempotency_key as key,
    'is one of ' || k.keys || ' done keys of checkout ' || k.order_id
    || case when c.order_id is null then ', which is none of the tenant''s' else '' end as detail
from (
    select a.lane, a.owner_id, a.idempotency_key, a.order_id, count(*) over (partition by a.lane, a.order_id) as keys
    from (
        select lane, owner_id, idempotency_key,
            split_part(split_part(answer, '"order_id":"', 2), '"', 1) collate "C" as order_id
        from idempotency_keys
        where scope = 'open_checkout' and outcome = 'done' and ($1::integer is null or lane = $1)
    ) as a
) as k
left join checkouts as c on c.lane = k.lane and c.order_id::text = k.order_id and c.tenant_id = k.owner_id
where c.order_id is null or k.keys > 1

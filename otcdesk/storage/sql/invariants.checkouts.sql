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
-- What is waited for is the source of a checkout that names the place; it has arrived if the checkout is settled.
select a.lane, 'awaited_payments' as what, a.place as key,
    'waits for ' || a.due_units || ', ' || a.arrived_units || ' arrived; its checkout is ' || coalesce(o.state, 'missing')
    as detail
from awaited_payments as a
left join checkouts as c on c.lane = a.lane and c.order_id = a.order_id
    and a.place = coalesce(c.reference, c.network || '/' || c.address)
left join orders as o on o.lane = c.lane and o.id = c.order_id and o.source_units = a.due_units
where ($1::integer is null or a.lane = $1)
    and (o.id is null or (o.state = 'settled' and a.arrived_units < a.due_units))

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

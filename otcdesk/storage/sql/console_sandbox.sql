-- What the panel of a sandbox shows of what it steers.

-- name: faults
-- How the simulated parts of the outside behave in a lane, as far as somebody has said.
select row_to_json(f) from faults as f where f.lane = $1 order by f.rail

-- name: places
-- Bank details at which fiat arrives, the newest first, and whose they are.
select json_build_object('name', b.name, 'fiat', b.fiat, 'tenant', t.name)
from bank_details as b
join tenants as t on t.lane = b.lane and t.id = b.tenant_id
where b.lane = $1
order by b.created_at desc, b.name
limit $2

-- name: payouts
-- The newest payouts that the simulated provider may still say something of: they wait for it, or may come back.
select json_build_object(
    'id', o.id, 'state', o.state, 'asset', o.destination_asset, 'units', p.fiat_units, 'at', o.updated_at
)
from orders as o
join payments as p on p.lane = o.lane and p.order_id = o.id
where o.lane = $1 and o.product = 'payout' and o.side = 'sell' and o.state in ('pending', 'cancelling', 'settled')
    and p.returns_id is null
order by o.updated_at desc, o.id
limit $2

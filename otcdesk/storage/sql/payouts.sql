-- What the edges show of payouts: transactions, balances, channels with their prices, payment methods and parties.

-- name: transaction
-- One order of a tenant with what it is about, whom it pays where, and what its rail calls it. What arrives at a bank is
-- not among them.
select json_build_object(
    'order', o, 'payment', p, 'method', m, 'party_external_id', y.external_id, 'deposit', d, 'sending', c,
    'reference', (
        select e.detail from events as e
        where e.lane = o.lane and e.order_id = o.id and e.name = 'payout.settle' and o.side = 'sell'
    )
)
from orders as o
left join payments as p on p.lane = o.lane and p.order_id = o.id
left join payment_methods as m on m.lane = p.lane and m.id = p.method_id
left join deposits as d on d.lane = o.lane and d.order_id = o.id
left join chain_payouts as c on c.lane = o.lane and c.order_id = o.id
left join parties as y on y.lane = o.lane and y.id = coalesce(p.party_id, d.party_id, c.party_id)
where o.lane = $1 and o.tenant_id = $2 and o.product = any ($3::text[]) and (o.product, o.side) <> ('deposit', 'fiat') and o.id = $4

-- name: transactions_down
-- The same for many, newest first, from before a time and id on.
select json_build_object(
    'order', o, 'payment', p, 'method', m, 'party_external_id', y.external_id, 'deposit', d, 'sending', c,
    'reference', (
        select e.detail from events as e
        where e.lane = o.lane and e.order_id = o.id and e.name = 'payout.settle' and o.side = 'sell'
    )
)
from (
    select * from orders
    where lane = $1 and tenant_id = $2 and product = any ($3::text[]) and (product, side) <> ('deposit', 'fiat')
        and (created_at, id) < ($4, $5::uuid)
    order by created_at desc, id desc
    limit $6
) as o
left join payments as p on p.lane = o.lane and p.order_id = o.id
left join payment_methods as m on m.lane = p.lane and m.id = p.method_id
left join deposits as d on d.lane = o.lane and d.order_id = o.id
left join chain_payouts as c on c.lane = o.lane and c.order_id = o.id
left join parties as y on y.lane = o.lane and y.id = coalesce(p.party_id, d.party_id, c.party_id)
order by o.created_at desc, o.id desc

-- name: transactions_up
-- The same, oldest first, from after a time and id on.
select json_build_object(
    'order', o, 'payment', p, 'method', m, 'party_external_id', y.external_id, 'deposit', d, 'sending', c,
    'reference', (
        select e.detail from events as e
        where e.lane = o.lane and e.order_id = o.id and e.name = 'payout.settle' and o.side = 'sell'
    )
)
from (
    select * from orders
    where lane = $1 and tenant_id = $2 and product = any ($3::text[]) and (product, side) <> ('deposit', 'fiat')
        and (created_at, id) > ($4, $5::uuid)
    order by created_at, id
    limit $6
) as o
left join payments as p on p.lane = o.lane and p.order_id = o.id
left join payment_methods as m on m.lane = p.lane and m.id = p.method_id
left join deposits as d on d.lane = o.lane and d.order_id = o.id
left join chain_payouts as c on c.lane = o.lane and c.order_id = o.id
left join parties as y on y.lane = o.lane and y.id = coalesce(p.party_id, d.party_id, c.party_id)
order by o.created_at, o.id

-- name: balances
-- What a tenant has of some assets to sell, by asset, after one.
select row_to_json(a) from accounts as a
where a.lane = $1 and a.owner_id = $2 and a.purpose = 'current' and a.asset > $3
    and a.asset = any ($4::text[])
order by a.asset
limit $5

-- name: channel
-- A channel.
select row_to_json(c) from channels as c where c.lane = $1 and c.id = $2

-- name: priced_channel
-- A channel with the price of an asset in its fiat, what is withheld for a tenant, and the lane's clock.
select json_build_object('channel', c, 'price', p, 'surcharge_percent', s.percent, 'clock', k)
from channels as c
left join prices as p on p.lane = c.lane and p.source_asset = $3 and p.destination_asset = c.fiat
left join surcharges as s on s.lane = c.lane and s.tenant_id = $4
left join lane_clocks as k on k.lane = c.lane
where c.lane = $1 and c.id = $2 and c.enabled

-- name: priced_channels
-- Channels that are open and for which there is a price, by id: of a country (or of many countries) and a fiat, if not
-- null, of a kind of payment method, if not null, and after an id.
select json_build_object('channel', c, 'price', p, 'surcharge_percent', s.percent, 'clock', k)
from channels as c
join prices as p on p.lane = c.lane and p.source_asset = $2 and p.destination_asset = c.fiat
left join surcharges as s on s.lane = c.lane and s.tenant_id = $3
left join lane_clocks as k on k.lane = c.lane
where c.lane = $1 and c.enabled
    and ($4::text is null or c.country in ($4, 'XX')) and ($5::text is null or c.fiat = $5)
    and ($6::text is null or c.type = $6) and ($7::text is null or c.category = $7)
    and c.id > $8::uuid
order by c.id
limit $9

-- name: countries
-- The countries in which somebody can be paid, each with its fiats.
select json_build_object('country', c.country, 'fiats', json_agg(distinct c.fiat))
from channels as c
where c.lane = $1 and c.enabled
group by c.country
order by c.country

-- name: methods_by_name
-- The payment methods of a name: a party's, or, for null, two of all that a tenant has, its own before its parties'.
select row_to_json(m) from payment_methods as m
where m.lane = $1 and m.tenant_id = $2 and m.name = $3 and ($4::uuid is null or m.party_id = $4)
order by m.party_id nulls first
limit 2

-- name: methods
-- The payment methods of a party, by time, from after a time and id on.
select row_to_json(m) from payment_methods as m
where m.lane = $1 and m.tenant_id = $2 and m.party_id = $3 and (m.created_at, m.id) > ($4, $5::uuid)
order by m.created_at, m.id
limit $6

-- name: methods_of_type
-- All payment methods of a party that channels of some types can pay, newest first.
select row_to_json(m) from payment_methods as m
where m.lane = $1 and m.tenant_id = $2 and m.party_id = $3 and m.type = any ($4::text[])
order by m.created_at desc, m.id desc
limit $5

-- name: party
-- A party of a tenant with what was told of it.
select json_build_object('party', y, 'profile', p)
from parties as y
join party_profiles as p on p.lane = y.lane and p.party_id = y.id
where y.lane = $1 and y.id = $2 and y.tenant_id = $3

-- name: parties_down
-- The same for many, newest first, from before a time and id on.
select json_build_object('party', y, 'profile', p)
from parties as y
join party_profiles as p on p.lane = y.lane and p.party_id = y.id
where y.lane = $1 and y.tenant_id = $2 and (y.created_at, y.id) < ($3, $4::uuid)
order by y.created_at desc, y.id desc
limit $5

-- name: parties_up
-- The same, oldest first, from after a time and id on.
select json_build_object('party', y, 'profile', p)
from parties as y
join party_profiles as p on p.lane = y.lane and p.party_id = y.id
where y.lane = $1 and y.tenant_id = $2 and (y.created_at, y.id) > ($3, $4::uuid)
order by y.created_at, y.id
limit $5

-- name: price
-- A pair's price with the lane's clock, and what is withheld for a tenant.
select json_build_object('price', p, 'surcharge_percent', s.percent, 'clock', k)
from prices as p
left join surcharges as s on s.lane = p.lane and s.tenant_id = $4
left join lane_clocks as k on k.lane = p.lane
where p.lane = $1 and p.source_asset = $2 and p.destination_asset = $3

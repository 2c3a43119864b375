-- name: order
-- One order with its lane's clock.
select json_build_object(
    'rows', coalesce((select json_agg(o) from orders as o where o.lane = $1 and o.id = $2), '[]'),
    'clock', (select row_to_json(c) from lane_clocks as c where c.lane = $1)
)

-- name: order_of
-- One order of a tenant and a product, with its lane's clock.
select json_build_object(
    'rows', coalesce((
        select json_agg(o) from orders as o
        where o.lane = $1 and o.id = $2 and o.tenant_id = $3 and o.product = $4
    ), '[]'),
    'clock', (select row_to_json(c) from lane_clocks as c where c.lane = $1)
)

-- name: page_of_tenant
-- A page of a tenant's orders of a product, newest first, with the lane's clock and how many there are.
select json_build_object(
    'rows', coalesce((
        select json_agg(o) from (
            select * from orders
            where lane = $1 and tenant_id = $2 and product = $3
            order by created_at desc, id desc
            limit $4 offset $5
        ) as o
    ), '[]'),
    'total', (select count(*) from orders where lane = $1 and tenant_id = $2 and product = $3),
    'clock', (select row_to_json(c) from lane_clocks as c where c.lane = $1)
)

-- name: page_of_lane
-- A page of a lane's orders, newest first. $2: the states wanted, and $6: the product, all if null. $3: business time,
-- at which an overdue quote counts as expired and an overdue debit as settled, as the products' clock rules say.
with wanted as not materialized (
    select o.*
    from orders as o
    where o.lane = $1
        and ($2::text[] is null or state_by_the_clock(o.state, o.due_at, $3) = any ($2))
        and ($6::text is null or o.product = $6)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(o) from (
            select * from wanted order by created_at desc, id desc limit $4 offset $5
        ) as o
    ), '[]'),
    'total', (select count(*) from wanted),
    'clock', (select row_to_json(c) from lane_clocks as c where c.lane = $1)
)

-- name: events
-- The audit trail of an order.
select row_to_json(e) from events as e where e.lane = $1 and e.order_id = $2 order by e.order_version

-- name: entries
-- The ledger entries of an order, in the order in which they were booked. They are found by the batch that wrote both:
-- an account of the desk has a history that nobody reads for one order.
select json_build_object('entry', e, 'transaction', t, 'posting', p) from ledger_transactions as t
join postings as p on p.lane = t.lane and p.transaction_id = t.id
join entries as e on e.lane = t.lane and e.seq = t.seq and e.transaction_id = t.id and e.posting_number = p.number
    and e.account_id in (p.source_account_id, p.destination_account_id)
where t.lane = $1 and t.order_id = $2
order by t.booked_at, t.id, p.number, e.units

-- name: holds
-- The holds of an order.
select row_to_json(h) from holds as h where h.lane = $1 and h.order_id = $2 order by h.placed_at, h.id

-- name: trade
-- The trade that an order left.
select row_to_json(t) from trades as t where t.lane = $1 and t.order_id = $2

-- name: payments
-- What some orders of payouts are about.
select row_to_json(p) from payments as p where p.lane = $1 and p.order_id = any($2)

-- name: channels
-- The channels of a lane.
select row_to_json(c) from channels as c where c.lane = $1 order by c.country, c.type, c.id

-- name: due
-- Orders of open lanes that the clock has moved and nobody recorded, at most so many of each lane. $3: states that expire,
-- and are recorded $4 milliseconds later, because what came in time may wait to be decided; not where time stands still.
select l.lane, due.ids
from lanes as l
left join lane_clocks as c on c.lane = l.lane
cross join lateral (
    select coalesce(c.frozen_at, $1::timestamptz + make_interval(secs => coalesce(c.offset_ms, 0) / 1000.0)) as now
) as t
cross join lateral (
    select array_agg(o.id) as ids from (
        select id from orders
        where lane = l.lane and due_at is not null and due_at <= t.now
            and (c.frozen_at is not null or state <> all($3::text[]) or due_at <= t.now - make_interval(secs => $4 / 1000.0))
        order by due_at
        limit $2
    ) as o
) as due
where l.closed_at is null and due.ids is not null

-- name: waiting
-- Orders of open lanes that wait for one of some rails and that nobody works on; those never tried come first, then those
-- not tried for longest, so that a rail that never answers cannot keep the others waiting.
select json_build_object('lane', o.lane, 'order', o)
from lanes as l
join orders as o on o.lane = l.lane
left join leases as s on s.lane = o.lane and s.item = o.rail_reference
where l.closed_at is null and o.waits_for is not null and o.waits_for = any($3::text[])
    and (s.held_until is null or s.held_until < $1)
order by s.held_until nulls first, o.updated_at
limit $2

-- name: under_way
-- How many orders of open lanes wait for a rail, and for how many milliseconds the longest.
select count(*) as number, coalesce(floor(extract(epoch from max(
    coalesce(c.frozen_at, $2::timestamptz + make_interval(secs => coalesce(c.offset_ms, 0) / 1000.0)) - o.updated_at
)) * 1000), 0)::bigint as longest_ms
from orders as o
join lanes as l on l.lane = o.lane and l.closed_at is null
left join lane_clocks as c on c.lane = o.lane
where o.waits_for = $1

-- name: count_of_lane
select count(*) from orders where lane = $1

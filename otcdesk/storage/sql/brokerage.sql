-- What the edges show of brokerage: listings, parties, quotes with the orders that are their lives, and trades.

-- name: listings
-- Everything that is listed, with the decimals of its asset.
select json_build_object('listing', l, 'scale', a.scale)
from listings as l
join assets as a on a.lane = l.lane and a.code = l.code
where l.lane = $1
order by l.kind, l.number

-- name: markets
select row_to_json(m) from markets as m where m.lane = $1 order by m.asset, m.fiat

-- name: levels
select row_to_json(l) from account_levels as l where l.lane = $1 order by l.name_key, l.id

-- name: agreements
-- The agreements of a lane in its terms' order.
select row_to_json(a)
from brokerage_terms as t
cross join unnest(t.agreement_ids) with ordinality as n (id, place)
join agreements as a on a.lane = t.lane and a.id = n.id
where t.lane = $1
order by n.place

-- name: party
-- A party of a tenant, of any if null.
select row_to_json(p) from parties as p where p.lane = $1 and p.id = $2 and ($3::uuid is null or p.tenant_id = $3)

-- name: parties
-- A page of a lane's parties, newest first: of one tenant or standing, if not null.
with wanted as not materialized (
    select p.* from parties as p
    where p.lane = $1 and ($2::uuid is null or p.tenant_id = $2) and ($3::text is null or p.status = $3)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(p) from (select * from wanted order by created_at desc, id desc limit $4 offset $5) as p
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: holdings
-- What a party has.
select row_to_json(a) from accounts as a
where a.lane = $1 and a.owner_id = $2 and a.purpose = 'holding'
order by a.asset, a.id

-- name: brokered
-- A tenant's quote, of one party if not null, with its order, what it was accepted under, and the lane's clock.
select json_build_object('order', o, 'quote', q, 'external_id', a.external_id, 'clock', c)
from orders as o
join firm_quotes as q on q.lane = o.lane and q.order_id = o.id
left join acceptances as a on a.lane = o.lane and a.order_id = o.id
left join lane_clocks as c on c.lane = o.lane
where o.lane = $1 and o.id = $2 and o.tenant_id = $3 and ($4::uuid is null or q.party_id = $4)

-- name: quotes
-- The quotes of some orders.
select row_to_json(q) from firm_quotes as q where q.lane = $1 and q.order_id = any ($2::uuid[])

-- name: history
-- A page of what a party has traded, newest first: of some sides and one asset, if not null.
with wanted as not materialized (
    select o, q, a.external_id, o.ended_at, o.id
    from firm_quotes as q
    join orders as o on o.lane = q.lane and o.id = q.order_id
    join acceptances as a on a.lane = q.lane and a.order_id = q.order_id
    where q.lane = $1 and q.party_id = $2 and o.state = 'finished'
        and ($3::text[] is null or o.side = any ($3)) and ($4::text is null or q.asset = $4)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object('order', w.o, 'quote', w.q, 'external_id', w.external_id))
        from (select * from wanted order by ended_at desc, id desc limit $5 offset $6) as w
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: traded_between
-- A page of what a tenant has traded from $3 until before $4, in the order of time, so that new trades come last: of
-- one party, if not null.
with wanted as not materialized (
    select t.executed_at, t.order_id
    from trades as t
    join firm_quotes as q on q.lane = t.lane and q.order_id = t.order_id
    where t.lane = $1 and t.tenant_id = $2 and t.executed_at >= $3 and t.executed_at < $4
        and ($5::uuid is null or q.party_id = $5)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object('order', o, 'quote', q, 'external_id', a.external_id)
            order by w.executed_at, w.order_id)
        from (select * from wanted order by executed_at, order_id limit $6 offset $7) as w
        join orders as o on o.lane = $1 and o.id = w.order_id
        join firm_quotes as q on q.lane = $1 and q.order_id = w.order_id
        join acceptances as a on a.lane = $1 and a.order_id = w.order_id
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: traded_as
-- The one thing that a tenant has traded under these ids, as far as they are not null, and perhaps in a time and of a
-- party.
with named as (
    select $3::uuid as order_id where $3::uuid is not null
    union all
    select a.order_id from acceptances as a
    where $3::uuid is null and a.lane = $1 and a.tenant_id = $2 and a.external_id = $4
),
found as (
    select o, q, a.external_id
    from named as n
    join orders as o on o.lane = $1 and o.id = n.order_id
    join firm_quotes as q on q.lane = $1 and q.order_id = n.order_id
    join acceptances as a on a.lane = $1 and a.order_id = n.order_id
    where o.tenant_id = $2 and o.state = 'finished'
        and ($4::text is null or a.external_id = $4)
        and ($5::timestamptz is null or o.ended_at >= $5) and ($6::timestamptz is null or o.ended_at < $6)
        and ($7::uuid is null or q.party_id = $7)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object('order', f.o, 'quote', f.q, 'external_id', f.external_id)) from found as f
    ), '[]'),
    'total', (select count(*) from found)
)

-- name: made_between
-- What a tenant was quoted from $3 until before $4, newest first, after the quote $5 if not null, at most $6: in some
-- states at the time $7, of one side, asset and party, where not null. What is made meanwhile comes before all of it.
select json_build_object('order', o, 'quote', q, 'external_id', a.external_id)
from orders as o
join firm_quotes as q on q.lane = o.lane and q.order_id = o.id
left join acceptances as a on a.lane = o.lane and a.order_id = o.id
where o.lane = $1 and o.tenant_id = $2 and o.created_at >= $3 and o.created_at < $4
    and ($5::uuid is null or (o.created_at, o.id) < (
        select k.created_at, k.id from orders as k where k.lane = $1 and k.id = $5 and k.tenant_id = $2
    ))
    and ($8::text[] is null or state_by_the_clock(o.state, o.due_at, $7) = any ($8))
    and ($9::text is null or o.side = $9) and ($10::text is null or q.asset = $10)
    and ($11::uuid is null or q.party_id = $11)
order by o.created_at desc, o.id desc
limit $6

-- name: made_as
-- The tenant's quote of this id, by the same rules.
select json_build_object('order', o, 'quote', q, 'external_id', a.external_id)
from orders as o
join firm_quotes as q on q.lane = o.lane and q.order_id = o.id
left join acceptances as a on a.lane = o.lane and a.order_id = o.id
where o.lane = $1 and o.tenant_id = $2 and o.id = $3
    and ($4::timestamptz is null or o.created_at >= $4) and ($5::timestamptz is null or o.created_at < $5)
    and ($7::text[] is null or state_by_the_clock(o.state, o.due_at, $6) = any ($7))
    and ($8::text is null or o.side = $8) and ($9::text is null or q.asset = $9)
    and ($10::uuid is null or q.party_id = $10)

-- name: made_at
-- When a tenant's quote was made, nothing if it has no such quote.
select o.created_at from orders as o
where o.lane = $1 and o.id = $2 and o.tenant_id = $3 and o.product = 'brokerage'

-- What the console reads of orders that wait for an approval.

-- part: waits
-- Stored as waiting, or as a debit that the clock has settled by $2; the lane is $1.
o.lane = $1 and o.product = 'conversion' and o.side in ('buy', 'sell') and (
    o.state = 'pending_approval' or (o.state = 'debit_pending' and o.due_at <= $2::timestamptz)
)

-- part: with_what_decides
json_build_object(
    'order', o,
    'tenant', t,
    'source', a,
    'destination', b,
    'proposal', (
        select p from open_proposals as n
        join proposals as p on p.lane = n.lane and p.id = n.proposal_id and p.state = 'open'
        where n.lane = o.lane and n.subject_id = o.id
    )
)

-- name: waiting
-- The conversions that wait for an approval, the oldest first, at most $3, each with what decides about it.
select
-- here: with_what_decides
from orders as o
join tenants as t on t.lane = o.lane and t.id = o.tenant_id
join accounts as a on a.lane = o.lane and a.id = o.source_account_id
join accounts as b on b.lane = o.lane and b.id = o.destination_account_id
where
-- here: waits
order by o.created_at, o.id
limit $3

-- name: count
-- How many wait, at most $3.
select count(*) from (
    select from orders as o where
-- here: waits
    limit $3
) as c

-- name: one
-- One conversion with the same, whatever its state.
select
-- here: with_what_decides
from orders as o
join tenants as t on t.lane = o.lane and t.id = o.tenant_id
join accounts as a on a.lane = o.lane and a.id = o.source_account_id
join accounts as b on b.lane = o.lane and b.id = o.destination_account_id
where o.lane = $1 and o.id = $2 and o.product = 'conversion'

-- name: accounts
-- Some accounts by their ids.
select row_to_json(a) from accounts as a where a.lane = $1 and a.id = any($2::uuid[])

-- name: spreads
-- The spreads of some tenants.
select row_to_json(s) from spreads as s where s.lane = $1 and s.tenant_id = any($2::uuid[])

-- name: history
-- What has become of a tenant's conversions since a time ($3), of the newest $4 of them, by state and source asset.
select json_build_object('state', w.state, 'asset', w.source_asset, 'number', count(*), 'units', sum(w.source_units)) from (
    select o.state, o.source_asset, o.source_units from orders as o
    where o.lane = $1 and o.tenant_id = $2 and o.created_at >= $3 and o.product = 'conversion'
    order by o.created_at desc, o.id desc
    limit $4
) as w
group by w.state, w.source_asset
order by w.state, w.source_asset

-- What the console shows of a lane's guards, fees, channels, listings and terms.

-- name: channels
-- The payout channels, at most $2.
select row_to_json(c) from channels as c where c.lane = $1 order by c.country, c.fiat, c.type, c.id limit $2

-- name: payout_terms
select row_to_json(t) from payout_terms as t where t.lane = $1

-- name: resale_terms
select row_to_json(t) from resale_terms as t where t.lane = $1

-- name: branches
-- The branches of all tenants with the tenants' names, at most $2.
select json_build_object('branch', b, 'tenant', t.name)
from branches as b
join tenants as t on t.lane = b.lane and t.id = b.tenant_id
where b.lane = $1
order by t.name, b.path
limit $2

-- name: listings
select row_to_json(l) from listings as l where l.lane = $1 order by l.kind, l.number

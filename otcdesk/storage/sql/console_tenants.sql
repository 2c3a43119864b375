-- What the console shows of tenants and their parties.

-- name: tenants
-- A page of the tenants by name, with a text in it if not null ($2): each with how many orders it has made since $3 (at
-- most $4 are counted), its credentials that are good at $5, its limits and its webhooks; $6 of them after $7.
with wanted as not materialized (
    select t.* from tenants as t where t.lane = $1 and ($2::text is null or strpos(lower(t.name), $2) > 0)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(r) from (
            select
                to_json(w) as tenant,
                (
                    select count(*) from (
                        select from orders as o
                        where o.lane = $1 and o.tenant_id = w.id and o.created_at >= $3
                        limit (select $4::bigint)
                    ) as counted
                ) as orders,
                (
                    select count(*) from credentials as c
                    where c.lane = $1 and c.owner_id = w.id and c.revoked_at is null
                        and (c.expires_at is null or c.expires_at > $5)
                ) as credentials,
                (select count(*) from limits as l where l.lane = $1 and l.subject_id = w.id) as limits,
                (
                    select count(*) from subscriptions as s
                    where s.lane = $1 and s.owner_id = w.id and s.deleted_at is null
                ) as webhooks
            from (select * from wanted order by name, id limit $6 offset $7) as w
            order by w.name, w.id
        ) as r
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: traded
-- What some tenants have given in trades since a time, by asset.
select json_build_object('tenant_id', t.tenant_id, 'asset', t.source_asset, 'units', sum(t.source_units))
from trades as t
where t.lane = $1 and t.executed_at >= $2 and t.tenant_id = any($3::uuid[])
group by t.tenant_id, t.source_asset
order by t.tenant_id, t.source_asset

-- name: tenant
select row_to_json(t) from tenants as t where t.lane = $1 and t.id = $2

-- name: party
select row_to_json(p) from parties as p where p.lane = $1 and p.id = $2

-- name: accounts
-- The accounts of a tenant or a party itself, at most $3.
select row_to_json(a) from accounts as a
where a.lane = $1 and a.owner_id = $2
order by a.purpose, a.asset, a.network, a.id
limit $3

-- name: limits
-- The limits of a tenant or a party.
select row_to_json(l) from limits as l where l.lane = $1 and l.subject_id = $2 order by l.asset

-- name: spreads
-- The spreads of a tenant.
select row_to_json(s) from spreads as s
where s.lane = $1 and s.tenant_id = $2
order by s.source_asset, s.destination_asset

-- name: credentials
-- The credentials of a tenant, those in use first, newest first, at most $3; never their secrets.
select row_to_json(c) from credentials as c
where c.lane = $1 and c.owner_id = $2
order by (c.revoked_at is not null), c.created_at desc, c.id
limit $3

-- name: orders
-- The newest orders of a tenant, at most $3.
select row_to_json(o) from orders as o
where o.lane = $1 and o.tenant_id = $2
order by o.created_at desc, o.id desc
limit $3

-- name: parties
-- A page of a tenant's parties, the newest first, after the one of $3 and $4 if they are not null.
select row_to_json(p) from parties as p
where p.lane = $1 and p.tenant_id = $2 and ($3::timestamptz is null or (p.created_at, p.id) < ($3, $4::uuid))
order by p.created_at desc, p.id desc
limit $5

-- name: parties_like
-- A tenant's parties of this id or external id, and those of its newest $5 with the text in theirs, at most $6.
with newest as not materialized (
    select p.* from parties as p
    where p.lane = $1 and p.tenant_id = $2
    order by p.created_at desc, p.id desc
    limit $5
),
found as (
    select p.* from parties as p where p.lane = $1 and p.tenant_id = $2 and p.id = $3
    union
    select p.* from parties as p
    where p.lane = $1 and p.tenant_id = $2
        and lower(left(p.external_id, 80)) = lower(left($4, 80)) and lower(p.external_id) = lower($4)
    union
    select n.* from newest as n where strpos(lower(n.external_id), lower($4)) > 0
)
select row_to_json(f) from found as f order by f.created_at desc, f.id desc limit $6

-- name: party_orders
-- The newest orders that are about a party, at most $5, of its tenant's newest $4.
with newest as materialized (
    select o.* from orders as o
    where o.lane = $1 and o.tenant_id = $2
    order by o.created_at desc, o.id desc
    limit $4
)
select row_to_json(n) from newest as n
where exists (select from firm_quotes as q where q.lane = $1 and q.order_id = n.id and q.party_id = $3)
    or exists (select from payments as p where p.lane = $1 and p.order_id = n.id and p.party_id = $3)
    or exists (select from deposits as d where d.lane = $1 and d.order_id = n.id and d.party_id = $3)
    or exists (select from checkouts as k where k.lane = $1 and k.order_id = n.id and k.party_id = $3)
    or exists (select from resales as r where r.lane = $1 and r.order_id = n.id and r.party_id = $3)
    or exists (select from purchases as b where b.lane = $1 and b.order_id = n.id and b.party_id = $3)
order by n.created_at desc, n.id desc
limit $5

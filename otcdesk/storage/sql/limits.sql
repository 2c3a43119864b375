-- name: tenants
-- A page of a lane's tenants, by name, and how many there are.
select json_build_object(
    'rows', coalesce((
        select json_agg(t) from (
            select * from tenants where lane = $1 order by name, id limit $2 offset $3
        ) as t
    ), '[]'),
    'total', (select count(*) from tenants where lane = $1)
)

-- name: limits
-- A page of a lane's limits, perhaps of one tenant or party ($2) only, and how many there are.
with wanted as not materialized (
    select l.* from limits as l where l.lane = $1 and ($2::uuid is null or l.subject_id = $2)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(l) from (
            select * from wanted order by subject_id, asset limit $3 offset $4
        ) as l
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: spreads
-- A page of a lane's spreads, by tenant and pair, and how many there are.
select json_build_object(
    'rows', coalesce((
        select json_agg(s) from (
            select * from spreads where lane = $1
            order by tenant_id, source_asset, destination_asset limit $2 offset $3
        ) as s
    ), '[]'),
    'total', (select count(*) from spreads where lane = $1)
)

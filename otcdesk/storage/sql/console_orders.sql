-- What the console reads of orders: the pages of the blotter.
--
-- They are read by one of four ways, each along an index of its own, from a place on: $1 lane, ($2, $3) the place, $4 and
-- $5 created from when and until when, $6 business time, $7 tenant and $8 asset (null: any), $9 how many orders are looked
-- at in each range, $10 how many are wanted. Beyond the horizon, where a range had more than $9, nobody has looked, so
-- nothing is shown from there. What the clock brings about has its place in a lifecycle before and after the due time:
-- by state each range says of both whether they count ($14, $15), otherwise $11 and $12 are those that do (null: all).

-- part: others_fit
($7::uuid is null or o.tenant_id = $7) and ($8::text is null or $8 in (o.source_asset, o.destination_asset))

-- part: place_fits
and ($11::text[] is null or case
    when o.due_at <= $6::timestamptz then o.product || ' ' || o.side || ' ' || o.state = any ($12::text[])
    else o.product || ' ' || o.side || ' ' || o.state = any ($11)
end)

-- part: needed
and (
    case
        when o.due_at <= $6 then o.product || ' ' || o.side || ' ' || o.state = any ($19::text[])
        else o.product || ' ' || o.side || ' ' || o.state = any ($18::text[])
            or o.due_at is null and o.product || ' ' || o.side || ' ' || o.state = $20::text
            or o.waits_for = any ($17)
            or o.waits_for is not null and o.updated_at <= $16
    end
    or exists (
        select from jobs as j
        where j.lane = o.lane and j.order_id = o.id and j.state = 'failed' and j.kind = 'follow'
            and not exists (select from jobs as n where n.lane = j.lane and n.replaces = j.id)
    )
)

-- part: older
and (o.created_at, o.id) < ($2::timestamptz, $3::uuid) and o.created_at >= $4::timestamptz and o.created_at < $5::timestamptz
order by o.created_at desc, o.id desc
limit $9

-- part: newer
and (o.created_at, o.id) > ($2::timestamptz, $3::uuid) and o.created_at >= $4::timestamptz and o.created_at < $5::timestamptz
order by o.created_at, o.id
limit $9

-- part: older_page
horizon as (
    select l.created_at, l.id from looked as l where l.place = $9 order by l.created_at desc, l.id desc limit 1
),
page as (
    select l.created_at, l.id from looked as l
    where l.fits and not exists (select from horizon as h where (l.created_at, l.id) < (h.created_at, h.id))
    order by l.created_at desc, l.id desc
    limit $10
)

-- part: newer_page
horizon as (
    select l.created_at, l.id from looked as l where l.place = $9 order by l.created_at, l.id limit 1
),
page as (
    select l.created_at, l.id from looked as l
    where l.fits and not exists (select from horizon as h where (l.created_at, l.id) > (h.created_at, h.id))
    order by l.created_at, l.id
    limit $10
)

-- part: wanted
with wanted as materialized (
    (
        select s.id
        from unnest($13::text[], $14::text[], $15::text[]) as k (product, side, state)
        cross join lateral (
            select o.id from orders as o
            where o.lane = $1 and o.product = k.product and o.side = k.side and o.state = k.state
            order by o.created_at desc, o.id desc
            limit $9
        ) as s
    )
    union
    (
        select o.id from orders as o
        where o.lane = $1 and o.waits_for is not null and (o.updated_at <= $16::timestamptz or o.waits_for = any ($17::text[]))
        order by o.updated_at
        limit $9
    )
    union
    (
        select j.order_id from jobs as j
        where j.lane = $1 and j.state = 'failed' and j.kind = 'follow'
            and not exists (select from jobs as n where n.lane = j.lane and n.replaces = j.id)
        order by j.created_at desc, j.id desc
        limit $9
    )
)

-- part: counted
select json_build_object(
    'number', (select count(*) from (select from looked as l where l.fits limit $10) as c),
    'cut', exists (select from looked as l where l.place = $9)
)

-- part: shown
select json_build_object(
    'horizon', (select row_to_json(h) from horizon as h),
    'rows', coalesce((
        select json_agg(json_build_object(
            'order', o,
            'tenant', t.name,
            'party', y.external_id,
            'source_scale', s.scale,
            'destination_scale', d.scale,
            'settled_as', e.detail,
            'job_failed', o.product = 'resale' and exists (
                select from jobs as j
                where j.lane = o.lane and j.order_id = o.id and j.state = 'failed' and j.kind = 'follow'
                    and not exists (select from jobs as n where n.lane = j.lane and n.replaces = j.id)
            )
        ) order by o.created_at desc, o.id desc)
        from page as p
        join orders as o on o.lane = $1 and o.id = p.id
        left join tenants as t on t.lane = o.lane and t.id = o.tenant_id
        left join assets as s on s.lane = o.lane and s.code = o.source_asset
        left join assets as d on d.lane = o.lane and d.code = o.destination_asset
        left join lateral (
            select q.party_id from firm_quotes as q
            where o.product = 'brokerage' and q.lane = o.lane and q.order_id = o.id
            union all
            select m.party_id from payments as m
            where o.product = 'payout' and m.lane = o.lane and m.order_id = o.id
            union all
            select i.party_id from deposits as i
            where o.product = 'deposit' and i.lane = o.lane and i.order_id = o.id
            union all
            select c.party_id from chain_payouts as c
            where o.product = 'chain_payout' and c.lane = o.lane and c.order_id = o.id
            union all
            select k.party_id from checkouts as k
            where o.product = 'checkout' and k.lane = o.lane and k.order_id = o.id
            union all
            select r.party_id from resales as r
            where o.product = 'resale' and r.lane = o.lane and r.order_id = o.id
            union all
            select u.party_id from purchases as u
            where o.product = 'resale' and u.lane = o.lane and u.order_id = o.id
            union all
            (
                select j.party_id from jobs as j
                where o.side = 'burn' and j.lane = o.lane and j.order_id = o.id
                order by j.created_at, j.id
                limit 1
            )
        ) as a on true
        left join parties as y on y.lane = o.lane and y.id = a.party_id
        left join lateral (
            select v.detail from events as v
            where o.product in ('payout', 'chain_payout') and v.lane = o.lane and v.order_id = o.id
                and v.name in ('payout.settle', 'chain_payout.settle')
            order by v.order_version desc
            limit 1
        ) as e on true
    ), '[]')
)

-- name: by_state_down
-- Orders of some states ($11 product, $12 side, $13 name of each), older ones.
with looked as materialized (
    select s.*
    from unnest($11::text[], $12::text[], $13::text[], $14::boolean[], $15::boolean[]) as k (product, side, state, before, after)
    cross join lateral (
        select l.*, row_number() over () as place
        from (
            select o.created_at, o.id, case when o.due_at <= $6::timestamptz then k.after else k.before end and
-- here: others_fit
            as fits
            from orders as o
            where o.lane = $1 and o.product = k.product and o.side = k.side and o.state = k.state
-- here: older
        ) as l
    ) as s
),
-- here: older_page
-- here: shown

-- name: by_state_up
-- Orders of some states ($11 product, $12 side, $13 name of each), newer ones.
with looked as materialized (
    select s.*
    from unnest($11::text[], $12::text[], $13::text[], $14::boolean[], $15::boolean[]) as k (product, side, state, before, after)
    cross join lateral (
        select l.*, row_number() over () as place
        from (
            select o.created_at, o.id, case when o.due_at <= $6::timestamptz then k.after else k.before end and
-- here: others_fit
            as fits
            from orders as o
            where o.lane = $1 and o.product = k.product and o.side = k.side and o.state = k.state
-- here: newer
        ) as l
    ) as s
),
-- here: newer_page
-- here: shown

-- name: by_state_count
-- Orders of some states ($11 product, $12 side, $13 name of each), how many, up to $10.
with looked as materialized (
    select s.*
    from unnest($11::text[], $12::text[], $13::text[], $14::boolean[], $15::boolean[]) as k (product, side, state, before, after)
    cross join lateral (
        select l.*, row_number() over () as place
        from (
            select o.created_at, o.id, case when o.due_at <= $6::timestamptz then k.after else k.before end and
-- here: others_fit
            as fits
            from orders as o
            where o.lane = $1 and o.product = k.product and o.side = k.side and o.state = k.state
-- here: older
        ) as l
    ) as s
)
-- here: counted

-- name: by_time_down
-- All orders, older ones.
with looked as materialized (
    select l.*, row_number() over () as place
    from (
        select o.created_at, o.id,
-- here: others_fit
-- here: place_fits
        as fits
        from orders as o
        where o.lane = $1
-- here: older
    ) as l
),
-- here: older_page
-- here: shown

-- name: by_time_up
-- All orders, newer ones.
with looked as materialized (
    select l.*, row_number() over () as place
    from (
        select o.created_at, o.id,
-- here: others_fit
-- here: place_fits
        as fits
        from orders as o
        where o.lane = $1
-- here: newer
    ) as l
),
-- here: newer_page
-- here: shown

-- name: by_time_count
-- All orders, how many, up to $10.
with looked as materialized (
    select l.*, row_number() over () as place
    from (
        select o.created_at, o.id,
-- here: others_fit
-- here: place_fits
        as fits
        from orders as o
        where o.lane = $1
-- here: older
    ) as l
)
-- here: counted

-- name: by_tenant_down
-- The orders of one tenant, older ones.
with looked as materialized (
    select l.*, row_number() over () as place
    from (
        select o.created_at, o.id,
-- here: others_fit
-- here: place_fits
        as fits
        from orders as o
        where o.lane = $1 and o.tenant_id = $7
-- here: older
    ) as l
),
-- here: older_page
-- here: shown

-- name: by_tenant_up
-- The orders of one tenant, newer ones.
with looked as materialized (
    select l.*, row_number() over () as place
    from (
        select o.created_at, o.id,
-- here: others_fit
-- here: place_fits
        as fits
        from orders as o
        where o.lane = $1 and o.tenant_id = $7
-- here: newer
    ) as l
),
-- here: newer_page
-- here: shown

-- name: by_tenant_count
-- The orders of one tenant, how many, up to $10.
with looked as materialized (
    select l.*, row_number() over () as place
    from (
        select o.created_at, o.id,
-- here: others_fit
-- here: place_fits
        as fits
        from orders as o
        where o.lane = $1 and o.tenant_id = $7
-- here: older
    ) as l
)
-- here: counted

-- name: in_need_down
-- Orders that need somebody, older ones: those of the states $13 to $15 that count by the clock ($18 before the due time, $19
-- after it), in the place $20 without a due time, waiting for a rail since before $16 or for one of the rails $17, or with
-- a job that failed. Of each cause $9 are looked at.
-- here: wanted
,
looked as materialized (
    select o.created_at, o.id, 0::bigint as place,
-- here: others_fit
-- here: place_fits
-- here: needed
    as fits
    from wanted as w
    cross join lateral (select x.* from orders as x where x.lane = $1 and x.id = w.id offset 0) as o
    where o.created_at >= $4::timestamptz and o.created_at < $5::timestamptz
        and (o.created_at, o.id) < ($2::timestamptz, $3::uuid)
),
-- here: older_page
-- here: shown

-- name: in_need_up
-- The same, newer ones.
-- here: wanted
,
looked as materialized (
    select o.created_at, o.id, 0::bigint as place,
-- here: others_fit
-- here: place_fits
-- here: needed
    as fits
    from wanted as w
    cross join lateral (select x.* from orders as x where x.lane = $1 and x.id = w.id offset 0) as o
    where o.created_at >= $4::timestamptz and o.created_at < $5::timestamptz
        and (o.created_at, o.id) > ($2::timestamptz, $3::uuid)
),
-- here: newer_page
-- here: shown

-- name: in_need_count
-- The same, how many, up to $10.
-- here: wanted
,
looked as materialized (
    select o.created_at, o.id, 0::bigint as place,
-- here: others_fit
-- here: place_fits
-- here: needed
    as fits
    from wanted as w
    cross join lateral (select x.* from orders as x where x.lane = $1 and x.id = w.id offset 0) as o
    where o.created_at >= $4::timestamptz and o.created_at < $5::timestamptz
        and (o.created_at, o.id) < ($2::timestamptz, $3::uuid)
)
select json_build_object(
    'number', (select count(*) from (select from looked as l where l.fits limit $10) as c),
    'cut', (select count(*) >= $9 from wanted)
)

-- What the operator sees of resale, in all of a lane.

-- name: listings_of_lane
-- A page of what was ever listed, newest first: on one market ($2) if that is not null, in one of these states ($3) if
-- that is not null ($4: business time); or one listing ($5). Each with what it is of, what the rules said, and the clock.
with wanted as not materialized (
    select o.lane, o.id, o.created_at
    from resales as r
    join orders as o on o.lane = r.lane and o.id = r.order_id
    where r.lane = $1
        and ($2::text is null or r.market = $2)
        and ($3::text[] is null or state_by_the_clock(o.state, o.due_at, $4) = any ($3))
        and ($5::uuid is null or r.order_id = $5)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'order', o, 'resale', r, 'instrument', i, 'currency', c, 'scale', s.scale, 'decision', d
        ) order by w.created_at desc, w.id desc)
        from (select * from wanted order by created_at desc, id desc limit $6 offset $7) as w
        join orders as o on o.lane = w.lane and o.id = w.id
        join resales as r on r.lane = w.lane and r.order_id = w.id
        join instruments as i on i.lane = w.lane and i.id = r.instrument_id
        join currencies as c on c.lane = w.lane and c.id = r.currency_id
        join assets as s on s.lane = c.lane and s.code = c.asset
        left join resale_decisions as d on d.lane = w.lane and d.order_id = w.id
    ), '[]'),
    'total', (select count(*) from wanted),
    'clock', (select row_to_json(l) from lane_clocks as l where l.lane = $1)
)

-- name: decisions_of_lane
-- A page of what rules said of listings, newest first.
with wanted as not materialized (
    select d.* from resale_decisions as d where d.lane = $1
)
select json_build_object(
    'rows', coalesce((
        select json_agg(w order by w.decided_at desc, w.order_id desc)
        from (select * from wanted order by decided_at desc, order_id desc limit $2 offset $3) as w
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: jobs_of_lane
-- A page of jobs, newest first: of one kind ($2), in one state ($3), of one order ($4), where these are not null; or one
-- job ($5); with $8 only those by which the chain was to follow the books, which failed and have none in their place. Each with the asset's decimals, and how often it was asked for, until when it rests, and whether it does.
with wanted as not materialized (
    select j.* from jobs as j
    where j.lane = $1
        and ($2::text is null or j.kind = $2)
        and ($3::text is null or j.state = $3)
        and ($4::uuid is null or j.order_id = $4)
        and ($5::uuid is null or j.id = $5)
        and (
            not $8 or (
                j.state = 'failed' and j.kind in ('follow', 'send')
                and not exists (select from jobs as n where n.lane = j.lane and n.replaces = j.id)
            )
        )
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'job', w, 'scale', s.scale, 'attempts', coalesce(l.attempts, 0),
            'resting_until', case when l.holder = '' then l.held_until end
        ) order by w.created_at desc, w.id desc)
        from (select * from wanted order by created_at desc, id desc limit $6 offset $7) as w
        join assets as s on s.lane = w.lane and s.code = w.asset
        left join leases as l on l.lane = w.lane and l.item = w.reference
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: currencies_of_lane
-- All currencies, oldest first.
select row_to_json(c) from currencies as c where c.lane = $1 order by c.created_at, c.id

-- name: instruments_of_lane
-- A page of instruments, newest first; or one ($2).
with wanted as not materialized (
    select i.* from instruments as i where i.lane = $1 and ($2::uuid is null or i.id = $2)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(w order by w.created_at desc, w.id desc)
        from (select * from wanted order by created_at desc, id desc limit $3 offset $4) as w
    ), '[]'),
    'total', (select count(*) from wanted)
)

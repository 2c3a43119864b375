-- name: one
-- A proposal of a lane, with the version that its order has by now.
select json_build_object('proposal', p, 'version', o.version) from proposals as p
left join orders as o on o.lane = p.lane and o.id = p.subject_id
where p.lane = $1 and p.id = $2

-- name: open
-- What waits for a second person at a time ($2) and was not overtaken by its order, the oldest first; at most $3.
select json_build_object('proposal', p, 'version', o.version) from proposals as p
left join orders as o on o.lane = p.lane and o.id = p.subject_id
where p.lane = $1 and p.state = 'open' and p.expires_at > $2 and p.subject_version is not distinct from o.version
order by p.proposed_at, p.id
limit $3

-- name: of_subject
-- The proposals about an order, an account or a setting, newest first; at most $3.
select json_build_object('proposal', p, 'version', o.version) from proposals as p
left join orders as o on o.lane = p.lane and o.id = p.subject_id
where p.lane = $1 and p.subject_id = $2
order by p.proposed_at desc, p.id desc
limit $3

-- name: page
-- A page of a lane's proposals, newest first, and how many there are. $2: the state wanted, all if null, as the clock
-- has it at the time $3 and their orders by now.
with wanted as not materialized (
    select p as proposal, p.proposed_at, p.id, o.version
    from proposals as p
    left join orders as o on o.lane = p.lane and o.id = p.subject_id
    where p.lane = $1
        and ($2::text is null or $2 = case
            when p.state <> 'open' then p.state
            when p.expires_at <= $3::timestamptz then 'expired'
            when p.subject_version is distinct from o.version then 'stale'
            else 'open'
        end)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object('proposal', w.proposal, 'version', w.version)) from (
            select * from wanted order by proposed_at desc, id desc limit $4 offset $5
        ) as w
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: guards
-- The guards of a lane's assets.
select row_to_json(g) from guards as g where g.lane = $1 order by g.asset

-- name: guard_terms
-- What guards the whole lane.
select row_to_json(t) from guard_terms as t where t.lane = $1

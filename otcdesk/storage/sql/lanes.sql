-- name: fault
-- How a simulated rail of a lane behaves.
select row_to_json(f) from faults as f where f.lane = $1 and f.rail = $2

-- name: clock
-- A lane's business clock.
select row_to_json(c) from lane_clocks as c where c.lane = $1

-- name: next_number
select nextval('lane_numbers')

-- name: open
-- A new lane.
insert into lanes (lane, name, kind, created_at) values ($1, $2, $3, $4)

-- name: named
-- The lane of this name, whether open or closed.
select lane from lanes where name = $1

-- name: close
-- Take a sandbox lane out of use; its books stay.
update lanes set closed_at = $2 where lane = $1 and kind = 'sandbox' and closed_at is null returning lane

-- name: is_open
-- Whether a lane is in use.
select exists (select from lanes where lane = $1 and closed_at is null)

-- name: kind
-- Whether a lane is live or a sandbox's.
select kind from lanes where lane = $1

-- name: name
-- What people call a lane.
select name from lanes where lane = $1

-- name: closed_among
-- Those of some lanes that are out of use.
select lane from lanes where lane = any($1::integer[]) and closed_at is not null

-- name: count_open
select count(*) from lanes where closed_at is null

-- name: assets
-- The assets of a lane.
select row_to_json(a) from assets as a where a.lane = $1 order by a.code

-- name: prices
-- The prices of a lane.
select row_to_json(p) from prices as p where p.lane = $1 order by p.source_asset, p.destination_asset

-- name: terms
-- The conversion terms of a lane.
select row_to_json(t) from conversion_terms as t where t.lane = $1

-- name: tenants
-- The tenants of a lane.
select row_to_json(t) from tenants as t where t.lane = $1 order by t.name, t.id

-- name: server_version
show server_version

-- name: durability
-- Whether a commit that was answered survives a crash of the machine.
select case
    when current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on'
        and current_setting('synchronous_commit') <> 'off' then 'on'
    else 'OFF'
end

-- name: heads_of
-- The newest batch of each of some lanes.
select l.lane, coalesce((select b.seq from batches as b where b.lane = l.lane order by b.seq desc limit 1), 0) as head
from unnest($1::integer[]) as l (lane)

-- name: with_operators
-- The open lanes that somebody can sign in to, the first two: whether there are several is all that is asked.
select l.name from lanes as l
where l.closed_at is null and exists (select from operators as o where o.lane = l.lane and o.enabled)
limit 2

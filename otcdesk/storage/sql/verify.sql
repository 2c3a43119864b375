-- What `otcdesk verify` reads. Every statement reads one page and ends, so that none keeps old versions of rows alive.

-- name: lanes
-- The lanes to verify. One that was opened a minute ago and is not closed has begun: its world was declared.
select l.lane, l.closed_at is null and l.created_at < now() - interval '1 minute' as has_begun
from lanes as l
where $1::integer is null or l.lane = $1
order by l.lane

-- name: newest
-- The newest batch of a lane. The time comes as text, since the driver cannot read every time that the server can keep.
select b.seq, b.hash, to_json(b.at)::text as at
from batches as b
where b.lane = $1
order by b.seq desc
limit 1

-- name: heads
-- The newest batch of every lane that has one, or of one lane.
select l.lane, b.seq, b.hash, to_json(b.at)::text as at
from lanes as l
cross join lateral (
    select n.seq, n.hash, n.at from batches as n where n.lane = l.lane order by n.seq desc limit 1
) as b
where $1::integer is null or l.lane = $1
order by l.lane

-- name: samples
-- The first and the newest batch of a few lanes.
select b.lane, b.seq, b.previous_hash, b.hash, b.kind, to_json(b.at)::text as at, b.writer, b.notes, b.writes
from lanes as l
cross join lateral (
    (select * from batches as f where f.lane = l.lane order by f.seq limit 1)
    union all
    (select * from batches as n where n.lane = l.lane order by n.seq desc limit 1)
) as b
order by l.lane
limit 16

-- name: links
-- The next batches of a lane after $2 and up to $3: at most $4, with at most $5 bytes of writes, but one at least.
select p.seq, p.previous_hash, p.hash, p.kind, p.at, p.writer, p.notes, p.writes
from (
    select b.seq, b.previous_hash, b.hash, b.kind, to_json(b.at)::text as at, b.writer, b.notes, b.writes,
        row_number() over pages as place, sum(octet_length(b.writes)) over pages as bytes
    from batches as b
    where b.lane = $1 and b.seq > $2 and b.seq <= $3
    window pages as (order by b.seq)
    order by b.seq
    limit $4
) as p
where p.place = 1 or p.bytes <= $5
order by p.seq

-- name: writes
-- What these batches of a lane say that they wrote.
select b.seq, b.writes from batches as b where b.lane = $1 and b.seq = any($2::bigint[])

-- name: outrun
-- Which of the keys in a JSON array have no row, or one older than the batch that lists it: none in sound books.
select {keys_listed}, k.seq as listed, t.seq as seq
from json_populate_recordset(null::{name}, $2::json) as k
left join {name} as t on t.lane = $1 and {key_matches}
where t.seq is null or t.seq < k.seq

-- name: rows
-- The next rows of one kind in a lane, in the order of their keys.
select {keys}, t.seq as seq, row_to_json(t)::text as row
from {name} as t
where t.lane = $1 {after}
order by {keys}
limit $2

-- name: strays
-- Rows of one table in lanes that do not exist. The lanes of a table are found by leaps over its primary key.
with recursive found (lane) as (
    (select t.lane from {name} as t order by t.lane limit 1)
    union all
    select (select t.lane from {name} as t where t.lane > found.lane order by t.lane limit 1)
    from found
    where found.lane is not null
)
select t.lane, {keys}
from found
join {name} as t on t.lane = found.lane
where not exists (select from lanes as l where l.lane = found.lane)
limit $1

-- name: first_broken
-- The first rows that break an invariant.
select b.lane, b.what, b.key, b.detail from ({statement}) as b limit $2

-- name: broken_counted
-- The first rows that break an invariant, and how many do.
select b.lane, b.what, b.key, b.detail, count(*) over () as broken from ({statement}) as b limit $2

-- name: head
-- The newest link of a lane.
select json_build_object('seq', b.seq, 'hash', b.hash, 'at', b.at)
from batches as b
where b.lane = $1
order by b.seq desc
limit 1

-- name: standing
-- The hash of the link at one place of a lane.
select hash from batches where lane = $1 and seq = $2

-- name: load_part
-- The rows of one kind whose keys are in the JSON array at a parameter; a part of the loading statement.
-- Each key looks its row up by the whole primary key: joined plainly, a plan made while the table was small would walk
-- through all of the lane.
'{name}', (
    select json_agg(json_build_object('seq', t.seq, 'row', t))
    from json_populate_recordset(null::{name}, ${parameter}::json) as k
    cross join lateral (select * from {name} as kept where kept.lane = $1 and {key_matches} offset 0) as t
)

-- name: fence
-- The next link, if the one before it stands, nobody waits for a turn, and nobody else was faster.
insert into batches (lane, seq, previous_hash, hash, kind, at, writer, notes, writes)
select $1::integer, $2::bigint, $3::text, $4, $5, $6::timestamptz, $7, $8, $9::bytea
where pg_try_advisory_xact_lock({turn_class}, $1)
    and ($2 = 1 or exists (select from batches as b where b.lane = $1 and b.seq = $2 - 1 and b.hash = $3))
on conflict (lane, seq) do nothing
returning lane, seq, set_config('otcdesk.batch', lane || ':' || seq, true) as named

-- name: insert_part
-- New rows of one kind; a part of the saving statement.
insert into {name} (lane, seq, {columns})
select fence.lane, fence.seq, {selected}
from fence cross join json_populate_recordset(null::{name}, ${parameter}::json) as r
returning 1

-- name: update_part
-- The next versions of rows of one kind, each only if it is still as it was; a part of the saving statement.
-- Rows are looked up as in the loading statement, and then changed where they were found.
update {name} as t
set seq = found.next_seq, {assignments}
from (
    select fence.seq as next_seq, kept.found_at, r.*
    from fence
    cross join json_populate_recordset(null::{name}, ${parameter}::json) as r
    cross join lateral (
        select kept.ctid as found_at from {name} as kept
        where kept.lane = fence.lane and {key_matches} and kept.seq = r.seq
        offset 0
    ) as kept
    offset 0
) as found
where t.ctid = found.found_at
returning 1

-- name: take_turn
-- The lane's turn. Who has it and is silent for $2 milliseconds has been stopped, and loses it with the connection.
select pg_advisory_lock({turn_class}, $1), set_config('idle_session_timeout', $2, false)

-- name: give_turn
select pg_advisory_unlock({turn_class}, $1), set_config('idle_session_timeout', '0', false)

-- name: lead
-- Lead the desk, unless somebody does, and be known by a number.
select case when pg_try_advisory_lock({lead_class}, 0) then pg_try_advisory_lock({leader_class}, $1) else false end

-- name: who_leads
-- The number by which the leader is known.
select objid::bigint from pg_locks
where locktype = 'advisory' and classid = {leader_class} and objsubid = 2 and granted
    and database = (select oid from pg_database where datname = current_database())
limit 1

-- name: any_written
-- Whether any lane has a link, which only the desk's audit key can prove.
select exists (select from batches)

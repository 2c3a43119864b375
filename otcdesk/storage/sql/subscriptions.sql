-- Subscriptions: who is told what, and where. Whoever adds one has its lane's position in the outbox, so that what the
-- lane commits from then on is told to it.

-- name: take_position
-- Keep a lane's position in the outbox as it is until the end of the database transaction; make it if there is none.
insert into outbox_positions as p (lane, seq) values ($1, 0)
on conflict (lane) do update set seq = p.seq

-- name: head
-- The newest batch of a lane.
select coalesce((select b.seq from batches as b where b.lane = $1 order by b.seq desc limit 1), 0)

-- name: skip_to
-- Move a lane's position on, unless somebody still has to be told what lies between.
update outbox_positions as p set seq = $2
where p.lane = $1 and not exists (select from subscriptions as s where s.lane = $1 and s.deleted_at is null)

-- name: obstacle
-- Why an owner cannot have another subscription, or not with this envelope and URL: the refusal's code, null if it can.
select case
    when count(*) >= $5 then 'SUBSCRIPTIONS_EXHAUSTED'
    when bool_or(s.envelope = $3 and s.url = $4) then 'SUBSCRIPTION_URL_TAKEN'
end
from subscriptions as s
where s.lane = $1 and s.owner_id = $2 and s.deleted_at is null

-- name: create
-- A subscription at the lowest free place of its owner; none if all are taken.
insert into subscriptions (
    id, lane, lane_kind, owner_id, place, envelope, url, event_types, description, from_seq, is_active, created_at,
    updated_at
)
select $1, $2, (select l.kind from lanes as l where l.lane = $2), $3, p.place, $4, $5, $6, $7, $8, true, $9, $9
from generate_series(1, $10::integer) as p (place)
where not exists (
    select from subscriptions as s
    where s.lane = $2 and s.owner_id = $3 and s.place = p.place and s.deleted_at is null
)
order by p.place
limit 1
returning row_to_json(subscriptions)

-- name: hold
-- A subscription, kept as it is until the end of the database transaction.
select row_to_json(s) from subscriptions as s where s.id = $1 and s.deleted_at is null for update

-- name: change
-- Keep a subscription as it is to be; the pause that a receiver asked for ends with its URL, and with switching on.
update subscriptions
set url = $2, event_types = $3, description = $4, is_active = $5, consecutive_failures = $6, failing_since = $7,
    held_until = case when url = $2 and is_active then held_until end, disabled_at = $8, disabled_reason = $9,
    updated_at = $10
where id = $1
returning row_to_json(subscriptions)

-- name: touch
update subscriptions set updated_at = $2 where id = $1 returning row_to_json(subscriptions)

-- name: delete
-- Take a subscription out of use; its place is free.
update subscriptions set is_active = false, deleted_at = $2, updated_at = $2
where id = $1 and deleted_at is null
returning id

-- name: find
select row_to_json(s) from subscriptions as s where s.lane = $1 and s.id = $2 and s.deleted_at is null

-- name: of_owner
-- The subscriptions of an owner, the oldest first.
select row_to_json(s) from subscriptions as s
where s.lane = $1 and s.owner_id = $2 and s.deleted_at is null
order by s.created_at, s.id

-- name: of_lane
-- The subscriptions of a lane, or of an owner in it, the oldest first, a part of them.
select row_to_json(s) from subscriptions as s
where s.lane = $1 and ($2::uuid is null or s.owner_id = $2) and s.deleted_at is null
order by s.created_at, s.id
limit $3 offset $4

-- name: count_of_lane
select count(*) from subscriptions as s
where s.lane = $1 and ($2::uuid is null or s.owner_id = $2) and s.deleted_at is null

-- What lanes have committed and clients are not yet told. Positions are numbers of batches, which have no gaps and
-- become visible in their order.

-- name: behind
-- Open lanes that somebody has subscribed to and that went on since they were looked at; and whether there are any that
-- somebody has subscribed to.
select coalesce(array_agg(p.lane) filter (
    where exists (select from batches as b where b.lane = p.lane and b.seq = p.seq + 1)
), '{}') as lanes, count(*) > 0 as listened
from outbox_positions as p
join lanes as l on l.lane = p.lane and l.closed_at is null

-- name: take
-- The position of a lane, unless somebody else moves it, and its newest batch.
select p.seq, (select b.seq from batches as b where b.lane = p.lane order by b.seq desc limit 1) as head
from outbox_positions as p
where p.lane = $1
for update skip locked

-- name: position
-- The position of a lane, kept as it is until the end of the database transaction.
select seq from outbox_positions where lane = $1 for share

-- name: move
update outbox_positions set seq = $2 where lane = $1

-- name: part
-- The batch at which a reading that begins after $2 has about $4 rows, at most $3: a batch is never read in part.
select least(
    $3::bigint,
    (select e.seq from events as e where e.lane = $1 and e.seq > $2 order by e.seq offset $4 limit 1),
    (select n.seq from entries as n where n.lane = $1 and n.seq > $2 order by n.seq offset $4 limit 1)
)

-- name: subscriptions
-- Who listens to a lane.
select row_to_json(s) from subscriptions as s where s.lane = $1 and s.is_active and s.deleted_at is null order by s.id

-- name: events
-- What happened to orders in the batches after $2 up to $3, of some tenants or of all, with what happened before.
select json_build_object(
    'seq', e.seq,
    'event', e,
    'order', o,
    'before', coalesce((
        select json_agg(json_build_object('name', b.name, 'state', b.state) order by b.order_version)
        from events as b
        where b.lane = e.lane and b.order_id = e.order_id and b.order_version < e.order_version
    ), '[]')
)
from events as e
join orders as o on o.lane = e.lane and o.id = e.order_id
where e.lane = $1 and e.seq > $2 and e.seq <= $3 and ($4::uuid[] is null or e.tenant_id = any ($4))
order by e.seq, e.order_id, e.order_version

-- name: entries
-- What changed the cash of tenants in the batches after $2 up to $3.
select json_build_object(
    'seq', n.seq,
    'version', n.account_version,
    'balance', n.balance_after,
    'booked_at', t.booked_at,
    'account', a,
    'scale', s.scale
)
from entries as n
join accounts as a on a.lane = n.lane and a.id = n.account_id
join assets as s on s.lane = a.lane and s.code = a.asset
join ledger_transactions as t on t.lane = n.lane and t.id = n.transaction_id
where n.lane = $1 and n.seq > $2 and n.seq <= $3 and a.purpose = $5 and ($4::uuid[] is null or a.owner_id = any ($4))
order by n.seq, n.account_id, n.account_version

-- name: before
-- The last batch of a lane that was made before a time.
select coalesce(
    (select b.seq from batches as b where b.lane = $1 and b.at < $2 order by b.seq desc limit 1), 0
)

-- name: deliver
-- Deliveries of events; one that is there already is not made again.
insert into deliveries (
    id, lane, subscription_id, event_id, event_type, subject_id, subject_version, body, state, due_at, created_at
)
select d.id, $1, d.subscription_id, d.event_id, d.event_type, d.subject_id, d.subject_version, d.body, 'pending', $9, $9
from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], $8::bytea[])
    as d (id, subscription_id, event_id, event_type, subject_id, subject_version, body)
on conflict on constraint deliveries_once do nothing
returning 1

-- name: deliver_again
-- Deliveries of events; one that is there already and has failed is due again.
insert into deliveries as known (
    id, lane, subscription_id, event_id, event_type, subject_id, subject_version, body, state, due_at, created_at
)
select d.id, $1, d.subscription_id, d.event_id, d.event_type, d.subject_id, d.subject_version, d.body, 'pending', $9, $9
from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], $8::bytea[])
    as d (id, subscription_id, event_id, event_type, subject_id, subject_version, body)
on conflict on constraint deliveries_once do update
set state = 'pending', due_at = excluded.due_at, attempts_before = known.attempts
where known.state = 'failed'
returning 1

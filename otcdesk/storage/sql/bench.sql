-- What the benchmark of webhooks asks of a database of its own, and what it puts there.

-- name: unsubscribe
-- Leave a desk to which nobody has ever subscribed.
with gone as (delete from outbox_positions)
delete from subscriptions

-- name: switch
-- Switch a subscription on or off, and let it lead elsewhere; it is known still how often its receiver failed before.
update subscriptions set is_active = $2, url = $3 where id = $1

-- name: hold
-- Let subscriptions of an envelope wait until a time, or no longer if there is none.
update subscriptions set held_until = $2 where envelope = $1

-- name: told
-- Whether all that was committed is told.
select not exists (
    select from outbox_positions as p
    where exists (select from batches as b where b.lane = p.lane and b.seq = p.seq + 1)
)

-- name: received
-- Whether all that was told to subscriptions of an envelope has come to an end.
select not exists (
    select from subscriptions as s
    where s.envelope = $1
        and exists (select from deliveries as d where d.subscription_id = s.id and d.state = 'pending')
)

-- name: outcomes
-- How many deliveries succeeded, and how long their last attempts took.
select count(*) as succeeded, coalesce(percentile_disc(0.5) within group (order by response_ms), 0) as p50_ms,
    coalesce(percentile_disc(0.99) within group (order by response_ms), 0) as p99_ms
from deliveries
where state = 'succeeded'

-- name: made
-- How many deliveries there are.
select count(*) from deliveries

-- name: waiting
-- How many deliveries of a subscription wait.
select count(*) from deliveries where subscription_id = $1 and state = 'pending'

-- name: pile_up
-- Deliveries that are due now, $1 of them, dealt out to subscriptions of an envelope, or all of them to the one that is
-- not null. Each has the body of a true one, with the id of an event of its own.
with sample as (
    select row_number() over (order by s.id) - 1 as place, count(*) over () as places, d.*
    from subscriptions as s
    cross join lateral (
        select o.lane, o.subscription_id, o.event_id, o.event_type, convert_from(o.body, 'UTF8') as body
        from deliveries as o
        where o.subscription_id = s.id
        order by o.created_at
        limit 1
    ) as d
    where s.envelope = $2
),
fresh as (
    select n.number, 'evt_' || replace(gen_random_uuid()::text, '-', '') || '1' as event_id
    from generate_series(0, $1::integer - 1) as n (number)
)
insert into deliveries (
    id, lane, subscription_id, event_id, event_type, subject_id, subject_version, body, state, due_at, created_at
)
select gen_random_uuid(), s.lane, coalesce($3::uuid, s.subscription_id), f.event_id, s.event_type, gen_random_uuid(), 1,
    convert_to(replace(s.body, s.event_id, f.event_id), 'UTF8'), 'pending', clock_timestamp(), clock_timestamp()
from fresh as f
join sample as s on s.place = f.number % s.places

-- name: tidy
-- Know of what was put here and do what it leaves to do, as PostgreSQL would some time later by itself.
vacuum (analyze) deliveries

-- name: jobs_over
-- Whether no job waits for its worker.
select not exists (select from jobs where waits_for is not null)

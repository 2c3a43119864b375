-- Deliveries: claimed when they are due, recorded with what came of it, shown to people, dropped when they are old.

-- name: ready
-- Subscriptions that are switched on and have something due, of one lane or of all. They are found by leaps over the
-- index, so that a backlog costs no more than a single delivery, and each is looked at once: `offset 0`, and asking for
-- one row's value instead of whether there is a row, leave the planner no other way, also when the tables are still
-- empty and plans are kept.
with recursive waiting (subscription_id) as (
    (select d.subscription_id from deliveries as d where d.state = 'pending' order by d.subscription_id limit 1)
    union all
    select (
        select d.subscription_id from deliveries as d
        where d.state = 'pending' and d.subscription_id > w.subscription_id
        order by d.subscription_id
        limit 1
    )
    from waiting as w
    where w.subscription_id is not null
)
select row_to_json(s)
from waiting as w
cross join lateral (
    select k.* from subscriptions as k where k.id = w.subscription_id offset 0
) as s
join lanes as l on l.lane = s.lane
where s.is_active and s.deleted_at is null and l.closed_at is null
    and ($2::integer is null or s.lane = $2)
    and (s.held_until is null or s.held_until <= $1)
    and (
        select d.due_at from deliveries as d
        where d.subscription_id = s.id and d.state = 'pending' and d.due_at <= $1
        order by d.due_at
        limit 1
    ) is not null

-- name: claim
-- Take due deliveries, at most so many of each subscription, the longest due first. One whose subject has an older
-- delivery that was never tried waits for that; one that is only tried again holds nobody up. What is pending has a due
-- time; asked by its state it would be looked for among all that a subscription has waiting, again for each of them. The
-- older one is asked for as one row of a range, which only the index of subjects and versions answers in its order.
with claimed as (
    select c.id
    from unnest($1::uuid[], $2::integer[]) as r (subscription_id, room)
    cross join lateral (
        select p.id from deliveries as p
        where p.subscription_id = r.subscription_id and p.state = 'pending' and p.due_at <= $3
            and (
                select o.due_at from deliveries as o
                where o.subscription_id = p.subscription_id
                    and o.subject_id >= p.subject_id and o.subject_id <= p.subject_id
                    and o.subject_version < p.subject_version
                    and o.due_at is not null and o.attempts = o.attempts_before
                order by o.subject_id, o.subject_version
                limit 1
            ) is null
        order by p.due_at, p.id
        limit r.room
        for update skip locked
    ) as c
)
update deliveries as d
set due_at = $4, sending_until = $4
from claimed
where d.id = claimed.id
returning d.id, d.subscription_id, d.event_id, d.event_type, d.body, d.attempts, d.attempts_before

-- name: claim_one
-- Take one delivery whatever became of it, unless somebody is sending it or its subscription is gone.
update deliveries as d
set state = 'pending', due_at = $4, sending_until = $4, attempts_before = d.attempts
where d.id = $1 and d.subscription_id = $2 and (d.sending_until is null or d.sending_until <= $3)
    and exists (select from subscriptions as s where s.id = $2 and s.deleted_at is null)
returning d.id, d.subscription_id, d.event_id, d.event_type, d.body, d.attempts, d.attempts_before

-- name: make_test
-- A delivery that is sent by whoever makes it.
insert into deliveries (
    id, lane, subscription_id, event_id, event_type, subject_id, subject_version, body, state, due_at, sending_until,
    created_at
)
values ($1, $2, $3, $4, $5, $1, 1, $6, 'pending', $8, $8, $7)

-- name: record
-- What came of attempts, each counted once; returns those that were counted now. Rows are taken in the order of their
-- ids, as by everybody who takes several, so that nobody waits for who waits for him. What is due is pending; asked for
-- by its state, a plan from when the table was empty would go through everything that is.
with outcome as (
    select * from unnest(
        $1::uuid[], $2::integer[], $3::text[], $4::timestamptz[], $5::integer[], $6::integer[], $7::text[], $8::text[],
        $9::timestamptz[]
    ) as o (id, number, state, due_at, response_status, response_ms, error, response_body, attempted_at)
),
taken as (
    select d.id from deliveries as d where d.id = any ($1::uuid[]) order by d.id for update
),
counted as (
    update deliveries as d
    set state = o.state, due_at = o.due_at, sending_until = null, attempts = o.number, attempted_at = o.attempted_at,
        response_status = o.response_status, response_ms = o.response_ms, error = o.error
    from taken as t
    join outcome as o on o.id = t.id
    where d.id = t.id and d.attempts = o.number - 1 and d.due_at is not null
    returning d.id
),
noted as (
    insert into delivery_attempts (
        delivery_id, number, attempted_at, response_status, response_ms, error, response_body
    )
    select o.id, o.number, o.attempted_at, o.response_status, o.response_ms, o.error, o.response_body
    from outcome as o
    join counted as c on c.id = o.id
)
select id from counted

-- name: count_outcomes
-- Failures in a row of subscriptions, and since when; a success in between begins the count anew. Attempts that were
-- under way when a failure was counted are the same failure. And until when receivers asked for a pause. What a receiver
-- did that a subscription has left by now says nothing of its new one.
with told as (
    select t.id, t.url, t.had_success, t.failed_from, t.held_until,
        t.failed_from >= coalesce(s.failed_at, '-infinity') as counts
    from unnest($1::uuid[], $2::text[], $3::boolean[], $4::timestamptz[], $5::timestamptz[])
        as t (id, url, had_success, failed_from, held_until)
    join subscriptions as s on s.id = t.id
)
update subscriptions as s
set consecutive_failures = case when t.had_success then 0 else s.consecutive_failures end
        + coalesce(t.counts, false)::integer,
    failed_at = case when t.counts then $6::timestamptz else s.failed_at end,
    failing_since = case
        when t.failed_from is null then null
        when t.had_success then $6
        else coalesce(s.failing_since, $6)
    end,
    held_until = greatest(s.held_until, t.held_until)
from told as t
where s.id = t.id and s.url = t.url and (t.failed_from is not null or s.consecutive_failures > 0)
returning row_to_json(s)

-- name: disable
-- Switch a subscription off, once, unless it has left this receiver.
update subscriptions set is_active = false, disabled_at = $2, disabled_reason = $3, updated_at = $2
where id = $1 and is_active and deleted_at is null and url = $4
returning row_to_json(subscriptions)

-- name: operators
-- The operator's own subscriptions of a lane.
select row_to_json(s) from subscriptions as s
where s.lane = $1 and s.owner_id = $2 and s.is_active and s.deleted_at is null

-- name: find
select row_to_json(d) from (
    select id, lane, subscription_id, event_id, event_type, subject_id, subject_version, state, due_at, attempts,
        response_status, response_ms, error, created_at, attempted_at
    from deliveries where lane = $1 and id = $2
) as d

-- name: page
-- Deliveries of a lane, newest first: of an owner, a subscription, a state, a type, an event, since a time, each if it
-- is not null. No more than $10 are counted: to know more exactly how many there are would cost more than to show them.
with wanted as not materialized (
    select d.id, d.lane, d.subscription_id, d.event_id, d.event_type, d.subject_id, d.subject_version, d.state, d.due_at,
        d.attempts, d.response_status, d.response_ms, d.error, d.created_at, d.attempted_at
    from deliveries as d
    where d.lane = $1
        and ($2::uuid is null or d.subscription_id in (
            select s.id from subscriptions as s where s.lane = $1 and s.owner_id = $2
        ))
        and ($3::uuid is null or d.subscription_id = $3)
        and ($4::text is null or d.state = $4)
        and ($5::text is null or d.event_type = $5)
        and ($6::text is null or d.event_id = $6)
        and ($7::timestamptz is null or d.created_at >= $7)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(w) from (
            select * from wanted order by created_at desc, id desc limit $8 offset $9
        ) as w
    ), '[]'),
    'total', (select count(*) from (select from wanted limit $10) as counted)
)

-- name: attempts
-- Every attempt at a delivery, the first one first.
select row_to_json(a) from (
    select number, attempted_at, response_status, response_ms, error, response_body
    from delivery_attempts where delivery_id = $1 order by number
) as a

-- name: body
select body from deliveries where id = $1

-- name: backlog
-- How many deliveries wait, of subscriptions that are switched on, at most $2 of each; and since when the longest due one
-- is due that nobody is sending and whose receiver neither fails nor asked for a pause: nothing but the desk keeps that
-- one waiting. What somebody is sending is due only when it can no longer be under way. Subscriptions are found as by
-- `ready`, and what waits is read in the order of the index, so that no more of it is read than is counted: where the
-- planner knows the limit and is wrong about what there is, it would sort all of it.
with recursive waiting (subscription_id) as (
    (select d.subscription_id from deliveries as d where d.state = 'pending' order by d.subscription_id limit 1)
    union all
    select (
        select d.subscription_id from deliveries as d
        where d.state = 'pending' and d.subscription_id > w.subscription_id
        order by d.subscription_id
        limit 1
    )
    from waiting as w
    where w.subscription_id is not null
)
select coalesce(sum(
    (
        select count(*) from (
            select from deliveries as d
            where d.subscription_id = s.id and d.state = 'pending'
            order by d.due_at
            limit (select $2::bigint)
        ) as counted
    )
), 0)::bigint as waiting, min(
    (
        select d.due_at from deliveries as d
        where d.subscription_id = s.id and d.state = 'pending' and d.due_at <= $1
        order by d.due_at
        limit 1
    )
) filter (where s.consecutive_failures = 0 and (s.held_until is null or s.held_until <= $1)) as oldest_due_at
from waiting as w
cross join lateral (
    select k.* from subscriptions as k where k.id = w.subscription_id offset 0
) as s
join lanes as l on l.lane = s.lane
where s.is_active and s.deleted_at is null and l.closed_at is null

-- name: prune
-- Drop deliveries that ended before a time, a bounded number of them.
with old as (
    select id from deliveries where state <> 'pending' and created_at < $1 order by created_at limit $2
    for update skip locked
),
forgotten as (
    delete from delivery_attempts as a using old where a.delivery_id = old.id
),
dropped as (
    delete from deliveries as d using old where d.id = old.id returning 1
)
select count(*) from dropped

-- name: give_up
-- End old deliveries of subscriptions that are switched off, and all of those that are deleted or whose lane is closed, a
-- bounded number of them. What waits of those that are switched on is not looked at.
with recursive waiting (subscription_id) as (
    (select d.subscription_id from deliveries as d where d.state = 'pending' order by d.subscription_id limit 1)
    union all
    select (
        select d.subscription_id from deliveries as d
        where d.state = 'pending' and d.subscription_id > w.subscription_id
        order by d.subscription_id
        limit 1
    )
    from waiting as w
    where w.subscription_id is not null
),
old as (
    select d.id
    from waiting as w
    cross join lateral (
        select k.* from subscriptions as k where k.id = w.subscription_id offset 0
    ) as s
    join lanes as l on l.lane = s.lane
    cross join lateral (
        select p.id from deliveries as p
        where p.subscription_id = s.id and p.state = 'pending'
            and (p.created_at < $1 or s.deleted_at is not null or l.closed_at is not null)
        order by p.due_at
        limit $2
        for update skip locked
    ) as d
    where not s.is_active or s.deleted_at is not null or l.closed_at is not null
    limit $2
),
ended as (
    update deliveries as d
    set state = 'failed', due_at = null, sending_until = null
    from old
    where d.id = old.id and d.state = 'pending'
    returning 1
)
select count(*) from ended

-- name: delete_of_closed
-- Delete the subscriptions of lanes that are closed, a bounded number of them, and retire their keys; nobody needs to
-- know any more how far they were told.
with unread as (
    delete from outbox_positions as p using lanes as l where l.lane = p.lane and l.closed_at is not null
),
old as (
    select s.id
    from lanes as l
    join subscriptions as s on s.lane = l.lane and s.deleted_at is null
    where l.closed_at is not null
    limit $2
),
gone as (
    update subscriptions as s set is_active = false, deleted_at = $1, updated_at = $1
    from old
    where s.id = old.id and s.deleted_at is null
    returning s.id
)
update signing_keys as k set retires_at = $1
from gone
where k.owner = gone.id::text and (k.retires_at is null or k.retires_at > $1)

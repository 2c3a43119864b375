-- The people who run the desk: who they are, how often they failed to sign in, and where they are signed in.

-- part: operator
select o.lane, o.id, o.email, o.name, o.roles, o.enabled, o.failures, o.locked_until, o.created_at,
    o.password_changed_at
from operators as o

-- part: session
select s.id, s.lane, l.name as lane_name, l.kind as lane_kind, s.operator_id, o.email, o.name, o.roles,
    s.csrf_token, s.address, s.agent, s.created_at, s.seen_at
from operator_sessions as s
join operators as o on o.id = s.operator_id
join lanes as l on l.lane = s.lane

-- name: create
insert into operators (
    lane, id, email, name, password_hash, roles, enabled, failures, totp_step_used, created_at, password_changed_at)
values ($1, $2, $3, $4, $5, $6, true, 0, 0, $7, $7)

-- name: of_lane
select row_to_json(f) from (
-- here: operator
    where o.lane = $1 order by lower(o.email)
) as f

-- name: operator
select row_to_json(f) from (
-- here: operator
    where o.lane = $1 and o.id = $2
) as f

-- name: of_email
select row_to_json(f) from (
-- here: operator
    where o.lane = $1 and lower(o.email) = lower($2)
) as f

-- name: hold_keepers
-- Those of a lane who are let in and have one of the roles $2, kept as they are until the end of the database
-- transaction; always taken in one order.
select o.id from operators as o where o.lane = $1 and o.enabled and o.roles && $2::text[] order by o.id for update

-- name: describe
-- Give an operator another name and other roles.
update operators set name = coalesce($3, name), roles = coalesce($4, roles) where lane = $1 and id = $2 returning id

-- name: enable
-- Let an operator in, or keep them out, who then must sign in anew once they are let in again.
with changed as (
    update operators set enabled = $3 where lane = $1 and id = $2 returning id
),
ended as (
    update operator_sessions as s set ended_at = $4 from changed as c
    where s.operator_id = c.id and s.ended_at is null and not $3
)
select id from changed

-- name: reset
-- Another password, nothing to wait for, and no session; whoever has the new secret has used none of its codes.
with changed as (
    update operators
    set password_hash = $3, password_changed_at = $4, totp_step_used = 0, failures = 0, locked_until = null
    where lane = $1 and id = $2
    returning id, email
),
ended as (
    update operator_sessions as s set ended_at = $4 from changed as c where s.operator_id = c.id and s.ended_at is null
)
select email from changed

-- name: candidates
-- Who may be meant by an e-mail address, at the desk that is named or at any: at most two, those let in first.
select row_to_json(f) from (
    select o.lane, o.id, o.password_hash, o.enabled
    from operators as o
    join lanes as l on l.lane = o.lane
    where lower(o.email) = lower($1) and ($2::text is null or l.name = $2) and l.closed_at is null
    order by o.enabled desc, l.kind, o.created_at, o.id
    limit 2
) as f

-- name: candidate
-- The same of an operator who is known.
select row_to_json(f) from (
    select o.lane, o.id, o.password_hash, o.enabled
    from operators as o
    join lanes as l on l.lane = o.lane
    where o.id = $1 and l.closed_at is null
) as f

-- name: attempt
-- Count an attempt as failed before it is looked at, so that no two at once are one; nothing while locked.
update operators
set failures = failures + 1,
    locked_until = case when failures + 1 >= $3 then $2::timestamptz + interval '1 second' *
        least($5::integer, $4::integer * (1 << least(failures + 1 - $3::integer, 16))) end
where id = $1 and (locked_until is null or locked_until <= $2)
returning failures

-- name: locked_until
select locked_until from operators where id = $1

-- name: attempt_of_nobody
-- The same for an e-mail address that nobody has.
insert into sign_in_brakes as b (name, failures, ends_at) values ($1, 1, $2)
on conflict (name) do update
set failures = b.failures + 1,
    ends_at = case when b.failures + 1 >= $3 then $2::timestamptz + interval '1 second' *
        least($5::integer, $4::integer * (1 << least(b.failures + 1 - $3::integer, 16))) else $2 end
where b.ends_at <= $2
returning b.failures

-- name: brake_ends
select ends_at from sign_in_brakes where name = $1

-- name: attempt_from
-- Count an attempt from an address as failed; nothing if there were $4 since its minute began.
insert into sign_in_brakes as b (name, failures, ends_at) values ($1, 1, $3)
on conflict (name) do update
set failures = case when b.ends_at <= $2 then 1 else b.failures + 1 end,
    ends_at = case when b.ends_at <= $2 then $3 else b.ends_at end
where b.ends_at <= $2 or b.failures < $4
returning b.failures

-- name: give_back_from
-- An attempt from an address has not failed.
update sign_in_brakes set failures = failures - 1 where name = $1 and failures > 0

-- name: sign_in
-- Spend a code for a session; nothing if it was spent, or if the operator is not any more as they were looked up.
with spent as (
    update operators
    set totp_step_used = $3, failures = 0, locked_until = null, password_hash = coalesce($4, password_hash)
    where id = $1 and password_hash = $2 and enabled and totp_step_used < $3
    returning lane, id
)
insert into operator_sessions (
    id, token_hash, lane, operator_id, csrf_token, address, agent, created_at, seen_at)
select $5, $6, s.lane, s.id, $7, $8, $9, $10, $10 from spent as s
returning id

-- name: change_password
-- Spend a code for another password, which ends every session but one; nothing as with sign_in.
with changed as (
    update operators
    set totp_step_used = $3, failures = 0, locked_until = null, password_hash = $4, password_changed_at = $5
    where id = $1 and password_hash = $2 and enabled and totp_step_used < $3
    returning id
),
ended as (
    update operator_sessions as s set ended_at = $5 from changed as c
    where s.operator_id = c.id and s.ended_at is null and s.id is distinct from $6
)
select id from changed

-- name: forgive
-- Nothing was wrong with an attempt.
update operators set failures = 0, locked_until = null where id = $1

-- name: session
-- The session with this token, unless it or what it stands on has ended.
select row_to_json(f) from (
-- here: session
    where s.token_hash = $1 and s.ended_at is null and s.seen_at > $2 and s.created_at > $3
        and o.enabled and l.closed_at is null
) as f

-- name: sessions
-- Where an operator is signed in, the latest first.
select row_to_json(f) from (
-- here: session
    where s.operator_id = $1 and s.ended_at is null and s.seen_at > $2 and s.created_at > $3
        and o.enabled and l.closed_at is null
    order by s.seen_at desc, s.id
) as f

-- name: sessions_of_lane
-- Where the operators of a lane are signed in, the latest first.
select row_to_json(f) from (
-- here: session
    where s.lane = $1 and s.ended_at is null and s.seen_at > $2 and s.created_at > $3
        and o.enabled and l.closed_at is null
    order by s.seen_at desc, s.id
) as f

-- name: see
update operator_sessions set seen_at = $2 where id = $1 and ended_at is null and seen_at < $2

-- name: end
update operator_sessions set ended_at = $2 where id = $1 and ended_at is null returning id

-- name: end_all
-- End an operator's sessions but one.
with ended as (
    update operator_sessions set ended_at = $2
    where operator_id = $1 and ended_at is null and id is distinct from $3
    returning id
)
select count(*) from ended

-- name: forget_sessions
-- Drop sessions that began before $1; at most so many, so that it never takes long.
with dropped as (
    delete from operator_sessions where id in (
        select id from operator_sessions where created_at < $1 order by created_at limit $2
    )
    returning id
)
select count(*) from dropped

-- name: forget_brakes
-- Drop what was counted for nobody and ended before $1.
with dropped as (
    delete from sign_in_brakes where name in (
        select name from sign_in_brakes where ends_at < $1 order by ends_at limit $2
    )
    returning name
)
select count(*) from dropped

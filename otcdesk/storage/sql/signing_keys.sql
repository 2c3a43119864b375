-- What signs callbacks: a subscription's own keys, or the desk's for an envelope. The secret half is a sealed secret
-- whose owner is the key's id.

-- name: turn
-- Keep others from making or replacing keys of this owner until the end of the database transaction.
select pg_advisory_xact_lock($1, hashtext($2))

-- name: make
insert into signing_keys (id, owner, kind, shown, made_at) values ($1, $2, $3, $4, $5)

-- name: live
-- The keys of some owners that still sign: the one in use first, whatever a clock said when it was made, then the newest.
select row_to_json(k) from signing_keys as k
where k.owner = any ($1::text[]) and (k.retires_at is null or k.retires_at > $2)
order by k.retires_at is null desc, k.made_at desc, k.id desc

-- name: retire
-- Let the key in use go on until a time, and end at once those that it had replaced.
update signing_keys set retires_at = case when retires_at is null then $2::timestamptz else $3 end
where owner = $1 and (retires_at is null or retires_at > $3)

-- name: retire_now
-- End all keys of an owner.
update signing_keys set retires_at = $2 where owner = $1 and (retires_at is null or retires_at > $2)

-- name: forget_retired
-- Drop keys that are retired, with their secret halves, a bounded number of them.
with old as (
    select id from signing_keys where retires_at <= $1 order by retires_at limit $2
),
forgotten as (
    delete from sealed_secrets as s using old where s.purpose = $3 and s.owner = old.id::text
),
dropped as (
    delete from signing_keys as k using old where k.id = old.id returning 1
)
select count(*) from dropped

-- Refresh tokens, by hash. A token is spent once, in one statement that makes its successor, however many try at once.

-- name: issue
insert into refresh_tokens (hash, lane, owner_id, credential_id, issued_at, expires_at)
values ($1, $2, $3, $4, $5, $6)

-- name: rotate
-- Spend a live token of a client and issue the next.
with spent as (
    update refresh_tokens set spent_at = $3, spent_by = 'use'
    where hash = $1 and credential_id = $2 and spent_at is null and expires_at > $3
    returning lane, owner_id, credential_id
)
insert into refresh_tokens (hash, lane, owner_id, credential_id, issued_at, expires_at)
select $4, s.lane, s.owner_id, s.credential_id, $3, $5 from spent as s
returning hash

-- name: revoke
-- Spend a live token of a client for nothing.
update refresh_tokens set spent_at = $3, spent_by = 'revocation'
where hash = $1 and credential_id = $2 and spent_at is null and expires_at > $3
returning hash

-- name: token
-- What is known of a client's token.
select row_to_json(t) from refresh_tokens as t where t.hash = $1 and t.credential_id = $2

-- name: client_of
select credential_id from refresh_tokens where hash = $1

-- name: claim_report
-- Note that the second use of a token is reported, nothing if it has been.
update refresh_tokens set reported_at = $3
where hash = $1 and credential_id = $2 and spent_by = 'use' and reported_at is null
returning hash

-- name: give_back_report
-- The report could not be made.
update refresh_tokens set reported_at = null where hash = $1 and credential_id = $2

-- name: forget
-- Drop tokens that ran out before $1; at most so many, so that it never takes long.
with over as (
    select hash from refresh_tokens where expires_at < $1 order by expires_at limit $2
),
dropped as (
    delete from refresh_tokens as t using over where t.hash = over.hash returning 1
)
select count(*) from dropped

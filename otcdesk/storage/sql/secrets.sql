-- name: find
-- The secret of this purpose and owner.
select id, purpose, owner, sealed, key_id from sealed_secrets where purpose = $1 and owner = $2

-- name: all
-- Every secret, as it lies.
select id, purpose, owner, sealed, key_id, made_at from sealed_secrets order by purpose, owner

-- name: any
-- Whether there are secrets.
select exists (select from sealed_secrets)

-- name: keep
-- A secret in the place of the one before.
insert into sealed_secrets (id, purpose, owner, sealed, key_id, made_at) values ($1, $2, $3, $4, $5, $6)
on conflict (purpose, owner) do update
set id = excluded.id, sealed = excluded.sealed, key_id = excluded.key_id, made_at = excluded.made_at

-- name: forget
delete from sealed_secrets where purpose = $1 and owner = $2 returning id

-- name: seal_anew
-- The same secret under another key.
update sealed_secrets set sealed = $2, key_id = $3 where id = $1

-- name: share
-- Keep a rotation out until this secret is written: its key must not be retired meanwhile.
lock table sealed_secrets in row exclusive mode

-- name: exclude
-- Keep writers out while keys change.
lock table sealed_secrets in share row exclusive mode

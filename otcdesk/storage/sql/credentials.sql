-- name: by_hash
-- The credential with this secret.
select row_to_json(c) from credentials as c
join lanes as l on l.lane = c.lane
where c.secret_hash = $1 and l.closed_at is null

-- name: create
insert into credentials
    (id, lane, kind, owner_id, name, secret_hash, shown_prefix, scopes, source_ips, created_at, expires_at,
        public_key, supervisor_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: of_lane
-- The credentials of a lane, newest first; never their secrets.
select row_to_json(c) from credentials as c where c.lane = $1 order by c.created_at desc, c.name

-- name: named
-- The live credential of this name.
select row_to_json(c) from credentials as c
where c.lane = $1 and c.owner_id = $2 and c.name = $3 and c.revoked_at is null

-- name: revoke
-- End a credential at once.
update credentials set revoked_at = $3
where lane = $1 and (id::text = $2 or shown_prefix = $2) and revoked_at is null
returning id

-- name: client
-- The client of this id and scope, unless it was revoked or its lane is closed.
select row_to_json(c) from credentials as c
join lanes as l on l.lane = c.lane
where c.id = $1 and c.kind = 'client' and $2 = any (c.scopes) and c.revoked_at is null and l.closed_at is null

-- name: request_key
-- The request key with this secret, and the kind of its lane.
select json_build_object('credential', c, 'lane_kind', l.kind) from credentials as c
join lanes as l on l.lane = c.lane
where c.secret_hash = $1 and c.kind = 'request_key' and l.closed_at is null

-- name: live_request_key
-- A request key of a lane by its id or the beginning that is shown, unless it has ended or is about to.
select json_build_object('credential', c, 'lane_kind', l.kind) from credentials as c
join lanes as l on l.lane = c.lane
where c.lane = $1 and c.kind = 'request_key' and (c.id::text = $2 or c.shown_prefix = $2)
    and c.revoked_at is null and (c.expires_at is null or c.expires_at > $3)

-- name: expire
-- Let a credential end at a time, unless it ends before.
update credentials set expires_at = least(expires_at, $2) where id = $1 returning id

-- name: lane_kind
select kind from lanes where lane = $1

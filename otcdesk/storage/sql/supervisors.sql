-- Who acts for a tenant of resale, and as whom its clients call.

-- name: keep_role
-- Make a role, or change it; nothing if it is another tenant's.
insert into roles as r (lane, id, tenant_id, name, priority, permissions)
values ($1, $2, $3, $4, $5, $6)
on conflict (lane, id) do update
set name = excluded.name, priority = excluded.priority, permissions = excluded.permissions
where r.tenant_id = excluded.tenant_id
returning r.id

-- name: keep_supervisor
-- Make a supervisor of a branch and with a role of its tenant, or change all but its branch; nothing if it cannot be.
insert into supervisors as s (lane, id, tenant_id, branch_id, role_id, email, enabled)
select $1, $2, $3, b.id, r.id, $6, $7
from branches as b
join roles as r on r.lane = b.lane and r.tenant_id = b.tenant_id
where b.lane = $1 and b.id = $4 and b.tenant_id = $3 and r.id = $5
on conflict (lane, id) do update
set role_id = excluded.role_id, email = excluded.email, enabled = excluded.enabled
where s.tenant_id = excluded.tenant_id and s.branch_id = excluded.branch_id
returning s.id

-- name: enable
-- Let a supervisor in, or keep it out.
update supervisors set enabled = $3 where lane = $1 and id = $2 returning id

-- name: roles
select row_to_json(r) from roles as r where r.lane = $1 order by r.priority desc, r.name, r.id

-- name: supervisors
select row_to_json(s) from supervisors as s where s.lane = $1 order by s.email, s.id

-- name: supervisor
select row_to_json(s) from supervisors as s where s.lane = $1 and s.id = $2

-- name: standing
-- As whom a client calls, nothing if either may not any more.
select json_build_object('client_id', c.id, 'client_name', c.name, 'lane', c.lane, 'tenant_id', c.owner_id,
    'supervisor_id', s.id, 'email', s.email, 'branch_id', b.id, 'branch_number', b.number, 'path', b.path,
    'role_id', r.id, 'priority', r.priority, 'permissions', r.permissions)
from credentials as c
join lanes as l on l.lane = c.lane
join supervisors as s on s.lane = c.lane and s.id = c.supervisor_id and s.tenant_id = c.owner_id
join roles as r on r.lane = s.lane and r.id = s.role_id
join branches as b on b.lane = s.lane and b.id = s.branch_id
where c.id = $1 and c.kind = 'client' and c.revoked_at is null and l.closed_at is null and s.enabled

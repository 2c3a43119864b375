-- What the edges show of deposits, of the places where they arrive, and of rules.

-- name: bank
-- Bank details of a tenant.
select row_to_json(b) from bank_details as b where b.lane = $1 and b.name = $2 and b.tenant_id = $3

-- name: address
-- An address, on whatever network it is.
select row_to_json(a) from deposit_addresses as a where a.lane = $1 and a.address = $2 order by a.network limit 1

-- name: tenant
-- A tenant by its name.
select row_to_json(t) from tenants as t where t.lane = $1 and t.name = $2

-- name: tenant_of_id
-- A tenant by its id.
select row_to_json(t) from tenants as t where t.lane = $1 and t.id = $2

-- name: deposit
-- A deposit with its order, the bank details that it came to, and the tenant's own name for whom it is for.
select json_build_object('order', o, 'deposit', d, 'bank', b, 'party_external_id', y.external_id)
from deposits as d
join orders as o on o.lane = d.lane and o.id = d.order_id
left join bank_details as b on b.lane = d.lane and b.name = d.method
left join parties as y on y.lane = d.lane and y.id = d.party_id
where d.lane = $1 and d.order_id = $2

-- name: deposits
-- The same for many, newest first, perhaps of one tenant or in one state, and how many there are.
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object('order', p, 'deposit', d, 'bank', b, 'party_external_id', y.external_id)
            order by p.created_at desc, p.id desc)
        from (
            select * from orders as o
            where o.lane = $1 and o.product = 'deposit' and ($2::uuid is null or o.tenant_id = $2)
                and ($3::text is null or o.state = $3)
            order by o.created_at desc, o.id desc
            limit $4 offset $5
        ) as p
        join deposits as d on d.lane = p.lane and d.order_id = p.id
        left join bank_details as b on b.lane = d.lane and b.name = d.method
        left join parties as y on y.lane = d.lane and y.id = d.party_id
    ), '[]'),
    'total', (
        select count(*) from orders as o
        where o.lane = $1 and o.product = 'deposit' and ($2::uuid is null or o.tenant_id = $2)
            and ($3::text is null or o.state = $3)
    )
)

-- name: rules
-- The rules of all tenants or of one, newest first, and how many there are.
select json_build_object(
    'rows', coalesce((
        select json_agg(r order by r.created_at desc, r.id desc)
        from (
            select * from rules as u
            where u.lane = $1 and ($2::uuid is null or u.tenant_id = $2)
            order by u.created_at desc, u.id desc
            limit $3 offset $4
        ) as r
    ), '[]'),
    'total', (select count(*) from rules as u where u.lane = $1 and ($2::uuid is null or u.tenant_id = $2))
)

-- name: executions
-- What the rules of all tenants or one rule have done, newest first, and how much that is.
select json_build_object(
    'rows', coalesce((
        select json_agg(x order by x.happened_at desc, x.id desc, x.number)
        from (
            select * from rule_executions as e
            where e.lane = $1 and ($2::uuid is null or e.rule_id = $2)
            order by e.happened_at desc, e.id desc, e.number
            limit $3 offset $4
        ) as x
    ), '[]'),
    'total', (select count(*) from rule_executions as e where e.lane = $1 and ($2::uuid is null or e.rule_id = $2))
)

-- What the console shows of webhooks.

-- name: webhooks
-- A page of a lane's webhooks, of an owner ($2) if not null, those in trouble first: each with its owner's name, how many
-- messages wait for it (at most $3 are counted) and since when the longest due one is due; $4 of them after $5.
with wanted as not materialized (
    select s.* from subscriptions as s
    where s.lane = $1 and ($2::uuid is null or s.owner_id = $2) and s.deleted_at is null
)
select json_build_object(
    'rows', coalesce((
        select json_agg(r) from (
            select
                to_json(w) as subscription,
                (select t.name from tenants as t where t.lane = $1 and t.id = w.owner_id) as tenant,
                (
                    select count(*) from (
                        select from deliveries as d
                        where d.subscription_id = w.id and d.state = 'pending'
                        order by d.due_at
                        limit (select $3::bigint)
                    ) as counted
                ) as waiting,
                (
                    select d.due_at from deliveries as d
                    where d.subscription_id = w.id and d.state = 'pending'
                    order by d.due_at
                    limit 1
                ) as oldest_due_at
            from (
                select * from wanted
                order by (not is_active), (consecutive_failures = 0), created_at, id
                limit $4 offset $5
            ) as w
            order by (not w.is_active), (w.consecutive_failures = 0), w.created_at, w.id
        ) as r
    ), '[]'),
    'total', (select count(*) from wanted)
)

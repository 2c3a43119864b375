-- What the console shows of the machinery: what of a lane waits for the outside, callbacks, and the database itself.

-- name: waiting
-- What of a lane waits for each rail: how many orders and jobs, how many of them rest between two attempts, the most
-- attempts that one has had, and since when by the lane's clock the longest waits.
select row_to_json(w) from (
    select o.waits_for as rail, 'orders' as what, count(*) as number, count(*) filter (where s.holder = '') as resting,
        coalesce(max(s.attempts), 0) as attempts, min(o.updated_at) as since
    from orders as o
    left join leases as s on s.lane = o.lane and s.item = o.rail_reference
    where o.lane = $1 and o.waits_for is not null
    group by o.waits_for
    union all
    select j.waits_for, 'jobs', count(*), count(*) filter (where s.holder = ''), coalesce(max(s.attempts), 0),
        min(j.created_at)
    from jobs as j
    left join leases as s on s.lane = j.lane and s.item = j.reference
    where j.lane = $1 and j.waits_for is not null
    group by j.waits_for
) as w
order by w.rail, w.what

-- name: outbox
-- A lane's callbacks: webhooks that are switched on, those that fail, batches whose events are not turned into messages
-- yet, and how many messages wait (at most $2 are counted of each webhook) and since when the longest due one is due.
select json_build_object(
    'webhooks', count(*) filter (where s.is_active),
    'failing', count(*) filter (where s.is_active and s.consecutive_failures > 0),
    'untold', coalesce((
        select (select b.seq from batches as b where b.lane = p.lane order by b.seq desc limit 1) - p.seq
        from outbox_positions as p
        where p.lane = $1
    ), 0),
    'waiting', coalesce(sum((
        select count(*) from (
            select from deliveries as d
            where d.subscription_id = s.id and d.state = 'pending'
            order by d.due_at
            limit (select $2::bigint)
        ) as counted
    )) filter (where s.is_active), 0),
    'oldest_due_at', min((
        select d.due_at from deliveries as d
        where d.subscription_id = s.id and d.state = 'pending'
        order by d.due_at
        limit 1
    )) filter (where s.is_active)
)
from subscriptions as s
where s.lane = $1 and s.deleted_at is null

-- name: database
-- The database: since when its server runs, how large it is, and what it has done since its figures were last reset.
select json_build_object(
    'version', current_setting('server_version'),
    'started_at', pg_postmaster_start_time(),
    'size_bytes', pg_database_size(current_database()),
    'connections_max', current_setting('max_connections')::integer,
    'commits', d.xact_commit,
    'rollbacks', d.xact_rollback,
    'deadlocks', d.deadlocks,
    'found_in_memory', d.blks_hit,
    'read_from_disk', d.blks_read
)
from pg_stat_database as d
where d.datname = current_database()

-- name: connections
-- Who is connected to the database, by the name that each connection gave itself.
select json_build_object(
    'name', a.application_name,
    'number', count(*),
    'active', count(*) filter (where a.state = 'active' and a.pid <> pg_backend_pid()),
    'in_transaction', count(*) filter (where a.state like 'idle in transaction%'),
    'waiting', count(*) filter (where a.wait_event_type = 'Lock')
)
from pg_stat_activity as a
where a.datname = current_database() and a.backend_type = 'client backend'
group by a.application_name
order by a.application_name

-- name: chain_sends
-- What a lane has sent to chains that are not simulated and is not confirmed, by network, with the block that was seen
-- last for it.
select json_build_object(
    'network', s.network,
    'number', count(*),
    'since', min(s.recorded_at),
    'seen_block', max(s.seen_block)
)
from chain_sends as s
where s.lane = $1 and s.outcome is null
group by s.network
order by s.network

-- name: senders
-- The wallets from which a lane has sent to such chains, how often, and the last nonce that each was given.
select json_build_object('network', s.network, 'sender', s.sender, 'number', count(*), 'nonce', max(s.nonce))
from chain_sends as s
where s.lane = $1
group by s.network, s.sender
order by s.network, s.sender
limit $2

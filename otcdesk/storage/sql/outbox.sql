-- What lanes have committed and clients are not yet told. Positions are numbers of batches, which have no gaps and
-- become visible in their order.

-- name: behind
-- Open lanes that somebody has subscribed to and that went on since they were looked at, or one of them; and whether
-- there are any that somebody has subscribed to.
select coalesce(array_agg(p.lane) filter (
    where exists (select from batches as b where b.lane = p.lane and b.seq = p.seq + 1)
), '{}') as lanes, count(*) > 0 as listened
from outbox_positions as p
join lanes as l on l.lane = p.lane and l.closed_at is null
where $1::integer is null or p.lane = $1

-- name: untold
-- How many batches of open lanes that somebody has subscribed to are not looked at yet.
select coalesce(sum(
    (select b.seq from batches as b where b.lane = p.lane order by b.seq desc limit 1) - p.seq
), 0)::bigint
from outbox_positions as p
join lanes as l on l.lane = p.lane and l.closed_at is null

-- name: take
-- The position of a lane, unless somebody else moves it, and its newest batch.
select p.seq, (select b.seq from batches as b where b.lane = p.lane order by b.seq desc limit 1) as head
from outbox_positions as p
where p.lane = $1
for update skip locked

-- name: position
-- Up to where a lane has been told for sure; whoever is telling it right now is waited for.
select seq from outbox_positions where lane = $1 for share

-- name: move
update outbox_positions set seq = $2 where lane = $1

-- name: part
-- The batch at which a reading that begins after $2 has about $4 rows, at most $3: a batch is never read in part.
select least(
    $3::bigint,
    (select e.seq from events as e where e.lane = $1 and e.seq > $2 order by e.seq offset $4 limit 1),
    (select n.seq from entries as n where n.lane = $1 and n.seq > $2 order by n.seq offset $4 limit 1)
)

-- name: subscriptions
-- Who listens to a lane.
select row_to_json(s) from subscriptions as s where s.lane = $1 and s.is_active and s.deleted_at is null order by s.id

-- name: events
-- What happened to orders in the batches after $2 up to $3, of some tenants or of all, with what happened before. The
-- order is asked for as if it were a range, which only the primary key answers in its order: plans are kept, and one from
-- when the tables were empty would else take any index that has the lane and go through all of it for each event. So is
-- the quote of a brokerage order, and the payment of a payout with whom it names.
select json_build_object(
    'seq', e.seq,
    'event', e,
    'order', o,
    'tenant_name', coalesce((
        select t.name from tenants as t
        where t.lane = e.lane and t.id >= e.tenant_id and t.id <= e.tenant_id
        order by t.id
        limit 1
    ), ''),
    'before', coalesce((
        select json_agg(json_build_object('name', b.name, 'state', b.state) order by b.order_version)
        from events as b
        where b.lane = e.lane and b.order_id = e.order_id and b.order_version < e.order_version
    ), '[]'),
    'brokerage', case when o.product = 'brokerage' then (
        select json_build_object(
            'quote', q,
            'external_id', (
                select a.external_id from acceptances as a
                where a.lane = q.lane and a.order_id >= q.order_id and a.order_id <= q.order_id
                order by a.order_id
                limit 1
            ),
            'listings', (
                select json_agg(l) from listings as l where l.lane = q.lane and l.code in (q.asset, q.fiat)
            ),
            'scales', (
                select json_object_agg(s.code, s.scale) from assets as s
                where s.lane = q.lane and s.code in (q.asset, q.fiat)
            )
        )
        from firm_quotes as q
        where q.lane = e.lane and q.order_id >= e.order_id and q.order_id <= e.order_id
        order by q.order_id
        limit 1
    ) end,
    'payout', case when o.product = 'payout' then (
        select json_build_object(
            'payment', p,
            'method', (
                select row_to_json(m) from payment_methods as m
                where m.lane = p.lane and m.id >= p.method_id and m.id <= p.method_id
                order by m.id
                limit 1
            ),
            'party_external_id', (
                select y.external_id from parties as y
                where y.lane = p.lane and y.id >= p.party_id and y.id <= p.party_id
                order by y.id
                limit 1
            ),
            'reference', case when e.name = 'payout.settle' and o.side = 'sell' then e.detail end,
            'lane_kind', (select l.kind from lanes as l where l.lane = p.lane),
            'scales', (
                select json_object_agg(s.code, s.scale) from assets as s
                where s.lane = p.lane and s.code in (p.asset, p.fiat)
            )
        )
        from payments as p
        where p.lane = e.lane and p.order_id >= e.order_id and p.order_id <= e.order_id
        order by p.order_id
        limit 1
    ) end,
    'outside', case when o.product in ('deposit', 'chain_payout') then (
        select json_build_object(
            'deposit', d.row,
            'sending', d.sending,
            'bank', (
                select row_to_json(b) from bank_details as b
                where b.lane = e.lane and b.name >= d.method and b.name <= d.method
                order by b.name
                limit 1
            ),
            'party_external_id', (
                select y.external_id from parties as y
                where y.lane = e.lane and y.id >= d.party_id and y.id <= d.party_id
                order by y.id
                limit 1
            ),
            'lane_kind', (select l.kind from lanes as l where l.lane = e.lane),
            'scales', (
                select json_object_agg(s.code, s.scale) from assets as s
                where s.lane = e.lane and s.code = o.source_asset
            )
        )
        from (
            select row_to_json(k) as row, null::json as sending, k.party_id, k.method
            from deposits as k
            where k.lane = e.lane and k.order_id >= e.order_id and k.order_id <= e.order_id
            union all
            select null::json, row_to_json(k), k.party_id, null::text
            from chain_payouts as k
            where k.lane = e.lane and k.order_id >= e.order_id and k.order_id <= e.order_id
        ) as d
        limit 1
    ) end,
    'checkout', case when o.product = 'checkout' then (
        select json_build_object(
            'checkout', k,
            'party_external_id', (
                select y.external_id from parties as y
                where y.lane = k.lane and y.id >= k.party_id and y.id <= k.party_id
                order by y.id
                limit 1
            ),
            'lane_kind', (select l.kind from lanes as l where l.lane = e.lane),
            'scales', (
                select json_object_agg(s.code, s.scale) from assets as s
                where s.lane = k.lane and s.code in (k.asset, k.fiat)
            )
        )
        from checkouts as k
        where k.lane = e.lane and k.order_id >= e.order_id and k.order_id <= e.order_id
        order by k.order_id
        limit 1
    ) end
)
from events as e
cross join lateral (
    select k.* from orders as k
    where k.lane = e.lane and k.id >= e.order_id and k.id <= e.order_id
    order by k.id
    limit 1
) as o
where e.lane = $1 and e.seq > $2 and e.seq <= $3 and ($4::uuid[] is null or e.tenant_id = any ($4))
order by e.seq, e.order_id, e.order_version

-- name: entries
-- What changed the cash of tenants in the batches after $2 up to $3. `offset 0` has each row looked up by its key, also
-- by a plan from when the tables were empty.
select json_build_object(
    'seq', n.seq,
    'version', n.account_version,
    'balance', n.balance_after,
    'booked_at', t.booked_at,
    'account', a,
    'scale', s.scale
)
from entries as n
cross join lateral (select k.* from accounts as k where k.lane = n.lane and k.id = n.account_id offset 0) as a
join assets as s on s.lane = a.lane and s.code = a.asset
cross join lateral (
    select k.booked_at from ledger_transactions as k where k.lane = n.lane and k.id = n.transaction_id offset 0
) as t
where n.lane = $1 and n.seq > $2 and n.seq <= $3 and a.purpose = $5 and ($4::uuid[] is null or a.owner_id = any ($4))
order by n.seq, n.account_id, n.account_version

-- name: before
-- The last batch of a lane that was made before a time.
select coalesce(
    (select b.seq from batches as b where b.lane = $1 and b.at < $2 order by b.seq desc limit 1), 0
)

-- name: deliver
-- Deliveries of events; one that is there already is not made again.
insert into deliveries (
    id, lane, subscription_id, event_id, event_type, subject_id, subject_version, body, state, due_at, created_at
)
select d.id, $1, d.subscription_id, d.event_id, d.event_type, d.subject_id, d.subject_version, d.body, 'pending', $9, $9
from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], $8::bytea[])
    as d (id, subscription_id, event_id, event_type, subject_id, subject_version, body)
on conflict on constraint deliveries_once do nothing
returning 1

-- name: deliver_again
-- Deliveries of events; one that is there already and has failed is due again. Others are not touched, so that nobody
-- waits for who is sending them. They are found as orders are above.
with told as (
    select * from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], $8::bytea[])
        as d (id, subscription_id, event_id, event_type, subject_id, subject_version, body)
),
fresh as (
    insert into deliveries (
        id, lane, subscription_id, event_id, event_type, subject_id, subject_version, body, state, due_at, created_at
    )
    select d.id, $1, d.subscription_id, d.event_id, d.event_type, d.subject_id, d.subject_version, d.body, 'pending', $9,
        $9
    from told as d
    on conflict on constraint deliveries_once do nothing
    returning 1
),
again as (
    update deliveries as known
    set state = 'pending', due_at = $9, attempts_before = known.attempts
    from told as d
    cross join lateral (
        select k.id from deliveries as k
        where k.subscription_id = d.subscription_id
            and k.subject_id >= d.subject_id and k.subject_id <= d.subject_id
            and k.subject_version >= d.subject_version and k.subject_version <= d.subject_version
            and k.event_type = d.event_type
        order by k.subject_id, k.subject_version
        limit 1
    ) as found
    where known.id = found.id and known.due_at is null and known.state <> 'succeeded'
    returning 1
)
select * from fresh union all select * from again

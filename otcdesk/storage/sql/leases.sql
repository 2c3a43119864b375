-- name: claim
-- Claim a work item unless somebody else holds it; returns how often it has been claimed.
insert into leases as l (lane, item, holder, held_until, attempts)
values ($1, $2, $3, $5, 1)
on conflict (lane, item) do update
set holder = excluded.holder, held_until = excluded.held_until, attempts = l.attempts + 1
where l.held_until < $4
returning attempts

-- name: keep
-- Let a claim run out at another time; returns how often the item has been claimed, nothing if somebody else holds it.
update leases set held_until = $4 where lane = $1 and item = $2 and holder = $3 returning attempts

-- name: give_back
-- End a claim whose outcome is recorded.
delete from leases where lane = $1 and item = $2 and holder = $3

-- name: rest_refused
-- Let the item that takes the place of refused ones rest, as if it had never been tried: for $5 milliseconds after $4 for
-- each event $6 of its order $3, up to $7 times as long. Not if somebody works on it already.
insert into leases (lane, item, holder, held_until, attempts)
select $1::integer, $2, '', $4::timestamptz + make_interval(secs => $5::bigint * least(count(*), $7::bigint) / 1000.0), 0
from events as e
where e.lane = $1 and e.order_id = $3 and e.name = $6
on conflict (lane, item) do nothing

-- Claims of waves do not wait for the disk: one that a crash of the database takes back lets somebody ask the venue
-- again under the same reference, which a claim that runs out does as well.

-- part: claimed
-- What of `waiting` nobody else has claimed at the same time.
claimed as (
    insert into leases as l (lane, item, holder, held_until, attempts)
    select w.lane, w.item, $2, $4, 1
    from (select set_config('synchronous_commit', 'off', true)) as hurried, waiting as w
    order by w.lane, w.item
    on conflict (lane, item) do update
    set holder = excluded.holder, held_until = excluded.held_until, attempts = l.attempts + 1
    where l.held_until < $3 or ($6 and l.holder = '')
    returning l.lane, l.item
)

-- name: claim_wave
-- Claim up to $5 orders of open lanes that wait for rail $1 and that nobody works on, and say what each is about. Those
-- never tried come first, then those not tried for longest. With $6, also those that rest between two attempts (nobody
-- holds their claims). $7: the lane looked at, all if null. Who claims the same at once gets what others left of them:
-- not all that waits is claimed. (Both are told apart: joined, each would be compared with each.)
with waiting as materialized (
    select o.lane, o.id, o.rail_reference as item, o.side, o.market_rate
    from orders as o
    join lanes as l on l.lane = o.lane and l.closed_at is null
    left join leases as s on s.lane = o.lane and s.item = o.rail_reference
    where o.waits_for = $1 and ($7::integer is null or o.lane = $7)
        and (s.held_until is null or s.held_until < $3 or ($6 and s.holder = ''))
    order by s.held_until nulls first, o.updated_at
    limit $5
),
-- here: claimed
select json_build_object(
    'claimed', coalesce((select json_agg(json_build_array(c.lane, c.item)) from claimed as c), '[]'),
    'waiting', coalesce((
        select json_agg(json_build_object(
            'lane', w.lane,
            'order_id', w.id,
            'reference', w.item,
            'side', w.side,
            'asset', json_build_object('code', a.code, 'scale', a.scale),
            'units', q.asset_units,
            'fiat', q.fiat,
            'market_rate', w.market_rate
        ))
        from waiting as w
        join firm_quotes as q on q.lane = w.lane and q.order_id = w.id
        join assets as a on a.lane = q.lane and a.code = q.asset
    ), '[]')
)

-- name: claim_chain_payouts
-- Claim what waits to be sent to an address, as `claim_wave` claims what waits for a venue, and say what each is about.
with waiting as materialized (
    select o.lane, o.id, o.rail_reference as item, o.source_account_id, o.source_asset, o.source_units
    from orders as o
    join lanes as l on l.lane = o.lane and l.closed_at is null
    left join leases as s on s.lane = o.lane and s.item = o.rail_reference
    where o.waits_for = $1 and ($7::integer is null or o.lane = $7)
        and (s.held_until is null or s.held_until < $3 or ($6 and s.holder = ''))
    order by s.held_until nulls first, o.updated_at
    limit $5
),
-- here: claimed
select json_build_object(
    'claimed', coalesce((select json_agg(json_build_array(c.lane, c.item)) from claimed as c), '[]'),
    'waiting', coalesce((
        select json_agg(json_build_object(
            'lane', w.lane,
            'order_id', w.id,
            'reference', w.item,
            'source', row_to_json(a),
            'asset', json_build_object('code', s.code, 'scale', s.scale),
            'units', w.source_units,
            'network', c.network,
            'address', c.address
        ))
        from waiting as w
        join chain_payouts as c on c.lane = w.lane and c.order_id = w.id
        join accounts as a on a.lane = w.lane and a.id = w.source_account_id
        join assets as s on s.lane = w.lane and s.code = w.source_asset
    ), '[]')
)

-- name: claim_payouts
-- Claim payouts that wait for rail $1, as `claim_wave` claims what waits for a venue, and say what each is about. Who is
-- paid is what was prepared. A payout rests as it was when it was asked for: one that has been cancelled since, or held
-- and let go, is something else to ask for. It is claimed at once, with those never tried, and its rests begin anew.
with waiting as materialized (
    select o.lane, o.id, o.rail_reference as item, o.state, o.version
    from orders as o
    join lanes as l on l.lane = o.lane and l.closed_at is null
    left join leases as s on s.lane = o.lane and s.item = o.rail_reference
    where o.waits_for = $1 and ($7::integer is null or o.lane = $7)
        and (s.held_until is null or s.held_until < $3
            or (s.holder = '' and ($6 or s.order_version is distinct from o.version)))
    order by case when s.order_version = o.version then s.held_until end nulls first, o.updated_at
    limit $5
),
claimed as (
    insert into leases as l (lane, item, holder, held_until, attempts, order_version)
    select w.lane, w.item, $2, $4, 1, w.version
    from (select set_config('synchronous_commit', 'off', true)) as hurried, waiting as w
    order by w.lane, w.item
    on conflict (lane, item) do update
    set holder = excluded.holder, held_until = excluded.held_until, order_version = excluded.order_version,
        attempts = case when l.order_version = excluded.order_version then l.attempts else 0 end + 1
    where l.held_until < $3 or (l.holder = '' and ($6 or l.order_version is distinct from excluded.order_version))
    returning l.lane, l.item
)
select json_build_object(
    'claimed', coalesce((select json_agg(json_build_array(c.lane, c.item)) from claimed as c), '[]'),
    'waiting', coalesce((
        select json_agg(json_build_object(
            'lane', w.lane,
            'order_id', w.id,
            'reference', w.item,
            'state', w.state,
            'channel_type', c.type,
            'country', c.country,
            'rail', c.rail,
            'amount', json_build_object('units', p.fiat_units, 'asset', json_build_object('code', a.code, 'scale', a.scale)),
            'details', r.details,
            'external_id', p.external_id
        ))
        from waiting as w
        join payments as p on p.lane = w.lane and p.order_id = w.id
        join channels as c on c.lane = p.lane and c.id = p.channel_id
        join prepared_payouts as r on r.lane = p.lane and r.id = p.prepared_id
        join assets as a on a.lane = p.lane and a.code = p.fiat
    ), '[]')
)

-- name: payout
-- What one payout is about, as `claim_payouts` says it, whether it waits or not and whoever works on it.
select json_build_object(
    'lane', o.lane,
    'order_id', o.id,
    'reference', coalesce(o.rail_reference, $3),
    'state', o.state,
    'channel_type', c.type,
    'country', c.country,
    'rail', c.rail,
    'amount', json_build_object('units', p.fiat_units, 'asset', json_build_object('code', a.code, 'scale', a.scale)),
    'details', r.details,
    'external_id', p.external_id
)
from orders as o
join payments as p on p.lane = o.lane and p.order_id = o.id
join channels as c on c.lane = p.lane and c.id = p.channel_id
join prepared_payouts as r on r.lane = p.lane and r.id = p.prepared_id
join assets as a on a.lane = p.lane and a.code = p.fiat
where o.lane = $1 and o.id = $2 and o.product = 'payout' and o.side = 'sell'

-- name: claim_jobs
-- Claim jobs of the chain, as `claim_wave` claims what waits for a venue, and say what each is about.
with waiting as materialized (
    select j.lane, j.id, j.reference as item, j.kind, j.state, j.asset, j.units, j.source_account_id,
        j.destination_account_id
    from jobs as j
    join lanes as l on l.lane = j.lane and l.closed_at is null
    left join leases as s on s.lane = j.lane and s.item = j.reference
    where j.waits_for = $1 and ($7::integer is null or j.lane = $7)
        and (s.held_until is null or s.held_until < $3 or ($6 and s.holder = ''))
    order by s.held_until nulls first, j.updated_at
    limit $5
),
-- here: claimed
select json_build_object(
    'claimed', coalesce((select json_agg(json_build_array(c.lane, c.item)) from claimed as c), '[]'),
    'waiting', coalesce((
        select json_agg(json_build_object(
            'lane', w.lane,
            'job_id', w.id,
            'reference', w.item,
            'kind', w.kind,
            'state', w.state,
            'source', row_to_json(a),
            'destination', row_to_json(d),
            'asset', json_build_object('code', s.code, 'scale', s.scale),
            'units', w.units
        ))
        from waiting as w
        join accounts as a on a.lane = w.lane and a.id = w.source_account_id
        join accounts as d on d.lane = w.lane and d.id = w.destination_account_id
        join assets as s on s.lane = w.lane and s.code = w.asset
    ), '[]')
)

-- name: job
-- What one job is about, as `claim_jobs` says it, whether it waits or not and whoever works on it.
select json_build_object(
    'lane', j.lane,
    'job_id', j.id,
    'reference', j.reference,
    'kind', j.kind,
    'state', j.state,
    'source', row_to_json(a),
    'destination', row_to_json(d),
    'asset', json_build_object('code', s.code, 'scale', s.scale),
    'units', j.units
)
from jobs as j
join accounts as a on a.lane = j.lane and a.id = j.source_account_id
join accounts as d on d.lane = j.lane and d.id = j.destination_account_id
join assets as s on s.lane = j.lane and s.code = j.asset
where j.lane = $1 and j.id = $2

-- name: claim_resting
-- Claim a work item unless somebody works on it, also one that rests; returns how often it has been claimed.
insert into leases as l (lane, item, holder, held_until, attempts)
values ($1, $2, $3, $5, 1)
on conflict (lane, item) do update
set holder = excluded.holder, held_until = excluded.held_until, attempts = l.attempts + 1
where l.held_until < $4 or l.holder = ''
returning attempts

-- name: end_rest
-- Let an item rest no longer, if it does.
delete from leases where lane = $1 and item = $2 and holder = ''

-- name: jobs_under_way
-- How many jobs of open lanes wait for rail $1, and for how many milliseconds by its lane's clock the one that was asked
-- for first; $2 is the machine's time.
select count(*) as number, coalesce(floor(extract(epoch from max(
    coalesce(c.frozen_at, $2::timestamptz + make_interval(secs => coalesce(c.offset_ms, 0) / 1000.0)) - j.created_at
)) * 1000), 0)::bigint as longest_ms
from jobs as j
join lanes as l on l.lane = j.lane and l.closed_at is null
left join lane_clocks as c on c.lane = j.lane
where j.waits_for = $1

-- name: jobs_failed
-- How many jobs of open lanes failed that the books do not wait for, and that nobody has had tried anew.
select count(*)
from jobs as j
join lanes as l on l.lane = j.lane and l.closed_at is null
where j.state = 'failed' and j.kind in ('follow', 'send')
    and not exists (select from jobs as n where n.lane = j.lane and n.replaces = j.id)

-- name: give_back_wave
-- End claims whose outcomes are recorded.
delete from leases as l
using (select set_config('synchronous_commit', 'off', true)) as hurried, unnest($1::integer[], $2::text[]) as w (lane, item)
where l.lane = w.lane and l.item = w.item and l.holder = $3

-- name: rest_wave
-- Let items rest until another attempt: nobody holds them meanwhile. They rest for $5 milliseconds after $4, and for as
-- much longer with each attempt, up to $6 times as long.
update leases as l
set holder = '', held_until = $4::timestamptz + make_interval(secs => $5::bigint * least(l.attempts, $6::bigint) / 1000.0)
from unnest($1::integer[], $2::text[]) as w (lane, item)
where l.lane = w.lane and l.item = w.item and l.holder = $3

-- name: forget_ended
-- Drop claims that ran out on items that no order waits for: whoever held them died after the outcome was recorded.
with dropped as (
    delete from leases as l
    where l.held_until < $1 and not exists (
        select from orders as o where o.lane = l.lane and o.waits_for is not null and o.rail_reference = l.item
    ) and not exists (
        select from jobs as j where j.lane = l.lane and j.waits_for is not null and j.reference = l.item
    )
    returning 1
)
select count(*) from dropped

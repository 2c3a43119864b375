-- What the simulated outside world asks of the database: how it is to behave, and its own memory.

-- name: faults
-- How a simulated rail behaves in some lanes.
select json_build_object('lane', f.lane, 'fault', f) from faults as f where f.lane = any($1) and f.rail = $2

-- name: take
-- Take instructions to a venue, and return what it decided on each when it was first asked, and how long ago that was.
-- They are taken in one order by everybody, so that nobody waits for one another. It does not wait for the disk: what a
-- crash of the database takes from this memory it takes from nobody who has booked it.
insert into simulated_executions as v (lane, reference, side, asset, units, fiat, done, price, reason)
select i.lane, i.reference, i.side, i.asset, i.units, i.fiat, i.price is not null, i.price, i.reason
from (select set_config('synchronous_commit', 'off', true)) as hurried, json_to_recordset($1::json) as i (
    lane integer, reference text, side text, asset text, units numeric, fiat text, price numeric, reason text
)
order by i.lane, i.reference
on conflict (lane, reference) do update set asked = v.asked + 1
returning json_build_object(
    'lane', v.lane,
    'reference', v.reference,
    'price', v.price,
    'reason', v.reason,
    'milliseconds', floor(extract(epoch from clock_timestamp() - v.taken_at) * 1000)::bigint
)

-- name: tax
-- How a lane's tax provider behaves, and what is withheld of a party's gains.
select json_build_object(
    'fault', (select row_to_json(f) from faults as f where f.lane = $1 and f.rail = $3),
    'tax_bps', (select p.tax_bps from parties as p where p.lane = $1 and p.id = $2)
)

-- name: payout_conditions
-- What a payout provider meets in some lanes: how it is to behave, the lane's clock, and whether it is a sandbox.
select json_build_object(
    'lane', l.lane,
    'kind', l.kind,
    'clock', (select row_to_json(c) from lane_clocks as c where c.lane = l.lane),
    'fault', (select row_to_json(f) from faults as f where f.lane = l.lane and f.rail = $2)
)
from lanes as l
where l.lane = any($1)

-- name: take_payouts
-- Take payouts, and return what the provider has decided on each: what it decided when it was first asked is an outcome as
-- soon as that is due. Like `take`: in one order, and without waiting for the disk.
insert into simulated_payouts as v (
    lane, reference, order_id, channel_type, fiat, units, outcome, detail, due_at, decided, returned_units, return_reason,
    asked, asked_at
)
select i.lane, i.reference, i.order_id, i.channel_type, i.fiat, i.units, i.outcome, i.detail, i.due_at,
    i.outcome is not null and i.due_at <= i.now, i.returned_units, i.return_reason, 1, i.now
from (select set_config('synchronous_commit', 'off', true)) as hurried, json_to_recordset($1::json) as i (
    lane integer, reference text, order_id uuid, channel_type text, fiat text, units numeric, outcome text, detail text,
    due_at timestamptz, returned_units numeric, return_reason text, now timestamptz
)
order by i.lane, i.reference
on conflict (lane, reference) do update
set asked = v.asked + 1,
    asked_at = excluded.asked_at,
    decided = v.decided or (v.outcome is not null and v.due_at <= excluded.asked_at)
returning json_build_object(
    'lane', v.lane, 'reference', v.reference, 'outcome', case when v.decided then v.outcome end, 'detail', v.detail
)

-- name: cancel_payouts
-- Decide that payouts are not made that are not decided by now, heard of or not, and return what is decided on each.
insert into simulated_payouts as v (
    lane, reference, order_id, channel_type, fiat, units, outcome, detail, due_at, decided, asked, asked_at
)
select i.lane, i.reference, i.order_id, i.channel_type, i.fiat, i.units, 'refused', i.detail, i.now, true, 1, i.now
from (select set_config('synchronous_commit', 'off', true)) as hurried, json_to_recordset($1::json) as i (
    lane integer, reference text, order_id uuid, channel_type text, fiat text, units numeric, detail text, now timestamptz
)
order by i.lane, i.reference
on conflict (lane, reference) do update
set (asked, asked_at, decided, outcome, detail, due_at, returned_units, return_reason) = (
    select v.asked + 1, excluded.asked_at, true,
        case when known.yes then v.outcome else 'refused' end,
        case when known.yes then v.detail else excluded.detail end,
        case when known.yes then v.due_at else excluded.due_at end,
        case when known.yes then v.returned_units end,
        case when known.yes then v.return_reason end
    from (select v.decided or (v.outcome is not null and v.due_at <= excluded.asked_at) as yes) as known
)
returning json_build_object('lane', v.lane, 'reference', v.reference, 'outcome', v.outcome, 'detail', v.detail)

-- name: end_payout
-- End a payout as somebody says, unless it is decided; returns what is decided then, nothing of one that the provider has
-- not heard of. $10: also such a one.
with told as (
    insert into simulated_payouts as v (
        lane, reference, order_id, channel_type, fiat, units, outcome, detail, due_at, decided, asked_at
    )
    select $1::integer, $2::text, $3::uuid, $4, $5, $6::numeric, $7, $8, $9::timestamptz, true, $9
    where $10 or exists (select from simulated_payouts as k where k.lane = $1 and k.reference = $2)
    on conflict (lane, reference) do update
    set outcome = excluded.outcome, detail = excluded.detail, due_at = excluded.due_at, decided = true,
        returned_units = case when excluded.outcome = 'done' then v.returned_units end,
        return_reason = case when excluded.outcome = 'done' then v.return_reason end
    where not v.decided
    returning v.outcome, v.detail
)
select json_build_object('outcome', t.outcome, 'detail', t.detail) from told as t
union all
select json_build_object('outcome', k.outcome, 'detail', k.detail) from simulated_payouts as k
where k.lane = $1 and k.reference = $2 and not exists (select from told)

-- name: return_payout
-- Let a payout that was made come back, once; returns whether it did.
update simulated_payouts as v
set returned_units = $3, return_reason = $4
where v.lane = $1 and v.reference = $2 and v.decided and v.outcome = 'done' and v.returned_units is null
returning true

-- name: returned_payouts
-- Payouts of open lanes, or of one of them, that have come back and that the desk has not acknowledged, the oldest first.
select json_build_object(
    'lane', v.lane,
    'reference', v.reference,
    'order_id', v.order_id,
    'amount', json_build_object('units', v.returned_units, 'asset', json_build_object('code', a.code, 'scale', a.scale)),
    'reason', v.return_reason
)
from simulated_payouts as v
join lanes as l on l.lane = v.lane and l.closed_at is null
join assets as a on a.lane = v.lane and a.code = v.fiat
where v.returned_units is not null and v.decided and not v.acknowledged and ($1::integer is null or v.lane = $1)
order by v.taken_at
limit $2

-- name: acknowledge_return
update simulated_payouts set acknowledged = true where lane = $1 and reference = $2

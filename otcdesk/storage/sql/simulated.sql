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

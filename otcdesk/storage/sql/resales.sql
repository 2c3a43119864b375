-- What the deals dialect and the operator read of resale.

-- name: numbered
-- The order of what is listed of an instrument under a branch's number.
select r.order_id
from instruments as i
join resales as r on r.lane = i.lane and r.branch_id = i.branch_id and r.number = $3::bigint
where i.lane = $1 and i.id = $2 and r.instrument_id = i.id

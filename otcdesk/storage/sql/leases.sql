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

-- name: forget_ended
-- Drop claims that ran out on items that no order waits for: whoever held them died after the outcome was recorded.
with dropped as (
    delete from leases as l
    where l.held_until < $1 and not exists (
        select from orders as o where o.lane = l.lane and o.waits_for is not null and o.rail_reference = l.item
    )
    returning 1
)
select count(*) from dropped

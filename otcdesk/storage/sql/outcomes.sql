-- How a process finds out what others have executed. Positions are numbers of batches, which have no gaps and become
-- visible in their order.

-- name: ended_since
-- Where lanes stand, and which orders came to an end in the batches after those that they were looked at at; of a lane
-- that was not looked at only where it stands. $3: the names of the events.
select p.lane, (select b.seq from batches as b where b.lane = p.lane order by b.seq desc limit 1) as seq,
    array(
        select e.order_id from events as e where e.lane = p.lane and e.seq > p.seq and e.name = any($3::text[])
    ) as order_ids
from unnest($1::integer[], $2::bigint[]) as p (lane, seq)

-- name: ended
-- Those of some orders whose execution has ended, with their quotes.
select json_build_object('lane', o.lane, 'order', o, 'quote', q)
from unnest($1::integer[], $2::uuid[]) as w (lane, id)
join orders as o on o.lane = w.lane and o.id = w.id
join firm_quotes as q on q.lane = o.lane and q.order_id = o.id
where o.confirmed_at is not null and o.ended_at is not null

-- What the page of a checkout shows.

-- name: found
-- A checkout of an open lane by its id, with everything that its page may show: whose it is, the lane's clock, the
-- channels by which its fiat can be paid out, and the price.
select json_build_object(
    'lane', c.lane,
    'lane_kind', l.kind,
    'checkout', c,
    'order', o,
    'clock', (select row_to_json(k) from lane_clocks as k where k.lane = c.lane),
    'tenant_name', t.name,
    'party', (select row_to_json(p) from parties as p where p.lane = c.lane and p.id = c.party_id),
    'scales', (
        select json_object_agg(a.code, a.scale) from assets as a where a.lane = c.lane and a.code in (c.asset, c.fiat)
    ),
    'channels', case when o.side = 'fiat_out' then coalesce((
        select json_agg(h order by h.fixed_fee_units, h.id) from channels as h
        where h.lane = c.lane and h.fiat = c.fiat and h.enabled
    ), '[]') else '[]' end,
    'price', (
        select row_to_json(r) from prices as r
        where r.lane = c.lane and r.source_asset = c.asset and r.destination_asset = c.fiat
    ),
    'surcharge', (select row_to_json(s) from surcharges as s where s.lane = c.lane and s.tenant_id = c.tenant_id),
    'bank', (select row_to_json(b) from bank_details as b where b.lane = c.lane and b.name = c.method)
)
from checkouts as c
join lanes as l on l.lane = c.lane and l.closed_at is null
join orders as o on o.lane = c.lane and o.id = c.order_id
join tenants as t on t.lane = c.lane and t.id = c.tenant_id
where c.order_id = $1

-- name: unbought
-- Places of open lanes where something has arrived that is still to be bought for, after one of them ($1, $2) and at most
-- so many; those of checkouts that the clock has ended are left out once that is recorded.
select a.lane, a.place
from awaited_payments as a
join lanes as l on l.lane = a.lane and l.closed_at is null
join orders as o on o.lane = a.lane and o.id = a.order_id and o.ended_at is null
where cardinality(a.unbought_ids) > 0 and (a.lane, a.place) > ($1::integer, $2::text)
order by a.lane, a.place
limit $3

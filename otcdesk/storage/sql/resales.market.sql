-- What the deals dialect shows of the markets: what can be bought, what was bid for, and what was bought.

-- name: buyable
-- A page of what others than party $4 have listed of an instrument on a market and what can be taken at $5, newest first.
with wanted as materialized (
    select r.order_id, r.number from resales as r
    join orders as o on o.lane = r.lane and o.id = r.order_id
    where r.lane = $1 and r.instrument_id = $2 and r.market = $3 and r.party_id <> $4 and r.available > 0
        and o.state = 'active' and (o.due_at is null or o.due_at > $5::timestamptz)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'order', o, 'resale', r, 'issuer', b, 'token_name', i.name, 'token_symbol', i.symbol,
            'symbol', c.symbol, 'scale', s.scale, 'taken', false, 'seller', f
        ) order by r.number desc)
        from (select order_id from wanted order by number desc limit $6 offset $7) as shown
        join orders as o on o.lane = $1 and o.id = shown.order_id
        join resales as r on r.lane = $1 and r.order_id = shown.order_id
        join branches as b on b.lane = $1 and b.id = r.branch_id
        join instruments as i on i.lane = $1 and i.id = r.instrument_id
        join currencies as c on c.lane = $1 and c.id = r.currency_id
        join assets as s on s.lane = $1 and s.code = c.asset
        left join party_profiles as f on f.lane = $1 and f.party_id = r.party_id
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: bids
-- A page of bids for an instrument, newest first: those that a party has made ($4), and those made for what it has
-- listed ($5).
with wanted as materialized (
    select p.order_id, o.created_at from purchases as p
    join orders as o on o.lane = p.lane and o.id = p.order_id
    where $4::boolean and p.lane = $1 and p.party_id = $2 and p.instrument_id = $3 and o.side = 'bid'
    union all
    select p.order_id, o.created_at from resales as r
    join purchases as p on p.lane = r.lane and p.listing_id = r.order_id
    join orders as o on o.lane = p.lane and o.id = p.order_id
    where $5::boolean and r.lane = $1 and r.party_id = $2 and r.instrument_id = $3 and o.side = 'bid'
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'order', o, 'purchase', p, 'number', r.number, 'lister_id', r.party_id, 'symbol', c.symbol,
            'scale', s.scale, 'buyer', buyer, 'lister', lister, 'job_id', j.id
        ) order by o.created_at desc, o.id desc)
        from (select order_id from wanted order by created_at desc, order_id desc limit $6 offset $7) as shown
        join orders as o on o.lane = $1 and o.id = shown.order_id
        join purchases as p on p.lane = $1 and p.order_id = shown.order_id
        join resales as r on r.lane = $1 and r.order_id = p.listing_id
        join currencies as c on c.lane = $1 and c.id = p.currency_id
        join assets as s on s.lane = $1 and s.code = c.asset
        left join party_profiles as buyer on buyer.lane = $1 and buyer.party_id = p.party_id
        left join party_profiles as lister on lister.lane = $1 and lister.party_id = r.party_id
        left join jobs as j on j.lane = $1 and j.order_id = shown.order_id and j.kind = 'purchase'
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: purchases
-- A page of what a party has bought, or is about to, newest first; of one instrument if $3 is not null. A bid is none
-- before it is accepted.
with wanted as materialized (
    select p.order_id, o.created_at from purchases as p
    join orders as o on o.lane = p.lane and o.id = p.order_id
    where p.lane = $1 and p.party_id = $2 and ($3::uuid is null or p.instrument_id = $3)
        and (o.side = 'buy' or o.state in ('pending', 'completed', 'failed'))
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'order', o, 'purchase', p, 'number', r.number, 'seller_id', coalesce(r.party_id, b.id),
            'seller_name', case when r.order_id is null then b.name end, 'seller', f, 'token_name', i.name,
            'token_symbol', i.symbol, 'symbol', c.symbol, 'scale', s.scale, 'job', j
        ) order by o.created_at desc, o.id desc)
        from (select order_id from wanted order by created_at desc, order_id desc limit $4 offset $5) as shown
        join orders as o on o.lane = $1 and o.id = shown.order_id
        join purchases as p on p.lane = $1 and p.order_id = shown.order_id
        join branches as b on b.lane = $1 and b.id = p.branch_id
        join instruments as i on i.lane = $1 and i.id = p.instrument_id
        join currencies as c on c.lane = $1 and c.id = p.currency_id
        join assets as s on s.lane = $1 and s.code = c.asset
        left join resales as r on r.lane = $1 and r.order_id = p.listing_id
        left join party_profiles as f on f.lane = $1 and f.party_id = r.party_id
        left join jobs as j on j.lane = $1 and j.order_id = shown.order_id and j.kind = 'purchase'
    ), '[]'),
    'total', (select count(*) from wanted)
)

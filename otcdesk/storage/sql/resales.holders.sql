-- What the deals dialect shows of holders: who they are, what they have, have listed and have asked for.

-- name: holder
-- A party of a tenant that holds instruments, with its branch, what is known of it, where it is on a chain, and the clock.
select json_build_object(
    'party', p,
    'home', b,
    'profile', f,
    'address', (
        select a.address from accounts as a
        where a.lane = p.lane and a.owner_id = p.id and a.purpose = 'holding' and a.address is not null
        order by a.asset, a.id
        limit 1
    ),
    'clock', c
)
from parties as p
join holders as h on h.lane = p.lane and h.party_id = p.id
join branches as b on b.lane = h.lane and b.id = h.branch_id
left join party_profiles as f on f.lane = p.lane and f.party_id = p.id
left join lane_clocks as c on c.lane = p.lane
where p.lane = $1 and p.id = $2 and p.tenant_id = $3

-- name: instrument
-- An instrument of a tenant, with the branch that has issued it and the currency of its price.
select json_build_object('instrument', i, 'issuer', b, 'currency', c, 'scale', a.scale)
from instruments as i
join branches as b on b.lane = i.lane and b.id = i.branch_id
join currencies as c on c.lane = i.lane and c.id = i.currency_id
join assets as a on a.lane = c.lane and a.code = c.asset
where i.lane = $1 and i.id = $2 and i.tenant_id = $3

-- name: listings
-- A page of what a party has ever listed on a market ($3), newest first; of one instrument if $4 is not null. The buyer
-- is the branch if the listing's own order left a trade, else the party whose purchase of it was carried out last.
with wanted as not materialized (
    select r.* from resales as r
    where r.lane = $1 and r.party_id = $2 and r.market = $3 and r.number is not null
        and ($4::uuid is null or r.instrument_id = $4)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'order', shown.o, 'resale', shown.w, 'issuer', b, 'token_name', i.name, 'token_symbol', i.symbol,
            'symbol', c.symbol, 'scale', s.scale, 'taken', t.order_id is not null, 'buyer', q.buyer
        ) order by (shown.o).created_at desc, (shown.w).number desc)
        from (
            select o, w from wanted as w
            join orders as o on o.lane = w.lane and o.id = w.order_id
            order by o.created_at desc, w.number desc
            limit $5 offset $6
        ) as shown
        join branches as b on b.lane = $1 and b.id = (shown.w).branch_id
        join instruments as i on i.lane = $1 and i.id = (shown.w).instrument_id
        join currencies as c on c.lane = $1 and c.id = (shown.w).currency_id
        join assets as s on s.lane = $1 and s.code = c.asset
        left join trades as t on t.lane = $1 and t.order_id = (shown.o).id
        left join lateral (
            select json_build_object('id', p.party_id, 'profile', f) as buyer
            from purchases as p
            join trades as pt on pt.lane = p.lane and pt.order_id = p.order_id
            left join party_profiles as f on f.lane = p.lane and f.party_id = p.party_id
            where p.lane = $1 and p.listing_id = (shown.o).id
            order by pt.executed_at desc, p.order_id desc
            limit 1
        ) as q on true
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: page_of_jobs
-- Which jobs are on a page of what a party has asked for, newest first, and how many there are in all; only jobs of these
-- kinds ($3) on these markets ($4), if not null.
with wanted as not materialized (
    select j.id, j.created_at from jobs as j
    where j.lane = $1 and j.party_id = $2 and j.kind <> 'follow'
        and ($3::text[] is null or (j.kind, j.market) in (select * from unnest($3::text[], $4::text[])))
)
select json_build_object(
    'ids', coalesce((
        select json_agg(w.id) from (select id from wanted order by created_at desc, id desc limit $5 offset $6) as w
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: jobs
-- Some jobs that parties of a tenant have asked for, with what they are about and whose branches' they are. Either side
-- is where it has the currency of the price, or else the instrument, or else anything.
select json_build_object(
    'job', j, 'resale', r, 'purchase', p, 'number', coalesce(r.number, l.number), 'currency', c, 'scale', coalesce(s.scale, 0),
    'seller_address', sells.address, 'buyer_address', buys.address, 'paths', json_build_array(home.path, issuer.path)
)
from jobs as j
join holders as h on h.lane = j.lane and h.party_id = j.party_id
join branches as home on home.lane = h.lane and home.id = h.branch_id
join instruments as i on i.lane = j.lane and i.id = j.instrument_id
join branches as issuer on issuer.lane = i.lane and issuer.id = i.branch_id
left join resales as r on r.lane = j.lane and r.order_id = j.order_id
left join purchases as p on p.lane = j.lane and p.order_id = j.order_id
left join resales as l on l.lane = p.lane and l.order_id = p.listing_id
left join currencies as c on c.lane = j.lane and c.id = coalesce(r.currency_id, p.currency_id)
left join assets as s on s.lane = c.lane and s.code = c.asset
left join lateral (
    select a.address from accounts as a
    where a.lane = j.lane and a.owner_id = coalesce(r.party_id, l.party_id, p.branch_id)
        and a.purpose in ('holding', 'funds') and a.address is not null
    order by a.asset is distinct from c.asset, a.asset <> i.asset, a.asset, a.id
    limit 1
) as sells on true
left join lateral (
    select a.address from accounts as a
    where a.lane = j.lane and a.owner_id = p.party_id and a.purpose = 'holding' and a.address is not null
    order by a.asset is distinct from c.asset, a.asset <> i.asset, a.asset, a.id
    limit 1
) as buys on true
where j.lane = $1 and j.tenant_id = $2 and j.id = any ($3::uuid[]) and j.kind <> 'follow'
order by j.created_at desc, j.id desc

-- name: holding
-- What a party has of an instrument: its account ($4), what that was opened with ($5), what listings of it hold whose
-- time is over by $6 though nobody has recorded it, and what it has bought on each market, in the currency $7 or others.
select json_build_object(
    'balance', coalesce(a.balance, 0),
    'held', coalesce(a.held, 0),
    'overdue', coalesce((
        select sum(r.available)
        from resales as r
        join orders as o on o.lane = r.lane and o.id = r.order_id
        where r.lane = $1 and r.party_id = $2 and r.instrument_id = $3 and r.available > 0 and o.due_at <= $6
    ), 0),
    'opened_units', coalesce(opened.units, 0),
    'opened_at', opened.booked_at,
    'bought', coalesce((
        select json_agg(m) from (
            select
                p.market,
                count(*) as number,
                sum(p.quantity) as units,
                coalesce(sum(p.quantity) filter (where p.currency_id = $7), 0) as priced_units,
                coalesce(sum(p.quantity * p.price_units) filter (where p.currency_id = $7), 0) as paid_units,
                min(t.executed_at) as first_at,
                max(t.executed_at) as last_at
            from purchases as p
            join trades as t on t.lane = p.lane and t.order_id = p.order_id
            where p.lane = $1 and p.party_id = $2 and p.instrument_id = $3
            group by p.market
        ) as m
    ), '[]')
)
from (select 1) as one
left join accounts as a on a.lane = $1 and a.id = $4
left join lateral (
    select p.units, t.booked_at
    from ledger_transactions as t
    join postings as p on p.lane = t.lane and p.transaction_id = t.id and p.number = 1
    where t.lane = $1 and t.id = $5
) as opened on true

-- name: currency_holdings
-- What a party has of each currency that is deployed for its branch (at the path $4) or of which it has any, and what
-- there is of it altogether, which is what the accounts of the desk ($5) without a floor have less of it.
select json_build_object(
    'currency', c,
    'scale', s.scale,
    'units', coalesce(a.balance, 0),
    'supply', coalesce((
        select -sum(d.balance) from accounts as d
        where d.lane = c.lane and d.owner_id = $5 and d.asset = c.asset and d.floor is null
    ), 0)
)
from currencies as c
join branches as b on b.lane = c.lane and b.id = c.branch_id
join assets as s on s.lane = c.lane and s.code = c.asset
left join accounts as a on a.lane = c.lane and a.owner_id = $3 and a.purpose = 'holding' and a.asset = c.asset
where c.lane = $1 and c.tenant_id = $2
    and (a.balance <> 0 or (c.state = 'deployed' and (b.path = $4::text or starts_with($4, b.path || '.'))))
order by c.created_at, c.id

-- name: burns
-- A page of what was burnt of an instrument, newest first.
with wanted as not materialized (
    select j.* from jobs as j where j.lane = $1 and j.instrument_id = $2 and j.kind = 'burn'
)
select json_build_object(
    'rows', coalesce((
        select json_agg(w order by w.created_at desc, w.id desc)
        from (select * from wanted order by created_at desc, id desc limit $3 offset $4) as w
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: overdue
-- What a party has listed of an instrument whose time was over by $4 though nobody has recorded it, the oldest first.
select o.id
from resales as r
join orders as o on o.lane = r.lane and o.id = r.order_id
where r.lane = $1 and r.party_id = $2 and r.instrument_id = $3 and r.available > 0 and o.due_at <= $4
order by o.due_at, o.id
limit $5

-- name: overdue_bids
-- What a party has bid for whose time was over by $3 though nobody has recorded it, the oldest first.
select o.id
from purchases as p
join orders as o on o.lane = p.lane and o.id = p.order_id
where p.lane = $1 and p.party_id = $2 and o.side = 'bid' and o.due_at <= $3
order by o.due_at, o.id
limit $4

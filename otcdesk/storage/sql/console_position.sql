-- What the console's pages of position and P&L read. Day and time are the lane's own, in UTC.

-- part: own
-- The desk's own accounts: those with a floor, and treasuries that are in a tenant's record.
select a.* from accounts as a
where a.lane = $1 and a.owner_id = '00000000-0000-7000-8000-000000000001' and a.floor is not null
union
select a.* from accounts as a where a.lane = $1 and a.purpose = 'treasury'

-- part: won
-- What each trade has won, by component, in units of one asset: `pnl.components_of`, said in SQL. `base_sign` is 1 where
-- the desk gets what the rate is of (`base_units`), -1 where it gives it; `counted_units` is what that was traded for.
-- All is products, sums and whole units, so nothing is rounded but what was rounded when it was booked.
select t.seq, t.order_id, t.tenant_id, t.executed_at, o.product, o.side, t.source_asset, t.source_units,
    t.destination_asset, t.destination_units, t.market_rate, t.market_source, t.market_at, t.quoted_rate, t.quoted_by,
    t.quoted_at, t.executed_rate, t.executed_by, t.approved_market_rate, t.approved_market_source, t.approved_market_at,
    b.asset, s.scale as source_scale, d.scale as destination_scale, coalesce(p.fee_units, 0) as fee_units,
    coalesce(p.surcharge_units, 0) as surcharge_units, f.total_units,
    v.cost_units, v.share_units, v.desk_fee_units,
    c.spread, c.slippage, c.fees,
    b.base_sign * (b.base_units * t.executed_rate * b.factor - b.counted_units) + v.rounding as other
from trades as t
join orders as o on o.lane = t.lane and o.id = t.order_id
join assets as s on s.lane = t.lane and s.code = t.source_asset
join assets as d on d.lane = t.lane and d.code = t.destination_asset
left join payments as p on o.product = 'payout' and p.lane = t.lane and p.order_id = t.order_id
left join firm_quotes as f on o.product = 'brokerage' and f.lane = t.lane and f.order_id = t.order_id
left join resales as r on o.product = 'resale' and o.side = 'sell' and r.lane = t.lane and r.order_id = t.order_id
left join purchases as u on o.product = 'resale' and o.side <> 'sell' and u.lane = t.lane and u.order_id = t.order_id
cross join lateral (
    select
        case
            when o.product = 'resale' then 0
            when o.product = 'conversion' or o.side = 'sell' then 1
            else -1
        end as base_sign,
        case when o.product in ('brokerage', 'payout') and o.side = 'buy' then t.destination_units else t.source_units end
            as base_units,
        case when o.product in ('brokerage', 'payout') and o.side = 'buy' then t.source_asset else t.destination_asset end
            as asset,
        ('1e' || case
            when o.product in ('brokerage', 'payout') and o.side = 'buy' then s.scale - d.scale
            else d.scale - s.scale
        end)::numeric as factor,
        ('1e' || case when o.product in ('brokerage', 'payout') and o.side = 'buy' then s.scale else d.scale end)::numeric
            as whole,
        case
            when o.product = 'payout' and o.side = 'sell' then t.destination_units + p.fee_units + p.surcharge_units
            when o.product = 'payout' then t.source_units - p.fee_units
            when o.product = 'brokerage' then f.total_units
            else t.destination_units
        end as counted_units
) as b
cross join lateral (
    select b.base_units * coalesce(t.approved_market_rate, t.market_rate) * b.factor as at_venue
) as e
cross join lateral (
    select
        case when o.product = 'brokerage' then floor(f.broker_cost * b.whole + 0.5) else 0 end as cost_units,
        case when o.product = 'brokerage' then
            floor(floor(greatest(f.spread - f.broker_cost, 0) * f.revenue_share_bps * 10000) * 0.00000001 * b.whole)
        else 0 end as share_units,
        coalesce(r.taken_desk_fee_units, u.desk_fee_units, 0) as desk_fee_units,
        case
            when o.product <> 'brokerage' then 0
            when o.side = 'buy' then e.at_venue - ceil(e.at_venue)
            else floor(e.at_venue) - e.at_venue
        end as rounding
) as v
cross join lateral (
    select
        b.base_sign * b.base_units * (t.market_rate - t.quoted_rate) * b.factor as spread,
        case
            when o.product = 'brokerage' then
                b.base_sign * (e.at_venue - b.base_units * t.market_rate * b.factor)
            else b.base_sign * b.base_units * (t.quoted_rate - t.executed_rate) * b.factor
        end as slippage,
        coalesce(p.fee_units, 0) + v.desk_fee_units - v.cost_units - v.share_units as fees
) as c
where t.lane = $1

-- name: behind
-- Open lanes in which something was traded, or booked on the desk's own accounts, that is not added up; at most $1.
select l.lane from lanes as l
where l.closed_at is null and (
    exists (
        select from trades as t
        where t.lane = l.lane and t.seq > coalesce((select u.seq from traded_until as u where u.lane = l.lane), 0)
    )
    or exists (
        select from (
            select a.id, a.version from accounts as a
            where a.lane = l.lane and a.owner_id = '00000000-0000-7000-8000-000000000001' and a.floor is not null
            union all
            select a.id, a.version from accounts as a where a.lane = l.lane and a.purpose = 'treasury'
        ) as own
        where own.version > coalesce((
            select max(k.version) from account_days as k where k.lane = l.lane and k.account_id = own.id
        ), 0)
    )
)
order by l.lane
limit $1

-- name: begin_adding
-- Begin with the first batch where nothing has been added up yet.
insert into traded_until (lane, seq) values ($1, 0) on conflict (lane) do nothing

-- name: add_trades
-- Add up the next $2 trades, always whole batches; gives how many there were. Who comes at the same time waits.
with begun as materialized (
    select u.seq from traded_until as u where u.lane = $1 for update
),
next as materialized (
    select t.seq from trades as t where t.lane = $1 and t.seq > (select seq from begun) order by t.seq limit $2
),
won as materialized (
-- here: won
    and t.seq > (select seq from begun) and t.seq <= (select max(seq) from next)
),
added as (
    insert into trade_days as known (
        lane, day, product, side, source_asset, destination_asset, asset, trades, source_sum, destination_sum, spread,
        slippage, fees, other
    )
    select $1, (w.executed_at at time zone 'UTC')::date, w.product, w.side, w.source_asset, w.destination_asset,
        min(w.asset), count(*), sum(w.source_units), sum(w.destination_units), sum(w.spread), sum(w.slippage),
        sum(w.fees), sum(w.other)
    from won as w
    group by 2, 3, 4, 5, 6
    on conflict (lane, day, product, side, source_asset, destination_asset) do update set
        trades = known.trades + excluded.trades,
        source_sum = known.source_sum + excluded.source_sum,
        destination_sum = known.destination_sum + excluded.destination_sum,
        spread = known.spread + excluded.spread,
        slippage = known.slippage + excluded.slippage,
        fees = known.fees + excluded.fees,
        other = known.other + excluded.other
),
reached as (
    update traded_until set seq = (select max(seq) from next) where lane = $1 and exists (select from next)
)
select count(*) from next

-- name: add_balances
-- Note what each of the desk's own accounts had at the end of each day, from at most $2 entries of each that are not
-- noted yet; gives the largest number of entries that one had. Doing it twice at a time changes nothing.
with own as (
-- here: own
),
new as materialized (
    select e.account_id, e.account_version, e.balance_after, (t.booked_at at time zone 'UTC')::date as day
    from own
    cross join lateral (
        select n.account_id, n.account_version, n.balance_after, n.transaction_id from entries as n
        where n.lane = $1 and n.account_id = own.id and n.account_version > coalesce((
            select max(k.version) from account_days as k where k.lane = $1 and k.account_id = own.id
        ), 0)
        order by n.account_version
        limit $2
    ) as e
    cross join lateral (
        select l.booked_at from ledger_transactions as l where l.lane = $1 and l.id = e.transaction_id limit 1
    ) as t
),
noted as (
    insert into account_days as known (lane, account_id, day, version, balance)
    select distinct on (n.account_id, n.day) $1, n.account_id, n.day, n.account_version, n.balance_after
    from new as n
    order by n.account_id, n.day, n.account_version desc
    on conflict (lane, account_id, day) do update set version = excluded.version, balance = excluded.balance
    where excluded.version > known.version
)
select coalesce(max(c.entries), 0) from (select count(*) as entries from new group by account_id) as c

-- name: days
-- What was won from day $2 to before day $3, by day, product, side and assets.
select row_to_json(d) from (
    select n.day, n.product, n.side, n.source_asset, n.destination_asset, n.asset, n.trades, n.source_sum,
        n.destination_sum, n.spread, n.slippage, n.fees, n.other, n.spread + n.slippage + n.fees + n.other as total
    from trade_days as n
    where n.lane = $1 and n.day >= $2 and n.day < $3
    order by n.day, n.product, n.side, n.source_asset, n.destination_asset
) as d

-- name: trades
-- Trades from $2 to before $3, the latest first, that come after ($4, $5), of which one component in one asset is not
-- nothing (all if null), at most $8; with everything that the components follow from.
with won as (
-- here: won
    and t.executed_at >= $2 and t.executed_at < $3
    and ($4::timestamptz is null or (t.executed_at, t.order_id) < ($4, $5::uuid))
)
select json_build_object('trade', w, 'tenant', n.name, 'total', w.spread + w.slippage + w.fees + w.other)
from won as w
left join tenants as n on n.lane = $1 and n.id = w.tenant_id
where ($6::text is null or w.asset = $6)
    and case $7::text
        when 'spread' then w.spread <> 0
        when 'slippage' then w.slippage <> 0
        when 'fees' then w.fees <> 0
        when 'other' then w.other <> 0
        else true
    end
order by w.executed_at desc, w.order_id desc
limit $8

-- name: trade
-- The trade of the order $2, with everything that its components follow from.
with won as (
-- here: won
    and t.order_id = $2
)
select json_build_object('trade', w, 'tenant', n.name, 'total', w.spread + w.slippage + w.fees + w.other)
from won as w
left join tenants as n on n.lane = $1 and n.id = w.tenant_id

-- name: untied
-- Trades from $2 to before $3 whose components are not what their postings have left with the desk: on its own
-- accounts, and of its income from spreads, valued at the market of the quote. None in sound books.
with won as (
-- here: won
    and t.executed_at >= $2 and t.executed_at < $3
),
left_over as (
    select w.order_id, a.asset, sum(e.units) as units
    from won as w
    join ledger_transactions as l on l.lane = $1 and l.order_id = w.order_id
    join postings as m on m.lane = $1 and m.transaction_id = l.id
    cross join lateral (
        values (m.destination_account_id, m.units), (m.source_account_id, -m.units)
    ) as e (account_id, units)
    join accounts as a on a.lane = $1 and a.id = e.account_id
    where a.purpose in ('treasury', 'fee_income', 'spread_income')
    group by w.order_id, a.asset
)
select w.order_id from won as w
where w.spread + w.slippage + w.fees + w.other is distinct from (
    select coalesce(sum(l.units * case
        when l.asset = w.asset then 1
        when w.asset = w.destination_asset then w.market_rate * ('1e' || w.destination_scale - w.source_scale)::numeric
        else w.market_rate * ('1e' || w.source_scale - w.destination_scale)::numeric
    end), 0)
    from left_over as l
    where l.order_id = w.order_id
)
order by w.order_id
limit $4

-- name: adjustments
-- What corrections have won or cost from $2 to before $3, by day and asset: those of the desk's own accounts count as
-- they are, those of others' accounts the other way round.
select row_to_json(d) from (
    select (t.booked_at at time zone 'UTC')::date as day, c.asset, count(*) as entries,
        sum(case when o.own then -e.units else 0 end) as own_units,
        sum(case when o.own then 0 else e.units end) as owed_units
    from accounts as c
    join entries as e on e.lane = c.lane and e.account_id = c.id
    join ledger_transactions as t on t.lane = e.lane and t.id = e.transaction_id
    join postings as p on p.lane = e.lane and p.transaction_id = e.transaction_id and p.number = e.posting_number
    join accounts as a on a.lane = p.lane
        and a.id = case when p.source_account_id = c.id then p.destination_account_id else p.source_account_id end
    cross join lateral (select a.owner_id = c.owner_id or a.purpose = 'treasury' as own) as o
    where c.lane = $1 and c.owner_id = '00000000-0000-7000-8000-000000000001' and c.purpose = 'adjustment'
        and t.booked_at >= $2 and t.booked_at < $3
    group by 1, 2
    order by 1, 2
) as d

-- name: balances
-- What the desk's own accounts of each asset had together at the end of each day from $2 to before $3 on which one had
-- an entry, and before.
with changes as (
    select a.asset, k.day,
        k.balance - lag(k.balance, 1, 0::numeric) over (partition by k.account_id order by k.day) as change
    from account_days as k
    join accounts as a on a.lane = k.lane and a.id = k.account_id
    where k.lane = $1
),
ends as (
    select c.asset, c.day, sum(sum(c.change)) over (partition by c.asset order by c.day) as balance
    from changes as c
    where c.day < $3
    group by c.asset, c.day
)
select row_to_json(d) from (
    (
        select distinct on (e.asset) e.asset, $2::date as day, e.balance
        from ends as e
        where e.day <= $2
        order by e.asset, e.day desc
    )
    union all
    select e.asset, e.day, e.balance from ends as e where e.day > $2
    order by 1, 2
) as d

-- name: sides
-- All accounts of a lane by purpose, asset and network: those that are the desk's, or are not, with what they have. Of
-- the desk's own accounts, which are few, each is named: by themselves, so that nobody sorts all the others for it.
with sums as materialized (
    select a.owner_id = '00000000-0000-7000-8000-000000000001' as is_desks, a.purpose, a.asset, a.network,
        a.floor is not null as has_floor, count(*) as accounts, sum(a.balance) as balance, sum(a.held) as held,
        sum(greatest(a.floor, 0)) as floor
    from accounts as a
    where a.lane = $1
    group by 1, 2, 3, 4, 5
),
few as materialized (
    select a.* from accounts as a where a.lane = $1 and a.owner_id = '00000000-0000-7000-8000-000000000001'
    union
    select a.* from accounts as a where a.lane = $1 and a.purpose = 'treasury'
),
named as materialized (
    select f.owner_id = '00000000-0000-7000-8000-000000000001' as is_desks, f.purpose, f.asset, f.network,
        f.floor is not null as has_floor, array_agg(f.id order by f.id) as account_ids
    from few as f
    group by 1, 2, 3, 4, 5
)
select row_to_json(d) from (
    select s.*, n.account_ids
    from sums as s
    left join named as n using (is_desks, purpose, asset, network, has_floor)
    order by s.asset, s.is_desks desc, s.purpose, s.network
) as d

-- name: awaiting
-- What orders that wait for the operator would take of the desk, by asset and network: confirmed conversions at their
-- quoted amounts, also those whose debit the clock has settled by $2.
select row_to_json(s) from (
    select o.side, o.destination_asset as asset, a.network, count(*) as orders, sum(o.destination_units) as units
    from unnest(array['buy', 'buy', 'sell'], array['pending_approval', 'debit_pending', 'pending_approval'])
        as w (side, state)
    join orders as o on o.lane = $1 and o.product = 'conversion' and o.side = w.side and o.state = w.state
    join accounts as a on a.lane = o.lane and a.id = o.destination_account_id
    where state_by_the_clock(o.state, o.due_at, $2) = 'pending_approval'
    group by 1, 2, 3
    order by 2, 3, 1
) as s

-- name: in_transit
-- Orders that wait for a rail's word, of some products, sides and states, by what they move.
select row_to_json(s) from (
    select o.product, o.side, o.state, o.waits_for, o.source_asset, o.destination_asset, count(*) as orders,
        sum(o.source_units) as source_units, sum(coalesce(o.approved_units, o.destination_units)) as destination_units,
        min(o.updated_at) as since
    from unnest($2::text[], $3::text[], $4::text[]) as w (product, side, state)
    join orders as o on o.lane = $1 and o.product = w.product and o.side = w.side and o.state = w.state
    group by 1, 2, 3, 4, 5, 6
    order by 1, 2, 3, 5, 6
) as s

-- name: guards
-- The guards of a lane.
select row_to_json(g) from guards as g where g.lane = $1 order by g.asset

-- What must always hold of resale: of what is listed and bought, of the jobs that carry it to a chain, and of the rules
-- that decide of it; see invariants.sql.

-- name: listing_has_its_order
-- Every listing is what an order of its product, tenant, assets and amounts is about, and every such order has one. It
-- has a number from when it is active.
select coalesce(o.lane, r.lane) as lane, 'resales' as what, coalesce(o.id, r.order_id)::text as key,
    case
        when o.id is null then 'there is no such order'
        when r.order_id is null then 'the order lists nothing'
        when (r.number is null) <> (o.state in ('pending', 'failed'))
            then 'is ' || o.state || ' and has number ' || coalesce(r.number::text, 'none')
        else 'differs from its order in tenant, party, assets or amounts'
    end as detail
from (
    select * from orders where product = 'resale' and side = 'sell' and ($1::integer is null or lane = $1)
) as o
full join (select * from resales where $1::integer is null or lane = $1) as r on r.lane = o.lane and r.order_id = o.id
left join instruments as i on i.lane = r.lane and i.id = r.instrument_id and i.branch_id = r.branch_id
left join currencies as c on c.lane = r.lane and c.id = r.currency_id
left join accounts as a on a.lane = o.lane and a.id = o.source_account_id
where o.id is null
    or r.order_id is null
    or (r.number is null) <> (o.state in ('pending', 'failed'))
    or (o.tenant_id, a.owner_id, o.source_asset, o.source_units, o.destination_asset, o.destination_units)
    is distinct from (r.tenant_id, r.party_id, i.asset, r.quantity, c.asset, r.quantity * r.price_units)

-- name: purchase_has_its_order
-- Every purchase is what an order of its product, tenant, assets and amounts is about, and every such order has one. What
-- is bought of a listing is of its instrument, currency and market; no fee is more than what is paid.
select coalesce(o.lane, p.lane) as lane, 'purchases' as what, coalesce(o.id, p.order_id)::text as key,
    case
        when o.id is null then 'there is no such order'
        when p.order_id is null then 'the order buys nothing'
        else 'differs from its order or listing in tenant, branch, market, assets or amounts'
    end as detail
from (
    select * from orders where product = 'resale' and side in ('buy', 'bid') and ($1::integer is null or lane = $1)
) as o
full join (
    select * from purchases where $1::integer is null or lane = $1
) as p on p.lane = o.lane and p.order_id = o.id
left join instruments as i on i.lane = p.lane and i.id = p.instrument_id and i.branch_id = p.branch_id
left join currencies as c on c.lane = p.lane and c.id = p.currency_id
left join resales as r on r.lane = p.lane and r.order_id = p.listing_id
where o.id is null
    or p.order_id is null
    or (o.tenant_id, o.source_asset, o.source_units, o.destination_asset, o.destination_units)
    is distinct from (p.tenant_id, c.asset, p.quantity * p.price_units, i.asset, p.quantity)
    or p.fee_units + p.desk_fee_units > o.source_units
    or (
        p.listing_id is not null
        and (r.branch_id, r.instrument_id, r.currency_id, r.market)
        is distinct from (p.branch_id, p.instrument_id, p.currency_id, p.market)
    )

-- name: listing_holds_what_is_available
-- A listing holds what is available of it on its lister's account, and nothing once it has ended.
select r.lane, 'resales' as what, r.order_id::text as key,
    'is ' || o.state || ', ' || r.available || ' are available, and it holds '
    || coalesce(h.units || ' (' || h.state || ')', 'nothing') as detail
from resales as r
join orders as o on o.lane = r.lane and o.id = r.order_id
left join holds as h on h.lane = o.lane and h.id = o.pay_hold_id and h.order_id = o.id
    and h.account_id = o.source_account_id
where ($1::integer is null or r.lane = $1)
    and (
        (o.pay_hold_id is not null) <> (r.available > 0)
        or (r.available > 0 and (h.units, h.state) is distinct from (r.available, 'open'))
        or (r.available > 0 and o.state not in ('pending', 'active', 'withdrawing'))
    )

-- name: listing_adds_up
-- Of a listing as much is promised as its pending purchases are over, and as much sold as its completed ones and what its
-- branch took; while it has not ended, all of it is available, promised or sold, and once it is completed, all is sold.
-- (What its branch takes is completed at once: a purchase that was promised a part and fails gives that back afterwards.)
select r.lane, 'resales' as what, r.order_id::text as key,
    'is ' || o.state || ': of ' || r.quantity || ' are available ' || r.available || ', promised ' || r.promised
    || ', sold ' || r.sold || '; its purchases are pending over ' || coalesce(p.pending, 0) || ', completed over '
    || coalesce(p.completed, 0) || ', its own trade is over ' || coalesce(t.source_units, 0) as detail
from resales as r
join orders as o on o.lane = r.lane and o.id = r.order_id
left join (
    select p.lane, p.listing_id,
        sum(p.quantity) filter (where b.state = 'pending') as pending,
        sum(p.quantity) filter (where b.state = 'completed') as completed
    from purchases as p
    join orders as b on b.lane = p.lane and b.id = p.order_id
    where p.listing_id is not null and ($1::integer is null or p.lane = $1)
    group by p.lane, p.listing_id
) as p on p.lane = r.lane and p.listing_id = r.order_id
left join trades as t on t.lane = r.lane and t.order_id = r.order_id
where ($1::integer is null or r.lane = $1)
    and (
        r.promised <> coalesce(p.pending, 0)
        or r.sold <> coalesce(p.completed, 0) + coalesce(t.source_units, 0)
        or (o.state in ('pending', 'active', 'withdrawing') and r.available + r.promised + r.sold <> r.quantity)
        or (o.state = 'completed' and t.order_id is null and r.sold <> r.quantity)
    )

-- name: purchase_holds_both_sides
-- A purchase under way holds the buyer's money and the units, on the lister's account or on that of what is unsold; a bid
-- holds the money.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ', its pay hold is ' || coalesce(pay.units || ' (' || pay.state || ')', 'missing')
    || ', its collect hold ' || coalesce(collect.units || ' (' || collect.state || ')', 'missing') as detail
from orders as o
join purchases as p on p.lane = o.lane and p.order_id = o.id
left join holds as pay on pay.lane = o.lane and pay.id = o.pay_hold_id and pay.order_id = o.id
    and pay.account_id = o.source_account_id
left join holds as collect on collect.lane = o.lane and collect.id = o.collect_hold_id and collect.order_id = o.id
left join accounts as a on a.lane = collect.lane and a.id = collect.account_id and a.asset = o.destination_asset
left join resales as r on r.lane = p.lane and r.order_id = p.listing_id
where ($1::integer is null or o.lane = $1) and o.product = 'resale'
    and (
        (o.pay_hold_id is not null) <> (o.state in ('active', 'pending'))
        or (o.collect_hold_id is not null) <> (o.state = 'pending')
        or (o.pay_hold_id is not null and (pay.units, pay.state) is distinct from (o.source_units, 'open'))
        or (
            o.collect_hold_id is not null
            and (collect.units, collect.state, a.owner_id, a.purpose) is distinct from (
                p.quantity, 'open', coalesce(r.party_id, p.branch_id),
                case when p.listing_id is null then 'unsold' else 'holding' end
            )
        )
    )

-- name: resale_trade_fits
-- What was bought left a trade over all of it at its price; a listing's own trade is what its branch took of it, at the
-- listing's price, and there are no fees of what it did not take.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ', its trade is ' || coalesce(
        t.source_units || ' ' || t.source_asset || ' for ' || t.destination_units || ' ' || t.destination_asset, 'missing'
    ) as detail
from orders as o
left join trades as t on t.lane = o.lane and t.order_id = o.id
left join resales as r on r.lane = o.lane and r.order_id = o.id
where ($1::integer is null or o.lane = $1) and o.product = 'resale'
    and case
        when o.side = 'burn' then t.order_id is not null
        when o.side <> 'sell' then
            (t.order_id is not null) <> (o.state = 'completed')
            or (
                t.order_id is not null
                and (t.tenant_id, t.source_asset, t.source_units, t.destination_asset, t.destination_units, t.executed_rate)
                is distinct from
                (o.tenant_id, o.destination_asset, o.destination_units, o.source_asset, o.source_units, o.rate)
            )
        else
            r.taken_fee_units + r.taken_desk_fee_units > coalesce(t.destination_units, 0)
            or t.order_id is not null
            and (
                (t.tenant_id, t.source_asset, t.destination_asset, t.destination_units, t.executed_rate) is distinct from
                (o.tenant_id, o.source_asset, o.destination_asset, t.source_units * r.price_units, o.rate)
                or t.source_units > o.source_units
                or o.state in ('pending', 'failed')
            )
    end

-- name: resale_is_booked_once
-- Every trade of resale was booked exactly once: its units, all that was paid for them, and of that the fees that its
-- purchase says, or what its branch took; and nothing else was booked as a resale.
select coalesce(t.lane, b.lane) as lane, 'orders' as what, coalesce(t.order_id, b.order_id)::text as key,
    case
        when t.order_id is null then 'was booked without a trade'
        else 'was booked ' || coalesce(b.bookings, 0) || ' times, over ' || coalesce(b.units, 0) || ' units for '
            || coalesce(b.paid, 0) || ', fees ' || coalesce(b.fees, 0) || ' and ' || coalesce(b.desk_fees, 0)
    end as detail
from (
    select t.lane, t.order_id, t.source_units, t.destination_units,
        coalesce(p.fee_units, r.taken_fee_units) as fee_units,
        coalesce(p.desk_fee_units, r.taken_desk_fee_units) as desk_fee_units
    from trades as t
    join orders as o on o.lane = t.lane and o.id = t.order_id and o.product = 'resale'
    left join purchases as p on p.lane = t.lane and p.order_id = t.order_id
    left join resales as r on r.lane = t.lane and r.order_id = t.order_id
    where $1::integer is null or t.lane = $1
) as t
full join (
    select l.lane, l.order_id, count(distinct l.id) as bookings,
        sum(g.units) filter (where i.id is not null) as units,
        sum(g.units) filter (where i.id is null) as paid,
        sum(g.units) filter (where a.purpose = 'resale_fees') as fees,
        sum(g.units) filter (where a.purpose = 'fee_income') as desk_fees
    from ledger_transactions as l
    left join postings as g on g.lane = l.lane and g.transaction_id = l.id
    left join accounts as a on a.lane = g.lane and a.id = g.destination_account_id
    left join instruments as i on i.lane = g.lane and i.asset = g.asset
    where l.reason in ('resale: otc', 'resale: secondary', 'resale: primary') and ($1::integer is null or l.lane = $1)
    group by l.lane, l.order_id
) as b on b.lane = t.lane and b.order_id = t.order_id
where t.order_id is null
    or (coalesce(b.bookings, 0), b.units, b.paid) is distinct from (1, t.source_units, t.destination_units)
    or (coalesce(b.fees, 0), coalesce(b.desk_fees, 0)) is distinct from (t.fee_units, t.desk_fee_units)

-- name: resale_goes_to_its_sides
-- What was sold goes from whom it is sold by to whom it is sold to, and the money the other way, but for the fees.
select g.lane, 'postings' as what, g.transaction_id || '/' || g.number as key,
    'goes from ' || s.purpose || ' of ' || s.owner_id || ' to ' || d.purpose || ' of ' || d.owner_id as detail
from ledger_transactions as t
join postings as g on g.lane = t.lane and g.transaction_id = t.id
join accounts as s on s.lane = g.lane and s.id = g.source_account_id
join accounts as d on d.lane = g.lane and d.id = g.destination_account_id
join orders as o on o.lane = t.lane and o.id = t.order_id
left join instruments as i on i.lane = g.lane and i.asset = g.asset
left join purchases as p on p.lane = o.lane and p.order_id = o.id
left join resales as r on r.lane = o.lane and r.order_id = coalesce(p.listing_id, o.id)
left join orders as l on l.lane = r.lane and l.id = r.order_id
cross join lateral (select coalesce(r.branch_id, p.branch_id) as branch_id) as b
where ($1::integer is null or t.lane = $1) and t.reason in ('resale: otc', 'resale: secondary', 'resale: primary')
    and not coalesce(case
        when i.id is not null then
            case
                when l.id is null then (s.purpose, s.owner_id) = ('unsold', b.branch_id)
                else s.id = l.source_account_id
            end
            and case
                when p.order_id is null then (d.purpose, d.owner_id) = ('inventory', b.branch_id)
                else d.id = o.destination_account_id
            end
        else
            case
                when p.order_id is null then (s.purpose, s.owner_id) = ('funds', b.branch_id)
                else s.id = o.source_account_id
            end
            and case
                when d.purpose = 'resale_fees' then d.owner_id = b.branch_id
                when d.purpose = 'fee_income' then true
                when l.id is null then (d.purpose, d.owner_id) = ('funds', b.branch_id)
                else d.id = l.destination_account_id
            end
    end, false)

-- name: burnt_once
-- What is burnt is held until the chain has burnt it, and then booked exactly once, all of it.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ', holds ' || coalesce(h.units || ' (' || h.state || ')', 'nothing') || ', and '
    || coalesce(b.bookings, 0) || ' bookings took ' || coalesce(b.units, 0) as detail
from orders as o
left join holds as h on h.lane = o.lane and h.id = o.pay_hold_id and h.order_id = o.id
    and h.account_id = o.source_account_id
left join (
    select l.lane, l.order_id, count(*) as bookings, sum(g.units) as units
    from ledger_transactions as l
    join postings as g on g.lane = l.lane and g.transaction_id = l.id
    where l.reason = 'resale: burnt' and ($1::integer is null or l.lane = $1)
    group by l.lane, l.order_id
) as b on b.lane = o.lane and b.order_id = o.id
where ($1::integer is null or o.lane = $1) and o.product = 'resale' and o.side = 'burn'
    and (
        (o.pay_hold_id is not null) <> (o.state = 'pending')
        or (o.pay_hold_id is not null and (h.units, h.state) is distinct from (o.source_units, 'open'))
        or coalesce(b.bookings, 0) <> case when o.state = 'completed' then 1 else 0 end
        or b.units <> o.source_units
    )

-- name: instrument_is_somewhere
-- All units of an instrument are its holders', a branch's inventory or unsold, or the desk's own books say where they came
-- from; nothing is ever booked where listed units wait on the chain.
select a.lane, 'accounts' as what, a.id::text as key, 'has ' || a.balance || ' as ' || a.purpose as detail
from instruments as i
join accounts as a on a.lane = i.lane and a.asset = i.asset
where ($1::integer is null or i.lane = $1) and a.balance <> 0
    and a.purpose not in ('holding', 'inventory', 'unsold', 'equity', 'outside', 'adjustment')

-- name: branch_numbers_its_listings
-- The listings of a branch are numbered from 1 to its last number without a gap.
select b.lane, 'branches' as what, b.id::text as key,
    'its last number is ' || b.last_number || ', ' || count(r.number) || ' listings have numbers up to '
    || coalesce(max(r.number), 0) as detail
from branches as b
left join resales as r on r.lane = b.lane and r.branch_id = b.id and r.number is not null
where $1::integer is null or b.lane = $1
group by b.lane, b.id, b.last_number
having count(r.number) <> b.last_number or coalesce(max(r.number), 0) <> b.last_number

-- name: job_fits_its_order
-- A job is of an order of its tenant, or of a ledger transaction; it moves the asset of both of its accounts. What a job
-- for a listing, a withdrawal or a purchase has come to is what its order says. One in place of another makes the same
-- movement, and that one only followed the books and has failed.
select j.lane, 'jobs' as what, j.id::text as key,
    'is ' || j.kind || ' and ' || j.state || ', its order is ' || coalesce(o.side || ' and ' || o.state, 'missing') as detail
from jobs as j
left join orders as o on o.lane = j.lane and o.id = j.order_id and o.tenant_id = j.tenant_id
left join accounts as s on s.lane = j.lane and s.id = j.source_account_id and s.asset = j.asset
left join accounts as d on d.lane = j.lane and d.id = j.destination_account_id and d.asset = j.asset
left join jobs as f on f.lane = j.lane and f.id = j.replaces
where ($1::integer is null or j.lane = $1)
    and (
        (
            j.replaces is not null
            and (f.kind, f.state, f.tries, f.order_id, f.source_account_id, f.destination_account_id, f.units)
            is distinct from
            (j.kind, 'failed', j.tries - 1, j.order_id, j.source_account_id, j.destination_account_id, j.units)
        )
        or (j.replaces is not null and j.kind not in ('follow', 'send'))
        or (j.replaces is null) <> (j.tries = 1)
        or case j.kind
            when 'send' then not exists (
                select from ledger_transactions as t where t.lane = j.lane and t.id = j.order_id
            )
            else o.id is null
        end
        or s.id is null
        or d.id is null
        or case j.kind
            when 'list' then
                o.side <> 'sell'
                or case j.state
                    when 'completed' then o.state in ('pending', 'failed')
                    when 'failed' then o.state <> 'failed'
                    else o.state <> 'pending'
                end
            when 'withdraw' then
                o.side <> 'sell'
                or (j.state = 'in_progress' and o.state <> 'withdrawing')
                or (j.state = 'completed' and o.state <> 'cancelled')
            when 'purchase' then
                o.side not in ('buy', 'bid')
                or o.state <> case when j.state in ('completed', 'failed') then j.state else 'pending' end
            when 'burn' then
                o.side <> 'burn'
                or o.state <> case when j.state in ('completed', 'failed') then j.state else 'pending' end
            else false
        end
    )

-- name: chain_follows_the_books
-- What jobs have moved, with those that follow and are not done yet, is what was booked, but for what is listed, which
-- waits apart on the chain, and what is burnt, which lies there. One in place of another makes the same movement.
with counted as (
    select lane, kind, source_account_id, destination_account_id, units
    from jobs
    where ($1::integer is null or lane = $1)
        and case when kind in ('follow', 'send') then replaces is null else state = 'completed' end
),
listed as (
    select r.lane, o.source_account_id as lister_id, a.id as escrow_id,
        r.promised + case when o.state in ('active', 'withdrawing') then r.available else 0 end as units
    from resales as r
    join orders as o on o.lane = r.lane and o.id = r.order_id
    left join accounts as a on a.lane = r.lane and a.owner_id = r.branch_id and a.asset = o.source_asset
        and a.purpose = 'escrow'
    where ($1::integer is null or r.lane = $1) and o.state not in ('pending', 'failed')
),
differing as (
    select lane, source_account_id as account_id, -units as units from counted
    union all
    select lane, destination_account_id, units from counted
    union all
    select lane, destination_account_id, -units from counted where kind = 'burn'
    union all
    select lane, lister_id, units from listed
    union all
    select lane, escrow_id, -units from listed
    union all
    select e.lane, e.account_id, -e.units
    from ledger_transactions as t
    join entries as e on e.lane = t.lane and e.transaction_id = t.id
    where ($1::integer is null or t.lane = $1) and t.reason like 'resale: %' and t.reason <> 'resale: issued'
)
select d.lane, 'accounts' as what, d.account_id::text as key,
    'jobs move ' || sum(d.units) || ' more to it than was booked' as detail
from differing as d
join accounts as a on a.lane = d.lane and a.id = d.account_id and a.floor is not null
group by d.lane, d.account_id
having sum(d.units) <> 0

-- name: resale_waits_for_one_job
-- What is pending waits for one job for it, and what is being withdrawn for one withdrawal that has begun.
select o.lane, 'orders' as what, o.id::text as key,
    'is ' || o.state || ' and waits for ' || count(j.id) || ' jobs' as detail
from orders as o
left join jobs as j on j.lane = o.lane and j.order_id = o.id and j.waits_for is not null
    and case
        when o.state = 'withdrawing' then j.kind = 'withdraw' and j.state = 'in_progress'
        when o.side = 'sell' then j.kind = 'list'
        when o.side = 'burn' then j.kind = 'burn'
        else j.kind = 'purchase'
    end
where ($1::integer is null or o.lane = $1) and o.product = 'resale' and o.state in ('pending', 'withdrawing')
group by o.lane, o.id, o.state
having count(j.id) <> 1

-- name: branch_rules_are_the_active_ones
-- A branch looks at exactly its rules that are active and still there, at each of them once.
select coalesce(r.lane, b.lane) as lane, 'resale_rules' as what, coalesce(r.id, b.rule_id)::text as key,
    case
        when r.id is null then 'is looked at and is not active'
        when b.rule_id is null then 'is active and is not looked at'
        else 'is looked at more than once'
    end as detail
from (
    select lane, id, branch_id from resale_rules
    where active and ended_at is null and ($1::integer is null or lane = $1)
) as r
full join (
    select u.lane, u.branch_id, u.rule_id, count(*) as times
    from (select lane, branch_id, unnest(rule_ids) as rule_id from branch_rules where $1::integer is null or lane = $1) as u
    group by u.lane, u.branch_id, u.rule_id
) as b on b.lane = r.lane and b.rule_id = r.id and b.branch_id = r.branch_id
where r.id is null or b.rule_id is null or b.times > 1

-- name: consumed_rule_decides_no_more
-- A rule that its match consumes has decided nothing since it was consumed, or changed by somebody.
select r.lane, 'resale_rules' as what, r.id::text as key,
    'is consumed by its match, and has decided ' || count(*) || ' times since ' || r.updated_at as detail
from resale_rules as r
join resale_decisions as d on d.lane = r.lane and d.rule_id = r.id and d.decided_at > r.updated_at
where ($1::integer is null or r.lane = $1) and r.consume_on_match
group by r.lane, r.id, r.updated_at

-- name: decision_is_its_branchs
-- Rules decide of what was active over the counter, those of the branch that has issued it; what they took left a trade,
-- and what they rejected is cancelled.
select d.lane, 'resale_decisions' as what, d.order_id::text as key,
    'rule ' || coalesce(d.rule_id::text, 'none') || ' said ' || coalesce(d.action, 'nothing') || ', its order is '
    || coalesce(o.state, 'missing') as detail
from resale_decisions as d
left join resales as r on r.lane = d.lane and r.order_id = d.order_id and r.tenant_id = d.tenant_id
left join orders as o on o.lane = d.lane and o.id = r.order_id
left join resale_rules as u on u.lane = d.lane and u.id = d.rule_id
left join trades as t on t.lane = d.lane and t.order_id = d.order_id
where ($1::integer is null or d.lane = $1)
    and (
        o.id is null
        or r.market <> 'otc'
        or r.number is null
        or (d.rule_id is not null and u.branch_id is distinct from r.branch_id)
        or (d.action = 'accept' and t.order_id is null)
        or (d.action = 'reject' and o.state <> 'cancelled')
    )

-- name: holder_is_a_party
-- Every holder is a party of its tenant, and belongs to one of its branches.
select h.lane, 'holders' as what, h.party_id::text as key,
    case when p.id is null then 'there is no such party' else 'there is no branch ' || h.branch_id end as detail
from holders as h
left join parties as p on p.lane = h.lane and p.id = h.party_id and p.tenant_id = h.tenant_id
left join branches as b on b.lane = h.lane and b.id = h.branch_id and b.tenant_id = h.tenant_id
where ($1::integer is null or h.lane = $1) and (p.id is null or b.id is null)

-- name: resale_key_has_its_job
-- The job in the answer of a key of resale is its tenant's, and in no other key's answer.
select k.lane, 'idempotency_keys' as what, k.owner_id || '/resale/' || k.idempotency_key as key,
    'is one of ' || k.keys || ' done keys of job ' || k.job_id
    || case when j.id is null then ', which does not exist' else '' end as detail
from (
    select a.lane, a.owner_id, a.idempotency_key, a.job_id, count(*) over (partition by a.lane, a.job_id) as keys
    from (
        select lane, owner_id, idempotency_key,
            split_part(split_part(answer, '"job":{"id":"', 2), '"', 1) collate "C" as job_id
        from idempotency_keys
        where scope = 'resale' and outcome = 'done' and ($1::integer is null or lane = $1)
    ) as a
) as k
left join jobs as j on j.lane = k.lane and j.id::text = k.job_id and j.tenant_id = k.owner_id
where j.id is null or k.keys > 1

-- What the console's pages of the books read, and what it exports. Every statement reads one page.

-- part: named
-- What an account is called after: whose it is, and whose that is.
left join tenants as t on t.lane = a.lane and t.id = a.owner_id
left join parties as y on y.lane = a.lane and y.id = a.owner_id
left join branches as b on b.lane = a.lane and b.id = a.owner_id
left join tenants as o on o.lane = a.lane and o.id = coalesce(y.tenant_id, b.tenant_id)

-- part: shown
-- An account as pages and exports show it.
a.id, a.owner_id, a.purpose, a.asset, s.scale, a.label, a.status, a.network, a.address, a.floor, a.balance, a.held,
a.version, coalesce(t.name, o.name) as tenant, coalesce(t.id, o.id) as tenant_id, y.external_id as party, b.name as branch

-- name: chart
-- A page of a lane's accounts by owner, purpose, asset and id, after ($2, $3, $4, $5) if not null: of one tenant with its
-- parties and branches, one asset, one purpose, with a text in what they are called, if not null; at most $10. $11: only
-- the desk's own, what is owed to others (on accounts of theirs, or of the desk's for a purpose of $12), or all others, as
-- the page of the position has them. $13: only those on which something is held.
with owners as materialized (
    select $6::uuid as id
    union all
    select p.id from parties as p where p.lane = $1 and p.tenant_id = $6
    union all
    select r.id from branches as r where r.lane = $1 and r.tenant_id = $6
)
select row_to_json(c) from (
    select
-- here: shown
    from accounts as a
    join assets as s on s.lane = a.lane and s.code = a.asset
-- here: named
    where a.lane = $1
        and ($2::uuid is null or (a.owner_id, a.purpose, a.asset, a.id) > ($2, $3::text, $4::text, $5::uuid))
        and ($6::uuid is null or a.owner_id in (select w.id from owners as w))
        and ($7::text is null or a.asset = $7)
        and ($8::text is null or a.purpose = $8)
        and (
            $9::text is null
            or strpos(lower(concat_ws(' ', t.name, o.name, y.external_id, b.name, a.label, a.address, a.id)), $9) > 0
        )
        and ($11::text is null or $11 = case
            when a.purpose = 'treasury' then 'own'
            when a.owner_id <> '00000000-0000-7000-8000-000000000001' then 'owed'
            when a.floor is not null then 'own'
            when a.purpose = any ($12::text[]) then 'owed'
            else 'counterpart'
        end)
        and (not $13::boolean or a.held <> 0)
    order by a.owner_id, a.purpose, a.asset, a.id
    limit $10
) as c

-- name: account
-- One account.
select row_to_json(c) from (
    select
-- here: shown
    from accounts as a
    join assets as s on s.lane = a.lane and s.code = a.asset
-- here: named
    where a.lane = $1 and a.id = $2
) as c

-- name: accounts
-- Some accounts.
select row_to_json(c) from (
    select
-- here: shown
    from accounts as a
    join assets as s on s.lane = a.lane and s.code = a.asset
-- here: named
    where a.lane = $1 and a.id = any ($2::uuid[])
) as c

-- name: first_at
-- The version of an account's first entry that was booked at or after $3, one past the last if there is none: found by
-- halving, since entries come in the order of time.
with recursive search (low, high) as (
    select 1::bigint, a.version + 1 from accounts as a where a.lane = $1 and a.id = $2
    union all
    select
        case when m.is_before then m.middle + 1 else r.low end,
        case when m.is_before then r.high else m.middle end
    from search as r
    cross join lateral (
        select e.account_version as middle, t.booked_at < $3 as is_before
        from entries as e
        join ledger_transactions as t on t.lane = e.lane and t.id = e.transaction_id
        where e.lane = $1 and e.account_id = $2 and e.account_version = (r.low + r.high) / 2
    ) as m
    where r.low < r.high
)
select coalesce(max(f.low), 1) from search as f where f.low >= f.high

-- name: balance_at
-- What an account had after its entry of version $3, nothing before the first.
select e.balance_after from entries as e where e.lane = $1 and e.account_id = $2 and e.account_version = $3

-- name: statement
-- An account's entries of versions $3 to $4, at most $6, the newest first where $5, each with what it was for.
select row_to_json(c) from (
    select e.account_version as version, e.units, e.balance_after, t.id as transaction_id, t.reason, t.reference, t.caller,
        t.booked_at, t.order_id, o.product, case
            when p.source_account_id = e.account_id then p.destination_account_id else p.source_account_id
        end as counter_account_id
    from (
        (
            select * from entries as n
            where $5 and n.lane = $1 and n.account_id = $2 and n.account_version between $3 and $4
            order by n.account_version desc
            limit $6
        )
        union all
        (
            select * from entries as n
            where not $5 and n.lane = $1 and n.account_id = $2 and n.account_version between $3 and $4
            order by n.account_version
            limit $6
        )
    ) as e
    join ledger_transactions as t on t.lane = e.lane and t.id = e.transaction_id
    join postings as p on p.lane = e.lane and p.transaction_id = e.transaction_id and p.number = e.posting_number
    left join orders as o on o.lane = t.lane and o.id = t.order_id
    order by case when $5 then -e.account_version else e.account_version end
) as c

-- name: transaction
-- One ledger transaction with its postings, each with the entries on both of its sides. These are found by their batch: an
-- account that takes part in every trade has too many to be gone through.
with entered as materialized (
    select e.*
    from ledger_transactions as t
    join entries as e on e.lane = t.lane and e.seq = t.seq and e.transaction_id = t.id
    where t.lane = $1 and t.id = $2
)
select json_build_object(
    'transaction', t,
    'postings', (
        select json_agg(
            json_build_object(
                'number', p.number, 'asset', p.asset, 'scale', s.scale, 'units', p.units,
                'source_account_id', p.source_account_id, 'destination_account_id', p.destination_account_id,
                'source_version', x.account_version, 'source_balance', x.balance_after,
                'destination_version', y.account_version, 'destination_balance', y.balance_after
            ) order by p.number
        )
        from postings as p
        join assets as s on s.lane = p.lane and s.code = p.asset
        join entered as x on x.account_id = p.source_account_id and x.posting_number = p.number
        join entered as y on y.account_id = p.destination_account_id and y.posting_number = p.number
        where p.lane = t.lane and p.transaction_id = t.id
    )
)
from ledger_transactions as t
where t.lane = $1 and t.id = $2

-- name: trial_balance
-- What all accounts of each asset have together: above nothing, below it, and in all, which is nothing in sound books.
select row_to_json(c) from (
    select a.asset, s.scale, count(*) as accounts, sum(greatest(a.balance, 0)) as above, sum(least(a.balance, 0)) as below,
        sum(a.balance) as total, sum(a.held) as held
    from accounts as a
    join assets as s on s.lane = a.lane and s.code = a.asset
    where a.lane = $1
    group by a.asset, s.scale
    order by a.asset
) as c

-- name: holds
-- The open holds on an account, the oldest first, at most $6. They are those of orders that are under way: $3, $4 and $5
-- are the products, sides and states of such.
select json_build_object('hold', h, 'product', o.product, 'side', o.side, 'state', o.state)
from unnest($3::text[], $4::text[], $5::text[]) as w (product, side, state)
join orders as o on o.lane = $1 and o.product = w.product and o.side = w.side and o.state = w.state
join holds as h on h.lane = o.lane and h.order_id = o.id and h.account_id = $2 and h.state = 'open'
order by h.placed_at, h.id
limit $6

-- name: of_orders
-- The ledger transactions of some orders, the oldest first.
select row_to_json(t) from ledger_transactions as t
where t.lane = $1 and t.order_id = any ($2::uuid[])
order by t.booked_at, t.id

-- name: acts
-- A page of what operators did, the latest first, before ($2, $3) if not null: by one caller, one verb, about one subject,
-- from $7 to before $8, if not null; at most $9. Beside each, what its subject is.
select json_build_object('act', a, 'subject', case
    when a.subject_id is null then null
    when exists (select from orders as o where o.lane = $1 and o.id = a.subject_id) then 'order'
    when exists (select from accounts as c where c.lane = $1 and c.id = a.subject_id) then 'account'
    when exists (select from proposals as p where p.lane = $1 and p.id = a.subject_id) then 'proposal'
    when exists (select from tenants as t where t.lane = $1 and t.id = a.subject_id) then 'tenant'
    when exists (select from parties as y where y.lane = $1 and y.id = a.subject_id) then 'party'
    when exists (select from operators as m where m.lane = $1 and m.id = a.subject_id) then 'person'
end)
from (
    select * from acts as n
    where n.lane = $1
        and ($2::timestamptz is null or (n.happened_at, n.id) < ($2, $3::uuid))
        and ($4::text is null or n.caller = $4)
        and ($5::text is null or n.verb = $5)
        and ($6::uuid is null or n.subject_id = $6)
        and ($7::timestamptz is null or n.happened_at >= $7)
        and ($8::timestamptz is null or n.happened_at < $8)
    order by n.happened_at desc, n.id desc
    limit $9
) as a
order by a.happened_at desc, a.id desc

-- name: act
-- When one act happened.
select happened_at from acts where lane = $1 and id = $2

-- What the deals dialect shows of branches to those who run them: what they issue, their money, deals and rules.

-- name: branch
-- A branch of a tenant.
select row_to_json(b) from branches as b where b.lane = $1 and b.id = $2 and b.tenant_id = $3

-- name: terms
-- How a lane resells.
select row_to_json(t) from resale_terms as t where t.lane = $1

-- name: listings_of_instrument
-- A page of what was ever listed of an instrument on a market ($3), newest first, and the lane's clock.
with wanted as not materialized (
    select r.* from resales as r
    where r.lane = $1 and r.instrument_id = $2 and r.market = $3 and r.number is not null
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'order', o, 'resale', w, 'symbol', c.symbol, 'scale', s.scale, 'address', c.address
        ) order by w.number desc)
        from (select * from wanted order by number desc limit $4 offset $5) as w
        join orders as o on o.lane = w.lane and o.id = w.order_id
        join currencies as c on c.lane = w.lane and c.id = w.currency_id
        join assets as s on s.lane = c.lane and s.code = c.asset
    ), '[]'),
    'total', (select count(*) from wanted),
    'clock', (select row_to_json(l) from lane_clocks as l where l.lane = $1)
)

-- name: rules_of_branch
-- A page of the rules of a branch that have not ended, in the order in which they are looked at.
with wanted as not materialized (
    select r.* from resale_rules as r where r.lane = $1 and r.branch_id = $2 and r.ended_at is null
)
select json_build_object(
    'rows', coalesce((
        select json_agg(w order by w.priority, w.created_at, w.id)
        from (select * from wanted order by priority, created_at, id limit $3 offset $4) as w
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: issued
-- A page of a tenant's instruments, newest first: of one ($3) if that is not null, of one branch ($4) if that is not
-- null, of the branches at a path and below it ($5) if that is not null, in one state ($6) if that is not null; each with
-- its branch, its currency, and how much of it is unsold.
with wanted as not materialized (
    select i.* from instruments as i
    join branches as b on b.lane = i.lane and b.id = i.branch_id
    where i.lane = $1 and i.tenant_id = $2
        and ($3::uuid is null or i.id = $3)
        and ($4::uuid is null or i.branch_id = $4)
        and ($5::text is null or b.path = $5 or starts_with(b.path, $5 || '.'))
        and ($6::text is null or i.state = $6)
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'instrument', w, 'issuer', b, 'currency', c, 'scale', s.scale, 'unsold', coalesce(u.balance - u.held, 0)
        ) order by w.created_at desc, w.id desc)
        from (select * from wanted order by created_at desc, id desc limit $7 offset $8) as w
        join branches as b on b.lane = w.lane and b.id = w.branch_id
        join currencies as c on c.lane = w.lane and c.id = w.currency_id
        join assets as s on s.lane = c.lane and s.code = c.asset
        left join accounts as u
            on u.lane = w.lane and u.owner_id = w.branch_id and u.purpose = 'unsold' and u.asset = w.asset
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: currencies
-- A page of a tenant's currencies, newest first: of one ($4) if that is not null, of one branch ($5) if that is not null,
-- in one state ($6) if that is not null, of a path and what is above and below it ($9) if that is not null; each with its
-- branch, and how much there is: what the desk's own counter-accounts ($3 is the desk) gave.
with wanted as not materialized (
    select c.* from currencies as c
    join branches as b on b.lane = c.lane and b.id = c.branch_id
    where c.lane = $1 and c.tenant_id = $2
        and ($4::uuid is null or c.id = $4)
        and ($5::uuid is null or c.branch_id = $5)
        and ($6::text is null or c.state = $6)
        and (
            $9::text is null or b.path = $9 or starts_with(b.path, $9 || '.') or starts_with($9, b.path || '.')
        )
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'currency', w, 'path', b.path, 'scale', s.scale, 'supply', coalesce((
                select -sum(a.balance) from accounts as a
                where a.lane = w.lane and a.owner_id = $3 and a.asset = w.asset and a.floor is null
            ), 0)
        ) order by w.created_at desc, w.id desc)
        from (select * from wanted order by created_at desc, id desc limit $7 offset $8) as w
        join branches as b on b.lane = w.lane and b.id = w.branch_id
        join assets as s on s.lane = w.lane and s.code = w.asset
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: jobs_of_currency
-- A page of the jobs by which a currency was sent, newest first.
with wanted as not materialized (
    select j.* from jobs as j where j.lane = $1 and j.instrument_id = $2 and j.kind = 'send'
)
select json_build_object(
    'rows', coalesce((
        select json_agg(json_build_object(
            'job', w, 'recipient', a.address, 'party_id', h.party_id
        ) order by w.created_at desc, w.id desc)
        from (select * from wanted order by created_at desc, id desc limit $3 offset $4) as w
        join accounts as a on a.lane = w.lane and a.id = w.destination_account_id
        left join holders as h on h.lane = a.lane and h.party_id = a.owner_id
    ), '[]'),
    'total', (select count(*) from wanted)
)

-- name: funds
-- What a branch ($3, at the path $4) has of each currency that is deployed for it or of which it has any.
select json_build_object('currency', c, 'scale', s.scale, 'units', coalesce(a.balance, 0), 'supply', coalesce((
        select -sum(e.balance) from accounts as e
        where e.lane = c.lane and e.owner_id = $5 and e.asset = c.asset and e.floor is null
    ), 0))
from currencies as c
join branches as b on b.lane = c.lane and b.id = c.branch_id
join assets as s on s.lane = c.lane and s.code = c.asset
left join accounts as a on a.lane = c.lane and a.owner_id = $3 and a.purpose = 'funds' and a.asset = c.asset
where c.lane = $1 and c.tenant_id = $2
    and (a.balance <> 0 or (c.state = 'deployed' and (b.path = $4::text or starts_with($4, b.path || '.'))))
order by c.created_at, c.id

-- name: wallet
-- An account at an address ($3, in lower case) where a party or a branch of a tenant keeps money or units; none where
-- several of them do: nobody could say whose what is sent there is.
select (array_agg(a.id order by a.id))[1]
from accounts as a
left join holders as h on h.lane = a.lane and h.party_id = a.owner_id and h.tenant_id = $2
left join branches as b on b.lane = a.lane and b.id = a.owner_id and b.tenant_id = $2
where a.lane = $1 and lower(a.address) = $3 and a.purpose in ('holding', 'funds')
    and (h.party_id is not null or b.id is not null)
having count(distinct a.owner_id) = 1

-- name: taken_by_others
-- What a world file declares and something else of the lane has already: a branch's path (of $2, in tenants $3, for ids $4),
-- or the asset (of $5, for ids $6) of a currency or instrument.
select b.path
from unnest($2::text[], $3::uuid[], $4::uuid[]) as w (path, tenant_id, id)
join branches as b on b.lane = $1 and b.tenant_id = w.tenant_id and b.path = w.path and b.id <> w.id
union all
select w.asset
from unnest($5::text[], $6::uuid[]) as w (asset, id)
where exists (select from currencies as c where c.lane = $1 and c.asset = w.asset and c.id <> w.id)
    or exists (select from instruments as i where i.lane = $1 and i.asset = w.asset and i.id <> w.id)

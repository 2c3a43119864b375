-- More of what must hold at every instant between batches: what limits and freezing say of tenants and parties.

-- name: limited_says_who_has_limits
-- Whoever has a limit is a tenant or a party that says so: limits of anybody else would not be looked at.
select l.lane, 'limits' as what, l.subject_id || '/' || l.asset as key,
    case
        when t.id is null and p.id is null then 'limits neither a tenant nor a party'
        else 'limits one that says of itself that it has no limits'
    end as detail
from limits as l
left join tenants as t on t.lane = l.lane and t.id = l.subject_id
left join parties as p on p.lane = l.lane and p.id = l.subject_id
where ($1::integer is null or l.lane = $1) and coalesce(t.limited, p.limited) is distinct from true

-- name: limit_sums_fit
-- A limit's day is of its month, and what was counted that day was counted that month.
select l.lane, 'limits' as what, l.subject_id || '/' || l.asset as key,
    'has ' || l.day_units || ' for day ' || l.day || ' and ' || l.month_units || ' for month ' || l.month as detail
from limits as l
where ($1::integer is null or l.lane = $1) and (left(l.day, 7) <> l.month or l.day_units > l.month_units)

-- name: frozen_party_is_inactive
-- A party that will be something else again once it is no longer frozen is inactive until then.
select p.lane, 'parties' as what, p.id::text as key,
    'is ' || p.status || ', and was ' || p.status_before || ' before it was frozen' as detail
from parties as p
where ($1::integer is null or p.lane = $1) and p.status_before is not null and p.status <> 'inactive'

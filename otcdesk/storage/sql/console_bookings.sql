-- name: latest
-- The newest ledger transactions that operators booked by hand, at most $2, with the account that each was about.
select json_build_object(
    'transaction', t,
    'account', case when s.floor is null then d else s end,
    'units', case when s.floor is null then p.units else -p.units end
)
from (
    select * from ledger_transactions as t
    where t.lane = $1 and t.order_id is null and t.reference is not null
        and split_part(t.reason, ':', 1) in ('deposit', 'withdraw', 'adjust')
    order by t.booked_at desc, t.id desc
    limit $2
) as t
join postings as p on p.lane = t.lane and p.transaction_id = t.id and p.number = 1
join accounts as s on s.lane = p.lane and s.id = p.source_account_id
join accounts as d on d.lane = p.lane and d.id = p.destination_account_id
order by t.booked_at desc, t.id desc

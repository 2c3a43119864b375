-- More of what must hold at every instant between batches: what banks are given in files, and what their statements say.

-- name: filed_payout_is_in_its_file
-- A file lists exactly the payouts that are in it, in their order.
select coalesce(l.lane, p.lane) as lane, 'filed_payouts' as what, coalesce(p.order_id, l.order_id)::text as key,
    case
        when p.order_id is null then 'is listed in file ' || l.file_id || ', and not in it'
        else 'is number ' || p.number || ' of file ' || p.file_id || ', which lists it as '
            || coalesce(l.number::text, 'nothing')
    end as detail
from (
    select f.lane, f.id as file_id, u.order_id, u.number
    from payout_files as f
    cross join unnest(f.order_ids) with ordinality as u (order_id, number)
    where $1::integer is null or f.lane = $1
) as l
full join (select * from filed_payouts where $1::integer is null or lane = $1) as p
    on p.lane = l.lane and p.file_id = l.file_id and p.order_id = l.order_id
where p.order_id is null or l.order_id is null or p.number <> l.number

-- name: payout_file_adds_up
-- A file is over what its payouts add up to.
select f.lane, 'payout_files' as what, f.id::text as key,
    'is over ' || f.total_units || ', and its payouts add up to ' || coalesce(sum(p.units), 0) as detail
from payout_files as f
left join filed_payouts as p on p.lane = f.lane and p.file_id = f.id
where $1::integer is null or f.lane = $1
group by f.lane, f.id, f.total_units
having f.total_units <> coalesce(sum(p.units), 0)

-- name: filed_payout_pays_its_order
-- What is filed is a payout of its file's fiat, with its amount, that was not given to a bank otherwise; no order is
-- filed without being in a file.
select coalesce(o.lane, p.lane) as lane, 'filed_payouts' as what, coalesce(p.order_id, o.id)::text as key,
    case
        when p.order_id is null then 'is filed, and in no file'
        when o.id is null then 'there is no such payout'
        else 'its order is ' || o.state || ' and pays ' || q.fiat_units || ' ' || q.fiat || ', the file ' || p.units
            || ' ' || coalesce(f.fiat, 'of nothing')
    end as detail
from (select * from filed_payouts where $1::integer is null or lane = $1) as p
full join (
    select * from orders where product = 'payout' and side = 'sell' and ($1::integer is null or lane = $1)
) as o on o.lane = p.lane and o.id = p.order_id
left join payments as q on q.lane = o.lane and q.order_id = o.id
left join payout_files as f on f.lane = p.lane and f.id = p.file_id
where case
    when p.order_id is null then o.state = 'filed'
    else o.id is null or o.state not in ('filed', 'settled', 'failed')
        or (p.units, f.fiat) is distinct from (q.fiat_units, q.fiat)
end

-- name: filed_payout_ended_as_its_bank_said
-- What a bank has debited is settled, unless it came back before that was told; what came back has failed, or came back
-- in an order of its own.
select p.lane, 'filed_payouts' as what, p.order_id::text as key,
    'was ' || case when p.debited_by is null then 'not ' else '' end || 'debited and '
    || case when p.returned_by is null then 'not ' else '' end || 'returned, and its order is ' || o.state as detail
from filed_payouts as p
join orders as o on o.lane = p.lane and o.id = p.order_id
where ($1::integer is null or p.lane = $1)
    and (
        (p.debited_by is not null and o.state <> 'settled' and (o.state <> 'failed' or p.returned_by is null))
        or (
            p.returned_by is not null and o.state <> 'failed'
            and not exists (select from payments as r where r.lane = p.lane and r.returns_id = p.order_id)
        )
    )

-- name: statement_line_did_what_it_says
-- A matched line is what debited or returned its payout, or debited all of its file's; what is debited or returned
-- names such a line.
select coalesce(s.lane, e.lane) as lane, 'statement_lines' as what, coalesce(s.id, e.line_id)::text as key,
    'says ' || coalesce(s.direction || ' of ' || coalesce(s.order_id, s.file_id), 'nothing')
    || ', and ' || coalesce(e.effect || ' ' || e.order_id, 'did nothing') as detail
from (
    select lane, id, direction, order_id, file_id from statement_lines
    where state = 'matched' and ($1::integer is null or lane = $1)
) as s
full join (
    select p.lane, p.order_id, p.file_id, p.debited_by as line_id, 'debit' as effect from filed_payouts as p
    where p.debited_by is not null and ($1::integer is null or p.lane = $1)
    union all
    select p.lane, p.order_id, p.file_id, p.returned_by, 'credit' from filed_payouts as p
    where p.returned_by is not null and ($1::integer is null or p.lane = $1)
) as e on e.lane = s.lane and e.line_id = s.id and e.effect = s.direction
    and (e.order_id = s.order_id or e.file_id = s.file_id)
where s.id is null or e.order_id is null

-- name: file_key_has_its_file
-- The file in the answer of a key exists, and is in no other key's answer.
select k.lane, 'idempotency_keys' as what, k.owner_id || '/file_payouts/' || k.idempotency_key as key,
    'is one of ' || k.keys || ' done keys of file ' || k.file_id
    || case when f.id is null then ', which does not exist' else '' end as detail
from (
    select a.lane, a.owner_id, a.idempotency_key, a.file_id, count(*) over (partition by a.lane, a.file_id) as keys
    from (
        select lane, owner_id, idempotency_key,
            split_part(split_part(answer, '"file_id":"', 2), '"', 1) collate "C" as file_id
        from idempotency_keys
        where scope = 'file_payouts' and outcome = 'done' and ($1::integer is null or lane = $1)
    ) as a
) as k
left join payout_files as f on f.lane = k.lane and f.id::text = k.file_id
where f.id is null or k.keys > 1

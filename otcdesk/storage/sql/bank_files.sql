-- Files for banks and their statements, as the edges show them and as they are made.

-- name: waiting
-- Payouts of a fiat that wait to be filed, the longest waiting first and after those that were read before, with what
-- tells who is paid: what was prepared, the payment method, and what is known of the party.
select json_build_object(
    'order_id', o.id,
    'updated_at', o.updated_at,
    'units', o.destination_units,
    'tenant', t.name,
    'external_id', p.external_id,
    'details', coalesce(q.details, m.details),
    'number', m.number,
    'bank_code', m.bank_code,
    'profile', f.details
)
from orders as o
join payments as p on p.lane = o.lane and p.order_id = o.id
join tenants as t on t.lane = o.lane and t.id = o.tenant_id
left join prepared_payouts as q on q.lane = o.lane and q.id = p.prepared_id
left join payment_methods as m on m.lane = o.lane and m.id = p.method_id
left join party_profiles as f on f.lane = o.lane and f.party_id = p.party_id
where o.lane = $1 and o.waits_for = 'bank_file' and p.fiat = $2 and (o.updated_at, o.id) > ($3, $4)
order by o.updated_at, o.id
limit $5

-- name: files
-- A page of a lane's files, newest first, with how many payouts of each are in which state.
select json_build_object('file', f, 'states', s.states)
from (
    select * from payout_files where lane = $1 order by created_at desc, id desc limit $2 offset $3
) as f
cross join lateral (
    select json_object_agg(c.state, c.payouts) as states from (
        select o.state, count(*) as payouts
        from filed_payouts as p
        join orders as o on o.lane = p.lane and o.id = p.order_id
        where p.lane = f.lane and p.file_id = f.id
        group by o.state
    ) as c
) as s
order by f.created_at desc, f.id desc

-- name: count_of_files
select count(*) from payout_files where lane = $1

-- name: file
-- One file with its payouts in their order, and the states of their orders.
select json_build_object(
    'file', f,
    'payouts', (
        select json_agg(json_build_object('payout', p, 'state', o.state) order by p.number)
        from filed_payouts as p
        join orders as o on o.lane = p.lane and o.id = p.order_id
        where p.lane = f.lane and p.file_id = f.id
    )
)
from payout_files as f
where f.lane = $1 and f.id = $2

-- name: is_ours
-- Whether an account at a bank is, or was, one of the desk's own.
select exists (select from bank_accounts where lane = $1 and iban = $2)
    or exists (select from payout_files where lane = $1 and iban = $2)

-- name: lines
-- A page of a lane's lines of statements, newest first: of one state, if not null.
select row_to_json(s) from statement_lines as s
where s.lane = $1 and ($2::text is null or s.state = $2)
order by s.imported_at desc, s.id desc
limit $3 offset $4

-- name: count_of_lines
select count(*) from statement_lines where lane = $1 and ($2::text is null or state = $2)

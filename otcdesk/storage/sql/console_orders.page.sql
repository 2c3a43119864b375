-- Everything that the books know of one order. Entries are found by the batch that wrote them with their transaction: an
-- account that takes part in every trade has too many to be gone through.

-- name: whole
-- An order with all that belongs to it, at most $3 of each kind; $4: the desk as an owner.
with about as materialized (
    select o.* from orders as o where o.lane = $1 and o.id = $2
),
booked as materialized (
    select t.* from ledger_transactions as t where t.lane = $1 and t.order_id = $2 order by t.booked_at, t.id limit $3
),
entered as materialized (
    select e.*
    from booked as t
    join entries as e on e.lane = t.lane and e.seq = t.seq and e.transaction_id = t.id
),
held as materialized (
    select h.* from holds as h where h.lane = $1 and h.order_id = $2 order by h.placed_at, h.id limit $3
),
worked as materialized (
    select j.* from jobs as j where j.lane = $1 and j.order_id = $2 order by j.created_at, j.id limit $3
),
referred as materialized (
    select $2::text || ':' || n as reference from about as o cross join generate_series(1, least(o.version + 1, 1000)) as n
    union
    select $2::text || ':' || s from unnest(array['send', 'payout']) as s
    union
    select j.reference from worked as j
),
money as materialized (
    select m.*, row_to_json(m) as row from payments as m where m.lane = $1 and m.order_id = $2
),
parted as materialized (
    select coalesce(
        (select x.party_id from firm_quotes as x where x.lane = $1 and x.order_id = $2),
        (select x.party_id from money as x),
        (select x.party_id from deposits as x where x.lane = $1 and x.order_id = $2),
        (select x.party_id from chain_payouts as x where x.lane = $1 and x.order_id = $2),
        (select x.party_id from checkouts as x where x.lane = $1 and x.order_id = $2),
        (select x.party_id from resales as x where x.lane = $1 and x.order_id = $2),
        (select x.party_id from purchases as x where x.lane = $1 and x.order_id = $2),
        (select x.party_id from worked as x where x.party_id is not null limit 1)
    ) as id
),
touched as materialized (
    select a.*
    from (
        select o.source_account_id as id from about as o
        union
        select o.destination_account_id from about as o
        union
        select e.account_id from entered as e
        union
        select h.account_id from held as h
        union
        select j.source_account_id from worked as j
        union
        select j.destination_account_id from worked as j
    ) as w
    join accounts as a on a.lane = $1 and a.id = w.id
),
told as materialized (
    select d.*, s.url, s.envelope, s.owner_id
    from subscriptions as s
    join deliveries as d on d.subscription_id = s.id and d.subject_id = $2
    where s.lane = $1 and s.owner_id in ($4::uuid, (select o.tenant_id from about as o))
    order by d.created_at, d.id
    limit $3
)
select json_build_object(
    'order', o,
    'clock', (select row_to_json(x) from lane_clocks as x where x.lane = $1),
    'tenant', (select row_to_json(x) from tenants as x where x.lane = $1 and x.id = o.tenant_id),
    'party', (select row_to_json(x) from parties as x join parted as p on p.id = x.id where x.lane = $1),
    'trade', (select row_to_json(x) from trades as x where x.lane = $1 and x.order_id = $2),
    'quote', (select row_to_json(x) from firm_quotes as x where x.lane = $1 and x.order_id = $2),
    'acceptance', (select row_to_json(x) from acceptances as x where x.lane = $1 and x.order_id = $2),
    'payment', (select x.row from money as x),
    'method', (select row_to_json(x) from payment_methods as x join money as m on m.method_id = x.id where x.lane = $1),
    'channel', (select row_to_json(x) from channels as x join money as m on m.channel_id = x.id where x.lane = $1),
    'prepared', (select row_to_json(x) from prepared_payouts as x join money as m on m.prepared_id = x.id where x.lane = $1),
    'filed', (select row_to_json(x) from filed_payouts as x where x.lane = $1 and x.order_id = $2),
    'statement_lines', coalesce((
        select json_agg(x order by x.imported_at, x.id)
        from filed_payouts as f
        join statement_lines as x on x.lane = $1 and x.id in (f.debited_by, f.returned_by)
        where f.lane = $1 and f.order_id = $2
    ), '[]'),
    'deposit', (select row_to_json(x) from deposits as x where x.lane = $1 and x.order_id = $2),
    'chain_payout', (select row_to_json(x) from chain_payouts as x where x.lane = $1 and x.order_id = $2),
    'checkout', (
        select to_jsonb(x) - 'token_hash' from checkouts as x where x.lane = $1 and x.order_id = $2
    ),
    'awaited', (
        select row_to_json(x)
        from checkouts as k
        join awaited_payments as x on x.lane = $1 and x.order_id = $2
            and x.place in (k.reference, k.network || '/' || k.address, k.network || '/' || lower(k.address))
        where k.lane = $1 and k.order_id = $2
        limit 1
    ),
    'resale', (select row_to_json(x) from resales as x where x.lane = $1 and x.order_id = $2),
    'purchase', (select row_to_json(x) from purchases as x where x.lane = $1 and x.order_id = $2),
    'instrument', (
        select row_to_json(x) from instruments as x
        where x.lane = $1 and x.id = coalesce(
            (select r.instrument_id from resales as r where r.lane = $1 and r.order_id = $2),
            (select u.instrument_id from purchases as u where u.lane = $1 and u.order_id = $2),
            (select j.instrument_id from worked as j limit 1)
        )
    ),
    'branch', (
        select row_to_json(x) from branches as x
        where x.lane = $1 and x.id = coalesce(
            (select r.branch_id from resales as r where r.lane = $1 and r.order_id = $2),
            (select u.branch_id from purchases as u where u.lane = $1 and u.order_id = $2)
        )
    ),
    'decision', (select row_to_json(x) from resale_decisions as x where x.lane = $1 and x.order_id = $2),
    'events', coalesce((
        select json_agg(x order by x.order_version)
        from (
            select e.* from events as e where e.lane = $1 and e.order_id = $2 order by e.order_version limit $3
        ) as x
    ), '[]'),
    'transactions', coalesce((select json_agg(x order by x.booked_at, x.id) from booked as x), '[]'),
    'postings', coalesce((
        select json_agg(x order by x.transaction_id, x.number)
        from booked as t
        join postings as x on x.lane = $1 and x.transaction_id = t.id
    ), '[]'),
    'entries', coalesce((
        select json_agg(x order by x.transaction_id, x.posting_number, x.units) from entered as x
    ), '[]'),
    'holds', coalesce((select json_agg(x order by x.placed_at, x.id) from held as x), '[]'),
    'jobs', coalesce((select json_agg(x order by x.created_at, x.id) from worked as x), '[]'),
    'sends', coalesce((
        select json_agg(json_build_object(
            'reference', x.reference, 'network', x.network, 'purpose', x.purpose, 'recipient', x.recipient,
            'outcome', x.outcome, 'detail', x.detail, 'recorded_at', x.recorded_at, 'ended_at', x.ended_at,
            'hashes', (
                select coalesce(json_agg(h.hash order by h.number), '[]')
                from chain_transactions as h where h.lane = x.lane and h.reference = x.reference
            )
        ) order by x.recorded_at)
        from referred as w
        join chain_sends as x on x.lane = $1 and x.reference = w.reference
    ), '[]'),
    'leases', coalesce((
        select json_agg(json_build_object('reference', x.item, 'attempts', x.attempts, 'until', x.held_until,
            'is_held', x.holder <> ''))
        from referred as w
        join leases as x on x.lane = $1 and x.item = w.reference
    ), '[]'),
    'deliveries', coalesce((
        select json_agg(json_build_object(
            'id', x.id, 'subscription_id', x.subscription_id, 'url', x.url, 'envelope', x.envelope, 'owner_id', x.owner_id,
            'event_id', x.event_id, 'event_type', x.event_type, 'state', x.state, 'due_at', x.due_at,
            'attempts', x.attempts, 'error', x.error, 'response_status', x.response_status,
            'created_at', x.created_at, 'attempted_at', x.attempted_at,
            'made', coalesce((
                select json_agg(json_build_object('number', a.number, 'attempted_at', a.attempted_at,
                    'response_status', a.response_status, 'response_ms', a.response_ms, 'error', a.error) order by a.number)
                from (
                    select b.* from delivery_attempts as b where b.delivery_id = x.id order by b.number desc limit 20
                ) as a
            ), '[]')
        ) order by x.created_at, x.id)
        from told as x
    ), '[]'),
    'proposals', coalesce((
        select json_agg(x order by x.proposed_at, x.id)
        from (
            select p.* from proposals as p where p.lane = $1 and p.subject_id = $2 order by p.proposed_at desc limit $3
        ) as x
    ), '[]'),
    'acts', coalesce((
        select json_agg(x order by x.happened_at, x.id)
        from (
            select a.* from acts as a
            where a.lane = $1 and a.subject_id in (select $2 union all select j.id from worked as j)
            order by a.happened_at desc
            limit $3
        ) as x
    ), '[]'),
    'accounts', coalesce((
        select json_agg(json_build_object('account', a, 'owner', coalesce(
            (select t.name from tenants as t where t.lane = $1 and t.id = a.owner_id),
            (
                select concat_ws(' · ', t.name, p.external_id)
                from parties as p
                left join tenants as t on t.lane = p.lane and t.id = p.tenant_id
                where p.lane = $1 and p.id = a.owner_id
            ),
            (
                select concat_ws(' · ', t.name, b.name)
                from branches as b
                left join tenants as t on t.lane = b.lane and t.id = b.tenant_id
                where b.lane = $1 and b.id = a.owner_id
            )
        )))
        from touched as a
    ), '[]'),
    'related', coalesce((
        select json_agg(json_build_object('id', r.id, 'why', r.why, 'product', x.product, 'side', x.side) order by x.created_at, x.id)
        from (
            (select p.order_id as id, 'belongs to the checkout' as why from payments as p
            where p.lane = $1 and p.checkout_id = $2 limit $3)
            union all
            (select p.order_id, 'bought for the deposit' from payments as p
            where p.lane = $1 and p.deposit_id = $2 and p.kind = 'purchase' limit $3)
            union all
            (select u.order_id, 'buys of the listing' from purchases as u
            where u.lane = $1 and u.listing_id = $2 limit $3)
            union all
            select u.listing_id, 'the listing' from purchases as u
            where u.lane = $1 and u.order_id = $2 and u.listing_id is not null
            union all
            select m.returns_id, 'what came back' from money as m where m.returns_id is not null
            union all
            select m.adjusts_id, 'what is corrected' from money as m where m.adjusts_id is not null
            union all
            select m.deposit_id, 'the deposit' from money as m where m.deposit_id is not null
            union all
            select m.checkout_id, 'the checkout' from money as m where m.checkout_id is not null
            union all
            select c.deposit_id, 'the deposit' from chain_payouts as c
            where c.lane = $1 and c.order_id = $2 and c.deposit_id is not null
        ) as r
        join orders as x on x.lane = $1 and x.id = r.id
    ), '[]'),
    'scales', (select json_object_agg(x.code, x.scale) from assets as x where x.lane = $1)
)
from about as o

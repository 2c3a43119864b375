-- Whatever somebody quotes: every source is one look-up along an index, so no text is slow.

-- part: hits
select json_build_object(
    'what', h.what, 'id', h.id, 'order_id', o.id, 'detail', h.detail, 'product', o.product, 'side', o.side,
    'created_at', o.created_at, 'tenant', t.name
)
from hits as h
left join orders as o on o.lane = $1 and o.id = h.order_id
left join tenants as t on t.lane = $1 and t.id = coalesce(o.tenant_id, h.tenant_id)
limit 20

-- name: found_by_id
-- What has an id: an order, or something else of the books or beside them.
with hits as (
    select 'order' as what, x.id::text as id, x.id as order_id, null::uuid as tenant_id, null::text as detail
    from orders as x where x.lane = $1 and x.id = $2::uuid
    union all
    select 'ledger_transaction', x.id::text, x.order_id, null, x.reason
    from ledger_transactions as x where x.lane = $1 and x.id = $2
    union all
    select 'job', x.id::text, x.order_id, x.tenant_id, x.kind || ', ' || x.state
    from jobs as x where x.lane = $1 and x.id = $2
    union all
    select 'account', x.id::text, null, x.owner_id, x.purpose || ' ' || x.asset
    from accounts as x where x.lane = $1 and x.id = $2
    union all
    select 'party', x.id::text, null, x.tenant_id, x.external_id
    from parties as x where x.lane = $1 and x.id = $2
    union all
    select 'tenant', x.id::text, null, x.id, x.name
    from tenants as x where x.lane = $1 and x.id = $2
    union all
    select 'hold', x.id::text, x.order_id, null, x.state
    from holds as x where x.lane = $1 and x.id = $2
    union all
    select 'payout_file', x.id::text, null, null, x.fiat || ', ' || cardinality(x.order_ids) || ' payouts'
    from payout_files as x where x.lane = $1 and x.id = $2
    union all
    select 'statement_line', x.id::text, x.order_id, null, x.state
    from statement_lines as x where x.lane = $1 and x.id = $2
    union all
    select 'prepared_payout', x.id::text, x.order_id, x.tenant_id, null
    from prepared_payouts as x where x.lane = $1 and x.id = $2
    union all
    select 'payment_method', x.id::text, null, x.tenant_id, x.name
    from payment_methods as x where x.lane = $1 and x.id = $2
    union all
    select 'rule', x.id::text, null, x.tenant_id, x.state
    from rules as x where x.lane = $1 and x.id = $2
    union all
    select 'instrument', x.id::text, null, x.tenant_id, x.name
    from instruments as x where x.lane = $1 and x.id = $2
    union all
    select 'currency', x.id::text, null, x.tenant_id, x.name
    from currencies as x where x.lane = $1 and x.id = $2
    union all
    select 'branch', x.id::text, null, x.tenant_id, x.name
    from branches as x where x.lane = $1 and x.id = $2
    union all
    select 'proposal', x.id::text, x.subject_id, null, x.verb || ', ' || x.state
    from proposals as x where x.lane = $1 and x.id = $2
    union all
    select 'act', x.id::text, x.subject_id, null, x.verb || ' by ' || x.caller
    from acts as x where x.lane = $1 and x.id = $2
    union all
    select 'delivery', x.id::text, x.subject_id, null, x.event_type || ', ' || x.state
    from deliveries as x where x.lane = $1 and x.id = $2
    union all
    select 'subscription', x.id::text, null, x.owner_id, x.url
    from subscriptions as x where x.lane = $1 and x.id = $2
)
-- here: hits

-- name: found_by_text
-- What others call something: $2 their word, $3 the key spaces of commands.
with owners as (
    (select t.id, t.name from tenants as t where t.lane = $1 limit 1000)
    union all
    select '00000000-0000-7000-8000-000000000001', 'the desk'
),
hits as (
    select 'tenant' as what, x.id::text as id, null::uuid as order_id, x.id as tenant_id, x.name as detail
    from owners as x where lower(x.name) = lower($2::text) and x.name <> 'the desk'
    union all
    (
        select 'external_id', x.external_id, x.order_id, x.tenant_id, null
        from owners as w
        join acceptances as x on x.lane = $1 and x.tenant_id = w.id and x.external_id = $2
        limit 20
    )
    union all
    (
        select 'external_id', x.external_id, x.order_id, x.tenant_id, null
        from owners as w
        join payments as x on x.lane = $1 and x.tenant_id = w.id and x.external_id = $2
        limit 20
    )
    union all
    (
        select 'external_id', x.external_id, x.order_id, x.tenant_id, null
        from checkouts as x where x.lane = $1 and left(x.external_id, 80) = left($2, 80) and x.external_id = $2
        limit 20
    )
    union all
    (
        select 'party', x.id::text, null, x.tenant_id, x.external_id
        from parties as x
        where x.lane = $1 and lower(left(x.external_id, 80)) = lower(left($2, 80)) and lower(x.external_id) = lower($2)
        limit 20
    )
    union all
    (
        select 'idempotency_key', x.answer, null, x.owner_id, x.scope
        from owners as w
        cross join unnest($3::text[]) as s (scope)
        join idempotency_keys as x on x.lane = $1 and x.owner_id = w.id and x.scope = s.scope and x.idempotency_key = $2
        limit 20
    )
    union all
    (
        select 'deposit', x.outside_id, x.order_id, x.tenant_id, null
        from deposits as x where x.lane = $1 and left(x.outside_id, 80) = left($2, 80) and x.outside_id = $2
        limit 20
    )
    union all
    (
        select 'deposit', x.hash, x.order_id, x.tenant_id, null
        from deposits as x where x.lane = $1 and left(x.hash, 80) = left($2, 80) and x.hash = $2 and x.outside_id <> $2
        limit 20
    )
    union all
    (
        select 'deposit', x.reference, x.order_id, x.tenant_id, null
        from deposits as x where x.lane = $1 and left(x.reference, 80) = left($2, 80) and x.reference = $2
        limit 20
    )
    union all
    select 'awaited_payment', x.place, x.order_id, null, null
    from awaited_payments as x where x.lane = $1 and x.place = upper($2)
    union all
    (
        select 'job', x.id::text, x.order_id, x.tenant_id, x.kind || ', ' || x.state
        from jobs as x where x.lane = $1 and left(x.hash, 80) = left($2, 80) and x.hash = $2
        limit 20
    )
    union all
    (
        select 'chain_send', x.reference, null, null, n.network
        from (select distinct c.network from chain_senders as c) as n
        join chain_transactions as x on x.network = n.network and x.hash = lower($2) and x.lane = $1
        limit 20
    )
    union all
    select 'chain_send', x.reference, null, null, x.network
    from chain_sends as x where x.lane = $1 and x.reference = $2
    union all
    (
        select 'rail_reference', x.detail, x.order_id, x.tenant_id, null
        from events as x
        where x.lane = $1 and x.name in ('payout.settle', 'chain_payout.settle') and left(x.detail, 80) = left($2, 80)
            and x.detail = $2
        limit 20
    )
    union all
    (
        select 'ledger_transaction', x.id::text, null, null, x.reason
        from ledger_transactions as x
        where x.lane = $1 and x.order_id is null and left(x.reference, 80) = left($2, 80) and x.reference = $2
        limit 20
    )
    union all
    (
        select 'statement_line', x.id::text, x.order_id, null, x.state
        from statement_lines as x
        where x.lane = $1 and left(x.bank_reference, 80) = left($2, 80) and x.bank_reference = $2
        limit 20
    )
    union all
    (
        select 'act', x.id::text, x.subject_id, null, x.verb || ' by ' || x.caller
        from acts as x where x.lane = $1 and x.request_id = $2
        limit 20
    )
    union all
    (
        select 'delivery', x.id::text, x.subject_id, null, x.event_type || ', ' || x.state
        from deliveries as x where x.lane = $1 and x.event_id = $2
        limit 20
    )
)
-- here: hits

-- name: found_by_end
-- Accounts and payment methods by how their address or number ends; $2: that end read backwards, as a pattern.
with hits as (
    (
        select 'account' as what, x.id::text as id, null::uuid as order_id, x.owner_id as tenant_id,
            x.purpose || ' ' || x.asset || ' at ' || x.address as detail
        from accounts as x
        where x.lane = $1 and x.address is not null and reverse(lower(right(x.address, 80))) like lower($2)
        limit 10
    )
    union all
    (
        select 'payment_method', m.id::text, p.order_id, m.tenant_id, m.number
        from (
            select x.* from payment_methods as x
            where x.lane = $1 and x.number is not null and reverse(lower(right(x.number, 80))) like lower($2)
            limit 5
        ) as m
        left join lateral (
            select y.order_id from payments as y
            where y.lane = $1 and y.method_id = m.id
            order by y.order_id desc
            limit 3
        ) as p on true
    )
)
-- here: hits

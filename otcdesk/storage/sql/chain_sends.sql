-- What the rail of chains has sent or is about to send: its own memory, which no batch reads or writes.

-- name: find
-- What is recorded under a reference, its transactions from the newest to the oldest; the nonce is -1 where it has none.
select to_jsonb(s) || jsonb_build_object('nonce', coalesce(s.nonce, -1), 'transactions', (
    select coalesce(jsonb_agg(t order by t.number desc), '[]')
    from chain_transactions as t where t.lane = s.lane and t.reference = s.reference
))
from chain_sends as s
where s.lane = $1 and s.reference = $2

-- name: holding
-- Who has a nonce of a sender now: of those that have or had it the one that was not refused, if there is one.
select jsonb_build_object('lane', s.lane, 'reference', s.reference)
from chain_sends as s
where s.network = $1 and s.sender = $2 and s.nonce = $3
order by s.outcome is not distinct from 'refused', s.recorded_at desc
limit 1

-- name: given_up
-- Whether whoever had a nonce of a sender was refused.
select coalesce(bool_and(s.outcome is not distinct from 'refused'), false)
from chain_sends as s
where s.network = $1 and s.sender = $2 and s.nonce = $3

-- name: next_nonce
-- The nonce after the highest that a sender was ever given; 0 for a new one.
select coalesce(max(t.nonce) + 1, 0) from chain_transactions as t where t.network = $1 and t.sender = $2

-- name: gas_given
-- How often a wallet was given gas since a time.
select count(*) from chain_sends as s
where s.network = $1 and s.recipient = $2 and s.purpose = 'gas' and s.recorded_at > $3

-- name: own_under_way
-- What the rail sends for itself on a network and nobody asks for: gas, and nonces that are used up.
select jsonb_build_object('lane', s.lane, 'reference', s.reference)
from chain_sends as s
where s.network = $1 and s.purpose in ('gas', 'gap') and s.outcome is null
order by s.recorded_at, s.reference
limit $2

-- name: unfinished
-- On which networks transfers are recorded that have not ended, and whether they are a live lane's.
select distinct s.network, coalesce(l.kind = 'live', false) as live
from chain_sends as s left join lanes as l on l.lane = s.lane
where s.outcome is null and s.purpose = 'transfer'
order by s.network, live

-- name: surely
-- Let what this transaction records survive a crash of the machine, whatever the database is set to.
select set_config('synchronous_commit', 'on', true)

-- name: hold
-- Let nobody else end a send; returns whether it has not ended.
select true from chain_sends as s where s.lane = $1 and s.reference = $2 and s.outcome is null for update

-- name: gas_under_way
-- The gas that is on its way to a wallet.
select jsonb_build_object('lane', s.lane, 'reference', s.reference)
from chain_sends as s
where s.network = $1 and s.recipient = $2 and s.purpose = 'gas' and s.outcome is null
order by s.nonce
limit 1

-- name: promised
-- What a sender's coin is promised for: what its sends from a nonce on cost at most that have not ended, but for one.
select coalesce(sum(case when s.contract is null then s.amount else 0 end + s.gas_limit * (
    select max(t.max_fee_wei) from chain_transactions as t where t.lane = s.lane and t.reference = s.reference
)), 0)
from chain_sends as s
where s.network = $1 and s.sender = $2 and s.outcome is null and s.nonce >= $3
    and not coalesce(s.lane = $4::integer and s.reference = $5::text, false)

-- name: add_sender
insert into chain_senders (network, address, chain_id) values ($1, $2, $3) on conflict do nothing

-- name: lock_sender
-- Let nobody else give out nonces of a sender; returns the chain that its network was when it first sent.
select chain_id from chain_senders where network = $1 and address = $2 for update

-- name: free_nonce
-- The lowest nonce of a sender, from one on, that none of our transactions has or ever had.
select min(c.nonce)
from (
    select $3::bigint as nonce
    union
    select t.nonce + 1 from chain_transactions as t where t.network = $1 and t.sender = $2 and t.nonce >= $3
) as c
where not exists (
    select from chain_transactions as t where t.network = $1 and t.sender = $2 and t.nonce = c.nonce
)

-- name: add
-- Record a send; returns whether its reference was free.
insert into chain_sends (
    lane, reference, network, purpose, sender, recipient, contract, amount, gas_limit, nonce, seen_block, recorded_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (lane, reference) do nothing
returning true

-- name: cancel
-- Record that nothing is ever sent under a reference, unless something is recorded under it.
insert into chain_sends (
    lane, reference, network, purpose, sender, recipient, amount, gas_limit, seen_block, outcome, detail, recorded_at,
    ended_at
)
select $1, $2, $3, 'cancelled', '', '', 0, 0, 0, 'refused', $4, $5, $5
from (select set_config('synchronous_commit', 'on', true)) as surely
on conflict (lane, reference) do nothing

-- name: sign
-- Record a signed transaction of a send; returns whether nobody else has recorded one of this number.
insert into chain_transactions (
    lane, reference, number, network, sender, nonce, hash, raw, max_fee_wei, priority_fee_wei, signed_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict do nothing
returning true

-- name: move_nonce
-- Give a send that has not ended another nonce; returns whether it had the one before.
update chain_sends set nonce = $4, seen_block = $5
where lane = $1 and reference = $2 and nonce = $3 and outcome is null
returning true

-- name: conclude
-- Record the last word on a send, unless there is one.
update chain_sends set outcome = $3, detail = $4, ended_at = $5
from (select set_config('synchronous_commit', 'on', true)) as surely
where lane = $1 and reference = $2 and outcome is null

-- name: wallets
-- The accounts of a lane that are on some networks.
select row_to_json(a) from accounts as a
where a.lane = $1 and a.network = any($2)
order by a.network, a.owner_id, a.asset, a.id
limit $3

-- name: under_way
-- How many sends are not confirmed, and for how many milliseconds the oldest.
select count(*) as number,
    coalesce(floor(extract(epoch from max($1::timestamptz - s.recorded_at)) * 1000), 0)::bigint as longest_ms
from chain_sends as s
where s.outcome is null

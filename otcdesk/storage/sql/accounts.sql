-- name: account
-- One account.
select row_to_json(a) from accounts as a where a.lane = $1 and a.id = $2

-- name: of_owner
-- The accounts of an owner for one purpose.
select row_to_json(a) from accounts as a
where a.lane = $1 and a.owner_id = $2 and a.purpose = $3
order by a.label, a.id

-- name: all_of_lane
-- Every account of a lane, the desk's own first.
select row_to_json(a) from accounts as a
where a.lane = $1
order by a.owner_id, a.purpose, a.asset, a.network, a.id
limit $2 offset $3

-- name: count_of_lane
select count(*) from accounts where lane = $1

-- name: entries
-- An account's history, newest first, with the reason of each entry.
select json_build_object('entry', e, 'transaction', t) from entries as e
join ledger_transactions as t on t.lane = e.lane and t.id = e.transaction_id
where e.lane = $1 and e.account_id = $2
order by e.account_version desc
limit $3 offset $4

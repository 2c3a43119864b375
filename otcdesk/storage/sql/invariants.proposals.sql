-- What must always hold of what takes two people; see invariants.sql.

-- name: carried_out_by_two_people
-- Nobody has carried out what they have proposed themselves.
select p.lane, 'proposals' as what, p.id::text as key,
    'was proposed by ' || p.proposed_by || ' and carried out by ' || coalesce(p.decided_by, 'nobody') as detail
from proposals as p
where ($1::integer is null or p.lane = $1)
    and p.state = 'carried_out' and coalesce(p.decided_by, p.proposed_by) = p.proposed_by

-- name: newest_proposal_is_of_its_subject
-- What is the newest proposal for a subject is a proposal for it.
select n.lane, 'open_proposals' as what, n.subject_id::text as key,
    'names ' || n.proposal_id || ', which is no proposal for it' as detail
from open_proposals as n
left join proposals as p on p.lane = n.lane and p.id = n.proposal_id and p.subject_id = n.subject_id
where ($1::integer is null or n.lane = $1) and p.id is null

-- name: open_proposal_is_the_newest
-- Of an order, and so of what has a version, only the newest proposal is open.
select p.lane, 'proposals' as what, p.id::text as key, 'is open and not the newest for its order' as detail
from proposals as p
left join open_proposals as n on n.lane = p.lane and n.subject_id = p.subject_id and n.proposal_id = p.id
where ($1::integer is null or p.lane = $1)
    and p.state = 'open' and p.subject_version is not null and n.proposal_id is null

-- name: carried_out_approval_is_the_orders
-- The approval that two people have decided is that of the order as the first one saw it, by the second one, and then.
select p.lane, 'proposals' as what, p.id::text as key, 'is carried out, and its order was not approved so' as detail
from proposals as p
left join events as e on e.lane = p.lane and e.order_id = p.subject_id and e.order_version = p.subject_version + 1
    and e.name = 'conversion.approve' and e.caller = p.decided_by and e.happened_at = p.decided_at
    and e.detail = 'proposed by ' || p.proposed_by
where ($1::integer is null or p.lane = $1)
    and p.verb = 'approve_conversion' and p.state = 'carried_out' and e.order_id is null

-- name: approval_of_two_has_its_proposal
-- An approval that names who has proposed it was proposed, for the order as it was then.
select e.lane, 'events' as what, e.order_id || '/' || e.order_version as key, 'was ' || e.detail || ' nowhere' as detail
from events as e
left join proposals as p on p.lane = e.lane and p.subject_id = e.order_id and p.subject_version = e.order_version - 1
    and p.verb = 'approve_conversion' and p.state = 'carried_out' and e.detail = 'proposed by ' || p.proposed_by
where ($1::integer is null or e.lane = $1)
    and e.name = 'conversion.approve' and e.detail is not null and p.id is null

-- name: carried_out_booking_is_booked
-- The booking that two people have decided is booked by the second one, then, and to the unit.
select p.lane, 'proposals' as what, p.id::text as key, 'is carried out, and is not booked' as detail
from proposals as p
left join (
    select t.lane, t.caller, t.booked_at, g.asset, g.units, g.source_account_id, g.destination_account_id
    from ledger_transactions as t
    join postings as g on g.lane = t.lane and g.transaction_id = t.id
    where (t.order_id is null or t.reason like 'payout adjustment: %') and ($1::integer is null or t.lane = $1)
) as b on b.lane = p.lane and b.caller = p.decided_by and b.booked_at = p.decided_at and b.asset = p.asset
    and b.units = p.units and p.subject_id in (b.source_account_id, b.destination_account_id)
where ($1::integer is null or p.lane = $1)
    and p.verb in ('deposit', 'withdraw', 'adjust', 'adjust_payout') and p.state = 'carried_out' and b.lane is null

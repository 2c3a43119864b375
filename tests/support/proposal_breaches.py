"""How the books of what takes two people are broken, each way seen by the invariant that it breaks."""

from tests.support.breaches import Breach

#: The first proposal of a verb in a state; $1 is the lane.
_PROPOSAL = "select id from proposals where lane = $1 and verb = '{verb}' and state = '{state}' order by id limit 1"
_APPROVAL = _PROPOSAL.format(verb="approve_conversion", state="carried_out")
_BOOKING = _PROPOSAL.format(verb="deposit", state="carried_out")
_WAITING = _PROPOSAL.format(verb="approve_conversion", state="open")
_NEWEST = "select subject_id from open_proposals where lane = $1 order by subject_id limit 1"
_EVENT = """select order_id from events where lane = $1 and name = 'conversion.approve' and detail is not null
    order by order_id limit 1"""
_VERSION = "{chosen}/4"

PROPOSAL_BREACHES = [
    *(
        Breach("carried_out_by_two_people", by, chosen, "proposals")
        for by in (
            "update proposals set decided_by = proposed_by where id = $1",
            "update proposals set proposed_by = decided_by where id = $1",
            "update proposals set decided_by = null where id = $1",
        )
        for chosen in (_APPROVAL, _BOOKING)
    ),
    *(
        Breach("newest_proposal_is_of_its_subject", by, _NEWEST, "open_proposals")
        for by in (
            "update open_proposals set proposal_id = gen_random_uuid() where subject_id = $1",
            "update proposals set subject_id = gen_random_uuid() where subject_id = $1",
            "delete from proposals where subject_id = $1",
        )
    ),
    Breach(
        "open_proposal_is_the_newest",
        "update open_proposals set proposal_id = gen_random_uuid() where proposal_id = $1",
        _WAITING,
        "proposals",
    ),
    Breach("open_proposal_is_the_newest", "delete from open_proposals where proposal_id = $1", _WAITING, "proposals"),
    *(
        Breach("carried_out_approval_is_the_orders", by, _APPROVAL, "proposals")
        for by in (
            "update proposals set subject_id = gen_random_uuid() where id = $1",
            "update proposals set subject_version = subject_version + 1 where id = $1",
            "update proposals set decided_by = 'another' where id = $1",
            "update proposals set proposed_by = 'another' where id = $1",
            "update proposals set decided_at = decided_at + interval '1 microsecond' where id = $1",
        )
    ),
    *(
        Breach("approval_of_two_has_its_proposal", by, _EVENT, "events", _VERSION)
        for by in (
            "delete from proposals where subject_id = $1",
            "update proposals set state = 'withdrawn' where subject_id = $1",
            "update proposals set subject_version = subject_version - 1 where subject_id = $1",
            "update events set detail = 'proposed by another' where name = 'conversion.approve' and order_id = $1",
        )
    ),
    *(
        Breach("carried_out_booking_is_booked", by, _BOOKING, "proposals")
        for by in (
            "update proposals set units = units + 1 where id = $1",
            "update proposals set asset = 'USDC' where id = $1",
            "update proposals set subject_id = gen_random_uuid() where id = $1",
            "update proposals set decided_by = 'another' where id = $1",
        )
    ),
]

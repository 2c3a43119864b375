"""The queue of orders that wait to be approved, one order to decide about, and what waits for a second person."""

from typing import Any

import msgspec

from otcdesk.actions.approve_conversion import ApprovalReply, ApprovalSeen
from otcdesk.actions.move_value import BookingSeen
from otcdesk.actions.second_proposal import SecondProposal, WithdrawProposal
from otcdesk.api.http import Answer
from otcdesk.console.approvals import reads
from otcdesk.console.approvals.forms import approve_command, reject_command, requote_command
from otcdesk.console.fields import text_of
from otcdesk.console.page import ConsoleCall, done, opens, page, posts, scales_of
from otcdesk.domain import duties
from otcdesk.domain.conversions import PENDING_APPROVAL
from otcdesk.domain.orders import Order
from otcdesk.domain.proposals import OPEN, ProposalNow
from otcdesk.errors import Code, Refusal

_QUEUE = "/approvals"
_STATES = ("open", "carried_out", "withdrawn", "expired", "stale")
_PAGE_ROWS = 50

#: What the first person has seen, by the action; of any other it is shown as it was kept.
_SEEN: dict[str, Any] = {
    "approve_conversion": ApprovalSeen,
    **dict.fromkeys(("deposit", "withdraw", "adjust", "adjust_payout"), BookingSeen),
}


class ProposalPage(msgspec.Struct, frozen=True):
    """A page of proposals, and how many there are in all."""

    rows: list[ProposalNow]
    total: int = 0


async def show_queue(call: ConsoleCall) -> Answer:
    """Show the orders that wait to be approved, and what waits for a second person."""
    lane, desk = call.caller.lane, call.desk
    now = await desk.business_time(lane)
    facts = {
        "waiting": await reads.waiting(desk.reads, lane, now),
        "waiting_max": reads.WAITING_MAX,
        "seconds": await reads.seconds(desk.reads, lane, now),
        "now": now,
    }
    return await page(call, "approvals/queue.html", facts)


async def count_waiting(call: ConsoleCall) -> Answer:
    """Answer how many orders wait, for the menu of every page."""
    now = await call.desk.business_time(call.caller.lane)
    number = await reads.number_waiting(call.desk.reads, call.caller.lane, now)
    return await page(call, "approvals/count.html", {"number": number, "most": reads.WAITING_MAX})


async def show_decision(call: ConsoleCall) -> Answer:
    """Show everything that decides about one order, and the forms to decide."""
    decision = await _decision(call)
    now = await call.desk.business_time(call.caller.lane)
    past = await reads.history(call.desk.reads, call.caller.lane, decision.tenant.id, now)
    facts = {"decision": decision, "order": decision.order, "history": past, "now": now, "days": reads.HISTORY.days}
    return await page(call, "approvals/decision.html", facts)


async def approve(call: ConsoleCall) -> Answer:
    """Approve an order and wait a while for its rail; past its guard it waits for a second person instead."""
    decision = await _decision(call)
    command = approve_command(call, decision, await scales_of(call))
    reply: ApprovalReply = await call.submit(command, why=_why(call))
    if reply.proposal is not None:
        return done(f"/console/proposals/{reply.proposal.id}", "proposed")
    await _settled(call, reply.order)
    return done(f"/console/orders/{reply.order.id}", "approved")


async def reject(call: ConsoleCall) -> Answer:
    """Reject an order; a buy is refunded."""
    command = reject_command(call, (await _decision(call)).order.id)
    await call.submit(command, why=command.reason)
    return done(f"/console/orders/{command.order_id}", "rejected")


async def requote(call: ConsoleCall) -> Answer:
    """Give an order a new rate, which its tenant has to confirm again."""
    command = requote_command(call, (await _decision(call)).order.id)
    await call.submit(command, why=_why(call))
    return done(f"/console/orders/{command.order_id}", "requoted")


async def list_proposals(call: ConsoleCall) -> Answer:
    """List what waits or waited for a second person, newest first."""
    asked = call.request.query.get("state", "")
    state = asked if asked in _STATES else None
    lane, now = call.caller.lane, await call.desk.business_time(call.caller.lane)
    values = (lane, state, now, _PAGE_ROWS, 0)
    found = await call.desk.reads.row("proposals", "page", ProposalPage, *values) or ProposalPage([])
    facts = {"rows": found.rows, "total": found.total, "state": state, "states": _STATES, "now": now}
    return await page(call, "approvals/proposals.html", facts)


async def show_proposal(call: ConsoleCall) -> Answer:
    """Show a proposal as the first person saw it, and what has changed since."""
    found, now = await _proposal(call), await call.desk.business_time(call.caller.lane)
    proposal = found.proposal
    if call.is_fragment and found.state_at(now) != OPEN and proposal.decided_by != call.caller.name:
        # What a page says that somebody watches is over. Who decided it is on the way to another page.
        return Answer(204, b"", ((b"hx-redirect", b"/console/proposals/%b" % str(proposal.id).encode("ascii")),))
    kind = _SEEN.get(proposal.verb, dict[str, Any])
    about_order = proposal.subject_version is not None
    current = await reads.one(call.desk.reads, call.caller.lane, now, proposal.subject_id) if about_order else None
    facts = {
        "proposal": proposal,
        "state": found.state_at(now),
        "is_open": found.state_at(now) == OPEN,
        "is_own": proposal.proposed_by == call.caller.name,
        "seen": msgspec.json.decode(proposal.seen, type=kind),
        "decision": current,
        "now": now,
    }
    return await page(call, "approvals/proposal.html", facts)


async def second(call: ConsoleCall) -> Answer:
    """Carry out, as the second person, what another has proposed."""
    command = SecondProposal(proposal_id=_proposal_id(call), why=_why(call))
    seconded = await call.submit(command, why=command.why)
    answered = seconded.answered()
    if isinstance(answered, ApprovalReply):
        await _settled(call, answered.order)
        return done(f"/console/orders/{answered.order.id}", "approved")
    return done(f"/console/proposals/{command.proposal_id}", "seconded")


async def withdraw(call: ConsoleCall) -> Answer:
    """Take a proposal back, or turn it down."""
    command = WithdrawProposal(proposal_id=_proposal_id(call), why=text_of(call, "why", "The reason"))
    await call.submit(command, why=command.why)
    return done(f"/console/proposals/{command.proposal_id}", "withdrawn")


async def _decision(call: ConsoleCall) -> reads.Decision:
    now = await call.desk.business_time(call.caller.lane)
    order_id = call.path_id("id", Code.ORDER_NOT_FOUND)
    found = await reads.one(call.desk.reads, call.caller.lane, now, order_id)
    if found is None:
        raise Refusal(Code.ORDER_NOT_FOUND)
    return found


async def _proposal(call: ConsoleCall) -> ProposalNow:
    found = await call.desk.reads.row("proposals", "one", ProposalNow, call.caller.lane, _proposal_id(call))
    if found is None:
        raise Refusal(Code.PROPOSAL_NOT_FOUND)
    return found


def _proposal_id(call: ConsoleCall) -> Any:
    return call.path_id("id", Code.PROPOSAL_NOT_FOUND)


def _why(call: ConsoleCall) -> str:
    return text_of(call, "why", "The reason", required=False)


async def _settled(call: ConsoleCall, approved: Order) -> None:
    """Wait a while for the rail of an order that is approved; refuses RAIL_UNAVAILABLE if that provably did nothing."""
    within_ms = call.desk.settings.approval_wait_ms
    order = await call.services.settlement.outcome(call.caller.lane, approved, within_ms)
    if order.state == PENDING_APPROVAL:
        raise Refusal(Code.RAIL_UNAVAILABLE, order.reason)


ROUTES = (
    opens(_QUEUE, show_queue, "The queue of approvals"),
    opens(f"{_QUEUE}/count", count_waiting, "How many orders wait"),
    opens(f"{_QUEUE}/{{id}}", show_decision, "An order to decide about"),
    posts(f"{_QUEUE}/{{id}}/approve", approve, "Approve", duty=duties.ORDERS_APPROVE, shows=show_decision),
    posts(f"{_QUEUE}/{{id}}/reject", reject, "Reject", duty=duties.ORDERS_REJECT, shows=show_decision),
    posts(f"{_QUEUE}/{{id}}/requote", requote, "Requote", duty=duties.ORDERS_REQUOTE, shows=show_decision),
    opens("/proposals", list_proposals, "What waits or waited for a second person"),
    opens("/proposals/{id}", show_proposal, "A proposal"),
    posts("/proposals/{id}/second", second, "Carry out a proposal", duty=duties.READ, shows=show_proposal),
    posts("/proposals/{id}/withdraw", withdraw, "Turn a proposal down", duty=duties.READ, shows=show_proposal),
)

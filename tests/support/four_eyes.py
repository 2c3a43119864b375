"""Desks with guards, and the people who pass them."""

from otcdesk.actions.approve_conversion import ApprovalReply, ApproveConversion
from otcdesk.actions.second_proposal import ProposalSeconded, SecondProposal
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Command
from otcdesk.domain.duties import ROLES
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.orders import Order
from otcdesk.domain.proposals import Proposal
from otcdesk.domain.world import declaration_of, parse_world
from tests.support.desk import CONTRACT_WORLD
from tests.support.pure import PureDesk

FIRST, SECOND = "person:first", "person:second"

GUARDS = """
[guards]
deviation_bps_max = 300
spread_change_bps_max = 50
limits_second = true
proposal_seconds = 600

[[guards.assets]]
asset = "EUR"
second_from = "1000.00"
typed_from = "500.00"
exposure_max = "100000.00"

[[guards.assets]]
asset = "USDC"
second_from = "1000"
"""

#: The contract's world in which 1000.00 EUR and 1000 USDC take two people.
GUARDED_WORLD = CONTRACT_WORLD.replace("[conversions]", f"{GUARDS}\n[conversions]", 1)


def guarded() -> PureDesk:
    return PureDesk(GUARDED_WORLD)


def guards_of(world: str) -> tuple[GuardTerms | None, list[Guard]]:
    declaration = declaration_of(parse_world(world))
    return declaration.guard_terms, declaration.guards


def with_duties(*duties: str) -> InPerson:
    return InPerson(address="192.0.2.1", why="because", duties=frozenset(duties))


def as_role(role: str) -> InPerson:
    return InPerson(address="192.0.2.1", duties=ROLES[role])


def proposed(desk: PureDesk, command: Command, caller: str = FIRST) -> Proposal:
    """Ask for what must wait, and return the proposal that does."""
    proposal = desk.act(command, caller=caller).proposal
    assert isinstance(proposal, Proposal)
    return proposal


def approval_proposed(desk: PureDesk, order: Order, caller: str = FIRST) -> Proposal:
    reply = desk.act(ApproveConversion(order_id=order.id), caller=caller)
    assert isinstance(reply, ApprovalReply)
    assert reply.proposal is not None
    return reply.proposal


def seconded(desk: PureDesk, proposal: Proposal, caller: str = SECOND) -> ProposalSeconded:
    reply = desk.act(SecondProposal(proposal_id=proposal.id), caller=caller)
    assert isinstance(reply, ProposalSeconded)
    return reply

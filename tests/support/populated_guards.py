"""Everything that takes two people, told in a lane: for the story of all that can happen."""

from typing import Any, Protocol
from uuid import UUID

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.move_value import Deposit
from otcdesk.actions.second_proposal import SecondProposal, WithdrawProposal
from otcdesk.actions.set_guards import SetGuard, SetGuardTerms
from otcdesk.actions.set_limit import SetLimit
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Command
from otcdesk.domain.orders import Order
from otcdesk.domain.proposals import Proposal
from otcdesk.domain.world import declaration_of, parse_world
from tests.support.clocks import SteeredClock
from tests.support.desk import FA1, A, B
from tests.support.four_eyes import FIRST, GUARDED_WORLD, SECOND


class Tells(Protocol):
    """What says what happens in a lane."""

    async def tell(
        self,
        command: Command,
        owner_id: UUID | None = None,
        key: str | None = None,
        *,
        caller: str | None = None,
        in_person: InPerson | None = None,
    ) -> Any:
        """Carry out a command."""

    async def buy(self, owner_id: UUID = A, units: int = 25_000) -> Order:
        """Quote a buy."""

    async def confirm(self, order: Order) -> Order:
        """Confirm a quote."""


async def guarded(story: Tells, clock: SteeredClock) -> None:
    """Let two people decide, once in each way, and limit what two tenants turn over."""
    await story.tell(DeclareWorld(declaration=declaration_of(parse_world(GUARDED_WORLD))))
    for units in (None, 10**9):
        await _asked(
            story, SetLimit(subject_id=B, asset="EUR", order_units_max=units, day_units_max=10**9, month_units_max=None)
        )
    await _asked(
        story, SetLimit(subject_id=A, asset="EUR", order_units_max=10**8, day_units_max=None, month_units_max=10**9)
    )
    approved, late, waiting = [await story.confirm(await story.buy(A, 100_000)) for _ in range(3)]
    await _seconded(story, await _asked(story, ApproveConversion(order_id=approved.id)))
    await _asked(story, ApproveConversion(order_id=late.id))
    booking = Deposit(account_id=FA1, units=200_000, reason="wire", reference="bank-6")
    proposal = await _asked(story, booking, "a-deposit")
    await _seconded(story, proposal)
    assert await _asked(story, booking, "a-deposit") == proposal
    unwanted = await _asked(story, booking)
    assert unwanted is not None
    await story.tell(WithdrawProposal(proposal_id=unwanted.id, why="twice"), caller=FIRST, in_person=_here())
    guard = SetGuard(asset="USDC", second_from_units=10**9, typed_from_units=0, exposure_units_max=10**12, why="more")
    await _seconded(story, await _asked(story, guard))
    clock.advance(seconds=600)
    await _asked(story, ApproveConversion(order_id=late.id))
    await _asked(story, ApproveConversion(order_id=waiting.id))


async def guards_moved(story: Tells) -> None:
    """Let two people change what they have decided before."""
    guard = SetGuard(asset="USDC", second_from_units=10**10, typed_from_units=0, exposure_units_max=None, why="more")
    terms = SetGuardTerms(
        deviation_bps_max=299, spread_change_bps_max=50, limits_second=True, proposal_seconds=60, why="less"
    )
    for command in (guard, terms):
        await _seconded(story, await _asked(story, command))


async def _asked(story: Tells, command: Command, key: str | None = None) -> Proposal | None:
    reply = await story.tell(command, key=key, caller=FIRST, in_person=_here())
    proposal: Proposal | None = reply.proposal
    return proposal


async def _seconded(story: Tells, proposal: Proposal | None) -> None:
    assert proposal is not None
    command = SecondProposal(proposal_id=proposal.id, why="seen")
    seconded = await story.tell(command, caller=SECOND, in_person=_here("198.51.100.2"))
    assert seconded.proposal.state == "carried_out"


def _here(address: str = "192.0.2.1") -> InPerson:
    return InPerson(address=address, why="as agreed")

"""Everything that restricts tenants and parties, told in a lane: for the story of all that can happen."""

from datetime import timedelta

from msgspec.structs import replace

from otcdesk.actions.freeze import FreezeParty, FreezeTenant
from otcdesk.actions.set_spread import SetSpread
from tests.support.brokerage import U, V
from tests.support.clocks import SteeredClock
from tests.support.desk import A, B
from tests.support.limits import limiting
from tests.support.populated_guards import Tells


async def restricted(story: Tells, clock: SteeredClock) -> None:
    """Limit, freeze and let go, and change spreads, in a lane with the worlds of exchanges and offers."""
    for subject_id in (A, U):
        await story.tell(limiting(subject_id, "EUR", day=10**12, month=10**12))
    await story.confirm(await story.buy(A, 1_000))
    for party_id, changes in ((U, (True, False)), (V, (True,))):
        for frozen in changes:
            await story.tell(FreezeParty(party_id=party_id, frozen=frozen, why="looked into"))
    for frozen in (True, False):
        await story.tell(FreezeTenant(tenant_id=B, frozen=frozen, why="looked into"))
    spread = SetSpread(tenant_id=B, source_asset="USDC", destination_asset="EUR", bps=10, why="agreed")
    ahead = replace(spread, bps=20, effective_from=clock.now() + timedelta(days=1))
    for command in (spread, ahead):
        await story.tell(command)

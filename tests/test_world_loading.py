"""A world file is refused before anything of it is made where the lane has something else in its place."""

from pathlib import Path

import pytest

from otcdesk.actions.make_currency import MakeCurrency
from otcdesk.domain.world import parse_world
from otcdesk.errors import Code, Refusal
from otcdesk.world_loading import SANDBOX
from tests.support.desk import new_lane
from tests.support.estate import DEALS_WORLD, ESTATE, ROOT, N
from tests.support.program import opened

_ASSET = '[[assets]]\ncode = "NEW"\nscale = 6\n\n'
_CURRENCY = '\n[[tenants.currencies]]\nref = "CN"\nbranch = "N"\nasset = "NEW"\n'

#: Files that declare something else than what is there already: what they say in place of what, and who has what.
BAD = {
    "a branch at another's path": (
        (('ref = "N2"\nid = "65a1b2c3d4e5f60718290d02"', 'ref = "N2"\nid = "65a1b2c3d4e5f60718290d99"'),),
        "has '1.2' already",
    ),
    "a currency of an asset that another one is": (
        (('id = "65a1b2c3d4e5f60718290c01"', 'id = "65a1b2c3d4e5f60718290c99"'),),
        "has 'VUSD' already",
    ),
    "an instrument of an asset that another one is": (
        (('id = "65a1b2c3d4e5f60718290b01"', 'id = "65a1b2c3d4e5f60718290b99"'),),
        "has 'EXT' already",
    ),
    "a currency that was made by a branch meanwhile": (
        (("[[assets]]", _ASSET + "[[assets]]"), ("\n[[tenants.instruments]]", _CURRENCY + "\n[[tenants.instruments]]")),
        "has 'NEW' already",
    ),
}


@pytest.mark.parametrize("changes, told", BAD.values(), ids=BAD)
async def test_what_is_there_already_is_no_other_things(
    fresh_dsn: str, tmp_path: Path, changes: tuple[tuple[str, str], ...], told: str
) -> None:
    lane, text = await new_lane(fresh_dsn), DEALS_WORLD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    async with opened(lane, tmp_path) as program:
        await program.worlds.load(lane.number, parse_world(DEALS_WORLD), kind=SANDBOX)
        made = MakeCurrency(
            branch_id=N, asset="NEW", name="New", symbol="NEW", description="", fiat=None, logo=None, mandate=ROOT
        )
        await program.desk.handover.submit(
            lane.number, made, caller="client", owner_id=ESTATE, request_id="request", key=None
        )
        with pytest.raises(Refusal) as caught:
            await program.worlds.load(lane.number, parse_world(text), kind=SANDBOX)
        assert caught.value.code is Code.DECLARATION_INVALID
        assert told in caught.value.detail
        again = await program.worlds.load(lane.number, parse_world(DEALS_WORLD), kind=SANDBOX)
        assert again.declared is not None

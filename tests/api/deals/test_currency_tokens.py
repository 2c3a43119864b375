"""Whose an address is to which money is sent: one party's or branch's, and nobody's where several have it."""

from pathlib import Path
from uuid import UUID

import pytest

from otcdesk.domain.brokerage import holding_id
from tests.support.desk import new_lane
from tests.support.estate import DEALS_WORLD, ESTATE, U1, U2
from tests.support.program import opened

_OF_U1, _OF_U2 = ("0x" + "0" * 38 + digits for digits in ("a1", "a2"))
_SHARED = DEALS_WORLD.replace(_OF_U1, _OF_U2.replace("a", "A"))


@pytest.mark.parametrize(
    "world, address, found",
    [
        (DEALS_WORLD, _OF_U2, holding_id(U2, "VUSD")),
        (DEALS_WORLD, _OF_U1, holding_id(U1, "EXT")),
        (_SHARED, _OF_U2, None),
        (_SHARED, _OF_U1, None),
    ],
    ids=["their money's", "their tokens'", "two parties'", "nobody's"],
)
async def test_whose_an_address_is(
    fresh_dsn: str, tmp_path: Path, world: str, address: str, found: UUID | None
) -> None:
    assert _SHARED != DEALS_WORLD
    lane = await new_lane(fresh_dsn, world)
    async with opened(lane, tmp_path) as program:
        assert await program.desk.reads.value("resales", "wallet", lane.number, ESTATE, address) == found

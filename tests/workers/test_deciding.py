"""What a rail did not take is what the rail says of it, and a refusal says why it was not taken."""

from uuid import uuid4

import pytest

from otcdesk.domain.ledger import CUSTODY, Account
from otcdesk.money import Amount, Asset
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.workers.deciding import decided
from tests.support.program import Answer, ScriptedRail

WALLET = Account(id=uuid4(), owner_id=uuid4(), purpose=CUSTODY, asset="USDC")
TRANSFER = Transfer(lane=1, reference="r", source=WALLET, destination=WALLET, amount=Amount(1, Asset("USDC", 6)))
WHY = RailUnavailable("no key")


def cancelling(answer: Answer) -> ScriptedRail:
    rail = ScriptedRail(AssertionError("nobody may ask for it"))
    rail.cancels = answer
    return rail


@pytest.mark.parametrize(
    "answer, expected",
    [
        (Receipt(done=True, detail="0x1"), Receipt(done=True, detail="0x1")),
        (Receipt(done=False, detail="cancelled"), Receipt(done=False, detail="no key (cancelled)")),
    ],
)
async def test_the_rail_says_what_is_so(answer: Receipt, expected: Receipt) -> None:
    rail = cancelling(answer)
    assert await decided(rail, TRANSFER, WHY) == expected
    assert rail.cancelled == [TRANSFER]


@pytest.mark.parametrize("answer", [RailUnavailable("away"), RailUnknown("lost"), RailPending("0x1")])
async def test_without_its_word_nothing_is_known(answer: Exception) -> None:
    with pytest.raises(RailUnknown) as raised:
        await decided(cancelling(answer), TRANSFER, WHY)
    assert raised.value is answer or str(raised.value) == "away"


def test_only_what_is_said_to_last_lasts() -> None:
    assert [RailUnavailable("away").lasting, RailUnavailable("no key", lasting=True).lasting] == [False, True]

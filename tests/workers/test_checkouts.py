"""What was paid for checkouts while it could not be bought for is bought for once it can be, each deposit once."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.record_deposit import RecordDeposit
from otcdesk.app import Program
from otcdesk.domain.checkouts import FIAT_IN
from otcdesk.workers import checkouts
from otcdesk.workers.checkouts import settle_paid_checkouts
from tests.support.checkouts import BANK, opening
from tests.support.desk import Lane
from tests.support.executions import fetch
from tests.support.payout_rails import new_ramp_lane
from tests.support.payouts import B1, done, preparing, selling
from tests.support.program import opened
from tests.support.soundness import assert_sound

PAID = 5


async def submit(program: Program, lane: int, command: Any, **how: Any) -> Any:
    told = {"caller": "test", "request_id": "r", "owner_id": B1, "key": None, **how}
    return await program.desk.engine.submit(lane, command, **told)


async def pay_without_a_price(program: Program, lane: int) -> None:
    """Let fiat arrive in full for some checkouts, and in part for one, while there is no price."""
    payout = (await submit(program, lane, preparing("300.00"))).prepared  # brings the treasury what is bought later
    await submit(program, lane, done((await submit(program, lane, selling(payout), key="sale")).order))
    references = [
        (await submit(program, lane, opening(FIAT_IN, amount="1.00"), key=str(uuid4()))).checkout.reference
        for _ in range(PAID + 1)
    ]
    await submit(program, lane, SwitchFeed(source_asset="USDC", destination_asset="EUR", up=False))
    for number, reference in enumerate(references):
        told = {"outside_id": str(number), "stage": "settled", "reference": reference}
        units = 100 if number < PAID else 99
        await submit(program, lane, RecordDeposit(destination=BANK.name, asset="EUR", units=units, **told))


async def states(lane: Lane) -> list[str]:
    question = "select state from orders where lane = $1 and product = 'checkout'"
    return sorted(row["state"] for row in await fetch(lane.dsn, question, lane.number))


@pytest.mark.parametrize("at_once", [2, 64])
async def test_all_that_waits_is_bought_for_once_there_is_a_price(
    fresh_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(checkouts, "PURCHASES_MAX", at_once)
    lane = await new_ramp_lane(fresh_dsn)
    async with opened(lane, tmp_path) as program:
        await pay_without_a_price(program, lane.number)
        await settle_paid_checkouts(program.desk)
        assert await states(lane) == [*["confirmed"] * PAID, "open"]
        await submit(program, lane.number, SwitchFeed(source_asset="USDC", destination_asset="EUR", up=True))
        await settle_paid_checkouts(program.desk)
        assert await states(lane) == ["open", *["settled"] * PAID]
        batches = await fetch(lane.dsn, "select count(*) as made from batches where lane = $1", lane.number)
        await settle_paid_checkouts(program.desk)
        assert await fetch(lane.dsn, "select count(*) as made from batches where lane = $1", lane.number) == batches
    bought = "select count(*) as made from payments where lane = $1 and kind = 'purchase'"
    assert (await fetch(lane.dsn, bought, lane.number))[0]["made"] == PAID + 1
    await assert_sound(lane.dsn, lane.number)


async def test_what_waits_in_a_closed_lane_is_left_alone(fresh_dsn: str, tmp_path: Path) -> None:
    lane = await new_ramp_lane(fresh_dsn)
    async with opened(lane, tmp_path) as program:
        await pay_without_a_price(program, lane.number)
        await fetch(lane.dsn, "update lanes set closed_at = now() where lane = $1", lane.number)
        await settle_paid_checkouts(program.desk)
    assert await states(lane) == [*["confirmed"] * PAID, "open"]

"""What leaves for a chain is asked for under its reference until the rail has spoken, and recorded once."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.record_deposit import RecordDeposit
from otcdesk.actions.record_payout import RecordPayout
from otcdesk.app import Program
from otcdesk.clock import derived_id
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.rules import Condition, execution_id
from otcdesk.rails.protocols import RailUnavailable, RailUnknown, Receipt, Transfer
from tests.support.deposits import NETWORK, RULE_BANK_NAME, SENDER, bank, buying_action, ruling, transferring
from tests.support.desk import Lane
from tests.support.payout_rails import new_ramp_lane
from tests.support.payouts import B1, preparing, selling
from tests.support.program import opened
from tests.support.soundness import assert_sound


class Rail:
    """A chain that answers as it is told."""

    def __init__(self, *answers: Receipt | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Transfer] = []

    async def transfer(self, transfer: Transfer) -> Receipt:
        self.asked.append(transfer)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def submit(program: Program, lane: int, command: Any, *, owner: UUID = DESK_ID, key: str | None = None) -> Any:
    return await program.desk.engine.submit(lane, command, caller="test", owner_id=owner, request_id="r", key=key)


async def sending(program: Program, lane: int) -> Order:
    """Bring something to where it waits for its chain."""
    payout = (await submit(program, lane, preparing("300.00"), owner=B1)).prepared
    sold = (await submit(program, lane, selling(payout), owner=B1, key=str(uuid4()))).order
    paid = RecordPayout(order_id=sold.id, reference=sold.rail_reference, outcome="done")
    await submit(program, lane, paid)
    buys = ruling(buying_action(), conditions=(Condition(asset="EUR"),), bank=bank(RULE_BANK_NAME))
    rule = (await submit(program, lane, buys, owner=B1, key=str(uuid4()))).rule
    command: RecordDeposit = transferring(destination=RULE_BANK_NAME)
    deposit = (await submit(program, lane, command)).order
    order = await program.desk.order(lane, derived_id(execution_id(rule.id, deposit.id), 10))
    assert order is not None
    assert (order.state, order.waits_for) == ("pending", "chain_payout")
    return order


@pytest.fixture
async def ramp(fresh_dsn: str) -> Lane:
    return await new_ramp_lane(fresh_dsn)


@pytest.mark.parametrize(
    "answers, state",
    [
        ([Receipt(done=True, detail="0xhash")], "settled"),
        ([Receipt(done=False, detail="0xhash")], "failed"),
        ([RailUnavailable("away"), RailUnknown("lost"), Receipt(done=True, detail="0xhash")], "settled"),
    ],
)
async def test_a_rail_is_asked_until_it_has_spoken(
    answers: list[Any], state: str, ramp: Lane, tmp_path: Path, fresh_dsn: str
) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = Rail(*answers)
        program.desk.chain = rail  # type: ignore[assignment]
        order = await sending(program, ramp.number)
        for _ in answers:
            await program.chain_payouts.work_once(ramp.number)
        await program.chain_payouts.work_once(ramp.number)  # nothing is left to ask for
        after = await program.desk.order(ramp.number, order.id)
        assert after is not None
        assert (after.state, after.reason) == (state, "0xhash")
        assert {one.reference for one in rail.asked} == {order.rail_reference}
        assert len(rail.asked) == len(answers)
        (first, *_) = rail.asked
        assert (first.destination.network, first.destination.address) == (NETWORK, SENDER)
        assert (first.amount.units, first.amount.asset.code) == (order.source_units, "USDC")
    await assert_sound(fresh_dsn, ramp.number)

"""What leaves for a chain is asked for under its reference until the rail has spoken, and recorded once."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.record_deposit import RecordDeposit
from otcdesk.actions.record_payout import RecordPayout
from otcdesk.app import Program
from otcdesk.clock import derived_id
from otcdesk.domain.ledger import TREASURY, Account, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.rules import Condition, execution_id
from otcdesk.rails.chains import Chains
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt
from tests.support.deposits import NETWORK, RULE_BANK_NAME, SENDER, bank, buying_action, ruling, transferring
from tests.support.desk import Lane
from tests.support.payout_rails import new_ramp_lane
from tests.support.payouts import B1, RAMP_WORLD, preparing, selling
from tests.support.program import ScriptedRail, opened
from tests.support.soundness import assert_sound

WITH_TREASURY = f'''{RAMP_WORLD}
[[treasury]]
asset = "USDC"
network = "{NETWORK}"
balance = "1000"
'''
IN_VAIN = RailUnavailable("the desk has no key", lasting=True)


class RealRail(ScriptedRail):
    """One that has nothing of its own under way."""

    async def tend(self) -> None:
        pass


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
        rail = program.desk.chain = ScriptedRail(*answers)
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


async def ended(program: Program, lane: int, order: Order) -> tuple[str, str | None, int]:
    """Let the worker ask once; returns the order's state and reason, and what is reserved for it."""
    await program.chain_payouts.work_once(lane)
    after = await program.desk.order(lane, order.id)
    assert after is not None
    source = await program.desk.reads.row("accounts", "account", Account, lane, order.source_account_id)
    assert source is not None
    return after.state, after.reason, source.held


async def test_the_desks_wallet_of_the_network_sends_it(tmp_path: Path, fresh_dsn: str) -> None:
    lane = await new_ramp_lane(fresh_dsn, world=WITH_TREASURY)
    async with opened(lane, tmp_path) as program:
        real = RealRail(Receipt(done=True, detail="0xhash"))
        program.desk.chain = Chains(
            program.desk.chain, {NETWORK: real}, program.desk.reads, shared=frozenset({NETWORK})
        )
        order = await sending(program, lane.number)
        assert await ended(program, lane.number, order) == ("settled", "0xhash", 0)
        (asked,) = real.asked
        assert asked.source.id == desk_account_id(TREASURY, "USDC", NETWORK)
        assert (asked.source.network, asked.destination.network, asked.destination.address) == (
            *(NETWORK, NETWORK),
            SENDER,
        )
    await assert_sound(fresh_dsn, lane.number)


async def test_without_a_wallet_on_a_real_network_nothing_can_be_sent(
    ramp: Lane, tmp_path: Path, fresh_dsn: str
) -> None:
    async with opened(ramp, tmp_path) as program:
        real = RealRail(Receipt(done=True, detail="0xhash"))
        program.desk.chain = Chains(
            program.desk.chain, {NETWORK: real}, program.desk.reads, shared=frozenset({NETWORK})
        )
        order = await sending(program, ramp.number)
        state, reason, held = await ended(program, ramp.number, order)
        assert (state, held, real.asked) == ("failed", 0, [])
        assert (reason or "").startswith(f"nothing moves from '' to '{NETWORK}'")
    await assert_sound(fresh_dsn, ramp.number)


@pytest.mark.parametrize("world", [RAMP_WORLD, WITH_TREASURY])
async def test_a_simulated_network_needs_no_wallet(world: str, tmp_path: Path, fresh_dsn: str) -> None:
    lane = await new_ramp_lane(fresh_dsn, world=world)
    async with opened(lane, tmp_path) as program:
        order = await sending(program, lane.number)
        state, _, held = await ended(program, lane.number, order)
        assert (state, held) == ("settled", 0)
    await assert_sound(fresh_dsn, lane.number)


async def test_what_is_in_vain_is_refused_once_the_rail_says_so(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = program.desk.chain = ScriptedRail(RailUnknown("paused"), RailUnavailable("away"), IN_VAIN)
        rail.cancels = RailPending("0x12")
        order = await sending(program, ramp.number)
        reserved = order.source_units
        for _ in range(3):
            assert await ended(program, ramp.number, order) == ("pending", None, reserved)
        assert len(rail.cancelled) == 1, "not while it may pass"
        rail.cancels = Receipt(done=False, detail="cancelled")
        assert await ended(program, ramp.number, order) == ("failed", "the desk has no key (cancelled)", 0)

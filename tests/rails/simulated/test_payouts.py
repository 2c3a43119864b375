"""The simulated payout provider stays true to its word, whatever has happened since and whoever asks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from otcdesk.actions.steer_sandbox import SetClock, SetFault
from otcdesk.domain.lanes import FaultMode
from otcdesk.domain.payouts import PAYOUT_RAIL
from otcdesk.money import Amount, Asset
from otcdesk.rails.protocols import PayoutInstruction, PayoutWord, RailUnavailable, RailUnknown
from otcdesk.rails.simulated.payouts import CANCELLED, RESERVED, SimulatedPayouts
from otcdesk.storage.database import Reads
from tests.support.clocks import SteeredClock
from tests.support.desk import Lane, make_engine, new_lane, submit

Steer = Callable[..., Awaitable[None]]


@pytest.fixture
async def steer(lane: Lane) -> AsyncIterator[Steer]:
    """Give a way to set the provider's fault."""
    async with make_engine(lane.dsn, clock=lane.clock) as engine:

        async def set_fault(mode: FaultMode, delay_ms: int = 0, **more: Any) -> None:
            await submit(engine, lane.number, SetFault(rail=PAYOUT_RAIL, mode=mode, delay_ms=delay_ms, **more))

        yield set_fault


def instruct(lane: Lane, reference: str | None = None, external_id: str | None = None, units: int = 10_000) -> Any:
    order_id = uuid4()
    return PayoutInstruction(
        lane=lane.number,
        reference=reference or f"{order_id}:payout",
        order_id=order_id,
        channel_type="BankSepa",
        country="DE",
        amount=Amount(units, Asset("EUR", 2)),
        details="{}",
        external_id=external_id,
    )


def clock_of(lane: Lane) -> SteeredClock:
    assert isinstance(lane.clock, SteeredClock)
    return lane.clock


@pytest.fixture
def provider(lane: Lane, reads: Reads) -> SimulatedPayouts:
    """Give the provider."""
    return SimulatedPayouts(reads, lane.clock)


async def remembered(database: asyncpg.Connection, instruction: PayoutInstruction) -> asyncpg.Record | None:
    row: asyncpg.Record | None = await database.fetchrow(
        "select * from simulated_payouts where lane = $1 and reference = $2", instruction.lane, instruction.reference
    )
    return row


async def test_it_pays_at_once(lane: Lane, provider: SimulatedPayouts, database: asyncpg.Connection) -> None:
    instruction = instruct(lane)
    word = await provider.pay(instruction)
    assert word.outcome == "done"
    assert len(word.detail) == 16
    row = await remembered(database, instruction)
    assert row is not None
    assert (row["order_id"], row["channel_type"], row["fiat"], row["units"]) == (
        instruction.order_id,
        "BankSepa",
        "EUR",
        10_000,
    )


@pytest.mark.parametrize("reason", ["account closed", ""])
async def test_it_refuses_for_the_reason_that_it_is_told(
    lane: Lane, provider: SimulatedPayouts, steer: Steer, reason: str
) -> None:
    await steer("refuse", reason=reason)
    word = await provider.pay(instruct(lane))
    assert word == PayoutWord(outcome="refused", detail=reason or "the simulated payout provider refused the payout")


async def test_it_takes_its_time_by_the_lanes_own_clock(
    lane: Lane, provider: SimulatedPayouts, steer: Steer, reads: Reads
) -> None:
    await steer("up", 60_000)
    one, two = instruct(lane), instruct(lane)
    assert (await provider.pay(one)).outcome == "pending"
    clock_of(lane).advance(seconds=59)
    assert (await provider.pay(one)).outcome == "pending"
    assert (await provider.pay(two)).outcome == "pending"
    async with make_engine(lane.dsn, clock=lane.clock) as engine:  # business time goes on, the machine's does not
        await submit(engine, lane.number, SetClock(offset_ms=2_000, frozen_at=None))
    assert (await provider.pay(one)).outcome == "done"
    assert (await SimulatedPayouts(reads, lane.clock).pay(two)).outcome == "pending"


async def test_a_decision_that_was_told_outlives_a_clock_that_goes_back(
    lane: Lane, provider: SimulatedPayouts, steer: Steer
) -> None:
    await steer("up", 60_000)
    instruction = instruct(lane)
    await provider.pay(instruction)
    clock_of(lane).advance(seconds=61)
    word = await provider.pay(instruction)
    async with make_engine(lane.dsn, clock=lane.clock) as engine:
        await submit(engine, lane.number, SetClock(offset_ms=-3_600_000, frozen_at=None))
    assert await provider.pay(instruction) == await provider.cancel(instruction) == word


@pytest.mark.parametrize("first", ["up", "refuse"])
async def test_it_stays_true_to_its_first_word(
    lane: Lane, provider: SimulatedPayouts, reads: Reads, steer: Steer, first: FaultMode
) -> None:
    await steer(first, reason="account closed")
    instruction = instruct(lane)
    said = await provider.pay(instruction)
    await steer("refuse" if first == "up" else "up", reason="something else")
    assert await provider.pay(instruction) == said
    assert await SimulatedPayouts(reads, lane.clock).pay(instruction) == said, "after a restart, or by another process"
    assert await provider.cancel(instruction) == said


async def test_what_is_cancelled_first_is_never_paid(lane: Lane, provider: SimulatedPayouts, steer: Steer) -> None:
    await steer("pending")
    heard, unheard = instruct(lane), instruct(lane)
    assert (await provider.pay(heard)).outcome == "pending"
    refused = PayoutWord(outcome="refused", detail=CANCELLED)
    assert [await provider.cancel(one) for one in (heard, unheard)] == [refused, refused]
    await steer("up")
    assert [await provider.pay(one) for one in (heard, unheard)] == [refused, refused]


async def test_what_is_due_before_it_is_cancelled_was_paid(
    lane: Lane, provider: SimulatedPayouts, steer: Steer
) -> None:
    await steer("up", 1_000)
    instruction = instruct(lane)
    await provider.pay(instruction)
    clock_of(lane).advance(seconds=2)
    assert (await provider.cancel(instruction)).outcome == "done"


async def test_a_payout_and_its_cancellation_at_once_have_one_outcome(lane: Lane, reads: Reads) -> None:
    paying, cancelling = SimulatedPayouts(reads, lane.clock), SimulatedPayouts(reads, lane.clock)
    instructions = [instruct(lane) for _ in range(50)]
    async with asyncio.timeout(20):
        heard = await asyncio.gather(*map(paying.pay, instructions), *map(cancelling.cancel, reversed(instructions)))
    assert list(heard[:50]) == list(reversed(heard[50:]))


async def test_a_lost_answer_was_a_payout_all_the_same(lane: Lane, provider: SimulatedPayouts, steer: Steer) -> None:
    instruction = instruct(lane)
    await steer("unknown")
    with pytest.raises(RailUnknown):
        await provider.pay(instruction)
    await steer("refuse")
    assert (await provider.pay(instruction)).outcome == "done"


async def test_who_cannot_reach_it_has_done_nothing(
    lane: Lane, provider: SimulatedPayouts, steer: Steer, database: asyncpg.Connection
) -> None:
    instruction = instruct(lane)
    await steer("unavailable")
    for ask in (provider.pay, provider.cancel):
        with pytest.raises(RailUnavailable):
            await ask(instruction)
    assert await remembered(database, instruction) is None


async def test_a_part_of_the_payouts_meet_the_fault(lane: Lane, provider: SimulatedPayouts, steer: Steer) -> None:
    await steer("refuse", percent=50)
    words = await asyncio.gather(*[provider.pay(instruct(lane)) for _ in range(60)])
    assert 10 < sum(word.outcome == "done" for word in words) < 50


async def test_a_reserved_reference_says_how_its_payout_ends(
    lane: Lane, provider: SimulatedPayouts, steer: Steer
) -> None:
    """Also where all others wait to be told; a delay counts but for what is refused at once."""
    await steer("pending", 1_000)
    payouts = {prefix: instruct(lane, external_id=f"{prefix}7") for prefix in (*RESERVED, "inv-")}
    first = {prefix: (await provider.pay(one)).outcome for prefix, one in payouts.items()}
    assert first == {**dict.fromkeys(payouts, "pending"), "refuse-": "refused"}
    clock_of(lane).advance(seconds=2)
    then = {prefix: (await provider.pay(one)).outcome for prefix, one in payouts.items()}
    assert then == {
        "refuse-": "refused",
        "fail-": "refused",
        "return-": "done",
        "wait-": "pending",
        "inv-": "pending",
    }
    (back,) = await provider.returns(10, lane.number)
    assert (back.reference, back.amount) == (payouts["return-"].reference, payouts["return-"].amount)
    await provider.acknowledge(back)
    assert await provider.returns(10, lane.number) == []


async def test_a_reserved_reference_means_nothing_where_business_counts(
    lane: Lane, provider: SimulatedPayouts, database: asyncpg.Connection
) -> None:
    live = await new_lane(lane.dsn)
    await database.execute("update lanes set kind = 'live' where lane = $1", live.number)
    for prefix in RESERVED:
        assert (await provider.pay(instruct(live, external_id=f"{prefix}1"))).outcome == "done"
    assert await provider.returns(10, live.number) == []


async def test_it_is_told_how_a_payout_ends_once(lane: Lane, provider: SimulatedPayouts, steer: Steer) -> None:
    await steer("pending")
    instruction = instruct(lane)
    assert await provider.end(instruction, "done", "", also_unheard=False) is None, "it never heard of it"
    await provider.pay(instruction)
    said = await provider.end(instruction, "refused", "no such account", also_unheard=False)
    assert said == PayoutWord(outcome="refused", detail="no such account")
    assert await provider.end(instruction, "done", "", also_unheard=True) == said
    assert await provider.pay(instruction) == await provider.cancel(instruction) == said


async def test_it_may_be_told_before_it_is_asked(lane: Lane, provider: SimulatedPayouts, steer: Steer) -> None:
    await steer("pending")
    instruction = instruct(lane)
    said = await provider.end(instruction, "done", "", also_unheard=True)
    assert said is not None
    assert said.outcome == "done"
    assert await provider.pay(instruction) == said


async def test_only_what_was_paid_comes_back_and_only_once(
    lane: Lane, provider: SimulatedPayouts, steer: Steer
) -> None:
    await steer("pending")
    instruction = instruct(lane)

    async def send_back(units: int) -> bool:
        return await provider.send_back(lane.number, instruction.reference, units, "no such account")

    assert not await send_back(10_000)
    await provider.pay(instruction)
    assert not await send_back(10_000)
    await provider.end(instruction, "done", "", also_unheard=False)
    assert await send_back(4_000)
    assert not await send_back(4_000)
    (back,) = await provider.returns(10, lane.number)
    assert (back.order_id, back.amount.units, back.reason) == (instruction.order_id, 4_000, "no such account")
    await provider.acknowledge(back)
    assert not await send_back(4_000)


async def test_a_return_that_was_meant_to_be_is_forgotten_with_its_payout(
    lane: Lane, provider: SimulatedPayouts, steer: Steer
) -> None:
    await steer("up", 1_000)
    told, cancelled = (instruct(lane, external_id="return-1") for _ in range(2))
    for one in (told, cancelled):
        await provider.pay(one)
    assert (await provider.cancel(cancelled)).outcome == "refused"
    await provider.end(told, "refused", "", also_unheard=False)
    clock_of(lane).advance(seconds=2)
    assert await provider.returns(10, lane.number) == []


async def test_without_its_memory_it_says_that_it_does_not_know(fresh_dsn: str) -> None:
    lane = await new_lane(fresh_dsn)
    reads = await Reads.open(fresh_dsn, connections_max=1, statement_timeout_ms=1_000)
    provider = SimulatedPayouts(reads, lane.clock)
    await reads.pool.execute("alter table simulated_payouts rename to elsewhere")
    with pytest.raises(RailUnknown):
        await provider.pay(instruct(lane))
    await reads.pool.execute("alter table elsewhere rename to simulated_payouts")
    assert (await provider.pay(instruct(lane))).outcome == "done"
    await reads.pool.close()


async def test_two_payouts_of_one_turn_are_two(lane: Lane, provider: SimulatedPayouts) -> None:
    one = instruct(lane)
    twice = msgspec.structs.replace(one)
    words = await asyncio.gather(provider.pay(one), provider.pay(twice), provider.pay(instruct(lane)))
    assert words[0] == words[1] != words[2]

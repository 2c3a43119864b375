"""Rule 7: at most once, under every policy."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from msgspec.structs import replace

from otcdesk.actions.move_value import Adjust, Deposit, Withdraw
from otcdesk.engine.engine import Engine
from otcdesk.engine.idempotency import fingerprint
from otcdesk.errors import Code, Refusal
from tests.support.blocking import blocked, until_taken
from tests.support.clocks import SteeredClock
from tests.support.desk import A, B, Lane, make_engine, submit
from tests.support.soundness import assert_sound
from tests.support.verbs import (
    TEST_CATALOGUE,
    Count,
    CountCompared,
    CountCurrent,
    Counted,
    CountKept,
    CountOnce,
    CountPermitted,
    CountWaiting,
)


@pytest.fixture
async def engine(lane: Lane) -> AsyncIterator[Engine]:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as made:
        yield made


@pytest.fixture
async def other(lane: Lane) -> AsyncIterator[Engine]:
    """Give a second engine, which remembers nothing of what the first did."""
    async with make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="other") as made:
        yield made


async def refused(work: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await work  # type: ignore[misc]
    return caught.value


async def counted(database: asyncpg.Connection, lane: Lane) -> int:
    found: int | None = await database.fetchval("select sum(delay_ms) from faults where lane = $1", lane.number)
    return found or 0


async def test_a_repeated_key_answers_the_stored_reply(engine: Engine, other: Engine, lane: Lane) -> None:
    first = await submit(engine, lane.number, CountOnce(name="one"), key="k")
    await submit(engine, lane.number, Count(name="one"))
    for who in (engine, other, engine):
        assert await submit(who, lane.number, CountOnce(name="one"), key="k") == first == Counted(name="one", total=1)
    assert (await submit(engine, lane.number, Count(name="one"))).total == 3
    await assert_sound(lane.dsn, lane.number)


async def test_a_replay_changes_nothing_and_writes_no_link(
    engine: Engine, lane: Lane, database: asyncpg.Connection
) -> None:
    await submit(engine, lane.number, CountOnce(name="one"), key="k")
    links = "select count(*) from batches where lane = $1"
    before = await database.fetchval(links, lane.number)
    await submit(engine, lane.number, CountOnce(name="one"), key="k")
    assert await database.fetchval(links, lane.number) == before


async def test_a_replay_may_show_the_current_state(engine: Engine, other: Engine, lane: Lane) -> None:
    assert (await submit(engine, lane.number, CountCurrent(name="one"), key="k")).total == 1
    await submit(engine, lane.number, Count(name="one"))
    await submit(other, lane.number, Count(name="one"))
    for who in (engine, other):
        assert (await submit(who, lane.number, CountCurrent(name="one"), key="k")).total == 3


async def test_a_replay_is_of_the_request_that_repeats_and_may_refuse_it(
    engine: Engine, other: Engine, lane: Lane, database: asyncpg.Connection
) -> None:
    """What the repeat says counts, and the moment is its own; a refusal is not kept, and nothing is written."""
    await submit(engine, lane.number, CountCurrent(name="one"), key="k")
    links = "select count(*) from batches where lane = $1"
    before = await database.fetchval(links, lane.number)
    assert isinstance(lane.clock, SteeredClock)
    for who in (engine, other):
        now = lane.clock.advance(seconds=5).isoformat() if who is engine else other.clock.now().isoformat()
        again = CountCurrent(name="another", refuse=Code.INVALID_STATE)
        refusal = await refused(submit(who, lane.number, again, key="k"))
        assert (refusal.code, refusal.facts) == (Code.INVALID_STATE, {"total": 1, "at": now})
        assert (await submit(who, lane.number, CountCurrent(name="another"), key="k")) == Counted(name="one", total=1)
    assert await database.fetchval(links, lane.number) == before


async def test_keys_of_owners_and_of_scopes_do_not_meet(engine: Engine, lane: Lane) -> None:
    for owner_id in (A, B):
        for command in (CountOnce(name="one"), CountKept(name="one"), CountWaiting(name="one")):
            await submit(engine, lane.number, command, owner_id=owner_id, key="k")
    assert (await submit(engine, lane.number, Count(name="one"))).total == 7


async def test_a_command_without_a_scope_takes_no_key(engine: Engine, lane: Lane) -> None:
    assert (await submit(engine, lane.number, Count(name="one"), key="k")).total == 1
    assert (await submit(engine, lane.number, Count(name="one"), key="k")).total == 2


async def test_a_key_may_be_missing(engine: Engine, lane: Lane) -> None:
    assert (await submit(engine, lane.number, CountOnce(name="one"))).total == 1
    assert (await submit(engine, lane.number, CountOnce(name="one"))).total == 2


async def test_kept_refusals_are_replayed_word_by_word(engine: Engine, other: Engine, lane: Lane) -> None:
    refusing = CountKept(name="one", refuse=Code.INVALID_STATE)
    first = await refused(submit(engine, lane.number, refusing, key="k"))
    assert (first.code, first.facts) == (Code.INVALID_STATE, {"total": 1})
    for who in (engine, other):
        again = await refused(submit(who, lane.number, CountKept(name="one"), key="k"))
        assert (again.code, again.detail, again.facts) == (first.code, first.detail, first.facts)
    assert (await submit(engine, lane.number, Count(name="one"))).total == 1
    await assert_sound(lane.dsn, lane.number)


async def test_a_refusal_that_may_pass_by_itself_is_never_kept(engine: Engine, lane: Lane) -> None:
    await refused(submit(engine, lane.number, CountKept(name="one", refuse=Code.TREASURY_INSUFFICIENT), key="k"))
    assert (await submit(engine, lane.number, CountKept(name="one"), key="k")).total == 1


async def test_other_refusals_leave_the_key_unused(engine: Engine, lane: Lane) -> None:
    await refused(submit(engine, lane.number, CountOnce(name="one", refuse=Code.INVALID_STATE), key="k"))
    assert (await submit(engine, lane.number, CountOnce(name="one"), key="k")).total == 1


@pytest.mark.parametrize("who_is_cold", [False, True])
async def test_whoever_may_not_ask_is_told_nothing_of_what_was_answered(
    who_is_cold: bool, engine: Engine, other: Engine, lane: Lane
) -> None:
    """Neither the answer, nor that the key was used; and whoever may has the answer, as before."""
    first = await submit(engine, lane.number, CountPermitted(name="one"), key="k")
    who = other if who_is_cold else engine
    for remark, key in (("", "k"), ("that", "k"), ("", "never used")):
        command = CountPermitted(name="one", remark=remark, may=False)
        refusal = await refused(submit(who, lane.number, command, key=key))
        assert (refusal.code, refusal.facts) == (Code.NOT_PERMITTED, {"total": 1})
    assert await submit(who, lane.number, CountPermitted(name="one"), key="k") == first
    assert (await submit(who, lane.number, Count(name="one"))).total == 2


@pytest.mark.parametrize("may_first", [False, True])
async def test_of_two_with_a_key_at_once_only_who_may_is_answered(may_first: bool, engine: Engine, lane: Lane) -> None:
    commands = [CountPermitted(name="one", may=may) for may in (may_first, not may_first)]
    work = [submit(engine, lane.number, command, key="k") for command in commands]
    answers = await asyncio.gather(*work, return_exceptions=True)
    answered, denied = answers if may_first else reversed(answers)
    assert answered == Counted(name="one", total=1)
    assert isinstance(denied, Refusal)
    assert denied.code is Code.NOT_PERMITTED


@pytest.mark.parametrize("who_is_cold", [False, True])
async def test_a_compared_key_is_good_for_one_body(
    who_is_cold: bool, engine: Engine, other: Engine, lane: Lane
) -> None:
    await submit(engine, lane.number, CountCompared(name="one", remark="this"), key="k")
    who = other if who_is_cold else engine
    answer = await refused(submit(who, lane.number, CountCompared(name="one", remark="that"), key="k"))
    assert answer.code is Code.KEY_REUSED
    assert (await submit(who, lane.number, CountCompared(name="one", remark="this"), key="k")).total == 1
    assert (await submit(who, lane.number, Count(name="one"))).total == 2


async def test_a_refusal_is_not_told_before_its_key_is_known_to_be_unused(
    engine: Engine, other: Engine, lane: Lane
) -> None:
    """A retry whose first answer was lost must hear the success, whatever the command would say by now."""
    await submit(engine, lane.number, CountOnce(name="one"), key="k")
    would_refuse = CountOnce(name="one", refuse=Code.INVALID_STATE)
    assert (await submit(other, lane.number, would_refuse, key="k")).total == 1
    kept = await submit(engine, lane.number, CountKept(name="one"), key="k")
    again = await submit(other, lane.number, CountKept(name="one", refuse=Code.INVALID_STATE), key="k")
    assert again == kept


async def test_a_key_that_another_engine_used_meanwhile_is_met_warm(engine: Engine, other: Engine, lane: Lane) -> None:
    await submit(engine, lane.number, Count(name="one"))
    assert (await submit(other, lane.number, CountOnce(name="one"), key="k")).total == 2
    assert (await submit(engine, lane.number, CountOnce(name="one"), key="k")).total == 2
    assert (await submit(engine, lane.number, Count(name="one"))).total == 3


async def test_a_conflict_of_keys_at_the_save_reads_them_and_decides_again(
    engine: Engine, other: Engine, lane: Lane, database: asyncpg.Connection
) -> None:
    await submit(other, lane.number, CountOnce(name="one"), key="k")
    assert (await submit(engine, lane.number, Count(name="one"))).total == 2  # fresh, but without the key
    work = [submit(engine, lane.number, Count(name="one")) for _ in range(20)]
    work.insert(9, submit(engine, lane.number, CountOnce(name="one"), key="k"))
    answers = await asyncio.gather(*work)
    assert [answer.total for answer in answers] == [*range(3, 12), 1, *range(12, 23)]
    assert await counted(database, lane) == 22
    await assert_sound(lane.dsn, lane.number)


async def test_a_key_in_flight_is_refused_at_once_and_is_free_afterwards(engine: Engine, lane: Lane) -> None:
    async with blocked(lane):
        first = asyncio.create_task(submit(engine, lane.number, CountOnce(name="one"), key="k"))
        await asyncio.sleep(0)
        second = await refused(submit(engine, lane.number, CountOnce(name="one"), key="k"))
        assert (second.code, second.facts) == (Code.KEY_IN_FLIGHT, {"retry_after_seconds": 1})
        third = asyncio.create_task(submit(engine, lane.number, CountOnce(name="one"), owner_id=A, key="k"))
        await asyncio.sleep(0)
        assert not first.done()
    assert sorted([(await first).total, (await third).total]) == [1, 2]
    assert await submit(engine, lane.number, CountOnce(name="one"), key="k") == await first


async def test_a_key_in_flight_may_wait_for_its_turn(engine: Engine, lane: Lane) -> None:
    answers = await asyncio.gather(*[submit(engine, lane.number, CountWaiting(name="one"), key="k") for _ in range(30)])
    assert [answer.total for answer in answers] == [1] * 30


async def test_a_waiting_key_whose_first_request_is_refused_is_decided_on_its_own(engine: Engine, lane: Lane) -> None:
    commands = (CountWaiting(name="one", refuse=Code.INVALID_STATE), CountWaiting(name="one"))
    work = [submit(engine, lane.number, command, key="k") for command in commands]
    one, two = await asyncio.gather(*work, return_exceptions=True)
    assert isinstance(one, Refusal)
    assert two == Counted(name="one", total=1)


async def test_a_key_is_free_again_when_its_caller_hangs_up_in_the_queue(engine: Engine, lane: Lane) -> None:
    async with blocked(lane):
        first = asyncio.create_task(submit(engine, lane.number, Count(name="one")))
        await asyncio.sleep(0)
        await until_taken(engine, lane)
        gone = asyncio.create_task(submit(engine, lane.number, CountOnce(name="one"), key="k"))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        again = asyncio.create_task(submit(engine, lane.number, CountOnce(name="one"), key="k"))
        await asyncio.sleep(0)
        assert not again.done()
    assert (await first).total == 1
    assert (await again).total == 2


async def test_a_caller_that_hung_up_after_its_batch_was_taken_finds_its_answer_under_the_key(
    engine: Engine, lane: Lane
) -> None:
    async with blocked(lane):
        gone = asyncio.create_task(submit(engine, lane.number, CountOnce(name="one"), key="k"))
        await asyncio.sleep(0)
        await until_taken(engine, lane)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert (await submit(engine, lane.number, CountOnce(name="one"), key="k")).total == 1
    assert (await submit(engine, lane.number, Count(name="one"))).total == 2


@pytest.mark.parametrize("key", ["before\x00after", "\ud800"])
async def test_a_key_that_is_no_text_fails_alone(key: str, engine: Engine, lane: Lane) -> None:
    work = [submit(engine, lane.number, Count(name="one")) for _ in range(8)]
    bad = submit(engine, lane.number, CountOnce(name="one"), key=key)
    *answers, failed = await asyncio.gather(*work, bad, return_exceptions=True)
    assert [answer.total for answer in answers if isinstance(answer, Counted)] == list(range(1, 9))
    assert isinstance(failed, Refusal)
    assert failed.code is Code.CRASHED


def test_commands_of_another_kind_have_another_fingerprint() -> None:
    """A deposit's key given to a withdrawal of the same content must not be answered with the deposit."""
    kinds = (Deposit, Withdraw, Adjust)
    alike = [kind(account_id=A, units=100, reason="bank", reference="R1") for kind in kinds]
    assert len({fingerprint(command) for command in alike}) == 3


class _Agreed(Count, frozen=True, kw_only=True):
    fee_bps: int = 0

    @property
    def compared(self) -> "_Agreed":
        return replace(self, fee_bps=0)


def test_what_the_desk_adds_to_a_command_is_not_compared() -> None:
    prints = {fingerprint(_Agreed(name=name, fee_bps=fee_bps)) for name in ("one", "two") for fee_bps in (0, 7)}
    assert len(prints) == 2
    assert fingerprint(Count(name="one")) not in prints

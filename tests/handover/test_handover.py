"""Two desks in one process that share a database, one of which leads: every way in which a command can go."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.quote_conversion import OrderReply, QuoteBuy
from otcdesk.domain.commands import Catalogue
from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from otcdesk.handover import wire
from otcdesk.handover.forwarding import ANSWERED, LOST, NOT_TAKEN, Link
from otcdesk.handover.member import Handover
from otcdesk.handover.places import listening_socket, socket_folder, socket_path
from otcdesk.storage.leadership import Leadership
from otcdesk.storage.statements import TURN_CLASS
from tests.support.brokerage import P, U, V, accepting, quoting
from tests.support.clocks import SteeredClock
from tests.support.desk import FA1, WA1, A, Lane, make_engine, new_lane
from tests.support.executions import fetch, new_offers_lane
from tests.support.soundness import assert_sound
from tests.support.waiting import until

ASK = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100)


class Member:
    """One desk: its engine, its part in the hand-over, and what it told of hand-overs."""

    def __init__(self, engine: Engine, handover: Handover, home: Path) -> None:
        self.engine = engine
        self.handover = handover
        self.home = home
        self.ended: Counter[str] = Counter()
        self.nudged = 0

    def watch(self, outcomes: Mapping[str, int], nanoseconds: int) -> None:
        assert nanoseconds >= 0
        self.ended.update({outcome: number for outcome, number in outcomes.items() if number})

    def nudge(self) -> None:
        self.nudged += 1

    async def submit(self, lane: int, command: Any, **how: Any) -> Any:
        how = {"caller": "api_key:test", "owner_id": A, "request_id": "request-1", **how}
        return await self.handover.submit(lane, command, **how)

    async def quote(self, lane: int) -> Any:
        reply = await self.submit(lane, ASK)
        assert isinstance(reply, OrderReply)
        return reply.order.id

    @property
    def wrote(self) -> int:
        """Return how many batches this desk's own engine saved."""
        return sum(writer.batches for writer in self.engine.lanes.values())


class Desks:
    """Desks of one host on a lane's database."""

    def __init__(self, lane: Lane, home: Path, stack: AsyncExitStack) -> None:
        self.lane = lane
        self.home = home
        self._stack = stack

    async def open(
        self,
        name: str,
        *,
        home: Path | None = None,
        timeout_ms: int = 5_000,
        pending_max: int = 100,
        catalogue: Catalogue = CATALOGUE,
        may_lead: bool = True,
        clock: SteeredClock | None = None,
    ) -> Member:
        home = home or self.home
        own_clock = clock or self.lane.clock
        engine = await self._stack.enter_async_context(
            make_engine(self.lane.dsn, clock=own_clock, catalogue=catalogue, writer=name)
        )
        handover = Handover(
            engine=engine,
            leadership=Leadership(self.lane.dsn, timeout_ms=5_000),
            catalogue=catalogue,
            clock=own_clock,
            timeout_ms=timeout_ms,
            pending_max=pending_max,
        )
        member = Member(engine, handover, home)
        handover.watch = member.watch
        handover.join(member.nudge, may_lead=may_lead)
        await handover.listen(home)
        self._stack.push_async_callback(handover.close, 5)
        await handover.follow()
        return member


@pytest.fixture
async def desks(fresh_dsn: str, tmp_path: Path) -> AsyncIterator[Desks]:
    async with AsyncExitStack() as stack:
        yield Desks(await new_lane(fresh_dsn), tmp_path, stack)


async def linked(member: Member) -> None:
    async def holds() -> bool:
        await member.handover.follow()
        return member.handover.hands_over

    await until(holds, "the desk hands over")


async def pair(desks: Desks, **how: Any) -> tuple[Member, Member]:
    """Return who leads and who hands over to it."""
    leader, other = await desks.open("leader"), await desks.open("other", **how)
    await linked(other)
    assert leader.handover.leadership.leads
    return leader, other


@asynccontextmanager
async def held(desks: Desks) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Hold the lane as another writer would; gives a way to wait until a batch stands at the door."""
    connection = await asyncpg.connect(desks.lane.dsn)
    number = desks.lane.number

    async def stands() -> bool:
        return bool(
            await connection.fetchval(
                "select count(*) from pg_locks where locktype = 'advisory' and not granted and classid = $1"
                " and objid = $2",
                TURN_CLASS,
                number,
            )
        )

    try:
        await connection.fetchval("select pg_advisory_lock($1, $2)", TURN_CLASS, number)
        yield lambda: until(stands, "a batch stands at the door")
    finally:
        await connection.close()


async def test_commands_are_decided_where_it_is_led_and_answered_where_they_came(desks: Desks) -> None:
    leader, other = await pair(desks)
    lane = desks.lane.number
    quotes = await asyncio.gather(*[other.quote(lane) for _ in range(20)])
    assert len(set(quotes)) == 20
    with pytest.raises(Refusal) as refused:
        await other.submit(lane, ConfirmConversion(order_id=quotes[0], side="sell"), key="key")
    assert refused.value.code is Code.SIDE_MISMATCH
    assert refused.value.detail == Code.SIDE_MISMATCH.sentence
    assert (leader.wrote > 0, other.wrote) == (True, 0)
    assert other.ended == {ANSWERED: 21}
    await assert_sound(desks.lane.dsn, lane)


async def test_the_first_arrival_judges_a_deadline(desks: Desks) -> None:
    clock = desks.lane.clock
    assert isinstance(clock, SteeredClock)
    late = SteeredClock(clock.now())
    leader, other = await desks.open("leader", clock=late), await desks.open("other")
    await linked(other)
    quote = await other.quote(desks.lane.number)
    late.advance(seconds=3_600)  # it waited so long on its way
    confirmed = await other.submit(desks.lane.number, ConfirmConversion(order_id=quote, side="buy"), key="key")
    assert confirmed.order_id == quote
    assert other.wrote == 0
    assert leader.handover.leadership.leads


async def test_a_key_in_flight_is_one_key_for_all(desks: Desks) -> None:
    leader, other = await pair(desks)
    lane = desks.lane.number
    quote = await leader.quote(lane)
    confirm = ConfirmConversion(order_id=quote, side="buy")
    async with held(desks) as stands:
        first = asyncio.create_task(leader.submit(lane, confirm, key="key"))
        await stands()
        with pytest.raises(Refusal) as refused:
            await other.submit(lane, confirm, key="key")
        assert (refused.value.code, refused.value.facts) == (Code.KEY_IN_FLIGHT, {"retry_after_seconds": 1})
    assert (await first).order_id == quote
    assert (await other.submit(lane, confirm, key="key")).order_id == quote


async def test_a_caller_that_hangs_up_does_not_undo_what_was_handed_over(desks: Desks) -> None:
    leader, other = await pair(desks)
    lane = desks.lane.number
    async with held(desks) as stands:
        call = asyncio.create_task(other.quote(lane))
        await stands()
        call.cancel()
        await asyncio.wait({call})
    await until(lambda: leader.wrote == 1, "the quote is made")
    await other.quote(lane)  # and the connection is as good as before
    assert other.ended == {ANSWERED: 2}


async def test_a_lost_leader_leaves_keys_to_be_repeated_and_the_rest_unknown(desks: Desks) -> None:
    leader, other = await pair(desks)
    lane = desks.lane.number
    quote = await other.quote(lane)
    confirm = ConfirmConversion(order_id=quote, side="buy")
    nudged = other.nudged
    async with held(desks) as stands:
        keyed = asyncio.create_task(other.submit(lane, confirm, key="key"))
        keyless = [
            asyncio.create_task(other.quote(lane)),
            asyncio.create_task(other.submit(lane, ASK, key="a key that this command does not take")),
        ]
        await stands()
        for conversation in leader.handover._listener.conversations:
            conversation.transport.abort()
        for call in keyless:
            with pytest.raises(Refusal) as refused:
                await call
            assert (refused.value.code, refused.value.facts) == (Code.UNAVAILABLE, {}), "nobody is told to repeat it"
        assert not keyed.done()
    assert (await keyed).order_id == quote
    assert other.nudged > nudged, "somebody looks at once who leads now"
    assert not other.handover.hands_over
    assert other.ended == {ANSWERED: 1, LOST: 3}
    await until(
        lambda: not leader.engine.waiting() and all(w.task is None for w in leader.engine.lanes.values()), "idle"
    )
    await assert_sound(desks.lane.dsn, lane)
    assert await other.quote(lane)


async def test_an_acceptance_that_may_not_repeat_is_left_unknown_with_a_lost_leader(desks: Desks) -> None:
    """Sent again, it would be told that the quote was accepted before, and not by whom: by itself."""
    desks.lane = await new_offers_lane(desks.lane.dsn, desks.lane.clock)
    leader, other = await pair(desks)
    lane = desks.lane.number
    first, second = [(await other.submit(lane, quoting(party_id=party), owner_id=P)).order for party in (U, V)]
    async with held(desks) as stands:
        repeats, once = [
            asyncio.create_task(other.submit(lane, command, owner_id=P, key=command.external_id))
            for command in (
                accepting(first, "ext-1", party_id=U),
                accepting(second, "ext-2", party_id=V, repeats=False),
            )
        ]
        await stands()
        for conversation in leader.handover._listener.conversations:
            conversation.transport.abort()
        await until(once.done, "it is not carried out here, where it would stand at the door")
        assert not repeats.done()
    with pytest.raises(Refusal) as refused:
        await once
    assert (refused.value.code, refused.value.facts) == (Code.UNAVAILABLE, {}), "nobody is told to repeat it"
    assert (await repeats).order_id == first.id
    assert other.ended == {ANSWERED: 2, LOST: 2}
    await until(
        lambda: not leader.engine.waiting() and all(w.task is None for w in leader.engine.lanes.values()), "idle"
    )
    orders = await fetch(desks.lane.dsn, "select state from orders where lane = $1", lane)
    assert [order["state"] for order in orders] == ["in_progress"] * 2, "the leader had taken both"
    await assert_sound(desks.lane.dsn, lane)


async def test_a_leader_that_is_too_slow_is_given_up_and_what_it_was_given_is_done_once(desks: Desks) -> None:
    leader, other = await pair(desks, timeout_ms=100)
    lane = desks.lane.number
    quote = await leader.quote(lane)
    async with held(desks):
        keyed = asyncio.create_task(other.submit(lane, ConfirmConversion(order_id=quote, side="buy"), key="key"))
        with pytest.raises(Refusal) as refused:
            await other.quote(lane)
        assert refused.value.code is Code.UNAVAILABLE
        assert other.ended == {LOST: 2}
        assert not other.handover.hands_over
    assert (await keyed).order_id == quote
    await linked(other)
    await assert_sound(desks.lane.dsn, lane)


async def test_what_comes_late_is_not_taken(desks: Desks) -> None:
    leader, _ = await pair(desks)
    codec = wire.Codec(CATALOGUE)
    reader, writer = await _greeted(leader, codec)
    handed = wire.Handed(
        1,
        "quote_buy",
        desks.lane.number,
        codec.command_bytes(ASK),
        "api_key:test",
        A,
        "request-1",
        None,
        desks.lane.clock.now(),
        time.monotonic_ns() - 1,
    )
    unknown = msgspec.structs.replace(handed, number=2, verb="no_such_verb", until_ns=2**62)
    damaged = msgspec.structs.replace(handed, number=3, command=b"{}", until_ns=2**62)
    writer.write(b"".join(wire.frames_of_commands([wire.encoded(one) for one in (handed, unknown, damaged)])))
    (answers,) = await _said(reader)
    assert isinstance(answers, wire.Answers)
    assert [(one.number, one.outcome) for one in answers.answered] == [
        (number, wire.Outcome.NOT_TAKEN) for number in (1, 2, 3)
    ]
    assert leader.wrote == 0
    await _hang_up(writer)


async def _greeted(leader: Member, codec: wire.Codec) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    path = socket_path(socket_folder(leader.home), leader.handover.leadership.number)
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(wire.frame(wire.Hello(codec.build)))
    assert await _said(reader) == [wire.Hello(codec.build)]
    return reader, writer


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _said(reader: asyncio.StreamReader) -> list[wire.Message]:
    frames = wire.Frames()
    said: list[wire.Message] = []
    while not said:
        data = await reader.read(65_536)
        assert data, "hung up"
        said += frames.take(data)
    return said


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 9,
        bytes(range(255, 0, -1)),
        wire.frame(wire.Answers([])),
        wire.frame(wire.Farewell()),
    ],
)
@pytest.mark.parametrize("after_greeting", [False, True])
async def test_who_says_what_nobody_says_is_cut_off_and_nobody_else_notices(
    desks: Desks, bytes_sent: bytes, after_greeting: bool
) -> None:
    leader, other = await pair(desks)
    if after_greeting:
        reader, writer = await _greeted(leader, wire.Codec(CATALOGUE))
    else:
        path = socket_path(socket_folder(leader.home), leader.handover.leadership.number)
        reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(bytes_sent)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    await _hang_up(writer)
    assert await other.quote(desks.lane.number)
    assert other.wrote == 0


async def test_a_leader_that_resigns_answers_what_it_took_and_the_next_one_leads(desks: Desks) -> None:
    leader, other = await pair(desks)
    third = await desks.open("third", may_lead=False)
    await linked(third)
    lane = desks.lane.number
    async with held(desks) as stands:
        calls = [asyncio.create_task(member.quote(lane)) for member in (other, third, other)]
        await stands()
        leaving = asyncio.create_task(leader.handover.close(10))
        await until(lambda: not other.handover.hands_over and not third.handover.hands_over, "the farewell is heard")
        await other.handover.follow()
        assert other.handover.leadership.leads
        assert not leaving.done()
        assert not any(call.done() for call in calls)
    assert len(set(await asyncio.gather(*calls))) == 3
    await leaving
    await linked(third)
    written = leader.wrote
    await third.quote(lane)
    assert (leader.wrote, third.wrote) == (written, 0)
    assert not socket_path(socket_folder(leader.home), leader.handover.leadership.number).exists()
    await assert_sound(desks.lane.dsn, lane)


async def test_a_leader_that_lost_its_lock_lets_the_others_go(desks: Desks) -> None:
    leader, other = await pair(desks)
    connection = await asyncpg.connect(desks.lane.dsn)
    await connection.execute(
        "select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory' and granted"
        " and classid = 20262 and database = (select oid from pg_database where datname = current_database())"
    )
    await connection.close()
    await other.handover.follow()
    assert other.handover.leadership.leads
    await leader.handover.follow()
    assert not leader.handover.leadership.leads
    await linked(leader)
    await leader.quote(desks.lane.number)
    assert (leader.wrote, other.wrote) == (0, 1)


async def test_a_desk_that_only_watches_never_leads(desks: Desks) -> None:
    watching = await desks.open("watching", may_lead=False)
    assert not watching.handover.leadership.leads
    await watching.quote(desks.lane.number)
    leader = await desks.open("leader")
    await linked(watching)
    await watching.quote(desks.lane.number)
    assert (watching.wrote, leader.wrote) == (1, 1)


async def test_another_home_is_another_host(desks: Desks, tmp_path: Path) -> None:
    leader = await desks.open("leader")
    elsewhere = await desks.open("elsewhere", home=tmp_path / "elsewhere")
    await elsewhere.handover.follow()
    assert elsewhere.handover.leadership.leader == leader.handover.leadership.number
    await elsewhere.quote(desks.lane.number)
    assert (elsewhere.wrote, leader.wrote) == (1, 0)
    with pytest.raises(Refusal) as refused:
        await elsewhere.submit(desks.lane.number, ASK, stands_by=True)
    assert (refused.value.code, refused.value.facts) == (Code.UNAVAILABLE, {"retry_after_seconds": 1})


async def test_who_stands_by_hands_over_on_its_own_host(desks: Desks) -> None:
    leader, other = await pair(desks)
    assert (await other.submit(desks.lane.number, ASK, stands_by=True)).order.source_units == 100
    assert (await leader.submit(desks.lane.number, ASK, stands_by=True)).order.source_units == 100
    assert other.wrote == 0


async def test_another_version_of_the_program_is_not_spoken_to(desks: Desks) -> None:
    leader = await desks.open("leader")
    newer = await desks.open("newer", catalogue=dict(list(CATALOGUE.items())[:-1]))
    assert newer.handover._seeking is not None
    await newer.handover._seeking
    assert not newer.handover.hands_over
    await newer.quote(desks.lane.number)
    assert (newer.wrote, leader.wrote) == (1, 0)


async def test_what_cannot_be_said_is_carried_out_here(desks: Desks) -> None:
    _, other = await pair(desks)
    with pytest.raises(Refusal) as refused:
        await other.submit(desks.lane.number, ConfirmConversion(order_id=A, side="\ud800"), key="key")
    assert refused.value.code in {Code.ORDER_NOT_FOUND, Code.CRASHED}
    assert other.ended == {}
    assert other.handover.hands_over


async def test_too_many_without_an_answer_are_told(desks: Desks) -> None:
    _, other = await pair(desks, pending_max=3)
    lane = desks.lane.number
    async with held(desks) as stands:
        calls = [asyncio.create_task(other.quote(lane)) for _ in range(3)]
        await stands()
        with pytest.raises(Refusal) as refused:
            await other.quote(lane)
        assert (refused.value.code, refused.value.facts) == (Code.OVERLOADED, {"retry_after_seconds": 1})
    assert len(await asyncio.gather(*calls)) == 3


async def test_what_was_never_sent_is_not_taken_rather_than_lost(desks: Desks) -> None:
    _, other = await pair(desks)
    link = other.handover.link
    assert link is not None
    call = asyncio.create_task(other.quote(desks.lane.number))
    await asyncio.sleep(0)  # the call waits for the turn's end
    link.transport.abort()
    assert await call
    assert other.wrote == 1
    assert other.ended == {NOT_TAKEN: 1}


async def test_a_leader_that_does_not_greet_is_not_waited_for(tmp_path: Path) -> None:
    folder = socket_folder(tmp_path)
    silent = listening_socket(folder, 1)
    ended: list[bool] = []
    found = await Link.connected(
        socket_path(folder, 1),
        wire.Codec(CATALOGUE),
        leader=1,
        timeout_ms=50,
        pending_max=1,
        on_end=lambda: ended.append(True),
    )
    assert found is None
    await until(lambda: ended == [True], "the connection has ended")
    silent.close()


async def test_a_forwarder_that_is_silent_does_not_hold_up_a_leader_that_leaves(desks: Desks) -> None:
    leader = await desks.open("leader")
    _, writer = await _greeted(leader, wire.Codec(CATALOGUE))
    await asyncio.wait_for(leader.handover.close(0), 5)
    await _hang_up(writer)

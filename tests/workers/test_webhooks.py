"""The webhook worker: who waits for whom, how much is in flight, a stop in the middle, recordings that fail."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.domain.parties import DESK_ID
from otcdesk.webhooks.subscriptions import Subscription
from otcdesk.workers.webhooks import WebhookWorker
from tests.support.conversions import buying
from tests.support.desk import A, new_lane, submit
from tests.support.hooked import OF_ORDERS, Hooked, hooked
from tests.support.receiver import NEVER, Answer, Held, Received, Receiver
from tests.support.waiting import until

URL = "http://127.0.0.1:9/hook"
CANCELLED = ["conversion.cancelled"]


@pytest.fixture
async def desk(fresh_dsn: str, tmp_path: Path) -> AsyncIterator[Hooked]:
    async with hooked(fresh_dsn, tmp_path) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


class Loops:
    """The worker's two loops as a test drives them: each nudge is noted, and answered when the test says so."""

    def __init__(self, worker: WebhookWorker) -> None:
        self.worker = worker
        self.room = asyncio.Event()
        self.nudges = 0
        worker.on_room = self._on_room
        self._task = asyncio.create_task(self._run())

    def _on_room(self) -> None:
        self.nudges += 1
        self.room.set()

    async def _run(self) -> None:
        while True:
            await self.room.wait()
            self.room.clear()
            await self.worker.send_due()

    async def end(self) -> None:
        self.worker.on_room = lambda: None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def loops(desk: Hooked) -> AsyncIterator[Loops]:
    made = Loops(desk.worker)
    yield made
    await made.end()


def of(receiver: Receiver, path: str) -> list[Received]:
    return [request for request in receiver.requests if request.path == path]


def in_flight(worker: WebhookWorker) -> int:
    return len(worker._tasks)


async def cancelled(desk: Hooked, number: int) -> None:
    """Let something happen, so many times, and be told."""
    for _ in range(number):
        await desk.cancelled()
    await desk.told()


# -- who waits for whom ----------------------------------------------------------------------------------------------


async def test_who_never_answers_and_who_is_slow_hold_nobody_up(desk: Hooked, receiver: Receiver, loops: Loops) -> None:
    """All of the third's messages arrive while the others' first ones are still held."""
    receiver.answer = lambda request: 200 if request.path == "/quick" else Held()
    for path in ("/dead", "/slow", "/quick"):
        await desk.subscribed(receiver.url(path), event_types=CANCELLED)
    await cancelled(desk, 50)
    await until(lambda: len(of(receiver, "/quick")) == 50, "everything has arrived where it is taken")
    for path in ("/dead", "/slow"):
        assert len(of(receiver, path)) <= 32
    assert not receiver.hung_up
    receiver.answer = 200
    receiver.release()
    await until(lambda: len(receiver.requests) == 150, "the others get the rest")
    await until(lambda: in_flight(desk.worker) == 0, "everything is recorded")


@asynccontextmanager
async def crowd(dsn: str, home: Path, receiver: Receiver, number: int, **settings: Any) -> AsyncIterator[Hooked]:
    """Open a desk with so many subscriptions to the same, half of them the operator's."""
    async with hooked(dsn, home, **settings) as desk:
        for path in range(number):
            owner_id = DESK_ID if path % 2 else A
            await desk.subscribed(receiver.url(f"/{path}"), event_types=CANCELLED, owner_id=owner_id)
        yield desk
        receiver.answer = 200
        receiver.release()
        await until(lambda: in_flight(desk.worker) == 0, "all are recorded")


async def test_those_who_fail_get_one_at_a_time_in_half_of_the_room(
    fresh_dsn: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answer = NEVER
    async with crowd(fresh_dsn, tmp_path, receiver, 10, webhooks_in_flight_max=12) as desk:
        await desk.connection.execute("update subscriptions set consecutive_failures = 1")
        await desk.subscribed(receiver.url("/works"), event_types=CANCELLED)
        await cancelled(desk, 3)
        for _ in range(2):
            await desk.worker.send_due()
        await receiver.arrived(9)
        assert in_flight(desk.worker) == 9, "the other half stays free of those who fail"
        paths = Counter(request.path for request in receiver.requests)
        assert sorted(paths.values()) == [1, 1, 1, 1, 1, 1, 3]
        assert paths["/works"] == 3


async def test_who_fails_takes_its_place_also_with_nothing_more_due(
    fresh_dsn: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answer = NEVER
    async with crowd(fresh_dsn, tmp_path, receiver, 10, webhooks_in_flight_max=8) as desk:
        await desk.connection.execute("update subscriptions set consecutive_failures = 1")
        await cancelled(desk, 1)
        for _ in range(3):
            await desk.worker.send_due()
        assert in_flight(desk.worker) == 4


async def test_no_more_is_in_flight_than_may_be(fresh_dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    """Six have one message each in the air and nothing more due, when five come for a seventh; two places are kept."""
    most = 0
    receiver.answer = NEVER
    async with crowd(fresh_dsn, tmp_path, receiver, 6, webhooks_in_flight_max=11) as desk:
        await cancelled(desk, 1)
        await desk.worker.send_due()
        assert in_flight(desk.worker) == 6
        await desk.subscribed(receiver.url("/late"), event_types=["conversion.confirmed"])
        for _ in range(5):
            await desk.confirmed()
        await desk.told()
        await asyncio.gather(*(desk.worker.send_due() for _ in range(3)))
        assert in_flight(desk.worker) == 9

        def answer(_: Received) -> Answer:
            nonlocal most
            most = max(most, in_flight(desk.worker))
            return 200

        receiver.answer = answer
        loops = Loops(desk.worker)
        await cancelled(desk, 5)
        receiver.release()
        await until(lambda: len(receiver.requests) == 6 * 6 + 5, "everything has arrived")
        await until(lambda: in_flight(desk.worker) == 0, "all are recorded")
        await loops.end()
    assert 2 < most <= 11


async def test_one_endpoint_gets_no_more_than_one_may_have(fresh_dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = NEVER
    async with crowd(fresh_dsn, tmp_path, receiver, 1, webhooks_in_flight_per_endpoint_max=3) as desk:
        await cancelled(desk, 5)
        await asyncio.gather(*(desk.worker.send_due() for _ in range(3)))
        assert in_flight(desk.worker) == 3


async def test_who_waits_is_served_whoever_else_has_much(fresh_dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    """With room for one at a time everybody comes to its turn."""
    async with crowd(fresh_dsn, tmp_path, receiver, 4, webhooks_in_flight_max=2) as desk:
        await desk.subscribed(receiver.url("/dead"), event_types=CANCELLED)
        receiver.answer = lambda request: NEVER if request.path == "/dead" else 200
        await cancelled(desk, 40)
        loops = Loops(desk.worker)
        loops.room.set()
        await until(
            lambda: {f"/{path}" for path in range(4)} <= {one.path for one in receiver.requests}, "all are told"
        )
        await loops.end()
        counts = Counter(request.path for request in receiver.requests)
        assert max(counts.values()) < 40, "one was told everything before another was told anything"


# -- receivers that keep failing -------------------------------------------------------------------------------------


@asynccontextmanager
async def resting(
    dsn: str, home: Path, receiver: Receiver, **settings: Any
) -> AsyncIterator[tuple[Hooked, Subscription]]:
    """Open a desk where 30 messages wait for who is down, which rests already for a second."""
    receiver.answer = lambda request: 500 if request.path == "/down" else 200
    wanted = {"standard_retry_seconds": "600,600", "webhooks_in_flight_per_endpoint_max": 1, **settings}
    async with hooked(dsn, home, **wanted) as desk:
        down = await desk.subscribed(receiver.url("/down"), event_types=CANCELLED)
        await cancelled(desk, 30)
        await desk.worker.work_once()
        assert len(of(receiver, "/down")) == 5
        yield desk, down


async def seconds_of_attempts(desk: Hooked, receiver: Receiver, seconds: int) -> list[int]:
    """Let seconds pass one by one; returns in which of them something came to who is down."""
    told = []
    for second in range(1, seconds + 1):
        before = len(of(receiver, "/down"))
        desk.clock.advance(seconds=1)
        await desk.worker.work_once()
        told += [second] * (len(of(receiver, "/down")) - before)
    return told


async def test_who_keeps_failing_rests_whatever_waits_for_it(
    fresh_dsn: str, tmp_path: Path, receiver: Receiver
) -> None:
    async with resting(fresh_dsn, tmp_path, receiver) as (desk, _):
        assert await seconds_of_attempts(desk, receiver, 130) == [1, 3, 7, 15, 31, 61, 91, 121]


async def test_a_rest_is_bounded_by_the_schedule(fresh_dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    """With the contract's pauses of the offers dialect, the shortest of which is a second."""
    async with resting(fresh_dsn, tmp_path, receiver, standard_retry_seconds="1,2,4,8") as (desk, _):
        assert await seconds_of_attempts(desk, receiver, 20) == [*range(1, 21)]


async def test_who_rests_is_not_looked_after_and_holds_nobody_up(
    fresh_dsn: str, tmp_path: Path, receiver: Receiver
) -> None:
    async with resting(fresh_dsn, tmp_path, receiver) as (desk, _):
        assert await desk.webhooks.deliveries.ready() == []
        await desk.subscribed(receiver.url("/works"), event_types=CANCELLED)
        await cancelled(desk, 10)
        await desk.worker.work_once()
        assert len(of(receiver, "/works")) == 10
        assert len(of(receiver, "/down")) == 5


async def test_a_success_ends_a_rest_also_one_by_hand(fresh_dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    async with resting(fresh_dsn, tmp_path, receiver) as (desk, down):
        assert await seconds_of_attempts(desk, receiver, 20) == [1, 3, 7, 15]
        some = (await desk.deliveries(down))[-1]
        sent = await desk.webhooks.deliveries.send_now(await desk.now(down), some.id)
        assert not sent.success, "whoever asks for it need not wait"
        receiver.answer = 200
        assert (await desk.webhooks.deliveries.send_now(await desk.now(down), some.id)).success
        await desk.worker.work_once()
        states = Counter((row.state, row.attempts) for row in await desk.deliveries(down))
        assert states == {("succeeded", 1): 20, ("pending", 1): 9, ("succeeded", 2): 1}, (
            "what failed keeps its schedule"
        )
        desk.clock.advance(seconds=600)
        await desk.worker.work_once()
        assert {row.state for row in await desk.deliveries(down)} == {"succeeded"}


# -- stopping, and recordings that fail ------------------------------------------------------------------------------


async def test_a_stop_waits_for_what_is_in_the_air_and_records_it(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = Held(answer=503)
    subscription = await desk.subscribed(receiver.url(), event_types=CANCELLED)
    await cancelled(desk, 3)
    await desk.worker.send_due()
    await receiver.arrived(3)
    stopping = asyncio.create_task(desk.worker.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    receiver.release()
    await stopping
    assert {(row.attempts, row.response_status) for row in await desk.deliveries(subscription)} == {(1, 503)}
    assert (await desk.now(subscription)).consecutive_failures >= 1
    assert in_flight(desk.worker) == 0
    await desk.worker.stop()


async def test_what_a_stop_cuts_off_is_nobodys_failure(fresh_dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    """Its receiver might still have answered; the claim runs out, and it is sent again."""
    receiver.answer = NEVER
    async with hooked(fresh_dsn, tmp_path, stop_seconds_max=1) as desk:
        subscription = await desk.subscribed(receiver.url(), event_types=CANCELLED)
        await cancelled(desk, 1)
        await desk.worker.send_due()
        await receiver.arrived(1)
    connection = await asyncpg.connect(fresh_dsn)
    try:
        (row,) = await connection.fetch("select state, attempts, sending_until is not null from deliveries")
        failures = await connection.fetchval(
            "select consecutive_failures from subscriptions where id = $1", subscription.id
        )
    finally:
        await connection.close()
    assert (tuple(row), failures) == (("pending", 0, True), 0)


async def test_what_cannot_be_recorded_is_sent_again(desk: Hooked, receiver: Receiver) -> None:
    watched: list[tuple[UUID, bool]] = []
    desk.worker._watch = lambda *seen: watched.append(seen)
    subscription = await desk.subscribed(receiver.url(), event_types=CANCELLED)
    await cancelled(desk, 3)
    await desk.connection.execute("alter table delivery_attempts add constraint broken check (false) not valid")
    await desk.worker.work_once()
    assert len(receiver.requests) == 3
    assert {(row.state, row.attempts) for row in await desk.deliveries(subscription)} == {("pending", 0)}
    assert in_flight(desk.worker) == 0
    assert not watched
    await desk.connection.execute("alter table delivery_attempts drop constraint broken")
    desk.clock.advance(seconds=29)
    await desk.worker.work_once()
    assert len(receiver.requests) == 3, "the claims hold"
    desk.clock.advance(seconds=1)
    await desk.worker.work_once()
    assert list(Counter(receiver.bodies).values()) == [2, 2, 2]
    assert {(row.state, row.attempts) for row in await desk.deliveries(subscription)} == {("succeeded", 1)}
    assert watched == [(subscription.id, True)] * 3


async def test_what_comes_back_together_is_recorded_together(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = Held()
    await desk.subscribed(receiver.url(), event_types=CANCELLED)
    await cancelled(desk, 30)
    recorded: list[int] = []
    real = desk.webhooks.deliveries.record

    async def record(outcomes: Any) -> None:
        recorded.append(len(outcomes))
        await real(outcomes)

    desk.worker._deliveries.record = record  # type: ignore[method-assign]
    await desk.worker.send_due()
    await receiver.arrived(30)
    receiver.release()
    await until(lambda: in_flight(desk.worker) == 0, "all are recorded")
    assert sum(recorded) == 30
    assert len(recorded) < 15


# -- telling ---------------------------------------------------------------------------------------------------------


async def test_a_commit_nudges_only_when_somebody_listens(desk: Hooked) -> None:
    commits: list[bool] = []
    desk.worker.on_commit = lambda: commits.append(True)
    await desk.cancelled()
    assert not commits
    await desk.told()
    await desk.cancelled()
    assert not commits
    await desk.subscribed(URL, event_types=CANCELLED)
    await desk.told()
    await desk.cancelled()
    assert len(commits) == 2  # a quote and its end


async def test_what_is_told_makes_somebody_send(desk: Hooked) -> None:
    nudges: list[bool] = []
    desk.worker.on_room = lambda: nudges.append(True)
    await desk.subscribed(URL, event_types=CANCELLED)
    assert not await desk.worker.fan_out()
    assert not nudges
    await desk.cancelled()
    assert await desk.worker.fan_out()
    assert nudges


async def test_a_lane_that_cannot_be_told_holds_up_no_other(desk: Hooked) -> None:
    other = await new_lane(desk.lane.dsn, clock=desk.clock)
    broken = await desk.subscribed(URL, event_types=OF_ORDERS)
    whole = await desk.subscribed(URL, event_types=OF_ORDERS, lane=other.number)
    refused = f"alter table deliveries add constraint broken check (lane <> {desk.lane.number}) not valid"
    await desk.connection.execute(refused)
    await desk.cancelled()
    quote = await submit(desk.program.desk.engine, other.number, buying(100), owner_id=A)
    await submit(desk.program.desk.engine, other.number, CancelConversion(order_id=quote.order.id), owner_id=A)
    nudges: list[bool] = []
    desk.worker.on_room = lambda: nudges.append(True)
    with pytest.raises(asyncpg.CheckViolationError, match="broken"):
        await desk.told()
    assert nudges, "what the other lane has is sent"
    page = await desk.webhooks.deliveries.page(other.number, subscription_id=whole.id, limit=10, offset=0)
    assert [row.event_type for row in page.rows] == CANCELLED
    await desk.connection.execute("alter table deliveries drop constraint broken")
    await desk.told()
    assert await desk.types(broken) == CANCELLED


async def test_a_closed_lane_is_neither_told_nor_sent(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url(), event_types=CANCELLED)
    await cancelled(desk, 1)
    await desk.connection.execute("update lanes set closed_at = now() where lane = $1", desk.lane.number)
    await desk.cancelled()
    await desk.worker.work_once()
    assert [row.attempts for row in await desk.deliveries(subscription)] == [0]
    assert receiver.requests == []


async def test_work_ends_also_with_what_fails_and_what_never_answers(
    fresh_dsn: str, tmp_path: Path, receiver: Receiver
) -> None:
    answers: dict[str, Answer] = {"/dead": NEVER, "/fails": 500, "/works": 200}
    receiver.answer = lambda request: answers[request.path]
    async with hooked(fresh_dsn, tmp_path, webhooks_timeout_ms=100) as desk:
        for path in ("/dead", "/fails", "/works"):
            await desk.subscribed(receiver.url(path), event_types=OF_ORDERS)
        await desk.completed()
        await desk.worker.work_once()
        assert len(of(receiver, "/works")) == 4
        assert {row.attempts for row in await desk.deliveries()} == {1}
        await desk.worker.work_once()
        assert len(receiver.requests) == 12

"""The price worker: publishes, says once what is wrong, goes on, and stops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from otcdesk.actions.publish_price import PublishPrice
from otcdesk.errors import Code, Refusal
from otcdesk.rails.http_prices import Feed, HttpPriceSource
from otcdesk.rails.protocols import Observation, RailUnavailable
from otcdesk.rails.simulated.prices import FixedSource
from otcdesk.workers.prices import PriceWorker
from tests.rails.captured import captured_events, named
from tests.rails.feed_server import PRICE_PATH, body, feed_server, price
from tests.support.waiting import until

SEEN = Observation(source_asset="EUR", destination_asset="USDC", rate=Decimal("1.0842"))


class Market:
    """A source outside of the desk: each reading does what the test has told it to."""

    def __init__(self, read: Callable[[], Observation] = lambda: SEEN) -> None:
        self.name = "market"
        self.stale_after_ms: int | None = 500
        self.period_ms = 1
        self.does = read
        self.hangs = False
        self.readings = 0

    async def read(self) -> list[Observation]:
        self.readings += 1
        if self.hangs:
            await asyncio.Event().wait()
        return [self.does()]


class Desk:
    """Takes commands, or refuses or loses them as told."""

    def __init__(self) -> None:
        self.commands: list[PublishPrice] = []
        self.fails: Callable[[PublishPrice], Exception | None] = lambda _: None

    async def publish(self, command: PublishPrice) -> object:
        error = self.fails(command)
        if error is not None:
            raise error
        self.commands.append(command)
        return None

    async def publishes_again(self, times: int = 3) -> None:
        wanted = len(self.commands) + times
        await until(lambda: len(self.commands) >= wanted, "prices are published")


@pytest.fixture
def events() -> Iterator[list[Any]]:
    with captured_events() as seen:
        yield seen


@pytest.fixture
def desk() -> Desk:
    return Desk()


@asynccontextmanager
async def running(worker: PriceWorker) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(worker.run(stop))
        yield
        assert not task.done()
        stop.set()


def failing(error: Exception) -> Callable[[], Observation]:
    def fail() -> Observation:
        raise error

    return fail


async def test_it_publishes_what_the_source_saw(desk: Desk) -> None:
    async with running(PriceWorker(Market(), desk.publish)):
        await desk.publishes_again()
    assert set(desk.commands) == {
        PublishPrice(
            source_asset="EUR",
            destination_asset="USDC",
            rate=Decimal("1.0842"),
            feed="market",
            stale_after_ms=500,
        )
    }


async def test_it_publishes_every_direction(desk: Desk) -> None:
    source = FixedSource({("EUR", "USDC"): Decimal("1.25")}, period_ms=1)
    async with running(PriceWorker(source, desk.publish)):
        await desk.publishes_again(4)
    assert {(command.source_asset, command.rate, command.stale_after_ms) for command in desk.commands} == {
        ("EUR", Decimal("1.25"), None),
        ("USDC", Decimal("0.8"), None),
    }


async def test_it_reads_no_faster_than_the_source_wants(desk: Desk) -> None:
    market = Market()
    market.period_ms = 3_600_000
    async with running(PriceWorker(market, desk.publish)):
        await desk.publishes_again(1)
        for _ in range(20):
            await asyncio.sleep(0)
    assert market.readings == 1


@pytest.mark.parametrize(
    "error, reason",
    [
        (RailUnavailable("the market is closed"), "the market is closed"),
        (ZeroDivisionError("a bug"), "failed: ZeroDivisionError"),
        (TimeoutError(), "no answer within 10000 ms"),
    ],
)
async def test_a_failing_source_is_logged_once_publishes_nothing_and_recovers(
    desk: Desk, events: list[Any], error: Exception, reason: str
) -> None:
    market = Market()
    async with running(PriceWorker(market, desk.publish, pause_ms_max=2)):
        await desk.publishes_again()
        market.does = failing(error)
        before, published = market.readings, len(desk.commands)
        await until(lambda: market.readings > before + 5, "it goes on reading")
        assert len(desk.commands) <= published + 1  # one may have been under way
        market.does = lambda: SEEN
        await desk.publishes_again()
    assert [event["reason"] for event in named(events, "prices_failing")] == [reason]
    assert len(named(events, "prices_recovered")) == 1


async def test_another_failure_is_another_condition(desk: Desk, events: list[Any]) -> None:
    market = Market(failing(RailUnavailable("one")))
    async with running(PriceWorker(market, desk.publish, pause_ms_max=2)):
        await until(lambda: market.readings > 3, "it reads")
        market.does = failing(RailUnavailable("two"))
        before = market.readings
        await until(lambda: market.readings > before + 3, "it reads on")
    assert [event["reason"] for event in named(events, "prices_failing")] == ["one", "two"]


async def test_a_hanging_source_is_given_up_and_asked_again(desk: Desk, events: list[Any]) -> None:
    market = Market()
    market.hangs = True
    async with running(PriceWorker(market, desk.publish, timeout_ms=20, pause_ms_max=2)):
        await until(lambda: market.readings > 2, "it asks again")
        market.hangs = False
        await desk.publishes_again()
    assert [event["reason"] for event in named(events, "prices_failing")] == ["no answer within 20 ms"]


async def test_the_pause_doubles_from_the_second_failure_on_and_is_bounded(desk: Desk) -> None:
    market = Market()
    market.period_ms = 1_000
    worker = PriceWorker(market, desk.publish, pause_ms_max=5_000)
    assert [worker._pause_ms(failures) for failures in (0, 1, 2, 3, 4, 5, 10**9)] == [
        1_000, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000,
    ]  # fmt: skip
    market.period_ms = 60_000
    assert PriceWorker(market, desk.publish, pause_ms_max=5_000)._pause_ms(7) == 60_000


async def test_only_a_round_that_publishes_nothing_is_a_failure(desk: Desk) -> None:
    worker = PriceWorker(FixedSource({("EUR", "USDC"): Decimal("1.25")}), desk.publish)
    desk.fails = lambda command: Refusal(Code.PRICE_NOT_FOUND) if command.source_asset == "EUR" else None
    assert await worker._round()
    desk.fails = lambda _: Refusal(Code.UNAVAILABLE)
    assert not await worker._round()


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity", "1.0000001", "1e13"])
async def test_nonsense_is_not_published(desk: Desk, events: list[Any], rate: str) -> None:
    nonsense = Observation(source_asset="EUR", destination_asset="USDC", rate=Decimal(rate))
    market = Market(lambda: nonsense)
    async with running(PriceWorker(market, desk.publish, pause_ms_max=2)):
        await until(lambda: market.readings > 2, "it reads")
    assert not desk.commands
    assert [event["reason"] for event in named(events, "prices_failing")] == [
        "the source gave something that is not a rate"
    ]


async def test_a_refused_direction_does_not_hold_up_the_other(desk: Desk, events: list[Any]) -> None:
    desk.fails = lambda command: Refusal(Code.PRICE_NOT_FOUND) if command.source_asset == "EUR" else None
    source = FixedSource({("EUR", "USDC"): Decimal("1.25")}, period_ms=1)
    async with running(PriceWorker(source, desk.publish)):
        await desk.publishes_again()
        desk.fails = lambda _: ConnectionError("the books are away")
        await until(lambda: len(named(events, "prices_failing")) == 3, "both directions fail")
        desk.fails = lambda _: None
        await desk.publishes_again()
    assert {command.source_asset for command in desk.commands} == {"EUR", "USDC"}
    assert [(event["what"], event["reason"]) for event in named(events, "prices_failing")] == [
        ("price EUR/USDC", "refused PRICE_NOT_FOUND"),
        ("price EUR/USDC", "failed: ConnectionError"),
        ("price USDC/EUR", "failed: ConnectionError"),
    ]


async def test_it_stops_in_the_middle_of_a_reading_and_of_a_publishing() -> None:
    begun = asyncio.Event()

    async def never(_command: PublishPrice) -> None:
        begun.set()
        await asyncio.Event().wait()

    market = Market()
    async with asyncio.timeout(20), running(PriceWorker(market, never, timeout_ms=3_600_000)):
        await begun.wait()
    market.hangs = True
    async with asyncio.timeout(20), running(PriceWorker(market, never, timeout_ms=3_600_000)):
        await until(lambda: market.readings == 2, "it reads")
    assert len(asyncio.all_tasks()) == 1


async def test_it_stops_before_it_has_begun_and_when_it_is_cancelled(desk: Desk) -> None:
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(PriceWorker(Market(), desk.publish).run(stop), 20)
    task = asyncio.create_task(PriceWorker(Market(), desk.publish).run(asyncio.Event()))
    await desk.publishes_again()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1


async def test_a_real_feed_goes_away_and_comes_back(desk: Desk, events: list[Any]) -> None:
    async with feed_server() as server:
        server.answers["/"] = price("1.0842")
        source = HttpPriceSource(
            pair=("EUR", "USDC"),
            feeds=[Feed(url=server.url("/"), path=PRICE_PATH)],
            quorum=1,
            deviation_max_bps=50,
            jump_max_bps=100,
            jump_readings_min=3,
            feed_timeout_ms=5_000,
            period_ms=1,
            stale_after_ms=10_000,
        )
        async with running(PriceWorker(source, desk.publish, pause_ms_max=2)):
            await desk.publishes_again(4)
            server.answers["/"] = body("", status="500 Oops")
            await until(lambda: len(named(events, "prices_failing")) == 1, "it fails")
            published, asked = len(desk.commands), len(server.heads)
            await until(lambda: len(server.heads) > asked + 3, "it goes on asking")
            assert len(desk.commands) == published
            server.answers["/"] = price("1.0850")
            await desk.publishes_again(4)
        await source.close()
    assert desk.commands[0].feed == "median of 127.0.0.1"
    assert (desk.commands[-1].source_asset, desk.commands[-1].rate) == ("USDC", Decimal("0.921658"))

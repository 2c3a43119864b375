"""What is remembered of what is counted, for how long, and what follows from two samples."""

from pathlib import Path

import pytest

from otcdesk.clock import SystemClock
from otcdesk.console.system.sampler import KEPT_MS, PERIOD_MS, Histogram, Sampler
from otcdesk.metrics import REQUEST_SECONDS, Metrics
from tests.support.clocks import SteeredClock


async def moved_on(clock: SteeredClock, *samplers: Sampler, milliseconds: int = PERIOD_MS) -> None:
    clock.advance(milliseconds=milliseconds)
    for sampler in samplers:
        await sampler.step()


async def test_samples_are_taken_while_somebody_looks() -> None:
    clock, metrics = SteeredClock(), Metrics()
    sampler = Sampler(metrics, clock)
    await moved_on(clock, sampler)
    assert len(sampler.look()) == 1  # nobody had looked before, and who looks sees something
    metrics.batch({("quote_buy", "done"): 3, ("quote_buy", "PRICE_UNAVAILABLE"): 1}, 2_000_000)
    metrics.request("exchanges", "GET /", 200, 1_000_000)
    await moved_on(clock, sampler)
    before, after = sampler.look()
    assert (after.done - before.done, after.refused - before.refused) == (3, 1)
    assert after.batch_commands.since(before.batch_commands).total == 4
    assert after.requests["exchanges"].since(before.requests.get("exchanges")).number == 1
    for _ in range(2 * KEPT_MS // PERIOD_MS):
        await moved_on(clock, sampler)
    clock.advance(milliseconds=PERIOD_MS)
    assert len(sampler.look()) == 1, "it stopped, and what is old is not shown"


async def test_memory_is_bounded() -> None:
    clock = SteeredClock()
    sampler = Sampler(Metrics(), clock)
    for _ in range(KEPT_MS // PERIOD_MS + 50):
        sampler.look()
        await moved_on(clock, sampler)
    assert len(sampler.look()) == KEPT_MS // PERIOD_MS


async def test_processes_of_a_host_remember_when_one_is_looked_at(tmp_path: Path) -> None:
    clock = SystemClock()  # files have the machine's time
    one, other = (Sampler(Metrics(process, tmp_path), clock) for process in (1, 2))
    await other.step()
    assert not other._samples
    one.look()
    await other.step()
    assert len(other._samples) == 1


@pytest.mark.parametrize(
    "counts, thousandths, expected",
    [
        ((0,) * 13, 500, None),
        ((10, *(0,) * 12), 500, 500_000),  # half of the first bucket
        ((10, 10, *(0,) * 11), 900, 2_200_000),  # 8 of 10 into the second, from 1 to 2.5 ms
        ((*(0,) * 12, 5), 990, 10_000_000_000),  # above all bounds: the last of them
        ((1, *(0,) * 11, 1), 500, 1_000_000),
    ],
)
def test_quantiles_are_taken_as_prometheus_does(
    counts: tuple[int, ...], thousandths: int, expected: int | None
) -> None:
    assert Histogram(counts, 0).quantile(REQUEST_SECONDS, thousandths) == expected

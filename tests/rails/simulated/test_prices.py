"""Simulated markets: given rates, and a walk that depends on nothing but its settings and the time."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.clock import at_milliseconds
from otcdesk.money import inverse
from otcdesk.rails.protocols import PriceSource
from otcdesk.rails.simulated.prices import FixedSource, WalkSource
from tests.support.clocks import SteeredClock

START_RATE = Decimal("1.0842")


def walk(
    clock: SteeredClock,
    *,
    seed: int = 7,
    pair: tuple[str, str] = ("EUR", "USDC"),
    start_rate: Decimal = START_RATE,
    step_bps: int = 5,
    band_bps: int = 50,
) -> WalkSource:
    return WalkSource(
        pair=pair,
        start_rate=start_rate,
        step_bps=step_bps,
        band_bps=band_bps,
        seed=seed,
        period_ms=1_000,
        stale_after_ms=10_000,
        clock=clock,
    )


async def rate_of(source: PriceSource) -> Decimal:
    return (await source.read())[0].rate


async def test_given_rates_are_told_as_they_are_and_never_go_stale() -> None:
    source = FixedSource({("EUR", "USDC"): Decimal("1.25"), ("USDC", "EUR"): Decimal("0.79")})
    assert source.stale_after_ms is None
    assert [(seen.source_asset, seen.destination_asset, seen.rate) for seen in await source.read()] == [
        ("EUR", "USDC", Decimal("1.25")),
        ("USDC", "EUR", Decimal("0.79")),
    ]


async def test_a_direction_that_is_not_given_is_the_inverse_of_the_other() -> None:
    source = FixedSource({("EUR", "USDC"): Decimal("1.25")})
    assert {(seen.source_asset, seen.rate) for seen in await source.read()} == {
        ("EUR", Decimal("1.25")),
        ("USDC", Decimal("0.8")),
    }


async def test_an_inverse_cut_to_nothing_is_left_out() -> None:
    rate = Decimal(2_000_000)
    assert [seen.rate for seen in await FixedSource({("A", "B"): rate}).read()] == [rate]
    source = walk(SteeredClock(seed=1), start_rate=rate)
    assert [seen.source_asset for seen in await source.read()] == ["EUR"]


def test_a_walk_is_the_same_on_every_machine() -> None:
    # Written down once: whoever changes these changes every simulated price of every desk.
    source = walk(SteeredClock(seed=1))
    assert [str(source.rate_at(number)) for number in (0, 1, 2, 1_614_589_200, -5)] == [
        "1.080461",
        "1.080911",
        "1.081106",
        "1.082541",
        "1.079748",
    ]


@given(
    seed=st.integers(-(2**63), 2**63),
    milliseconds=st.integers(0, 4_000_000_000_000),
    within=st.integers(0, 999),
)
async def test_a_walk_depends_on_seed_and_step_alone(seed: int, milliseconds: int, within: int) -> None:
    clock = SteeredClock(at_milliseconds(milliseconds - milliseconds % 1_000), seed=1)
    source = walk(clock, seed=seed)
    first = await source.read()
    clock.advance(seconds=1)
    await source.read()
    clock.set(at_milliseconds(milliseconds - milliseconds % 1_000 + within))
    assert await source.read() == first
    assert await walk(clock, seed=seed).read() == first


@given(
    seed=st.integers(0, 2**32),
    number=st.integers(0, 2**33),
    start_rate=st.integers(1, 10**12).map(lambda millionths: Decimal(millionths).scaleb(-6)),
    band_bps=st.integers(0, 5_000),
    data=st.data(),
)
def test_a_walk_stays_in_its_band_and_moves_by_small_steps(
    seed: int, number: int, start_rate: Decimal, band_bps: int, data: st.DataObject
) -> None:
    step_bps = data.draw(st.integers(0, band_bps))
    source = walk(SteeredClock(seed=1), seed=seed, start_rate=start_rate, step_bps=step_bps, band_bps=band_bps)
    smallest = Decimal("0.000001")
    here, there = source.rate_at(number), source.rate_at(number + 1)
    assert here > 0
    assert abs(here - start_rate) <= start_rate * band_bps / 10_000 + smallest
    # A step, the way back, and a thousandth of the band for what was before the steps that are followed.
    most = step_bps + Decimal(band_bps) / 128 + Decimal(band_bps) / 1_000
    assert abs(here - there) <= start_rate * most / 10_000 + smallest
    assert here == here.quantize(smallest)


@given(seed=st.integers(0, 2**32), milliseconds=st.integers(0, 4_000_000_000_000))
async def test_both_directions_of_a_walk_are_one_rate(seed: int, milliseconds: int) -> None:
    there, back = await walk(SteeredClock(at_milliseconds(milliseconds), seed=1), seed=seed).read()
    assert (there.source_asset, there.destination_asset) == ("EUR", "USDC")
    assert (back.source_asset, back.destination_asset) == ("USDC", "EUR")
    assert back.rate == inverse(there.rate)


async def test_a_walk_moves_and_other_seeds_and_pairs_walk_elsewhere() -> None:
    clock = SteeredClock(seed=1)
    ways = [walk(clock), walk(clock, seed=8), walk(clock, pair=("GBP", "USDC"))]
    seen: list[list[Decimal]] = []
    for _ in range(50):
        clock.advance(seconds=1)
        seen.append([await rate_of(way) for way in ways])
    assert all(len(set(rates)) > 25 for rates in zip(*seen, strict=True))
    assert all(len(set(rates)) > 1 for rates in seen)


def test_a_walk_goes_to_both_sides_of_its_start() -> None:
    source = walk(SteeredClock(seed=1))
    rates = [source.rate_at(number) for number in range(0, 400_000, 2_000)]
    assert min(rates) < START_RATE < max(rates)


@pytest.mark.parametrize("step_bps, band_bps", [(-1, 5), (6, 5), (1, 10_000)])
def test_a_walk_that_could_leave_the_positive_numbers_is_refused(step_bps: int, band_bps: int) -> None:
    with pytest.raises(ValueError, match="a walk needs"):
        walk(SteeredClock(seed=1), step_bps=step_bps, band_bps=band_bps)

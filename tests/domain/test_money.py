"""Money: worked values from the contracts, and what must hold for every amount and rate."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from otcdesk.money import (
    PAID_BY_DESK,
    PAID_TO_DESK,
    RATE_MAX,
    UNITS_MAX,
    Amount,
    Asset,
    AssetMismatch,
    Rate,
    Rounding,
    convert,
    convert_back,
    increased,
    inverse,
    less_spread,
    parse_percent,
    parse_rate,
    parse_units,
    percent_of,
    plain,
    print_rate,
    print_units,
    scaled_rate,
    units_of,
)

EUR, USDC, ETH, YEN = Asset("EUR", 2), Asset("USDC", 6), Asset("ETH", 18), Asset("JPY", 0)

units = st.integers(min_value=0, max_value=UNITS_MAX)
scales = st.integers(min_value=0, max_value=18)
rates = st.integers(min_value=1, max_value=RATE_MAX * 10**6).map(scaled_rate)


@pytest.mark.parametrize(
    "text, scale, expected",
    [
        ("2500", 2, 250_000),
        ("2500.00", 2, 250_000),
        ("2500.5", 2, 250_050),
        ("0", 2, 0),
        ("0.00", 2, 0),
        ("00012.3", 2, 1_230),
        ("1800", 6, 1_800_000_000),
        ("5000.000001", 6, 5_000_000_001),
        ("7", 0, 7),
        ("12345678901234567890.123456789012345678", 18, 12345678901234567890123456789012345678),
        ("1" + "0" * 38, 0, UNITS_MAX),
    ],
)
def test_parse_units_reads_plain_decimals(text: str, scale: int, expected: int) -> None:
    assert parse_units(text, scale) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", ".5", "5.", "-5", "+5", "1e3", "1_000", "1,5", "abc", "10.001", "٣", "5\n", "\x005", "0x1", "NaN", "1 "],
)
def test_parse_units_takes_nothing_else(text: str) -> None:
    assert parse_units(text, 2) is None


def test_parse_units_refuses_more_than_can_be_counted() -> None:
    assert parse_units(str(UNITS_MAX), 0) == UNITS_MAX
    assert parse_units(str(UNITS_MAX + 1), 0) is None
    assert parse_units(str(UNITS_MAX), 2) is None
    assert parse_units("9" * 61, 0) is None


@given(units=units, scale=scales)
def test_what_is_printed_reads_back(units: int, scale: int) -> None:
    assert parse_units(print_units(units, scale), scale) == units


@pytest.mark.parametrize(
    "units, scale, decimals, expected",
    [
        (250_000, 2, None, "2500.00"),
        (2_710_500_000, 6, 2, "2710.50"),
        (2_710_509_999, 6, 2, "2710.50"),
        (5, 2, None, "0.05"),
        (-5, 2, None, "-0.05"),
        (0, 0, None, "0"),
        (7, 0, 2, "7.00"),
        (1_999_999, 6, 0, "1"),
        (1, 18, 8, "0.00000000"),
    ],
)
def test_print_units(units: int, scale: int, decimals: int | None, expected: str) -> None:
    assert print_units(units, scale, decimals) == expected


def test_amount_prints_with_its_asset() -> None:
    assert str(Amount(250_000, EUR)) == "2500.00 EUR"


def test_amounts_of_one_asset_add_and_compare() -> None:
    assert Amount(1, EUR) + Amount(2, EUR) == Amount(3, EUR)
    assert Amount(1, EUR) - Amount(2, EUR) == Amount(-1, EUR)
    assert Amount(1, EUR) < Amount(2, EUR)
    assert Amount(2, EUR) <= Amount(2, EUR)
    assert not Amount(2, EUR) < Amount(2, EUR)


def test_amounts_of_two_assets_never_meet() -> None:
    euro, other = Amount(1, EUR), Amount(1, USDC)
    with pytest.raises(AssetMismatch):
        _ = euro + other
    with pytest.raises(AssetMismatch):
        _ = euro - other
    with pytest.raises(AssetMismatch):
        _ = euro < other
    with pytest.raises(AssetMismatch):
        _ = euro <= other
    assert euro != other


@pytest.mark.parametrize(
    "text, expected",
    [("1.0842", "1.0842"), ("0.921", "0.921"), ("1.100000", "1.1"), ("100", "100"), ("0.000001", "0.000001")],
)
def test_parse_rate(text: str, expected: str) -> None:
    rate = parse_rate(text)
    assert rate is not None
    assert str(rate) == expected


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "1.0000001", "1e2", "", str(RATE_MAX + 1), "NaN", "0.0000001"])
def test_parse_rate_takes_nothing_else(text: str) -> None:
    assert parse_rate(text) is None


@given(rate=rates)
def test_a_printed_rate_is_the_rate_that_was_used(rate: Decimal) -> None:
    assert parse_rate(print_rate(rate)) == rate
    assert str(parse_rate(print_rate(rate))) == str(rate)


@pytest.mark.parametrize(
    "value, expected",
    [("1.0842", "1.0842"), ("0.921", "0.921"), ("1", "1.00"), ("1.5", "1.50"), ("100", "100.00"), ("1E+2", "100.00")],
)
def test_print_rate(value: str, expected: str) -> None:
    assert print_rate(Decimal(value)) == expected


def test_equal_rates_look_equal() -> None:
    assert str(plain(Decimal("1.50"))) == str(plain(Decimal("1.5000"))) == "1.5"
    assert str(plain(Decimal("1E+3"))) == str(plain(Decimal(1000))) == "1000"


@pytest.mark.parametrize(
    "source, rate, to, rounding, decimals, expected",
    [
        # Acceptance cases 9, 10 and 31 of the exchanges contract.
        (Amount(250_000, EUR), "1.0842", USDC, PAID_BY_DESK, 2, 2_710_500_000),
        (Amount(1_800_000_000, USDC), "0.921", EUR, PAID_BY_DESK, 2, 165_780),
        (Amount(250_000, EUR), "1.0838", USDC, PAID_BY_DESK, 2, 2_709_500_000),
        # The fraction of the last place is cut or filled up, never halved.
        (Amount(1, EUR), "1.0842", USDC, PAID_BY_DESK, None, 10_842),
        (Amount(1, EUR), "1.0842", USDC, PAID_BY_DESK, 2, 10_000),
        (Amount(1, EUR), "1.0842", USDC, PAID_TO_DESK, 2, 20_000),
        (Amount(3, USDC), "0.921", EUR, PAID_BY_DESK, None, 0),
        (Amount(3, USDC), "0.921", EUR, PAID_TO_DESK, None, 1),
        (Amount(199, EUR), "1", YEN, PAID_BY_DESK, 2, 1),
    ],
)
def test_convert(source: Amount, rate: str, to: Asset, rounding: Rounding, decimals: int | None, expected: int) -> None:
    pair = Rate(source.asset.code, to.code, Decimal(rate))
    assert convert(source, pair, to, rounding, decimals) == Amount(expected, to)


def test_convert_refuses_a_rate_of_another_pair() -> None:
    with pytest.raises(AssetMismatch):
        convert(Amount(1, EUR), Rate("USDC", "EUR", Decimal(1)), USDC, PAID_BY_DESK)


@given(count=units, rate=rates, scale=scales, to_scale=scales, decimals=st.none() | st.integers(0, 18))
def test_convert_never_favours_the_customer(
    count: int, rate: Decimal, scale: int, to_scale: int, decimals: int | None
) -> None:
    source, to = Asset("ONE", scale), Asset("TWO", to_scale)
    pair = Rate("ONE", "TWO", rate)
    paid = convert(Amount(count, source), pair, to, PAID_BY_DESK, decimals).units
    collected = convert(Amount(count, source), pair, to, PAID_TO_DESK, decimals).units
    numerator, denominator = rate.as_integer_ratio()
    exact, per_unit = count * numerator * 10**to_scale, denominator * 10**scale
    step = 10 ** (to_scale - min(to_scale, to_scale if decimals is None else decimals))
    assert paid * per_unit <= exact <= collected * per_unit
    assert exact - paid * per_unit < step * per_unit
    assert collected * per_unit - exact < step * per_unit
    assert paid % step == collected % step == 0


@given(count=st.integers(10**37, UNITS_MAX), rate=rates)
def test_thirty_eight_digits_lose_none(count: int, rate: Decimal) -> None:
    paid = convert(Amount(count, ETH), Rate("ETH", "WEI", rate), Asset("WEI", 24), PAID_BY_DESK).units
    assert paid == count * int(rate * 10**6)


@given(rate=rates, bps=st.integers(0, 9_999))
def test_a_spread_only_ever_takes_off(rate: Decimal, bps: int) -> None:
    less = less_spread(rate, bps)
    assert Decimal(0) <= less <= rate
    assert less_spread(rate, 0) == rate
    exact = (rate.as_integer_ratio()[0] * (10_000 - bps), rate.as_integer_ratio()[1] * 10_000)
    millionths = int(less * 10**6)
    assert millionths * exact[1] <= exact[0] * 10**6 < (millionths + 1) * exact[1]


def test_a_spread_of_fifty_hundredths_of_a_percent() -> None:
    assert less_spread(Decimal("1.0842"), 50) == Decimal("1.078779")


@given(rate=rates)
def test_there_and_back_gains_nothing(rate: Decimal) -> None:
    back = inverse(rate)
    assume(back > 0)
    assert back * rate <= 1


def test_inverse_is_cut() -> None:
    assert inverse(Decimal(3)) == Decimal("0.333333")
    assert str(inverse(Decimal("0.5"))) == "2"


@pytest.mark.parametrize(
    "source, rate, to, rounding, expected",
    [
        # The worked values of the ramp contract, 7: what arrives and its fee, over the rate.
        (Amount(10_150, EUR), "0.92", USDC, PAID_TO_DESK, 110_326_087),
        (Amount(10_150, EUR), "0.915", USDC, PAID_TO_DESK, 110_928_962),
        (Amount(10_150, EUR), "0.91", USDC, PAID_TO_DESK, 111_538_462),
        (Amount(10_150, EUR), "0.95", USDC, PAID_TO_DESK, 106_842_106),
        (Amount(40_450, EUR), "0.92", USDC, PAID_TO_DESK, 439_673_914),
        (Amount(30_350, EUR), "0.92", USDC, PAID_TO_DESK, 329_891_305),
        (Amount(10_150, EUR), "55000", Asset("BTC", 8), PAID_TO_DESK, 184_546),
        # Buying: what is paid without its fee, and the fraction is the desk's.
        (Amount(9_800, EUR), "0.98", USDC, PAID_BY_DESK, 100_000_000),
        (Amount(9_800, EUR), "0.92", USDC, PAID_BY_DESK, 106_521_739),
        # Whole yen; and nothing is worth nothing.
        (Amount(150, YEN), "149.25", USDC, PAID_TO_DESK, 1_005_026),
        (Amount(0, EUR), "0.92", USDC, PAID_TO_DESK, 0),
    ],
)
def test_convert_back(source: Amount, rate: str, to: Asset, rounding: Rounding, expected: int) -> None:
    assert convert_back(source, Rate(to.code, source.asset.code, Decimal(rate)), to, rounding) == Amount(expected, to)


def test_convert_back_refuses_a_rate_of_another_pair() -> None:
    for base, quote in (("EUR", "USDC"), ("ETH", "EUR"), ("USDC", "JPY")):
        with pytest.raises(AssetMismatch):
            convert_back(Amount(1, EUR), Rate(base, quote, Decimal(1)), USDC, PAID_BY_DESK)


@given(count=units, rate=rates, scale=scales, to_scale=scales)
def test_convert_back_is_rounded_once(count: int, rate: Decimal, scale: int, to_scale: int) -> None:
    source, to, pair = Asset("ONE", scale), Asset("TWO", to_scale), Rate("TWO", "ONE", rate)
    paid = convert_back(Amount(count, source), pair, to, PAID_BY_DESK).units
    collected = convert_back(Amount(count, source), pair, to, PAID_TO_DESK).units
    numerator, denominator = rate.as_integer_ratio()
    exact, per_unit = count * denominator * 10**to_scale, numerator * 10**scale
    assert 0 <= exact - paid * per_unit < per_unit
    assert 0 <= collected * per_unit - exact < per_unit


@pytest.mark.parametrize(
    "count, percent, rounding, expected",
    [
        (10_000, "1", PAID_TO_DESK, 100),
        (10_001, "1", PAID_TO_DESK, 101),
        (10_001, "1", PAID_BY_DESK, 100),
        (10_000, "0.25", PAID_TO_DESK, 25),
        (1, "0.000001", PAID_TO_DESK, 1),
        (1, "0.000001", PAID_BY_DESK, 0),
        (7, "0", PAID_TO_DESK, 0),
        (7, "100", PAID_TO_DESK, 7),
        (10**38, "0.000001", PAID_BY_DESK, 10**30),
    ],
)
def test_percent_of(count: int, percent: str, rounding: Rounding, expected: int) -> None:
    assert percent_of(Amount(count, EUR), Decimal(percent), rounding) == Amount(expected, EUR)


@pytest.mark.parametrize(
    "count, bps, rounding, expected",
    [
        (110_326_087, 100, PAID_TO_DESK, 111_429_348),  # ramp contract 7, the ceiling at one percent
        (110_928_962, 100, PAID_TO_DESK, 112_038_252),
        (111_538_462, 100, PAID_TO_DESK, 112_653_847),
        (439_673_914, 100, PAID_TO_DESK, 444_070_654),
        (549_456_522, 100, PAID_TO_DESK, 554_951_088),
        (184_546, 100, PAID_TO_DESK, 186_392),
        (184_546, 100, PAID_BY_DESK, 186_391),
        (184_546, 0, PAID_TO_DESK, 184_546),
        (10**38, 1, PAID_TO_DESK, 10**38 + 10**34),
    ],
)
def test_increased(count: int, bps: int, rounding: Rounding, expected: int) -> None:
    assert increased(Amount(count, USDC), bps, rounding) == Amount(expected, USDC)


@pytest.mark.parametrize(
    "text, expected", [("0", "0"), ("1.50", "1.5"), ("100.000000", "100"), ("0.000001", "0.000001")]
)
def test_parse_percent(text: str, expected: str) -> None:
    assert str(parse_percent(text)) == expected


@pytest.mark.parametrize("text", ["", "-1", "+1", "100.000001", "101", "0.0000001", "1e1", "1%", "NaN", ".5", "1,5"])
def test_parse_percent_takes_nothing_else(text: str) -> None:
    assert parse_percent(text) is None


@pytest.mark.parametrize(
    "value, scale, rounding, expected",
    [
        ("100.00", 2, None, 10_000),
        ("100.001", 2, None, None),
        ("100.001", 2, PAID_BY_DESK, 10_000),
        ("100.001", 2, PAID_TO_DESK, 10_001),
        ("100.000000", 0, None, 100),
        ("99999999999999999999999999999999999999", 3, None, 99999999999999999999999999999999999999000),
        ("0.00000000000000000000000000000000000001", 18, None, None),
    ],
)
def test_units_of(value: str, scale: int, rounding: Rounding | None, expected: int | None) -> None:
    assert units_of(Decimal(value), scale, rounding) == expected

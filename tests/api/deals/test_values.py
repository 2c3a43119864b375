"""Ids and numbers of this dialect: read exactly or refused, written so that no digit is lost."""

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.api.deals.values import decimal_number, id_of, id_text, number_of, units_number, whole_of
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def refused(text: str, *, whole: bool = False) -> str:
    with pytest.raises(Refusal) as caught:
        (whole_of if whole else number_of)(raw(text), "It")
    assert caught.value.code is Code.REQUEST_INVALID
    return caught.value.detail


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=20))
def test_a_number_is_read_exactly_however_it_is_written(value: Decimal) -> None:
    for text in (f"{value:f}", f"{value:e}"):
        if len(text.partition("e")[0]) < 60:
            assert number_of(raw(text), "It") == value
    assert msgspec.json.decode(bytes(decimal_number(value)), type=Decimal) == value


@given(st.integers(-UNITS_MAX, UNITS_MAX))
def test_a_whole_number_is_read_exactly(value: int) -> None:
    assert whole_of(raw(str(value)), "It") == whole_of(raw(f"{value}.000"), "It") == value


@pytest.mark.parametrize(
    "text, value", [("-0", 0), ("0.0", 0), ("2.0", 2), ("20e-1", 2), ("0.2E+1", 2), (" 7\n", 7), ("1e38", UNITS_MAX)]
)
def test_whole_numbers_in_other_words(text: str, value: int) -> None:
    assert whole_of(raw(text), "It") == value


@pytest.mark.parametrize(
    "text", ["true", '"1"', "[1]", "{}", "NaN", "Infinity", "1e400", "01", "+1", "1.", ".5", "1_0"]
)
def test_what_is_no_number(text: str) -> None:
    assert refused(text) == "It must be a number"


def test_what_is_not_there_or_too_large_or_no_whole_number() -> None:
    assert refused("null") == "It is required"
    assert refused("1e99") == "It is out of range"
    assert refused("1e-99") == "It is out of range"
    assert refused(str(UNITS_MAX + 1), whole=True) == "It is out of range"
    assert refused("1.5", whole=True) == "It must be an integer"
    assert refused("1e-1", whole=True) == "It must be an integer"
    assert refused("1." + "0" * 59 + "1", whole=True) == "It must be an integer"


@pytest.mark.parametrize(
    "units, scale, text",
    [(0, 6, "0"), (1, 6, "0.000001"), (2_500_000, 6, "2.5"), (12, 0, "12"), (10**38 + 1, 18, f"{10**20}.{1:018d}")],
)
def test_amounts_are_written_with_every_digit(units: int, scale: int, text: str) -> None:
    assert bytes(units_number(units, scale)).decode() == text
    assert json.loads(msgspec.json.encode({"amount": units_number(units, scale)})) == {"amount": json.loads(text)}


def test_ids() -> None:
    text = "65a1b2c3d4e5f60718290a01"
    assert id_text(id_of(text, "it")) == id_text(id_of(text.upper(), "it")) == text
    for wrong in ("", text[:-1], text + "0", "\u0661" * 24, text + "\n", "g" * 24):
        with pytest.raises(Refusal) as caught:
            id_of(wrong, "price_id")
        assert caught.value.detail == "Invalid price_id format"

"""Ids of 96 bits: what they are made of, and that each has exactly one UUID."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.clock import SystemClock, derived_id
from otcdesk.domain.compact_ids import (
    compact_id,
    declared_compact_id,
    is_compact,
    parse_compact_id,
    print_compact_id,
)

AT = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)


@given(st.integers(0, 2**96 - 1))
def test_each_id_is_one_uuid_of_version_8_and_back(number: int) -> None:
    digits = f"{number:024x}"
    found = parse_compact_id(digits)
    assert found is not None
    assert (found.version, found.variant) == (8, UUID(int=8 << 76 | 1 << 63).variant)
    assert print_compact_id(found) == digits
    assert is_compact(found)


@given(st.integers(0, 2**96 - 1), st.integers(0, 2**96 - 1))
def test_ids_sort_as_their_uuids_do(one: int, other: int) -> None:
    first, second = parse_compact_id(f"{one:024x}"), parse_compact_id(f"{other:024x}")
    assert first is not None
    assert second is not None
    assert (first < second) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "65a1b2c3d4e5f60718290a0",
        "65a1b2c3d4e5f60718290a011",
        "65a1b2c3d4e5f60718290a0g",
        " 65a1b2c3d4e5f60718290a01",
        "65a1b2c3d4e5f60718290a01\n",
        "0x5a1b2c3d4e5f60718290a01",
        "٦5a1b2c3d4e5f60718290a01",
        "65a1b2c3-4e5f60718290a01",
    ],
)
def test_anything_but_24_hexadecimal_digits_is_none(text: str) -> None:
    assert parse_compact_id(text) is None


def test_capital_digits_are_the_same_id() -> None:
    assert parse_compact_id("65A1B2C3D4E5F60718290A01") == parse_compact_id("65a1b2c3d4e5f60718290a01")


def test_an_id_begins_with_its_time() -> None:
    made = print_compact_id(compact_id(uuid4(), AT))
    assert datetime.fromtimestamp(int(made[:8], 16), UTC) == AT
    assert is_compact(compact_id(uuid4(), AT))


@pytest.mark.parametrize("at, first", [(AT.replace(year=1960), "00000000"), (AT.replace(year=2200), "ffffffff")])
def test_a_time_that_does_not_fit_is_the_nearest_that_does(at: datetime, first: str) -> None:
    assert print_compact_id(compact_id(uuid4(), at))[:8] == first


def test_ids_of_one_command_and_of_many_at_once_differ() -> None:
    clock = SystemClock()
    bases = [clock.new_id() for _ in range(1_000)]
    made = {compact_id(derived_id(base, number), AT) for base in bases for number in range(5)}
    assert len(made) == 5_000


def test_an_id_is_of_its_base_and_second() -> None:
    base = SystemClock().new_id()
    assert compact_id(base, AT) == compact_id(base, AT + timedelta(milliseconds=999))
    assert compact_id(base, AT) != compact_id(base, AT + timedelta(seconds=1))


def test_a_declared_id_is_of_its_whole_path() -> None:
    ids = {declared_compact_id(*path) for path in (("branch", "a", "b"), ("branch", "a", "c"), ("currency", "a", "b"))}
    assert len(ids) == 3
    assert declared_compact_id("branch", "a", "b") in ids
    assert all(is_compact(one) for one in ids)


@pytest.mark.parametrize("value", [UUID(int=0), UUID("0190a1b2-0000-7000-8000-000000000000")])
def test_a_uuid_of_another_kind_is_not_one_of_96_bits(value: UUID) -> None:
    assert not is_compact(value)


def test_a_compact_id_with_other_padding_is_none() -> None:
    made = compact_id(uuid4(), AT)
    assert not is_compact(UUID(int=made.int | 1))


def test_all_that_is_random_of_an_id_counts() -> None:
    base = SystemClock().new_id()
    for bit in (0, 51, 64, 75):
        assert compact_id(UUID(int=base.int ^ 1 << bit), AT) != compact_id(base, AT), bit

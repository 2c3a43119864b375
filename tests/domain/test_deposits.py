"""Deposits: how they are known, and what addresses are the same."""

import pytest

from otcdesk.domain.deposits import DEPOSIT_ORDER, deposit_id, same_address


def test_a_deposit_is_known_by_its_place_and_the_outsides_own_id() -> None:
    ids = {deposit_id(*path) for path in (("", "a", "1"), ("N", "a", "1"), ("", "b", "1"), ("", "a", "2"))}
    assert len(ids) == 4
    assert deposit_id("N", "a", "1") in ids


def test_what_has_settled_or_is_refunded_never_moves_again() -> None:
    assert DEPOSIT_ORDER.ends == {"settled", "refunded"}


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("0xAb", "0xaB", True),
        ("0XAB", "0xab", True),
        ("0xab", "0xac", False),
        ("bc1qAb", "bc1qab", False),
        ("", "", True),
    ],
)
def test_capitals_matter_but_in_hexadecimal(one: str, other: str, same: bool) -> None:
    assert same_address(one, other) is same

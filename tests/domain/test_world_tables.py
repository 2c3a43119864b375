"""What all tables of a world file share."""

import msgspec
import pytest

from otcdesk.domain.world_tables import Table, invalid, units_in
from otcdesk.errors import Code, Refusal

SCALES = {"EUR": 2, "SHARE": 0}


class Parcel(Table, frozen=True, kw_only=True):
    weight: int = 0


def test_a_misspelt_key_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="wieght"):
        msgspec.convert({"wieght": 1}, Parcel)


def test_a_mistake_is_told_in_a_sentence() -> None:
    refusal = invalid("it is upside down")
    assert (refusal.code, refusal.detail) == (
        Code.DECLARATION_INVALID,
        "The world file is not valid: it is upside down",
    )


@pytest.mark.parametrize("text, asset, units", [("12.3", "EUR", 1_230), ("7", "SHARE", 7), ("0", "EUR", 0)])
def test_amounts_are_units_of_their_asset(text: str, asset: str, units: int) -> None:
    assert units_in(text, asset, SCALES) == units


@pytest.mark.parametrize("text, asset", [("1", "BTC"), ("0.001", "EUR"), ("7.5", "SHARE"), ("-1", "EUR"), ("", "EUR")])
def test_what_is_no_amount_is_refused(text: str, asset: str) -> None:
    with pytest.raises(Refusal, match=Code.DECLARATION_INVALID.name):
        units_in(text, asset, SCALES)

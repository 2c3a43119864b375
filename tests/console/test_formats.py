"""How values are written for people."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import jinja2
import pytest

from otcdesk.console.formats import FILTERS, grouped, percent, person, rate, told

_SCALES = {"EUR": 2, "USDC": 6, "HBR": 0}


def shown(template: str, **facts: Any) -> str:
    """Render a template with the filters."""
    known = jinja2.Environment(autoescape=True)
    known.filters.update(FILTERS)
    return known.from_string(template).render(scales=_SCALES, **facts)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", "0"),
        ("999", "999"),
        ("1000", "1,000"),
        ("1234567.0001", "1,234,567.0001"),
        ("-1000.50", "\u22121,000.50"),
        ("-1", "\u22121"),
    ],
)
def test_thousands_are_parted(text: str, expected: str) -> None:
    assert grouped(text) == expected


@pytest.mark.parametrize(
    "units, asset, expected",
    [
        (250_000, "EUR", "2,500.00"),
        (1_084_200_000, "USDC", "1,084.20"),
        (1_084_200_001, "USDC", "1,084.200001"),
        (7, "HBR", "7"),
        (-5, "EUR", "\u22120.05"),
        (None, "EUR", "\u2013"),
    ],
)
def test_an_amount_is_exact(units: int | None, asset: str, expected: str) -> None:
    assert shown("{{ units | bare(asset) }}", units=units, asset=asset) == expected


def test_an_amount_has_its_asset_and_hostile_codes_are_text() -> None:
    assert shown("{{ 100 | amount('EUR') }}") == '<span class="amount">1.00 <abbr>EUR</abbr></span>'
    assert "<b>" not in shown("{{ 1 | amount(asset) }}", asset="<b>")


def test_what_is_typed_has_no_commas() -> None:
    assert shown("{{ 123456789 | typed('EUR') }}") == "1234567.89"


def test_rates_and_percents() -> None:
    assert [rate(Decimal("1.084200")), rate(None), rate(Decimal("12345.5"))] == ["1.0842", "\u2013", "12,345.5"]
    assert [percent(25), percent(Decimal("-7.5")), percent(None)] == ["0.25 %", "\u22120.08 %", "\u2013"]


def test_times_are_of_utc() -> None:
    there = datetime(2026, 3, 2, 1, 30, tzinfo=timezone(timedelta(hours=3)))
    expected = '<time datetime="2026-03-01T22:30:00.000+00:00">2026-03-01 22:30:00</time>'
    assert shown("{{ at | when }}", at=there) == expected
    assert shown("{{ at | when }}", at=datetime(2026, 3, 2, tzinfo=UTC)).endswith("2026-03-02 00:00:00</time>")


@pytest.mark.parametrize(
    "caller, expected",
    [
        ("person:ada@desk.example", "ada@desk.example"),
        ("api_key:acme", "acme (API key)"),
        ("operator:night shift", "night shift (operator's token)"),
        ("worker:due", "worker:due"),
        ("clock", "clock"),
        (None, "\u2013"),
    ],
)
def test_who_asked_is_said_as_people_say_it(caller: str | None, expected: str) -> None:
    assert person(caller) == expected


def test_people_are_named_in_texts() -> None:
    assert told("proposed by person:ada@desk.example") == "proposed by ada@desk.example"


def test_ids_and_breaks_are_text() -> None:
    assert "<script>" not in shown("{{ text | short }} {{ text | lines }}", text="<script>\n<script>12345678")

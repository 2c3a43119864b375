"""Exports: standard rows, exact amounts, no formulas, cut where they are too long and never held in memory."""

import csv
from collections.abc import AsyncIterator
from decimal import Decimal
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.console.books import exports
from otcdesk.console.books import reads as books
from otcdesk.console.books.exports import chart_csv, in_whole, safe_cell, statement_csv, trades_csv, written
from otcdesk.console.books.reads import AccountFilter
from otcdesk.console.position import pnl
from otcdesk.storage.database import Reads
from tests.console.position.test_pnl import SINCE, UNTIL
from tests.support.desk import FA1, TREASURY_EUR, Lane

LANE = 1


@pytest.fixture
async def full(populated_lane: Lane) -> AsyncIterator[Reads]:
    async with Reads.opened(populated_lane.dsn, connections_max=4, statement_timeout_ms=10_000) as opened:
        yield opened


async def rows_of(pieces: AsyncIterator[bytes]) -> list[dict[str, str]]:
    text = b"".join([piece async for piece in pieces]).decode()
    assert text.endswith("\r\n")
    head, *rows = csv.reader(StringIO(text, newline=""), strict=True)
    assert all(len(row) == len(head) for row in rows)
    return [dict(zip(head, row, strict=True)) for row in rows]


async def test_a_statement_adds_up_from_its_opening_to_its_closing_balance(full: Reads) -> None:
    of = await books.account(full, LANE, TREASURY_EUR)
    assert of is not None
    extent = (await books.extent_of(full, LANE, of))._replace(first=3, opening=0)
    extent = extent._replace(opening=int(await full.value("console_books", "balance_at", LANE, of.id, 2)))
    opening, *entries, closing = await rows_of(statement_csv(full, LANE, of, extent))
    assert (opening["reason"], closing["reason"]) == ("opening balance", "closing balance")
    balance = Decimal(opening["balance after (EUR)"])
    for number, row in enumerate(entries, start=3):
        balance += Decimal(row["amount (EUR)"])
        assert (row["version"], Decimal(row["balance after (EUR)"])) == (str(number), balance)
        assert row["counter-account"]
    assert len(entries) == of.version - 2
    assert Decimal(closing["balance after (EUR)"]) == balance == Decimal(of.balance) / 100


async def test_the_chart_has_every_account_and_its_filter(full: Reads) -> None:
    found = await rows_of(chart_csv(full, LANE))
    every = await books.chart(full, LANE, limit=500)
    assert [row["account"] for row in found] == [str(row.id) for row in every]
    assert [row["name"] for row in found] == [row.name for row in every]
    cash = await rows_of(chart_csv(full, LANE, AccountFilter(purpose="cash")))
    assert {row["purpose"] for row in cash} == {"cash"}


async def test_trades_have_their_exact_results(full: Reads) -> None:
    found = await rows_of(trades_csv(full, LANE, SINCE, UNTIL))
    every = await pnl.trades_of(full, LANE, SINCE, UNTIL, limit=1_000)
    assert [row["order"] for row in found] == [str(each.trade.order_id) for each in every]
    for row, each in zip(found, every, strict=True):
        names = [f"{name} (of result asset)" for name in pnl.COMPONENTS]
        assert sum(Decimal(row[name]) for name in names) == Decimal(row["total (of result asset)"])
        scale = (
            each.trade.destination_scale if each.trade.asset == row["destination asset"] else each.trade.source_scale
        )
        assert Decimal(row["total (of result asset)"]) * 10**scale == each.total


async def test_what_is_too_long_is_cut_and_says_so(full: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 2)
    for rows_max in (1, 2, 3):
        monkeypatch.setattr(exports, "ROWS_MAX", rows_max)
        of = await books.account(full, LANE, TREASURY_EUR)
        assert of is not None
        _, *entries, last = await rows_of(statement_csv(full, LANE, of, await books.extent_of(full, LANE, of)))
        assert len(entries) == rows_max
        assert last["version"] == f"CUT: only {rows_max} of {of.version} rows are exported at once"
        for pieces, column in (
            (chart_csv(full, LANE), "account"),
            (trades_csv(full, LANE, SINCE, UNTIL), "executed at (UTC)"),
        ):
            *entries, last = await rows_of(pieces)
            assert len(entries) == rows_max
            assert last[column].startswith("CUT: ")


async def test_what_is_just_not_too_long_is_whole(full: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    every = await rows_of(chart_csv(full, LANE))
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(exports, "ROWS_MAX", len(every))
    assert await rows_of(chart_csv(full, LANE)) == every


async def test_only_a_page_is_read_before_a_piece_is_sent(full: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 3)
    of = await books.account(full, LANE, FA1)
    assert of is not None
    pieces = statement_csv(full, LANE, of, await books.extent_of(full, LANE, of))
    sizes = [piece.count(b"\r\n") async for piece in pieces]
    assert sizes[:2] == [1, 1]
    assert max(sizes) == 3


@pytest.mark.parametrize(
    "given_cell, shown",
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "-1"),
        ("-1.50", "-1.50"),
        ("-1-1", "'-1-1"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("-\u0661", "'-\u0661"),
        ("plain", "plain"),
        (None, ""),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.10"), "-0.1"),
        (7, "7"),
    ],
)
def test_no_cell_is_a_formula(given_cell: exports.Cell, shown: str) -> None:
    assert safe_cell(given_cell) == shown


@given(st.lists(st.text(), min_size=2, max_size=4))
def test_any_text_comes_back_as_it_is_but_for_the_apostrophe(cells: list[str]) -> None:
    (row,) = csv.reader(StringIO(written([cells]).decode(), newline=""), strict=True)
    assert row == [safe_cell(cell).encode("utf-8", "replace").decode() for cell in cells]
    assert all(not cell.startswith(("=", "+", "@", "\t", "\r")) for cell in row)


def test_units_with_a_fraction_are_exact_in_whole() -> None:
    assert format(in_whole(Decimal("123456789012345678901234567890.0000005"), 18), "f") == (
        "123456789012.3456789012345678900000005"
    )

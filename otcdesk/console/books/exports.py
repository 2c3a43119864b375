"""The books as comma-separated values (RFC 4180), in pieces of bytes that are made as they are sent.

Only one page of rows is in memory at a time, whatever is asked for. What is longer than `ROWS_MAX` is cut, and its last
row says so. Amounts are exact decimals of their asset, which a column or the header names; times are UTC.

A cell that a spreadsheet would take for a formula is made a text by an apostrophe before it; numbers are left as they
are.
"""

import csv
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact
from io import StringIO
from typing import Final

from otcdesk.console.books import acts as audit
from otcdesk.console.books import reads as books
from otcdesk.console.books.acts import ActFilter, ActRow
from otcdesk.console.books.reads import AccountFilter, AccountRow, Extent, StatementRow
from otcdesk.console.position import pnl
from otcdesk.console.position.pnl import WonTrade
from otcdesk.money import plain, print_units
from otcdesk.storage.database import Reads

#: More rows than this are not exported at once.
ROWS_MAX: Final = 200_000

#: Rows that are read, and sent, at once.
ROWS_AT_ONCE: Final = 500

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_EXACT: Final = Context(prec=200, traps=[Inexact])

Cell = str | int | Decimal | datetime | None


async def statement_csv(reads: Reads, lane: int, of: AccountRow, extent: Extent) -> AsyncGenerator[bytes, None]:
    """Give an account's statement, the oldest entry first, between its opening and its closing balance."""
    asset, scale = of.asset, of.scale
    head = ("version", "booked at (UTC)", "reason", "reference", "order", "ledger transaction", "counter-account")
    yield written([(*head, f"amount ({asset})", f"balance after ({asset})")])
    yield written([_sum_cells(extent.since, "opening balance", extent.opening, scale)])
    first, left, closing = extent.first, ROWS_MAX, extent.opening
    while first <= extent.last and left > 0:
        size = min(ROWS_AT_ONCE, left)
        page = await books.entries(reads, lane, of.id, first, extent.last, size=size)
        if not page:
            break
        yield written(_statement_cells(row, scale) for row in page)
        first, left, closing = page[-1].version + 1, left - len(page), page[-1].balance_after
    if first <= extent.last:
        yield _cut(len(head) + 2, extent.entries)
    else:
        yield written([_sum_cells(extent.until, "closing balance", closing, scale)])


def _sum_cells(at: datetime | None, name: str, units: int, scale: int) -> tuple[Cell, ...]:
    return "", at, name, "", "", "", "", "", print_units(units, scale)


def _statement_cells(row: StatementRow, scale: int) -> tuple[Cell, ...]:
    return (
        row.version,
        row.booked_at,
        row.reason,
        row.reference,
        str(row.order_id) if row.order_id else "",
        str(row.transaction_id),
        row.counter_account,
        print_units(row.units, scale),
        print_units(row.balance_after, scale),
    )


async def chart_csv(reads: Reads, lane: int, wanted: AccountFilter | None = None) -> AsyncGenerator[bytes, None]:
    """Give the accounts that a filter lets through, in the order of the chart's pages."""
    head = ("account", "name", "tenant", "party", "branch", "purpose", "label", "status", "asset", "network", "address")
    yield written([(*head, "balance (of the asset)", "held (of the asset)", "available (of the asset)", "floor")])
    last, left = None, ROWS_MAX
    while page := await books.chart(reads, lane, wanted, after=last, limit=min(ROWS_AT_ONCE, left + 1)):
        yield written(_account_cells(row) for row in page[:left])
        if len(page) > left:
            yield _cut(len(head) + 4, None)
            break
        last, left = page[-1], left - len(page)


def _account_cells(row: AccountRow) -> tuple[Cell, ...]:
    return (
        str(row.id),
        row.name,
        row.tenant,
        row.party,
        row.branch,
        row.purpose,
        row.label,
        row.status,
        row.asset,
        row.network,
        row.address,
        print_units(row.balance, row.scale),
        print_units(row.held, row.scale),
        print_units(row.available, row.scale),
        None if row.floor is None else print_units(row.floor, row.scale),
    )


async def trades_csv(reads: Reads, lane: int, since: date, until: date) -> AsyncGenerator[bytes, None]:
    """Give the trades from one day to before another, the latest first, with what each has won."""
    head = ("executed at (UTC)", "order", "product", "side", "tenant")
    given = ("source amount (of source asset)", "source asset")
    got = ("destination amount (of destination asset)", "destination asset")
    rates = (
        "market rate",
        "market source",
        "market at (UTC)",
        "quoted rate",
        "executed rate",
        "venue or approval rate",
    )
    won = ("result asset", *(f"{name} (of result asset)" for name in (*pnl.COMPONENTS, "total")))
    columns = (*head, *given, *got, *rates, *won)
    yield written([columns])
    last, left = None, ROWS_MAX
    while page := await pnl.trades_of(reads, lane, since, until, after=last, limit=min(ROWS_AT_ONCE, left + 1)):
        yield written(_trade_cells(row) for row in page[:left])
        if len(page) > left:
            yield _cut(len(columns), None)
            break
        last, left = page[-1], left - len(page)


def _trade_cells(row: WonTrade) -> tuple[Cell, ...]:
    trade = row.trade
    scale = trade.destination_scale if trade.asset == trade.destination_asset else trade.source_scale
    components = (trade.spread, trade.slippage, trade.fees, trade.other, row.total)
    return (
        trade.executed_at,
        str(trade.order_id),
        trade.product,
        trade.side,
        row.tenant,
        print_units(trade.source_units, trade.source_scale),
        trade.source_asset,
        print_units(trade.destination_units, trade.destination_scale),
        trade.destination_asset,
        trade.market_rate,
        trade.market_source,
        trade.market_at,
        trade.quoted_rate,
        trade.executed_rate,
        trade.approved_market_rate,
        trade.asset,
        *(in_whole(units, scale) for units in components),
    )


async def acts_csv(reads: Reads, lane: int, wanted: ActFilter | None = None) -> AsyncGenerator[bytes, None]:
    """Give what operators did, the latest first."""
    columns = ("happened at (UTC)", "who", "from", "what", "about", "about id", "content", "why", "request", "act")
    yield written([columns])
    last, left = None, ROWS_MAX
    while page := await audit.acts(reads, lane, wanted, after=last, limit=min(ROWS_AT_ONCE, left + 1)):
        yield written(_act_cells(row) for row in page[:left])
        if len(page) > left:
            yield _cut(len(columns), None)
            break
        last, left = (page[-1].act.happened_at, page[-1].act.id), left - len(page)


def _act_cells(row: ActRow) -> tuple[Cell, ...]:
    act = row.act
    about = str(act.subject_id) if act.subject_id else ""
    what = (act.happened_at, act.caller, act.address, row.title, row.subject, about)
    return (*what, act.content, act.why, act.request_id, str(act.id))


def in_whole(units: Decimal, scale: int) -> Decimal:
    """Return units, which may have a fraction, as an exact number of the asset."""
    return _EXACT.scaleb(units, -scale)


def _cut(columns: int, entries: int | None) -> bytes:
    of = "" if entries is None else f" of {entries}"
    return written([(f"CUT: only {ROWS_MAX}{of} rows are exported at once", *("",) * (columns - 1))])


def written(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Return rows as they are sent."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def safe_cell(value: Cell) -> str:
    """Return a cell's text, which no spreadsheet takes for a formula."""
    match value:
        case None:
            return ""
        case Decimal():
            return format(plain(value), "f")
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        case _:
            text = str(value)
    if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text

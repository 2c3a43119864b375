"""An account's statement as a document for whom it is of: A4, with a number, a running balance and numbered pages.

The same statement made at the same time is the same bytes. Whatever a name or a reason holds is drawn as text, never
read as markup. Letters are DejaVu Sans's, of which the document carries those that it uses; Chinese, Japanese and
Korean ones are left to the reader's own fonts, as PDF provides for; a letter that neither has is drawn as a replacement
mark. Words that run from right to left do so; scripts that join letters are drawn letter by letter.

A statement is never cut: one that would be longer than `ENTRIES_MAX` is refused, for a shorter period to be asked for.
"""

import asyncio
import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import as_file, files
from io import BytesIO
from itertools import groupby
from math import ceil
from typing import Any, Final
from uuid import UUID

import msgspec
from reportlab.lib.colors import Color, black
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from otcdesk.console.books import reads as books
from otcdesk.console.books.reads import AccountRow, Extent, StatementRow
from otcdesk.money import print_units
from otcdesk.storage.database import Reads

#: A document of so many entries has some 700 pages and takes seconds.
ENTRIES_MAX: Final = 20_000

_ROWS_AT_ONCE: Final = 500

_FONT: Final = "DejaVuSans"
_CHINESE_AND_JAPANESE: Final = "STSong-Light"
_KOREAN: Final = "HYSMyeongJo-Medium"
_REPLACEMENT: Final = "\ufffd"

#: A4 in points of 1/72 inch, in which everything here is measured, by whole ones.
_WIDTH, _HEIGHT = 595, 842
_MARGIN: Final = 51
_RIGHT: Final = _WIDTH - _MARGIN
_ROW_HEIGHT: Final = 24
_FIRST_ROWS: Final = 22
_OTHER_ROWS: Final = 28

#: Where columns begin, or end where they are of numbers.
_VALUE_AT: Final = _MARGIN + 68
_TEXT_AT: Final = _MARGIN + 94
_NUMBER_WIDTH: Final = 102
_AMOUNT_ENDS: Final = _RIGHT - _NUMBER_WIDTH - 6
_TEXT_WIDTH: Final = _AMOUNT_ENDS - _NUMBER_WIDTH + 6 - _TEXT_AT

_GREY: Final = Color(0.4, 0.4, 0.4)
_SIZE: Final = 8
_SMALL: Final = 7

#: Words of Hebrew, Arabic and their neighbours, with the spaces between them.
_RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]+(?: +[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]+)*"
)

#: Fonts know the documents that use them, so one document is made at a time.
_one_at_a_time = threading.Lock()


class StatementTooLong(Exception):
    """A statement has more entries than a document may."""

    def __init__(self, entries: int) -> None:
        super().__init__(f"{entries} entries are more than the {ENTRIES_MAX} of one document.")
        self.entries = entries


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement says beside its entries."""

    desk: str
    lane: int
    account: AccountRow
    extent: Extent
    made_at: datetime

    @property
    def number(self) -> str:
        """Return the document's number, the same for the same entries of the same account and period."""
        extent = self.extent
        said = (self.lane, self.account.id, extent.since, extent.until, extent.first, extent.last, extent.closing)
        return sha256("|".join(map(str, said)).encode()).hexdigest()[:12].upper()


async def statement_pdf(
    reads: Reads,
    lane: int,
    account_id: UUID,
    *,
    desk: str,
    made_at: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> bytes | None:
    """Return an account's statement as a PDF, None if the lane has no such account.

    Raises StatementTooLong. It is drawn in a thread.
    """
    of = await books.account(reads, lane, account_id)
    if of is None:
        return None
    extent = await books.extent_of(reads, lane, of, since, until)
    if extent.entries > ENTRIES_MAX:
        raise StatementTooLong(extent.entries)
    rows: list[StatementRow] = []
    while len(rows) < extent.entries:
        page = await books.entries(reads, lane, of.id, extent.first + len(rows), extent.last, size=_ROWS_AT_ONCE)
        if not page:
            raise AssertionError(f"account {of.id} has no entry {extent.first + len(rows)}")
        rows += page
    document = Document(desk=desk, lane=lane, account=of, extent=extent, made_at=made_at)
    return await asyncio.to_thread(drawn, document, rows)


def drawn(document: Document, rows: Sequence[StatementRow]) -> bytes:
    """Draw a statement of these entries, the oldest first."""
    with _one_at_a_time:
        _register_fonts()
        file = BytesIO()
        canvas = Canvas(file, pagesize=(_WIDTH, _HEIGHT), invariant=1, pageCompression=1)
        canvas.setTitle(f"Statement {document.number}")
        canvas.setAuthor(legible(document.desk))
        _draw(canvas, document, rows)
        canvas.save()
        return file.getvalue()


def _draw(canvas: Any, document: Document, rows: Sequence[StatementRow]) -> None:
    pages = [rows[:_FIRST_ROWS]]
    pages += [rows[start : start + _OTHER_ROWS] for start in range(_FIRST_ROWS, len(rows), _OTHER_ROWS)]
    scale = document.account.scale
    for number, page in enumerate(pages, start=1):
        top = _head(canvas, document) if number == 1 else _HEIGHT - _MARGIN
        top = _column_names(canvas, document, top)
        if number == 1:
            top = _sum(canvas, "Opening balance", document.extent.opening, scale, top)
        for row in page:
            top = _entry(canvas, row, scale, top)
        if number == len(pages):
            _sum(canvas, "Closing balance", document.extent.closing, scale, top)
        _foot(canvas, document, number, len(pages))
        canvas.showPage()


def _head(canvas: Any, document: Document) -> int:
    account, top = document.account, _HEIGHT - _MARGIN
    _text(canvas, _MARGIN, top - 14, document.desk, 16)
    _text(canvas, _MARGIN, top - 34, "Statement of account", 11)
    inner = account.party or account.branch
    facts = [
        ("Holder", account.tenant if inner is None else f"{account.tenant} · {inner}"),
        ("Account", account.label or account.purpose.replace("_", " ")),
        ("Asset", f"{account.asset} on {account.network}" if account.network else account.asset),
        ("Address", account.address),
        ("Period", f"{_day(document.extent.since, 'The beginning')} to {_day(document.extent.until, 'now', -1)}"),
        ("Made at", f"{document.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"),
        ("Document", document.number),
    ]
    top -= 52
    for name, value in facts:
        if value:
            _text(canvas, _MARGIN, top, name, _SIZE, color=_GREY)
            _text(canvas, _VALUE_AT, top, value, _SIZE, width=_RIGHT - _VALUE_AT)
            top -= 12
    return top - 6


def _day(at: datetime | None, otherwise: str, microseconds: int = 0) -> str:
    """Write the day of a time, or of so little before it: a period's last day is the one before it is over."""
    return otherwise if at is None else f"{at.astimezone(UTC) + timedelta(microseconds=microseconds):%Y-%m-%d}"


def _column_names(canvas: Any, document: Document, top: int) -> int:
    asset = document.account.asset
    _text(canvas, _MARGIN, top - 8, "Booked (UTC)", _SMALL, color=_GREY)
    _text(canvas, _TEXT_AT, top - 8, "For", _SMALL, color=_GREY)
    _number(canvas, _AMOUNT_ENDS, top - 8, f"Amount {asset}", _SMALL, color=_GREY)
    _number(canvas, _RIGHT, top - 8, f"Balance {asset}", _SMALL, color=_GREY)
    canvas.setStrokeColor(_GREY)
    canvas.line(_MARGIN, top - 12, _RIGHT, top - 12)
    return top - 14


def _sum(canvas: Any, name: str, units: int, scale: int, top: int) -> int:
    _text(canvas, _TEXT_AT, top - 12, name, _SIZE)
    _number(canvas, _RIGHT, top - 12, print_units(units, scale), _SIZE)
    return top - _ROW_HEIGHT


def _entry(canvas: Any, row: StatementRow, scale: int, top: int) -> int:
    _text(canvas, _MARGIN, top - 10, f"{row.booked_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", _SIZE)
    _text(canvas, _TEXT_AT, top - 10, row.reason, _SIZE, width=_TEXT_WIDTH)
    about = " · ".join(part for part in (row.reference, str(row.order_id) if row.order_id else None) if part)
    _text(canvas, _TEXT_AT, top - 19, about, _SMALL, width=_TEXT_WIDTH, color=_GREY)
    _number(canvas, _AMOUNT_ENDS, top - 10, print_units(row.units, scale), _SIZE)
    _number(canvas, _RIGHT, top - 10, print_units(row.balance_after, scale), _SIZE)
    return top - _ROW_HEIGHT


def _foot(canvas: Any, document: Document, number: int, pages: int) -> None:
    _text(canvas, _MARGIN, _MARGIN - 14, f"{document.desk} · {document.number}", _SMALL, width=340, color=_GREY)
    _number(canvas, _RIGHT, _MARGIN - 14, f"Page {number} of {pages}", _SMALL, color=_GREY)


def _text(
    canvas: Any, left: int, bottom: int, text: str, size: int, *, width: int | None = None, color: Color = black
) -> None:
    """Draw a text, and as much of it as fits into a width."""
    canvas.setFillColor(color)
    for font, run in _runs(_fitting(legible(text), size, width)):
        canvas.setFont(font, size)
        canvas.drawString(left, bottom, run)
        left += ceil(pdfmetrics.stringWidth(run, font, size))


def _number(canvas: Any, right: int, bottom: int, text: str, size: int, *, color: Color = black) -> None:
    """Draw a number so that it ends at `right`, smaller if it is too long for its column."""
    shown = legible(text)
    while size > 1 and _width(shown, size) > _NUMBER_WIDTH:
        size -= 1
    if shown.isascii():
        canvas.setFillColor(color)
        canvas.setFont(_FONT, size)
        canvas.drawRightString(right, bottom, shown)
    else:
        _text(canvas, right - _width(shown, size), bottom, shown, size, color=color)


def _fitting(text: str, size: int, width: int | None) -> str:
    if width is None or _width(text, size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _width(text[:middle] + "…", size) <= width else (low, middle - 1)
    return text[:low] + "…"


def _width(text: str, size: int) -> int:
    return sum(ceil(pdfmetrics.stringWidth(run, font, size)) for font, run in _runs(text))


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """Give the parts of a text, each with the font that has its letters."""
    if text.isascii():
        if text:
            yield _FONT, text
        return
    glyphs = _glyphs()
    for font, letters in groupby(text, key=lambda letter: _font_of(letter, glyphs)):
        run = "".join(letters)
        yield (font, run) if font else (_FONT, _REPLACEMENT * len(run))


def _glyphs() -> dict[int, int]:
    font: Any = pdfmetrics.getFont(_FONT)
    glyphs: dict[int, int] = font.face.charToGlyph
    return glyphs


def _font_of(letter: str, glyphs: dict[int, int]) -> str | None:
    code = ord(letter)
    if code in glyphs:
        return _FONT
    if 0xAC00 <= code <= 0xD7A3:
        return _KOREAN
    if 0x3000 <= code <= 0x30FF or 0x4E00 <= code <= 0x9FFF or 0xFF00 <= code <= 0xFFEF:
        return _CHINESE_AND_JAPANESE
    return None


def legible(text: str) -> str:
    """Return a text as it is drawn: without control characters and the like, what runs from right to left turned."""
    if text.isascii() and text.isprintable():
        return text
    visible = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)
    return _RIGHT_TO_LEFT.sub(lambda run: run[0][::-1], visible)


def _register_fonts() -> None:
    if _FONT in pdfmetrics.getRegisteredFontNames():
        return
    with as_file(files("otcdesk.console") / "fonts" / "DejaVuSans.ttf") as path:
        pdfmetrics.registerFont(TTFont(_FONT, str(path)))
    for name in (_CHINESE_AND_JAPANESE, _KOREAN):
        pdfmetrics.registerFont(UnicodeCIDFont(name))

"""A statement as a document: everything that it must say is on it, on numbered pages, and any name can be drawn."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from uuid import UUID, uuid4

import msgspec
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otcdesk.console.books import reads as books
from otcdesk.console.books import statement_pdf as module
from otcdesk.console.books.reads import AccountRow, Extent, StatementRow
from otcdesk.console.books.statement_pdf import Document, StatementTooLong, drawn, legible, statement_pdf
from otcdesk.money import print_units
from otcdesk.storage.database import Reads
from tests.support.desk import FA1, TREASURY_EUR, Lane

LANE = 1
MADE_AT = datetime(2026, 11, 22, 12, tzinfo=UTC)

ACCOUNT = AccountRow(
    id=UUID(int=7),
    owner_id=UUID(int=8),
    purpose="cash",
    asset="EUR",
    scale=2,
    label="main",
    status="active",
    network="",
    address="DE89370400440532013000",
    floor=0,
    balance=0,
    held=0,
    version=0,
    tenant="Acme",
    tenant_id=UUID(int=8),
    party=None,
    branch=None,
)


@pytest.fixture
async def full(populated_lane: Lane) -> AsyncIterator[Reads]:
    async with Reads.opened(populated_lane.dsn, connections_max=4, statement_timeout_ms=10_000) as opened:
        yield opened


def entries(number: int, reason: str = "wire") -> list[StatementRow]:
    return [
        StatementRow(
            version=version,
            units=100,
            balance_after=100 * version,
            transaction_id=UUID(int=version),
            reason=reason,
            reference=f"bank-{version}",
            caller="operator",
            booked_at=MADE_AT + timedelta(seconds=version),
            order_id=UUID(int=version),
            product=None,
            counter_account_id=UUID(int=1),
        )
        for version in range(1, number + 1)
    ]


def document(rows: list[StatementRow], desk: str = "The Desk", **names: str) -> Document:
    return Document(
        desk=desk,
        lane=1,
        account=msgspec.structs.replace(ACCOUNT, **names),
        extent=Extent(None, None, 1, len(rows), 0, 100 * len(rows)),
        made_at=MADE_AT,
    )


def pages_of(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(BytesIO(pdf), strict=True).pages]


async def test_a_statement_says_whose_it_is_what_was_there_and_every_entry(full: Reads) -> None:
    since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    made = await statement_pdf(full, LANE, FA1, desk="The Desk", made_at=MADE_AT, since=since, until=until)
    statement = await books.statement(full, LANE, FA1, limit=500)
    assert made is not None
    assert statement is not None
    pages = pages_of(made)
    text = "\n".join(pages)
    for wanted in (
        "The Desk",
        "Holder",
        statement.account.tenant,
        "2020-01-01 to 2099-12-31",
        "2026-11-22 12:00:00 UTC",
    ):
        assert str(wanted) in pages[0]
    assert pages[0].index("Opening balance") < text.index("Closing balance")
    assert text.count(print_units(statement.account.balance, 2)) >= 2
    for row in statement.rows:
        assert print_units(row.units, 2) in text
        assert print_units(row.balance_after, 2) in text
        assert f"{row.booked_at:%Y-%m-%d %H:%M:%S}" in text
        assert row.order_id is None or str(row.order_id) in text
    assert "treasury" not in text  # what is on the other side is the desk's own affair


async def test_the_same_statement_is_the_same_bytes_and_another_has_another_number(full: Reads) -> None:
    made = [
        await statement_pdf(full, LANE, account_id, desk="D", made_at=MADE_AT)
        for account_id in (FA1, FA1, TREASURY_EUR)
    ]
    assert made[0] == made[1]
    assert made[0] != made[2]
    rows = entries(3)
    assert document(rows).number == document(rows, desk="Other").number
    assert document(rows).number != document(entries(2)).number


@pytest.mark.parametrize("number", [0, 1, 22, 23, 50, 51, 79])
def test_pages_are_numbered_and_each_entry_is_on_one(number: int) -> None:
    pages = pages_of(drawn(document(entries(number)), entries(number)))
    for place, page in enumerate(pages, start=1):
        assert f"Page {place} of {len(pages)}" in page
    text = "\n".join(pages)
    assert [text.count(f"bank-{version} ") for version in range(1, number + 1)] == [1] * number
    assert text.count("Opening balance") == text.count("Closing balance") == 1
    assert len(pages) == 1 + max(0, -(-(number - 22) // 28))


async def test_an_account_of_nobody_has_none_and_one_that_is_too_long_is_refused(
    full: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await statement_pdf(full, LANE, uuid4(), desk="D", made_at=MADE_AT) is None
    assert await statement_pdf(full, LANE + 1, FA1, desk="D", made_at=MADE_AT) is None
    monkeypatch.setattr(module, "ENTRIES_MAX", 1)
    with pytest.raises(StatementTooLong) as caught:
        await statement_pdf(full, LANE, TREASURY_EUR, desk="D", made_at=MADE_AT)
    assert caught.value.entries > 1


@pytest.mark.parametrize(
    "name",
    ["Žluťoučký & <b>Söhne</b>", "Ελληνικά", "Кириллица", "שלום עולם", "العربية", "100 % \\ (a) [b] {c}"],
    ids=["latin", "greek", "cyrillic", "hebrew", "arabic", "marks"],
)
def test_names_are_drawn_as_they_are(name: str) -> None:
    (page,) = pages_of(drawn(document([], desk=name, tenant=name), []))
    assert page.count(name) >= 2


def test_letters_that_no_font_has_leave_a_mark_and_those_of_the_far_east_stay() -> None:
    (page,) = pages_of(drawn(document([], desk="東京 서울 デスク \U00013000 \ud800 x"), []))
    assert page.split()[:5] == ["東京", "서울", "デスク", "\ufffd", "x"]


@settings(max_examples=60)
@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_can_be_drawn(name: str, reason: str) -> None:
    rows = entries(1, reason)
    assert drawn(document(rows, desk=name, tenant=name, label=reason, address=name), rows).startswith(b"%PDF-")
    assert all(letter.isprintable() or letter == " " for letter in legible(name))


def test_documents_that_are_made_at_a_time_do_not_meet() -> None:
    rows = entries(30, "Žluť")
    alone = drawn(document(rows), rows)

    async def together() -> list[bytes]:
        return await asyncio.gather(*(asyncio.to_thread(drawn, document(rows), rows) for _ in range(4)))

    assert asyncio.run(together()) == [alone] * 4


def test_the_longest_statement_is_made_in_bounded_time() -> None:
    rows = entries(2_000)
    began = time.monotonic()
    drawn(document(rows), rows)
    assert time.monotonic() - began < 30

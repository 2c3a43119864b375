"""Statements: what is told of them in both versions, what is refused before a word is told, and how much it takes."""

import contextlib
import re
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otcdesk.banking import statements
from otcdesk.banking.statements import StatementBegun, StatementEnded, StatementUnreadable, Told, read_statements
from otcdesk.domain.bank_files import GivenLine
from tests.support.statements import (
    OURS,
    STATEMENT_TAIL,
    V02,
    V08,
    Entry,
    Payment,
    entry_xml,
    statement,
    statement_head,
)

VERSIONS = (V02, V08)

ENTRIES = (
    Entry("100.00", reference="A1", end_to_end="e1"),
    Entry("100.00", "CRDT", reference="A2", end_to_end="e1", returned="AC04"),
    Entry("7.10", text="a fee"),
    Entry("5.00", reference="A3", batch="b1", count=2, payments=(Payment("2.00", "x"), Payment("3.00", "y"))),
    Entry("9.00", reference="A4", batch="b2", count=3),
    Entry("1.00", status="PDNG"),
)


def told(content: bytes) -> list[Told]:
    return list(read_statements(BytesIO(content)))


def lines(content: bytes) -> list[GivenLine]:
    return [value for value in told(content) if isinstance(value, GivenLine)]


def refused(content: bytes) -> str:
    values = read_statements(BytesIO(content))
    with pytest.raises(StatementUnreadable) as caught:
        next(values)
    return str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_told(version: str) -> None:
    begun, *found, ended = told(statement(*ENTRIES, version=version))
    assert begun == StatementBegun(id="2026-11-20", account=OURS)
    assert isinstance(ended, StatementEnded)
    assert (ended.opening, ended.closing) == (Decimal(1_000_000), Decimal("999978.90"))
    assert (ended.moved, ended.adds_up) == (Decimal("-21.1"), True)
    paid, back, fee, one, two, total = [value for value in found if isinstance(value, GivenLine)]
    assert (paid.amount, paid.currency, paid.direction) == (Decimal(100), "EUR", "debit")
    assert (paid.bank_reference, paid.end_to_end_id, paid.returned) == ("A1", "e1", False)
    assert paid.booked_on == date(2026, 11, 20)
    assert (back.direction, back.returned, back.return_reason, back.end_to_end_id) == ("credit", True, "AC04", "e1")
    assert (fee.amount, fee.bank_reference, fee.remittance) == (Decimal("7.1"), None, "a fee")
    assert [(line.amount, line.end_to_end_id, line.batch_reference) for line in (one, two)] == [
        (Decimal(2), "x", None),
        (Decimal(3), "y", None),
    ]
    assert (total.amount, total.batch_reference, total.batch_count) == (Decimal(9), "b2", 3)


def test_both_versions_tell_of_the_same_lines() -> None:
    assert lines(statement(*ENTRIES, version=V02)) == lines(statement(*ENTRIES, version=V08))


def test_lines_are_known_again_and_told_apart() -> None:
    entries = [Entry("5.00"), Entry("5.00"), Entry("5.00", reference="R"), Entry("5.00", "CRDT", reference="R")]
    first = [line.id for line in lines(statement(*entries))]
    assert len(set(first)) == 4
    assert [line.id for line in lines(statement(*entries, Entry("1.00"), number="another"))][:4] == first
    assert not set(first) & {line.id for line in lines(statement(*entries, account="DE89370400440532013000"))}


def test_two_statements_in_a_file_may_overlap() -> None:
    entry = Entry("5.00")
    one = statement(entry, Entry("6.00")).decode()
    two = re.sub(r".*?(<Stmt>.*</Stmt>).*", r"\1", statement(entry, number="two").decode(), flags=re.DOTALL)
    both = one.replace("</BkToCstmrStmt>", f"{two}</BkToCstmrStmt>").encode()
    first, _, again = lines(both)
    assert first.id == again.id
    assert [value.id for value in told(both) if isinstance(value, StatementBegun)] == ["2026-11-20", "two"]


def test_a_return_by_its_code_alone() -> None:
    content = statement(Entry("5.00", "CRDT", end_to_end="e")).replace(b">ESCT<", b">RRTN<")
    assert lines(content)[0].returned


def test_details_that_do_not_add_up_are_doubted() -> None:
    entry = Entry("5.00", batch="b", payments=(Payment("2.00", "x"), Payment("2.99", "y")))
    (line,) = lines(statement(entry))
    assert (line.amount, line.end_to_end_id, line.doubt) == (Decimal(5), None, "details_differ")


def test_a_balance_that_does_not_follow_is_seen() -> None:
    ended = told(statement(*ENTRIES, closing="1.00"))[-1]
    assert isinstance(ended, StatementEnded)
    assert not ended.adds_up


def test_an_account_may_be_overdrawn() -> None:
    ended = told(statement(Entry("5.00"), opening="-10.00"))[-1]
    assert isinstance(ended, StatementEnded)
    assert (ended.opening, ended.closing, ended.adds_up) == (Decimal(-10), Decimal(-15), True)


# -- what is no statement ------------------------------------------------------------------------------------------

FULL = statement(*[Entry(f"{number}.00") for number in range(1, 300)])
PROLOGUE = b'<?xml version="1.0" encoding="UTF-8"?>'
LAUGHS = b"".join(
    b'<!ENTITY l%d "%s">' % (number, b"&l%d;" % (number - 1) * 10 if number else b"lol") for number in range(12)
)


@pytest.mark.parametrize("cut", [2, 40, 3_000, 50_000, len(FULL) - 500])
def test_a_file_that_is_cut_short_is_refused_whole_and_it_is_said_where(cut: int) -> None:
    content = FULL[:-cut]
    whole = content.count(b"</Ntry>")
    assert f"after {whole} whole entries" in refused(content)


def test_a_file_that_is_damaged_in_the_middle() -> None:
    content = FULL.replace(b'<Amt Ccy="EUR">150.00</Amt>', b'<Amt Ccy="EUR">150.00</Atm>')
    assert "after 149 whole entries" in refused(content)


@pytest.mark.parametrize(
    "was, becomes, said",
    [
        (b">7.00<", b">-7.00<", "-7.00"),
        (b">7.00<", b">seven<", "seven"),
        (b">7.00<", b">1234567890123456789<", "1234567890123456789"),
        (b">7.00<", b">1e5<", "1e5"),
        (b">DBIT<", b">BOTH<", "BOTH"),
        (b"<Dt>2026-11-20</Dt>", b"<Dt>2026-11-31</Dt>", "2026-11-31"),
        (b"<Ntry>", b"<Surprise/><Ntry>", "Surprise"),
        (b">something<", b">" + b"s" * 501 + b"<", "AddtlNtryInf"),
    ],
)
def test_what_the_schema_forbids_is_refused(was: bytes, becomes: bytes, said: str) -> None:
    assert said in refused(FULL.replace(was, becomes, 1))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"{}",
        b"\x00\xff",
        b"<Document/>",
        FULL.replace(b"camt.053.001.08", b"camt.053.001.99"),
        FULL.replace(b"camt.053", b"camt.054"),
        FULL.replace(b"BkToCstmrStmt", b"Other"),
    ],
)
def test_what_is_no_statement(content: bytes) -> None:
    assert refused(content)


@pytest.mark.parametrize(
    "subset",
    [
        LAUGHS,
        b'<!ENTITY l11 SYSTEM "file:///etc/passwd">',
        b'<!ENTITY l11 SYSTEM "http://127.0.0.1:1/x">',
        b'<!ENTITY % x SYSTEM "file:///etc/passwd"> %x; <!ENTITY l11 "x">',
    ],
)
def test_entities_are_refused_unread(subset: bytes) -> None:
    document = FULL.replace(PROLOGUE, PROLOGUE + b"<!DOCTYPE Document [" + subset + b"]>")
    started = time.monotonic()
    assert "document type" in refused(document.replace(b"something", b"&l11;", 1))
    assert "document type" in refused(document.replace(b'<Amt Ccy="EUR">', b'<Amt Ccy="&l11;">', 1))
    assert time.monotonic() - started < 5


def test_a_huge_text_is_refused() -> None:
    assert "too long" in refused(FULL.replace(b"something", b"s" * 11_000_000, 1))


def test_deep_nesting_is_refused() -> None:
    assert refused(FULL.replace(b"<Ntry>", b"<a>" * 100_000 + b"<Ntry>", 1))


def test_bytes_that_are_not_in_the_encoding_that_is_said() -> None:
    assert "encoding" in refused(FULL.replace(b"something", b"caf\xe9", 1))
    latin = FULL.replace(b"UTF-8", b"ISO-8859-1").replace(b"something", b"caf\xe9", 1)
    assert lines(latin)[0].remittance == "café"


def test_an_entry_of_more_payments_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "DETAILS_MAX", 3)
    payments = tuple(Payment("1.00", str(number)) for number in range(4))
    with pytest.raises(StatementUnreadable, match="more than 3"):
        told(statement(Entry("4.00", payments=payments)))


texts = st.none() | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=35)
amounts = st.integers(0, 10**17).map(lambda units: f"{units // 100}.{units % 100:02}")
directions = st.sampled_from(["DBIT", "CRDT"])
reasons = st.none() | st.sampled_from(["AC04", "MD06"])
statuses = st.sampled_from(["BOOK", "PDNG", "INFO"])


@st.composite
def random_entries(draw: st.DrawFn) -> Entry:
    return Entry(
        draw(amounts),
        draw(directions),
        end_to_end=draw(texts),
        reference=draw(texts),
        returned=draw(reasons),
        reversal=draw(st.booleans()),
        status=draw(statuses),
    )


@settings(max_examples=60)
@given(st.lists(random_entries(), max_size=12), st.sampled_from(VERSIONS))
def test_any_statement_is_told_line_by_line_and_adds_up(entries: list[Entry], version: str) -> None:
    content = statement(*entries, version=version)
    booked = [entry for entry in entries if entry.status == "BOOK"]
    found = lines(content)
    assert [line.amount for line in found] == [Decimal(entry.amount) for entry in booked]
    assert found == lines(content)
    ended = told(content)[-1]
    assert isinstance(ended, StatementEnded)
    assert ended.adds_up


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_but_never_breaks(data: st.DataObject) -> None:
    content = bytearray(statement(*ENTRIES))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StatementUnreadable):
        assert isinstance(told(bytes(content))[-1], StatementEnded)


# -- how much it takes ---------------------------------------------------------------------------------------------

_READ = """
import resource, sys
from otcdesk.banking.statements import read_statements
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
with open(sys.argv[1], "rb") as source:
    count = sum(1 for _ in read_statements(source))
print(count, before, peak())
"""


def long_statement(path: Path, entries: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(statement_head())
        for number in range(entries):
            file.write(entry_xml(Entry("1.00", end_to_end=f"{number:032x}", reference=f"r{number}")) + "\n")
        file.write(STATEMENT_TAIL)


def test_a_long_statement_takes_no_more_memory_than_a_short_one(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    entries = 100_000 if pytestconfig.option.fuzz else 10_000
    long_statement(tmp_path / "long.xml", entries)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _READ, tmp_path / "long.xml"], capture_output=True, text=True, check=True
    )
    count, before, peak = map(int, done.stdout.split())
    print(f"{entries} lines in {time.monotonic() - started:.1f} s, {peak - before} kB more at the peak")
    assert count == entries + 2
    assert peak - before < 20_000

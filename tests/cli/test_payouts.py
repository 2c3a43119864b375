"""The commands about payouts through a bank: made files, taken-in statements, exit codes, and being stopped."""

import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from lxml import etree

from tests.cli.commands import ROOT, Desk, assert_one_sentence
from tests.support.bank import HOLDER
from tests.support.databases import run_apart
from tests.support.desk import make_engine, submit
from tests.support.payouts import B2, PARTY_OF, RAMP_WORLD, SEPA_FILE, given, preparing, selling
from tests.support.program import put_audit_key
from tests.support.statements import STATEMENT_TAIL, Entry, entry_xml, statement, statement_head


@pytest.fixture
def desk(tmp_path: Path, fresh_dsn: str) -> Desk:
    desk = Desk(tmp_path / "home", fresh_dsn)
    put_audit_key(desk.home)
    without_keys = re.sub(r"\[\[tenants.request_keys\]\].*?(?=\[\[|\Z)", "", RAMP_WORLD, flags=re.DOTALL)
    assert desk.run("world", "load", written(tmp_path / "ramp.toml", without_keys.encode())).code == 0
    return desk


def sold(desk: Desk, *amounts: str) -> list[str]:
    """Sell for payouts; returns their ids as a bank has them."""

    async def sell() -> list[str]:
        connection = await asyncpg.connect(desk.dsn)
        lane = await connection.fetchval("select lane from lanes where name = 'main'")
        await connection.close()
        found = []
        async with make_engine(desk.dsn) as engine:
            for amount in amounts:
                asked = preparing(amount, channel_id=SEPA_FILE, party_id=PARTY_OF[B2], given=given(details=HOLDER))
                prepared = (await submit(engine, lane, asked, owner_id=B2)).prepared
                order = await submit(engine, lane, selling(prepared), owner_id=B2, key=str(prepared.id))
                found.append(order.order_id.hex)
        return found

    return run_apart(sell())


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def states(desk: Desk) -> str:
    return str(
        desk.ask("select string_agg(state, ' ' order by destination_units) from orders where product = 'payout'")
    )


def test_a_file_is_written_and_can_be_written_again(desk: Desk, tmp_path: Path) -> None:
    ids = sold(desk, "2.00", "3.00")
    out = tmp_path / "out.xml"
    day = (datetime.now(UTC) + timedelta(days=300)).date().isoformat()
    said = desk.run("payouts", "file", "--out", out, "--execution-date", day)
    assert said.code == 0, said
    assert "2 payouts, 5.00 EUR" in said.err
    assert out.stat().st_mode & 0o777 == 0o600
    root = etree.fromstring(out.read_bytes())
    assert [element.text for element in root.iter("{*}EndToEndId")] == ids
    listed = desk.run("payouts", "files")
    assert "2 payouts  5.00 EUR  2 filed" in listed.out
    again = desk.run("payouts", "file", "--again", listed.out.split()[0])
    assert again.out.encode() == out.read_bytes()
    assert desk.run("payouts", "file", "--out", out).code == 2
    assert_one_sentence(desk.run("payouts", "file"))
    assert_one_sentence(desk.run("payouts", "file", "--again", ids[0]))
    assert desk.run("payouts", "file", "--again", "nonsense").code == 2
    assert states(desk) == "filed filed"


def test_a_statement_is_taken_in_once(desk: Desk, tmp_path: Path) -> None:
    one, two = sold(desk, "2.00", "3.00")
    desk.run("payouts", "file")
    entries = [Entry("2.00", end_to_end=one), Entry("3.00", "CRDT", end_to_end=two, returned="AC04"), Entry("9.00")]
    file = written(tmp_path / "s.xml", statement(*entries))
    first, again = (desk.run("payouts", "import-statement", file) for _ in range(2))
    assert (first.code, again.code) == (0, 0)
    assert first.lines == ["3 lines: 2 matched, 1 unmatched, 0 known before.", "unmatched, unknown_reference: 1"]
    assert again.lines == ["3 lines: 0 matched, 1 unmatched, 2 known before.", "unmatched, unknown_reference: 1"]
    assert states(desk) == "settled failed"
    assert desk.run("verify").code == 0


def test_what_is_amiss_is_told_and_ends_with_1(desk: Desk, tmp_path: Path) -> None:
    content = statement(Entry("2.00"), closing="7.00")
    said = desk.run("payouts", "import-statement", written(tmp_path / "s.xml", content))
    assert said.code == 1
    assert "does not add up: 1000000 and -2 are not 7" in said.err
    cut = desk.run("payouts", "import-statement", written(tmp_path / "t.xml", content[:-100]))
    assert_one_sentence(cut)
    assert "cut short" in cut.err
    assert_one_sentence(desk.run("payouts", "import-statement", tmp_path / "none.xml"))
    other = statement(Entry("2.00"), account="DE89370400440532013000")
    assert_one_sentence(desk.run("payouts", "import-statement", written(tmp_path / "u.xml", other)))


def test_an_import_that_is_killed_and_repeated_books_each_line_once(desk: Desk, tmp_path: Path) -> None:
    number = 40
    ids = sold(desk, *["2.00"] * number)
    assert desk.run("payouts", "file").code == 0
    entries = [Entry("2.00", end_to_end=order_id) for order_id in ids]
    entries += [Entry("2.00", "CRDT", end_to_end=ids[0], returned="AC04"), Entry("1.00"), Entry("1.00")]
    file = written(tmp_path / "s.xml", statement(*entries))
    kills = recorded = 0
    while recorded < number:
        running = importing(desk, file, DESK_STATEMENT_LINES_MAX="1")
        until = min(recorded + 10, number)
        while running.poll() is None and count_of_lines(desk) < until:
            pass
        kills += running.poll() is None
        running.kill()
        running.communicate()
        recorded = count_of_lines(desk)
    assert kills > 1
    rest = desk.run("payouts", "import-statement", file)
    assert (rest.code, rest.lines[1:]) == (0, ["unmatched, unknown_reference: 2"])
    assert count_of_lines(desk) == len(entries)
    assert desk.ask("select count(*) from statement_lines where state = 'matched'") == number + 1
    booked = """select string_agg(distinct reason || ' ' || number, ', ') from (
        select reason, count(*) as number from ledger_transactions where order_id is not null group by order_id, reason
    ) as each"""
    assert desk.ask(booked) == "payout 1, payout return 1"
    assert desk.ask("select count(distinct order_id) from ledger_transactions") == number + 1
    assert states(desk).split() == ["settled"] * (number + 1)
    assert desk.run("verify").code == 0


def importing(desk: Desk, file: Path, **settings: str) -> subprocess.Popen[str]:
    """Begin to import a statement."""
    return subprocess.Popen(
        [sys.executable, "-m", "otcdesk", "payouts", "import-statement", str(file)],
        cwd=ROOT,
        env={**desk.env, "PYTHONPATH": str(ROOT), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def count_of_lines(desk: Desk) -> int:
    found = desk.ask("select count(*) from statement_lines")
    assert isinstance(found, int)
    return found


def test_ctrl_c_stops_it_between_two_commands_and_it_goes_on_later(desk: Desk, tmp_path: Path) -> None:
    (one,) = sold(desk, "2.00")
    desk.run("payouts", "file")
    file, entries = tmp_path / "long.xml", 4_000
    with file.open("w", encoding="utf-8") as target:
        target.write(statement_head())
        for number in range(entries):
            target.write(entry_xml(Entry("1.00", reference=f"r{number}")) + "\n")
        target.write(entry_xml(Entry("2.00", end_to_end=one)) + STATEMENT_TAIL)
    running = importing(desk, file, DESK_STATEMENT_LINES_MAX="20")
    deadline = time.monotonic() + 60
    while not count_of_lines(desk):
        assert time.monotonic() < deadline
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert "Traceback" not in err
    assert running.returncode == 1
    assert "stopped before its end; import it again to go on" in err
    recorded = count_of_lines(desk)
    assert 0 < recorded < entries
    assert out.startswith(f"{recorded} lines: ")
    rest = desk.run("payouts", "import-statement", file)
    assert rest.code == 0
    assert rest.lines[0] == f"{entries + 1} lines: 1 matched, {entries} unmatched, 0 known before."
    assert states(desk) == "settled"
    assert desk.run("verify").code == 0

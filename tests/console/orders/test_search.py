"""Whatever somebody quotes is found, and nothing that somebody types is slow or an error."""

import string
import time
from uuid import UUID, uuid4

import asyncpg
import pytest

from otcdesk.console.orders.search import _SCOPES, HITS_MAX, Hit, cleaned, end_pattern, found, ids_in
from otcdesk.domain.compact_ids import is_compact, print_compact_id
from otcdesk.domain.orders import Order
from otcdesk.storage.database import Reads
from otcdesk.storage.queries import queries
from tests.console.orders.test_order_page import beside
from tests.support.desk import Lane

#: Each way to be quoted, and a query for some texts with the orders that they have to lead to (null: any or none).
QUOTED = {
    "order": "select id::text, id from orders where lane = $1",
    "bare id": "select replace(upper(id::text), '-', ''), id from orders where lane = $1",
    "rail reference": "select rail_reference, id from orders where lane = $1 and rail_reference is not null",
    "external id": "select external_id, order_id from acceptances where lane = $1 and external_id is not null",
    "payment": "select external_id, order_id from payments where lane = $1 and external_id is not null",
    "checkout": "select external_id, order_id from checkouts where lane = $1 and external_id is not null",
    "checkout reference": "select reference, order_id from checkouts where lane = $1 and reference is not null",
    "deposit": "select outside_id, order_id from deposits where lane = $1",
    "deposit hash": "select hash, order_id from deposits where lane = $1 and hash is not null",
    "deposit reference": "select reference, order_id from deposits where lane = $1 and reference is not null",
    "party": "select upper(external_id), null::uuid from parties where lane = $1",
    "tenant": "select upper(name), null::uuid from tenants where lane = $1",
    "trade": "select order_id::text, order_id from trades where lane = $1",
    "job": "select j.id::text, o.id from jobs as j left join orders as o on o.id = j.order_id where j.lane = $1",
    "job's reference": "select reference, null::uuid from jobs where lane = $1",
    "job's hash": "select hash, null::uuid from jobs where lane = $1 and hash is not null",
    "ledger": "select id::text, order_id from ledger_transactions where lane = $1",
    "booking": (
        "select reference, null::uuid from ledger_transactions where lane = $1 and order_id is null and reference > ''"
    ),
    "hold": "select id::text, order_id from holds where lane = $1",
    "account": "select id::text, null::uuid from accounts where lane = $1",
    "address": "select address, null::uuid from accounts where lane = $1 and address is not null",
    "address's end": "select right(address, 6), null::uuid from accounts where lane = $1 and address is not null",
    "iban's end": "select right(number, 4), null::uuid from payment_methods where lane = $1 and number is not null",
    "payout file": "select id::text, null::uuid from payout_files where lane = $1",
    "file's reference": "select replace(id::text, '-', ''), null::uuid from payout_files where lane = $1",
    "end-to-end id": "select replace(order_id::text, '-', ''), order_id from filed_payouts where lane = $1",
    "statement": "select id::text, order_id from statement_lines where lane = $1",
    "bank's own": "select bank_reference, null::uuid from statement_lines where lane = $1 and bank_reference > ''",
    "rail's own id": ("select detail, order_id from events where lane = $1 and name = 'payout.settle' and detail > ''"),
    "rule": "select id::text, null::uuid from rules where lane = $1",
}

EACH_MAX = 12


@pytest.mark.parametrize("what", sorted(QUOTED))
async def test_what_is_quoted_is_found(book: Reads, populated_lane: Lane, what: str) -> None:
    rows = await book.pool.fetch(f"{QUOTED[what]} limit {EACH_MAX}", populated_lane.number)
    assert rows, "the populated lane has one"
    for text, order_id in rows:
        hits = await found(book, populated_lane.number, f" {text}\n")
        assert hits, text
        assert len(hits) <= HITS_MAX
        if order_id is not None and len(hits) < HITS_MAX:
            assert order_id in {hit.order_id for hit in hits}, text


async def test_a_key_leads_to_the_order_that_it_made(book: Reads, populated_lane: Lane) -> None:
    rows = await book.pool.fetch(
        "select idempotency_key, scope from idempotency_keys where lane = $1 and outcome = 'done'",
        populated_lane.number,
    )
    led = set()
    for key, scope in rows:
        hits = await found(book, populated_lane.number, key)
        assert "idempotency_key" in {hit.what for hit in hits}, key
        led |= {scope for hit in hits if hit.what == "idempotency_key" and hit.order_id}
    assert led >= {"confirm_conversion", "accept_quote", "sell_payout", "open_checkout", "resale"}


async def test_compact_ids_are_read(book: Reads, populated_lane: Lane, orders: list[Order]) -> None:
    compact = [order for order in orders if is_compact(order.id)]
    assert compact
    for order in compact[:EACH_MAX]:
        [hit, *_] = await found(book, populated_lane.number, print_compact_id(order.id))
        assert (hit.what, hit.order_id) == ("order", order.id)


async def test_what_lies_beside_the_books_is_found(book: Reads, populated_lane: Lane, orders: list[Order]) -> None:
    order = next(order for order in orders if order.product == "conversion" and order.state == "completed")
    ids = {"delivery": uuid4(), "proposal": uuid4(), "act": uuid4()}
    connection = await asyncpg.connect(populated_lane.dsn)
    await beside(connection, populated_lane, order, **ids)
    await connection.close()
    quoted = {"evt_1": "delivery", "req-of-ada": "act", "0xABC": "chain_send", f"{order.id}:3": "chain_send"}
    quoted |= {str(some_id): what for what, some_id in ids.items()}
    for text, what in quoted.items():
        hits = await found(book, populated_lane.number, text)
        assert (what, order.id) in {(hit.what, hit.order_id) for hit in hits}, text


async def test_an_order_is_said_in_a_sentence(book: Reads, populated_lane: Lane, orders: list[Order]) -> None:
    order = next(order for order in orders if order.product == "payout")
    [hit, *_] = await found(book, populated_lane.number, str(order.id))
    assert hit.sentence.startswith("Payout, ")
    assert "; tenant " in hit.sentence
    assert isinstance(hit, Hit)


async def test_another_lane_finds_nothing(book: Reads, populated_lane: Lane, orders: list[Order]) -> None:
    addresses = await book.pool.fetch("select address from accounts where address is not null limit 5")
    for text in [str(order.id) for order in orders[:5]] + [record[0][-6:] for record in addresses] + ["tx-1", "wire-1"]:
        assert await found(book, populated_lane.number + 1, text) == []


HOSTILE = {
    "empty": "",
    "blank": " ",
    "NUL": "\x00",
    "long": "x" * 10_000,
    "percents": "%" * 80,
    "underscores": "_" * 8,
    "backslash": "\\",
    "escapes": "\\%\\",
    "quote": "' or 1=1--",
    "surrogate": "\ud800zzzz",
    "emoji": "\N{COLLISION SYMBOL}" * 60,
    "zeros": "0" * 24,
    "accents": "é" * 200,
    "direction": "\u202e1z3z",
    "braces": "{" * 100,
    "colons": ":" * 100,
    "as long as an end": "z" * 80,
    "as long as may be": "z" * 200,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_texts_find_nothing_and_break_nothing(book: Reads, populated_lane: Lane, text: str) -> None:
    assert await found(book, populated_lane.number, text) == []


async def test_no_source_is_gone_through_row_by_row(book: Reads, populated_lane: Lane) -> None:
    """With sequential scans made dear, every source must have an index that the planner can take."""
    arguments: dict[str, tuple[object, ...]] = {
        "found_by_id": (uuid4(),),
        "found_by_text": ("some text", _SCOPES),
        "found_by_end": ("4321%",),
    }
    connection = await asyncpg.connect(populated_lane.dsn)
    await connection.execute("set enable_seqscan = off")
    for name, own in arguments.items():
        plan = await connection.fetch(f"explain {queries('console_orders')[name]}", populated_lane.number, *own)
        scanned = {record[0] for record in plan if "Seq Scan" in record[0]}
        assert all("chain_senders" in step for step in scanned), scanned  # one row for each network
    await connection.close()


def test_texts_are_read_as_ids() -> None:
    some_id = UUID("0178ed05-df28-7000-8000-3c135033ea00")
    for text in (
        str(some_id),
        some_id.hex,
        str(some_id).upper(),
        f"{{{some_id}}}",
        f"urn:uuid:{some_id}",
        f"{some_id}:2",
    ):
        assert ids_in(text) == [some_id], text
    assert ids_in(f"{some_id}x") == []
    assert [is_compact(found_id) for found_id in ids_in("0" * 24)] == [True]


def test_ends_are_read_backwards_and_letters_of_patterns_are_letters() -> None:
    assert end_pattern("DE 12 34") == "4321ED%"
    assert end_pattern("12_%") == "\\%\\_21%"
    assert end_pattern("123") is None
    assert end_pattern("1" * 81) is None
    assert cleaned(string.whitespace + "a\x00b\x1b") == "ab"


async def test_the_longest_texts_are_quick(book: Reads, populated_lane: Lane) -> None:
    began = time.monotonic()
    for length in (200, 201, 10_000, 1_000_000):
        assert await found(book, populated_lane.number, "a1-:" * (length // 4)) == []
    assert time.monotonic() - began < 5

"""Payouts through a bank, over real HTTP: sold, filed, fetched, and settled or returned by statements."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from lxml import etree

from tests.support.ramp import IBAN, SEPA_FILE, RampWorld
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, assert_refused
from tests.support.statements import Entry, statement

FORM = {"AccountHolder": "Ada Müller", "BankDetails": {"AccountNumber": IBAN}}

FILES, LINES = "/operator/payout-files", "/operator/statement-lines"


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def sold(world: RampWorld, amount: str = "20.00") -> str:
    """Sell for a payout through the bank; returns its id."""
    session = world.session(ChannelID=SEPA_FILE, FiatAmount=amount, Form=FORM)["FormSessionID"]
    ceiling = {"FiatAmount": amount, "CryptoAuthorizedAmount": "1000"}
    transaction_id: str = world.sold(session, **ceiling)["ID"]
    return transaction_id


def filed(world: RampWorld, body: Any = None, key: str | None = None) -> dict[str, Any]:
    answer = world.operator("POST", FILES, body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


def data(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def told(world: RampWorld, *entries: Entry, **fields: str) -> dict[str, Any]:
    answer = given(world, statement(*entries, **fields))
    found: dict[str, Any] = data(answer)
    return found


def given(world: RampWorld, content: bytes, kind: str = "application/xml") -> httpx.Response:
    return world.operator("POST", "/operator/statements", content=content, headers={"Content-Type": kind})


def debit(transaction_id: str, amount: str = "20.00", **fields: Any) -> Entry:
    return Entry(amount, end_to_end=transaction_id.replace("-", ""), **fields)


def lines(world: RampWorld, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data(world.operator("GET", LINES + query))
    return found


def test_from_a_sale_to_the_bank_and_back(world: RampWorld) -> None:
    one, two = sold(world), sold(world, "30.00")
    day = (datetime.now(UTC) + timedelta(days=300)).date().isoformat()
    made = filed(world, {"executionDate": day})
    assert (made["payments"], made["total"], made["states"]) == (2, "50.00", {"filed": 2})
    assert (made["leftOut"], made["unpayable"], made["executionDate"]) == ([], [], day)
    assert world.transaction(one)["Status"] == "Pending"
    content = world.operator("GET", f"{FILES}/{made['id']}/content").content
    root = etree.fromstring(content)
    assert [element.text for element in root.iter("{*}EndToEndId")] == [one.replace("-", ""), two.replace("-", "")]
    assert [element.text for element in next(root.iter("{*}CdtTrfTxInf")).iter("{*}Nm", "{*}IBAN")] == [
        "Ada Muller",
        IBAN,
    ]
    assert [element.text for element in root.iter("{*}MsgId")] == [made["reference"]]
    assert world.operator("GET", f"{FILES}/{made['id']}/content").content == content
    taken = told(world, debit(one), debit(two, "30.00"), debit(two, "30.00", direction="CRDT", returned="AC04"))
    assert (taken["lines"], taken["new"], taken["matched"], taken["unmatched"]) == (3, 3, 3, {})
    assert [each["addsUp"] for each in taken["statements"]] == [True]
    assert [world.transaction(each)["Status"] for each in (one, two)] == ["Settled", "Settled"]
    came_back = [item for item in world.transactions() if item["Direction"] == "In"]
    assert [item["FiatPayment"]["Amount"] for item in came_back] == ["30.00"]
    detail = data(world.operator("GET", f"{FILES}/{made['id']}"))
    assert detail["states"] == {"settled": 2}
    assert [(each["debited"], each["returned"]) for each in detail["payouts"]] == [(True, False), (True, True)]
    assert [each["id"] for each in data(world.operator("GET", FILES))] == [made["id"]]
    assert_books_sound(world)


def test_a_return_before_its_debit_gives_the_business_everything_back(world: RampWorld) -> None:
    before = world.balance()
    one = sold(world)
    filed(world)
    assert told(world, debit(one, direction="CRDT", returned="AC04"))["matched"] == 1
    assert told(world, debit(one))["matched"] == 1
    assert world.transaction(one)["Status"] == "Failed"
    assert world.balance() == before
    assert_books_sound(world)


def test_one_request_makes_one_file(world: RampWorld) -> None:
    sold(world)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: filed(world, {}, "once"), range(8)))
    assert len({each["id"] for each in made}) == 1
    assert_refused(world.operator("POST", FILES), 409, "NOTHING_TO_FILE")
    assert len(data(world.operator("GET", FILES))) == 1


def test_a_statement_that_is_given_many_times_at_once_counts_once(world: RampWorld) -> None:
    one = sold(world)
    filed(world)
    content = statement(debit(one, reference="D1"), Entry("4.90", text="a fee"))
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: data(given(world, content)), range(6)))
    assert sum(each["matched"] for each in answers) == 1
    assert sum(each["new"] for each in answers) == 2
    assert_books_sound(world)


def test_lines_that_fit_nothing_are_looked_into(world: RampWorld) -> None:
    one = sold(world)
    filed(world)
    told(world, Entry("20.00", text="no reference"), Entry("4.90", text="a fee"))
    found = lines(world, "?state=unmatched")
    assert {line["reason"] for line in found} == {"unknown_reference"}
    by_amount = {line["amount"]: line["id"] for line in found}
    paid = data(world.operator("POST", f"{LINES}/{by_amount['20']}/resolve", {"orderId": one, "note": "by its amount"}))
    assert (paid["state"], paid["orderId"], paid["note"]) == ("matched", one, "by its amount")
    assert paid["resolvedBy"]
    aside = data(world.operator("POST", f"{LINES}/{by_amount['4.9']}/resolve", {"note": "the bank's fee"}))
    assert (aside["state"], aside["orderId"]) == ("set-aside", None)
    assert world.transaction(one)["Status"] == "Settled"
    again = world.operator("POST", f"{LINES}/{aside['id']}/resolve", {"note": "x"})
    assert_refused(again, 409, "STATEMENT_LINE_DONE")
    assert [line["state"] for line in lines(world, "?state=set-aside")] == ["set-aside"]
    assert lines(world, "?state=unmatched") == []
    assert_books_sound(world)


def test_refusals(world: RampWorld) -> None:
    one, unfiled = sold(world), str(uuid4())
    filed(world)
    told(world, Entry("1.00"))
    (line,) = lines(world)
    path = f"{LINES}/{line['id']}/resolve"
    fits_not = world.operator("POST", path, {"orderId": one, "note": "x"})
    assert_refused(fits_not, 422, "STATEMENT_LINE_DOES_NOT_FIT")
    assert_refused(world.operator("POST", path, {"orderId": unfiled, "note": "x"}), 404, "ORDER_NOT_FOUND")
    assert_refused(world.operator("POST", path, {"orderId": one}), 400, "VALIDATION_ERROR")
    unknown = f"{LINES}/{uuid4()}/resolve"
    assert_refused(world.operator("POST", unknown, {"note": "x"}), 404, "STATEMENT_LINE_NOT_FOUND")
    assert_refused(world.operator("GET", f"{FILES}/{uuid4()}"), 404, "PAYOUT_FILE_NOT_FOUND")
    assert_refused(world.operator("GET", f"{FILES}/{uuid4()}/content"), 404, "PAYOUT_FILE_NOT_FOUND")
    assert_refused(world.operator("GET", f"{LINES}?state=odd"), 400, "VALIDATION_ERROR")
    for day in ("soon", "2020-01-01", "9999-12-31"):
        assert_refused(world.operator("POST", FILES, {"executionDate": day}), 400, "VALIDATION_ERROR")
    elsewhere = statement(debit(one), account=IBAN)
    assert_refused(given(world, elsewhere), 422, "BANK_ACCOUNT_UNKNOWN")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        statement(Entry("1.00"))[:-30],
        statement(Entry("-1.00"), closing="0.00"),
        b"<!DOCTYPE Document [<!ENTITY a 'x'>]>" + statement(Entry("1.00")).partition(b"\n")[2],
    ],
)
def test_what_is_no_statement_changes_nothing(world: RampWorld, content: bytes) -> None:
    assert_refused(given(world, content), 400, "STATEMENT_INVALID")
    assert lines(world) == []


def test_a_statement_that_is_too_long_for_a_request(world: RampWorld) -> None:
    long = statement(*[Entry(f"{number}.00") for number in range(1_000)])
    assert_refused(given(world, long), 413, "PAYLOAD_TOO_LARGE")


def test_only_operators_may(world: RampWorld) -> None:
    for method, path in (("POST", FILES), ("GET", FILES), ("POST", "/operator/statements"), ("GET", LINES)):
        answer = world.server.http.request(method, path, headers={"x-api-key": world.request_keys["K0"]})
        assert answer.status_code in {401, 403}

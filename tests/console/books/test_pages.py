"""The books' pages over real HTTP and in a browser: statements that add up, files, checks that end, what was done."""

import csv
import io
import re
from decimal import Decimal
from html import unescape
from itertools import pairwise
from uuid import UUID

import pypdf
import pytest
from playwright.async_api import Browser, expect

from otcdesk.storage.queries import queries
from tests.support.axe.checking import watched
from tests.support.consoles import Html, Person, context_of, guarded, signed_in
from tests.support.server import DeskServer, World, wait_until

NOBODY = "00000000-0000-7000-8000-0000000000ff"


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return guarded(server, frozen=True)


@pytest.fixture(scope="module")
def orders(world: World) -> list[str]:
    made = [world.confirmed_buy(f"{number}.00") for number in range(10, 70)]
    for order_id in made[:2]:
        world.approve(order_id)
    return made


@pytest.fixture(scope="module")
def person(world: World, orders: list[str]) -> Person:
    assert orders
    return signed_in(world, "finance", name="Fin")


@pytest.fixture(scope="module")
def account(world: World) -> str:
    return f"/accounts/{world.ids['FA1']}"


def exported(who: Person, path: str, **asked: str) -> list[dict[str, str]]:
    answer = who.get(path, params=asked)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="[a-z0-9-]+\.csv"', answer.headers["content-disposition"])
    return list(csv.DictReader(io.StringIO(answer.text)))


# -- accounts ----------------------------------------------------------------------------------------------------------


def test_the_chart_s_trial_balance_is_the_sum_of_its_accounts(person: Person) -> None:
    rows = exported(person, "/accounts.csv")
    assert {row["id"] for row in person.open("/accounts").rows} <= {f"row-{row['account']}" for row in rows}
    for asset in {row["asset"] for row in rows}:
        assert sum(Decimal(row["balance (of the asset)"]) for row in rows if row["asset"] == asset) == 0
    trial = person.open("/accounts").text.partition("Sums to zero")[2]
    assert trial.split().count("yes") == len({row["asset"] for row in rows})
    assert "no" not in trial.split()


@pytest.mark.parametrize(
    "asked, found",
    [
        ({"text": "euro"}, True),
        ({"asset": "EUR", "purpose": "cash"}, True),
        ({"side": "owed"}, True),
        ({"text": "nothing like it"}, False),
        ({"asset": "<script>"}, False),
        ({"purpose": "'"}, False),
        ({"held": "1", "side": "counterpart"}, False),
    ],
)
def test_filters_find_accounts_on_the_page_and_in_the_file(
    person: Person, asked: dict[str, str], *, found: bool
) -> None:
    answer = person.get("/accounts", params=asked)
    assert answer.status_code == 200
    assert "<script>" not in answer.text.replace("<script src", "")
    assert bool(Html(answer.text).rows) is found
    assert bool(exported(person, "/accounts.csv", **asked)) is found


@pytest.mark.parametrize(
    "asked", [{"side": "theirs"}, {"tenant": "x"}, {"text": "a\x00b"}, {"asset": "x" * 400}, {"text": "\x1b"}]
)
def test_a_filter_that_is_none_is_refused_with_a_sentence(person: Person, asked: dict[str, str]) -> None:
    for path in ("/accounts", "/accounts.csv"):
        assert person.get(path, params=asked).status_code == 400


# -- statements --------------------------------------------------------------------------------------------------------


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("\u2212", "-").replace("+", ""))


def cells(html: str) -> list[tuple[Decimal, Decimal]]:
    """Return the amount and the balance of each entry of a statement."""
    rows = re.findall(r'<tr id="row-\d+".*?</tr>', html, re.DOTALL)
    return [
        (number(amount), number(balance))
        for amount, balance in (re.findall(r'<td class="number">([^<\s]+)</td>', row)[-2:] for row in rows)
    ]


def test_a_statement_adds_up_over_its_pages(person: Person, account: str, world: World) -> None:
    path, entries = account, list[tuple[Decimal, Decimal]]()
    while True:
        page = person.open(path)
        entries += cells(page.html)
        older = re.findall(r'href="([^"]+)" rel="next"', page.html)
        if not older:
            break
        path = unescape(older[0])
    assert len(entries) >= 61
    for (amount, balance), (_, before) in pairwise(entries):
        assert before + amount == balance
    assert entries[-1][0] == entries[-1][1]
    assert entries[0][1] == Decimal(world.accounts()[world.ids["FA1"]]["balance"])
    rows = exported(person, f"{account}/statement.csv")
    assert [Decimal(row["balance after (EUR)"]) for row in rows[1:-1]] == [balance for _, balance in reversed(entries)]


def test_a_period_without_entries_opens_and_closes_alike(person: Person, account: str) -> None:
    text = person.open(f"{account}?from=2001-01-01&to=2001-02-01").text
    assert "No entries in this period" in text
    assert "Closing balance 0.00 EUR Opening balance 0.00 EUR" in re.sub(r"[\d-]{10} [\d:]{8} ", "", text)
    for wrong in ("from=x", "to=0000-00-00", "from=2026-02-02&to=2026-02-01"):
        assert person.get(f"{account}?{wrong}").status_code == 400
    for at in ("x", "-1", "9" * 30, "²"):
        assert person.get(f"{account}?at={at}").status_code == 200


def test_the_document_ends_with_what_is_there(person: Person, account: str, world: World) -> None:
    answer = person.get(f"{account}/statement.pdf")
    assert answer.content.startswith(b"%PDF-")
    text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(answer.content), strict=True).pages)
    assert world.accounts()[world.ids["FA1"]]["balance"] in text.partition("Closing balance")[2]
    assert answer.headers["content-type"] == "application/pdf"
    assert re.fullmatch(r'attachment; filename="[a-z0-9-]+\.pdf"', answer.headers["content-disposition"])
    assert person.get(f"{account}/statement.pdf?from=x").status_code == 400


def test_the_treasury_says_what_it_holds_for_whom(person: Person, world: World, orders: list[str]) -> None:
    world.fault("chain", "unknown")
    world.approve(orders[5])
    [treasury] = [row["data-href"] for row in person.open("/accounts?asset=USDC&side=own&held=1").rows]
    assert treasury is not None
    assert f"/console/orders/{orders[5]}" in person.open(treasury).links
    world.fault("chain", "up")
    wait_until(lambda: not person.open("/accounts?asset=USDC&side=own&held=1").rows, "the hold is captured")


def test_an_entry_leads_to_its_transaction_and_that_to_both_accounts(
    person: Person, account: str, orders: list[str]
) -> None:
    there = person.open(account).rows[0]["data-href"]
    assert there is not None
    page = person.open(there)
    assert f"/console{account}" in page.links
    assert next(link for link in page.links if link.startswith("/console/orders/")).rpartition("/")[2] in orders


def test_what_another_desk_has_is_not_there(
    person: Person, world: World, orders: list[str], server: DeskServer
) -> None:
    other = World(server)
    stranger, order = signed_in(other, "finance"), other.confirmed_buy("10.00")
    assert other.approve(order).is_success
    theirs = person.open(f"/accounts/{world.ids['FA1']}").rows[0]["data-href"]
    assert theirs is not None
    assert stranger.get(theirs).status_code == 404
    assert str(orders[0]) not in stranger.open(f"/accounts/{other.ids['FA1']}").html
    for path in (f"/accounts/{NOBODY}", f"/accounts/{NOBODY}/statement.csv", f"/accounts/{NOBODY}/statement.pdf"):
        assert stranger.get(path).status_code == 404
    for path in (f"/transactions/{NOBODY}", "/transactions/x", "/accounts/x"):
        assert stranger.get(path).status_code == 404


# -- checks ------------------------------------------------------------------------------------------------------------


def test_the_invariants_are_run_when_told_and_all_hold(person: Person) -> None:
    before = person.open("/invariants").text
    assert "Not run since" in before
    assert all(name in before for name in queries("invariants"))
    person.done("/invariants", {})
    wait_until(lambda: f"All {len(queries('invariants'))} hold" in person.open("/invariants").text, "all hold")


def test_who_may_not_runs_no_check(world: World) -> None:
    tess = signed_in(world, "trader")
    for path in ("/invariants", "/chain", "/chain/cancel"):
        assert tess.post(path, {}).status_code == 403
    assert "/console/chain" not in tess.open("/chain").actions
    assert "/console/invariants" not in tess.open("/invariants").actions


def test_a_check_that_does_not_run_is_ended_without_harm(person: Person) -> None:
    person.done("/chain/cancel", {})
    assert person.open("/chain").text


@pytest.mark.asyncio(loop_scope="session")
async def test_the_check_of_the_chain_is_followed_to_its_end(browser: Browser, person: Person) -> None:
    context = await context_of(browser, person)
    async with watched(context, person.server.url):
        page = await context.new_page()
        await page.goto("/console/audit")
        await page.get_by_role("link", name="Check the audit chain").click()
        await page.get_by_role("button", name="Check now").click()
        await expect(page.locator("#chain .state.done")).to_have_text("Whole", timeout=60_000)
        await expect(page.get_by_role("button", name="Check now")).to_be_visible()
        await context.close()


# -- what was done -----------------------------------------------------------------------------------------------------


def test_what_people_do_is_told_with_who_when_and_why(world: World, person: Person, account: str) -> None:
    why = 'paid in <img src=x onerror="1">'
    form = person.open(f"/bookings?account={world.ids['FA1']}").hidden
    fields = {"kind": "deposit", "amount": "1.00", "why": why, "reference": "=HYPERLINK(1)"}
    person.done("/bookings", {"account": form["account"], "key": form["key"], **fields})
    page = person.open("/audit?verb=deposit")
    assert why in page.text
    assert "<img" not in page.html
    assert "=HYPERLINK(1)" in page.text
    assert f"/console{account}" in page.links
    assert f"/console{account}" in person.open(f"/audit?subject={world.ids['FA1']}").links
    [row] = exported(person, "/audit.csv", verb="deposit")
    assert row["why"] == why
    assert row["from"] == "127.0.0.1"
    assert row["who"].startswith("person:finance-")
    UUID(row["act"])
    mine = exported(person, "/audit.csv", person=row["who"].removeprefix("person:"))
    assert {one["what"] for one in mine} >= {"signed in", "deposit"}
    assert {one["who"] for one in mine} == {row["who"]}
    assert exported(person, "/audit.csv", person="nobody@desk.example") == []


def test_what_was_done_goes_on_page_by_page(person: Person) -> None:
    acts = exported(person, "/audit.csv")
    after = person.get("/audit", params={"after": acts[0]["act"]}).text
    assert f"row-{acts[0]['act']}" not in after
    assert f"row-{acts[1]['act']}" in after
    days = {"from": "2001-01-01", "to": "2001-01-02"}
    assert "Nobody did anything" in Html(person.get("/audit", params=days).text).text


@pytest.mark.parametrize("asked", [{"verb": "theft"}, {"subject": "x"}, {"from": "x"}, {"person": "\x07"}])
def test_a_question_that_is_none_is_refused(person: Person, asked: dict[str, str]) -> None:
    assert person.get("/audit", params=asked).status_code == 400
    assert person.get("/audit.csv", params=asked).status_code == 400


def test_another_desk_s_deeds_are_not_seen(person: Person, server: DeskServer) -> None:
    mine = exported(person, "/audit.csv")
    theirs = exported(signed_in(World(server), "compliance"), "/audit.csv")
    assert not {row["act"] for row in mine} & {row["act"] for row in theirs}
    assert theirs

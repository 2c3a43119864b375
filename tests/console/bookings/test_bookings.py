"""Bookings by hand over real HTTP: once for each form, by two people past the guard, and nothing for who may not."""

from decimal import Decimal

import pytest

from tests.support.consoles import Html, Person, guarded, signed_in
from tests.support.server import DeskServer, World


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return guarded(server, frozen=True)


@pytest.fixture(scope="module")
def fin(world: World) -> Person:
    return signed_in(world, "finance", name="Fin")


@pytest.fixture(scope="module")
def ben(world: World) -> Person:
    return signed_in(world, "finance", name="Ben")


def balance(world: World) -> Decimal:
    return Decimal(world.accounts()[world.ids["FA1"]]["balance"])


def filled(world: World, person: Person, **changes: str) -> dict[str, str]:
    """Fill in the form of the page."""
    page = person.open(f"/bookings?account={world.ids['FA1']}")
    fields = {"kind": "deposit", "amount": "100.00", "why": "paid in", "reference": "statement 7"}
    return {"account": page.hidden["account"], "key": page.hidden["key"], **fields, **changes}


@pytest.mark.parametrize(
    "kind, amount, change",
    [("deposit", "1,250.50", "1250.50"), ("withdrawal", "50", "-50"), ("adjustment", "-7", "-7")],
)
def test_it_is_booked_once(world: World, fin: Person, kind: str, amount: str, change: str) -> None:
    before, fields = balance(world), filled(world, fin, kind=kind, amount=amount)
    first, again = fin.done("/bookings", fields), fin.done("/bookings", fields)
    assert first.headers["location"] == again.headers["location"] == f"/console/accounts/{world.ids['FA1']}?said=booked"
    assert balance(world) - before == Decimal(change)
    assert "statement 7" in fin.open("/bookings").text


def test_the_same_form_with_other_content_is_refused(world: World, fin: Person) -> None:
    before, fields = balance(world), filled(world, fin)
    fin.done("/bookings", fields)
    assert fin.post("/bookings", {**fields, "amount": "200.00"}).status_code == 409
    assert balance(world) - before == 100


def test_what_is_large_takes_two(world: World, fin: Person, ben: Person) -> None:
    before, fields = balance(world), filled(world, fin, amount="2000.00")
    there = fin.done("/bookings", fields).headers["location"].partition("?")[0]
    assert fin.done("/bookings", fields).headers["location"].partition("?")[0] == there
    assert balance(world) == before
    assert fin.post(f"{there}/second", {}).status_code == 403
    seen = ben.open(there).text
    for said in ("2,000.00 EUR", "paid in", "statement 7"):
        assert said in seen
    ben.done(f"{there}/second", {"why": "seen"})
    assert balance(world) - before == 2_000
    assert ben.post(f"{there}/second", {}).status_code == 409


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": ""},
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": "1.001"},
        {"amount": "1e3"},
        {"amount": "1,50"},
        {"amount": "1,2345.00"},
        {"amount": "1,,000"},
        {"amount": "9" * 60},
        {"why": ""},
        {"why": "x" * 501},
        {"reference": ""},
        {"reference": "x\ny"},
        {"kind": "theft"},
        {"key": ""},
        {"key": "../../x"},
        {"kind": "withdrawal", "amount": "1999999.00"},
        {"account": "x"},
        {"account": "00000000-0000-7000-8000-000000000001"},
    ],
)
def test_what_is_wrong_is_told_and_kept_on_the_form(world: World, fin: Person, changes: dict[str, str]) -> None:
    before = balance(world)
    answer = fin.post("/bookings", filled(world, fin, **changes))
    assert 400 <= answer.status_code < 500
    assert 'role="alert"' in answer.text
    assert balance(world) == before


def test_who_may_not_books_nothing(world: World) -> None:
    tess, before = signed_in(world, "trader"), balance(world)
    assert tess.post("/bookings", {"account": world.ids["FA1"]}).status_code == 403
    assert "Your roles do not book." in tess.open(f"/bookings?account={world.ids['FA1']}").text
    assert balance(world) == before


def test_accounts_are_found_by_their_names(fin: Person) -> None:
    page = fin.open("/bookings?account_text=euro")
    assert "A's euro account" in page.text
    assert "No account" in fin.open("/bookings?account_text=nothing+like+it").text


def test_no_other_desk_s_account_is_there(world: World, fin: Person, server: DeskServer) -> None:
    other = World(server)
    answer = fin.post("/bookings", filled(world, fin, account=other.ids["FA1"]))
    assert answer.status_code in {303, 404}  # the same names are the same ids in every desk
    assert Decimal(other.accounts()[other.ids["FA1"]]["balance"]) == 10_000
    assert Html(fin.get("/bookings?account=nobody").text).text

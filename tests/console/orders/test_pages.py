"""The blotter, the search and the pages of orders over real HTTP, on a desk with orders of every product."""

from uuid import uuid4

import pytest

from otcdesk.console.orders.states import KINDS
from otcdesk.domain.world import tenant_id
from tests.support.busy_desk import IBAN, BusyDesk
from tests.support.consoles import Html, Person, signed_in
from tests.support.server import DeskServer, World

ALL = {"conversion", "brokerage", "payout", "checkout", "resale"}


@pytest.fixture(scope="module")
def busy(server: DeskServer) -> BusyDesk:
    desk = BusyDesk(server)
    desk.live()
    return desk


@pytest.fixture(scope="module")
def tess(busy: BusyDesk) -> Person:
    return signed_in(busy, "trader", name="Tess")


def shown(person: Person, asked: str = "") -> list[str]:
    """Return the ids on the blotter."""
    return [str(row["data-href"]).rpartition("/")[2] for row in person.open(f"/orders{asked}").rows]


def test_the_blotter_shows_orders_of_every_product(busy: BusyDesk, tess: Person) -> None:
    page = tess.open("/orders")
    assert {product for product in ALL if f"{product} ·" in page.text} == ALL
    assert set(shown(tess)) >= {order for ids in busy.orders.values() for order in ids}
    for said in ("Acme Imports", "Paylane · maria", "40,000.00 EUR", "43,368.00 USDC", "1.0842", "pending approval"):
        assert said in page.text


@pytest.mark.parametrize("product", sorted(ALL))
def test_orders_of_one_product(busy: BusyDesk, tess: Person, product: str) -> None:
    found = shown(tess, f"?product={product}")
    assert found
    assert set(found) >= set(busy.orders.get(product, ()))
    others = {order for name, ids in busy.orders.items() if name != product for order in ids}
    assert not others & set(found)


def test_each_filter_narrows_and_stays_in_the_form(busy: BusyDesk, tess: Person) -> None:
    everything = set(shown(tess))
    acme = tenant_id("acme")
    for asked in (
        *(f"?state={state}" for state in ("pending_approval", "waiting", "stopped", "done", "under_way")),
        *(f"?tenant={acme}", "?side=sell", "?asset=BTC", "?open=1", "?attention=1", "?to=2020-01-01"),
    ):
        found = set(shown(tess, asked))
        assert found < everything, asked
        assert found or asked == "?to=2020-01-01", asked
        page = tess.open(f"/orders{asked}")
        value = asked.partition("=")[2]
        assert any(f'value="{value}"{kept}' in page.html for kept in (" selected", " checked", ">"))
        assert f'hx-get="/console/orders{asked}"' in page.html
    assert set(shown(tess, "?from=2020-01-01&to=2100-01-01")) == everything
    assert set(shown(tess, f"?product=conversion&state=rejected&tenant={acme}")) == {busy.orders["conversion"][1]}
    assert shown(tess, "?product=conversion&tenant=" + str(uuid4())) == []


def test_kinds_of_states_part_all_orders(tess: Person) -> None:
    by_kind = [shown(tess, f"?state={kind}") for kind in KINDS]
    assert sorted(order for found in by_kind for order in found) == sorted(shown(tess))


@pytest.mark.parametrize(
    "asked",
    [
        *("?product=x", "?state=x", "?side=x", "?tenant=x", "?asset=a%00b", f"?asset={'A' * 21}"),
        *("?from=x", "?to=9999-12-31", "?from=0001-01-01", "?at=x", "?at=%00", "?state=%3Cscript%3E"),
    ],
)
def test_what_nobody_can_ask_for_is_told(tess: Person, asked: str) -> None:
    answer = tess.get(f"/orders{asked}")
    assert answer.status_code == 400
    assert "<script>" not in answer.text.partition("</head>")[2]


def test_pages_go_older_and_newer(server: DeskServer) -> None:
    world = World(server, frozen=True)
    made = [world.buy("1.00") for _ in range(53)]
    person = signed_in(world, "trader")
    first = person.open("/orders")
    assert "53 orders" in first.text
    newest = [str(row["data-href"]).rpartition("/")[2] for row in first.rows]
    older = next(link for link in first.links if "at=" in link)
    assert sorted(newest + shown(person, older.removeprefix("/console/orders"))) == sorted(made)
    back = next(link for link in person.open(older).links if "at=" in link)
    assert shown(person, back.removeprefix("/console/orders")) == newest


def test_one_hit_leads_straight_to_it(busy: BusyDesk, tess: Person) -> None:
    order = busy.orders["payout"][0]
    for text in (order, order.upper().replace("-", ""), f"  {order}:payout ", "inv-20.00"):
        assert tess.get("/search", params={"q": text}).headers["location"] == f"/console/orders/{order}"
    assert tess.get("/search", params={"q": "acme imports"}).headers["location"].startswith("/console/tenants/")


def test_hits_are_listed_and_what_is_none_is_explained(busy: BusyDesk, tess: Person) -> None:
    page = tess.open(f"/search?q={IBAN[-6:]}")
    assert len([link for link in page.links if link.startswith("/console/orders/")]) > 1
    for text in ("", "nobody-knows-this", "%00", "%", "x" * 300, "<script>alert(1)</script>", "'; --", "\\"):
        answer = tess.get("/search", params={"q": text})
        assert answer.status_code == 200, text
        assert "What can be searched for" in answer.text
        assert "<script>alert" not in answer.text


def test_orders_of_every_product_have_their_page(busy: BusyDesk, tess: Person) -> None:
    facts = {
        "conversion": ("Market at the approval", "What the desk won", "1.00 USDC", "Booked: conversion payout"),
        "brokerage": ("The quote", "with a margin of", "bank-0", "ada"),
        "payout": ("The payment", "inv-20.00", IBAN, "paid by a provider"),
        "checkout": ("The checkout", "cart-7", "https://shop.example/back"),
        "resale": ("The listing", "Harbour House", "over the counter"),
    }
    for product, expected in facts.items():
        order = (busy.orders.get(product) or shown(tess, "?product=resale"))[0]
        page = tess.open(f"/orders/{order}")
        for said in (*expected, "What happened", order):
            assert said in page.text, (product, said)


def test_the_record_says_who_asked_from_where(busy: BusyDesk, tess: Person) -> None:
    page = tess.open(f"/orders/{busy.orders['conversion'][0]}")
    for said in (
        "Approve conversion by operator (operator's token)",
        "from 127.0.0.1, request",
        "997,500.00 EUR",
        "Hold captured",
    ):
        assert said in page.text
    assert len([link for link in page.links if link.startswith("/console/transactions/")]) == 4
    assert any(link.startswith("/console/accounts/") for link in page.links)


def test_who_has_seen_all_of_it_is_sent_nothing(busy: BusyDesk, tess: Person) -> None:
    path = f"/orders/{busy.orders['conversion'][4]}"
    following = Html(tess.get(path).text).html.partition('<div id="order" hx-get="')[2].partition('"')[0]
    sent = {"hx-request": "true"}
    assert tess.get(following, headers=sent).status_code == 204
    assert tess.get(following).status_code == 200
    busy.operate("POST", f"/otc-exchanges/{busy.orders['conversion'][4]}/reject", {"reason": "for the test"})
    news = tess.get(following, headers=sent)
    assert news.status_code == 200
    assert "for the test" in news.text


def test_what_is_not_of_the_desk_is_not_there(tess: Person, server: DeskServer) -> None:
    other = World(server).confirmed_buy("10.00")
    for unknown in (other, str(uuid4()), "x"):
        assert tess.get(f"/orders/{unknown}").status_code == 404
        assert tess.post(f"/orders/{unknown}/reject", {"why": "no"}).status_code == 404
    assert "Nothing is called" in Html(tess.get("/search", params={"q": other}).text).text

"""Tenants and parties over real HTTP: what they have, limits and spreads by one person and by two, and freezing."""

from collections.abc import Iterator
from typing import Any

import pytest

from otcdesk.domain.world_brokerage import party_id
from tests.support.busy_desk import BusyDesk
from tests.support.consoles import Html, Person, acts_of, signed_in
from tests.support.server import DeskServer, World

HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}"
ADA = party_id("northbank", "ada")


def tenant(world: World, ref: str = "acme") -> str:
    return f"/tenants/{world.told['tenants'][ref]}"


def limited(**changes: str) -> dict[str, str]:
    return {"asset": "EUR", "order": "5,000.00", "day": "20000", "month": "", "why": "new tenant", **changes}


def spread(**changes: str) -> dict[str, str]:
    return {"pair": "EUR/USDC", "bps": "20", "from": "", "why": "as agreed", **changes}


def proposal_of(answer: Any) -> str:
    """Return what waits for a second person now."""
    where = str(answer.headers["location"])
    assert where.startswith("/console/proposals/"), where
    return where.partition("?")[0]


def test_the_list_says_what_each_has_done_today(server: DeskServer) -> None:
    busy = BusyDesk(server)
    busy.convert()
    page = signed_in(busy, "trader").open("/tenants")
    acme = page.html[page.html.index("Acme Imports") :].partition("</tr>")[0]
    said = Html(acme).text
    assert "active 8 2,500.00 EUR 1,800.00 USDC 1 0 0" in said
    assert "Northbank" in page.text
    assert "Acme" not in signed_in(busy, "trader").open("/tenants?text=north").text
    assert len(signed_in(busy, "trader").open("/tenants?text=NORTH&page=99999999999").rows) in {0, 1}


def test_everything_of_a_tenant_is_on_its_page(world: World, ann: Person) -> None:
    page = ann.open(tenant(world))
    for said in ("Acme Imports", "Main EUR", "1,000,000.00 EUR", "EUR → USDC", "None: any amount may be turned over."):
        assert said in page.text
    for path in ("/parties", "/credentials"):
        assert f"/console{tenant(world)}{path}" in page.links


def test_a_first_limit_is_set_by_one_and_raised_by_two(world: World, ann: Person, bob: Person) -> None:
    path = tenant(world, "paylane")
    ann.done(f"{path}/limits", limited())
    seen = ann.open(path).text
    assert "0.00 of 20,000.00 (0 %)" in seen
    ann.done(f"{path}/limits", limited(day="10000"))
    raised = proposal_of(ann.done(f"{path}/limits", limited(day="30000")))
    assert "of 10,000.00" in ann.open(path).text
    assert ann.post(f"{raised}/second", {}).status_code == 403
    bob.done(f"{raised}/second", {})
    assert "of 30,000.00" in ann.open(path).text


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"asset": "DOGE"}, 404),
        ({"order": "1.001"}, 400),
        ({"day": "-1"}, 400),
        ({"month": "9" * 60}, 400),
        ({"month": "many"}, 400),
        ({"why": ""}, 400),
    ],
    ids=str,
)
def test_what_is_no_limit_is_told(world: World, ann: Person, changes: dict[str, str], status: int) -> None:
    answer = ann.post(f"{tenant(world)}/limits", limited(**changes))
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "None: any amount" in ann.open(tenant(world)).text


def test_a_spread_changes_at_once_from_a_time_on_and_by_two(world: World, ann: Person, bob: Person) -> None:
    path = tenant(world)
    ann.done(f"{path}/spreads", spread())
    assert "20 bps (0.20 %)" in ann.open(path).text
    ann.done(f"{path}/spreads", spread(bps="30", **{"from": "2099-01-01T09:30"}))
    assert "20 bps (0.20 %) 30 bps 2099-01-01 09:30:00" in ann.open(path).text
    large = proposal_of(ann.done(f"{path}/spreads", spread(bps="500")))
    bob.done(f"{large}/second", {})
    assert "500 bps (5.00 %)" in ann.open(path).text
    act = next(one for one in acts_of(world) if one.verb == "set_spread")
    assert act.why == "as agreed"


@pytest.mark.parametrize(
    "changes",
    [
        {"pair": "EUR"},
        {"pair": "EUR/DOGE"},
        {"bps": ""},
        {"bps": "10000"},
        {"bps": "-5"},
        {"bps": "1.5"},
        {"from": "tomorrow"},
        {"from": "2020-01-01T00:00"},
        {"from": "9999-12-31T23:59-23:00"},
        {"why": ""},
    ],
    ids=str,
)
def test_what_is_no_spread_is_told(world: World, ann: Person, changes: dict[str, str]) -> None:
    answer = ann.post(f"{tenant(world)}/spreads", spread(**changes))
    assert 400 <= answer.status_code < 500
    assert 'role="alert"' in answer.text


def test_a_frozen_tenant_starts_nothing(world: World, cora: Person) -> None:
    path = tenant(world, "harbour")
    assert cora.post(f"{path}/freeze", {"frozen": "yes", "why": ""}).status_code == 400
    cora.done(f"{path}/freeze", {"frozen": "yes", "why": HOSTILE})
    assert "frozen" in cora.open("/tenants").text
    assert [one["status"] for one in tenants(world) if one["name"] == "Harbour Estates"] == ["suspended"]
    cora.done(f"{path}/freeze", {"frozen": "no", "why": "cleared"})
    assert [one["status"] for one in tenants(world) if one["name"] == "Harbour Estates"] == ["active"]


def tenants(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.operator("GET", "/operator/tenants").json()["data"]
    return found


# -- parties -----------------------------------------------------------------------------------------------------------


def test_parties_are_found_by_what_they_are_called(world: World, ann: Person) -> None:
    path = f"{tenant(world, 'paylane')}/parties"
    assert [row["data-href"] for row in ann.open(path).rows]
    for text in ("maria", "MARIA", "ari"):
        assert "maria" in ann.open(f"{path}?text={text}").text
    assert "None." in ann.open(f"{path}?text=nobody").text
    assert "None." in ann.open(f"{path}?text=%00%27%22").text
    assert ann.open(f"{path}?after=x").rows


def test_a_party_is_limited_and_frozen(world: World, ann: Person, cora: Person) -> None:
    path = f"/parties/{ADA}"
    page = ann.open(path)
    for said in ("Northbank", "26.00 %", "0.05 BTC"):
        assert said in page.text
    ann.done(f"{path}/limits", limited(order="100"))
    assert "0.00 of 20,000.00 (0 %)" in ann.open(path).text
    cora.done(f"{path}/freeze", {"frozen": "yes", "why": "asked by the authority"})
    assert "inactive, active before it was frozen" in ann.open(path).text
    cora.done(f"{path}/freeze", {"frozen": "no", "why": "cleared"})
    assert "frozen" not in Html(ann.open(path).html.partition("<h2>Who")[2]).text


def test_a_party_has_its_orders(server: DeskServer) -> None:
    busy = BusyDesk(server)
    busy.broker()
    page = signed_in(busy, "trader").open(f"/parties/{ADA}")
    assert {f"/console/orders/{order}" for order in busy.orders["brokerage"]} <= set(page.links)


# -- who may, and where ------------------------------------------------------------------------------------------------


def forms(world: World) -> Iterator[tuple[str, dict[str, str], set[str]]]:
    """Yield every form, and the roles that may send it."""
    freezes = {"frozen": "yes", "why": "x"}
    for path in (tenant(world), f"/parties/{ADA}"):
        yield f"{path}/freeze", freezes, {"compliance"}
        yield f"{path}/limits", limited(), {"approver", "compliance"}
    yield f"{tenant(world)}/spreads", spread(), {"approver", "finance"}


@pytest.mark.parametrize("role", ["trader", "approver", "finance", "compliance", "admin"])
def test_who_may_not_has_neither_button_nor_way(world: World, role: str) -> None:
    person = signed_in(world, role)
    actions = {action for path in (tenant(world), f"/parties/{ADA}") for action in person.open(path).actions}
    for path, fields, may in forms(world):
        assert (f"/console{path}" in actions) == (role in may)
        if role not in may:
            assert person.post(path, fields).status_code == 403


def test_nobody_of_another_desk_is_there(world: World, server: DeskServer) -> None:
    """The same names are the same ids in every desk; a desk without the names has nobody at these paths."""
    other = World(server)
    for role in ("compliance", "approver"):
        person = signed_in(other, role)
        for path in (tenant(world), f"{tenant(world)}/parties", f"{tenant(world)}/credentials", f"/parties/{ADA}"):
            assert person.get(path).status_code == 404
        for path, fields, may in forms(world):
            if role in may:
                assert person.post(path, fields).status_code == 404
    assert all(one["status"] == "active" for one in tenants(world))

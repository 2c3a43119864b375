"""Guards and terms over real HTTP: guards by two people always, fees by size, channels, listings, maintenance."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.busy_desk import world_file
from tests.support.consoles import Html, Person, acts_of, signed_in
from tests.support.server import DeskServer, World, wait_until

HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}"
PAGE = "/guards"


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return World(server, world=world_file())


@pytest.fixture(scope="module")
def fin(world: World) -> Person:
    return signed_in(world, "finance", name="Fin")


@pytest.fixture(scope="module")
def cora(world: World) -> Person:
    return signed_in(world, "compliance", name="Cora")


@pytest.fixture(scope="module")
def root(world: World) -> Person:
    return signed_in(world, "admin", name="Root")


@pytest.fixture(scope="module")
def tess(world: World) -> Person:
    return signed_in(world, "trader", name="Tess")


def guard(**changes: str) -> dict[str, str]:
    return {
        "asset": "EUR",
        "second_from": "7,500.00",
        "typed_from": "",
        "exposure": "100000",
        "why": "calmer",
        **changes,
    }


def guard_terms(**changes: str) -> dict[str, str]:
    said = {"deviation_bps_max": "200", "spread_change_bps_max": "", "limits_second": "no", "proposal_seconds": "600"}
    return {**said, "why": "as decided", **changes}


def fees(**changes: str) -> dict[str, str]:
    return {"otc": "0.25", "secondary": "0", "primary": "0", "why": "as decided", **changes}


def seconded(answer: Any, by: Person) -> None:
    """Let somebody else carry out what waits now."""
    where = str(answer.headers["location"])
    assert where.startswith("/console/proposals/"), where
    by.done(f"{where.partition('?')[0]}/second", {"why": "seen"})


def section(person: Person, name: str) -> str:
    """Return what a section of the page says."""
    return Html(person.open(PAGE).html.partition(f'<h2 id="{name}">')[2].partition("</section>")[0]).text


def test_a_guard_is_changed_by_two(fin: Person, cora: Person) -> None:
    answer = fin.done(f"{PAGE}/assets", guard())
    assert "EUR 10,000.00 5,000.00 150,000,000.00" in section(fin, "guards")
    assert fin.post(f"{answer.headers['location'].partition('?')[0]}/second", {}).status_code == 403
    assert fin.post(f"{PAGE}/assets", guard(second_from="1")).status_code == 409
    seconded(answer, cora)
    assert "EUR 7,500.00 \N{EN DASH} 100,000.00" in section(fin, "guards")
    assert 'value="7500.00"' in fin.open(f"{PAGE}?asset=EUR").html


def test_what_guards_the_whole_desk_is_changed_by_two(server: DeskServer) -> None:
    world = World(server, world=world_file())
    fin, cora = signed_in(world, "finance"), signed_in(world, "compliance")
    seconded(cora.done(f"{PAGE}/terms", guard_terms()), fin)
    said = fin.open(PAGE).text
    for part in ("2.00 % at most", "one person changes them by any size", "raised by one person", "10 min"):
        assert part in said
    fin.done(f"{PAGE}/fees", fees(otc="12.5"))
    assert "The desk 12.5 % 0 % 0 %" in section(fin, "fees")


def test_small_fees_are_changed_by_one_and_large_ones_by_two(world: World, fin: Person) -> None:
    fin.done(f"{PAGE}/fees", fees())
    assert "The desk 0.25 % 0 % 0 %" in section(fin, "fees")
    answer = fin.done(f"{PAGE}/fees", fees(otc="3"))
    assert "The desk 0.25 % 0 % 0 %" in section(fin, "fees")
    seconded(answer, signed_in(world, "approver"))
    assert "The desk 3 % 0 % 0 %" in section(fin, "fees")
    assert "Harbour Estates: Harbour Estates 4 %" in section(fin, "fees")


def test_a_channel_is_closed_and_opened(root: Person) -> None:
    page = root.open(PAGE).html.partition('name="channel">')[2]
    channel = page.partition('value="')[2].partition('"')[0]
    root.done(f"{PAGE}/channels", {"channel": channel, "enabled": "no", "why": "the bank is closed"})
    assert "closed" in section(root, "channels").partition("Channel ")[0]
    root.done(f"{PAGE}/channels", {"channel": channel, "enabled": "yes", "why": "it is open"})
    assert "closed" not in section(root, "channels").partition("Channel ")[0]


def test_sides_of_a_listing_are_switched(tess: Person) -> None:
    tess.done(f"{PAGE}/listings", {"asset": "BTC", "buy": "no", "sell": "yes", "why": HOSTILE})
    assert "BTC Bitcoin asset closed open" in section(tess, "listings")


def test_a_dialect_is_closed_for_maintenance(world: World, root: Person) -> None:
    def status() -> int:
        key = {"x-api-key": world.keys["acme"]}
        return world.server.http.get("/exchanges/otc-exchanges", headers=key).status_code

    assert status() == 200
    root.done(f"{PAGE}/maintenance", {"dialect": "exchanges", "closed": "yes", "why": HOSTILE})
    wait_until(lambda: status() == 503, "the dialect is closed")
    page = root.open(PAGE)
    assert HOSTILE in page.text
    assert "<script>alert" not in page.html
    root.done(f"{PAGE}/maintenance", {"dialect": "exchanges", "closed": "no", "why": "done"})
    wait_until(lambda: status() == 200, "the dialect is open again")
    assert [one.why for one in acts_of(world) if "maintenance" in one.content] == [HOSTILE]


@pytest.mark.parametrize(
    "path, fields",
    [
        ("/assets", guard(asset="DOGE")),
        ("/assets", guard(second_from="-1")),
        ("/assets", guard(typed_from="1.001")),
        ("/assets", guard(exposure="9" * 60)),
        ("/assets", guard(why="")),
        ("/terms", guard_terms(deviation_bps_max="10001")),
        ("/terms", guard_terms(spread_change_bps_max="x")),
        ("/terms", guard_terms(proposal_seconds="")),
        ("/terms", guard_terms(proposal_seconds="0")),
        ("/terms", guard_terms(proposal_seconds="604801")),
        ("/terms", guard_terms(why="")),
        ("/fees", fees(otc="")),
        ("/fees", fees(otc="50")),
        ("/fees", fees(primary="-1")),
        ("/fees", fees(secondary="1.1234567")),
        ("/channels", {"channel": "x", "enabled": "no", "why": "x"}),
        ("/channels", {"channel": "00000000-0000-7000-8000-000000000001", "enabled": "no", "why": "x"}),
        ("/channels", {"why": ""}),
        ("/listings", {"asset": "DOGE", "buy": "no", "sell": "no", "why": "x"}),
        ("/listings", {"asset": "BTC", "buy": "no", "sell": "no", "why": ""}),
        ("/maintenance", {"dialect": "operator", "closed": "yes", "why": "x"}),
        ("/maintenance", {"dialect": "ramp", "closed": "yes", "why": ""}),
    ],
)
def test_what_is_wrong_is_told(world: World, path: str, fields: dict[str, str]) -> None:
    person = signed_in(world, "finance", "admin", "trader")
    before = Html(person.open(PAGE).html).text
    answer = person.post(f"{PAGE}{path}", fields)
    assert 400 <= answer.status_code < 500
    assert 'role="alert"' in answer.text
    assert Html(person.open(PAGE).html).text == before


def forms() -> Iterator[tuple[str, dict[str, str], set[str]]]:
    """Yield every form, and the roles that may send it."""
    yield "/assets", guard(asset="BTC"), {"finance", "compliance"}
    yield "/terms", guard_terms(), {"finance", "compliance"}
    yield "/fees", fees(), {"finance", "approver"}
    yield "/channels", {"channel": "x", "why": "x"}, {"admin"}
    yield "/listings", {"asset": "BTC", "buy": "yes", "sell": "yes", "why": "x"}, {"trader"}
    yield "/maintenance", {"dialect": "ramp", "closed": "yes", "why": "x"}, {"admin"}


@pytest.mark.parametrize("role", ["trader", "approver", "finance", "compliance", "admin"])
def test_who_may_not_has_neither_button_nor_way(world: World, role: str) -> None:
    person = signed_in(world, role)
    actions = person.open(PAGE).actions
    for path, fields, may in forms():
        assert (f"/console{PAGE}{path}" in actions) == (role in may)
        if role not in may:
            assert person.post(f"{PAGE}{path}", fields).status_code == 403

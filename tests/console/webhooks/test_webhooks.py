"""Webhooks over real HTTP with a receiver of our own: made, tried, changed, switched, rotated, and sent again."""

import re
from collections.abc import Iterator

import pytest

from tests.support.busy_desk import world_file
from tests.support.consoles import Html, Person, acts_of, signed_in
from tests.support.receiver import Receiver
from tests.support.server import DeskServer, World

HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}"
DESK = "00000000-0000-7000-8000-000000000001"
NOBODY = "00000000-0000-7000-8000-00000000000f"


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return World(server, world=world_file())


@pytest.fixture(scope="module")
def root(world: World) -> Person:
    return signed_in(world, "admin", name="Root")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


def wanted(world: World, where: str, **changes: str) -> dict[str, str]:
    said = {"tenant": world.told["tenants"]["acme"], "envelope": "standard", "url": where, "description": HOSTILE}
    fields = {**said, "event:conversion.completed": "yes", "why": "they asked for it", **changes}
    return {name: text for name, text in fields.items() if text != "-"}


def made(world: World, root: Person, where: str, **changes: str) -> tuple[str, str]:
    """Make a webhook; returns its page and its signing secret, which is shown this once."""
    answer = root.post("/webhooks/new", wanted(world, where, **changes))
    assert answer.status_code == 200, Html(answer.text).text[:500]
    assert answer.headers["cache-control"] == "no-store"
    secret = re.findall(r'<code class="hash">(whsec_[^<]+)</code>', answer.text)[0]
    root.server.secrets.add(secret)
    path = next(link for link in Html(answer.text).links if re.fullmatch(r"/console/webhooks/[0-9a-f-]{36}", link))
    assert secret not in root.open(path).html
    return path, secret


def test_a_webhook_is_made_tried_and_deleted(world: World, root: Person, receiver: Receiver) -> None:
    path, _ = made(world, root, receiver.url())
    page = root.open(path)
    assert HOSTILE in page.text
    assert "<script>alert" not in page.html
    delivery = root.done(f"{path}/test", {}).headers["location"]
    assert delivery.endswith("?said=delivered")
    assert len(receiver.requests) == 1
    shown = root.open(delivery)
    assert "webhook.test" in shown.text
    assert "arrived" in shown.text
    receiver.answer = 500
    again = root.done(f"{delivery.partition('?')[0]}/send", {}).headers["location"]
    assert again.endswith("?said=undelivered")
    assert "500" in root.open(again).text
    root.done(f"{path}/delete", {"why": "not wanted any more"})
    assert root.get(path).status_code == 404
    assert "deleted" in root.open(delivery).text
    assert root.post(f"{delivery.partition('?')[0]}/send", {}).status_code == 404
    done = {one.content.partition('"what":"')[2].partition('"')[0]: one.why for one in acts_of(world)}
    assert done["made a webhook"] == "they asked for it"
    assert done["deleted a webhook"] == "not wanted any more"
    assert {"sent a test to a webhook", "sent a message of a webhook again"} <= done.keys()


def test_a_webhook_is_changed_and_switched(world: World, root: Person, receiver: Receiver) -> None:
    path, _ = made(world, root, receiver.url())
    change = {"url": receiver.url("/other"), "description": "", "event:conversion.rejected": "yes", "why": "moved"}
    root.done(path, change)
    page = root.open(path).text
    assert receiver.url("/other") in page
    assert "Told of conversion.rejected Keys" in page
    root.done(f"{path}/switch", {"active": "no", "why": "floods them"})
    assert "switched off" in root.open(path).text
    assert root.post(f"{path}/recover", {"since": "2026-01-01T00:00", "why": "x"}).status_code == 409
    root.done(f"{path}/switch", {"active": "yes", "why": "they are ready"})
    root.done(f"{path}/recover", {"since": "2026-01-01T00:00", "why": "they were down"})
    assert "switched off" not in root.open(path).text
    root.done(f"{path}/delete", {"why": "x"})


def test_a_key_is_replaced_and_shown_once(world: World, root: Person, receiver: Receiver) -> None:
    path, secret = made(world, root, receiver.url())
    answer = root.post(f"{path}/rotate", {"why": "it leaked"})
    fresh = re.findall(r'<code class="hash">(whsec_[^<]+)</code>', answer.text)[0]
    root.server.secrets.add(fresh)
    assert fresh != secret
    assert "until" in Html(root.open(path).html.partition("Keys that sign")[2].partition("</ul>")[0]).text
    root.done(f"{path}/delete", {"why": "x"})


def test_where_the_desk_s_own_key_signs_there_is_nothing_to_show(
    world: World, root: Person, receiver: Receiver
) -> None:
    page = root.open(f"/webhooks/new?envelope=ramp&tenant={world.told['tenants']['paylane']}")
    kind = next(name for name in page.inputs if name.startswith("event:"))
    fields = wanted(world, receiver.url(), **{"envelope": "ramp", "event:conversion.completed": "-", kind: "yes"})
    answer = root.post("/webhooks/new", {**fields, "tenant": world.told["tenants"]["paylane"]})
    assert answer.status_code == 303
    path = answer.headers["location"].partition("?")[0]
    assert root.post(f"{path}/rotate", {"why": "x"}).status_code == 400
    assert f"{path}/rotate" not in root.open(path).actions
    root.done(f"{path}/delete", {"why": "x"})


def test_only_the_desk_is_told_what_is_for_operators(world: World, root: Person) -> None:
    ours, theirs = (
        root.open(f"/webhooks/new?tenant={owner}").inputs for owner in (DESK, world.told["tenants"]["acme"])
    )
    assert theirs.keys() < ours.keys()
    assert "event:webhook.disabled" in ours


def test_the_list_is_of_everybody_or_of_one(world: World, root: Person, receiver: Receiver) -> None:
    path, _ = made(world, root, receiver.url())
    own, _ = made(world, root, receiver.url(), tenant=DESK)
    acme = world.told["tenants"]["acme"]
    assert {path, own} <= set(root.open("/webhooks").links)
    assert own not in root.open(f"/webhooks?tenant={acme}").links
    assert path not in root.open(f"/webhooks?tenant={DESK}").links
    for each in (path, own):
        root.done(f"{each}/delete", {"why": "x"})


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": NOBODY},
        {"tenant": "x"},
        {"envelope": "pigeon"},
        {"url": ""},
        {"url": "ftp://127.0.0.1/"},
        {"url": "javascript:alert(1)"},
        {"url": "http://127.0.0.1:9/" + "x" * 2_048},
        {"description": "x" * 501},
        {"event:conversion.completed": "-"},
        {"event:webhook.disabled": "yes"},
        {"event:nothing": "yes"},
        {"key_kind": "rsa"},
        {"why": ""},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_what_is_no_webhook_is_told(world: World, root: Person, changes: dict[str, str]) -> None:
    answer = root.post("/webhooks/new", wanted(world, "http://127.0.0.1:9/hook", **changes))
    assert 400 <= answer.status_code < 500
    assert 'role="alert"' in answer.text
    assert not root.open("/webhooks").rows


@pytest.mark.parametrize("role", ["trader", "approver", "finance", "compliance"])
def test_who_may_not_has_neither_button_nor_way(world: World, root: Person, receiver: Receiver, role: str) -> None:
    path, _ = made(world, root, receiver.url())
    delivery = root.done(f"{path}/test", {}).headers["location"].partition("?")[0]
    person = signed_in(world, role)
    for page in ("/webhooks", path, delivery):
        shown = person.open(page)
        assert not [action for action in shown.actions if "/webhooks/" in action or "/deliveries/" in action]
        assert "/console/webhooks/new" not in shown.links
    assert person.get("/webhooks/new").status_code == 403
    for what in ("", "/switch", "/test", "/rotate", "/recover", "/delete"):
        assert person.post(f"{path}{what}", wanted(world, receiver.url())).status_code == 403
    assert person.post("/webhooks/new", wanted(world, receiver.url("/x"))).status_code == 403
    assert person.post(f"{delivery}/send", {}).status_code == 403
    assert len(receiver.requests) == 1
    root.done(f"{path}/delete", {"why": "x"})


def test_nobody_of_another_desk_has_a_way_to_it(
    world: World, root: Person, receiver: Receiver, server: DeskServer
) -> None:
    path, _ = made(world, root, receiver.url())
    delivery = root.done(f"{path}/test", {}).headers["location"].partition("?")[0]
    stranger = signed_in(World(server), "admin")
    for page in (path, delivery):
        assert stranger.get(page).status_code == 404
    for what in ("", "/switch", "/test", "/rotate", "/recover", "/delete"):
        assert stranger.post(f"{path}{what}", {"why": "x", "since": "2026-01-01"}).status_code == 404
    assert stranger.post(f"{delivery}/send", {}).status_code == 404
    root.done(f"{path}/delete", {"why": "x"})

"""The exchanges webhooks (contract section 6) over real HTTP, with real receivers on this machine."""

import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from otcdesk.app import ENVELOPES
from tests.support.callbacks import assert_as_documented
from tests.support.desk import CONTRACT_WORLD
from tests.support.receiver import Held, Received, Receiver
from tests.support.served import NewWorld
from tests.support.server import DeskServer, World, assert_refused, at_once, wait_until

WEBHOOKS = "/exchanges/webhooks"
OTC = ["otc_exchange.created", "otc_exchange.status_updated"]
UNKNOWN = "00000000-0000-4000-8000-000000000000"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def ask(world: World, method: str, path: str = "", body: Any = None, **how: Any) -> httpx.Response:
    """Call a webhook route as a customer, and keep what must not be in the log."""
    if body is not None:
        how["json"] = body
    answer = world.call(method, WEBHOOKS + path, **how)
    told = answer.json().get("data", {})
    if isinstance(told, dict) and "signing_secret" in told:
        world.server.secrets.add(told["signing_secret"])
    return answer


def body_of(url: str, **changes: Any) -> dict[str, Any]:
    return {"url": url, "eventTypes": OTC, **changes}


def made(world: World, url: str, **changes: Any) -> dict[str, Any]:
    answer = ask(world, "POST", "", body_of(url, **changes))
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()["data"]
    return webhook


def listed(world: World, **how: Any) -> list[dict[str, Any]]:
    answer = ask(world, "GET", **how)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"data"}
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def deliveries(world: World, webhook: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = ask(world, "GET", f"/{webhook['id']}/deliveries{query}")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def has_delivery(world: World, webhook: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Wait until the only delivery of a webhook is so, and return it."""

    def holds() -> bool:
        rows = deliveries(world, webhook)
        return len(rows) == 1 and fields.items() <= rows[0].items()

    wait_until(holds, f"a delivery is {fields}")
    return deliveries(world, webhook)[0]


def assert_signed(request: Received, webhook: dict[str, Any], secret: str) -> None:
    """Check a message as the contract tells receivers to (6.1)."""
    assert request.method == "POST"
    assert request.headers["x-webhook-id"] == webhook["id"]
    timestamp = request.headers["x-webhook-timestamp"]
    assert re.fullmatch(r"\d{10}", timestamp)
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-webhook-signature"] == f"sha256={mac}"


# -- making and showing ------------------------------------------------------------------------------------------------


def test_a_webhook_has_the_contracts_fields_and_its_secret_once(world: World) -> None:
    url = "http://127.0.0.1:9/hook?a=1"
    answer = ask(world, "POST", "", body_of(url, description="orders"))
    assert answer.status_code == 201
    webhook = answer.json()["data"]
    secret = webhook["signing_secret"]
    assert webhook == {
        "id": webhook["id"],
        "url": url,
        "description": "orders",
        "event_types": OTC,
        "is_active": True,
        "signing_secret_prefix": secret[:8],
        "signing_secret": secret,
        "consecutive_failures": 0,
        "disabled_at": None,
        "disabled_reason": None,
        "created_at": webhook["created_at"],
        "updated_at": webhook["created_at"],
    }
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/=_-]{32,}", secret)
    assert TIME.fullmatch(webhook["created_at"])
    shown = {name: value for name, value in webhook.items() if name != "signing_secret"}
    assert listed(world) == [shown]
    changed = ask(world, "PATCH", f"/{webhook['id']}", {"description": None}).json()["data"]
    assert "signing_secret" not in changed
    assert changed["description"] is None


def test_every_documented_type_can_be_subscribed_to(world: World) -> None:
    documented = [
        *("payment.created", "payment.status_updated", "payment.completed", "payment.failed"),
        *("fiat_account.created", "fiat_account.status_updated", "fiat_account.balance_updated"),
        *("virtual_account.created", "virtual_account.status_updated", "virtual_account.balance_updated"),
        *("end_user.created", "end_user.status_updated", "end_user.review_required"),
        *("payee.created", "payee.status_updated"),
    ]
    assert made(world, "http://127.0.0.1:9/hook", eventTypes=documented + OTC)["event_types"] == documented + OTC


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_versions_are_named_as_elsewhere(world: World, version: str) -> None:
    answer = world.call("GET", f"/exchanges/{version}/webhooks")
    assert (answer.status_code, answer.headers["x-api-version"]) == (200, version)


def test_a_webhook_is_changed_and_deleted(world: World) -> None:
    webhook = made(world, "http://127.0.0.1:9/hook")
    asked = {"url": "http://127.0.0.1:9/other", "eventTypes": OTC[:1], "isActive": False, "description": "new"}
    answer = ask(world, "PATCH", f"/{webhook['id']}", asked)
    assert answer.status_code == 200
    changed = answer.json()["data"]
    assert (changed["url"], changed["event_types"], changed["is_active"], changed["description"]) == tuple(
        asked.values()
    )
    assert changed["created_at"] == webhook["created_at"]
    answer = ask(world, "DELETE", f"/{webhook['id']}")
    assert (answer.status_code, answer.json()) == (200, {"data": {"id": webhook["id"], "deleted": True}})
    assert listed(world) == []
    assert_refused(ask(world, "DELETE", f"/{webhook['id']}"), 404, "WEBHOOK_NOT_FOUND")


def test_a_rotation_answers_a_new_secret_and_messages_carry_both(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    answer = ask(world, "POST", f"/{webhook['id']}/rotate-secret")
    assert answer.status_code == 200
    fresh = answer.json()["data"]
    assert fresh.keys() == webhook.keys()
    assert fresh["signing_secret"] != webhook["signing_secret"]
    assert fresh["signing_secret_prefix"] == fresh["signing_secret"][:8]
    assert ask(world, "POST", f"/{webhook['id']}/test").json()["data"]["success"]
    (request,) = receiver.wait_for(1)
    assert_signed(request, webhook, fresh["signing_secret"])
    mac = hmac.new(
        webhook["signing_secret"].encode(),
        request.headers["x-webhook-timestamp"].encode() + b"." + request.body,
        hashlib.sha256,
    )
    assert request.headers["x-webhook-signature-previous"] == f"sha256={mac.hexdigest()}"


# -- what arrives ------------------------------------------------------------------------------------------------------


def test_an_order_is_told_with_a_signature_and_its_delivery_is_shown(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    order_id = world.confirmed_sell("100")
    (request,) = receiver.wait_for(1)
    assert_signed(request, webhook, webhook["signing_secret"])
    told = httpx.Response(200, content=request.body).json()
    assert told.keys() == {"id", "type", "created_at", "data"}
    assert told["type"] == "otc_exchange.created"
    assert told["data"] == {**world.order(order_id), "status": told["data"]["status"]}
    row = has_delivery(world, webhook, delivery_status="success")
    assert row == {
        "id": row["id"],
        "event_type": "otc_exchange.created",
        "event_id": told["id"],
        "delivery_status": "success",
        "response_status_code": 200,
        "response_time_ms": row["response_time_ms"],
        "attempt_number": 1,
        "error_message": None,
        "created_at": row["created_at"],
    }
    assert row["response_time_ms"] >= 0
    assert re.fullmatch(r"evt_[0-9a-f]+", told["id"])


def test_what_arrives_has_the_fields_that_are_documented(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url(), eventTypes=[*OTC, "fiat_account.balance_updated"])
    assert world.approve(world.confirmed_sell("100")).status_code == 200
    ask(world, "POST", f"/{webhook['id']}/test")
    envelope = ENVELOPES.named("exchanges")

    def types() -> list[str]:
        return [httpx.Response(200, content=body).json()["type"] for body in receiver.bodies]

    wait_until(lambda: set(types()) == envelope.messages.keys(), "all of it has arrived")
    for event_type, body in zip(types(), receiver.bodies, strict=True):
        assert_as_documented(envelope, event_type, body)


def test_only_a_tenants_own_orders_are_told_to_it(world: World, receiver: Receiver) -> None:
    answer = ask(world, "POST", "", body_of(receiver.url("/b")), key="KB")
    assert answer.status_code == 201
    webhook = made(world, receiver.url("/a"))
    world.confirmed_sell("100")
    has_delivery(world, webhook, delivery_status="success")
    assert [request.path for request in receiver.requests] == ["/a"]


def test_a_test_tells_what_the_receiver_answered(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    receiver.answer = (202, {}, b"thanks")
    answer = ask(world, "POST", f"/{webhook['id']}/test")
    assert answer.status_code == 200
    told = answer.json()["data"]
    assert told == {
        "success": True,
        "status_code": 202,
        "response_time_ms": told["response_time_ms"],
        "response_body": "thanks",
        "error": None,
    }
    assert_signed(receiver.requests[0], webhook, webhook["signing_secret"])
    receiver.answer = (500, {}, b"broken")
    told = ask(world, "POST", f"/{webhook['id']}/test").json()["data"]
    assert (told["success"], told["status_code"], told["response_body"]) == (False, 500, "broken")
    receiver.stop()
    told = ask(world, "POST", f"/{webhook['id']}/test").json()["data"]
    assert (told["success"], told["status_code"], told["response_body"]) == (False, None, "")
    assert told["error"]
    assert [row["delivery_status"] for row in deliveries(world, webhook)] == ["failed", "failed", "success"]
    assert listed(world)[0]["consecutive_failures"] == 0  # a test counts neither for nor against a receiver


def test_a_delivery_that_failed_is_retried_by_hand(world: World, receiver: Receiver) -> None:
    receiver.answer = 500
    webhook = made(world, receiver.url())
    world.confirmed_sell("100")
    row = has_delivery(world, webhook, delivery_status="pending", attempt_number=1, response_status_code=500)
    assert listed(world)[0]["consecutive_failures"] == 1
    retry = f"/{webhook['id']}/deliveries/{row['id']}/retry"
    told = ask(world, "POST", retry).json()["data"]
    assert (told["success"], told["attempt_number"], told["status_code"]) == (False, 2, 500)
    receiver.answer = 204
    answer = ask(world, "POST", retry)
    assert answer.status_code == 200
    told = answer.json()["data"]
    assert told == {
        "success": True,
        "attempt_number": 3,
        "status_code": 204,
        "response_time_ms": told["response_time_ms"],
        "error": None,
    }
    row = has_delivery(world, webhook, delivery_status="success", attempt_number=3)
    assert len(set(receiver.bodies)) == 1
    assert listed(world)[0]["consecutive_failures"] == 0
    assert_refused(ask(world, "POST", f"/{webhook['id']}/deliveries/{UNKNOWN}/retry"), 404, "DELIVERY_NOT_FOUND")
    assert_refused(ask(world, "POST", f"/{webhook['id']}/deliveries/none/retry"), 404, "DELIVERY_NOT_FOUND")
    other = made(world, receiver.url("/other"))
    assert_refused(ask(world, "POST", f"/{other['id']}/deliveries/{row['id']}/retry"), 404, "DELIVERY_NOT_FOUND")


def test_a_delivery_that_is_under_way_is_not_sent_twice(world: World, receiver: Receiver) -> None:
    receiver.answer = Held()
    webhook = made(world, receiver.url())
    world.confirmed_sell("100")
    receiver.wait_for(1)
    (row,) = deliveries(world, webhook)
    retry = f"/{webhook['id']}/deliveries/{row['id']}/retry"
    assert_refused(ask(world, "POST", retry), 409, "DELIVERY_IN_PROGRESS")
    receiver.release()
    has_delivery(world, webhook, delivery_status="success")
    assert len(receiver.requests) == 1


def test_a_webhook_that_is_switched_off_is_told_nothing_but_tests(world: World, receiver: Receiver) -> None:
    receiver.answer = 500
    webhook = made(world, receiver.url())
    world.confirmed_sell("100")
    row = has_delivery(world, webhook, delivery_status="pending", attempt_number=1)
    assert ask(world, "PATCH", f"/{webhook['id']}", {"isActive": False}).json()["data"]["is_active"] is False
    retry = f"/{webhook['id']}/deliveries/{row['id']}/retry"
    assert_refused(ask(world, "POST", retry), 409, "WEBHOOK_INACTIVE")
    receiver.answer = 200
    assert ask(world, "POST", f"/{webhook['id']}/test").json()["data"]["success"]
    on = ask(world, "PATCH", f"/{webhook['id']}", {"isActive": True}).json()["data"]
    assert (on["is_active"], on["consecutive_failures"]) == (True, 0)
    assert ask(world, "POST", retry).json()["data"]["success"]


def test_deliveries_come_in_pages_and_by_status_and_type(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    for status in (200, 500, 200):
        receiver.answer = status
        ask(world, "POST", f"/{webhook['id']}/test")
    answer = ask(world, "GET", f"/{webhook['id']}/deliveries?page=2&limit=2")
    assert answer.json()["meta"] == {"pagination": {"page": 2, "limit": 2, "total": 3}}
    assert len(answer.json()["data"]) == 1
    assert [row["delivery_status"] for row in deliveries(world, webhook)] == ["success", "failed", "success"]
    assert len(deliveries(world, webhook, "?status=success")) == 2
    assert len(deliveries(world, webhook, "?status=failed&eventType=webhook.test")) == 1
    assert deliveries(world, webhook, "?eventType=otc_exchange.created") == []
    for query in ("?status=succeeded", "?eventType=%00", f"?eventType={'x' * 101}"):
        assert_refused(ask(world, "GET", f"/{webhook['id']}/deliveries{query}"), 400, "VALIDATION_ERROR")


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, status, code",
    [
        ({"url": "no url"}, 400, "VALIDATION_ERROR"),
        ({"url": "ftp://127.0.0.1/"}, 400, "VALIDATION_ERROR"),
        ({"url": "https://user:word@127.0.0.1/"}, 400, "VALIDATION_ERROR"),
        ({"url": "https://127.0.0.1/" + "x" * 2_048}, 400, "VALIDATION_ERROR"),
        ({"url": "https://127.0.0.1/\x00"}, 400, "VALIDATION_ERROR"),
        ({"url": 7}, 400, "VALIDATION_ERROR"),
        ({"url": "https://10.0.0.1/"}, 422, "WEBHOOK_URL_NOT_ALLOWED"),
        ({"url": "https://169.254.169.254/latest/"}, 422, "WEBHOOK_URL_NOT_ALLOWED"),
        ({"url": "https://nowhere.invalid/"}, 422, "WEBHOOK_URL_UNRESOLVED"),
        ({"eventTypes": []}, 400, "VALIDATION_ERROR"),
        ({"eventTypes": ["otc_exchange.created"] * 101}, 400, "VALIDATION_ERROR"),
        ({"eventTypes": ["otc_exchange.created", "otc_exchange.exploded"]}, 400, "VALIDATION_ERROR"),
        ({"eventTypes": ["conversion.completed"]}, 400, "VALIDATION_ERROR"),
        ({"eventTypes": "otc_exchange.created"}, 400, "VALIDATION_ERROR"),
        ({"description": "x" * 501}, 400, "VALIDATION_ERROR"),
        ({"description": "\x00"}, 400, "VALIDATION_ERROR"),
        ({"isActive": "yes"}, 400, "VALIDATION_ERROR"),
    ],
)
def test_what_may_not_be_is_refused_at_first_and_as_a_change(
    server: DeskServer, changes: dict[str, Any], status: int, code: str
) -> None:
    world = _one_world(server)
    if "isActive" not in changes:
        assert_refused(ask(world, "POST", "", body_of("http://127.0.0.1:9/new") | changes), status, code)
    (before,) = listed(world)
    assert_refused(ask(world, "PATCH", f"/{before['id']}", changes), status, code)
    assert listed(world) == [before]


_worlds: dict[str, World] = {}


def _one_world(server: DeskServer) -> World:
    """Return one world for all refusals: they change nothing."""
    if server.url not in _worlds:
        _worlds[server.url] = World(server)
        made(_worlds[server.url], "http://127.0.0.1:9/hook")
    return _worlds[server.url]


def test_an_unknown_type_is_named(server: DeskServer) -> None:
    answer = ask(_one_world(server), "POST", "", body_of("http://127.0.0.1:9/new", eventTypes=["otc.boom"]))
    assert "'otc.boom'" in answer.json()["error"]["message"]


def test_a_url_may_be_given_once(world: World) -> None:
    made(world, "http://127.0.0.1:9/hook")
    other = made(world, "http://127.0.0.1:9/other")
    assert_refused(ask(world, "POST", "", body_of("HTTP://127.0.0.1:9/hook")), 409, "WEBHOOK_URL_DUPLICATE")
    patch = ask(world, "PATCH", f"/{other['id']}", {"url": "http://127.0.0.1:9/hook"})
    assert_refused(patch, 409, "WEBHOOK_URL_DUPLICATE")
    assert ask(world, "POST", "", body_of("http://127.0.0.1:9/hook"), key="KB").status_code == 201


def test_an_eleventh_is_refused_also_when_all_come_at_once(world: World) -> None:
    def one(number: int) -> httpx.Response:
        return ask(world, "POST", "", body_of(f"http://127.0.0.1:9/{number}"))

    answers = at_once([lambda number=number: one(number) for number in range(13)])  # type: ignore[misc]
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [422] * 3
    for answer in answers:
        if answer.status_code != 201:
            assert_refused(answer, 422, "WEBHOOK_LIMIT_REACHED")
    rows = listed(world)
    assert len(rows) == 10
    assert_refused(one(20), 422, "WEBHOOK_LIMIT_REACHED")
    ask(world, "DELETE", f"/{rows[3]['id']}")
    assert one(20).status_code == 201


def each_route(webhook_id: str) -> list[tuple[str, str, Any]]:
    return [
        ("PATCH", f"/{webhook_id}", {"isActive": False}),
        ("DELETE", f"/{webhook_id}", None),
        ("POST", f"/{webhook_id}/test", None),
        ("POST", f"/{webhook_id}/rotate-secret", None),
        ("GET", f"/{webhook_id}/deliveries", None),
        ("POST", f"/{webhook_id}/deliveries/{UNKNOWN}/retry", None),
    ]


def test_what_is_not_ones_own_looks_as_if_it_did_not_exist(world: World) -> None:
    webhook = made(world, "http://127.0.0.1:9/hook")
    body = {
        "url": "http://127.0.0.1:9/hook",
        "eventTypes": ["conversion.completed"],
        "tenantId": world.told["tenants"]["A"],
    }
    answer = world.operator("POST", "/operator/webhooks", body)
    assert answer.status_code == 201, answer.text
    standard = answer.json()["data"]
    world.server.secrets.add(standard["signingSecret"])
    hidden = [(webhook["id"], "KB"), (standard["id"], "KA"), (UNKNOWN, "KA"), ("none", "KA")]
    for webhook_id, key in hidden:
        for method, path, asked in each_route(webhook_id):
            assert_refused(ask(world, method, path, asked, key=key), 404, "WEBHOOK_NOT_FOUND")
    assert [row["id"] for row in listed(world)] == [webhook["id"]]
    assert listed(world, key="KB") == []


def test_reading_and_writing_need_their_scopes_a_credential_and_the_csrf_header(world: World) -> None:
    webhook = made(world, "http://127.0.0.1:9/hook")
    routes = [("GET", "", None), ("POST", "", body_of("http://127.0.0.1:9/other")), *each_route(webhook["id"])]
    for method, path, asked in routes:
        reads = method == "GET"
        assert_refused(ask(world, method, path, asked, key=None), 401, "UNAUTHORIZED")
        assert_refused(ask(world, method, path, asked, key="KAw" if reads else "KAr"), 403, "INSUFFICIENT_SCOPE")
        if not reads:
            assert_refused(ask(world, method, path, asked, csrf=None), 403, "CSRF_TOKEN_INVALID")
    assert listed(world) == [{name: value for name, value in webhook.items() if name != "signing_secret"}]


# -- world files -------------------------------------------------------------------------------------------------------


def test_a_world_may_bring_its_webhooks(new_world: NewWorld, receiver: Receiver) -> None:
    hook = f'[[tenants.webhooks]]\nurl = "{receiver.url()}"\nevent_types = ["otc_exchange.created"]\n'
    text = CONTRACT_WORLD.replace('name = "Customer A"\n', f'name = "Customer A"\n{hook}')
    text += f'[[webhooks]]\nurl = "{receiver.url("/desk")}"\nevent_types = ["conversion.confirmed"]\n'
    world = new_world(world=text)
    own, theirs = world.told["webhooks"]
    world.server.secrets |= {own["signingSecret"], theirs["signingSecret"]}
    assert (own["tenant"], own["envelope"], own["url"]) == (None, "standard", receiver.url("/desk"))
    assert (theirs["tenant"], theirs["envelope"], theirs["url"]) == ("A", "exchanges", receiver.url())
    world.confirmed_sell("100")
    told = {request.path: request for request in receiver.wait_for(2)}
    assert_signed(told["/hook"], theirs, theirs["signingSecret"])
    assert told["/desk"].headers["webhook-id"].startswith("evt_")


def test_a_world_with_a_bad_webhook_is_not_made(server: DeskServer) -> None:
    text = CONTRACT_WORLD + '[[webhooks]]\nurl = "https://10.0.0.1/"\nevent_types = ["conversion.confirmed"]\n'
    answer = server.http.post("/sandbox/worlds", json={"world": text})
    assert_refused(answer, 400, "WORLD_INVALID")
    assert "https://10.0.0.1/" in answer.json()["error"]["message"]


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_no_secret_is_in_a_line_of_the_log(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    for path in ("test", "rotate-secret", "test"):
        assert ask(world, "POST", f"/{webhook['id']}/{path}").status_code == 200
    assert_refused(ask(world, "POST", "", body_of(receiver.url())), 409, "WEBHOOK_URL_DUPLICATE")
    marker = uuid4().hex
    world.get("", headers={"x-request-id": marker})
    wait_until(lambda: marker in world.server.log(), "the log is written so far")
    assert "whsec_" not in world.server.log()

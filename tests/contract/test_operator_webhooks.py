"""The operator's webhooks, of the desk itself and of its tenants, and all deliveries, over real HTTP."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from otcdesk.app import ENVELOPES
from otcdesk.domain.event_types import CATALOGUE
from tests.support.callbacks import assert_as_documented
from tests.support.receiver import Held, Received, Receiver
from tests.support.server import DeskServer, World, assert_refused, wait_until

WEBHOOKS = "/operator/webhooks"
DELIVERIES = "/operator/deliveries"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
CLOSED = "http://127.0.0.1:9/hook"
ORDERS = ["conversion.confirmed", "conversion.completed"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def ask(world: World, method: str, path: str = WEBHOOKS, body: Any = None) -> httpx.Response:
    """Call as the operator, and keep what must not be in the log."""
    answer = world.operator(method, path, body)
    told = answer.json().get("data", {})
    if isinstance(told, dict) and "signingSecret" in told:
        world.server.secrets.add(told["signingSecret"])
    return answer


def made(world: World, url: str = CLOSED, **changes: Any) -> dict[str, Any]:
    answer = ask(world, "POST", WEBHOOKS, {"url": url, "eventTypes": ORDERS, **changes})
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()["data"]
    return webhook


def read(world: World, path: str) -> Any:
    answer = ask(world, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def tenant(world: World, ref: str = "A") -> str:
    found: str = world.told["tenants"][ref]
    return found


def all_are(world: World, path: str, count: int, status: str) -> list[dict[str, Any]]:
    """Wait until there are so many deliveries, all of one status, and return them."""
    wait_until(
        lambda: [row["status"] for row in read(world, path)] == [status] * count, f"{count} deliveries are {status}"
    )
    rows: list[dict[str, Any]] = read(world, path)
    return rows


def verified(request: Received, secret: str) -> Any:
    """Check a message with the official package."""
    return Webhook(secret).verify(request.body, request.headers)


# -- webhooks ----------------------------------------------------------------------------------------------------------


def test_a_webhook_of_the_desk_itself(world: World) -> None:
    webhook = made(world, description="ours")
    (key,) = webhook["keys"]
    assert webhook == {
        "id": webhook["id"],
        "tenantId": None,
        "envelope": "standard",
        "url": CLOSED,
        "eventTypes": ORDERS,
        "description": "ours",
        "isActive": True,
        "consecutiveFailures": 0,
        "failingSince": None,
        "disabledAt": None,
        "disabledReason": None,
        "createdAt": webhook["createdAt"],
        "updatedAt": webhook["createdAt"],
        "keys": [
            {
                "id": key["id"],
                "kind": "hmac-sha256",
                "shown": webhook["signingSecret"][:8],
                "madeAt": key["madeAt"],
                "retiresAt": None,
            }
        ],
        "signingSecret": webhook["signingSecret"],
    }
    shown = {name: value for name, value in webhook.items() if name != "signingSecret"}
    assert read(world, f"{WEBHOOKS}/{webhook['id']}") == shown
    assert read(world, WEBHOOKS) == [shown]


def test_a_webhook_with_a_pair_shows_its_public_half_always(world: World) -> None:
    webhook = made(world, keyKind="ed25519")
    assert "signingSecret" not in webhook
    assert webhook["keys"][0]["kind"] == "ed25519"
    assert webhook["keys"][0]["shown"].startswith("whpk_")
    fresh = ask(world, "POST", f"{WEBHOOKS}/{webhook['id']}/rotate-secret").json()["data"]
    assert [key["retiresAt"] is None for key in fresh["keys"]] == [True, False]
    assert fresh["keys"][1]["shown"] == webhook["keys"][0]["shown"] != fresh["keys"][0]["shown"]
    assert read(world, f"{WEBHOOKS}/{webhook['id']}") == fresh


def test_a_webhook_in_an_envelope_that_the_desks_own_pair_signs(world: World) -> None:
    webhook = made(world, envelope="ramp", tenantId=tenant(world), eventTypes=["Transaction"])
    assert "signingSecret" not in webhook
    (key,) = webhook["keys"]
    assert key["kind"] == "ecdsa-p384"
    assert key["shown"].startswith("-----BEGIN PUBLIC KEY-----")
    assert read(world, WEBHOOKS)[0]["keys"] == [key]
    other = made(world, url=CLOSED + "2", envelope="ramp", eventTypes=["Transaction"])
    assert other["keys"] == [key]
    refused = ask(world, "POST", f"{WEBHOOKS}/{webhook['id']}/rotate-secret")
    assert_refused(refused, 400, "VALIDATION_ERROR")


def test_the_operator_sees_all_webhooks_and_those_of_one_tenant(world: World) -> None:
    own = made(world)
    theirs = made(world, tenantId=tenant(world))
    body = {"url": CLOSED, "eventTypes": ["otc_exchange.created"]}
    answer = world.call("POST", "/exchanges/webhooks", key="KB", json=body)
    world.server.secrets.add(answer.json()["data"]["signing_secret"])
    answer = ask(world, "GET")
    assert answer.json()["meta"]["pagination"] == {"page": 1, "limit": 50, "total": 3}
    rows = answer.json()["data"]
    assert [row["tenantId"] for row in rows] == [None, tenant(world), tenant(world, "B")]
    assert [row["envelope"] for row in rows] == ["standard", "standard", "exchanges"]
    assert [row["id"] for row in rows[:2]] == [own["id"], theirs["id"]]
    assert [row["id"] for row in read(world, f"{WEBHOOKS}?tenantId={tenant(world)}")] == [theirs["id"]]
    assert [row["id"] for row in read(world, f"{WEBHOOKS}?page=2&limit=1")] == [theirs["id"]]
    changed = ask(world, "PATCH", f"{WEBHOOKS}/{rows[2]['id']}", {"isActive": False})
    assert (changed.status_code, changed.json()["data"]["isActive"]) == (200, False)
    answer = ask(world, "DELETE", f"{WEBHOOKS}/{rows[2]['id']}")
    assert answer.json() == {"data": {"id": rows[2]["id"], "deleted": True}}
    assert world.call("GET", "/exchanges/webhooks", key="KB").json() == {"data": []}


@pytest.mark.parametrize(
    "changes, status, code",
    [
        ({"envelope": "nobodys"}, 400, "VALIDATION_ERROR"),
        ({"envelope": "exchanges"}, 400, "VALIDATION_ERROR"),  # with types of the standard one
        ({"eventTypes": ["conversion.exploded"]}, 400, "VALIDATION_ERROR"),
        ({"keyKind": "ecdsa-p384"}, 400, "VALIDATION_ERROR"),
        ({"keyKind": "rot13"}, 400, "VALIDATION_ERROR"),
        ({"tenantId": UNKNOWN}, 400, "VALIDATION_ERROR"),
        ({"tenantId": "me"}, 400, "VALIDATION_ERROR"),
        ({"url": "https://[::1%25lo]/"}, 400, "VALIDATION_ERROR"),
        ({"url": "https://192.168.0.1/"}, 422, "WEBHOOK_URL_NOT_ALLOWED"),
    ],
)
def test_what_may_not_be_is_refused(
    server: DeskServer, world: World, changes: dict[str, Any], status: int, code: str
) -> None:
    del server
    assert_refused(ask(world, "POST", WEBHOOKS, {"url": CLOSED, "eventTypes": ORDERS, **changes}), status, code)
    assert read(world, WEBHOOKS) == []


def test_a_tenants_webhook_may_not_hear_what_is_the_operators(world: World) -> None:
    types = ["webhook.disabled"]
    asked = {"url": CLOSED, "eventTypes": types, "tenantId": tenant(world)}
    assert_refused(ask(world, "POST", WEBHOOKS, asked), 400, "VALIDATION_ERROR")
    assert made(world, eventTypes=types)["eventTypes"] == types


def test_a_tenants_places_count_also_those_that_the_operator_takes(world: World) -> None:
    for number in range(10):
        made(world, f"{CLOSED}{number}", tenantId=tenant(world))
    body = {"url": CLOSED, "eventTypes": ["otc_exchange.created"]}
    assert_refused(world.call("POST", "/exchanges/webhooks", json=body), 422, "WEBHOOK_LIMIT_REACHED")
    made(world)


def test_what_another_world_has_is_not_there(world: World, server: DeskServer) -> None:
    other = World(server)
    webhook = made(other)
    for method, path in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("POST", "/rotate-secret"),
        ("GET", "/deliveries"),
    ]:
        assert_refused(ask(world, method, f"{WEBHOOKS}/{webhook['id']}{path}"), 404, "WEBHOOK_NOT_FOUND")
    assert_refused(ask(world, "PATCH", f"{WEBHOOKS}/{webhook['id']}", {"isActive": False}), 404, "WEBHOOK_NOT_FOUND")
    recover = ask(world, "POST", f"{WEBHOOKS}/{webhook['id']}/recover", {"since": "2020-01-01T00:00:00Z"})
    assert_refused(recover, 404, "WEBHOOK_NOT_FOUND")
    delivery = ask(other, "POST", f"{WEBHOOKS}/{webhook['id']}/test").json()["data"]["deliveryId"]
    assert_refused(ask(world, "GET", f"{DELIVERIES}/{delivery}"), 404, "DELIVERY_NOT_FOUND")
    assert_refused(ask(world, "POST", f"{DELIVERIES}/{delivery}/resend"), 404, "DELIVERY_NOT_FOUND")
    assert read(world, DELIVERIES) == []


@pytest.mark.parametrize("method, path", [("GET", WEBHOOKS), ("GET", DELIVERIES), ("GET", "/operator/event-types")])
def test_customers_are_not_operators(world: World, method: str, path: str) -> None:
    assert_refused(world.call(method, path), 403, "INSUFFICIENT_SCOPE")
    assert_refused(world.call(method, path, key=None), 401, "UNAUTHORIZED")


# -- what arrives ------------------------------------------------------------------------------------------------------


def test_the_desk_hears_of_every_tenants_orders(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    order_id = world.confirmed_sell("100")
    (request,) = receiver.wait_for(1)
    told = verified(request, webhook["signingSecret"])
    assert (told["type"], told["data"]["customerId"]) == ("conversion.confirmed", tenant(world))
    (row,) = all_are(world, f"{WEBHOOKS}/{webhook['id']}/deliveries", 1, "success")
    assert row == {
        "id": row["id"],
        "webhookId": webhook["id"],
        "eventId": request.headers["webhook-id"],
        "eventType": "conversion.confirmed",
        "subjectId": order_id,
        "subjectVersion": 2,
        "status": "success",
        "attemptNumber": 1,
        "dueAt": None,
        "responseStatus": 200,
        "responseTimeMs": row["responseTimeMs"],
        "error": None,
        "createdAt": row["createdAt"],
        "attemptedAt": row["attemptedAt"],
    }
    detail = read(world, f"{DELIVERIES}/{row['id']}")
    assert detail["body"].encode() == request.body
    assert detail["attempts"] == [
        {
            "number": 1,
            "attemptedAt": row["attemptedAt"],
            "responseStatus": 200,
            "responseTimeMs": row["responseTimeMs"],
            "responseBody": "",
            "error": None,
        }
    ]
    assert row.items() <= detail.items()


def test_after_a_rotation_either_secret_verifies(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    fresh = ask(world, "POST", f"{WEBHOOKS}/{webhook['id']}/rotate-secret").json()["data"]
    assert [key["retiresAt"] is None for key in fresh["keys"]] == [True, False]
    sent = ask(world, "POST", f"{WEBHOOKS}/{webhook['id']}/test").json()["data"]
    assert (sent["success"], sent["attemptNumber"], sent["responseStatus"]) == (True, 1, 200)
    (request,) = receiver.requests
    for secret in (webhook["signingSecret"], fresh["signingSecret"]):
        assert verified(request, secret)["type"] == "webhook.test"


def test_deliveries_are_searched_for(world: World, receiver: Receiver) -> None:
    own, theirs = made(world, receiver.url()), made(world, receiver.url("/theirs"), tenantId=tenant(world))
    receiver.answer = lambda request: 500 if request.path == "/theirs" else 200
    order_id = world.confirmed_sell("100")
    receiver.wait_for(2)
    (good,) = all_are(world, f"{DELIVERIES}?webhookId={own['id']}", 1, "success")
    wait_until(lambda: read(world, f"{DELIVERIES}?webhookId={theirs['id']}")[0]["attemptNumber"] == 1, "it failed")
    (bad,) = read(world, f"{DELIVERIES}?webhookId={theirs['id']}")
    assert (bad["status"], bad["responseStatus"], bad["eventId"]) == ("pending", 500, good["eventId"])
    assert bad["dueAt"] > bad["createdAt"]
    answer = ask(world, "GET", f"{DELIVERIES}?limit=1")
    assert answer.json()["meta"]["pagination"] == {"page": 1, "limit": 1, "total": 2}
    both, none = {good["id"], bad["id"]}, set[str]()
    for query, wanted in {
        f"eventId={good['eventId']}": both,
        "eventId=evt_0": none,
        "eventType=conversion.confirmed": both,
        "eventType=conversion.completed": none,
        "status=success": {good["id"]},
        "status=pending": {bad["id"]},
        f"tenantId={tenant(world)}": {bad["id"]},
        f"tenantId={tenant(world)}&status=success": none,
        f"webhookId={UNKNOWN}": none,
        "since=2020-01-01T00:00:00Z": both,
        "since=2020-01-01T00:00:00": both,
        "since=2100-01-01T00:00:00%2B02:00": none,
    }.items():
        assert {row["id"] for row in read(world, f"{DELIVERIES}?{query}")} == wanted, query
    for query in (
        "status=done",
        "webhookId=1",
        "tenantId=A",
        "since=yesterday",
        "eventId=%00",
        "since=0001-01-01T00:00:00%2B09:00",
    ):
        assert_refused(ask(world, "GET", f"{DELIVERIES}?{query}"), 400, "VALIDATION_ERROR")
    assert json.loads(read(world, f"{DELIVERIES}/{bad['id']}")["body"])["data"]["id"] == order_id


def test_a_delivery_is_sent_again(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    world.confirmed_sell("100")
    (row,) = all_are(world, DELIVERIES, 1, "success")
    receiver.answer = (503, {}, b"not now")
    resend = f"{DELIVERIES}/{row['id']}/resend"
    answer = ask(world, "POST", resend)
    assert answer.status_code == 200
    sent = answer.json()["data"]
    assert sent == {
        "deliveryId": row["id"],
        "success": False,
        "attemptNumber": 2,
        "responseStatus": 503,
        "responseTimeMs": sent["responseTimeMs"],
        "responseBody": "not now",
        "error": None,
    }
    assert read(world, f"{DELIVERIES}/{row['id']}")["status"] == "pending"
    assert [one["responseBody"] for one in read(world, f"{DELIVERIES}/{row['id']}")["attempts"]] == ["", "not now"]
    ask(world, "PATCH", f"{WEBHOOKS}/{webhook['id']}", {"isActive": False})
    assert_refused(ask(world, "POST", resend), 409, "WEBHOOK_INACTIVE")
    ask(world, "DELETE", f"{WEBHOOKS}/{webhook['id']}")
    assert_refused(ask(world, "POST", resend), 404, "WEBHOOK_NOT_FOUND")
    assert_refused(ask(world, "POST", f"{DELIVERIES}/{UNKNOWN}/resend"), 404, "DELIVERY_NOT_FOUND")


def test_what_did_not_arrive_is_recovered(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    recover = f"{WEBHOOKS}/{webhook['id']}/recover"
    ask(world, "PATCH", f"{WEBHOOKS}/{webhook['id']}", {"isActive": False})
    world.confirmed_sell("100")
    assert_refused(ask(world, "POST", recover, {"since": "2020-01-01T00:00:00Z"}), 409, "WEBHOOK_INACTIVE")
    marker = made(world, receiver.url("/marker"))
    world.confirmed_sell("100")
    all_are(world, f"{DELIVERIES}?webhookId={marker['id']}", 1, "success")  # so far everything is told
    ask(world, "PATCH", f"{WEBHOOKS}/{webhook['id']}", {"isActive": True})
    answer = ask(world, "POST", recover, {"since": "2020-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()) == (200, {"data": {"due": 2}})
    all_are(world, f"{DELIVERIES}?webhookId={webhook['id']}", 2, "success")
    assert ask(world, "POST", recover, {"since": "2020-01-01T00:00:00Z"}).json() == {"data": {"due": 0}}
    for since in ("yesterday", "", None, "9999-12-31T23:59:59-14:00"):
        assert_refused(ask(world, "POST", recover, {"since": since}), 400, "VALIDATION_ERROR")


def test_the_catalogue_is_shown(world: World) -> None:
    told = read(world, "/operator/event-types")
    kinds = {kind["name"]: kind for kind in told["eventTypes"]}
    assert list(kinds) == list(CATALOGUE)
    everybody, operators = ["tenant", "operator"], ["operator"]
    assert {name: kind["visibleTo"] for name, kind in kinds.items()} == {
        **dict.fromkeys(CATALOGUE, everybody),
        **dict.fromkeys([f"payout.{what}" for what in ("held", "released", "filed", "cancelling")], operators),
        **dict.fromkeys(["conversion.return_refused", "webhook.disabled"], operators),
    }
    fields = kinds["account.balance_updated"].pop("fields")
    assert kinds["account.balance_updated"] == {
        "name": "account.balance_updated",
        "version": 1,
        "subject": "account",
        "visibleTo": everybody,
        "meaning": "An entry changed the balance of a customer's cash account.",
    }
    assert [field["name"] for field in fields] == [
        *("type", "timestamp", "data", "data.id", "data.customerId", "data.asset", "data.label", "data.status"),
        *("data.address", "data.balance", "data.version"),
    ]
    assert fields[-2] == {
        "name": "data.balance",
        "type": "string",
        "format": "decimal",
        "always": True,
        "meaning": "What is on it, with all decimals of the asset; may be negative.",
    }
    assert fields[6]["type"] == "string or null"
    envelopes = {row["name"]: row for row in told["envelopes"]}
    assert envelopes.keys() == {"exchanges", "offers", "ramp", "standard"}
    assert "otc_exchange.created" in envelopes["exchanges"]["eventTypes"]
    assert envelopes["standard"]["keyKinds"] == ["hmac-sha256", "ed25519"]
    assert {name for name, row in envelopes.items() if row["ownKeys"]} == {"exchanges", "standard"}


def test_what_arrives_has_the_fields_that_the_catalogue_says(world: World, receiver: Receiver) -> None:
    types = [name for name in CATALOGUE if name.startswith(("conversion.", "account."))]
    made(world, receiver.url(), eventTypes=types)
    assert world.approve(world.confirmed_sell("100")).status_code == 200
    kinds = {kind["name"]: kind for kind in read(world, "/operator/event-types")["eventTypes"]}
    wanted = {"conversion.confirmed", "conversion.approved", "conversion.collected", "conversion.completed"}
    wanted |= {"account.balance_updated"}
    wait_until(lambda: {json.loads(body)["type"] for body in receiver.bodies} == wanted, "all of it has arrived")
    for body in receiver.bodies:
        told = json.loads(body)
        names = [*told, *(f"data.{name}" for name in told["data"])]
        assert sorted(names) == sorted(field["name"] for field in kinds[told["type"]]["fields"])
        assert_as_documented(ENVELOPES.named("standard"), told["type"], body)


def test_a_receiver_that_is_gone_is_shown_as_switched_off(world: World, receiver: Receiver) -> None:
    receiver.answer = 410
    webhook = made(world, receiver.url())
    theirs = world.call(
        "POST", "/exchanges/webhooks", json={"url": receiver.url("/theirs"), "eventTypes": ["otc_exchange.created"]}
    ).json()["data"]
    world.server.secrets.add(theirs["signing_secret"])
    watcher = made(world, receiver.url("/watch"), eventTypes=["webhook.disabled"])
    receiver.answer = lambda request: 200 if request.path == "/watch" else 410
    world.confirmed_sell("100")
    wait_until(lambda: not read(world, f"{WEBHOOKS}/{webhook['id']}")["isActive"], "it is switched off")
    wait_until(lambda: not read(world, f"{WEBHOOKS}/{theirs['id']}")["isActive"], "theirs is switched off")
    shown = read(world, f"{WEBHOOKS}/{webhook['id']}")
    assert shown["disabledReason"] == "the receiver answered 410"
    assert shown["createdAt"] <= shown["failingSince"] <= shown["disabledAt"]
    (listed,) = world.call("GET", "/exchanges/webhooks").json()["data"]
    assert (listed["is_active"], listed["disabled_reason"]) == (False, "the receiver answered 410")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", listed["disabled_at"])
    assert listed["disabled_at"] == read(world, f"{WEBHOOKS}/{theirs['id']}")["disabledAt"]
    all_are(world, f"{DELIVERIES}?webhookId={watcher['id']}", 2, "success")
    told = [json.loads(request.body) for request in receiver.requests if request.path == "/watch"]
    assert {one["data"]["webhookId"] for one in told} == {webhook["id"], theirs["id"]}
    for one in told:
        assert_as_documented(
            ENVELOPES.named("standard"), "webhook.disabled", json.dumps(one, separators=(",", ":")).encode()
        )
    (row,) = read(world, f"{DELIVERIES}?webhookId={webhook['id']}")
    assert_refused(ask(world, "POST", f"{DELIVERIES}/{row['id']}/resend"), 409, "WEBHOOK_INACTIVE")
    on = ask(world, "PATCH", f"{WEBHOOKS}/{webhook['id']}", {"isActive": True}).json()["data"]
    assert (on["isActive"], on["disabledAt"], on["disabledReason"]) == (True, None, None)


def test_too_many_messages_by_hand_are_refused_until_one_is_done(world: World, receiver: Receiver) -> None:
    webhook = made(world, receiver.url())
    for _ in range(5):
        world.confirmed_sell("100")
    rows = all_are(world, DELIVERIES, 5, "success")
    receiver.answer = Held()
    resends = [f"{DELIVERIES}/{row['id']}/resend" for row in rows]
    with ThreadPoolExecutor(max_workers=4) as threads:
        held = [threads.submit(ask, world, "POST", path) for path in resends[:4]]
        receiver.wait_for(9)
        refused = ask(world, "POST", resends[4])
        tested = ask(world, "POST", f"{WEBHOOKS}/{webhook['id']}/test")
        receiver.answer = 200
        receiver.release()
        assert all(one.result().json()["data"]["success"] for one in held)
    for answer in (refused, tested):
        assert_refused(answer, 429, "RATE_LIMITED")
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["message"] == "Too many messages are being sent by hand; wait for one."
    assert ask(world, "POST", resends[4]).json()["data"]["success"]
    assert len(receiver.requests) == 10


# -- the page of public keys -------------------------------------------------------------------------------------------


def test_the_public_keys_are_published_to_everybody(server: DeskServer) -> None:
    answer = server.http.get("/webhooks/keys")
    assert answer.status_code == 200
    keys = {key["envelope"]: key for key in answer.json()["keys"] if key["environment"] == "live"}
    assert keys.keys() == {"offers", "ramp"}
    assert (keys["ramp"]["kind"], keys["ramp"]["crv"], keys["ramp"]["alg"]) == ("ecdsa-p384", "P-384", "ES384")
    assert (keys["offers"]["kind"], keys["offers"]["crv"], keys["offers"]["alg"]) == ("ecdsa-p256", "P-256", "ES256")
    wanted = {
        "id",
        "envelope",
        "environment",
        "kind",
        "pem",
        "madeAt",
        "retiresAt",
        "kty",
        "crv",
        "x",
        "y",
        "kid",
        "use",
        "alg",
    }
    assert all(key.keys() == wanted for key in keys.values())
    assert "PRIVATE" not in answer.text
    assert_refused(server.http.post("/webhooks/keys", json={}), 405, "METHOD_NOT_ALLOWED")

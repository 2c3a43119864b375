"""What is told of payouts by callbacks (ramp contract 6, cases 34 and 35), to a business and to the operator."""

import hashlib
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ecdsa  # type: ignore[import-untyped]
import msgspec
import pytest

from tests.support.ramp import RampWorld
from tests.support.receiver import Later, Received, Receiver
from tests.support.server import DeskServer, wait_until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def listen(world: RampWorld, url: str, envelope: str, *event_types: str, tenant: str | None = None) -> None:
    """Subscribe a business, or the operator."""
    body: dict[str, Any] = {"url": url, "envelope": envelope, "eventTypes": list(event_types)}
    if tenant is not None:
        body["tenantId"] = world.told["tenants"][tenant]
    answer = world.operator("POST", "/operator/webhooks", body)
    assert answer.status_code == 201, answer.text
    secret = answer.json()["data"].get("signingSecret")
    if secret:
        world.server.secrets.add(secret)


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """Return what has arrived, in its order."""
    return [msgspec.json.decode(one.body) for one in receiver.requests]


def public_key(server: DeskServer) -> Any:
    """Return the key that the desk publishes for the ramp dialect's callbacks in sandboxes."""
    rows = server.http.get("/webhooks/keys").json()["keys"]
    (pem,) = [row["pem"] for row in rows if (row["envelope"], row["environment"]) == ("ramp", "sandbox")]
    return ecdsa.VerifyingKey.from_pem(pem)


def verifies(key: Any, one: Received, body: bytes) -> bool:
    """Verify as the contract tells a receiver: base64 of DER, ECDSA P-384, SHA-384, over the raw body."""
    signature = b64decode(one.headers["webhook-signature"])
    try:
        return bool(key.verify(signature, body, hashfunc=hashlib.sha384, sigdecode=ecdsa.util.sigdecode_der))
    except ecdsa.BadSignatureError:
        return False


def test_case_34_a_payout_is_told_when_it_is_sold_and_when_it_settles(world: RampWorld, receiver: Receiver) -> None:
    listen(world, receiver.url(), "ramp", "Transaction", tenant="user-b1")
    sold = world.sold(ExternalID="inv-1")
    pending = receiver.wait_for(1)[0]
    world.finish(sold["ID"])
    settled = receiver.wait_for(2)[1]
    first, second = told(receiver)
    assert [first["EventType"], second["EventType"]] == ["Transaction", "Transaction"]
    assert [first["Data"]["Status"], second["Data"]["Status"]] == ["Pending", "Settled"]
    assert {first["Data"]["ID"], second["Data"]["ID"]} == {sold["ID"]}
    assert {first["UserID"], second["UserID"]} == {"user-b1"}
    assert first["EventVersion"] < second["EventVersion"]
    assert first["Occurred"].endswith("Z")
    assert first.keys() == {"EventType", "EventVersion", "Occurred", "UserID", "Data"}
    key = public_key(world.server)
    assert key.curve is ecdsa.NIST384p
    for one in (pending, settled):
        assert verifies(key, one, one.body)
        assert not verifies(key, one, one.body.replace(b"100.00", b"100.01"))


def test_data_is_the_transaction_as_its_route_shows_it_byte_for_byte(world: RampWorld, receiver: Receiver) -> None:
    listen(world, receiver.url(), "ramp", "Transaction", tenant="user-b1")
    order_id = world.sold()["ID"]
    shown = [world.get(f"/v1/transactions/{order_id}").content]
    receiver.wait_for(1)
    world.finish(order_id)
    shown.append(world.get(f"/v1/transactions/{order_id}").content)
    receiver.wait_for(2)
    for one, transaction in zip(receiver.requests, shown, strict=True):
        assert msgspec.json.decode(one.body, type=dict[str, msgspec.Raw])["Data"] == msgspec.Raw(transaction)


def test_case_35_what_was_not_received_is_sent_again_as_it_was(
    fresh_dsn: str, tmp_path: Path, receiver: Receiver
) -> None:
    server = DeskServer(fresh_dsn, tmp_path, DESK_RAMP_RETRY_SECONDS="0,0,0,0", DESK_WEBHOOKS_PERIOD_MS="50")
    server.start()
    try:
        world = RampWorld(server)
        receiver.answer = lambda one: 500 if one.number < 2 else 200
        listen(world, receiver.url(), "ramp", "Transaction", tenant="user-b1")
        world.sold()
        assert len({one.body for one in receiver.wait_for(3)}) == 1
        world.run_workers()
        world.run_workers()
        assert len(receiver.requests) == 3
    finally:
        server.stop()


def test_case_35_a_slow_subscriber_does_not_delay_the_sell(world: RampWorld, receiver: Receiver) -> None:
    receiver.answer = Later(milliseconds=2_000)
    listen(world, receiver.url(), "ramp", "Transaction", tenant="user-b1")
    session = world.session()["FormSessionID"]
    began = time.monotonic()
    world.sold(session)
    assert time.monotonic() - began < 1.5


def test_a_review_is_not_told_to_the_business(world: RampWorld, receiver: Receiver) -> None:
    listen(world, receiver.url(), "ramp", "Transaction", tenant="user-b1")
    order_id = world.sold()["ID"]
    for verb, body in (("hold", {"reason": "who?"}), ("release", None), ("hold", {"reason": "who?"})):
        assert world.operator("POST", f"/operator/payouts/{order_id}/{verb}", body).status_code == 200
    answer = world.operator("POST", f"/operator/payouts/{order_id}/cancel", {"reason": "nobody"})
    assert answer.status_code == 200
    receiver.wait_for(2)
    world.run_workers()
    assert [body["Data"]["Status"] for body in told(receiver)] == ["Pending", "Failed"]
    versions = [body["EventVersion"] for body in told(receiver)]
    assert versions == sorted(set(versions))


def test_what_comes_back_and_what_is_corrected_are_told_as_transactions(world: RampWorld, receiver: Receiver) -> None:
    order_id = world.sold()["ID"]
    world.finish(order_id)
    listen(world, receiver.url(), "ramp", "Transaction", tenant="user-b1")
    world.finish(order_id, "returned", fiatAmount="50.00")
    body = {"side": "debit", "amount": "1", "reason": "wrong rate"}
    assert world.operator("POST", f"/operator/payouts/{order_id}/adjust", body).status_code == 201
    receiver.wait_for(2)
    rows = {row["Direction"]: row for row in (body["Data"] for body in told(receiver))}
    assert rows["In"] == world.transaction(rows["In"]["ID"])
    assert rows["In"]["FiatPayment"]["Amount"] == "50.00"
    assert rows["Out"]["AdjustmentFor"]["AdjustedTransactionID"] == order_id


def test_nobody_is_told_of_anothers_payouts(world: RampWorld, receiver: Receiver) -> None:
    listen(world, receiver.url("/b2"), "ramp", "Transaction", tenant="user-b2")
    world.sold()
    world.run_workers()
    assert receiver.requests == []


def test_the_operator_is_told_of_every_move_and_a_tenant_of_its_own(world: RampWorld, receiver: Receiver) -> None:
    every = [f"payout.{name}" for name in ("submitted", "held", "released", "filed", "cancelling", "settled", "failed")]
    listen(world, receiver.url("/o"), "standard", *every)
    listen(world, receiver.url("/t"), "standard", "payout.submitted", "payout.settled", tenant="user-b1")
    order_id = world.sold(ExternalID="inv-9")["ID"]
    for verb, body in (("hold", {"reason": "who?"}), ("release", None)):
        assert world.operator("POST", f"/operator/payouts/{order_id}/{verb}", body).status_code == 200
    world.finish(order_id)
    wait_until(lambda: len(receiver.requests) == 6, "all is told")
    heard: dict[str, list[Any]] = {"/o": [], "/t": []}
    for one in receiver.requests:
        heard[one.path].append(msgspec.json.decode(one.body))
    assert {body["type"] for body in heard["/o"]} == {
        *("payout.submitted", "payout.held", "payout.released", "payout.settled")
    }
    (settled,) = [body["data"] for body in heard["/t"] if body["type"] == "payout.settled"]
    assert (settled["id"], settled["status"], settled["side"], settled["externalId"]) == (
        order_id,
        "settled",
        "sell",
        "inv-9",
    )
    assert (settled["assetAmount"], settled["fiatAmount"], settled["feeAmount"], settled["rate"]) == (
        "110.326087",
        "100.00",
        "1.50",
        "0.92",
    )
    assert settled["reason"] is None

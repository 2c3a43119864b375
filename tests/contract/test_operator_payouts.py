"""What the operator does about payouts, and how a sandbox says how they end.

Review, payouts that the operator makes itself, returns, corrections, channels; and the simulated provider's faults.
"""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from otcdesk.domain.parties import named_party_id
from otcdesk.domain.payouts import return_id
from otcdesk.domain.world import tenant_id
from tests.support.ramp import CH, FORM, JP_LOCAL, SEPA_FILE, START, US_ACH, RampWorld, assert_error
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, World, assert_refused, wait_until

UNKNOWN = "01a1feaa-515a-798c-b765-844ef6dbb000"

JP_FORM = {"AccountHolder": "Hanako", "BankDetails": {"AccountNumber": "1234567", "BankCode": "0001001"}}
US_FORM = {
    "AccountHolder": "Ada Example",
    "BankDetails": {"AccountType": "Checking", "AccountNumber": "123456789", "BankCode": "021000021"},
}


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def act(world: World, order_id: str, verb: str, status: int = 200, **body: Any) -> dict[str, Any]:
    """Let the operator do something with a payout that must succeed."""
    answer = tried(world, order_id, verb, **body)
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()["data"]
    return shown


def tried(world: World, order_id: str, verb: str, **body: Any) -> httpx.Response:
    return world.operator("POST", f"/operator/payouts/{order_id}/{verb}", body or None)


def end(world: World, order_id: str, outcome: str, **more: Any) -> httpx.Response:
    """Tell the simulated provider how a payout ends."""
    return world.operator("POST", f"/sandbox/payouts/{order_id}", {"outcome": outcome, **more})


def by_hand(world: RampWorld) -> str:
    """Return a payout that only the operator can make."""
    prepared = world.session(ChannelID=JP_LOCAL, FiatAmount="1000", Form=JP_FORM)
    order_id: str = world.sold(prepared["FormSessionID"], FiatAmount="1000")["ID"]
    return order_id


# -- review ------------------------------------------------------------------------------------------------------------


def test_a_held_payout_stays_pending_until_it_is_released(world: RampWorld) -> None:
    order_id = world.sold()["ID"]
    shown = act(world, order_id, "hold", reason="who is that?")
    assert (shown["status"], shown["waitsFor"], shown["reason"]) == ("held", None, "who is that?")
    assert world.transaction(order_id)["Status"] == "Pending"
    assert_refused(tried(world, order_id, "hold", reason="again"), 409, "INVALID_STATE")
    shown = act(world, order_id, "release")
    assert (shown["status"], shown["waitsFor"], shown["reason"]) == ("pending", "payout", None)
    world.finish(order_id)
    assert world.transaction(order_id)["Status"] == "Settled"
    assert_refused(tried(world, order_id, "hold", reason="too late"), 409, "INVALID_STATE")


def test_a_held_payout_is_cancelled_once_the_provider_has_said_no(world: RampWorld) -> None:
    order_id = world.sold()["ID"]
    assert_refused(tried(world, order_id, "cancel", reason="not held"), 409, "INVALID_STATE")
    act(world, order_id, "hold", reason="who is that?")
    assert act(world, order_id, "cancel", reason="nobody")["status"] == "cancelling"
    wait_until(lambda: world.transaction(order_id)["Status"] == "Failed", "the provider has said no")
    assert world.balance() == START


def test_large_payouts_of_a_channel_wait_for_review(server: DeskServer) -> None:
    file = RampWorld.file().replace('review_from = "25000"', 'review_from = "50"')
    world = RampWorld(server, template=None, world=file)
    prepared = world.session(ChannelID=US_ACH, FiatAmount="50.00", Form=US_FORM)
    sold = world.sold(prepared["FormSessionID"], FiatAmount="50.00")
    assert sold["Status"] == "Pending"
    (row,) = world.operator("GET", "/operator/orders?product=payout&status=held").json()["data"]
    assert row["id"] == sold["ID"]


def test_a_payout_is_shown_with_what_it_is_about(world: RampWorld) -> None:
    order_id = world.sold(ExternalID="inv-7")["ID"]
    (row,) = world.operator("GET", "/operator/orders?product=payout").json()["data"]
    assert (row["id"], row["side"], row["status"], row["waitsFor"]) == (order_id, "sell", "pending", "payout")
    assert row["railReference"] == f"{order_id}:payout"
    assert row["payout"] == {
        "kind": "payout",
        "userId": str(named_party_id(tenant_id("user-b1"), "cust-001")),
        "externalId": "inv-7",
        "asset": "USDC",
        "assetAmount": "110.326087",
        "fiat": "EUR",
        "fiatAmount": "100.00",
        "feeAmount": "1.50",
        "surchargeAmount": "0.00",
        "rate": "0.92",
        "channelId": CH,
        "returnsId": None,
        "adjustsId": None,
        "adjustmentId": None,
    }
    shown = world.operator("GET", f"/operator/orders/{order_id}").json()["data"]
    assert [event["event"] for event in shown["auditTrail"]] == ["payout.create", "payout.submit"]
    assert {hold["state"] for hold in shown["holds"]} == {"open"}


def test_whom_the_operator_bars_is_not_paid(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    party = named_party_id(tenant_id("user-b1"), "cust-001")
    assert world.operator("PUT", f"/operator/users/{party}", {"status": "inactive"}).status_code == 200
    assert_error(world.sell(session), 401, "Forbidden")
    assert world.operator("PUT", f"/operator/users/{party}", {"status": "active"}).status_code == 200
    assert world.sell(session).status_code == 202


# -- payouts that the operator makes -----------------------------------------------------------------------------------


def test_a_payout_of_a_channel_without_a_provider_is_ended_by_hand(world: RampWorld) -> None:
    paid, failed = by_hand(world), by_hand(world)
    shown = act(world, paid, "settle", reference="ZENGIN-1")
    assert (shown["status"], shown["waitsFor"]) == ("settled", None)
    assert world.transaction(paid)["Status"] == "Settled"
    assert act(world, failed, "fail", reason="no such branch")["status"] == "failed"
    assert world.transaction(failed)["Status"] == "Failed"
    for verb, body in (("settle", {"reference": "ZENGIN-2"}), ("fail", {"reason": "again"})):
        assert_refused(tried(world, paid, verb, **body), 409, "INVALID_STATE")


def test_a_payout_of_a_file_can_be_ended_by_hand(world: RampWorld) -> None:
    form = {"AccountHolder": "Ada Example", "BankDetails": {"AccountNumber": "DE89370400440532013000"}}
    prepared = world.session(ChannelID=SEPA_FILE, Form=form)
    order_id = world.sold(prepared["FormSessionID"])["ID"]
    assert act(world, order_id, "settle", reference="wire-1")["status"] == "settled"


def test_what_a_provider_makes_is_not_ended_by_hand(world: RampWorld) -> None:
    order_id = world.sold()["ID"]
    for verb, body in (("settle", {"reference": "wire-1"}), ("fail", {"reason": "no"})):
        assert_refused(tried(world, order_id, verb, **body), 409, "INVALID_STATE")
    assert world.transaction(order_id)["Status"] == "Pending"


def test_what_is_held_is_not_ended_by_hand_but_cancelled_at_once(world: RampWorld) -> None:
    order_id = by_hand(world)
    act(world, order_id, "hold", reason="who is that?")
    assert_refused(tried(world, order_id, "settle", reference="ZENGIN-1"), 409, "INVALID_STATE")
    assert act(world, order_id, "cancel", reason="nobody")["status"] == "failed"
    assert world.balance() == START


# -- returns and corrections -------------------------------------------------------------------------------------------


def test_a_payout_that_came_back_is_a_transaction_of_its_own(world: RampWorld) -> None:
    order_id = world.sold()["ID"]
    assert_refused(tried(world, order_id, "return", reference="bank-9"), 409, "INVALID_STATE")
    world.finish(order_id)
    back = act(world, order_id, "return", 201, reference="bank-9", reason="account closed", fiatAmount="46.00")
    assert (back["side"], back["status"], back["payout"]["returnsId"]) == ("buy", "settled", order_id)
    assert (back["payout"]["fiatAmount"], back["payout"]["assetAmount"]) == ("46.00", "50.000000")
    assert world.balance() == ("439.673913", "439.673913")
    assert world.transaction(back["id"])["Direction"] == "In"
    assert world.transaction(order_id)["Status"] == "Settled"
    again = act(world, order_id, "return", 201, reference="bank-9", fiatAmount="46.00")
    assert (again["id"], world.balance()[0]) == (back["id"], "439.673913")
    other = world.sold()["ID"]
    world.finish(other)
    assert_refused(tried(world, other, "return", reference="b", fiatAmount="100.01"), 400, "VALIDATION_ERROR")
    assert_refused(tried(world, other, "return", reference="b", fiatAmount="1.001"), 400, "VALIDATION_ERROR")
    assert_refused(tried(world, other, "return", reference="b", fiatAmount="0"), 400, "VALIDATION_ERROR")


def test_a_correction_is_a_transaction_of_its_own_made_once_for_its_key(world: RampWorld) -> None:
    order_id = world.sold()["ID"]
    body = {"side": "credit", "amount": "1.5", "reason": "wrong rate"}
    path, key = f"/operator/payouts/{order_id}/adjust", {"Idempotency-Key": str(uuid4())}
    assert_refused(world.operator("POST", path, body), 409, "INVALID_STATE")
    world.finish(order_id)
    first = world.operator("POST", path, body, headers=key)
    assert first.status_code == 201, first.text
    made = first.json()["data"]
    assert (made["side"], made["status"], made["payout"]["adjustsId"]) == ("credit", "settled", order_id)
    assert world.operator("POST", path, body, headers=key).json()["data"]["id"] == made["id"]
    assert_refused(world.operator("POST", path, {**body, "amount": "2"}, headers=key), 409, "IDEMPOTENCY_KEY_REUSED")
    assert world.balance() == ("391.173913", "391.173913")
    told = world.transaction(made["id"])
    assert told["AdjustmentFor"] == {
        "AdjustedTransactionID": order_id,
        "AdjustmentID": made["payout"]["adjustmentId"],
        "Reason": "ExchangeRateCorrection",
    }
    taken = {"side": "debit", "adjustmentId": made["payout"]["adjustmentId"], "reason": "the other part"}
    assert world.operator("POST", path, {**taken, "amount": "1.173913"}).status_code == 201
    assert world.balance() == ("390.000000", "390.000000")
    assert_refused(world.operator("POST", path, {**taken, "amount": "390.000001"}), 422, "BALANCE_INSUFFICIENT")
    assert_refused(world.operator("POST", path, {**taken, "amount": "0.0000001"}), 400, "VALIDATION_ERROR")


def test_a_large_correction_waits_for_a_second_person(server: DeskServer) -> None:
    guarded = '[[operators]]\nref = "second"\n[[guards.assets]]\nasset = "USDC"\nsecond_from = "1.5"\n'
    world = RampWorld(server, template=None, world=f"{RampWorld.file()}\n{guarded}")
    order_id = world.sold()["ID"]
    world.finish(order_id)
    before = world.balance()
    answer = tried(world, order_id, "adjust", side="credit", amount="1.5", reason="wrong rate")
    assert answer.status_code == 202, answer.text
    waits = answer.json()["data"]
    assert (waits["id"], waits["proposal"]["verb"], world.balance()) == (order_id, "adjust_payout", before)
    second = f"/operator/proposals/{waits['proposal']['id']}/second"
    assert_refused(world.operator("POST", second), 403, "SAME_PERSON")
    other = {"Authorization": f"Bearer {world.told['operators'][1]['token']}"}
    answer = world.server.http.request("POST", second, headers=other)
    assert answer.status_code == 200, answer.text
    made = answer.json()["data"]
    assert (made["side"], made["status"], made["payout"]["adjustsId"]) == ("credit", "settled", order_id)
    assert world.balance() == ("391.173913", "391.173913")
    assert_books_sound(world)


@pytest.mark.parametrize("verb", ["hold", "release", "cancel", "settle", "fail", "return", "adjust"])
def test_what_is_no_payout_is_not_found(world: RampWorld, verb: str) -> None:
    bodies: dict[str, Any] = {
        "release": {},
        "settle": {"reference": "r"},
        "return": {"reference": "r"},
        "adjust": {"side": "credit", "amount": "1", "reason": "r"},
    }
    for order_id in (UNKNOWN, "x"):
        answer = tried(world, order_id, verb, **bodies.get(verb, {"reason": "r"}))
        assert_refused(answer, 404, "ORDER_NOT_FOUND")


# -- channels ----------------------------------------------------------------------------------------------------------


def test_a_channel_is_closed_and_opened_again(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    rows = world.operator("GET", "/operator/channels").json()["data"]
    assert len(rows) == 6
    (row,) = [row for row in rows if row["id"] == CH]
    assert row == {
        "id": CH,
        "category": "bank",
        "type": "BankSepa",
        "country": "DE",
        "fiat": "EUR",
        "minimum": "10.00",
        "maximum": "10000.00",
        "fixedFee": "0.50",
        "feePercent": "1",
        "spreadBps": 0,
        "processingSeconds": 86_400,
        "rail": "payout",
        "reviewFrom": None,
        "enabled": True,
    }
    closed = world.operator("PUT", f"/operator/channels/{CH}", {"enabled": False})
    assert closed.json()["data"] == {**row, "enabled": False}
    assert_error(world.sell(session), 401, "Forbidden")
    assert world.operator("PUT", f"/operator/channels/{CH}", {"enabled": True}).json()["data"] == row
    assert world.sell(session).status_code == 202
    assert_refused(world.operator("PUT", f"/operator/channels/{UNKNOWN}", {"enabled": True}), 404, "CHANNEL_NOT_FOUND")


# -- the sandbox -------------------------------------------------------------------------------------------------------


def test_a_sandbox_says_how_a_payout_ends_and_it_is_booked_at_once(world: RampWorld) -> None:
    settled, failed = world.sold()["ID"], world.sold()["ID"]
    answer = end(world, settled, "settled").json()["data"]
    assert answer == {"id": settled, "state": "settled", "version": answer["version"], "reason": None, "returnId": None}
    answer = end(world, failed, "failed", reason="account closed").json()["data"]
    assert (answer["state"], answer["reason"]) == ("failed", "account closed")
    assert end(world, settled, "settled").status_code == 200, "it says the same again"
    assert_refused(end(world, settled, "failed"), 409, "INVALID_STATE")
    assert_refused(end(world, failed, "settled"), 409, "INVALID_STATE")
    assert world.balance() == ("389.673913", "389.673913")


def test_a_sandbox_lets_a_payout_come_back(world: RampWorld) -> None:
    order_id = world.sold()["ID"]
    assert_refused(end(world, order_id, "returned"), 409, "INVALID_STATE")
    end(world, order_id, "settled")
    for amount, status, code in (("100.01", 400, "VALIDATION_ERROR"), ("x", 400, "VALIDATION_ERROR")):
        assert_refused(end(world, order_id, "returned", fiatAmount=amount), status, code)
    answer = end(world, order_id, "returned", reason="no such account", fiatAmount="92.00").json()["data"]
    assert (answer["state"], answer["returnId"]) == ("settled", str(return_id(UUID(order_id))))
    assert world.balance() == ("489.673913", "489.673913")
    assert world.transaction(answer["returnId"])["FiatPayment"]["Amount"] == "92.00"
    assert_refused(end(world, order_id, "returned"), 409, "INVALID_STATE")


def test_a_sandbox_ends_only_what_its_provider_was_asked_for(world: RampWorld) -> None:
    assert_refused(end(world, by_hand(world), "settled"), 409, "INVALID_STATE")
    assert_refused(end(world, UNKNOWN, "settled"), 404, "ORDER_NOT_FOUND")
    assert_refused(end(world, "x", "settled"), 404, "ORDER_NOT_FOUND")
    assert_refused(end(world, by_hand(world), "paid"), 400, "VALIDATION_ERROR")


def test_a_payout_that_was_held_before_its_provider_heard_of_it_cannot_have_been_made(world: RampWorld) -> None:
    world.steer("faults", rail="payout", mode="unavailable")
    order_id = world.sold()["ID"]
    act(world, order_id, "hold", reason="who is that?")
    assert_refused(end(world, order_id, "settled"), 409, "INVALID_STATE")


def test_reserved_references_end_payouts_by_themselves(world: RampWorld) -> None:
    """In this world payouts wait to be told how they end, but for those that say it themselves."""
    ends = {"refuse-1": "Failed", "fail-1": "Failed", "return-1": "Settled"}
    ids = {
        name: world.sold(world.session(FiatAmount="20.00")["FormSessionID"], FiatAmount="20.00", ExternalID=name)["ID"]
        for name in (*ends, "wait-1")
    }

    def ended() -> bool:
        return all(world.transaction(ids[name])["Status"] == status for name, status in ends.items())

    wait_until(ended, "they have ended")
    wait_until(lambda: any(one["Direction"] == "In" for one in world.transactions()), "one has come back")
    assert world.transaction(ids["wait-1"])["Status"] == "Pending"


def test_a_delay_is_of_the_worlds_own_time(world: RampWorld) -> None:
    world.steer("faults", rail="payout", mode="up", delayMs=600_000)
    order_id = world.sold()["ID"]
    world.run_workers()
    assert world.transaction(order_id)["Status"] == "Pending"
    world.advance(seconds=601)
    world.run_workers()
    assert world.transaction(order_id)["Status"] == "Settled"


def test_a_provider_that_refuses_says_why(world: RampWorld) -> None:
    world.steer("faults", rail="payout", mode="refuse", reason="account closed")
    order_id = world.sold()["ID"]
    world.run_workers()
    assert world.transaction(order_id)["Status"] == "Failed"
    shown = world.operator("GET", f"/operator/orders/{order_id}").json()["data"]
    assert shown["reason"] == "account closed"
    assert FORM["BankDetails"]["AccountNumber"] not in str(shown)

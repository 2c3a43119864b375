"""What is told of deposits (ramp contract 6): fiat as `FiatDeposit`, what is on a chain as a `Transaction`, `In`."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.contract.test_ramp_automation import BANK, SENDER, SIMULATE, arrives, bank_body, fund, made
from tests.contract.test_ramp_webhooks import listen, told
from tests.support.ramp import RampWorld
from tests.support.receiver import Receiver
from tests.support.server import DeskServer


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def heard(receiver: Receiver, count: int) -> list[dict[str, Any]]:
    """Return the messages once there are so many, checked for what holds of all of one subject."""
    receiver.wait_for(count)
    messages = told(receiver)
    assert len(messages) == count
    assert {one["UserID"] for one in messages} == {"user-b1"}
    for subject in {one["Data"]["ID"] for one in messages}:
        versions = [one["EventVersion"] for one in messages if one["Data"]["ID"] == subject]
        assert versions == sorted(set(versions))
    return messages


def test_a_simulated_fiat_deposit_is_pending_and_then_settled(world: RampWorld, receiver: Receiver) -> None:
    listen(world, receiver.url(), "ramp", "FiatDeposit", tenant="user-b1")
    bank = world.post(BANK, bank_body()).json()
    fiat = {
        "PaymentMethodID": bank["PaymentMethodID"],
        "FiatAmount": "100",
        "FiatCurrency": "EUR",
        "Reference": "inv 9",
    }
    deposit_id = world.post(SIMULATE, fiat).json()["FiatDepositID"]
    first, second = heard(receiver, 2)
    assert {first["EventType"], second["EventType"]} == {"FiatDeposit"}
    data = first["Data"]
    assert data.pop("Created").endswith("Z")
    sender = data.pop("Sender")
    assert sender["Details"]["Type"] == "FiatPaymentMethodBankDisplay"
    assert data == {
        "ID": deposit_id,
        "FiatAmount": "100.00",
        "FiatCurrency": "EUR",
        "Reference": "inv 9",
        "Status": "Pending",
        "CustomerID": "cust-001",
        "PaymentMethodID": bank["PaymentMethodID"],
        "PaymentMethodType": "BankSepa",
        "Refunds": [],
    }
    assert (second["Data"]["Status"], second["Data"]["Refunds"]) == ("Settled", [])


def test_a_fiat_deposit_that_fails_has_a_refund(world: RampWorld, receiver: Receiver) -> None:
    listen(world, receiver.url(), "ramp", "FiatDeposit", tenant="user-b1")
    bank = world.post(BANK, bank_body()).json()["PaymentMethodID"]
    deposit_id = world.steer("fiat-deposits", destination=bank, fiat="EUR", amount="20.00", stage="pending")["id"]
    for outcome in ("failed", "refunded"):
        world.steer("clock", advanceSeconds=60)
        world.steer(f"fiat-deposits/{deposit_id}", outcome=outcome)
    pending, failed, refunded = heard(receiver, 3)
    assert [one["Data"]["Status"] for one in (pending, failed, refunded)] == ["Pending", "Failed", "Failed"]
    (asked,), (given_back,) = failed["Data"]["Refunds"], refunded["Data"]["Refunds"]
    assert asked.pop("RequestedTime") == given_back.pop("RequestedTime") == failed["Occurred"]
    assert (asked.pop("Status"), given_back.pop("Status")) == ("Pending", "Successful")
    assert asked == given_back
    assert asked["RefundedAmount"] == {"Amount": "20.00", "FiatCurrency": "EUR"}


def test_what_arrives_on_a_chain_is_a_transaction_and_so_is_what_it_sets_off(
    world: RampWorld, receiver: Receiver
) -> None:
    made(world)
    listen(world, receiver.url(), "ramp", "Transaction", tenant="user-b1")
    deposit_id = arrives(world, stage="pending", sender=SENDER)["id"]
    world.steer(f"chain-deposits/{deposit_id}", outcome="settled")
    messages = heard(receiver, 3)
    arrival = [one["Data"] for one in messages if one["Data"]["ID"] == deposit_id]
    assert [(one["Direction"], one["Status"]) for one in arrival] == [("In", "Pending"), ("In", "Settled")]
    (sell,) = [one["Data"] for one in messages if one["Data"]["ID"] != deposit_id]
    assert (sell["Direction"], sell["Status"], "Orchestration" in sell) == ("Out", "Pending", True)
    shown = world.get(f"/v1/transactions/{deposit_id}").content
    body = next(one.body for one in receiver.requests if msgspec.json.decode(one.body)["Data"] == arrival[1])
    assert msgspec.json.decode(body, type=dict[str, msgspec.Raw])["Data"] == msgspec.Raw(shown)


def test_a_purchase_and_its_way_to_the_address_are_told(world: RampWorld, receiver: Receiver) -> None:
    fund(world)
    listen(world, receiver.url(), "ramp", "Transaction", tenant="user-b1")
    bank = world.post(BANK, bank_body()).json()["PaymentMethodID"]
    fiat = {"PaymentMethodID": bank, "FiatAmount": "100.00", "FiatCurrency": "EUR"}
    deposit_id = world.post(SIMULATE, fiat).json()["FiatDepositID"]
    receiver.wait_for(2)
    world.steer("work")
    data = [one["Data"] for one in heard(receiver, 3)]
    (bought,) = [one for one in data if one["Direction"] == "In"]
    assert (bought["Status"], bought["FiatPayment"]["FiatDepositID"]) == ("Settled", deposit_id)
    sent = [one for one in data if one["Direction"] == "Out"]
    assert [(one["Status"], "PublicID" in one) for one in sent] == [("Pending", False), ("Settled", True)]


def test_the_operator_hears_of_deposits_in_the_desks_own_words(world: RampWorld, receiver: Receiver) -> None:
    listen(world, receiver.url(), "standard", "deposit.arrived", "deposit.settled")
    deposit_id = arrives(world)["id"]
    receiver.wait_for(2)
    first, second = told(receiver)
    assert [one["type"] for one in (first, second)] == ["deposit.arrived", "deposit.settled"]
    assert {one["data"]["id"] for one in (first, second)} == {deposit_id}

"""Rules, workflows and deposits over real HTTP (ramp contract 3.10 and 3.11)."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.deposit_checks import SIMULATED_UNITS_MAX
from tests.support.ramp import RampWorld, assert_error
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer

NETWORK = "EthereumTestSepolia"
SENDER = "0x" + "12" * 20
TARGET = "0x" + "34" * 20


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def condition(*amounts: tuple[str, str], **changes: Any) -> dict[str, Any]:
    bounds = [{"ComparisonOperator": operator, "Value": value} for operator, value in amounts]
    return {"AmountConditions": bounds, "CryptoCurrency": "USDC_TEST", "Network": NETWORK, **changes}


def step(value: str, *operations: tuple[str, str]) -> dict[str, Any]:
    return {"Value": value, "Operations": [{"Operator": operator, "Value": other} for operator, other in operations]}


def rule_body(session: str, **changes: Any) -> dict[str, Any]:
    action = {
        "Type": "SellActionInput",
        "CryptoCurrency": "USDC_TEST",
        "CryptoAuthorizedAmount": step("../Amount"),
        "FiatAmount": step("50.00"),
        "FormSessionID": session,
        "ExternalID": "inv-7",
        **changes.pop("action", {}),
    }
    trigger = {
        "Type": "DepositSourceTriggerInput",
        "Conditions": [condition()],
        "CustomerID": "cust-001",
        **changes.pop("trigger", {}),
    }
    trigger = {name: value for name, value in trigger.items() if value is not None}
    return {"Trigger": trigger, "Actions": [action], "Nonce": uuid4().hex, **changes}


def made(world: RampWorld, **changes: Any) -> dict[str, Any]:
    """Return a rule that must be made, on a session of its own unless one is given."""
    session = changes.pop("session", None) or world.session(DelayedSell=True)["FormSessionID"]
    answer = world.post("/v1/beta1/rule", rule_body(session, **changes))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def arrives(world: RampWorld, amount: str = "100", **changes: Any) -> dict[str, Any]:
    """Let USDC arrive for the first customer, unless told otherwise."""
    told = {"asset": "USDC", "network": "Ethereum", "sender": SENDER, **changes}
    if "address" not in told:
        told = {"tenant": "user-b1", "customer": "cust-001", **told}
    found: dict[str, Any] = world.steer("chain-deposits", amount=amount, **told)
    return found


def sells(world: RampWorld) -> list[dict[str, Any]]:
    return [row for row in world.transactions() if (row["Network"], row["Direction"]) == ("OffNetwork", "Out")]


def test_a_rule_sells_once_what_arrives_and_says_so(world: RampWorld) -> None:
    rule = made(world)
    assert str(UUID(rule["ID"])) == rule["ID"]
    assert rule["Trigger"]["Conditions"] == [condition()]
    deposit = arrives(world)
    (sell,) = sells(world)
    assert sell["Orchestration"]["RuleID"] == rule["ID"]
    assert UUID(sell["Orchestration"]["RuleExecutionID"]).int
    assert (sell["Status"], sell["Amount"], sell["ExternalID"], sell["CustomerID"]) == (
        "Pending",
        "55.434783",
        "inv-7",
        "cust-001",
    )
    assert sell["FiatPayment"] == {"Amount": "50.00", "FeeAmount": "1.00", "Rate": "0.92", "FiatCurrency": "EUR"}
    assert world.balance() == ("544.565217", "600.000000")
    arrival = world.transaction(deposit["id"])
    assert {name: arrival[name] for name in ("Network", "Status", "Direction", "Amount", "CustomerID", "PublicID")} == {
        "Network": NETWORK,
        "Status": "Settled",
        "Direction": "In",
        "Amount": "100.000000",
        "CustomerID": "cust-001",
        "PublicID": deposit["hash"],
    }
    assert arrives(world, hash=deposit["hash"])["id"] == deposit["id"]
    arrives(world)
    assert [row["ID"] for row in sells(world)] == [sell["ID"]]
    world.finish(sell["ID"])
    assert world.transaction(sell["ID"])["Status"] == "Settled"
    assert world.balance() == ("644.565217", "644.565217")
    assert_books_sound(world)


def test_a_permanent_rule_sells_each_time(world: RampWorld) -> None:
    rule = made(world, Permanent=True)
    for _ in range(3):
        arrives(world)
    assert {row["Orchestration"]["RuleID"] for row in sells(world)} == {rule["ID"]}
    assert len({row["Orchestration"]["RuleExecutionID"] for row in sells(world)}) == 3


def test_a_rule_ends_at_its_expiry(world: RampWorld) -> None:
    now = datetime.fromisoformat(world.operator("GET", "/sandbox/clock").json()["data"]["now"])
    made(world, Expiry=(now + timedelta(seconds=60)).isoformat(), Permanent=True)
    world.steer("clock", advanceSeconds=59)
    arrives(world)
    assert len(sells(world)) == 1
    world.steer("clock", advanceSeconds=1)
    arrives(world)
    assert len(sells(world)) == 1
    past = rule_body(world.session()["FormSessionID"], Expiry=now.isoformat())
    assert_error(world.post("/v1/beta1/rule", past), 400, "InvalidMessage", "Expiry")


@pytest.mark.parametrize(
    "bounds, fires",
    [
        ([("EQ", "100")], True),
        ([("EQ", "+100.0")], True),
        ([("EQ", "100.01")], False),
        ([("LTEQ", "100")], True),
        ([("LTEQ", "99.999999")], False),
        ([("GTEQ", "100")], True),
        ([("GTEQ", "100.000001")], False),
        ([("GTEQ", "50"), ("LTEQ", "90")], False),
        ([("GTEQ", "50"), ("LTEQ", "150")], True),
    ],
)
def test_amounts_are_compared_as_numbers(world: RampWorld, bounds: list[tuple[str, str]], fires: bool) -> None:
    made(world, trigger={"Conditions": [condition(*bounds)]})
    arrives(world)
    assert bool(sells(world)) == fires


def test_what_is_not_meant_sets_nothing_off(world: RampWorld) -> None:
    made(world, trigger={"SourceAddress": SENDER.replace("0x12", "0x13")})
    made(world, trigger={"Conditions": [condition(Network="SolanaDevnet"), condition(CryptoCurrency="BTC_TEST")]})
    made(world)
    arrives(world, customer="cust-unverified")
    arrives(world, tenant="user-b2")
    assert sells(world) == []
    arrives(world)
    assert len(sells(world)) == 1


def test_a_nonce_makes_one_rule(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    body = rule_body(session, Nonce="rule-1")
    first = world.post("/v1/beta1/rule", body)
    assert (first.status_code, world.post("/v1/beta1/rule", body).content) == (200, first.content)
    other = rule_body(session, Nonce="rule-1", Permanent=True)
    assert_error(world.post("/v1/beta1/rule", other), 400, "InvalidMessage", "Nonce")
    arrives(world)
    assert len(sells(world)) == 1


def test_amounts_are_worked_on_step_by_step(world: RampWorld) -> None:
    action = {
        "FiatAmount": step("../Amount", ("Mul", "0.92"), ("Sub", "1.5")),
        "CryptoAuthorizedAmount": step("../Amount", ("Add", "10")),
    }
    made(world, action=action)
    arrives(world, "123.456789")
    (sell,) = sells(world)
    assert sell["FiatPayment"]["Amount"] == "112.08"


HOSTILE = [
    ({"action": {"FiatAmount": step("../../Balance")}}, "Actions.0.FiatAmount.Value"),
    ({"action": {"FiatAmount": step("/etc/passwd")}}, "Actions.0.FiatAmount.Value"),
    ({"action": {"FiatAmount": step("1", ("Mul", "../Rate"))}}, "Actions.0.FiatAmount.Operations.0.Value"),
    ({"action": {"FiatAmount": step("1e5")}}, "Actions.0.FiatAmount.Value"),
    ({"action": {"CryptoAuthorizedAmount": step("-1")}}, "Actions.0.CryptoAuthorizedAmount.Value"),
    ({"action": {"CryptoCurrency": "USDC"}}, "Actions.0.CryptoCurrency"),
    ({"trigger": {"Conditions": [condition(Network="OffNetwork")]}}, "Trigger.Conditions.0.Network"),
    ({"trigger": {"Conditions": [condition(CryptoCurrency="DOGE")]}}, "Trigger.Conditions.0.CryptoCurrency"),
    ({"Expiry": "2030-01-01T00:00:00"}, "Expiry"),
    ({"Expiry": "9999-12-31T23:59:59-01:00"}, "Expiry"),
    ({"Expiry": "0001-01-01T00:00:00+01:00"}, "Expiry"),
    ({"action": {"FormSessionID": f"{UUID(int=0)}\n"}}, "Actions.0.FormSessionID"),
    ({"action": {"FiatAmount": {"Value": 1}}}, "Actions.0.FiatAmount.Value"),
]


@pytest.mark.parametrize("changes, field", HOSTILE)
def test_what_refers_to_nothing_is_refused(world: RampWorld, changes: dict[str, Any], field: str) -> None:
    body = rule_body(world.session()["FormSessionID"], **changes)
    assert_error(world.post("/v1/beta1/rule", body), 400, "InvalidMessage", field)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": {"FiatAmount": step("1", *[("Mul", "9" * 38)] * 11)}},
        {"action": {"FiatAmount": step("9" * 39)}},
        {"trigger": {"Conditions": []}},
        {"trigger": {"Conditions": [condition()] * 11}},
        {"trigger": {"Conditions": [condition(*[("EQ", "1")] * 11)]}},
        {"trigger": {"Type": "AnythingElse"}},
        {"Actions": []},
        {"Nonce": ""},
    ],
)
def test_a_rule_is_of_a_bounded_size(world: RampWorld, changes: dict[str, Any]) -> None:
    answer = world.post("/v1/beta1/rule", rule_body(world.session()["FormSessionID"], **changes))
    assert_error(answer, 400, "InvalidMessage")


def test_a_rule_is_for_what_is_the_businesss(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    theirs = world.post("/v1/beta1/rule", rule_body(session, trigger={"CustomerID": None}), key="K9")
    assert_error(theirs, 400, "ResourceNotFound", "FormSessionID")
    nobody = world.post("/v1/beta1/rule", rule_body(session, trigger={"CustomerID": "nobody"}))
    assert_error(nobody, 400, "ResourceNotFound", "CustomerID")
    other = world.post("/v1/beta1/rule", rule_body(session, action={"CryptoCurrency": "BTC_TEST"}))
    assert_error(other, 400, "InvalidMessage", "CryptoCurrency")


def test_the_longest_chain_of_steps_is_refused_when_it_fires_and_the_deposit_stands(world: RampWorld) -> None:
    rule = made(world, action={"FiatAmount": step("9" * 38, *[("Mul", "9" * 38)] * 10)})
    arrives(world)
    assert world.balance() == ("600.000000", "600.000000")
    assert sells(world) == []
    (execution,) = world.operator("GET", f"/operator/rule-executions?ruleId={rule['ID']}").json()["data"]
    assert (execution["refused"], execution["orderId"], execution["ruleId"]) == ("AMOUNT_TOO_LARGE", None, rule["ID"])
    (shown,) = world.operator("GET", "/operator/rules").json()["data"]
    assert (shown["id"], shown["status"], shown["fired"]) == (rule["ID"], "live", 0)


# -- workflows -----------------------------------------------------------------------------------------------------


def workflow_body(session: str, **changes: Any) -> dict[str, Any]:
    trigger = {
        "Type": "SingleOnchainDepositSourceTriggerInput",
        "Conditions": [condition(("GTEQ", "50"))],
        "Nonce": "wf-1",
        **changes.pop("trigger", {}),
    }
    return {
        "Trigger": trigger,
        "CustomerID": "cust-001",
        "CryptoCurrency": "USDC_TEST",
        "FiatAmount": "40.00",
        "FormSessionID": session,
        **changes,
    }


ONCHAIN = "/v1/workflows/onchain-deposit-to-payment-method"
BANK = "/v1/workflows/bank-deposit-to-onchain-address"
SIMULATE = "/v1/sandbox/fiat-deposit/simulate"


def test_an_address_of_its_own_pays_out_once(world: RampWorld) -> None:
    session = world.session(FiatAmount="40.00")["FormSessionID"]
    conditions = [condition(("GTEQ", "50")), condition(Network="SolanaDevnet")]
    body = workflow_body(session, trigger={"Conditions": conditions, "SourceAddress": SENDER})
    answer = world.post(ONCHAIN, body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["SourceAddress"] == SENDER
    addresses = [one.pop("DestinationAddress")["Address"] for one in told["Conditions"]]
    assert (told["Conditions"], len(set(addresses))) == (conditions, 2)
    assert world.post(ONCHAIN, body).json()["Conditions"][0]["DestinationAddress"]["Address"] == addresses[0]
    arrives(world)  # elsewhere
    arrives(world, "49.999999", address=addresses[0])
    arrives(world, address=addresses[0], sender=TARGET)
    assert sells(world) == []
    arrives(world, "50", address=addresses[0])
    (sell,) = sells(world)
    assert sell["FiatPayment"]["Amount"] == "40.00"
    arrives(world, "50", address=addresses[0])
    assert len(sells(world)) == 1


def test_a_workflow_never_takes_more_than_what_has_arrived(world: RampWorld) -> None:
    session = world.session(FiatAmount="100.00")["FormSessionID"]
    answer = world.post(ONCHAIN, workflow_body(session, FiatAmount="100.00"))
    address = answer.json()["Conditions"][0]["DestinationAddress"]["Address"]
    arrives(world, "110.326086", address=address)
    assert sells(world) == []
    (execution,) = world.operator("GET", "/operator/rule-executions").json()["data"]
    assert execution["refused"] == "CEILING_EXCEEDED"


def test_a_workflow_of_another_asset_is_refused(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    body = workflow_body(session, trigger={"Conditions": [condition(CryptoCurrency="BTC_TEST", Network="BitcoinTest")]})
    assert_error(world.post(ONCHAIN, body), 400, "InvalidMessage", "Trigger.Conditions.0.CryptoCurrency")


def bank_body(**changes: Any) -> dict[str, Any]:
    return {
        "CustomerID": "cust-001",
        "FiatCurrency": "EUR",
        "CryptoCurrency": "USDC_TEST",
        "Network": NETWORK,
        "DestinationAddress": {"Address": TARGET},
        **changes,
    }


def fund(world: RampWorld) -> None:
    """Let the desk have USDC to sell: it buys some by a payout."""
    sold = world.sold(
        world.session(FiatAmount="300.00")["FormSessionID"], FiatAmount="300.00", CryptoAuthorizedAmount="400"
    )
    world.finish(sold["ID"])


def test_a_bank_deposit_buys_and_goes_to_the_address(world: RampWorld) -> None:
    fund(world)
    before = world.balance()
    answer = world.post(BANK, bank_body())
    assert answer.status_code == 200, answer.text
    bank = answer.json()
    assert bank["PaymentMethodID"] == f"Bank/Sepa/EUR/{bank['BankCode']}/{bank['AccountNumber']}"
    assert world.post(BANK, bank_body()).json() == bank
    assert world.post(BANK, bank_body(CustomerID="cust-unverified")).json() != bank
    fiat = {"PaymentMethodID": bank["PaymentMethodID"], "FiatAmount": "100.00", "FiatCurrency": "EUR"}
    simulated = world.post(SIMULATE, {**fiat, "Reference": "invoice 9"})
    assert simulated.status_code == 200, simulated.text
    deposit_id = simulated.json()["FiatDepositID"]
    sending, purchase = world.transactions()[:2]
    if sending["Network"] == "OffNetwork":
        sending, purchase = purchase, sending
    # 100.00 - 1.00 at 0.92 and one half of a hundredth
    assert purchase["FiatPayment"] == {
        "Amount": "100.00",
        "FeeAmount": "1.00",
        "Rate": "0.9246",
        "FiatCurrency": "EUR",
        "FiatDepositID": deposit_id,
    }
    assert (purchase["Direction"], purchase["Status"], purchase["Amount"]) == ("In", "Settled", "107.073329")
    assert (sending["Direction"], sending["Network"], sending["Status"]) == ("Out", NETWORK, "Pending")
    assert sending["Orchestration"] == purchase["Orchestration"]
    assert "PublicID" not in sending
    world.steer("work")
    sent = world.transaction(sending["ID"])
    assert (sent["Status"], sent["Amount"], sent["PublicID"][:2]) == ("Settled", "107.073329", "0x")
    assert world.balance() == before
    assert all(
        item["CryptoCurrency"].endswith(("_TEST", "_SEPOLIA")) for item in world.get("/v1/balances").json()["Items"]
    )
    assert_books_sound(world)


@pytest.mark.parametrize(
    "changes, field",
    [
        (
            {"DestinationAddress": {"Address": "bc1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"}},
            "DestinationAddress.Address",
        ),
        ({"Network": "OffNetwork"}, "Network"),
        ({"Network": "Ethereum"}, "Network"),
        ({"FiatCurrency": "XXX"}, "FiatCurrency"),
        ({"FiatCurrency": "BTC"}, "FiatCurrency"),
        ({"CryptoCurrency": "USDC"}, "CryptoCurrency"),
    ],
)
def test_a_place_that_cannot_be_sent_to_is_refused(world: RampWorld, changes: dict[str, Any], field: str) -> None:
    assert_error(world.post(BANK, bank_body(**changes)), 400, "InvalidMessage", field)


def test_only_ones_own_bank_details_take_simulated_fiat(world: RampWorld) -> None:
    bank = world.post(BANK, bank_body()).json()["PaymentMethodID"]
    fiat = {"PaymentMethodID": bank, "FiatAmount": "100.00", "FiatCurrency": "EUR"}
    assert_error(world.post(SIMULATE, fiat, key="K9"), 400, "ResourceNotFound", "PaymentMethodID")
    for changes, field in (
        ({"FiatAmount": "1.001"}, "FiatAmount"),
        ({"FiatAmount": "0"}, "FiatAmount"),
        ({"FiatAmount": f"{SIMULATED_UNITS_MAX // 100}.01"}, "FiatAmount"),
        ({"FiatCurrency": "USD"}, "FiatCurrency"),
        ({"FiatCurrency": "XXX"}, "FiatCurrency"),
        ({"FiatCurrency": "BTC"}, "FiatCurrency"),
    ):
        assert_error(world.post(SIMULATE, {**fiat, **changes}), 400, "InvalidMessage", field)
    gone = world.post(SIMULATE, {**fiat, "PaymentMethodID": "Bank/Sepa/EUR/X/Y"})
    assert_error(gone, 400, "ResourceNotFound", "PaymentMethodID")


def test_a_fiat_deposit_that_fails_goes_back(world: RampWorld) -> None:
    bank = world.post(BANK, bank_body()).json()["PaymentMethodID"]
    pending = world.steer("fiat-deposits", destination=bank, fiat="EUR", amount="20.00", stage="pending")
    assert pending["status"] == "pending"
    path = f"fiat-deposits/{pending['id']}"
    assert world.steer(path, outcome="failed", reason="name differs")["status"] == "failed"
    assert world.steer(path, outcome="refunded")["status"] == "refunded"
    assert world.transactions() == []
    (shown,) = world.operator("GET", "/operator/tenant-deposits?status=refunded").json()["data"]
    assert (shown["id"], shown["reason"], shown["amount"]) == (pending["id"], "name differs", "20.00")
    assert_books_sound(world)


@pytest.mark.parametrize("changes", [{"asset": "EUR"}, {"network": "Nope"}, {"network": "OffNetwork"}])
def test_only_what_is_on_chains_arrives_there(world: RampWorld, changes: dict[str, str]) -> None:
    told = {"tenant": "user-b1", "asset": "USDC", "network": "Ethereum", "amount": "1", **changes}
    answer = world.operator("POST", "/sandbox/chain-deposits", told)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert world.transactions() == []

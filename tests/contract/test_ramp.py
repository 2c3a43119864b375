"""The acceptance cases of the ramp contract, section 9, by their numbers, over real HTTP."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from otcdesk.request_signatures import new_key_pair, private_key
from tests.support.ramp import IBAN, START, RampWorld, assert_error
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, at_once

AFTER_SELL = "389.673913"


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def test_case_01_prepare(world: RampWorld) -> None:
    answer = world.prepare()
    assert answer.status_code == 200, answer.text
    told = answer.json()
    UUID(told.pop("FormSessionID"))
    assert told == {
        "TotalFee": "1.50",
        "CryptoAmountEstimate": "110.326087",
        "CryptoAuthorizedAmount": "111.429348",
    }
    assert world.balance() == START


def test_case_02_sell(world: RampWorld) -> None:
    answer = world.sell()
    assert answer.status_code == 202, answer.text
    assert answer.json().keys() == {"Transaction"}
    told = answer.json()["Transaction"]
    UUID(told.pop("ID"))
    assert told.pop("Created").endswith("Z")
    assert told == {
        "Network": "OffNetwork",
        "Status": "Pending",
        "Direction": "Out",
        "CustomerID": "cust-001",
        "ExternalID": "inv-1",
        "Amount": "110.326087",
        "CryptoCurrency": "USDC_TEST",
        "FiatPayment": {"Amount": "100.00", "FeeAmount": "1.50", "Rate": "0.92", "FiatCurrency": "EUR"},
        "FiatPaymentMethod": {
            "ID": f"Bank/Sepa/EUR/{IBAN}",
            "CustomerID": "cust-001",
            "Country": "DE",
            "PaymentMethodCategory": "Bank",
            "DisplayDetails": {"Type": "FiatPaymentMethodBankDisplay", "AccountNumber": IBAN},
        },
        "Breakdown": [
            {"Type": "ChannelFee", "Amount": "1.630434"},
            {"Type": "Remaining", "Amount": "108.695653"},
        ],
    }


def test_case_03_balances_after_a_sell(world: RampWorld) -> None:
    world.sold()
    assert world.balance() == (AFTER_SELL, "500.000000")


def test_case_05_a_payout_settles(world: RampWorld) -> None:
    made = world.sold()
    world.finish(made["ID"])
    told = world.transaction(made["ID"])
    assert told["Status"] == "Settled"
    assert told["FiatPayment"].pop("PaymentSystemID", "")
    assert {**told, "Status": "Pending"} == made
    assert world.balance() == (AFTER_SELL, AFTER_SELL)
    assert_books_sound(world)


def test_case_06_a_payout_fails(world: RampWorld) -> None:
    made = world.sold()
    world.finish(made["ID"], "failed")
    assert world.transaction(made["ID"]) == {**made, "Status": "Failed"}
    assert world.balance() == START
    assert_books_sound(world)


def test_case_07_the_same_sell_again(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    first, again = world.sell(session), world.sell(session)
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert world.balance()[0] == AFTER_SELL
    assert [row["ID"] for row in world.transactions()] == [first.json()["Transaction"]["ID"]]


@pytest.mark.parametrize(
    "change", [{"FiatAmount": "100"}, {"FiatAmount": "+100.000"}, {"CryptoAuthorizedAmount": "0111.4293480"}]
)
def test_case_07_the_same_number_written_otherwise_is_the_same_sell(world: RampWorld, change: dict[str, Any]) -> None:
    session = world.session()["FormSessionID"]
    first, again = world.sell(session), world.sell(session, **change)
    assert again.status_code == 202, again.text
    assert first.json() == again.json()


@pytest.mark.parametrize(
    "change",
    [
        {"FiatAmount": "100.01"},
        {"CryptoAuthorizedAmount": "111.429349"},
        {"ExternalID": "inv-2"},
        {"ExternalID": None},
        {"FormSessionID": "00000000-0000-4000-8000-000000000000"},
        {"CryptoCurrency": "BTC_TEST"},
    ],
)
def test_a_nonce_with_another_content(world: RampWorld, change: dict[str, Any]) -> None:
    session = world.session()["FormSessionID"]
    first = world.sell(session).json()
    body = assert_error(world.sell(session, **change), 400, "InvalidMessage", "Nonce")
    assert body["RequestExtension"]["Body"][0]["Reason"] == "IntegrityValidation"
    assert world.sell(session).json() == first
    assert world.balance()[0] == AFTER_SELL


def test_case_09_twenty_identical_sells_at_once(world: RampWorld) -> None:
    body = world.sell_body()
    answers = at_once([partial(world.post, "/v1/transactions/sell", body)] * 20)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["Transaction"]["ID"] for answer in answers}) == 1
    assert world.balance() == (AFTER_SELL, "500.000000")
    assert len(world.transactions()) == 1


def test_case_10_a_failed_payout_has_used_up_its_nonce(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    made = world.sell(session).json()["Transaction"]
    world.finish(made["ID"], "failed")
    again = world.sell(session)
    assert again.status_code == 202
    assert again.json()["Transaction"] == {**made, "Status": "Failed"}
    assert world.balance() == START


def test_a_settled_payout_is_repeated_as_it_is_shown(world: RampWorld) -> None:
    """With what its rail calls it, which the first answer could not know."""
    session = world.session()["FormSessionID"]
    made = world.sell(session).json()["Transaction"]
    world.finish(made["ID"], "settled")
    again = world.sell(session).json()["Transaction"]
    assert again["Status"] == "Settled"
    assert again["FiatPayment"]["PaymentSystemID"]
    assert again == world.transaction(made["ID"])


def test_case_11_the_price_is_charged_and_not_the_ceiling(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    world.price("USDC", "EUR", "0.915")
    told = world.sold(session)
    assert (told["Amount"], told["FiatPayment"]["Rate"]) == ("110.928962", "0.915")


def test_a_rate_that_makes_it_dearer_than_the_ceiling(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    world.price("USDC", "EUR", "0.91")
    assert_error(world.sell(session), 400, "InvalidMessage", "CryptoAuthorizedAmount")
    assert world.balance() == START
    raised = world.sell(session, CryptoAuthorizedAmount="111.538462")
    assert raised.status_code == 202, raised.text  # neither the nonce nor the session was used up
    assert raised.json()["Transaction"]["Amount"] == "111.538462"


def test_case_13_a_better_rate(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    world.price("USDC", "EUR", "0.95")
    assert world.sold(session)["Amount"] == "106.842106"


def test_case_14_a_delayed_sell_that_is_not_covered(world: RampWorld) -> None:
    told = world.session(FiatAmount="500.00", DelayedSell=True)
    assert (told["CryptoAmountEstimate"], told["CryptoAuthorizedAmount"]) == ("549.456522", "554.951088")
    answer = world.sell(told["FormSessionID"], FiatAmount="500.00", CryptoAuthorizedAmount="554.951088")
    assert_error(answer, 400, "InsufficientBalance")
    assert world.balance() == START


def test_case_15_a_prepare_that_is_not_covered(world: RampWorld) -> None:
    assert_error(world.prepare(FiatAmount="500.00"), 400, "InsufficientBalance")


def test_case_16_two_sells_race_for_one_balance(world: RampWorld) -> None:
    sessions = [world.session(FiatAmount="300.00")["FormSessionID"] for _ in range(2)]
    bodies = [
        world.sell_body(session, FiatAmount="300.00", CryptoAuthorizedAmount="400", Nonce=f"n-{number}")
        for number, session in enumerate(sessions)
    ]
    answers = at_once([partial(world.post, "/v1/transactions/sell", body) for body in bodies])
    assert sorted(answer.status_code for answer in answers) == [202, 400]
    assert world.balance() == ("170.108695", "500.000000")


@pytest.mark.parametrize("field", ["CryptoCurrency", "FiatAmount", "CryptoAuthorizedAmount", "FormSessionID", "Nonce"])
def test_case_17_a_field_is_missing(world: RampWorld, field: str) -> None:
    body = world.sell_body()
    del body[field]
    told = assert_error(world.post("/v1/transactions/sell", body), 400, "InvalidMessage", field)
    assert told["Action"] == "CreateSellTransaction"
    assert told["RequestExtension"]["Body"] == [
        {"Field": field, "Reason": "SchemaValidation", "Description": "is required"}
    ]


@pytest.mark.parametrize(
    "amount", ["-1", "1e3", "1,00", "", "abc", 100, "1" * 39, "5\n", ".", "+", "\u0661", "0x1", None]
)
@pytest.mark.parametrize("field", ["FiatAmount", "CryptoAuthorizedAmount"])
def test_case_18_what_is_no_positive_decimal(world: RampWorld, field: str, amount: Any) -> None:
    body = {**world.sell_body(), field: amount}
    assert_error(world.post("/v1/transactions/sell", body), 400, "InvalidMessage", field)
    assert world.balance() == START


@pytest.mark.parametrize("amount", ["100.", "+100", "000100.000", "100.0000000000000000000000000000000000"])
def test_other_spellings_of_a_positive_decimal(world: RampWorld, amount: str) -> None:
    assert world.session(FiatAmount=amount)["TotalFee"] == "1.50"
    assert world.sold(FiatAmount=amount)["FiatPayment"]["Amount"] == "100.00"


def test_case_20_more_decimals_than_the_fiat_has(world: RampWorld) -> None:
    assert_error(world.prepare(FiatAmount="100.001"), 400, "InvalidMessage", "FiatAmount")


@pytest.mark.parametrize(
    "field, value",
    [("Nonce", ""), ("Nonce", "n" * 37), ("ExternalID", ""), ("ExternalID", "e" * 37), ("Nonce", "a\x00b")],
)
def test_lengths(world: RampWorld, field: str, value: str) -> None:
    body = {**world.sell_body(), field: value}
    assert_error(world.post("/v1/transactions/sell", body), 400, "InvalidMessage", field)


@pytest.mark.parametrize("code", ["USDC", "DOGE", "", "usdc_test", "ETH_TEST_SEPOLIA" * 3])
def test_case_22_another_asset_or_environment(world: RampWorld, code: str) -> None:
    assert_error(world.sell(CryptoCurrency=code), 400, "InvalidMessage", "CryptoCurrency")
    assert_error(world.prepare(CryptoCurrency=code), 400, "InvalidMessage", "CryptoCurrency")


@pytest.mark.parametrize("session", ["not-a-uuid", "{00000000-0000-4000-8000-000000000000}", "0" * 32])
def test_case_23_what_is_no_uuid(world: RampWorld, session: str) -> None:
    assert_error(world.sell(session), 400, "InvalidMessage", "FormSessionID")


def test_a_session_that_is_not_there_has_expired_or_is_anothers(world: RampWorld) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    told = [assert_error(world.sell(unknown), 400, "ResourceNotFound", "FormSessionID")]
    session = world.session()["FormSessionID"]
    told.append(assert_error(world.sell(session, how={"key": "K9"}), 400, "ResourceNotFound"))
    world.advance(seconds=899)
    made = world.session()["FormSessionID"]
    assert world.sell(session, Nonce="in time").status_code == 202
    world.advance(seconds=900)
    told.append(assert_error(world.sell(made), 400, "ResourceNotFound"))
    assert len({body["Detail"] for body in told}) == 1


def test_a_nonce_is_answered_also_after_its_session_has_expired(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    first = world.sell(session)
    world.advance(seconds=10_000)
    assert world.sell(session).json() == first.json()


def test_case_25_another_amount_than_was_prepared(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    assert_error(world.sell(session, FiatAmount="90.00"), 400, "InvalidMessage", "FiatAmount")
    assert_error(world.sell(session, CryptoCurrency="BTC_TEST"), 400, "InvalidMessage", "CryptoCurrency")
    assert world.sell(session).status_code == 202


def test_a_session_is_sold_once(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    world.sold(session)
    assert_error(world.sell(session, Nonce="another"), 400, "InvalidMessage", "FormSessionID")
    assert world.balance()[0] == AFTER_SELL


def test_case_27_limits(world: RampWorld) -> None:
    for amount in ("9.99", "10000.01", "0", "0.00", "9" * 38):
        told = assert_error(world.prepare(FiatAmount=amount, DelayedSell=True), 400, "InvalidMessage", "FiatAmount")
        assert "10.00" in told["Detail"]
        assert "10000.00 EUR" in told["Detail"]
    for amount in ("10", "10000"):
        assert world.prepare(FiatAmount=amount, DelayedSell=True).status_code == 200


@pytest.mark.parametrize("customer, reason", [("cust-unverified", "Kyc"), ("cust-inactive", "Suspended")])
def test_a_customer_who_is_not_approved(world: RampWorld, customer: str, reason: str) -> None:
    told = assert_error(world.prepare(CustomerID=customer), 401, "Forbidden")
    assert told["Extensions"]["Features"] == {"Customer": [reason]}


def _changed(secret: str) -> str:
    return secret[:-1] + ("A" if secret[-1] != "A" else "B")


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda _: None,
        _changed,
        lambda secret: secret.replace("sandbox", "prod"),
        lambda secret: secret.upper(),
        lambda secret: secret + " ",
        lambda _: "apikey_sandbox_",
        lambda _: "apikey_prod_" + "x" * 43,
        lambda _: "Bearer nothing",
        lambda _: "",
    ],
)
def test_case_29_no_good_key(world: RampWorld, spoiled: Callable[[str], str | None]) -> None:
    session = world.session()["FormSessionID"]
    secret = spoiled(world.request_keys["K0"])
    if secret == world.request_keys["K0"] + " ":  # HTTP takes spaces off a header's value
        return
    assert_error(world.sell(session, how={"key": secret}), 401, "Unauthorized")
    assert world.balance() == START


def test_case_30_a_key_with_a_pair_signs(world: RampWorld) -> None:
    session = world.session()["FormSessionID"]
    assert_error(world.sell(session, how={"key": "K1"}), 401, "Unauthorized")
    assert world.sell(session).status_code == 202


def test_case_31_signatures(world: RampWorld) -> None:
    body = world.sell_body()
    sell = partial(world.signed, "POST", "/v1/transactions/sell", body)
    now = int(time.time())
    other = private_key(new_key_pair()[0].encode())
    wrong: list[dict[str, Any]] = [
        {"claims": {"aud": "https://api.sandbox.noah.com"}},
        {"claims": {"iat": now - 600, "exp": now - 1}},
        {"claims": {"iat": now, "exp": now + 901}},
        {"claims": {"method": "GET"}},
        {"claims": {"path": "/transactions/sell"}},
        {"claims": {"bodyHash": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}},
        {"by": other},
    ]
    for how in wrong:
        assert_error(sell(**how), 401, "Unauthorized")
    assert world.balance() == START
    answer = sell()
    assert answer.status_code == 202, answer.text
    assert sell(prefix="/ramp").json() == answer.json()


def test_businesses_do_not_see_one_another(world: RampWorld) -> None:
    made = world.sold()
    assert_error(world.get(f"/v1/transactions/{made['ID']}", key="K9"), 400, "ResourceNotFound")
    assert world.transactions(key="K9") == []
    assert world.balance(key="K9") == ("1000.000000", "1000.000000")

"""Checkouts of the ramp contract, 3.9, over real HTTP: what businesses open, and the pages that people complete."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from otcdesk.domain.checkouts import references_in
from tests.support.hosted import CHANNEL, FORM, ITEMS, RETURN_URL, Hosted, Page, opened, opening, returned
from tests.support.ramp import IBAN, PERSON, SEPA_FILE, START, RampWorld, assert_error
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, at_once

KINDS = ["payout/fiat", "payin/fiat", "payin/crypto", "sell", "buy"]


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


# -- opening -------------------------------------------------------------------------------------------------------


def test_a_payout_session(world: RampWorld) -> None:
    hosted = opened(world)
    told = dict(hosted.session)
    assert told.pop("Created") < told.pop("Expiry")
    assert told == {
        "CheckoutSessionID": hosted.id,
        "Type": "PayoutFiat",
        "Status": "Pending",
        "SourceCurrency": "USDC_TEST",
        "DestinationCurrency": "EUR",
        "DestinationAmount": "100.00",
        "AuthorizedAmount": "111.429348",
        "CustomerID": "cust-001",
        "ExternalID": "cart-7",
        "ReturnURL": RETURN_URL,
        "LineItems": ITEMS,
    }
    assert world.balance() == START


def test_a_fiat_payin_session(world: RampWorld) -> None:
    told = opened(world, "payin/fiat").session
    assert (told["Type"], told["PaymentMethodCategory"]) == ("PayinFiat", "Bank")
    assert (told["SourceCurrency"], told["SourceAmount"], told["DestinationCurrency"]) == ("EUR", "100.00", "USDC_TEST")
    assert not {"DestinationAmount", "AuthorizedAmount"} & told.keys()


def test_a_crypto_payin_session(world: RampWorld) -> None:
    told = opened(world, "payin/crypto").session
    assert told["Type"] == "PayinCrypto"
    assert (told["SourceCurrency"], told["SourceAmount"]) == ("USDC_TEST", "25.500000")
    assert (told["DestinationCurrency"], told["DestinationAmount"]) == ("USDC_TEST", "25.500000")


@pytest.mark.parametrize("older, newer", [("sell", "PayoutFiat"), ("buy", "PayinFiat")])
def test_the_older_names(world: RampWorld, older: str, newer: str) -> None:
    assert opened(world, older).session["Type"] == newer


@pytest.mark.parametrize("kind", KINDS)
def test_every_required_field_is_required(world: RampWorld, kind: str) -> None:
    for field in opening(kind).keys() - {"ExternalID"}:
        body = opening(kind, **{field: None})
        assert_error(world.post(f"/v1/checkout/{kind}", body), 400, "InvalidMessage", field)


@pytest.mark.parametrize(
    "field, value",
    [
        ("ReturnURL", "x" * 9),
        ("ReturnURL", "https://shop.example/" + "x" * 1_000),
        ("CustomerID", ""),
        ("CustomerID", "x" * 37),
        ("Nonce", ""),
        ("Nonce", "x" * 37),
        ("ExternalID", "x" * 37),
        ("LineItems", []),
        ("LineItems", [ITEMS[0]] * 121),
        ("CryptoCurrency", "USDC"),
        ("CryptoCurrency", "DOGE"),
        ("FiatCurrency", "XXX"),
        ("FiatCurrency", "USDC"),
        ("FiatAmount", "100.001"),
        ("FiatAmount", "0"),
        ("FiatAmount", 100),
        ("FiatAmount", "-1"),
        ("CryptoAuthorizedAmount", "1e3"),
    ],
)
def test_limits_of_fields(world: RampWorld, field: str, value: Any) -> None:
    assert_error(world.post("/v1/checkout/payout/fiat", opening(**{field: value})), 400, "InvalidMessage", field)


@pytest.mark.parametrize("amount", ["0", "1.0000001", "-1", "", "9" * 38])
def test_limits_of_an_assets_amount(world: RampWorld, amount: str) -> None:
    body = opening("payin/crypto", CryptoAmount=amount)
    assert_error(world.post("/v1/checkout/payin/crypto", body), 400, "InvalidMessage", "CryptoAmount")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(document.domain)",
        "data:text/html,<script>alert(1)</script>",
        "//shop.example/back",
        "/back/to/the/shop",
        "https:shop.example/back",
        "https:///shop.example/back",
        "https://user:secret@shop.example/",
        "https://shop.example\\@evil.example/",
        "https://shop.example/a b",
        "https://shop.example/\r\nSet-Cookie: a=b",
        "https://shop.example/\u0000",
        "https://shöp.example/back",
        "https://shop.example;script-src *",
        "https://'self'/back-to-it",
        "https://shop.example:99999/",
        "https://shop.example:x/back",
        "ftp://shop.example/back",
        "https://-shop.example-/back",
    ],
)
def test_where_no_browser_is_sent(world: RampWorld, url: str) -> None:
    assert_error(world.post("/v1/checkout/payout/fiat", opening(ReturnURL=url)), 400, "InvalidMessage", "ReturnURL")


def test_line_items_are_checked_exactly(world: RampWorld) -> None:
    def asked(**item: str) -> Any:
        return world.post("/v1/checkout/payout/fiat", opening(LineItems=[ITEMS[0], {**ITEMS[1], **item}]))

    for wrong in ({"TotalAmount": "20.01"}, {"Quantity": "1.0000000000000000000000000000000001"}):
        assert_error(asked(**wrong), 400, "InvalidMessage", "LineItems.1.TotalAmount")
    assert_error(asked(Quantity="0", TotalAmount="0"), 400, "InvalidMessage", "LineItems.1.Quantity")
    assert_error(asked(Description="x" * 141), 400, "InvalidMessage")
    long = "9" * 19
    exact = {"Quantity": long, "UnitAmount": long, "TotalAmount": str(int(long) ** 2)}
    assert asked(**exact).status_code == 200
    assert asked(Quantity="+.5", UnitAmount="3.", TotalAmount="1.50").status_code == 200


def test_a_customer_is_kept_on_the_way(world: RampWorld) -> None:
    hosted = opened(world, CustomerID="new-1", Customer=PERSON)
    assert hosted.session["CustomerID"] == "new-1"
    assert world.get("/v1/customers/new-1").json()["Verification"]["Status"] == "Approved"
    body = opening(CustomerID="new-2")
    assert_error(world.post("/v1/checkout/payout/fiat", body), 400, "ResourceNotFound", "CustomerID")
    assert_error(
        world.post("/v1/checkout/payout/fiat", opening(Customer={"Type": "Individual"})), 400, "InvalidMessage"
    )


@pytest.mark.parametrize("kind", KINDS[:3])
def test_the_same_nonce_is_told_what_has_become_of_it(world: RampWorld, kind: str) -> None:
    body = opening(kind)
    first = world.post(f"/v1/checkout/{kind}", body)
    assert first.status_code == 200, first.text
    assert world.post(f"/v1/checkout/{kind}", body).json() == first.json()
    same = {**body, **{name: f"+{text}0" for name, text in body.items() if name == "FiatAmount"}}
    assert world.post(f"/v1/checkout/{kind}", same).json() == first.json()
    for field, value in (("ExternalID", "other"), ("ReturnURL", "https://other.example/"), ("LineItems", ITEMS[:1])):
        other = world.post(f"/v1/checkout/{kind}", {**body, field: value})
        assert_error(other, 400, "InvalidMessage", "Nonce")
    hosted = Hosted(world, first.json())
    page = hosted.page()
    hosted.send({**page.hidden, "action": "cancel"})
    again = world.post(f"/v1/checkout/{kind}", body).json()
    assert (again["HostedURL"], again["CheckoutSession"]["Status"]) == (first.json()["HostedURL"], "Failed")


def test_what_a_setting_says_later_changes_nothing_of_a_nonce(fresh_dsn: str, tmp_path: Path) -> None:
    """A restart with other terms is not the business's doing: what it asked for is told as it was agreed."""
    asked = {
        **{f"checkout/{kind}": opening(kind) for kind in KINDS[:3]},
        "workflows/bank-deposit-to-onchain-address": {
            "CustomerID": "cust-001",
            "FiatCurrency": "EUR",
            "CryptoCurrency": "USDC_TEST",
            "Network": "EthereumTestSepolia",
            "DestinationAddress": {"Address": "0x" + "34" * 20},
        },
    }
    server = DeskServer(fresh_dsn, tmp_path).start()
    try:
        world = RampWorld(server)
        first = {path: world.post(f"/v1/{path}", body) for path, body in asked.items()}
    finally:
        server.stop()
    later = {"DESK_CHECKOUT_SECONDS": "1800", "DESK_RAMP_PURCHASE_SPREAD_BPS": "7", "DESK_RAMP_PURCHASE_FEE_BPS": "8"}
    world.server = DeskServer(fresh_dsn, tmp_path, **later).start()
    try:
        again = {path: world.post(f"/v1/{path}", body) for path, body in asked.items()}
    finally:
        world.server.stop()
    for path, answer in first.items():
        assert (answer.status_code, again[path].status_code) == (200, 200), again[path].text
        expected, told = answer.json(), again[path].json()
        for one in (expected, told):
            one.pop("HostedURL", None)  # has the server's port
        assert told == expected


def test_twenty_at_once_open_one(world: RampWorld) -> None:
    body = opening()
    answers = at_once([lambda: world.post("/v1/checkout/payout/fiat", body)] * 20)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


def test_a_nonce_of_a_sell_is_another_one(world: RampWorld) -> None:
    nonce = uuid4().hex
    world.sold(Nonce=nonce)
    opened(world, Nonce=nonce)


# -- the page ------------------------------------------------------------------------------------------------------


def test_the_page_says_what_it_is_about(world: RampWorld) -> None:
    hosted = opened(world)
    page = hosted.page(channel=CHANNEL)
    for said in (
        "user-b1",
        "100.00 EUR",
        "Refund of order 7",
        "2 \u00d7 40.00 EUR",
        "80.00 EUR",
        "1.50 EUR",
        "UTC",
        "IBAN",
    ):
        assert said in page.text, said
    assert page.inputs.keys() >= {"form.BankDetails.AccountType", "form.BankDetails.AccountNumber"}
    assert all(field.get("required", "no") is None for name, field in page.inputs.items() if name.startswith("form."))


def test_the_way_to_be_paid_is_chosen_among_those_that_fit(world: RampWorld) -> None:
    page = opened(world).page()
    assert sum("channel=" in link for link in page.links) == 2
    assert not any(name.startswith("form.") for name in page.inputs)
    small = opened(world, FiatAmount="9.99", CryptoAuthorizedAmount="50").page()
    assert small.hidden["channel"] == SEPA_FILE  # the other one begins at 10: there is nothing to choose
    abroad = {**PERSON, "PrimaryResidence": {**PERSON["PrimaryResidence"], "Country": "FR"}}
    french = opened(world, CustomerID="fr-1", Customer=abroad).page()
    assert french.hidden["channel"] == SEPA_FILE
    none = opened(world, FiatCurrency="USD", FiatAmount="100000", CryptoAuthorizedAmount="200000").page()
    assert "no way to pay this out" in none.text


def test_confirming_sells_and_goes_back(world: RampWorld) -> None:
    hosted = opened(world)
    where, told = returned(hosted.confirm())
    assert where == "https://shop.example/back"
    expected = {"cart": "7", "CheckoutSessionID": hosted.id, "ExternalID": "cart-7", "Status": "Pending"}
    assert told == expected
    (paid,) = world.transactions()
    assert (paid["Status"], paid["Amount"], paid["ExternalID"], paid["CustomerID"]) == (
        *("Pending", "110.326087"),
        *("cart-7", "cust-001"),
    )
    assert paid["FiatPaymentMethod"]["DisplayDetails"]["AccountNumber"] == IBAN
    assert world.balance() == ("389.673913", "500.000000")
    assert "on its way" in hosted.page().text


@pytest.mark.parametrize("outcome, status, words", [("settled", "Settled", "complete"), ("failed", "Failed", "not be")])
def test_it_ends_as_its_payout_does(world: RampWorld, outcome: str, status: str, words: str) -> None:
    body = opening()
    hosted = Hosted(world, world.post("/v1/checkout/payout/fiat", body).json())
    hosted.confirm()
    (paid,) = world.transactions()
    world.finish(paid["ID"], outcome)
    told = world.post("/v1/checkout/payout/fiat", body).json()["CheckoutSession"]
    assert told["Status"] == status
    assert told.get("SourceAmount") == ("110.326087" if status == "Settled" else None)
    assert words in hosted.page(200 if status == "Settled" else 410).text
    assert_books_sound(world)


def test_many_confirmations_pay_once(world: RampWorld) -> None:
    hosted = opened(world)
    page = hosted.page(channel=CHANNEL)
    fields = {**page.hidden, **FORM, "action": "confirm"}
    answers = at_once([lambda: hosted.send(fields)] * 12)
    assert {returned(answer)[1]["Status"] for answer in answers} == {"Pending"}
    assert len(world.transactions()) == 1
    assert returned(hosted.send(fields))[1]["Status"] == "Pending"  # the back button, and again
    assert world.balance() == ("389.673913", "500.000000")


def test_confirming_and_cancelling_at_once_do_one_of_the_two(world: RampWorld) -> None:
    for _ in range(5):
        hosted = opened(world, FiatAmount="10.00", CryptoAuthorizedAmount="20")
        hidden = hosted.page(channel=CHANNEL).hidden
        one, other = at_once(
            [
                lambda hosted=hosted, hidden=hidden: hosted.send({**hidden, **FORM, "action": "confirm"}),  # type: ignore[misc]
                lambda hosted=hosted, hidden=hidden: hosted.send({**hidden, "action": "cancel"}),  # type: ignore[misc]
            ]
        )
        assert (one.status_code, other.status_code) in {(303, 303), (410, 303)}
    assert_books_sound(world)


def test_turned_down_it_is_over(world: RampWorld) -> None:
    hosted = opened(world)
    where, told = returned(hosted.send({**hosted.page().hidden, "action": "cancel"}))
    assert (where, told["Status"]) == ("https://shop.example/back", "Failed")
    assert "cancelled" in hosted.page(410).text
    assert hosted.send({**FORM, "channel": CHANNEL, "action": "confirm"}).status_code == 410
    assert world.balance() == START


def test_expired_by_the_clock_it_is_over(world: RampWorld) -> None:
    hosted = opened(world)
    fields = {**hosted.page(channel=CHANNEL).hidden, **FORM, "action": "confirm"}
    world.advance(seconds=3_600)
    assert "expired" in hosted.page(410).text
    assert hosted.send(fields).status_code == 410
    assert world.balance() == START


def test_another_tab_sees_what_happened(world: RampWorld) -> None:
    hosted = opened(world)
    first, second = hosted.page(channel=CHANNEL), hosted.page(channel=SEPA_FILE)
    assert first.hidden["mark"] == second.hidden["mark"]
    hosted.send({**first.hidden, **FORM, "action": "confirm"})
    other = {"form.AccountHolder": "Ada", "form.BankDetails.AccountNumber": IBAN}
    assert returned(hosted.send({**second.hidden, **other, "action": "confirm"}))[1]["Status"] == "Pending"
    assert len(world.transactions()) == 1


# -- what is tampered with -----------------------------------------------------------------------------------------


def test_without_its_secret_there_is_no_page(world: RampWorld) -> None:
    hosted, other = opened(world), opened(world)
    http = world.server.http
    for path in (
        hosted.path,
        f"{hosted.path}?token=",
        f"{hosted.path}?token={hosted.token[:-1]}",
        f"{hosted.path}?token={other.token}",
        f"{hosted.path}?token={hosted.token}&token=x",
        f"/checkout/{uuid4()}?token={hosted.token}",
        f"/checkout/not-an-id?token={hosted.token}",
        f"/checkout/{hosted.id}/more?token={hosted.token}",
    ):
        answer = http.get(path)
        assert answer.status_code == 404, path
        assert "user-b1" not in answer.text
        assert http.post(path, data={**FORM, "action": "confirm"}).status_code in {404, 405}
    assert world.transactions() == []


def test_a_form_that_is_not_of_this_page_does_nothing(world: RampWorld) -> None:
    hosted, other = opened(world), opened(world)
    good = hosted.page(channel=CHANNEL).hidden
    for mark in ("", "x", good["mark"][:-1], other.page().hidden["mark"]):
        answer = hosted.send({**good, **FORM, "mark": mark, "action": "confirm"})
        assert answer.status_code == 403, answer.text
        assert hosted.send({**good, "mark": mark, "action": "cancel"}).status_code == 403
    assert hosted.send({**good, **FORM, "action": "steal"}).status_code == 400
    assert hosted.send({**good, **FORM}).status_code == 400
    assert returned(hosted.confirm())[1]["Status"] == "Pending"


def test_amounts_are_not_the_pages_to_change(world: RampWorld) -> None:
    hosted = opened(world)
    returned(
        hosted.confirm(
            FiatAmount="9999",
            amount="9999",
            arrives="9999",
            ceiling="9999",
            CryptoAuthorizedAmount="9999",
            order_id="x",
        )
    )
    (paid,) = world.transactions()
    assert (paid["FiatPayment"]["Amount"], paid["Amount"]) == ("100.00", "110.326087")


def test_bodies_that_are_no_forms(world: RampWorld) -> None:
    hosted = opened(world)
    http, path = world.server.http, f"{hosted.path}?token={hosted.token}"
    mark = hosted.page().hidden["mark"]
    assert http.post(path, json={"mark": mark, "action": "confirm"}).status_code == 415
    assert http.post(path, files={"mark": mark}).status_code == 415
    form = {"content-type": "application/x-www-form-urlencoded"}
    for content in (b"action=confirm&action=cancel", b"\xff\xfe", b"a=%ff", b"a=%00", b"&".join([b"a=1"] * 500)):
        assert http.post(path, content=content, headers=form).status_code == 400, content[:30]
    assert http.post(path, content=b"a=" + b"x" * 70_000, headers=form).status_code == 413
    assert http.put(path).status_code == 405
    assert hosted.page().hidden["mark"] == mark


def test_a_channel_that_does_not_fit_cannot_be_chosen(world: RampWorld) -> None:
    hosted = opened(world, FiatAmount="9.99", CryptoAuthorizedAmount="50")
    hidden = hosted.page().hidden
    for channel in (CHANNEL, "c0de0001-0000-4000-8000-000000000003", "x", str(uuid4())):
        answer = hosted.send({**hidden, **FORM, "channel": channel, "action": "confirm"})
        assert (answer.status_code, "Please choose how" in answer.text) == (422, True)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"form.BankDetails.AccountNumber": "DE89370400440532013001"}, "is not an IBAN"),
        ({"form.BankDetails.AccountNumber": ""}, "Enter the IBAN"),
        ({"form.BankDetails.AccountNumber": "NL91ABNA0417164300"}, "Check the IBAN"),
        ({"form.BankDetails.AccountType": "Slush fund"}, "Check the account type"),
        ({"form.BankDetails.AccountType": ""}, "Choose the account type"),
    ],
)
def test_what_was_typed_wrong_is_said_at_its_field(world: RampWorld, wrong: dict[str, str], said: str) -> None:
    hosted = opened(world)
    answer = hosted.confirm(**wrong)
    assert answer.status_code == 422
    page = Page(answer.text)
    assert said in page.text
    (name,) = wrong
    field = page.inputs[name]
    assert field["aria-invalid"] == "true"
    assert f'id="{field["aria-describedby"]}"' in answer.text
    kept = page.inputs["form.BankDetails.AccountNumber"]["value"]
    assert kept == wrong.get("form.BankDetails.AccountNumber", IBAN)
    assert world.transactions() == []


def test_account_numbers_may_be_typed_as_people_type_them(world: RampWorld) -> None:
    returned(opened(world).confirm(**{"form.BankDetails.AccountNumber": " de89 3704 0044 0532 0130 00 "}))
    (paid,) = world.transactions()
    assert paid["FiatPaymentMethod"]["DisplayDetails"]["AccountNumber"] == IBAN


def test_above_its_ceiling_the_page_says_why(world: RampWorld) -> None:
    hosted = opened(world)
    world.price("USDC", "EUR", "0.91")
    answer = hosted.confirm()
    assert answer.status_code == 409
    assert "costs more than user-b1 has allowed" in answer.text
    assert IBAN in answer.text
    assert world.balance() == START
    world.price("USDC", "EUR", "0.92")
    assert returned(hosted.confirm())[1]["Status"] == "Pending"


def test_what_the_business_does_not_have_the_page_says(world: RampWorld) -> None:
    hosted = opened(world, FiatAmount="500.00", CryptoAuthorizedAmount="1000")
    answer = hosted.confirm()
    assert (answer.status_code, "cannot make this payment" in answer.text) == (409, True)
    assert "500.000000" not in answer.text  # what the business has is its own affair


@pytest.mark.parametrize(
    "customer, said", [("cust-unverified", "confirm who you are"), ("cust-inactive", "closed your account")]
)
def test_who_may_not_be_paid_is_told(world: RampWorld, customer: str, said: str) -> None:
    answer = opened(world, CustomerID=customer).confirm()
    assert (answer.status_code, said in answer.text) == (409, True)


EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}{% raw %}'&amp;"


def test_what_others_have_written_stays_text(world: RampWorld) -> None:
    items = [{**ITEMS[0], "Description": EVIL}]
    hosted = opened(world, LineItems=items, ExternalID="<b>&'\"{{1}}", ReturnURL="https://shop.example/'()?a='&b")
    page = hosted.page(channel=CHANNEL)
    assert EVIL in page.text
    assert "49" not in page.text.replace(EVIL, "")
    answer = hosted.confirm(**{"form.BankDetails.AccountNumber": EVIL})
    assert answer.status_code == 422
    assert Page(answer.text).inputs["form.BankDetails.AccountNumber"]["value"] == EVIL
    assert "<script" not in answer.text
    assert returned(hosted.confirm())[1]["ExternalID"] == "<b>&'\"{{1}}"


@pytest.mark.parametrize(
    "url, location",
    [
        ("https://shop.example", "https://shop.example/?CheckoutSessionID={id}&ExternalID=cart-7&Status=Pending"),
        (
            "https://shop.example/a?b",
            "https://shop.example/a?b&CheckoutSessionID={id}&ExternalID=cart-7&Status=Pending",
        ),
        (
            "http://localhost:8081/x?a=1&a=2#f",
            "http://localhost:8081/x?a=1&a=2&CheckoutSessionID={id}&ExternalID=cart-7&Status=Pending#f",
        ),
    ],
)
def test_what_is_told_on_the_way_back_is_put_after_what_was_there(world: RampWorld, url: str, location: str) -> None:
    hosted = opened(world, ReturnURL=url)
    page = hosted.get(channel=CHANNEL)
    targets = page.headers["content-security-policy"].split("form-action ")[1].split(";")[0]
    parts = urlsplit(url)
    assert targets == f"'self' {parts.scheme}://{parts.netloc}"
    assert hosted.confirm().headers["location"] == location.format(id=hosted.id)


# -- what is paid in -----------------------------------------------------------------------------------------------


def test_an_asset_is_paid_to_an_address_that_is_shown(world: RampWorld) -> None:
    body = opening("payin/crypto")
    hosted = Hosted(world, world.post("/v1/checkout/payin/crypto", body).json())
    page = hosted.page()
    address = next(word for word in page.text.split() if word.startswith("0x"))
    assert "EthereumTestSepolia" in page.text
    assert returned(hosted.send({**page.hidden, "action": "confirm"}))[1]["Status"] == "Pending"
    assert address in hosted.page().text
    world.steer("chain-deposits", address=address, asset="USDC", network="Ethereum", amount="25.5")
    told = world.post("/v1/checkout/payin/crypto", body).json()["CheckoutSession"]
    assert told["Status"] == "Settled"
    assert world.balance() == ("525.500000", "525.500000")
    assert "user-b1 has 25.500000 USDC_TEST" in hosted.page().text
    assert_books_sound(world)


def test_fiat_is_paid_under_a_reference_and_buys_the_asset(world: RampWorld) -> None:
    amount = {"FiatAmount": "200.00"}
    session: str = world.session(**amount)["FormSessionID"]
    world.finish(world.sold(session, **amount, CryptoAuthorizedAmount="300")["ID"])  # what the treasury can sell then
    body = opening("payin/fiat")
    hosted = Hosted(world, world.post("/v1/checkout/payin/fiat", body).json())
    page = hosted.page()
    words = page.text.split()
    iban, reference = words[words.index("IBAN") + 1], next(word for word in words if references_in(word))
    deposit = {
        "PaymentMethodID": f"Bank/Sepa/EUR/{words[words.index('BIC') + 1]}/{iban}",
        "FiatAmount": "100.00",
        "FiatCurrency": "EUR",
        "Reference": f"For {reference}",
    }
    answer = world.post("/v1/sandbox/fiat-deposit/simulate", deposit)
    assert answer.status_code == 200, answer.text
    told = world.post("/v1/checkout/payin/fiat", body).json()["CheckoutSession"]
    assert told["Status"] == "Settled"
    assert told["DestinationAmount"] == "107.073329"  # 99.00 of it at 0.9246
    assert_books_sound(world)


def test_it_is_in_the_world_only_as_long_as_that_is_open(world: RampWorld) -> None:
    hosted = opened(world)
    assert world.operator("DELETE", f"/sandbox/worlds/{world.id}").status_code == 200
    assert hosted.get().status_code == 404

"""What the ramp dialect shows over real HTTP: channels, forms, transactions, prices, customers, paging (contract 3)."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.ramp import (
    BR_PIX,
    CH,
    COMPANY,
    FORM,
    IBAN,
    JP_LOCAL,
    KW_LOCAL,
    PERSON,
    SEPA_FILE,
    US_ACH,
    RampWorld,
    assert_error,
)
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer

NL_IBAN = "NL91ABNA0417164300"
KW_IBAN = "KW81CBKU0000000000001234560101"
ACH = {
    "AccountHolder": "Ada",
    "BankDetails": {"AccountType": "Checking", "AccountNumber": "12345678", "BankCode": "021000021"},
}


_SELLABLE = "/v1/channels/sell?CryptoCurrency=USDC_TEST&FiatCurrency=EUR"


@pytest.fixture(scope="module")
def shared(server: DeskServer) -> RampWorld:
    """Give a world that tests which change nothing share."""
    return RampWorld(server)


@pytest.fixture
def world(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def items(world: RampWorld, path: str, **how: Any) -> list[dict[str, Any]]:
    """Return the items of a list that must be there."""
    answer = world.get(path, **how)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["Items"]
    return found


def pages(world: RampWorld, path: str, size: int, **how: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of a list."""
    joint, token = "&" if "?" in path else "?", ""
    while True:
        answer = world.get(f"{path}{joint}PageSize={size}{token}", **how)
        assert answer.status_code == 200, answer.text
        yield answer.json()["Items"]
        if "PageToken" not in answer.json():
            return
        token = f"&PageToken={answer.json()['PageToken']}"


# -- channels --------------------------------------------------------------------------------------------------------


def test_a_channel_as_the_contract_shows_it(shared: RampWorld) -> None:
    found = items(shared, "/v1/channels/sell?CryptoCurrency=USDC_TEST&Country=DE&FiatAmount=100.00")
    assert [row["ID"] for row in found] == [CH, SEPA_FILE]
    form = found[0].pop("FormSchema")
    assert form["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert form["required"] == ["BankDetails"]
    assert found[0] == {
        "ID": CH,
        "PaymentMethodCategory": "Bank",
        "PaymentMethodType": "BankSepa",
        "FiatCurrency": "EUR",
        "Country": "DE",
        "Calculated": {"TotalFee": "1.50"},
        "Limits": {"MinLimit": "10", "MaxLimit": "10000"},
        "Rate": "0.92",
        "ProcessingSeconds": 86400,
        "FeeConfig": {"Fixed": "0.50", "Percentage": "1"},
    }
    assert found[1]["Country"] == "XX"
    assert "MaxLimit" not in found[1]["Limits"]


def test_channels_of_a_fiat(shared: RampWorld) -> None:
    found = items(shared, "/v1/channels/sell?CryptoCurrency=USDC_TEST&FiatCurrency=USD")
    assert [(row["ID"], row["Rate"], "Calculated" in row) for row in found] == [(US_ACH, "0.997002", False)]
    assert items(shared, "/v1/channels/sell?CryptoCurrency=USDC_TEST&FiatCurrency=GBP") == []
    assert items(shared, "/v1/channels/sell?CryptoCurrency=USDC_TEST&Country=FR&FiatCurrency=USD") == []
    assert [row["ID"] for row in items(shared, "/v1/channels/sell?CryptoCurrency=BTC_TEST&Country=DE")] == [
        CH,
        SEPA_FILE,
    ]
    found = items(shared, "/v1/channels/sell?CryptoCurrency=BTC_TEST&Country=BR")
    assert [row["ID"] for row in found] == [SEPA_FILE]  # nobody prices bitcoin in reais


@pytest.mark.parametrize(
    "query, field",
    [
        ("Country=DE", "CryptoCurrency"),
        ("CryptoCurrency=USDC&Country=DE", "CryptoCurrency"),
        ("CryptoCurrency=USDC_TEST", "Country"),
        ("CryptoCurrency=USDC_TEST&Country=de", "Country"),
        ("CryptoCurrency=USDC_TEST&Country=ZZ", "Country"),
        ("CryptoCurrency=USDC_TEST&FiatCurrency=EURO", "FiatCurrency"),
        ("CryptoCurrency=USDC_TEST&Country=DE&FiatAmount=-1", "FiatAmount"),
        ("CryptoCurrency=USDC_TEST&Country=DE&FiatAmount=1.001", "FiatAmount"),
        ("CryptoCurrency=USDC_TEST&Country=DE&PageSize=0", "PageSize"),
        ("CryptoCurrency=USDC_TEST&Country=DE&PageSize=101", "PageSize"),
        ("CryptoCurrency=USDC_TEST&Country=DE&PageSize=x", "PageSize"),
        ("CryptoCurrency=USDC_TEST&Country=DE&PageToken=x", "PageToken"),
    ],
)
def test_queries_that_are_refused(shared: RampWorld, query: str, field: str) -> None:
    assert_error(shared.get(f"/v1/channels/sell?{query}"), 400, "InvalidMessage", field)


def test_channels_in_pages(shared: RampWorld) -> None:
    path = "/v1/channels/sell?CryptoCurrency=USDC_TEST&Country=DE"
    assert [[row["ID"] for row in page] for page in pages(shared, path, 1)] == [[CH], [SEPA_FILE]]


def test_what_a_customer_has_is_listed_with_channels(world: RampWorld) -> None:
    path = "/v1/channels/sell?CryptoCurrency=USDC_TEST&Country=DE&CustomerID=cust-001"
    assert [row["PaymentMethods"] for row in items(world, path)] == [[], []]
    world.session()
    (saved, other) = [row["PaymentMethods"] for row in items(world, path)]
    assert saved == other
    assert saved == [
        {
            "ID": f"Bank/Sepa/EUR/{IBAN}",
            "PaymentMethodType": "BankSepa",
            "Details": {"Type": "FiatPaymentMethodBankDisplay", "AccountNumber": IBAN},
        }
    ]
    assert_error(world.get(path + "x"), 400, "ResourceNotFound", "CustomerID")


def test_only_what_is_missing_of_a_form_is_asked_for(world: RampWorld) -> None:
    world.session()
    method = f"PaymentMethodID={quote(f'Bank/Sepa/EUR/{IBAN}', safe='')}"
    path = f"/v1/channels/sell?CryptoCurrency=USDC_TEST&Country=DE&CustomerID=cust-001&{method}"
    full, lacking = items(world, path)
    assert "FormSchema" not in full
    assert lacking["FormSchema"]["required"] == ["AccountHolder"]
    assert lacking["FormSchema"]["properties"].keys() == {"AccountHolder"}
    assert world.get(f"/v1/channels/{CH}/form?CustomerID=cust-001&{method}").json() == {}
    told = world.get(f"/v1/channels/{SEPA_FILE}/form?CustomerID=cust-001&{method}").json()
    assert told["FormSchema"]["required"] == ["AccountHolder"]


def test_one_channel(shared: RampWorld) -> None:
    told = shared.get(f"/v1/channels/{CH}?CryptoCurrency=USDC_TEST&FiatAmount=400.00").json()
    assert (told["ID"], told["Calculated"]) == (CH, {"TotalFee": "4.50"})
    assert_error(shared.get(f"/v1/channels/{CH}"), 400, "InvalidMessage", "CryptoCurrency")
    for unknown in ("nonsense", CH[:-1] + "9"):
        answer = shared.get(f"/v1/channels/{unknown}?CryptoCurrency=USDC_TEST")
        assert_error(answer, 400, "ResourceNotFound", "ChannelID")
    assert shared.get(f"/v1/channels/{CH}/form").json()["FormSchema"]["type"] == "object"


def test_countries(shared: RampWorld) -> None:
    assert shared.get("/v1/channels/sell/countries").json() == {
        "BR": ["BRL"],
        "DE": ["EUR"],
        "JP": ["JPY"],
        "KW": ["KWD"],
        "US": ["USD"],
        "XX": ["EUR"],
    }


# -- forms of every channel, and payment methods ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "channel, amount, form, name, details",
    [
        (
            SEPA_FILE,
            "5",
            {"AccountHolder": "Jan", "BankDetails": {"AccountNumber": NL_IBAN, "BankCode": "abnanl2a"}},
            f"Bank/Sepa/EUR/ABNANL2A/{NL_IBAN}",
            {"AccountNumber": NL_IBAN, "BankCode": "ABNANL2A"},
        ),
        (
            US_ACH,
            "5",
            ACH,
            "Bank/Ach/USD/021000021/12345678",
            {"AccountNumber": "12345678", "BankCode": "021000021"},
        ),
        (
            BR_PIX,
            "10",
            {"Identifier": {"IdentifierType": "TaxID", "Identifier": "123.456.789-09"}},
            "Identifier/Pix/BRL/TaxID/12345678909",
            {"IdentifierType": "TaxID", "Identifier": "12345678909"},
        ),
        (
            BR_PIX,
            "10",
            {"Identifier": {"IdentifierType": "PhoneNumber", "Identifier": "+55 11 98765-4321"}},
            "Identifier/Pix/BRL/PhoneNumber/+5511987654321",
            {"IdentifierType": "PhoneNumber", "Identifier": "+5511987654321"},
        ),
        (
            JP_LOCAL,
            "1000",
            {"AccountHolder": "Ada", "BankDetails": {"AccountNumber": "1234567", "BankCode": "0001-001"}},
            "Bank/Local/JPY/0001001/1234567",
            {"AccountNumber": "1234567", "BankCode": "0001001"},
        ),
        (
            KW_LOCAL,
            "2.345",
            {"BankDetails": {"AccountNumber": KW_IBAN}},
            f"Bank/Local/KWD/{KW_IBAN}",
            {"AccountNumber": KW_IBAN},
        ),
    ],
)
def test_each_channel_is_prepared_and_sold(
    world: RampWorld, channel: str, amount: str, form: Any, name: str, details: Any
) -> None:
    session = world.session(ChannelID=channel, FiatAmount=amount, Form=form)
    sold = world.sold(
        session["FormSessionID"], FiatAmount=amount, CryptoAuthorizedAmount=session["CryptoAuthorizedAmount"]
    )
    method = sold["FiatPaymentMethod"]
    assert method["ID"] == name
    assert method["Country"] == ("NL" if channel == SEPA_FILE else method["Country"])
    assert {key: value for key, value in method["DisplayDetails"].items() if key != "Type"} == details
    assert sum(Decimal(part["Amount"]) for part in sold["Breakdown"]) == Decimal(sold["Amount"])
    assert [row["ID"] for row in items(world, "/v1/payment-methods?CustomerID=cust-001")] == [name]


@pytest.mark.parametrize(
    "channel, form, field",
    [
        (SEPA_FILE, {"AccountHolder": "J", "BankDetails": {"AccountNumber": NL_IBAN[:-1] + "1"}}, "AccountNumber"),
        (SEPA_FILE, {"AccountHolder": "J", "BankDetails": {"AccountNumber": "ZZ91ABNA0417164300"}}, "AccountNumber"),
        (
            SEPA_FILE,
            {"AccountHolder": "J", "BankDetails": {"AccountNumber": NL_IBAN, "BankCode": "ABNAXX2A"}},
            "BankCode",
        ),
        (
            SEPA_FILE,
            {"AccountHolder": "J", "BankDetails": {"AccountNumber": NL_IBAN, "BankCode": "COBADEFFXXX"}},
            "BankCode",
        ),
        (US_ACH, {**ACH, "BankDetails": {**ACH["BankDetails"], "BankCode": "021000022"}}, "BankCode"),  # type: ignore[dict-item]
        (KW_LOCAL, {"BankDetails": {"AccountNumber": KW_IBAN[:-1] + "2"}}, "AccountNumber"),
        (BR_PIX, {"Identifier": {"IdentifierType": "TaxID", "Identifier": "12345"}}, "Identifier"),
        (BR_PIX, {"Identifier": {"IdentifierType": "PhoneNumber", "Identifier": "12345678909"}}, "Identifier"),
    ],
)
def test_accounts_that_cannot_be(shared: RampWorld, channel: str, form: Any, field: str) -> None:
    part = "Identifier" if field == "Identifier" else "BankDetails"
    answer = shared.prepare(ChannelID=channel, FiatAmount="20", Form=form)
    assert_error(answer, 400, "InvalidMessage", f"Form.{part}.{field}")


def test_a_bank_must_be_able_to_say_who_is_paid(shared: RampWorld) -> None:
    form = {"AccountHolder": "\u2605 \u2605", "BankDetails": {"AccountNumber": NL_IBAN}}
    answer = shared.prepare(ChannelID=SEPA_FILE, FiatAmount="20", Form=form)
    assert_error(answer, 400, "InvalidMessage", "Form.AccountHolder")
    form["AccountHolder"] = "\u0410\u0434\u0430"
    assert shared.prepare(ChannelID=SEPA_FILE, FiatAmount="20", Form=form).status_code == 200


def test_a_saved_method_is_paid_again(world: RampWorld) -> None:
    world.session()
    name = f"Bank/Sepa/EUR/{IBAN}"
    sold = world.sold(world.session(Form=None, PaymentMethodID=name)["FormSessionID"])
    assert sold["FiatPaymentMethod"]["ID"] == name
    world.session(PaymentMethodID=name)  # with the same form
    other = {"BankDetails": {**FORM["BankDetails"], "AccountNumber": "DE02120300000000202051"}}
    assert_error(world.prepare(PaymentMethodID=name, Form=other), 400, "InvalidMessage", "Form")


def test_a_saved_method_lacks_what_another_channel_needs(world: RampWorld) -> None:
    world.session()
    name = f"Bank/Sepa/EUR/{IBAN}"
    answer = world.prepare(ChannelID=SEPA_FILE, Form=None, PaymentMethodID=name)
    assert_error(answer, 400, "InvalidMessage", "Form.AccountHolder")
    world.session(ChannelID=SEPA_FILE, Form={"AccountHolder": "Ada"}, PaymentMethodID=name)


def test_payment_methods_are_their_customers(world: RampWorld) -> None:
    world.session()
    name = f"Bank/Sepa/EUR/{IBAN}"
    assert world.ask("PUT", "/v1/customers/other", PERSON).status_code == 201
    answer = world.prepare(CustomerID="other", Form=None, PaymentMethodID=name)
    assert_error(answer, 400, "ResourceNotFound", "PaymentMethodID")
    answer = world.prepare(how={"key": "K9"}, Form=None, PaymentMethodID=name)
    assert_error(answer, 400, "ResourceNotFound", "PaymentMethodID")
    assert items(world, "/v1/payment-methods?CustomerID=other") == []
    assert items(world, "/v1/payment-methods?CustomerID=cust-001", key="K9") == []
    assert_error(world.get("/v1/payment-methods"), 400, "InvalidMessage", "CustomerID")
    assert_error(world.get("/v1/payment-methods?CustomerID=nobody"), 400, "ResourceNotFound", "CustomerID")


def test_whose_a_payment_method_is_need_not_be_said(world: RampWorld) -> None:
    world.session()
    name = f"Bank/Sepa/EUR/{IBAN}"
    assert world.get(f"/v1/channels/{CH}/form?PaymentMethodID={name}").json() == {}
    assert [row["ID"] for row in items(world, f"{_SELLABLE}&PaymentMethodID={name}")] == [CH, SEPA_FILE]
    session = world.session(CustomerID=None, Form=None, PaymentMethodID=name)
    sold = world.sold(session["FormSessionID"])
    assert sold["CustomerID"] == sold["FiatPaymentMethod"]["CustomerID"] == "cust-001"
    answer = world.prepare(CustomerID=None, Form=None, PaymentMethodID=name, how={"key": "K9"})
    assert_error(answer, 400, "ResourceNotFound", "PaymentMethodID")


def test_whose_it_is_must_be_said_where_several_have_it(world: RampWorld) -> None:
    assert world.ask("PUT", "/v1/customers/other", PERSON).status_code == 201
    name = f"Bank/Sepa/EUR/{IBAN}"
    for customer in ("cust-001", "other"):
        world.session(CustomerID=customer)
    for answer in (
        world.get(f"/v1/channels/{CH}/form?PaymentMethodID={name}"),
        world.get(f"{_SELLABLE}&PaymentMethodID={name}"),
        world.prepare(CustomerID=None, Form=None, PaymentMethodID=name),
    ):
        assert_error(answer, 400, "InvalidMessage", "CustomerID")
    assert world.prepare(CustomerID="other", Form=None, PaymentMethodID=name).status_code == 200
    world.session(CustomerID=None)
    session = world.session(CustomerID=None, Form=None, PaymentMethodID=name)  # now the business has it itself
    assert "CustomerID" not in world.sold(session["FormSessionID"])


def test_channels_of_a_payment_method_are_of_its_fiat(world: RampWorld) -> None:
    world.session(ChannelID=KW_LOCAL, FiatAmount="10", Form={"BankDetails": {"AccountNumber": KW_IBAN}})
    named = f"/v1/channels/sell?CryptoCurrency=USDC_TEST&PaymentMethodID=Bank/Local/KWD/{KW_IBAN}"
    assert items(world, f"{named}&FiatCurrency=JPY&CustomerID=cust-001") == []
    assert [row["ID"] for row in items(world, f"{named}&FiatCurrency=KWD")] == [KW_LOCAL]
    assert {row["FiatCurrency"] for row in items(world, f"{named}&Country=KW")} == {"KWD"}


def test_payment_methods_in_pages(world: RampWorld) -> None:
    for number in range(5):
        account = {"AccountHolder": "Ada", "BankDetails": {**ACH["BankDetails"], "AccountNumber": f"1000{number}"}}  # type: ignore[dict-item]
        world.session(ChannelID=US_ACH, FiatAmount="5", Form=account)
        world.advance(seconds=1)
    found = [[row["ID"][-1] for row in page] for page in pages(world, "/v1/payment-methods?CustomerID=cust-001", 2)]
    assert found == [["0", "1"], ["2", "3"], ["4"]]


def test_nobody_in_particular_is_paid(world: RampWorld) -> None:
    sold = world.sold(world.session(CustomerID=None)["FormSessionID"])
    assert "CustomerID" not in sold
    assert "CustomerID" not in sold["FiatPaymentMethod"]


# -- transactions ----------------------------------------------------------------------------------------------------


def _sells(world: RampWorld, count: int) -> list[str]:
    made = []
    for _ in range(count):
        made.append(
            world.sold(world.session(FiatAmount="10")["FormSessionID"], FiatAmount="10", CryptoAuthorizedAmount="20")[
                "ID"
            ]
        )
        world.advance(milliseconds=1)
    return made


@pytest.mark.parametrize(
    "direction, flipped", [("", True), ("?SortDirection=DESC", True), ("?SortDirection=ASC", False)]
)
def test_transactions_in_pages(world: RampWorld, direction: str, *, flipped: bool) -> None:
    made = _sells(world, 5)
    found = [[row["ID"] for row in page] for page in pages(world, f"/v1/transactions{direction}", 2)]
    assert [len(page) for page in found] == [2, 2, 1]
    assert list(chain(*found)) == (made[::-1] if flipped else made)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_rows_that_arrive_neither_repeat_nor_hide_others(world: RampWorld, direction: str) -> None:
    made = _sells(world, 4)
    found: list[str] = []
    for page in pages(world, f"/v1/transactions?SortDirection={direction}", 2):
        found += [row["ID"] for row in page]
        if len(found) < 6:
            made += _sells(world, 1)
    assert len(found) == len(set(found))
    assert set(found) >= set(made[:4])
    if direction == "DESC":
        assert found == made[:4][::-1]


def test_rows_of_the_same_moment_are_in_one_order(server: DeskServer) -> None:
    world = RampWorld(server)
    made = {world.sold(world.session(FiatAmount="10")["FormSessionID"], FiatAmount="10")["ID"] for _ in range(4)}
    found = [row["ID"] for page in pages(world, "/v1/transactions", 1) for row in page]
    assert found == sorted(made, reverse=True)


def test_a_token_is_good_for_its_list_only(world: RampWorld) -> None:
    _sells(world, 3)
    token = world.get("/v1/transactions?PageSize=1").json()["PageToken"]
    for same in ("PageSize=2", "SortDirection=DESC", "a=b"):
        assert world.get(f"/v1/transactions?{same}&PageToken={token}").status_code == 200
    for path in ("/v1/transactions?SortDirection=ASC&", "/v1/customers?", "/v1/balances?"):
        assert_error(world.get(f"{path}PageToken={token}"), 400, "InvalidMessage", "PageToken")
    for spoiled in (token[:-2], token + "A", "x" * 2_000, "%00", "AAAA", "W10"):
        assert_error(world.get(f"/v1/transactions?PageToken={spoiled}"), 400, "InvalidMessage", "PageToken")
    answer = world.get(f"/v1/transactions?PageToken={token}", key="K9")
    assert answer.json()["Items"] == []  # a token says where one is, not whose the list is


@pytest.mark.parametrize("query", ["SortDirection=asc", "SortDirection=", "PageSize=-1", "PageSize=1.0", "PageSize="])
def test_lists_refuse(shared: RampWorld, query: str) -> None:
    assert_error(shared.get(f"/v1/transactions?{query}"), 400, "InvalidMessage", query.partition("=")[0])


def test_a_transaction_that_is_not_there(shared: RampWorld) -> None:
    for unknown in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        assert_error(shared.get(f"/v1/transactions/{unknown}"), 400, "ResourceNotFound")


def test_a_payout_that_came_back_is_a_transaction_of_its_own(world: RampWorld) -> None:
    made = world.sold()
    world.finish(made["ID"])
    world.finish(made["ID"], "returned")
    (back, paid) = world.transactions()
    assert (paid["ID"], paid["Status"]) == (made["ID"], "Settled")
    assert back["ID"] != made["ID"]
    assert (back["Direction"], back["Network"], back["Status"]) == ("In", "OffNetwork", "Settled")
    assert back["Amount"] == "108.695652"
    assert back["FiatPayment"]["Amount"] == "100.00"
    assert back["FiatPayment"]["FeeAmount"] == "0.00"
    assert "Breakdown" not in back
    assert world.transaction(back["ID"]) == back
    assert world.balance() == ("498.369565", "498.369565")
    assert_books_sound(world)


def test_balances_in_pages(shared: RampWorld) -> None:
    found = [[row["CryptoCurrency"] for row in page] for page in pages(shared, "/v1/balances", 2, key="K9")]
    assert found == [["BTC_TEST", "ETH_TEST_SEPOLIA"], ["USDC_TEST"]]
    rows = items(shared, "/v1/balances", key="K9")
    assert [row["Total"] for row in rows] == ["2.00000000", "10.000000000000000000", "1000.000000"]


# -- prices ----------------------------------------------------------------------------------------------------------


def price(world: RampWorld, query: str, **how: Any) -> dict[str, Any]:
    """Return the one price of a query."""
    (found,) = items(world, f"/v1/prices?{query}", **how)
    assert found.pop("UpdatedAt").endswith("Z")
    return found


SELLING = "SourceCurrency=USDC_TEST&DestinationCurrency=EUR&Country=DE"


def test_a_price_without_an_amount_has_no_fee(shared: RampWorld) -> None:
    assert price(shared, SELLING) == {"PaymentMethodCategory": "Bank", "Rate": "0.92"}


def test_what_it_takes_that_so_much_arrives(shared: RampWorld) -> None:
    query = "SourceCurrency=USDC_TEST&DestinationCurrency=USD"
    told = price(shared, f"{query}&DestinationAmount=100.00")
    assert told["TotalFee"] == "1.25"
    assert (told["DestinationAmount"], told["BusinessFee"]) == ("100.00", "0.00")
    theirs = price(shared, f"{query}&DestinationAmount=100.00", key="K9")
    assert (theirs["TotalFee"], theirs["BusinessFee"]) == ("1.75", "0.50")
    assert [part["Type"] for part in theirs["CryptoFeeBreakdown"]] == ["ChannelFee", "BusinessFee"]


@pytest.mark.parametrize("amount", ["100", "110.326087", "0.000001", "1.6", "99999999.999999"])
def test_what_so_much_brings_is_the_most_that_it_can(shared: RampWorld, amount: str) -> None:
    query = "SourceCurrency=USDC_TEST&DestinationCurrency=USD"
    told = price(shared, f"{query}&SourceAmount={amount}")
    assert Decimal(told["SourceAmount"]) == Decimal(amount)
    arrives = Decimal(told["DestinationAmount"])
    if arrives:
        assert Decimal(price(shared, f"{query}&DestinationAmount={arrives}")["SourceAmount"]) <= Decimal(amount)
    more = price(shared, f"{query}&DestinationAmount={arrives + Decimal('0.01')}")
    assert Decimal(more["SourceAmount"]) > Decimal(amount)


def test_buying(shared: RampWorld) -> None:
    query = "SourceCurrency=EUR&DestinationCurrency=USDC_TEST"
    assert price(shared, query) == {"PaymentMethodCategory": "Bank", "Rate": "0.92"}
    told = price(shared, f"{query}&SourceAmount=92.01")
    assert (told["SourceAmount"], told["DestinationAmount"]) == ("92.01", "100.010869")
    assert price(shared, f"{query}&DestinationAmount=100.010869")["SourceAmount"] == "92.01"
    assert items(shared, f"/v1/prices?{query}&PaymentMethodCategory=Card") == []


def test_categories_of_prices(shared: RampWorld) -> None:
    query = "SourceCurrency=USDC_TEST&DestinationCurrency=BRL"
    assert price(shared, f"{query}&PaymentMethodCategory=Identifier")["Rate"] == "5.41"
    assert items(shared, f"/v1/prices?{query}&PaymentMethodCategory=Bank") == []


@pytest.mark.parametrize(
    "query, field",
    [
        ("DestinationCurrency=EUR", "SourceCurrency"),
        ("SourceCurrency=USDC_TEST", "DestinationCurrency"),
        ("SourceCurrency=USDC&DestinationCurrency=EUR", "SourceCurrency"),
        ("SourceCurrency=EUR&DestinationCurrency=USD", "SourceCurrency"),
        ("SourceCurrency=USDC_TEST&DestinationCurrency=BTC_TEST", "SourceCurrency"),
        ("SourceCurrency=USDC_TEST&DestinationCurrency=GBP", "DestinationCurrency"),
        ("SourceCurrency=BTC&DestinationCurrency=USDC_TEST", "SourceCurrency"),
        ("SourceCurrency=USDC_TEST&DestinationCurrency=USDC", "DestinationCurrency"),
        ("SourceCurrency=BTC_TEST&DestinationCurrency=BRL", "DestinationCurrency"),
        ("SourceCurrency=BRL&DestinationCurrency=BTC_TEST", "DestinationCurrency"),
        (f"{SELLING}&SourceAmount=1&DestinationAmount=1", "DestinationAmount"),
        (f"{SELLING}&SourceAmount=x", "SourceAmount"),
        (f"{SELLING}&SourceAmount=0.0000001", "SourceAmount"),
        (f"{SELLING}&DestinationAmount=0.001", "DestinationAmount"),
        (f"{SELLING}&PaymentMethodCategory=bank", "PaymentMethodCategory"),
        (f"{SELLING}e", "Country"),
    ],
)
def test_prices_refuse(shared: RampWorld, query: str, field: str) -> None:
    assert_error(shared.get(f"/v1/prices?{query}"), 400, "InvalidMessage", field)


@pytest.mark.parametrize("pair", [("USDC_TEST", "EUR"), ("EUR", "USDC_TEST")])
def test_a_price_that_has_gone_stale_is_not_told(world: RampWorld, pair: tuple[str, str]) -> None:
    world.steer("prices", sourceAsset="USDC", destinationAsset="EUR", rate="0.92", staleAfterMs=1_000)
    query = "SourceCurrency={}&DestinationCurrency={}".format(*pair)
    assert price(world, query)["Rate"]
    world.advance(seconds=2)
    assert_error(world.get(f"/v1/prices?{query}"), 500, "Unexpected")


# -- customers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [PERSON, COMPANY], ids=["person", "company"])
def test_a_customer_is_kept_and_replaced(world: RampWorld, body: dict[str, Any]) -> None:
    answer = world.ask("PUT", "/v1/customers/new", body)
    assert (answer.status_code, answer.content) == (201, b"")
    told = world.get("/v1/customers/new").json()
    assert told.pop("Created").endswith("Z")
    assert told.pop("Verification") == {"Model": "Reliance", "Status": "Approved"}
    assert told == {**body, "CustomerID": "new"}
    answer = world.ask("PUT", "/v1/customers/new", COMPANY)
    assert (answer.status_code, answer.content) == (204, b"")
    assert world.get("/v1/customers/new").json()["RegisteredName"] == COMPANY["RegisteredName"]
    assert world.session(CustomerID="new")


def test_what_the_operator_decided_of_a_customer_stays(world: RampWorld) -> None:
    assert world.ask("PUT", "/v1/customers/cust-inactive", PERSON).status_code == 204
    told = world.get("/v1/customers/cust-inactive").json()
    assert told["Verification"]["Status"] == "Declined"
    assert_error(world.prepare(CustomerID="cust-inactive"), 401, "Forbidden")


def test_customers_of_the_file(shared: RampWorld) -> None:
    told = {row["CustomerID"]: row for row in items(shared, "/v1/customers")}
    assert told.keys() == {"cust-001", "cust-unverified", "cust-inactive"}
    assert told["cust-001"]["FullName"] == {"FirstName": "Ada", "LastName": "Example"}
    assert told["cust-unverified"]["Verification"]["Status"] == "Pending"


@pytest.mark.parametrize("name", ["a/b", "ä ö", "100%", "a?b#c", "..", "x" * 36, "é" * 36, "+", "%2F", "a/", "/"])
def test_any_characters_may_be_in_a_customers_id(world: RampWorld, name: str) -> None:
    path = f"/v1/customers/{quote(name, safe='')}"
    if name == "..":
        path = "/v1/customers/%2E%2E"
    answer = world.server.raw(_raw_put(world, path))
    assert answer.status == 201
    assert name in {row["CustomerID"] for row in items(world, "/v1/customers")}
    session = world.session(CustomerID=name)
    assert world.sold(session["FormSessionID"])["CustomerID"] == name


def _raw_put(world: RampWorld, path: str) -> bytes:
    import json

    body = json.dumps(PERSON).encode()
    head = (
        f"PUT /ramp{path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {world.request_keys['K0']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


@pytest.mark.parametrize("name", ["x" * 37, "%FF", "%00", "a%00b"])
def test_what_is_no_customers_id(shared: RampWorld, name: str) -> None:
    assert_error(shared.ask("PUT", f"/v1/customers/{name}", PERSON), 400, "InvalidMessage", "CustomerID")
    assert_error(shared.get(f"/v1/customers/{name}"), 400, "InvalidMessage", "CustomerID")


def _with(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a body with another value at a path; None takes it away."""
    first, _, rest = path.partition(".")
    if rest:
        return {**body, first: _with(body[first], rest, value)}
    changed = {**body, first: value}
    return {name: one for name, one in changed.items() if one is not None}


@pytest.mark.parametrize(
    "path, value",
    [
        ("FullName", None),
        ("FullName.FirstName", None),
        ("FullName.FirstName", ""),
        ("FullName.LastName", "x" * 51),
        ("FullName.MiddleName", ""),
        ("DateOfBirth", None),
        ("DateOfBirth", "1990-13-01"),
        ("DateOfBirth", "90-01-01"),
        ("DateOfBirth", "1990-02-30"),
        ("PhoneNumber", "0123456"),
        ("PhoneNumber", "+12345"),
        ("PhoneNumber", "+1234567\n"),
        ("Email", "nobody"),
        ("Identities", None),
        ("Identities", [{"IssuingCountry": "DE", "IDNumber": "1", "IDType": "Library"}]),
        ("Identities", [{"IssuingCountry": "DEU", "IDNumber": "1", "IDType": "Passport"}]),
        ("Identities", [{"IssuingCountry": "DE", "IDNumber": "x" * 37, "IDType": "Passport"}]),
        ("PrimaryResidence", None),
        ("PrimaryResidence.Street", "x"),
        ("PrimaryResidence.City", ""),
        ("PrimaryResidence.PostCode", "x" * 21),
        ("PrimaryResidence.State", None),
        ("PrimaryResidence.Country", "Germany"),
        ("PrimaryResidence.Country", "ZZ"),
        ("Type", "Robot"),
        ("Type", None),
    ],
)
def test_what_a_person_must_be(shared: RampWorld, path: str, value: Any) -> None:
    answer = shared.ask("PUT", "/v1/customers/wrong", _with(PERSON, path, value))
    body = assert_error(answer, 400, "InvalidMessage")
    told = body["Extensions"]["Request"]
    assert any(field == path or field.startswith(f"{path}.") for field in told), told
    assert_error(shared.get("/v1/customers/wrong"), 400, "ResourceNotFound")


@pytest.mark.parametrize("field", [name for name in COMPANY if name != "Type"])
def test_what_a_company_must_be(shared: RampWorld, field: str) -> None:
    answer = shared.ask("PUT", "/v1/customers/wrong", _with(COMPANY, field, None))
    assert_error(answer, 400, "InvalidMessage", field)


def test_customers_in_pages(world: RampWorld) -> None:
    for number in range(3):
        world.advance(milliseconds=1)
        assert world.ask("PUT", f"/v1/customers/n-{number}", PERSON).status_code == 201
    found = [[row["CustomerID"] for row in page] for page in pages(world, "/v1/customers", 2)]
    assert [len(page) for page in found] == [2, 2, 2]
    assert list(chain(*found))[:3] == ["n-2", "n-1", "n-0"]
    upward = [row["CustomerID"] for page in pages(world, "/v1/customers?SortDirection=ASC", 2) for row in page]
    assert upward == list(chain(*found))[::-1]
    assert "n-0" not in {row["CustomerID"] for row in items(world, "/v1/customers", key="K9")}
    assert_error(world.get("/v1/customers/n-0", key="K9"), 400, "ResourceNotFound")

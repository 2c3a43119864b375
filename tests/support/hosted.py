"""Checkouts as a business opens them, and their pages as a browser without scripts sees and sends them."""

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx

from tests.support.ramp import IBAN, RampWorld

RETURN_URL = "https://shop.example/back?cart=7#end"

ITEMS = [
    {"Description": "Refund of order 7", "Quantity": "2", "UnitAmount": "40.00", "TotalAmount": "80.00"},
    {"Description": "Shipping", "Quantity": "1", "UnitAmount": "20", "TotalAmount": "20.00"},
]

_SHARED: dict[str, Any] = {
    "ReturnURL": RETURN_URL,
    "CustomerID": "cust-001",
    "LineItems": ITEMS,
    "ExternalID": "cart-7",
    "CryptoCurrency": "USDC_TEST",
}
_OWN: dict[str, dict[str, Any]] = {
    "payout/fiat": {"FiatCurrency": "EUR", "FiatAmount": "100.00", "CryptoAuthorizedAmount": "111.429348"},
    "payin/fiat": {"PaymentMethodCategory": "Bank", "FiatCurrency": "EUR", "FiatAmount": "100.00"},
    "payin/crypto": {"CryptoAmount": "25.5"},
}
_OWN |= {"sell": _OWN["payout/fiat"], "buy": _OWN["payin/fiat"]}

CHANNEL = "c0de0001-0000-4000-8000-000000000001"
FORM = {"form.BankDetails.AccountType": "Checking", "form.BankDetails.AccountNumber": IBAN}


def opening(kind: str = "payout/fiat", **changes: Any) -> dict[str, Any]:
    """Return a good body for a kind of checkout, with changes; what is changed to None is left out."""
    body = {**_SHARED, **_OWN[kind], "Nonce": uuid4().hex, **changes}
    return {name: value for name, value in body.items() if value is not None}


def opened(world: RampWorld, kind: str = "payout/fiat", **changes: Any) -> "Hosted":
    """Open a checkout that must be opened."""
    answer = world.post(f"/v1/checkout/{kind}", opening(kind, **changes))
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"HostedURL", "CheckoutSession"}
    return Hosted(world, answer.json())


class Page(HTMLParser):
    """What a page has: its text, its forms' hidden fields, its inputs, links and titles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.links: list[str] = []
        self.actions: list[str] = []
        self.text = ""
        self.html = html
        self.feed(html)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.text += " "
        if tag == "input" and found.get("type") == "hidden":
            self.hidden[found["name"] or ""] = found.get("value") or ""
        elif tag in {"input", "select"}:
            self.inputs[found.get("name") or ""] = found
        elif tag == "a":
            self.links.append(found.get("href") or "")
        elif tag == "form":
            self.actions.append(found.get("action") or "")

    def handle_data(self, data: str) -> None:
        self.text += data


class Hosted:
    """A checkout and its page."""

    def __init__(self, world: RampWorld, told: dict[str, Any]) -> None:
        self.world = world
        self.session: dict[str, Any] = told["CheckoutSession"]
        self.id: str = self.session["CheckoutSessionID"]
        self.url: str = told["HostedURL"]
        self.path, self.token = urlsplit(self.url).path, parse_qs(urlsplit(self.url).query)["token"][0]
        world.server.secrets.add(self.token)

    def get(self, **query: str) -> httpx.Response:
        """Open the page."""
        return self.world.server.http.get(self.path, params={"token": self.token, **query})

    def page(self, status: int = 200, **query: str) -> Page:
        """Open the page and read it."""
        answer = self.get(**query)
        assert answer.status_code == status, answer.text
        return Page(answer.text)

    def send(self, fields: dict[str, str], **query: str) -> httpx.Response:
        """Post a form as it is given."""
        return self.world.server.http.post(self.path, params={"token": self.token, **query}, data=fields)

    def confirm(self, **changes: str) -> httpx.Response:
        """Confirm as the page as it is now would."""
        page = self.page(channel=CHANNEL)
        return self.send({**page.hidden, **FORM, "action": "confirm", **changes})


def returned(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """Return where a browser is sent, without and as its query."""
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["location"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return parts._replace(query="", fragment="").geturl(), query

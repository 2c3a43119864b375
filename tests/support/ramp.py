"""A world of the ramp contract (section 9's fixture) as businesses see it: keys, signatures, payouts, and steering."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from otcdesk.request_signatures import Signed, claims_of, private_key, signed_token
from tests.support.server import DeskServer, World

RAMP = "/ramp"

CH = "c0de0001-0000-4000-8000-000000000001"
SEPA_FILE = "c0de0001-0000-4000-8000-000000000002"
US_ACH = "c0de0001-0000-4000-8000-000000000003"
BR_PIX = "c0de0001-0000-4000-8000-000000000004"
JP_LOCAL = "c0de0001-0000-4000-8000-000000000005"
KW_LOCAL = "c0de0001-0000-4000-8000-000000000006"

IBAN = "DE89370400440532013000"

#: What the contract calls FORM, PREP and SELL.
FORM: dict[str, Any] = {"BankDetails": {"AccountType": "Checking", "AccountNumber": IBAN}}
PREP: dict[str, Any] = {
    "ChannelID": CH,
    "CryptoCurrency": "USDC_TEST",
    "FiatAmount": "100.00",
    "CustomerID": "cust-001",
    "Form": FORM,
}
SELL: dict[str, Any] = {
    "CryptoCurrency": "USDC_TEST",
    "FiatAmount": "100.00",
    "CryptoAuthorizedAmount": "111.429348",
    "Nonce": "n-1",
    "ExternalID": "inv-1",
}

#: A person, with every field.
PERSON: dict[str, Any] = {
    "Type": "Individual",
    "FullName": {"FirstName": "Ada", "LastName": "Example", "MiddleName": "B"},
    "DateOfBirth": "1990-12-10",
    "Email": "ada@example.com",
    "PhoneNumber": "+491234567",
    "Identities": [{"IssuingCountry": "DE", "IDNumber": "L01X00T47", "IDType": "Passport"}],
    "PrimaryResidence": {
        "Street": "Unter den Linden 1",
        "City": "Berlin",
        "PostCode": "10117",
        "State": "Berlin",
        "Country": "DE",
    },
}

COMPANY: dict[str, Any] = {
    "Type": "Business",
    "RegisteredName": "Example GmbH",
    "RegistrationNumber": "HRB 1",
    "RegistrationCountry": "DE",
    "RegisteredAddress": PERSON["PrimaryResidence"],
    "IncorporationDate": "2001-02-03",
}


def k1() -> EllipticCurvePrivateKey:
    """Return the private half of K1's pair."""
    return private_key((Path(__file__).parent / "ramp_k1.pem").read_bytes())


class RampWorld(World):
    """One isolated world with businesses, their keys, customers and channels."""

    def __init__(self, server: DeskServer, *, via: DeskServer | None = None, **asked: Any) -> None:
        wanted = {"template": "ramp", "frozen": True, **asked}
        super().__init__(server, via=via, **{name: value for name, value in wanted.items() if value is not None})
        self.request_keys: dict[str, str] = self.told["requestKeys"]
        for one in {server, self.server}:
            one.secrets |= {*self.request_keys.values()}

    @staticmethod
    def file() -> str:
        """Return the text of the world's file."""
        return (files("otcdesk") / "worlds" / "ramp.toml").read_text(encoding="utf-8")

    # -- calls -----------------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "K0",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Call a path of the ramp dialect; `key` is the name of one of the world's, or any text; None sends none."""
        sent = dict(headers or {})
        if key is not None:
            sent.setdefault("X-Api-Key", self.request_keys.get(key, key))
        if body is not None:
            more["content"] = body if isinstance(body, bytes | str) else json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        return self.server.http.request(method, RAMP + path, headers=sent, **more)

    def signed(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "K1",
        by: EllipticCurvePrivateKey | None = None,
        claims: Mapping[str, Any] | None = None,
        prefix: str = "",
    ) -> httpx.Response:
        """Call a path with a signature over it; `claims` are put over the right ones, None takes one away."""
        content = b"" if body is None else json.dumps(body).encode()
        parts = urlsplit(path)
        signed = Signed(
            method=method, path=prefix + parts.path, query=parse_qsl(parts.query, keep_blank_values=True), body=content
        )
        said = {**claims_of(signed, datetime.now(UTC), timedelta(minutes=5)), **(claims or {})}
        token = signed_token({name: value for name, value in said.items() if value is not None}, by or k1())
        sent = {"Api-Signature": token}
        return self.ask(method, path, content or None, key=key, headers=sent)

    def get(self, path: str = "", **how: Any) -> httpx.Response:
        """Read a path."""
        return self.ask("GET", path, **how)

    def post(self, path: str = "", body: Any = None, **how: Any) -> httpx.Response:
        """Write to a path."""
        return self.ask("POST", path, body, **how)

    # -- payouts ---------------------------------------------------------------------------------------------------

    def prepare(self, *, how: Mapping[str, Any] | None = None, **changes: Any) -> httpx.Response:
        """Prepare PREP, with changes; what is changed to None is left out."""
        return self.post("/v1/transactions/sell/prepare", _changed(PREP, changes), **(how or {}))

    def session(self, **changes: Any) -> dict[str, Any]:
        """Return what was answered to a prepare that must succeed."""
        answer = self.prepare(**changes)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def sell_body(self, session: str | None = None, **changes: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return SELL for a session, a fresh one unless given, with changes."""
        found = session if session is not None else self.session()["FormSessionID"]
        return _changed({**SELL, "FormSessionID": found}, changes)

    def sell(  # type: ignore[override]
        self, session: str | None = None, *, how: Mapping[str, Any] | None = None, **changes: Any
    ) -> httpx.Response:
        """Sell."""
        return self.post("/v1/transactions/sell", self.sell_body(session, **changes), **(how or {}))

    def sold(self, session: str | None = None, **changes: Any) -> dict[str, Any]:
        """Return the transaction of a sell that must succeed, with a nonce of its own unless one is given."""
        answer = self.sell(session, **{"Nonce": uuid4().hex, **changes})
        assert answer.status_code == 202, answer.text
        told: dict[str, Any] = answer.json()["Transaction"]
        return told

    def transaction(self, transaction_id: str, **how: Any) -> dict[str, Any]:
        """Return a transaction."""
        answer = self.get(f"/v1/transactions/{transaction_id}", **how)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def transactions(self, **how: Any) -> list[dict[str, Any]]:
        """Return the newest transactions."""
        answer = self.get("/v1/transactions?PageSize=100", **how)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["Items"]
        return items

    def balance(self, asset: str = "USDC_TEST", **how: Any) -> tuple[str, str]:
        """Return what is available of an asset, and the total."""
        answer = self.get("/v1/balances", **how)
        assert answer.status_code == 200, answer.text
        row = next(item for item in answer.json()["Items"] if item["CryptoCurrency"] == asset)
        assert row["AccountType"] == "Current"
        return row["Available"], row["Total"]

    def finish(self, transaction_id: str, outcome: str = "settled", **more: Any) -> None:
        """Let the simulated provider say how a payout ended."""
        self.steer(f"payouts/{transaction_id}", outcome=outcome, **more)


def _changed(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


#: What the fixture has at first: available, and total.
START = ("500.000000", "500.000000")

HASH_OF_NOTHING = sha256(b"").hexdigest()


def assert_error(answer: httpx.Response, status: int, kind: str, field: str | None = None) -> dict[str, Any]:
    """Assert an error's status, type and field; its shape was checked when it came. Returns the body."""
    assert answer.status_code in range(400, 600), answer.text
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["Type"]) == (status, kind), answer.text
    if field is not None:
        assert field in body["Extensions"]["Request"], answer.text
        assert field in {row["Field"] for row in body["RequestExtension"]["Body"]}, answer.text
    return body

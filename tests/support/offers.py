"""A world of the offers contract (section 9) as partners see it: tokens, users, offers, and the sandbox's steering."""

from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any
from uuid import uuid4

import httpx

from tests.support.server import DeskServer, World

OFFERS = "/offers"

#: The fixture's own ids: asset 1 is bitcoin, fiat 1 the euro; the partner of both users, and another.
BTC, ETH, GOLD, SHARE = 1, 2, 3, 4
EUR, CHF = 1, 2
P, Q = "P", "Q"

#: What the contract calls OK-buy.
OK_BUY: dict[str, Any] = {
    "type": "buy",
    "fiat_id": EUR,
    "asset_id": BTC,
    "amount": "100.00",
    "amount_defined_for": "fiat",
}

#: The sale of its case 8.
SELL: dict[str, Any] = {**OK_BUY, "type": "sell", "amount": "0.01", "amount_defined_for": "asset"}

#: The fields of the reference's 200.
ACCEPTED = {
    *("id", "trade_id", "type", "fiat_id", "asset_id", "fiat_amount", "tax_amount", "total_amount", "asset_amount"),
    *("asset_price", "time", "spread", "fees_after_cost", "warning"),
}


class OffersWorld(World):
    """One isolated world with partners, their clients and users."""

    def __init__(self, server: DeskServer, *, via: DeskServer | None = None, **asked: Any) -> None:
        wanted = {"template": "offers", "frozen": True, **asked}
        super().__init__(server, via=via, **{name: value for name, value in wanted.items() if value is not None})
        self.clients: dict[str, dict[str, str]] = self.told["clients"]
        self.users = {name.partition("/")[2]: user_id for name, user_id in self.told["users"].items()}
        for one in {server, self.server}:
            one.secrets |= {client["clientSecret"] for client in self.clients.values()}
        self._bearers: dict[str, str] = {}

    @staticmethod
    def file() -> str:
        """Return the text of the world's file."""
        return (files("otcdesk") / "worlds" / "offers.toml").read_text(encoding="utf-8")

    # -- tokens ----------------------------------------------------------------------------------------------------

    def token_body(self, partner: str = P, **changes: Any) -> dict[str, Any]:
        """Return a good body for a first pair of tokens, with changes; what is changed to None is left out."""
        client = self.clients[partner]
        good = {
            "grant_type": "client_credentials",
            "client_id": client["clientId"],
            "client_secret": client["clientSecret"],
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def oauth(self, what: str, body: Any, **how: Any) -> httpx.Response:
        """Call a token endpoint."""
        return self.server.http.post(f"{OFFERS}/v1/oauth/{what}", json=body, **how)

    def pair(self, partner: str = P) -> dict[str, Any]:
        """Return a fresh pair of tokens."""
        answer = self.oauth("token", self.token_body(partner))
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        self.server.secrets |= {told["access_token"], told["refresh_token"]}
        return told

    def refreshed(self, refresh_token: str, partner: str = P) -> httpx.Response:
        """Use a refresh token."""
        client_id = self.clients[partner]["clientId"]
        body = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
        return self.oauth("token", body)

    def revoked(self, refresh_token: str, partner: str = P) -> httpx.Response:
        """Revoke a refresh token."""
        return self.oauth("revoke", self.token_body(partner, grant_type=None, refresh_token=refresh_token))

    def bearer(self, partner: str = P) -> str:
        """Return an access token of a partner, the same each time."""
        if partner not in self._bearers:
            self._bearers[partner] = self.pair(partner)["access_token"]
        return self._bearers[partner]

    # -- calls -----------------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str | None = None,
        partner: str | None = P,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Call a path of the offers dialect; `user` is the name of one in the world's file, or any text."""
        sent = dict(headers or {})
        if partner is not None:
            sent.setdefault("Authorization", f"Bearer {self.bearer(partner)}")
        if user is not None:
            sent.setdefault("bp-user-id", self.users.get(user, user))
        if body is not None:
            more["json"] = body
        return self.server.http.request(method, OFFERS + path, headers=sent, **more)

    def create(self, user: str = "U", *, version: str = "v1", **changes: Any) -> httpx.Response:
        """Ask for an offer: OK-buy, with changes and `how` to call."""
        how = changes.pop("how", {})
        body = {**self.as_version(OK_BUY, version), **changes}
        return self.ask("POST", f"/{version}/offers", body, user=user, **how)

    def as_version(self, body: dict[str, Any], version: str) -> dict[str, Any]:
        """Return a body with the ids of a version of the API."""
        if version == "v1":
            return body
        return {**body, "asset_id": self.pid("assets", body["asset_id"]), "fiat_id": self.pid("fiats", body["fiat_id"])}

    def pid(self, what: str, number: int) -> str:
        """Return the pid of a listing."""
        rows = self.data(self.ask("GET", f"/v1/{what}?page_size=100"))
        pid: str = next(row["pid"] for row in rows if row["id"] == number)
        return pid

    def offer(self, user: str = "U", **changes: Any) -> dict[str, Any]:
        """Return an offer that must have been made."""
        answer = self.create(user, **changes)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()["data"]
        return made

    def accept(
        self, offer_id: str, external_id: str | None = None, user: str = "U", *, version: str = "v2", **how: Any
    ) -> httpx.Response:
        """Accept an offer; without an external id none is sent."""
        if external_id is not None:
            how["params"] = {"external_transaction_id": external_id}
        return self.ask("PATCH", f"/{version}/offers/{offer_id}/accept", user=user, **how)

    def traded(self, user: str = "U", external_id: str | None = None, **changes: Any) -> dict[str, Any]:
        """Return a trade that must have come about."""
        made = self.offer(user, **changes)
        partner = changes.get("how", {}).get("partner", P)
        answer = self.accept(made["id"], external_id or str(uuid4()), user, partner=partner)
        assert answer.status_code == 200, answer.text
        trade: dict[str, Any] = answer.json()["data"]
        return trade

    def offer_status(self, offer_id: str, user: str = "U", **how: Any) -> dict[str, Any]:
        """Return what offer-status says."""
        answer = self.ask("GET", f"/v1/offer-status/{offer_id}", user=user, **how)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()["data"]
        return told

    def rows(self, path: str, **how: Any) -> list[dict[str, Any]]:
        """Return the rows of a list."""
        found: list[dict[str, Any]] = self.data(self.ask("GET", path, **how))
        return found

    def balance(self, user: str, symbol: str = "BTC") -> str:
        """Return what a user has of an asset."""
        rows = self.rows("/v1/portfolio?page_size=100", user=user)
        return next((row["balance"] for row in rows if row["asset_symbol"] == symbol), "0")

    @staticmethod
    def data(answer: httpx.Response) -> Any:
        """Return the data of an answer that must be good."""
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()["data"]


def assert_error(answer: httpx.Response, status: int, code: str) -> None:
    """Assert an error's status and key; its shape was checked when it came."""
    assert answer.status_code in range(400, 600), answer.text
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code), answer.text


def moment(text: str) -> datetime:
    """Read a time of the wire, which has seconds and an offset."""
    read = datetime.fromisoformat(text)
    assert read.tzinfo is not None
    assert text[19:] == "+00:00", text
    return read

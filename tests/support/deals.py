"""A world of the deals contract (section 7) as integrators see it: tokens, requests, and the sandbox's steering."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from joserfc import jws
from joserfc.jwk import OctKey

from tests.support.server import DeskServer, World
from tests.support.tokens import claims_of

DEALS = "/deals"

#: The fixture's own ids: nodes at paths 1, 1.2 and 1.3; a seller and a buyer of N, a user of N2; token and currency.
N, N2, N3 = (f"65a1b2c3d4e5f60718290d0{number}" for number in (1, 2, 3))
U1, U2, U3 = (f"65a1b2c3d4e5f60718290a0{number}" for number in (1, 2, 3))
T = "65a1b2c3d4e5f60718290b01"
C = "65a1b2c3d4e5f60718290c01"

#: Its clients, each named as the supervisor that it calls as: the root's may do everything, one nothing, one is of N3.
ROOT, READER, THIRD = "root", "reader", "third"

AUTHENTICATE, REFRESH = "/v2/auth/authenticate", "/v2/auth/refresh"

UNAUTHENTICATED = {"error": "Authentication required"}


class DealsWorld(World):
    """One isolated world with nodes, users, tokens, and clients of three supervisors."""

    def __init__(self, server: DeskServer, *, via: DeskServer | None = None, **asked: Any) -> None:
        wanted = {"template": "deals", "frozen": True, **asked}
        super().__init__(server, via=via, **{name: value for name, value in wanted.items() if value is not None})
        self.clients: dict[str, dict[str, str]] = self.told["clients"]
        self.supervisors = {name.partition("/")[2]: one for name, one in self.told["supervisors"].items()}
        for one in {server, self.server}:
            one.secrets |= {client["clientSecret"] for client in self.clients.values()}
        self._bearers: dict[str, str] = {}

    @staticmethod
    def file() -> str:
        """Return the text of the world's file."""
        return (files("otcdesk") / "worlds" / "deals.toml").read_text(encoding="utf-8")

    # -- tokens ----------------------------------------------------------------------------------------------------

    def keys_of(self, client: str = ROOT) -> dict[str, str]:
        """Return a good body for a first pair of tokens."""
        told = self.clients[client]
        return {"api_key": told["clientId"], "secret_key": told["clientSecret"]}

    def auth(self, path: str = AUTHENTICATE, body: Any = None, **how: Any) -> httpx.Response:
        """Call a token endpoint; without a body none is sent."""
        if body is not None:
            how["json"] = body
        return self.server.http.post(DEALS + path, **how)

    def pair(self, client: str = ROOT) -> dict[str, Any]:
        """Return a fresh pair of tokens."""
        return self.told_pair(self.auth(body=self.keys_of(client)))

    def told_pair(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the pair of an answer that must be good."""
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        self.server.secrets |= {told["access_token"], told["refresh_token"]}
        return told

    def bearer(self, client: str = ROOT) -> str:
        """Return an access token of a client, the same each time."""
        if client not in self._bearers:
            self._bearers[client] = self.pair(client)["access_token"]
        return self._bearers[client]

    def claims(self, client: str = ROOT) -> dict[str, Any]:
        """Return what a client's token says."""
        return claims_of(self.bearer(client))

    def minted(self, client: str = ROOT, **changes: Any) -> str:
        """Return a token that the server did not make, with its key: a client's with changes, without what is None."""
        claims = {name: value for name, value in {**self.claims(client), **changes}.items() if value is not None}
        return minted(json.dumps(claims).encode(), signing_key(self.server))

    # -- calls -----------------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        client: str | None = ROOT,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Call a path of the deals dialect, from the version on, as a client; None sends no token."""
        sent = dict(headers or {})
        if client is not None:
            sent.setdefault("Authorization", f"Bearer {self.bearer(client)}")
        if body is not None:
            more["json"] = body
        return self.server.http.request(method, DEALS + path, headers=sent, **more)

    def sell(  # type: ignore[override]  # the exchanges' verb, which is of no use here
        self, user: str = U1, token: str = T, *, how: Mapping[str, Any] | None = None, **changes: Any
    ) -> httpx.Response:
        """Offer three tokens at 12 each, with changes of the body; what is changed to None is left out."""
        body = {"quantity": 3, "price_id": C, "price_amount": 12, **changes}
        given = {name: value for name, value in body.items() if value is not None}
        return self.ask("POST", f"/v2/users/otcs/users/{user}/tokens/{token}/sell", given, **(how or {}))

    def sold(self, user: str = U1, token: str = T, **changes: Any) -> str:
        """Return the transaction of an offer that must have been taken in."""
        answer = self.sell(user, token, **changes)
        assert answer.status_code == 200, answer.text
        transaction_id: str = answer.json()["transaction_id"]
        return transaction_id

    def cancel(self, deal_id: Any, user: str = U1, token: str = T, **how: Any) -> httpx.Response:
        """Ask for a deal back."""
        return self.ask("POST", f"/v2/users/otcs/users/{user}/tokens/{token}/cancel", {"deal_id": deal_id}, **how)

    def read(self, path: str, **how: Any) -> Any:
        """Return what is shown at a path that must be there."""
        answer = self.ask("GET", path, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def searched(self, path: str, *, page: int = 1, per_page: int = 10, **how: Any) -> Any:
        """Return a page of what is read by POST and must be there."""
        answer = self.ask("POST", path, {"page": page, "per_page": per_page}, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def transaction(self, transaction_id: str, token: str = T, **how: Any) -> dict[str, Any]:
        """Return a transaction, as it is polled by its token."""
        told: dict[str, Any] = self.read(f"/v2/admin/tokens/{token}/transactions/{transaction_id}", **how)
        return told

    def transactions(self, user: str = U1, query: str = "page=1&per_page=10", **how: Any) -> list[dict[str, Any]]:
        """Return a page of a user's transactions."""
        told: list[dict[str, Any]] = self.read(f"/v2/users/users/{user}/transactions?{query}", **how)["data"]
        return told

    def deals(self, user: str = U1, token: str = T, **how: Any) -> list[dict[str, Any]]:
        """Return a page of a user's deals of a token."""
        told: list[dict[str, Any]] = self.searched(f"/v2/users/otcs/users/{user}/tokens/{token}", **how)["data"]
        return told

    def holding(self, user: str = U1, token: str = T, **how: Any) -> dict[str, Any]:
        """Return what a user has of a token, and how it was bought."""
        told: dict[str, Any] = self.read(f"/v2/users/purchases/users/{user}/tokens/{token}/quantity", **how)
        return told

    def quantities(self, user: str = U1, token: str = T) -> tuple[int, int, int]:
        """Return how much of a token a user has, and how much of it is available and locked."""
        told = self.holding(user, token)
        return told["total_quantity"], told["available_quantity"], told["locked_quantity"]

    def finished(self, transaction_id: str, token: str = T) -> dict[str, Any]:
        """Let the workers do what there is to do; returns a transaction that must be completed by it."""
        self.run_workers()
        told = self.transaction(transaction_id, token)
        assert (told["status"], told["error"]) == (3, None), told
        return told

    def active_deal(self, user: str = U1, token: str = T, **changes: Any) -> int:
        """Offer tokens and let it become active, or what rules make of it; returns the deal's number."""
        deal_id: int = self.finished(self.sold(user, token, **changes), token)["data"]["deal_id"]
        return deal_id

    def as_bearer(self, token: str, path: str = f"/v2/users/otcs/users/{U1}/tokens/{T}/cancel") -> httpx.Response:
        """Call with any token; by default for what is refused with 400 once it is let in, so nothing happens."""
        return self.ask("POST", path, {}, client=None, headers={"Authorization": f"Bearer {token}"})


def signing_key(server: DeskServer) -> bytes:
    """Return the key that a server signs bearer tokens with."""
    given = server.environ.get("DESK_DEALS_KEY_FILE")
    path = Path(given) if given else server.home / "secrets" / "deals.key"
    return path.read_text(encoding="utf-8").strip().encode()


def minted(payload: bytes, key: bytes, **header: Any) -> str:
    """Return a token with any payload, and a header with changes, signed with a key of one's own."""
    return jws.serialize_compact({"alg": "HS256", "typ": "JWT", **header}, payload, OctKey.import_key(key))


def encoded(value: Any) -> str:
    """Return a part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def seconds_now() -> int:
    """Return the machine's time in Unix seconds."""
    return int(datetime.now(UTC).timestamp())


def assert_error(answer: httpx.Response, status: int, error: str, details: str | None = None) -> None:
    """Assert an error's status and whole body; without details there must be none."""
    expected = {"error": error} if details is None else {"error": error, "details": details}
    assert (answer.status_code, answer.json()) == (status, expected), answer.text

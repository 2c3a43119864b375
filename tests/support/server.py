"""A desk as its clients see it: a server process over real sockets, and worlds of its sandbox.

A server runs on a database that only servers of the tests write, so that at the end all of it can be verified with
their key. Every answer that comes through a server's client is checked for what holds of all answers: errors have the
contract's shape, nothing tells of the inside, and every answer names its request.
"""

import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID, uuid4

import asyncpg
import httpx

from otcdesk.domain.ledger import TREASURY, desk_account_id
from tests.support import forked
from tests.support.databases import run_apart

ROOT = Path(__file__).resolve().parents[2]

#: Any 64 hexadecimal characters will do for an API key.
CSRF = "0123456789abcdef" * 4

EXCHANGES = "/exchanges/otc-exchanges"
ORDERS = "/operator/otc-exchanges"

#: For clients of desks, which speak plain HTTP: to read the authorities of the world takes longer than a request.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

_DEADLINE_SECONDS = 30
_POLL_SECONDS = 0.01

#: What would tell a client of the inside: our files, our database, our language.
_INSIDE = re.compile(
    r"Traceback|\.py\b|asyncpg|postgres|psycopg|msgspec|starlette|site-packages|SQLSTATE", re.IGNORECASE
)


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float = _DEADLINE_SECONDS) -> None:
    """Poll until it holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def at_once(calls: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """Make calls in threads of their own that start together."""
    barrier = threading.Barrier(len(calls))

    def one(call: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(max_workers=len(calls)) as threads:
        return list(threads.map(one, calls))


class DeskServer:
    """One `otcdesk serve`, with settings given as environment variables."""

    def __init__(self, dsn: str, home: Path, **settings: str) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = home / f"server-{self.port}.log"
        self.secrets: set[str] = set()
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DESK_")},
            "DATABASE_URL": dsn,
            "DESK_HOME": str(home),
            "DESK_PORT": str(self.port),
            "DESK_SANDBOX": "true",
            "DESK_LOG_LEVEL": "debug",
            "DESK_SETTLEMENT_PERIOD_MS": "50",
            "DESK_DEADLINES_PERIOD_MS": "200",
            "DESK_RAIL_RETRY_MS": "20",
            "DESK_WORLDS_MAX": "20000",
            "DESK_WEBHOOKS_LOCAL": "true",
            "DESK_OFFERS_REQUESTS_PER_SECOND": "0",
            "DESK_HANDOVER": "false",  # servers of one home stand for hosts of their own
            **settings,
        }
        self.process: forked.Forked | None = None
        self.http = httpx.Client(
            base_url=self.url,
            timeout=30,
            verify=NO_AUTHORITIES,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=100),
            event_hooks={"response": [check_answer]},
        )

    def start(self) -> "DeskServer":
        """Start the process and return once it says that it is ready."""
        self.process = forked.Forked("serve", cwd=ROOT, env=self.environ, out=self.log_path, err=self.log_path)
        wait_until(self._ready, f"the server is ready; it says {self.log()[-2000:]}")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended: {self.log()[-2000:]}"
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, verify=NO_AUTHORITIES).status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        """Return everything that the server has written."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def tell_to_stop(self) -> None:
        """Send what a supervisor sends."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Stop the process by its id and return its exit code; kills what does not stop."""
        self.http.close()
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.tell_to_stop()
        try:
            return self.process.wait(timeout=_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def raw(self, request: bytes) -> "RawAnswer":
        """Send bytes that no client library would, and read one answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            return read_raw(connection)


class RawAnswer:
    """An answer read by hand: status, headers in lower case, body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


def read_raw(connection: socket.socket) -> RawAnswer:
    """Read one answer with a content length from a connection."""
    with connection.makefile("rb") as stream:
        return read_answer(stream)


def read_answer(stream: BinaryIO) -> RawAnswer:
    """Read the next answer with a content length."""
    status = int(stream.readline().split()[1])
    headers: dict[str, str] = {}
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return RawAnswer(status, headers, stream.read(int(headers.get("content-length", 0))))


def check_answer(response: httpx.Response) -> None:
    """Assert what holds of every answer of every dialect."""
    response.read()
    path = response.request.url.path
    if path in {"/healthz", "/readyz"} or path.startswith("/openapi/"):
        return
    if path.startswith("/checkout/"):
        check_page(response)
        return
    is_file = path.startswith("/operator/payout-files/") and path.endswith("/content") and response.is_success
    if response.status_code == 204:
        assert response.content == b""
        assert "content-type" not in response.headers
        assert "content-length" not in response.headers
    else:
        assert response.headers["content-type"] == ("application/xml" if is_file else "application/json")
    assert response.headers["cache-control"] == "no-store"
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", response.headers["x-request-id"])
    if path.startswith("/exchanges/"):
        assert response.headers["x-api-version"] in {"v1", "v2"}
    if response.request.method == "HEAD":
        assert response.content == b""
    elif response.status_code >= 400:
        dialect = path.split("/")[1]
        checks = {"offers": check_listed_errors, "ramp": check_typed_error, "deals": check_plain_error}
        checked = checks.get(dialect, check_error)
        checked(response.status_code, response.json())


class _Plain(HTMLParser):
    """Finds fault with a page that runs something, brings its own style, or needs another file than its style sheet."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style", "img", "iframe", "object", "embed", "base", "video", "audio", "svg"}
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        assert tag != "link" or dict(attrs) == {"rel": "stylesheet", "href": "style.css"}


def check_page(response: httpx.Response) -> None:
    """Assert what holds of every answer for people: it needs nothing else, and cannot be framed, kept or sniffed."""
    headers = response.headers
    kind = "text/css" if response.request.url.path.endswith(".css") else "text/html"
    assert headers["content-type"] == f"{kind}; charset=utf-8"
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    if kind == "text/html":
        rules = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert rules.pop("form-action").split()[0] == "'self'"
        expected = {"default-src": "'none'", "style-src": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'"}
        assert rules == expected
        _Plain().feed(response.text)
    assert not _INSIDE.search(response.text)
    assert response.status_code != 500, response.text


def check_error(status: int, body: Any) -> None:
    """Assert the one shape of errors (contract 2.4), and that a server's fault is never an accident's own words."""
    assert body.keys() == {"error"}, body
    error = body["error"]
    assert {"code", "message"} <= error.keys() <= {"code", "message", "details"}, body
    assert re.fullmatch(r"[A-Z][A-Z_]+", error["code"])
    assert isinstance(error["message"], str)
    assert error["message"]
    assert not _INSIDE.search(str(body)), body
    assert status != 500, body


def check_listed_errors(status: int, body: Any) -> None:
    """Assert the one shape of errors of the offers dialect (offers contract 3.0)."""
    assert body.keys() == {"errors"}, body
    for error in body["errors"]:
        assert error.keys() == {"code", "title"}, body
        assert re.fullmatch(r"[a-z0-9_.-]+", error["code"], re.IGNORECASE), body
        assert error["title"]
    assert body["errors"]
    assert not _INSIDE.search(str(body)), body
    assert status != 500, body


def check_typed_error(status: int, body: Any) -> None:
    """Assert the one shape of errors of the ramp dialect (ramp contract 3.0)."""
    assert {"Type", "Instance", "Detail"} <= body.keys(), body
    assert body.keys() <= {"Type", "Instance", "Action", "Detail", "Extensions", "RequestExtension"}, body
    UUID(body["Instance"])
    assert body["Detail"]
    fields = body.get("Extensions", {}).get("Request", {})
    assert {row["Field"]: row["Description"] for row in body.get("RequestExtension", {}).get("Body", [])} == fields
    assert not _INSIDE.search(str(body)), body


def check_plain_error(status: int, body: Any) -> None:
    """Assert the one shape of errors of the deals dialect (deals contract 3)."""
    assert {"error"} <= body.keys() <= {"error", "details"}, body
    assert all(isinstance(text, str) and text for text in body.values()), body
    assert "details" not in body or status not in {401, 500}, body
    assert not _INSIDE.search(str(body)), body
    assert status != 500, body


def assert_refused(response: httpx.Response, status: int, code: str) -> None:
    """Assert an error's status and code; its shape was checked when it came."""
    assert response.status_code in range(400, 600), response.text
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


class World:
    """One isolated world of the sandbox: its credentials, ids, customers' calls, operator's calls and steering."""

    def __init__(self, server: DeskServer, *, via: DeskServer | None = None, **asked: Any) -> None:
        self.server = via or server
        answer = server.http.post("/sandbox/worlds", json=asked)
        assert answer.status_code == 201, answer.text
        told = answer.json()["data"]
        self.told = told
        self.id: str = told["worldId"]
        self.keys: dict[str, str] = told["apiKeys"]
        self.token: str = told["operators"][0]["token"]
        self.ids = {name.partition("/")[2]: account_id for name, account_id in told["accounts"].items()}
        for one in {server, self.server}:
            one.secrets |= {*self.keys.values(), self.token}

    # -- the customer ----------------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "KA",
        csrf: str | None = CSRF,
        idempotency: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Call any path of the server as a customer; `key` is the name of an API key, None sends none."""
        sent = dict(headers or {})
        if key is not None:
            sent.setdefault("x-api-key", self.keys[key])
        if csrf is not None and method not in {"GET", "HEAD"}:
            sent.setdefault("X-CSRF-Token", csrf)
        if idempotency is not None:
            sent["Idempotency-Key"] = idempotency
        return self.server.http.request(method, path, headers=sent, **more)

    def get(self, path: str = "", **how: Any) -> httpx.Response:
        """Read a path of the exchanges dialect."""
        return self.call("GET", EXCHANGES + path, **how)

    def post(self, path: str = "", body: Any = None, **how: Any) -> httpx.Response:
        """Write to a path of the exchanges dialect."""
        if body is not None:
            how["json"] = body
        return self.call("POST", EXCHANGES + path, **how)

    def buy_body(self, amount: Any = "2500.00", **changes: Any) -> dict[str, Any]:
        """Return a good body of a buy quote, with changes."""
        good = {
            "sourceFrAccountId": self.ids["FA1"],
            "destinationUtilaWalletId": self.ids["WA1"],
            "sourceAmountEur": amount,
        }
        return {**good, **changes}

    def sell_body(self, amount: Any = "1800", **changes: Any) -> dict[str, Any]:
        """Return a good body of a sell quote, with changes."""
        good = {
            "side": "sell",
            "sourceUtilaWalletId": self.ids["WA1"],
            "destinationFrAccountId": self.ids["FA1"],
            "sourceAmountUsdc": amount,
        }
        return {**good, **changes}

    def buy(self, amount: str = "2500.00", **how: Any) -> str:
        """Quote a buy and return its id."""
        return self.quoted(self.post("/quote", self.buy_body(amount), **how))

    def sell(self, amount: str = "1800", **how: Any) -> str:
        """Quote a sell and return its id."""
        return self.quoted(self.post("/quote", self.sell_body(amount), **how))

    @staticmethod
    def quoted(response: httpx.Response) -> str:
        """Return the id of a quote that must have succeeded."""
        assert response.status_code == 200, response.text
        quote_id: str = response.json()["data"]["quoteId"]
        return quote_id

    def confirm(
        self, quote_id: str, side: str | None = None, *, idempotency: str | None = None, **how: Any
    ) -> httpx.Response:
        """Confirm a quote, with a fresh key unless one is given."""
        body = {"quoteId": quote_id} if side is None else {"quoteId": quote_id, "side": side}
        return self.post("", body, idempotency=idempotency or str(uuid4()), **how)

    def confirmed_buy(self, amount: str = "2500.00") -> str:
        """Quote and confirm a buy; returns its id."""
        order_id = self.buy(amount)
        assert self.confirm(order_id).status_code == 201
        return order_id

    def confirmed_sell(self, amount: str = "1800") -> str:
        """Quote and confirm a sell; returns its id."""
        order_id = self.sell(amount)
        assert self.confirm(order_id, "sell").status_code == 201
        return order_id

    def order(self, order_id: str, **how: Any) -> dict[str, Any]:
        """Return the customer's view of an order."""
        response = self.get(f"/{order_id}", **how)
        assert response.status_code == 200, response.text
        order: dict[str, Any] = response.json()["data"]
        return order

    def status(self, order_id: str) -> str:
        """Return the status that the customer sees."""
        status: str = self.order(order_id)["status"]
        return status

    # -- the operator ----------------------------------------------------------------------------------------------

    def operator(self, method: str, path: str, body: Any = None, **how: Any) -> httpx.Response:
        """Call a path of the operator's or the sandbox's as the operator."""
        headers = {"Authorization": f"Bearer {self.token}", **how.pop("headers", {})}
        if body is not None:
            how["json"] = body
        return self.server.http.request(method, path, headers=headers, **how)

    def act(self, order_id: str, verb: str, body: Any = None) -> httpx.Response:
        """Let the operator do something with an order."""
        return self.operator("POST", f"{ORDERS}/{order_id}/{verb}", body)

    def approve(self, order_id: str, rate: str | None = "1.0838") -> httpx.Response:
        """Approve an order at a rate; None: at the live price."""
        return self.act(order_id, "approve", {} if rate is None else {"rate": rate})

    def reject(self, order_id: str) -> httpx.Response:
        """Reject an order."""
        return self.act(order_id, "reject", {"reason": "as the test wants it"})

    def requote(self, order_id: str, **body: Any) -> httpx.Response:
        """Requote an order."""
        return self.act(order_id, "requote", body)

    def settle_debit(self, order_id: str, outcome: str = "settled") -> httpx.Response:
        """Tell how a debit went."""
        return self.act(order_id, "settle-debit", {"outcome": outcome})

    def detail(self, order_id: str) -> dict[str, Any]:
        """Return all that the operator sees of an order."""
        response = self.operator("GET", f"{ORDERS}/{order_id}")
        assert response.status_code == 200, response.text
        detail: dict[str, Any] = response.json()["data"]
        return detail

    def accounts(self) -> dict[str, dict[str, Any]]:
        """Return the ledger's accounts by id."""
        response = self.operator("GET", "/operator/accounts?limit=100")
        assert response.status_code == 200, response.text
        assert response.json()["meta"]["pagination"]["total"] <= 100
        return {row["id"]: row for row in response.json()["data"]}

    def balances(self) -> tuple[str, str, str, str]:
        """Return E_c, E_t, U_c and U_t of the contract's worked example (4.4)."""
        rows = self.accounts()
        ids = (self.ids["FA1"], treasury("EUR"), self.ids["WA1"], treasury("USDC", "ethereum"))
        eur, treasury_eur, usdc, treasury_usdc = (rows[one]["balance"] for one in ids)
        return eur, treasury_eur, usdc, treasury_usdc

    def held(self) -> dict[str, str]:
        """Return what is held on each account on which something is."""
        return {one: row["held"] for one, row in self.accounts().items() if Decimal(row["held"])}

    def totals(self) -> dict[str, Decimal]:
        """Return how much of each asset tenants and desk have together, and see that nothing is below zero."""
        totals: dict[str, Decimal] = {}
        for row in self.accounts().values():
            if row["purpose"] != "equity":
                assert Decimal(row["available"]) >= 0, row
                totals[row["asset"]] = totals.get(row["asset"], Decimal(0)) + Decimal(row["balance"])
        return totals

    def book(self, kind: str, account_id: str, amount: str) -> httpx.Response:
        """Book a deposit, withdrawal or adjustment."""
        body = {"accountId": account_id, "amount": amount, "reason": "as the test wants it", "reference": str(uuid4())}
        return self.operator("POST", f"/operator/{kind}", body)

    # -- steering --------------------------------------------------------------------------------------------------

    def run_workers(self) -> None:
        """Let the workers do now what they would do in a moment."""
        self.steer("work")

    def steer(self, what: str, **body: Any) -> Any:
        """Steer the sandbox; returns what it answers."""
        response = self.operator("POST", f"/sandbox/{what}", body)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def advance(self, *, seconds: int = 0, milliseconds: int = 0) -> None:
        """Move business time on."""
        self.steer("clock", advanceSeconds=seconds, advanceMs=milliseconds)

    def fault(self, rail: str, mode: str, delay_ms: int = 0) -> None:
        """Let a rail behave so from now on."""
        self.steer("faults", rail=rail, mode=mode, delayMs=delay_ms)

    def price(self, source: str, destination: str, rate: str) -> None:
        """Let the feed see another rate."""
        self.steer("prices", sourceAsset=source, destinationAsset=destination, rate=rate)

    def debits_settle_by_hand(self) -> None:
        """Let debits of later confirms wait until somebody says how they went."""
        self.steer("debit-settlement", mode="manual")


def treasury(asset: str, network: str = "") -> str:
    """Return the id of the desk's own account; the same in every world."""
    found: UUID = desk_account_id(TREASURY, asset, network)
    return str(found)


#: The contract's fixture at the start, as `World.balances` gives it.
START = ("10000.00", "1000000.00", "5000.000000", "1000000.000000")


def run_cli(server: DeskServer, *arguments: str) -> str:
    """Run a command of the program beside a server, on its database and home; returns what it printed."""
    done = forked.run(*arguments, cwd=ROOT, env={**server.environ, "DESK_LOG_LEVEL": "error"}, seconds_max=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lane_of(world: World) -> int:
    """Return the number of a world's lane."""

    async def look() -> int:
        connection = await asyncpg.connect(world.server.environ["DATABASE_URL"])
        try:
            number: int = await connection.fetchval("select lane from lanes where name = $1", world.id)
            return number
        finally:
            await connection.close()

    return run_apart(look())

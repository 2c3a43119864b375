"""A receiver for people: registers itself with a running desk, checks every message, tells it, and takes itself away.

It is on the other side of the wire: all that it knows of the desk it has over HTTP, as any receiver does.
"""

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import httpx
import msgspec
from aiohttp import web

from otcdesk.errors import Code
from otcdesk.webhooks.captures import CaptureUnreadable, public_keys, secret_key
from otcdesk.webhooks.envelope import Captured, CheckingKey, Envelope, SignatureInvalid
from otcdesk.webhooks.messages import Glance, glance

T = TypeVar("T")

HOST: Final = "127.0.0.1"

#: By this a listener knows the webhook that one before it left behind when it was killed.
DESCRIPTION: Final = "otcdesk hooks listen"

_SECONDS_MAX: Final = 10
#: So many event ids are remembered in order to tell a message that comes again.
_REMEMBERED_MAX: Final = 100_000
_PAGE: Final = 100


class DeskRefused(Exception):
    """The desk cannot be reached or does not do what is asked; the message is a sentence for people."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to listen to: the envelope, for whom (None: the desk itself), and event types (none: all that there are)."""

    envelope: Envelope
    tenant_id: str | None = None
    event_types: Sequence[str] = ()


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A message that came: what it says, and whether its signature fits; `proof` is a sentence about that."""

    at: datetime
    glance: Glance
    verified: bool
    proof: str
    duplicate: bool
    body: bytes


class _Webhook(msgspec.Struct):
    id: str
    url: str
    envelope: str
    description: str | None
    signingSecret: str | None = None  # noqa: N815  (wire name)


class _Deleted(msgspec.Struct):
    id: str


class _Type(msgspec.Struct):
    name: str
    visibleTo: list[str]  # noqa: N815


class _EnvelopeTypes(msgspec.Struct):
    name: str
    eventTypes: list[str]  # noqa: N815


class _EventTypes(msgspec.Struct):
    eventTypes: list[_Type]  # noqa: N815
    envelopes: list[_EnvelopeTypes]


class OperatorCalls:
    """The few calls to a desk that a listener makes, with an operator's token."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, token: str) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._token = token

    @classmethod
    @asynccontextmanager
    async def opened(cls, base_url: str, token: str) -> AsyncIterator["OperatorCalls"]:
        """Give the calls while the context lasts."""
        async with httpx.AsyncClient(timeout=_SECONDS_MAX, trust_env=False) as client:
            yield cls(client, base_url, token)

    async def register(self, wanted: Wanted, url: str) -> tuple[str, list[CheckingKey]]:
        """Make a webhook; returns its id and what its signatures are checked with.

        One for the same URL that a listener left behind is replaced. Raises DeskRefused.
        """
        types = list(wanted.event_types) or await self._all_types(wanted)
        body = {"url": url, "eventTypes": types, "envelope": wanted.envelope.name, "description": DESCRIPTION}
        if wanted.tenant_id is not None:
            body["tenantId"] = wanted.tenant_id
        await self._remove_left(url, wanted.envelope.name)
        made = await self._ask("POST", "/operator/webhooks", _Webhook, body)
        if made.signingSecret is not None:
            return made.id, [secret_key(made.signingSecret.encode())]
        try:
            return made.id, await self._published(wanted.envelope.name)
        except DeskRefused:
            await self.remove(made.id)
            raise

    async def remove(self, webhook_id: str) -> None:
        """Delete a webhook; one that is gone already is no matter. Raises DeskRefused."""
        answer = await self._call("DELETE", f"/operator/webhooks/{webhook_id}", None)
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._read(answer, _Deleted)

    async def _all_types(self, wanted: Wanted) -> list[str]:
        """Return all that an envelope can be told, for a tenant without what only the operator hears."""
        told = await self._ask("GET", "/operator/event-types", _EventTypes)
        hearer = "operator" if wanted.tenant_id is None else "tenant"
        closed = {kind.name for kind in told.eventTypes if hearer not in kind.visibleTo}
        types = [name for one in told.envelopes if one.name == wanted.envelope.name for name in one.eventTypes]
        return [name for name in types if name not in closed]

    async def _remove_left(self, url: str, envelope: str) -> None:
        for one in await self._ask("GET", f"/operator/webhooks?limit={_PAGE}", list[_Webhook]):
            if (one.url, one.envelope, one.description) == (url, envelope, DESCRIPTION):
                await self.remove(one.id)

    async def _published(self, envelope: str) -> list[CheckingKey]:
        answer = await self._call("GET", "/webhooks/keys", None)
        if answer.status_code != httpx.codes.OK:
            raise DeskRefused(f"The desk at {self._base_url} does not publish its keys.")
        try:
            return public_keys(answer.content, envelope)
        except CaptureUnreadable as unreadable:
            raise DeskRefused(str(unreadable)) from None

    async def _ask(self, method: str, path: str, kind: type[T], body: Mapping[str, Any] | None = None) -> T:
        return self._read(await self._call(method, path, body), kind)

    def _read(self, answer: httpx.Response, kind: type[T]) -> T:
        try:
            if not answer.is_success:
                raise DeskRefused(self._refusal(answer))
            return msgspec.convert(msgspec.json.decode(answer.content)["data"], kind)
        except (msgspec.MsgspecError, LookupError, TypeError, UnicodeDecodeError):
            raise DeskRefused(f"What answers at {self._base_url} is no desk, or not one of this version.") from None

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            return await self._client.request(method, self._base_url + path, headers=headers, json=body)
        except (httpx.HTTPError, httpx.InvalidURL):
            raise DeskRefused(f"No desk answers at {self._base_url}.") from None

    def _refusal(self, answer: httpx.Response) -> str:
        error = msgspec.json.decode(answer.content)["error"]
        word, message = error["code"], error["message"]
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            return f"The desk at {self._base_url} does not take the token: {message}"
        # The URL is good as such, so if it is called bad it is for being http, or of this machine.
        if word == "WEBHOOK_URL_NOT_ALLOWED" or message == Code.SUBSCRIPTION_URL_INVALID.sentence:
            return "The desk does not post to this machine; DESK_WEBHOOKS_LOCAL=true lets it, for sandboxes."
        return f"The desk refuses: {message}"


def open_port(port: int) -> socket.socket:
    """Open a port of this machine, any free one for 0; raises OSError."""
    return socket.create_server((HOST, port))


class Listener:
    """Answers what is posted to one path of an open port, and tells every message."""

    def __init__(self, envelope: Envelope, path: str, *, answer: int, tell: Callable[[Arrived], None]) -> None:
        self._envelope = envelope
        self._path = path
        self._answer = answer
        self._tell = tell
        self._keys: Sequence[CheckingKey] = ()
        self._known: dict[str, None] = {}

    @asynccontextmanager
    async def listening(self, opened: socket.socket) -> AsyncIterator[None]:
        """Take what comes while the context lasts."""
        runner = web.ServerRunner(web.Server(self._receive))
        await runner.setup()
        try:
            await web.SockSite(runner, opened).start()
            yield
        finally:
            await runner.cleanup()

    def check_with(self, keys: Sequence[CheckingKey]) -> None:
        """Check what comes from now on with these keys."""
        self._keys = keys

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path.partition("?")[0] != self._path:
            return web.Response(status=404)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        captured = Captured(
            method=request.method,
            url=f"http://{request.host}{request.raw_path}",
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        self._tell(self._arrived(captured))
        return web.Response(status=self._answer)

    def _arrived(self, captured: Captured) -> Arrived:
        now = datetime.now(UTC)
        try:
            verified, proof = True, self._envelope.check(captured, self._keys, now)
        except SignatureInvalid as invalid:
            verified, proof = False, str(invalid)
        seen = glance(self._envelope.name, captured)
        return Arrived(
            at=now,
            glance=seen,
            verified=verified,
            proof=proof,
            duplicate=verified and self._again(seen.event_id),
            body=captured.body,
        )

    def _again(self, event_id: str | None) -> bool:
        if event_id is None:
            return False
        again = event_id in self._known
        if len(self._known) >= _REMEMBERED_MAX:
            self._known.clear()
        self._known[event_id] = None
        return again

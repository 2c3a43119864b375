"""Who a bearer is, and the two endpoints that give bearer tokens (contract 2).

A token says in nine claims which client calls, and as which supervisor of which node. It is good as long as it says
what would be signed for that client now: when a supervisor is disabled or gets another role, or a client is revoked,
its tokens are dead within the time for which a client is believed unread. A token whose signature was verified is known
again, so that it costs no more than looking it up; its time is looked at each time, by the machine's clock.
"""

import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from msgspec import Meta

from otcdesk.api.auth import bearer_of
from otcdesk.api.believed import Believed
from otcdesk.api.deals.callers import DealsCaller
from otcdesk.api.deals.values import id_text, invalid, time_text
from otcdesk.api.dialect import Call
from otcdesk.api.http import Request, check_content_type, decode_body
from otcdesk.api.token_reuse import report_reuse
from otcdesk.api.wire import canonical_uuid
from otcdesk.clock import Clock
from otcdesk.credentials import CLIENT, DEALS_SCOPE, Credential
from otcdesk.errors import Code, Refusal
from otcdesk.secret_files import KeyUnusable, load_or_make_key, read_private
from otcdesk.supervisors import Standing, Supervisors
from otcdesk.tokens import Reused

T = TypeVar("T")

#: How long a refresh token can be used (contract 2.2).
REFRESH_SECONDS: Final = 7 * 86_400

_ALGORITHM: Final = "HS256"
_KEY_BYTES_MIN: Final = 32

#: No token that is made here is longer; one that is, is read by nobody.
_TOKEN_LENGTH_MAX: Final = 4_096
#: How many tokens are known without verifying them again; those that were not used for longest are forgotten first.
_KNOWN_MAX: Final = 10_000

# Headers that stand for an empty body (contract 2.2).
_API_KEY: Final = "api-key"
_API_SECRET: Final = "api-secret"  # noqa: S105  (the name of a header)

#: How the document of the dialect says them.
HEADERS: Final = {
    "Api-Key": {"type": "string", "format": "uuid", "description": "The client's id, where there is no body."},
    "Api-Secret": {"type": "string", "description": "The client's secret, where there is no body."},
}


def signing_key(home: Path, file: str) -> bytes:
    """Return the key that signs tokens: the text of a file, or of the home's own, made at its first use.

    Raises KeyUnusable for a file that others can read, that is no text, or whose key is shorter than 32 bytes.
    """
    if not file:
        return load_or_make_key(home, "deals.key").hex().encode()
    try:
        key = read_private(Path(file)).strip().encode()
    except UnicodeDecodeError:
        raise KeyUnusable(f"{file} is not UTF-8 text") from None
    if len(key) < _KEY_BYTES_MIN:
        raise KeyUnusable(f"{file} has a key of {len(key)} bytes: at least {_KEY_BYTES_MIN} are needed")
    return key


class Claims(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "client_id": "clientID",
        "supervisor_email": "supervisorEmail",
        "supervisor_id": "supervisorID",
        "node_id": "supervisorNodeID",
        "node_number": "supervisorNodeIntID",
        "node_path": "supervisorNodePath",
        "role_id": "supervisorRoleID",
        "role_priority": "supervisorRolePriority",
    },
):
    """What a token says (contract 2.1); `expiration` in Unix seconds."""

    client_id: str
    expiration: int
    supervisor_email: str
    supervisor_id: str
    node_id: str
    node_number: int
    node_path: str
    role_id: str
    role_priority: int


class _Verified(NamedTuple):
    """What a token says that we have signed: for which client, until when, and all else with the time left out."""

    client_id: UUID
    expiration: int
    claims: Claims


class _Known(NamedTuple):
    """A client as it is now: what its tokens must say, and who it is as a caller."""

    claims: Claims
    caller: DealsCaller


class Signed(NamedTuple):
    """A fresh token, and until when it is good."""

    token: str
    expires_at: datetime


class Bearers:
    """Signs tokens, and turns bearers of them into callers; implements `Recognizes`."""

    def __init__(
        self, key: bytes, supervisors: Supervisors, clock: Clock, *, cache_ms: int, lasts_seconds: int
    ) -> None:
        self._key = OctKey.import_key(key)
        self._supervisors = supervisors
        self._clock = clock
        self.lasts_seconds = lasts_seconds
        self._clients = Believed(self._look_up, cache_ms)
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    async def caller(self, request: Request) -> DealsCaller:
        """Return as whom a request comes; refuses UNAUTHENTICATED."""
        token = bearer_of(request)
        verified = self._verified.get(token)
        if verified is None:
            verified = self._verify(token)
        else:
            self._verified.move_to_end(token)
        if verified.expiration <= self._clock.now().timestamp():
            raise Refusal(Code.UNAUTHENTICATED)
        known = await self._clients.find(verified.client_id)
        if known is None or known.claims != verified.claims:
            raise Refusal(Code.UNAUTHENTICATED)
        return known.caller

    def _verify(self, token: str) -> _Verified:
        """Return what a token says, once its signature is found good; refuses UNAUTHENTICATED."""
        if not token or len(token) > _TOKEN_LENGTH_MAX or not token.isascii():
            raise Refusal(Code.UNAUTHENTICATED)
        try:
            payload = jws.deserialize_compact(token, self._key, algorithms=[_ALGORITHM]).payload
            claims = decode_body(payload, Claims)
            client_id = canonical_uuid(claims.client_id)
        except (JoseError, Refusal, AttributeError, KeyError, TypeError, ValueError):
            raise Refusal(Code.UNAUTHENTICATED) from None
        verified = _Verified(client_id, claims.expiration, msgspec.structs.replace(claims, expiration=0))
        self._verified[token] = verified
        if len(self._verified) > _KNOWN_MAX:
            self._verified.popitem(last=False)
        return verified

    async def _look_up(self, client_id: UUID) -> _Known | None:
        standing = await self._supervisors.standing(client_id)
        return None if standing is None else _Known(claims_of(standing, 0), caller_of(standing))

    async def standing(self, client: Credential) -> Standing | None:
        """Return as whom a client calls now."""
        return await self._supervisors.standing(client.id)

    def sign(self, standing: Standing) -> Signed:
        """Return a token for a client."""
        expiration = int(self._clock.now().timestamp()) + self.lasts_seconds
        payload = msgspec.json.encode(claims_of(standing, expiration))
        token = jws.serialize_compact({"alg": _ALGORITHM, "typ": "JWT"}, payload, self._key)
        return Signed(token, datetime.fromtimestamp(expiration, UTC))


def claims_of(standing: Standing, expiration: int) -> Claims:
    """Return what a client's tokens say."""
    return Claims(
        client_id=str(standing.client_id),
        expiration=expiration,
        supervisor_email=standing.email,
        supervisor_id=id_text(standing.supervisor_id),
        node_id=id_text(standing.branch_id),
        node_number=standing.branch_number,
        node_path=standing.path,
        role_id=id_text(standing.role_id),
        role_priority=standing.priority,
    )


def caller_of(standing: Standing) -> DealsCaller:
    """Return who a client is as a caller; the audit chain knows it with its supervisor."""
    return DealsCaller(
        lane=standing.lane,
        owner_id=standing.tenant_id,
        name=f"{CLIENT}:{standing.client_name} as {id_text(standing.supervisor_id)}",
        kind=CLIENT,
        scopes=frozenset({DEALS_SCOPE}),
        client_id=standing.client_id,
        supervisor_id=standing.supervisor_id,
        branch_id=standing.branch_id,
        path=standing.path,
        permissions=standing.permissions,
    )


# -- the endpoints -----------------------------------------------------------------------------------------------------


class AuthenticateRequest(msgspec.Struct, kw_only=True):
    """A client's id and secret; without any body the headers `Api-Key` and `Api-Secret` stand for them."""

    api_key: Annotated[str | None, Meta(description="The client's id.")] = None
    secret_key: str | None = None


class RefreshRequest(msgspec.Struct, kw_only=True):
    """A refresh token, which is good once."""

    refresh_token: str | None = None


class TokenPair(msgspec.Struct, kw_only=True):
    """A bearer token, how long and until when it is good, and the refresh token that buys the next pair."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    expires_at: str


async def authenticate(call: Call) -> TokenPair:
    """Give a first pair of tokens for a client's secret."""
    async with _counted(call):
        api_key, secret = await _given(call)
        client = await _open_for(call, api_key)
        if not api_key or not secret:
            raise invalid("api_key and secret_key are required")
        found = await call.services.credentials.find(secret)
        if client is None or found is None or found.id != client.id:
            raise Refusal(Code.UNAUTHENTICATED)
        standing = await _proved(call, client)
        refresh_token = _new_refresh_token()
        await call.services.refresh_tokens.keep(client, refresh_token)
        return _answer(call, standing, refresh_token)


async def refresh(call: Call) -> TokenPair:
    """Give the next pair for a refresh token; a second use of one is told to the audit chain."""
    async with _counted(call):
        given = (await _body(call, RefreshRequest) or RefreshRequest()).refresh_token
        client_id = await call.services.refresh_tokens.client_of(given) if given else None
        client = await _open_for(call, None if client_id is None else str(client_id))
        if not given:
            raise invalid("refresh_token is required")
        if client is None:
            raise Refusal(Code.UNAUTHENTICATED)
        return await _replaced(call, client, given)


async def _replaced(call: Call, client: Credential, refresh_token: str) -> TokenPair:
    """Return the pair that a client's token buys; refuses UNAUTHENTICATED, RATE_LIMITED."""
    tokens, successor = call.services.refresh_tokens, _new_refresh_token()
    try:
        await tokens.check_live(client, refresh_token)
        standing = await _proved(call, client)
        await tokens.replace(client, refresh_token, successor)
    except Reused as reused:
        await report_reuse(call.desk, tokens, reused, call.request.id)
        raise Refusal(Code.UNAUTHENTICATED) from None
    except Refusal as refusal:
        if refusal.code in {Code.REFRESH_TOKEN_DEAD, Code.REFRESH_TOKEN_UNKNOWN}:
            raise Refusal(Code.UNAUTHENTICATED) from None
        raise
    return _answer(call, standing, successor)


async def _proved(call: Call, client: Credential) -> Standing:
    """Note that a request is its client's, and count it; refuses UNAUTHENTICATED for one that calls as nobody now.

    Refuses RATE_LIMITED.
    """
    standing: Standing | None = await call.services.bearers.standing(client)
    if standing is None:
        raise Refusal(Code.UNAUTHENTICATED)
    call.caller = caller_of(standing)
    call.services.limit.count(client.lane, client.id.bytes)
    return standing


def _new_refresh_token() -> str:
    return secrets.token_urlsafe(32)


def _answer(call: Call, standing: Standing, refresh_token: str) -> TokenPair:
    signed = call.services.bearers.sign(standing)
    return TokenPair(
        access_token=signed.token,
        refresh_token=refresh_token,
        token_type="Bearer",  # noqa: S106
        expires_in=call.services.bearers.lasts_seconds,
        expires_at=time_text(signed.expires_at),
    )


@asynccontextmanager
async def _counted(call: Call) -> AsyncIterator[None]:
    """Let what is refused before a client has proved who it is count for the address it comes from (RATE_LIMITED).

    So a stranger who knows a client's id cannot use up its limit.
    """
    try:
        yield
    except Refusal:
        if call.caller.client_id is None:
            call.services.limit.count(0, b"address\n" + call.request.client_address.encode())
        raise


async def _open_for(call: Call, client_id: str | None) -> Credential | None:
    """Return the client of this id, None for a stranger, to whom it is closed while every live lane is.

    Refuses MAINTENANCE.
    """
    try:
        client: Credential | None = await call.services.credentials.client(canonical_uuid(client_id or ""), DEALS_SCOPE)
    except ValueError:
        client = None
    await call.services.maintenance.check("deals", None if client is None else client.lane)
    return client


async def _given(call: Call) -> tuple[str | None, str | None]:
    """Return the id and secret of a body, or of the headers if there is none; refuses as `_body` does."""
    body = await _body(call, AuthenticateRequest)
    if body is None:
        return call.request.header(_API_KEY), call.request.header(_API_SECRET)
    return body.api_key, body.secret_key


async def _body(call: Call, kind: type[T]) -> T | None:
    """Read a body as a `kind`, None if it is empty; refuses what every dialect does, but MAINTENANCE before."""
    try:
        raw = await call.request.body(seconds_max=call.desk.settings.body_seconds_max)
        if not raw:
            return None
        check_content_type(call.request)
        return decode_body(raw, kind)
    except Refusal:
        await _open_for(call, None)
        raise

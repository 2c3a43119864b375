"""The two token endpoints, and who a bearer is (contract 2).

A client is looked up by its id and believed for a fraction of a second, so that with its revocation, and with the end
of its lane, its access tokens are dead within that time in every process.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.api.auth import bearer_of
from otcdesk.api.believed import Believed
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer, Request
from otcdesk.api.limits import RateLimit
from otcdesk.api.maintenance import Maintenance
from otcdesk.api.offers.listings import Listings
from otcdesk.api.token_reuse import client_caller, report_reuse
from otcdesk.api.wire import canonical_uuid
from otcdesk.credentials import OFFERS_SCOPE, Credential, Credentials
from otcdesk.desk import Caller
from otcdesk.errors import Code, Refusal
from otcdesk.tokens import ACCESS_SECONDS, Reused, TokenPair, Tokens

CLIENT_CREDENTIALS = "client_credentials"
REFRESH_TOKEN = "refresh_token"  # noqa: S105  (the name of a grant)


class TokenRequest(msgspec.Struct, kw_only=True):
    """A request for a pair of tokens. What it needs depends on the grant; what is missing is told by name."""

    grant_type: Literal["client_credentials", "refresh_token"] | None = None
    client_id: str | None = None
    client_secret: Annotated[str | None, Meta(description="Required for `client_credentials`.")] = None
    refresh_token: Annotated[str | None, Meta(description="Required for `refresh_token`.")] = None


class RevokeRequest(msgspec.Struct, kw_only=True):
    """A request to end a refresh token."""

    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None


class TokenAnswer(msgspec.Struct, kw_only=True):
    """A pair of tokens; `expires_in` counts the seconds of the access token."""

    token_type: Literal["Bearer"]
    expires_in: int
    access_token: str
    refresh_token: str


class Clients:
    """Turns bearer tokens and secrets into clients of partners; implements `Recognizes`."""

    def __init__(self, credentials: Credentials, tokens: Tokens, cache_ms: int) -> None:
        self._credentials = credentials
        self._tokens = tokens
        self._callers = Believed(self._caller_of, cache_ms)

    async def caller(self, request: Request) -> Caller:
        """Return whose access token a request bears; refuses UNAUTHENTICATED."""
        caller = await self._callers.find(self._tokens.claims(bearer_of(request)).sub)
        if caller is None:
            raise Refusal(Code.UNAUTHENTICATED)
        return caller

    async def _caller_of(self, client_id: UUID) -> Caller | None:
        client = await self._credentials.client(client_id, OFFERS_SCOPE)
        return None if client is None else client_caller(client)

    async def named(self, client_id: str) -> Credential | None:
        """Return the client of this id as it is now."""
        try:
            return await self._credentials.client(canonical_uuid(client_id), OFFERS_SCOPE)
        except ValueError:
            return None

    async def has_secret(self, client: Credential, secret: str) -> bool:
        """Tell whether a secret is the client's, by its hash."""
        found = await self._credentials.find(secret)
        return found is not None and found.id == client.id


class _Named(msgspec.Struct):
    """Whose a body is that is wrong in another place."""

    client_id: Any = None


class OffersServices(msgspec.Struct, frozen=True, kw_only=True):
    """What handlers of this dialect use beside the desk."""

    clients: Clients
    tokens: Tokens
    listings: Listings
    limit: RateLimit
    maintenance: Maintenance


async def issue_tokens(call: Call) -> Answer:
    """Grant a pair of tokens."""
    async with _asking(call) as client:
        _check_given(call.body, "grant_type", "client_id", *_NEEDED.get(call.body.grant_type, ()))
        return token_answer(await _GRANTS[call.body.grant_type](call, client))


async def revoke_token(call: Call) -> Answer:
    """End a refresh token; access tokens that it has bought live on."""
    async with _asking(call) as client:
        _check_given(call.body, "client_id", "client_secret", "refresh_token")
        await call.services.tokens.revoke(await _with_secret(call, client), call.body.refresh_token)
        return Answer(200, b"")


async def _by_secret(call: Call, client: Credential | None) -> TokenPair:
    pair: TokenPair = await call.services.tokens.issue(await _with_secret(call, client))
    return pair


async def _by_refresh_token(call: Call, client: Credential | None) -> TokenPair:
    """Rotate; the first use of a token that was spent before is told to the audit chain."""
    try:
        proved = await _with_refresh_token(call, client)
        pair: TokenPair = await call.services.tokens.rotate(proved, call.body.refresh_token)
    except Reused as reused:
        await report_reuse(call.desk, call.services.tokens, reused, call.request.id)
        raise Refusal(Code.REFRESH_TOKEN_DEAD) from None
    return pair


_GRANTS = {CLIENT_CREDENTIALS: _by_secret, REFRESH_TOKEN: _by_refresh_token}

#: What a request needs beside its grant and its client.
_NEEDED = {CLIENT_CREDENTIALS: ("client_secret",), REFRESH_TOKEN: ("refresh_token",)}


def _check_given(body: TokenRequest | RevokeRequest, *fields: str) -> None:
    """Refuse GRANT_INVALID for fields that are missing, null or empty."""
    missing = [field for field in fields if not getattr(body, field)]
    if missing:
        raise Refusal(Code.GRANT_INVALID, missing_fields=missing)


@asynccontextmanager
async def _asking(call: Call) -> AsyncIterator[Credential | None]:
    """Give the client that a body names, None for nobody, once it is known that the dialect is open for it.

    Refuses MAINTENANCE before anything else. Until a client has proved who it is, with its secret or a refresh token
    that lives, what is refused counts for the address that it comes from (RATE_LIMITED): a stranger who knows a
    client's id cannot use up its limit.
    """
    client = await _open_for(call.services, call.body.client_id)
    try:
        yield client
    except Refusal:
        if call.caller.client_id is None:
            _count_for_address(call.services, call.request)
        raise


async def refuse_unread(services: OffersServices, request: Request, raw: bytes) -> None:
    """Refuse what comes before a mistake in the body of a request for tokens: MAINTENANCE, RATE_LIMITED."""
    try:
        named = msgspec.json.decode(raw, type=_Named).client_id
    except (msgspec.DecodeError, ValueError, RecursionError):
        named = None
    await _open_for(services, named if isinstance(named, str) else None)
    _count_for_address(services, request)


async def _open_for(services: OffersServices, client_id: str | None) -> Credential | None:
    """Return the client of this id, None for a stranger, to whom it is closed while every live lane is.

    Refuses MAINTENANCE.
    """
    client = await services.clients.named(client_id or "")
    await services.maintenance.check("offers", None if client is None else client.lane)
    return client


def _count_for_address(services: OffersServices, request: Request) -> None:
    services.limit.count(0, b"address\n" + request.client_address.encode())


def _prove(call: Call, client: Credential) -> None:
    """Note that a request is its client's, and count it; refuses RATE_LIMITED."""
    call.caller = client_caller(client)
    call.services.limit.count(client.lane, client.id.bytes)


async def _with_secret(call: Call, client: Credential | None) -> Credential:
    """Return the client, which the secret proves; refuses CLIENT_INVALID, RATE_LIMITED."""
    if client is None or not await call.services.clients.has_secret(client, call.body.client_secret):
        raise Refusal(Code.CLIENT_INVALID)
    _prove(call, client)
    return client


async def _with_refresh_token(call: Call, client: Credential | None) -> Credential:
    """Return the client, which a live refresh token proves, or a secret if there is one as well.

    Refuses CLIENT_INVALID, REFRESH_TOKEN_UNKNOWN, REFRESH_TOKEN_DEAD, RATE_LIMITED; raises Reused.
    """
    if client is None:
        raise Refusal(Code.CLIENT_INVALID)
    if call.body.client_secret is not None:
        return await _with_secret(call, client)
    await call.services.tokens.check_live(client, call.body.refresh_token)
    _prove(call, client)
    return client


def token_answer(pair: TokenPair) -> Answer:
    """Render a pair of tokens, which this contract does not wrap."""
    return Answer(
        200,
        TokenAnswer(
            token_type="Bearer",  # noqa: S106
            expires_in=ACCESS_SECONDS,
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
        ),
    )

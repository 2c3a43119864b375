"""The two token endpoints, and who a bearer is (contract 2).

A client is looked up by its id and believed for a fraction of a second, so that with its revocation, and with the end
of its lane, its access tokens are dead within that time in every process.
"""

import time
from collections import OrderedDict
from typing import Literal
from uuid import UUID

import msgspec
import structlog

from otcdesk.actions.report_token_reuse import ReportTokenReuse
from otcdesk.api.auth import bearer_of
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer, Request
from otcdesk.api.limits import RateLimit
from otcdesk.api.maintenance import Maintenance
from otcdesk.api.offers.listings import Listings
from otcdesk.api.wire import canonical_uuid
from otcdesk.credentials import CLIENT, Credential, Credentials
from otcdesk.desk import Caller
from otcdesk.errors import Code, Refusal
from otcdesk.tokens import ACCESS_SECONDS, Reused, TokenPair, Tokens

log = structlog.get_logger()

#: How many looked-up clients are believed at once; the oldest are forgotten first.
_CACHED_MAX = 10_000

_NS_PER_MS = 1_000_000

CLIENT_CREDENTIALS = "client_credentials"
REFRESH_TOKEN = "refresh_token"  # noqa: S105  (the name of a grant)


class TokenRequest(msgspec.Struct, kw_only=True):
    """A request for a pair of tokens. What it needs depends on the grant; what is missing is told by name."""

    grant_type: Literal["client_credentials", "refresh_token"] | None = None
    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None


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
        self._cache_ns = cache_ms * _NS_PER_MS
        #: What was found and when, by a clock that nobody sets back: a revoked client must stay dead.
        self._cache: OrderedDict[UUID, tuple[int, Caller | None]] = OrderedDict()

    async def caller(self, request: Request) -> Caller:
        """Return whose access token a request bears; refuses UNAUTHENTICATED."""
        claims = self._tokens.claims(bearer_of(request))
        known, now = self._cache.get(claims.sub), time.monotonic_ns()
        if known is None or now - known[0] >= self._cache_ns:
            client = await self._credentials.client(claims.sub)
            known = now, None if client is None else caller_of(client)
            self._cache[claims.sub] = known
            self._cache.move_to_end(claims.sub)
            if len(self._cache) > _CACHED_MAX:
                self._cache.popitem(last=False)
        if known[1] is None:
            raise Refusal(Code.UNAUTHENTICATED)
        return known[1]

    async def named(self, client_id: str) -> Credential | None:
        """Return the client of this id as it is now."""
        try:
            return await self._credentials.client(canonical_uuid(client_id))
        except ValueError:
            return None

    async def has_secret(self, client: Credential, secret: str) -> bool:
        """Tell whether a secret is the client's, by its hash."""
        found = await self._credentials.find(secret)
        return found is not None and found.id == client.id


class OffersServices(msgspec.Struct, frozen=True, kw_only=True):
    """What handlers of this dialect use beside the desk."""

    clients: Clients
    tokens: Tokens
    listings: Listings
    limit: RateLimit
    maintenance: Maintenance


def caller_of(client: Credential) -> Caller:
    """Return who a client is as a caller."""
    return Caller(
        lane=client.lane,
        owner_id=client.owner_id,
        name=f"{CLIENT}:{client.name}",
        kind=CLIENT,
        scopes=frozenset(client.scopes),
    )


async def issue_tokens(call: Call) -> Answer:
    """Grant a pair of tokens."""
    _check_given(call.body, "grant_type", "client_id")
    return token_answer(await _GRANTS[call.body.grant_type](call))


async def revoke_token(call: Call) -> Answer:
    """End a refresh token; access tokens that it has bought live on."""
    _check_given(call.body, "client_id", "client_secret", "refresh_token")
    client = await _client(call, call.body.client_secret)
    await call.services.tokens.revoke(client, call.body.refresh_token)
    return Answer(200, b"")


async def _by_secret(call: Call) -> TokenPair:
    _check_given(call.body, "client_secret")
    pair: TokenPair = await call.services.tokens.issue(await _client(call, call.body.client_secret))
    return pair


async def _by_refresh_token(call: Call) -> TokenPair:
    """Rotate; a token that was spent before is told to the audit chain, whose refusal is the answer."""
    _check_given(call.body, "refresh_token")
    client = await _client(call, call.body.client_secret)
    try:
        pair: TokenPair = await call.services.tokens.rotate(client, call.body.refresh_token)
    except Reused as reused:
        log.warning("refresh_token_reused", client_id=str(client.id), issued_at=reused.issued_at.isoformat())
        call.caller = caller_of(client)
        await call.submit(ReportTokenReuse(credential_id=client.id, issued_at=reused.issued_at))
        raise AssertionError("a report of a reused token is always refused") from reused
    return pair


_GRANTS = {CLIENT_CREDENTIALS: _by_secret, REFRESH_TOKEN: _by_refresh_token}


def _check_given(body: TokenRequest | RevokeRequest, *fields: str) -> None:
    """Refuse GRANT_INVALID for fields that are missing, null or empty."""
    missing = [field for field in fields if not getattr(body, field)]
    if missing:
        raise Refusal(Code.GRANT_INVALID, missing_fields=missing)


async def _client(call: Call, secret: str | None) -> Credential:
    """Return the client that a body names, if its secret is right, where one is given.

    Refuses MAINTENANCE, RATE_LIMITED, CLIENT_INVALID. A client's requests count for the client, and those that name
    none, or give a wrong secret, for the address that they come from.
    """
    services, address = call.services, call.request.client_address.encode()
    client: Credential | None = await services.clients.named(call.body.client_id)
    await services.maintenance.check("offers", None if client is None else client.lane)
    if client is not None:
        services.limit.count(client.lane, b"token\n" + client.id.bytes)
        if secret is None or await services.clients.has_secret(client, secret):
            return client
    services.limit.count(0, b"address\n" + address)
    raise Refusal(Code.CLIENT_INVALID)


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

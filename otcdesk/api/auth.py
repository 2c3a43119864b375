"""Who asks: an API key, an operator token, or a session.

Keys and tokens are looked up by their hash and believed for a fraction of a second, so that a revoked one is dead
within a second in every process of every host, without any of them being told. Sessions are JWTs (HS256) that this
program signs for a tenant's logged-in user.
"""

import ipaddress
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from otcdesk.api.believed import Believed
from otcdesk.api.http import Request
from otcdesk.api.wire import KEPT_TEXT
from otcdesk.clock import Clock
from otcdesk.credentials import API_KEY, BEARERS, SCOPES, Credential, Credentials, hash_of, may_come_from
from otcdesk.desk import Caller
from otcdesk.errors import Code, Refusal

_BEARER = "bearer "
_JWT_PARTS = 3
_ALGORITHM = "HS256"


class _Claims(msgspec.Struct, kw_only=True):
    """What a session says; a token that says it in other types is none, whoever signed it."""

    sub: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=KEPT_TEXT)]
    customer_id: UUID
    lane: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    scopes: list[str] | None = None
    csrf: str = ""
    exp: int
    aud: None = None  # a token that is for somebody is another kind, though the same key has signed it


class Sessions:
    """Signs and reads session tokens."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = OctKey.import_key(key)
        self.clock = clock

    def sign(
        self, *, lane: int, tenant_id: UUID, user: str, scopes: list[str], csrf_token: str, lasts: timedelta
    ) -> str:
        """Return a token for a tenant's user."""
        expires_at = self.clock.now() + lasts
        claims = {
            "sub": user,
            "customer_id": str(tenant_id),
            "lane": lane,
            "scopes": scopes,
            "csrf": csrf_token,
            "exp": int(expires_at.timestamp()),
        }
        return jwt.encode({"alg": _ALGORITHM}, claims, self._key)

    def caller(self, token: str) -> Caller:
        """Return who a token stands for; refuses UNAUTHENTICATED for one that is not ours or has run out."""
        try:
            decoded = jwt.decode(token, self._key, algorithms=[_ALGORITHM])
            claims = msgspec.convert(decoded.claims, _Claims)
        except (JoseError, KeyError, TypeError, ValueError, msgspec.ValidationError):
            raise Refusal(Code.UNAUTHENTICATED) from None
        if claims.exp <= self.clock.now().timestamp():
            raise Refusal(Code.UNAUTHENTICATED)
        allowed = SCOPES[API_KEY] if claims.scopes is None else SCOPES[API_KEY].intersection(claims.scopes)
        return Caller(
            lane=claims.lane,
            owner_id=claims.customer_id,
            name=f"session:{claims.sub}",
            kind="session",
            scopes=frozenset(allowed),
            csrf_token=claims.csrf,
        )


class Authenticator:
    """Turns a request's credential into a caller."""

    def __init__(self, credentials: Credentials, sessions: Sessions, clock: Clock, cache_ms: int) -> None:
        self.credentials = credentials
        self.sessions = sessions
        self.clock = clock
        self._by_hash = Believed(self._of_hash, cache_ms)
        self._open_lanes = Believed(credentials.lane_is_open, cache_ms)

    async def caller(self, request: Request) -> Caller:
        """Return who asks; refuses UNAUTHENTICATED, CREDENTIAL_EXPIRED, SOURCE_ADDRESS_DENIED."""
        secret = request.header("x-api-key") or bearer_of(request)
        if not secret:
            raise Refusal(Code.UNAUTHENTICATED)
        if secret.count(".") == _JWT_PARTS - 1 and not secret.startswith("sk_"):
            return await self._of_open_lane(self.sessions.caller(secret))
        found = await self._by_hash.find(hash_of(secret))
        if found is None:
            raise Refusal(Code.UNAUTHENTICATED)
        credential, caller = found
        if credential.expires_at is not None and self.clock.now() >= credential.expires_at:
            raise Refusal(Code.CREDENTIAL_EXPIRED)
        if credential.source_ips and not may_come_from(credential, _plain_address(request.client_address)):
            raise Refusal(Code.SOURCE_ADDRESS_DENIED)
        return caller

    async def _of_open_lane(self, caller: Caller) -> Caller:
        """Return a session's caller; a session dies with its world, as keys do."""
        if not await self._open_lanes.find(caller.lane):
            raise Refusal(Code.UNAUTHENTICATED)
        return caller

    async def _of_hash(self, secret_hash: str) -> tuple[Credential, Caller] | None:
        """Return the credential with this secret and who bears it, None if there is none that a request may bear."""
        credential = await self.credentials.of_hash(secret_hash)
        if credential is None or credential.revoked_at is not None or credential.kind not in BEARERS:
            return None
        return credential, _caller_of(credential)


def _caller_of(credential: Credential) -> Caller:
    return Caller(
        lane=credential.lane,
        owner_id=credential.owner_id,
        name=f"{credential.kind}:{credential.name}",
        kind=credential.kind,
        scopes=frozenset(credential.scopes),
    )


def bearer_of(request: Request) -> str:
    """Return what a request sends as its bearer token; an empty text if it sends none."""
    given = request.header("authorization") or ""
    return given[len(_BEARER) :].strip() if given[: len(_BEARER)].lower() == _BEARER else ""


def _plain_address(address: str) -> str:
    """Return an IPv4 address that came in IPv6 clothing as itself, so that lists match what people write."""
    try:
        mapped = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
    except ValueError:
        return address
    return str(mapped or address)

"""Tokens of partners' clients: an access token goes with every request, a refresh token buys the next pair, once.

Refresh tokens are kept by their hashes, whatever dialect they are of: a client belongs to one. Those of brokerage, and
its access tokens, are JWTs (HS256) under the key that signs sessions, each for an audience of its own, so that none is
taken for another. Their times are the machine's: the clock of a sandbox does not move them. An access token is believed
as it stands, so it outlives the refresh token that bought it; its client is looked up. Source: offers contract, 2.
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from msgspec import Meta

from otcdesk.clock import Clock
from otcdesk.credentials import Credential, hash_of
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads
from otcdesk.webhooks.envelope import Discreet

log = structlog.get_logger()

ACCESS_SECONDS = 600
REFRESH_SECONDS = 86_400

_ALGORITHM = "HS256"
_ACCESS = "offers"
_REFRESH = "offers refresh"

#: How many tokens are known without reading them again; the oldest are forgotten first.
_KNOWN_MAX = 10_000

#: Spent tokens are kept for so long after they ran out, so that their use can still be told from a guess.
_KEPT = timedelta(days=7)
_FORGOTTEN_AT_ONCE = 1_000


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token says: whose client it was made for, and until when (Unix seconds) it counts."""

    aud: Literal["offers"]
    sub: UUID
    lane: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    exp: int


class TokenPair(Discreet, frozen=True, kw_only=True):
    """What a grant brings."""

    unshown: ClassVar[frozenset[str]] = frozenset({"access_token", "refresh_token"})

    access_token: str
    refresh_token: str


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    issued_at: datetime
    expires_at: datetime
    spent_at: datetime | None
    spent_by: Literal["use", "revocation"] | None


class Reused(Exception):
    """A client's refresh token that bought a pair before was presented again: somebody has a copy."""

    def __init__(self, client: Credential, digest: str, issued_at: datetime) -> None:
        super().__init__("a refresh token was used again")
        self.client = client
        self.digest = digest
        self.issued_at = issued_at


class RefreshTokens:
    """Keeps refresh tokens by their hashes, and lets each be spent once."""

    def __init__(self, reads: Reads, clock: Clock, *, lasts_seconds: int) -> None:
        self._reads = reads
        self._clock = clock
        self._lasts = timedelta(seconds=lasts_seconds)

    async def keep(self, client: Credential, refresh_token: str) -> None:
        """Let a token be a client's from now on; several may live side by side."""
        digest, now = hash_of(refresh_token), self._clock.now()
        await self._reads.value(
            "tokens", "issue", digest, client.lane, client.owner_id, client.id, now, now + self._lasts
        )

    async def replace(self, client: Credential, refresh_token: str, successor: str) -> None:
        """Put another in the place of a client's token, which is dead from now on.

        Refuses REFRESH_TOKEN_UNKNOWN and REFRESH_TOKEN_DEAD; raises Reused for one that was replaced before.
        """
        now = self._clock.now()
        old, new = hash_of(refresh_token), hash_of(successor)
        if await self._reads.value("tokens", "rotate", old, client.id, now, new, now + self._lasts) is None:
            await self.check_live(client, refresh_token)
            raise Refusal(Code.REFRESH_TOKEN_DEAD)

    async def client_of(self, refresh_token: str) -> UUID | None:
        """Return whose a token is or was, None for one that was never anybody's or is forgotten."""
        found: UUID | None = await self._reads.value("tokens", "client_of", hash_of(refresh_token))
        return found

    async def check_live(self, client: Credential, refresh_token: str) -> None:
        """Do nothing for a client's refresh token that is live; for any other refuse and raise as `replace` does."""
        digest = hash_of(refresh_token)
        stored = await self._stored(client, digest)
        if stored.spent_by == "use":
            raise Reused(client, digest, stored.issued_at)
        if stored.spent_at is not None or stored.expires_at <= self._clock.now():
            raise Refusal(Code.REFRESH_TOKEN_DEAD)

    async def claim_report(self, reused: Reused) -> bool:
        """Tell whether the second use of a token is still to be reported, and by nobody else from now on."""
        values = (reused.digest, reused.client.id, self._clock.now())
        return await self._reads.value("tokens", "claim_report", *values) is not None

    async def give_back_report(self, reused: Reused) -> None:
        """Let the next use of a token be reported, as this one could not be."""
        await self._reads.value("tokens", "give_back_report", reused.digest, reused.client.id)

    async def revoke(self, client: Credential, refresh_token: str) -> None:
        """End a client's refresh token; refuses REFRESH_TOKEN_UNKNOWN and REFRESH_TOKEN_DEAD."""
        digest = hash_of(refresh_token)
        if await self._reads.value("tokens", "revoke", digest, client.id, self._clock.now()) is None:
            await self._stored(client, digest)
            raise Refusal(Code.REFRESH_TOKEN_DEAD)

    async def _stored(self, client: Credential, digest: str) -> _Stored:
        """Return what is known of a client's token; refuses REFRESH_TOKEN_UNKNOWN."""
        stored = await self._reads.row("tokens", "token", _Stored, digest, client.id)
        if stored is None:
            raise Refusal(Code.REFRESH_TOKEN_UNKNOWN)
        return stored

    async def forget_old(self) -> bool:
        """Drop refresh tokens that ran out long ago; tells whether there may be more of them."""
        dropped: int = await self._reads.value("tokens", "forget", self._clock.now() - _KEPT, _FORGOTTEN_AT_ONCE)
        if dropped:
            log.info("refresh_tokens_forgotten", count=dropped)
        return dropped == _FORGOTTEN_AT_ONCE


class Tokens(RefreshTokens):
    """Issues tokens of brokerage, reads them, and ends them."""

    def __init__(self, key: bytes, reads: Reads, clock: Clock) -> None:
        super().__init__(reads, clock, lasts_seconds=REFRESH_SECONDS)
        self._key = OctKey.import_key(key)
        self._known: OrderedDict[str, AccessClaims] = OrderedDict()

    async def issue(self, client: Credential) -> TokenPair:
        """Return a first pair for a client."""
        pair = self._pair(client, self._clock.now())
        await self.keep(client, pair.refresh_token)
        return pair

    async def rotate(self, client: Credential, refresh_token: str) -> TokenPair:
        """Return the next pair for a client's refresh token; refuses and raises as `replace` does."""
        pair = self._pair(client, self._clock.now())
        await self.replace(client, refresh_token, pair.refresh_token)
        return pair

    def claims(self, token: str) -> AccessClaims:
        """Return what an access token says; refuses UNAUTHENTICATED for one that is not ours or has run out."""
        claims = self._known.get(token) or self._read(token)
        if claims.exp <= self._clock.now().timestamp():
            raise Refusal(Code.UNAUTHENTICATED)
        return claims

    def _read(self, token: str) -> AccessClaims:
        try:
            claims = msgspec.convert(jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims, AccessClaims)
        except (JoseError, KeyError, TypeError, ValueError, msgspec.ValidationError):
            raise Refusal(Code.UNAUTHENTICATED) from None
        self._known[token] = claims
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        return claims

    def _pair(self, client: Credential, now: datetime) -> TokenPair:
        return TokenPair(
            access_token=self._signed(client, _ACCESS, now, ACCESS_SECONDS),
            refresh_token=self._signed(client, _REFRESH, now, REFRESH_SECONDS),
        )

    def _signed(self, client: Credential, audience: str, now: datetime, lasts_seconds: int) -> str:
        issued_at = int(now.timestamp())
        claims = {
            "aud": audience,
            "sub": str(client.id),
            "lane": client.lane,
            "jti": str(self._clock.new_id()),
            "iat": issued_at,
            "exp": issued_at + lasts_seconds,
        }
        return jwt.encode({"alg": _ALGORITHM, "typ": "JWT"}, claims, self._key)

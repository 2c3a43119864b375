"""Who asks: an API key, and where it has a key pair a JWT about this very request (ramp contract 2).

A key is looked up by its hash and believed for a fraction of a second. Signatures are verified in threads of their own:
the arithmetic takes a few hundred microseconds in which other threads run, so the event loop goes on and several
processors count. Only so many may wait for it.
"""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from otcdesk.api.believed import Believed
from otcdesk.api.http import Request
from otcdesk.api.ramp.codes import ENVIRONMENTS, Environment
from otcdesk.clock import Clock
from otcdesk.config import Settings
from otcdesk.credentials import REQUEST_KEY, Credentials, RequestKey, hash_of
from otcdesk.desk import Caller
from otcdesk.errors import Code, Refusal
from otcdesk.request_signatures import (
    Signed,
    Token,
    check_algorithm,
    check_body,
    check_claims,
    is_signed_by,
    public_key,
    read_token,
)

API_KEY: Final = "x-api-key"
SIGNATURE: Final = "api-signature"

_FORMAT: Final = re.compile(r"apikey_(sandbox|prod)_[A-Za-z0-9_-]{1,200}", re.ASCII)
_LANE_KINDS: Final = {"sandbox": "sandbox", "prod": "live"}


class RampCaller(Caller, frozen=True, kw_only=True):
    """Who asks, and how assets and networks are called where they ask."""

    environment: Environment


class Signatures:
    """Verifies signatures beside the event loop, a bounded number at a time."""

    def __init__(self, threads: int, waiting_max: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="signatures")
        self._waiting = 0
        self._waiting_max = waiting_max

    async def verify(self, token: Token, key: EllipticCurvePublicKey) -> bool:
        """Tell whether a token is signed by a key; refuses OVERLOADED when too many wait for it."""
        if self._waiting >= self._waiting_max:
            raise Refusal(Code.OVERLOADED, retry_after_seconds=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, is_signed_by, token, key)
        finally:
            self._waiting -= 1


class RequestKeys:
    """Turns a request's key and signature into a caller; implements `Recognizes`."""

    def __init__(self, credentials: Credentials, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._by_hash: Believed[str, RequestKey | None] = Believed(
            credentials.request_key, settings.credential_cache_ms
        )
        self._signatures = Signatures(settings.ramp_signature_threads, settings.ramp_signatures_waiting_max)

    async def caller(self, request: Request) -> Caller:
        """Return who asks; refuses UNAUTHENTICATED, in the contract's order, and OVERLOADED."""
        self._check_origin(request)
        key = await self._key(request.header(API_KEY) or "")
        signature = request.header(SIGNATURE)
        pem = key.credential.public_key
        if pem is not None:
            if signature is None:
                raise Refusal(Code.UNAUTHENTICATED, "Requests with this key need an Api-Signature.")
            await self._check_signature(signature, public_key(pem), request)
        elif key.lane_kind == _LANE_KINDS["prod"]:
            raise Refusal(Code.UNAUTHENTICATED, "This key has no public key to verify requests by.")
        return RampCaller(
            lane=key.credential.lane,
            owner_id=key.credential.owner_id,
            name=f"{REQUEST_KEY}:{key.credential.name}",
            kind=REQUEST_KEY,
            scopes=frozenset(key.credential.scopes),
            environment=ENVIRONMENTS[key.lane_kind],
        )

    def _check_origin(self, request: Request) -> None:
        """Refuse what did not come over TLS, or from a browser, where settings say so."""
        settings = self._settings
        if settings.ramp_tls_required and not request.came_by_tls:
            raise Refusal(Code.UNAUTHENTICATED, "Requests must come over TLS.")
        if settings.ramp_browsers_refused and request.header("origin") is not None:
            raise Refusal(Code.UNAUTHENTICATED, "An API key may not be used by a browser.")

    async def _key(self, secret: str) -> RequestKey:
        """Return the key of this secret; unknown, ended and of another environment look alike."""
        format_ = _FORMAT.fullmatch(secret)
        found = await self._by_hash.find(hash_of(secret)) if format_ else None
        if format_ is None or found is None or _LANE_KINDS[format_[1]] != found.lane_kind:
            raise Refusal(Code.UNAUTHENTICATED, "The X-Api-Key is missing, or not good here.")
        ends = found.credential.expires_at
        if found.credential.revoked_at is not None or (ends is not None and ends <= self._clock.now()):
            raise Refusal(Code.UNAUTHENTICATED, "The X-Api-Key is missing, or not good here.")
        return found

    async def _check_signature(self, signature: str, key: EllipticCurvePublicKey, request: Request) -> None:
        token = read_token(signature)
        check_algorithm(token, key)
        if not await self._signatures.verify(token, key):
            raise Refusal(
                Code.UNAUTHENTICATED, "The Api-Signature is not by the private half of this key's public key."
            )
        signed = Signed(method=request.method, path=request.raw_path, query=request.query_fields)
        check_claims(token, signed, {request.raw_path, request.inside}, self._clock.now())
        check_body(token, await request.body(seconds_max=self._settings.body_seconds_max))

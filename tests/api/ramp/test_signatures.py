"""Who asks: keys that are believed, ended and of the right environment, and a bound on what waits for its signature."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from otcdesk.api.http import Request
from otcdesk.api.ramp.signatures import RampCaller, RequestKeys, Signatures
from otcdesk.clock import SystemClock
from otcdesk.config import Settings
from otcdesk.credentials import RAMP_SCOPE, Credential, RequestKey
from otcdesk.errors import Code, Refusal
from otcdesk.request_signatures import (
    Signed,
    Token,
    claims_of,
    new_key_pair,
    private_key,
    public_key,
    read_token,
    signed_token,
)

SECRET = "apikey_sandbox_" + "x" * 43


class Kept:
    """Credentials that have one key, and count how often they are asked."""

    def __init__(self, lane_kind: Any = "sandbox", **changes: Any) -> None:
        self.asked = 0
        credential = Credential(
            id=uuid4(),
            lane=7,
            kind="request_key",
            owner_id=uuid4(),
            name="K0",
            shown_prefix="",
            scopes=[RAMP_SCOPE],
            source_ips=[],
            created_at=datetime.now(UTC),
            **changes,
        )
        self.key: RequestKey | None = RequestKey(credential=credential, lane_kind=lane_kind)

    async def request_key(self, _hash: str) -> RequestKey | None:
        """Return the key."""
        self.asked += 1
        return self.key


class Turned(SystemClock):
    """The machine's clock, turned on by so much."""

    by = timedelta()

    def now(self) -> datetime:
        """Return the time."""
        return super().now() + self.by


def request(secret: str = SECRET, **headers: str) -> Request:
    found = Request(
        method="GET",
        path="/v1/balances",
        query_string=b"",
        headers={b"x-api-key": secret.encode(), **{name.encode(): value.encode() for name, value in headers.items()}},
        client_address="",
        keep_alive=True,
        body_bytes_max=100,
    )
    found.complete_body()
    return found


def keys(kept: Any, **settings: Any) -> RequestKeys:
    return RequestKeys(kept, SystemClock(), Settings(**settings))


async def test_a_key_is_believed_for_a_moment() -> None:
    kept = Kept()
    recognizes = keys(kept, credential_cache_ms=1_000)
    caller = await recognizes.caller(request())
    assert isinstance(caller, RampCaller)
    assert (caller.lane, caller.name, caller.kind) == (7, "request_key:K0", "request_key")
    assert caller.environment.shown_asset("USDC") == "USDC_TEST"
    kept.key = None
    assert await recognizes.caller(request()) == caller
    assert kept.asked == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"revoked_at": datetime.now(UTC)},
        {"expires_at": datetime.now(UTC) - timedelta(seconds=1)},
        {"lane_kind": "live"},
    ],
)
async def test_keys_that_have_ended_or_are_of_another_environment(changes: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        await keys(Kept(**changes)).caller(request())
    assert caught.value.code is Code.UNAUTHENTICATED


async def test_a_key_that_expires_while_it_is_believed_is_dead() -> None:
    clock = Turned()
    kept: Any = Kept(expires_at=clock.now() + timedelta(hours=1))
    recognizes = RequestKeys(kept, clock, Settings(credential_cache_ms=1_000))
    await recognizes.caller(request())
    clock.by = timedelta(hours=1)
    with pytest.raises(Refusal):
        await recognizes.caller(request())


async def test_what_has_not_the_form_of_a_key_is_not_looked_up() -> None:
    kept = Kept()
    for secret in ("", "x", "apikey_sandbox_", "apikey_test_x", "apikey_sandbox_" + "x" * 300, "sk_test_x", "é"):
        with pytest.raises(Refusal):
            await keys(kept).caller(request(secret))
    assert kept.asked == 0


async def test_a_live_key_without_a_pair_is_good_for_nothing() -> None:
    with pytest.raises(Refusal) as caught:
        await keys(Kept("live")).caller(request("apikey_prod_" + "x" * 43))
    assert "public key" in caught.value.detail


def _signed() -> tuple[Token, EllipticCurvePublicKey]:
    """Return a token, and the key by which it is signed."""
    private, public = new_key_pair()
    claims = claims_of(Signed(method="GET", path="/"), datetime.now(UTC))
    return read_token(signed_token(claims, private_key(private.encode()))), public_key(public)


async def test_only_so_many_wait_for_their_signature() -> None:
    token, key = _signed()
    signatures = Signatures(1, 2)
    waiting = [asyncio.create_task(signatures.verify(token, key)) for _ in range(2)]
    await asyncio.sleep(0)  # they have begun, and the loop has not heard of their end
    with pytest.raises(Refusal) as caught:
        await signatures.verify(token, key)
    assert caught.value.code is Code.OVERLOADED
    assert caught.value.facts["retry_after_seconds"] == 1
    assert await asyncio.gather(*waiting) == [True, True]
    assert await signatures.verify(token, key)


async def test_the_loop_goes_on_while_signatures_are_verified() -> None:
    token, key = _signed()
    signatures, turns = Signatures(1, 100), 0
    work = asyncio.gather(*(signatures.verify(token, key) for _ in range(50)))
    while not work.done():
        turns += 1
        await asyncio.sleep(0)
    assert all(await work)
    assert turns > 50

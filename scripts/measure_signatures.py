"""Measure signed requests: how many a second are verified, in how many threads, and what bounds it.

`python scripts/measure_signatures.py [seconds]`. No socket and no database: a request is built in memory, recognised by
`RequestKeys` and nothing else, so that what is measured is the signature. A ticker on the same loop tells how long the
loop was held up meanwhile.
"""

import asyncio
import resource
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal
from uuid import uuid4

import uvloop
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from otcdesk.api.http import Request
from otcdesk.api.ramp.signatures import RequestKeys
from otcdesk.clock import SystemClock
from otcdesk.config import Settings
from otcdesk.credentials import REQUEST_KEY, Credential, RequestKey
from otcdesk.request_signatures import Signed, claims_of, new_key_pair, private_key, signed_token

PATH = "/v1/transactions/sell"
BODY = (
    b'{"CryptoCurrency":"USDC_TEST","FiatAmount":"100.00","CryptoAuthorizedAmount":"111.429348",'
    b'"FormSessionID":"7b1c6c0e-8a54-4f0e-9d6e-0f2a4b9c1d33","Nonce":"sell-0001","ExternalID":"inv-2041"}'
)
AT_ONCE = 64
TICK_SECONDS = 0.001


class OneKey:
    """Credentials that know one key."""

    def __init__(self, public: str) -> None:
        self.credential = Credential(
            id=uuid4(),
            lane=1,
            kind="request_key",
            owner_id=uuid4(),
            name="measured",
            shown_prefix="",
            scopes=[REQUEST_KEY],
            source_ips=[],
            created_at=datetime.now(UTC),
            public_key=public,
        )

    async def request_key(self, _hash: str) -> RequestKey:
        """Return the key."""
        return RequestKey(credential=self.credential, lane_kind="sandbox")


def _request(private: EllipticCurvePrivateKey) -> Request:
    """Return a fresh request with a token of its own, as every caller makes one."""
    signed = Signed(method="POST", path=PATH, body=BODY)
    token = signed_token(claims_of(signed, datetime.now(UTC)), private)
    request = Request(
        method="POST",
        path=PATH,
        query_string=b"",
        headers={b"x-api-key": b"apikey_sandbox_measured", b"api-signature": token.encode()},
        client_address="",
        keep_alive=True,
        body_bytes_max=65_536,
    )
    request.add_body(BODY)
    request.complete_body()
    return request


async def _ticked(gaps: list[int]) -> None:
    """Note how long each tick really took, in nanoseconds."""
    while True:
        before = time.perf_counter_ns()
        await asyncio.sleep(TICK_SECONDS)
        gaps.append(time.perf_counter_ns() - before - int(TICK_SECONDS * 1e9))


async def measure(curve: Literal["p384", "p256"], threads: int, seconds: int) -> str:
    """Verify for so many seconds; returns a line about it."""
    private_pem, public_pem = new_key_pair(curve)
    requests = [_request(private_key(private_pem.encode())) for _ in range(AT_ONCE)]
    credentials: Any = OneKey(public_pem)
    settings = Settings(ramp_signature_threads=threads)
    keys = RequestKeys(credentials, SystemClock(), settings)
    state = SimpleNamespace(done=0)
    until = time.perf_counter() + seconds

    async def caller(request: Request) -> None:
        while time.perf_counter() < until:
            await keys.caller(request)
            state.done += 1

    gaps: list[int] = []
    ticker = asyncio.create_task(_ticked(gaps))
    before, cpu_before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(caller(request) for request in requests))
    taken, cpu = time.perf_counter() - before, resource.getrusage(resource.RUSAGE_SELF)
    ticker.cancel()
    used = cpu.ru_utime + cpu.ru_stime - cpu_before.ru_utime - cpu_before.ru_stime
    gaps.sort()
    return (
        f"{curve}, {threads} threads: {state.done / taken:.0f} requests/s, "
        f"{used / state.done * 1e6:.0f} us of processor each, {used / taken:.2f} processors; "
        f"loop late by {gaps[len(gaps) // 2] / 1e6:.2f} ms (median), {gaps[-1 - len(gaps) // 100] / 1e6:.2f} ms (99 %)"
    )


def main() -> None:
    """Measure and print."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for curve in ("p384", "p256"):
        for threads in (1, 2, 4):
            print(uvloop.run(measure(curve, threads, seconds)))


if __name__ == "__main__":
    main()

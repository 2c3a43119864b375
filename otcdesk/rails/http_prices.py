"""A market rate polled over HTTP: several feeds are asked at once, and the median of those that agree is the rate.

A rate is believed in three stages, because a wrong price is worse than none:

1. A feed's answer counts only if it is status 200, JSON, small, in time, and has a positive number where the feed's
   path points. Nothing is followed: no redirect, no cookie, no proxy of the environment.
2. A feed further than `deviation_max_bps` from the median of the others is dropped. At least `quorum` must be left.
3. A median further than `jump_max_bps` from the last accepted rate is refused until `jump_readings_min` readings in a
   row agree on it. So a slip of a moment never gets through, and a market that really moved is out for a few periods
   only, without anyone having to step in.

Every failure is a RailUnavailable, so nothing is published and the last price goes stale by its own limit. An address
may carry a key in its query: of an address only the host is ever logged or named in an error.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from typing import Final, cast

import httpx
import msgspec
import structlog

from otcdesk.money import RATE_DECIMALS_MAX, RATE_MAX, inverse, scaled_rate
from otcdesk.rails.directions import both_directions
from otcdesk.rails.protocols import Observation, RailUnavailable

log = structlog.get_logger()

#: A price is a few hundred bytes; the longest ticker lists of public exchanges that hold one pair are below this.
BODY_BYTES_MAX: Final = 64 * 1024

#: A compressed body could be of any size once it is opened.
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "otcdesk"}

_OK: Final = 200
_MILLIONTHS: Final = 10**RATE_DECIMALS_MAX
_LOWEST: Final = scaled_rate(1)

#: `.name`, `[3]` or `["any name"]`.
_STEP: Final = re.compile(r'\.([^.\[\]"]+)|\[([0-9]{1,4})\]|\["([^"]+)"\]', re.ASCII)

#: Bounded in length and exponent, so that no number takes long to compute with.
_NUMBER: Final = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?", re.ASCII)

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING: Final = msgspec.json.Decoder(msgspec.Raw)
_STRING: Final = msgspec.json.Decoder(str)

_OFF: Final = "too far from the others"


class FeedError(Exception):
    """A feed's answer cannot be used; the sentence says why, the same for the same reason, and holds no address."""


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[price_feed.feeds]]`: an address that answers JSON, and where in its answer the value stands.

    `path` is what `parse_path` reads. The value is the destination per one source, or with `inverse` the source per
    one destination; a JSON number or a string that holds one.
    """

    url: str
    path: str
    inverse: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be asked; the address itself is not repeated."""
        try:
            url = httpx.URL(self.url)
        except (httpx.InvalidURL, ValueError):
            raise ValueError("url is not an address") from None
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("url needs to begin with https:// or http:// and a host")
        if url.userinfo:
            raise ValueError("url must not carry a user name or password: they are not sent")
        parse_path(self.path)

    def __repr__(self) -> str:
        """Name the feed without what its address may hide."""
        return f"Feed(host={self.host!r}, path={self.path!r}, inverse={self.inverse!r})"

    @property
    def host(self) -> str:
        """Return the host, the one part of the address that may be shown."""
        return httpx.URL(self.url).host


class HttpPriceSource:
    """Implements `PriceSource` for one pair and its inverse. Its connections stay open between readings: `close` it."""

    def __init__(
        self,
        *,
        pair: tuple[str, str],
        feeds: Sequence[Feed],
        quorum: int,
        deviation_max_bps: int,
        jump_max_bps: int,
        jump_readings_min: int,
        feed_timeout_ms: int,
        period_ms: int,
        stale_after_ms: int | None,
        start_rate: Decimal | None = None,
    ) -> None:
        """Take a pair as (source, destination); `start_rate`, if given, is what the first reading is held against."""
        if not 1 <= quorum <= len(feeds):
            raise ValueError("a quorum is at least 1 and at most the number of feeds")
        self.name = "median of " + ", ".join(dict.fromkeys(feed.host for feed in feeds))
        self.stale_after_ms = stale_after_ms
        self.period_ms = period_ms
        self._pair = pair
        self._feeds = tuple(feeds)
        self._quorum = quorum
        self._deviation_max_bps = deviation_max_bps
        self._feed_timeout_ms = feed_timeout_ms
        self._guard = JumpGuard(
            pair="/".join(pair),
            last=None if start_rate is None else _millionths(start_rate),
            jump_max_bps=jump_max_bps,
            agree_max_bps=deviation_max_bps,
            readings_min=jump_readings_min,
        )
        # The bare transport and not a client: a client would log whole addresses, keep the cookies of whoever
        # answers, and take credentials from ~/.netrc and proxies from the environment.
        self._transport = httpx.AsyncHTTPTransport(trust_env=False)
        self._failing: dict[int, str] = {}
        for feed in feeds:
            if httpx.URL(feed.url).scheme == "http" and not _is_this_machine(feed.host):
                log.warning("price_feed_not_encrypted", host=feed.host)

    async def read(self) -> list[Observation]:
        """Return the median both ways; raises RailUnavailable for want of a quorum or for a jump not yet confirmed.

        A reading takes no longer than the timeout of one feed. Readings must not overlap: the confirmation of a jump
        counts them.
        """
        answers = await asyncio.gather(*map(self._ask, self._feeds))
        rates = {number: answer for number, answer in enumerate(answers) if isinstance(answer, int)}
        kept = agreeing(rates, self._deviation_max_bps)
        for number, answer in enumerate(answers):
            if isinstance(answer, str):
                self._note(number, answer)
            else:
                self._note(number, "" if number in kept else _OFF, value=scaled_rate(answer))
        if len(kept) < self._quorum:
            self._guard.interrupt()
            raise RailUnavailable(f"fewer than {self._quorum} of {len(self._feeds)} price feeds answered and agreed")
        rate = median(list(kept.values()))
        if not self._guard.accepts(rate):
            raise RailUnavailable("the rate jumped, which further readings have not confirmed yet")
        return both_directions(*self._pair, scaled_rate(rate))

    async def close(self) -> None:
        """Close the connections; the source cannot be read afterwards."""
        await self._transport.aclose()

    async def _ask(self, feed: Feed) -> int | str:
        """Return a feed's rate in millionths, or why there is none. One feed never fails the reading."""
        try:
            async with asyncio.timeout(self._feed_timeout_ms / 1000):
                return rate_in(await self._fetch(feed), feed)
        except FeedError as error:
            return str(error)
        except TimeoutError:
            return f"no whole answer within {self._feed_timeout_ms} ms"
        except Exception as error:  # noqa: BLE001  (whatever a hostile answer brings about is that feed's failure)
            return f"cannot be read: {type(error).__name__}"  # its sentence could hold the address

    async def _fetch(self, feed: Feed) -> bytes:
        request = httpx.Request("GET", feed.url, headers=_HEADERS)
        response = await self._transport.handle_async_request(request)
        try:
            if response.status_code != _OK:
                raise FeedError(f"status {response.status_code}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise FeedError("compressed, which was not asked for")
            body = bytearray()
            async with contextlib.aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as parts:
                async for part in parts:
                    body += part
                    if len(body) > BODY_BYTES_MAX:
                        raise FeedError(f"longer than {BODY_BYTES_MAX} bytes")
            return bytes(body)
        finally:
            await response.aclose()

    def _note(self, number: int, reason: str, *, value: Decimal | None = None) -> None:
        """Log how a feed does, once per change; feeds are counted from 1 as they stand in the settings."""
        if reason == self._failing.get(number, ""):
            return
        self._failing[number] = reason
        event = {"feed": number + 1, "host": self._feeds[number].host}
        if not reason:
            log.info("price_feed_recovered", **event)
        elif value is not None:
            log.warning("price_feed_dropped", **event, reason=reason, value=str(value))
        else:
            log.warning("price_feed_failed", **event, reason=reason)


class JumpGuard:
    """Decides whether a rate may follow the last one; everything in millionths.

    A rate further than `jump_max_bps` from the last accepted one has to be seen in `readings_min` readings in a row,
    each within `agree_max_bps` of the first of them, as close as two feeds have to be to agree. A reading that fails
    in between begins the count anew: silence confirms nothing. Without a last rate the first one is accepted, as there
    is nothing to hold it against.
    """

    def __init__(
        self, *, pair: str, last: int | None, jump_max_bps: int, agree_max_bps: int, readings_min: int
    ) -> None:
        """Begin at `last`, if there is one."""
        self._pair = pair
        self._last = last
        self._jump_max_bps = jump_max_bps
        self._agree_max_bps = agree_max_bps
        self._readings_min = readings_min
        self._first = 0
        self._count = 0
        self._jumping = False

    def accepts(self, rate: int) -> bool:
        """Take a reading; returns whether it may be published."""
        if self._last is None or bps_apart(rate, self._last) <= self._jump_max_bps:
            if self._jumping:
                log.info("price_jump_over", pair=self._pair, rate=str(scaled_rate(rate)))
            return self._accept(rate)
        if self._count and bps_apart(rate, self._first) <= self._agree_max_bps:
            self._count += 1
        else:
            self._first, self._count = rate, 1
        facts = {"pair": self._pair, "rate": str(scaled_rate(rate)), "last": str(scaled_rate(self._last))}
        if self._count >= self._readings_min:
            log.warning("price_jump_confirmed", **facts, readings=self._count)
            return self._accept(rate)
        if not self._jumping:
            log.warning("price_jump_refused", **facts)
        self._jumping = True
        return False

    def interrupt(self) -> None:
        """Forget what readings have confirmed so far: one has failed."""
        self._count = 0

    def _accept(self, rate: int) -> bool:
        self._last, self._count, self._jumping = rate, 0, False
        return True


def agreeing(rates: Mapping[int, int], bps_max: int) -> dict[int, int]:
    """Return the feeds' rates without those further than `bps_max` from the median of the others.

    The furthest goes first and the rest is judged anew, since an outlier also pulls the others' medians. Those that
    are equally far go together: of two that disagree neither is believed, and none is left over by mere chance.
    """
    kept = dict(rates)
    while len(kept) > 1:
        off = {
            number: bps_apart(rate, median([other for who, other in kept.items() if who != number]))
            for number, rate in kept.items()
        }
        furthest = max(off.values())
        if furthest <= bps_max:
            return kept
        kept = {number: rate for number, rate in kept.items() if off[number] < furthest}
    return kept if len(rates) == 1 else {}


def median(rates: Sequence[int]) -> int:
    """Return the middle one, or the mean of the two in the middle without its fraction."""
    ordered = sorted(rates)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) // 2


def bps_apart(one: int, other: int) -> Fraction:
    """Return the distance in ten-thousandths of the lower, so that it is the same from both sides."""
    return Fraction(abs(one - other) * 10_000, min(one, other))


def parse_path(text: str) -> tuple[str | int, ...]:
    """Read a path into a JSON document; raises ValueError at the first character that does not fit.

    A path is a chain of names and places, after an optional `$` for the whole document: `data.rates.USDC`,
    `$.result[0].price`, `[0][3]`. Places are counted from 0. A name with a dot, bracket or quotation mark, or one at
    the start with a dollar sign, is written `["name"]`, as in `rates["USDC.e"]`. There are no wildcards or filters.
    """
    start = 1 if text.startswith("$") else 0
    chain = text[start:] if start or text.startswith("[") else f".{text}"
    steps: list[str | int] = []
    at = 0
    while at < len(chain):
        found = _STEP.match(chain, at)
        if found is None:
            raise ValueError(f"path {text!r} is not understood from {chain[at:]!r} on")
        name, place, quoted = found.groups()
        steps.append(int(place) if place else name or quoted)
        at = found.end()
    return tuple(steps)


def rate_in(body: bytes, feed: Feed) -> int:
    """Return the rate in a feed's answer, destination per one source in millionths, cut; raises FeedError.

    The number is taken from its digits, never through a binary fraction.
    """
    try:
        found = _at_path(body, parse_path(feed.path))
    except (KeyError, IndexError, msgspec.ValidationError):
        raise FeedError("nothing where the path points") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FeedError("not JSON") from None
    if not _NUMBER.fullmatch(found):
        raise FeedError("not a positive number where the path points")
    value = Decimal(found)
    # Outside of these the rate or its inverse would be cut to nothing or exceed what a rate may be.
    if not _LOWEST <= value <= RATE_MAX:
        raise FeedError("a number where the path points that cannot be a rate")
    millionths = _millionths(inverse(value) if feed.inverse else value)
    if not millionths:
        raise FeedError("a number where the path points that cannot be a rate")
    return millionths


def _millionths(rate: Decimal) -> int:
    numerator, denominator = rate.as_integer_ratio()
    return numerator * _MILLIONTHS // denominator


def _at_path(body: bytes, steps: tuple[str | int, ...]) -> str:
    """Return the number at a path as it is written, or something that is not a number."""
    here = _ANYTHING.decode(body)
    for step in steps:
        here = _ARRAY.decode(here)[step] if isinstance(step, int) else _OBJECT.decode(here)[step]
    written = bytes(here).strip()
    return _STRING.decode(written) if written.startswith(b'"') else written.decode()


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

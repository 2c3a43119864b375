"""A price polled over HTTP, from feeds on a real socket that answer well, badly, slowly, endlessly or not at all."""

import asyncio
import gzip
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.money import inverse
from otcdesk.rails.http_prices import (
    BODY_BYTES_MAX,
    Feed,
    FeedError,
    HttpPriceSource,
    JumpGuard,
    agreeing,
    bps_apart,
    median,
    parse_path,
    rate_in,
)
from otcdesk.rails.protocols import RailUnavailable
from tests.rails.captured import captured_events, named
from tests.rails.feed_server import PRICE_PATH, Answer, FeedServer, body, feed_server, never, price, raw
from tests.support.waiting import until

#: Long enough for a busy machine wherever a test does not want a timeout.
PATIENCE_MS = 5_000

Make = Callable[..., HttpPriceSource]


@pytest.fixture
async def server() -> AsyncIterator[FeedServer]:
    async with feed_server() as started:
        yield started


@pytest.fixture
def events() -> Iterator[list[Any]]:
    with captured_events() as seen:
        yield seen


@pytest.fixture
async def source(server: FeedServer) -> AsyncIterator[Make]:
    """Make a source whose feeds are `/0`, `/1`, … with these answers."""
    async with AsyncExitStack() as made:

        def make(*answers: Answer, query: str = "", inverse_of: int | None = None, **changes: Any) -> HttpPriceSource:
            server.answers.update({f"/{number}": answer for number, answer in enumerate(answers)})
            given: dict[str, Any] = {
                "pair": ("EUR", "USDC"),
                "feeds": [
                    Feed(url=server.url(f"/{number}{query}"), path=PRICE_PATH, inverse=number == inverse_of)
                    for number in range(len(answers))
                ],
                "quorum": 1,
                "deviation_max_bps": 50,
                "jump_max_bps": 100,
                "jump_readings_min": 3,
                "feed_timeout_ms": PATIENCE_MS,
                "period_ms": 1_000,
                "stale_after_ms": 10_000,
            }
            opened = HttpPriceSource(**(given | changes))
            made.push_async_callback(opened.close)
            return opened

        yield make


async def rate_of(source: HttpPriceSource) -> Decimal:
    return (await source.read())[0].rate


# -- what is believed -----------------------------------------------------------------------------------------------


async def test_one_feed_gives_both_directions(source: Make, server: FeedServer) -> None:
    there, back = await source(price("1.0842")).read()
    assert (there.source_asset, there.destination_asset, there.rate) == ("EUR", "USDC", Decimal("1.0842"))
    assert (back.source_asset, back.destination_asset) == ("USDC", "EUR")
    assert back.rate == inverse(there.rate) == Decimal("0.922339")
    assert "accept-encoding: identity\r\n" in server.heads[0].lower()


@pytest.mark.parametrize(
    "written, read",
    [
        ("1.0842", "1.0842"),
        ('"1.0842"', "1.0842"),
        ("1.084299999999999999999999999999999999999", "1.084299"),
        ("1.10000000000000008881", "1.1"),
        ("10842e-4", "1.0842"),
        ("1", "1"),
        ("0.000001", "0.000001"),
    ],
)
async def test_a_number_is_read_from_its_digits_and_cut(source: Make, written: str, read: str) -> None:
    assert str(await rate_of(source(price(written)))) == read


async def test_an_inverse_feed_is_turned_around(source: Make) -> None:
    assert await rate_of(source(price("0.8"), inverse_of=0)) == Decimal("1.25")
    made = source(price("1.2500"), price("0.8"), price("1.2510"), inverse_of=1, quorum=3)
    assert await rate_of(made) == Decimal("1.25")


async def test_the_middle_of_three_and_the_mean_of_the_middle_two_of_four(source: Make) -> None:
    assert await rate_of(source(price("1.0844"), price("1.0840"), price("1.0841"), quorum=3)) == Decimal("1.0841")
    made = source(price("1.0844"), price("1.0840"), price("1.0841"), price("1.084201"), quorum=4)
    assert await rate_of(made) == Decimal("1.08415")


async def test_an_outlier_is_dropped_and_named_once(source: Make, server: FeedServer, events: list[Any]) -> None:
    made = source(price("1.0840"), price("2.0"), price("1.0842"), quorum=2)
    assert await rate_of(made) == Decimal("1.0841")
    assert await rate_of(made) == Decimal("1.0841")
    assert [(event["feed"], event["host"], event["value"]) for event in named(events, "price_feed_dropped")] == [
        (2, "127.0.0.1", "2")
    ]
    server.answers["/1"] = price("1.0843")
    assert await rate_of(made) == Decimal("1.0842")
    assert [event["feed"] for event in named(events, "price_feed_recovered")] == [2]


async def test_of_two_that_disagree_neither_is_believed(source: Make) -> None:
    with pytest.raises(RailUnavailable, match="fewer than 1 of 2 price feeds answered and agreed"):
        await source(price("1.08"), price("1.09"), quorum=1).read()


async def test_without_a_quorum_there_is_no_price_and_with_it_again_there_is(source: Make, server: FeedServer) -> None:
    made = source(price("1.0840"), body("", status="503 Down"), body("{}"), quorum=2)
    with pytest.raises(RailUnavailable, match="fewer than 2 of 3"):
        await made.read()
    server.answers["/2"] = price("1.0842")
    assert await rate_of(made) == Decimal("1.0841")


@pytest.mark.parametrize("quorum", [0, 2])
async def test_a_quorum_that_cannot_be_is_refused(source: Make, quorum: int) -> None:
    with pytest.raises(ValueError, match="quorum"):
        source(price("1.0842"), quorum=quorum)


# -- what is not ----------------------------------------------------------------------------------------------------

JSON = "nothing where the path points", "not JSON", "not a positive number where the path points"
NO_RATE = "a number where the path points that cannot be a rate"

BAD_ANSWERS = {
    "500": (body("oh no", status="500 Oops"), "status 500"),
    "204": (raw(b"HTTP/1.1 204 No\r\n\r\n"), "status 204"),
    "a good body with a bad status": (body('{"result":[{"price":1.0842}]}', status="203 X"), "status 203"),
    "html": (body("<html>1.0842</html>"), JSON[1]),
    "empty": (body(""), JSON[1]),
    "cut short": (body('{"result":[{"price":1.08'), JSON[1]),
    "two documents": (body('{"result":[{"price":1.0842}]} {}'), JSON[1]),
    "not utf-8": (body(b'{"\xff": 1}'), JSON[1]),
    "not utf-8 where it counts": (body(b'{"result":[{"price":"\xff"}]}'), JSON[1]),
    "too deep": (body('{"result":' + "[" * 30_000 + "]" * 30_000 + "}"), JSON[1]),
    "another shape": (body('[{"price":1.0842}]'), JSON[0]),
    "another name": (body('{"result":[{"Price":1.0842}]}'), JSON[0]),
    "an empty list": (body('{"result":[]}'), JSON[0]),
    "an error object": (body('{"result":null,"error":"limit"}'), JSON[0]),
    "zero": (price("0.000"), NO_RATE),
    "less than a rate can say": (price("0.0000009"), NO_RATE),
    "negative": (price("-1.0842"), JSON[2]),
    "NaN": (price("NaN"), JSON[1]),
    "NaN in a string": (price('"NaN"'), JSON[2]),
    "infinity in a string": (price('"Infinity"'), JSON[2]),
    "huge": (price("1e13"), NO_RATE),
    "huger": (price("1e999999999"), JSON[2]),
    "tinier": (price("1e-999999999"), JSON[2]),
    "long": (price("1" * 5_000), JSON[2]),
    "words": (price('"about one"'), JSON[2]),
    "digits of another script": (price('"\u0661.\u0660\u0668"'), JSON[2]),
    "underscores": (price('"1_0"'), JSON[2]),
    "null": (price("null"), JSON[2]),
    "true": (price("true"), JSON[2]),
    "an object": (price('{"value": 1.0842}'), JSON[2]),
    "compressed": (
        body(gzip.compress(b'{"result":[{"price":1.0842}]}'), headers="Content-Encoding: gzip\r\n"),
        "compressed, which was not asked for",
    ),
    "one byte too long": (
        body('{"result":[{"price":1.0842}]}'.ljust(BODY_BYTES_MAX + 1)),
        f"longer than {BODY_BYTES_MAX} bytes",
    ),
    "not HTTP": (raw(b"1.0842\r\n\r\n", then_close=True), "cannot be read: RemoteProtocolError"),
    "hangs up": (raw(b"", then_close=True), "cannot be read: RemoteProtocolError"),
    "hangs up in the body": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", then_close=True),
        "cannot be read: RemoteProtocolError",
    ),
    "an impossible length": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
        "cannot be read: RemoteProtocolError",
    ),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_a_bad_answer_fails_its_feed_and_not_the_reading(source: Make, events: list[Any], bad: str) -> None:
    answer, reason = BAD_ANSWERS[bad]
    made = source(price("1.0840"), answer, price("1.0842"), quorum=2)
    assert await rate_of(made) == Decimal("1.0841")
    assert await rate_of(made) == Decimal("1.0841")
    assert [(event["feed"], event["host"], event["reason"]) for event in named(events, "price_feed_failed")] == [
        (2, "127.0.0.1", reason)
    ]
    with pytest.raises(RailUnavailable):
        await source(answer).read()


async def test_a_body_as_long_as_allowed_is_read(source: Make) -> None:
    assert await rate_of(source(body('{"result":[{"price":1.0842}]}'.ljust(BODY_BYTES_MAX)))) == Decimal("1.0842")


@pytest.mark.parametrize("location", ["/0", "http://169.254.169.254/", "file:///etc/passwd"])
async def test_a_redirect_is_not_followed(source: Make, server: FeedServer, location: str) -> None:
    made = source(price("1.0842"), body("", status="302 Found", headers=f"Location: {location}\r\n"), quorum=1)
    assert await rate_of(made) == Decimal("1.0842")
    assert sorted(head.split()[1] for head in server.heads) == ["/0", "/1"]


async def test_a_slow_feed_is_not_waited_for(source: Make, server: FeedServer, events: list[Any]) -> None:
    made = source(price("1.0840"), never, quorum=1, feed_timeout_ms=1_000)
    assert await rate_of(made) == Decimal("1.084")
    assert [(event["feed"], event["reason"]) for event in named(events, "price_feed_failed")] == [
        (2, "no whole answer within 1000 ms")
    ]


@pytest.mark.parametrize(
    "head, part",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
)
async def test_a_feed_that_trickles_has_one_time_limit_for_all(
    source: Make, server: FeedServer, head: bytes, part: bytes
) -> None:
    with pytest.raises(RailUnavailable):
        await source(server.forever(head, part), feed_timeout_ms=300).read()
    await until(lambda: server.closed_by_peer == 1, "the source hangs up")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Padding: ",
    ],
)
async def test_an_endless_answer_is_cut(source: Make, server: FeedServer, head: bytes) -> None:
    part = b" " * 16_384
    with pytest.raises(RailUnavailable):
        await source(server.forever(head, part)).read()
    await until(lambda: server.closed_by_peer == 1, "the source hangs up")
    # What was read, and what the system's own buffers took in besides.
    assert server.bytes_sent < 16 * 1024 * 1024


async def test_a_feed_that_cannot_be_reached_fails_alone(source: Make, events: list[Any]) -> None:
    gone = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    feeds = [*source(price("1.0842"))._feeds, Feed(url=f"http://127.0.0.1:{port}/", path="a")]
    assert await rate_of(source(price("1.0842"), feeds=feeds)) == Decimal("1.0842")
    assert [event["reason"] for event in named(events, "price_feed_failed")] == ["cannot be read: ConnectError"]


async def test_a_certificate_that_nobody_vouches_for_is_not_believed(
    source: Make, events: list[Any], tmp_path: Path
) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await price("2")(writer)

    impostor = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=self_signed(tmp_path))
    feed = Feed(url=f"https://127.0.0.1:{impostor.sockets[0].getsockname()[1]}/", path=PRICE_PATH)
    with pytest.raises(RailUnavailable):
        await source(feeds=[feed]).read()
    impostor.close()
    await impostor.wait_closed()
    assert [event["reason"] for event in named(events, "price_feed_failed")] == ["cannot be read: ConnectError"]


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    now = datetime.now(UTC)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = folder / "certificate.pem"
    both.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


async def test_readings_share_a_connection_and_keep_no_cookies(source: Make, server: FeedServer) -> None:
    made = source(body('{"result":[{"price":1.0842}]}', headers="Set-Cookie: a=b\r\n"))
    for _ in range(3):
        await made.read()
    assert server.connections == 1
    assert not any("cookie" in head.lower() for head in server.heads)


async def test_the_environment_has_no_say(source: Make, server: FeedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert await rate_of(source(price("1.0842"))) == Decimal("1.0842")


async def test_no_key_of_an_address_is_logged_or_told(
    source: Make, server: FeedServer, events: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [answer for answer, _ in BAD_ANSWERS.values()]
    answers += [never, price("1"), price("1"), price("3")]
    made = source(*answers, query="?apikey=hush", quorum=3, feed_timeout_ms=1_000)
    with pytest.raises(RailUnavailable) as caught:
        await made.read()
    assert all("apikey=hush" in head for head in server.heads)
    assert named(events, "price_feed_failed")
    assert named(events, "price_feed_dropped")
    told = f"{events} {caplog.text} {caught.value!r} {caught.value.__context__!r} {made._feeds!r} {made.name}"
    assert "hush" not in told
    assert "apikey" not in told


async def test_an_address_that_is_not_encrypted_is_remarked_on(source: Make, events: list[Any]) -> None:
    hosts = ["feed.example", "localhost", "127.0.0.1", "[::1]"]
    source(feeds=[Feed(url=f"http://{host}/?apikey=hush", path="a") for host in hosts])
    source(feeds=[Feed(url="https://feed.example/", path="a")])
    assert [event["host"] for event in named(events, "price_feed_not_encrypted")] == ["feed.example"]


# -- jumps ----------------------------------------------------------------------------------------------------------


async def test_a_jump_is_refused_until_enough_readings_confirm_it(
    source: Make, server: FeedServer, events: list[Any]
) -> None:
    made = source(price("1.0800"))
    assert await rate_of(made) == Decimal("1.08")
    for written in ("1.2000", "1.2010"):
        server.answers["/0"] = price(written)
        with pytest.raises(RailUnavailable, match="jumped"):
            await made.read()
    server.answers["/0"] = price("1.2020")
    assert await rate_of(made) == Decimal("1.202")
    assert await rate_of(made) == Decimal("1.202")
    assert [event["rate"] for event in named(events, "price_jump_refused")] == ["1.2"]
    assert [(event["rate"], event["last"]) for event in named(events, "price_jump_confirmed")] == [("1.202", "1.08")]


async def test_a_slip_of_a_moment_never_gets_through(source: Make, server: FeedServer, events: list[Any]) -> None:
    made = source(price("1.0800"))
    await made.read()
    for written, passes in [("10.8", False), ("10.8", False), ("1.0810", True), ("10.8", False), ("10.8", False)]:
        server.answers["/0"] = price(written)
        if passes:
            assert await rate_of(made) == Decimal(written)
        else:
            with pytest.raises(RailUnavailable):
                await made.read()
    assert len(named(events, "price_jump_refused")) == 2
    assert len(named(events, "price_jump_over")) == 1


async def test_a_failed_reading_begins_the_confirmation_anew(source: Make, server: FeedServer) -> None:
    made = source(price("1.0800"))
    await made.read()
    jumped, down = price("1.2"), body("", status="500 Oops")
    for answer in (jumped, jumped, down, jumped, jumped):
        server.answers["/0"] = answer
        with pytest.raises(RailUnavailable):
            await made.read()
    server.answers["/0"] = jumped
    assert await rate_of(made) == Decimal("1.2")


async def test_the_first_reading_is_held_against_the_start_rate(source: Make) -> None:
    assert await rate_of(source(price("1.09"), start_rate=Decimal("1.08"))) == Decimal("1.09")
    made = source(price("1.2"), start_rate=Decimal("1.08"))
    for _ in range(2):
        with pytest.raises(RailUnavailable, match="jumped"):
            await made.read()
    assert await rate_of(made) == Decimal("1.2")


def guard(last: int | None) -> JumpGuard:
    return JumpGuard(pair="A/B", last=last, jump_max_bps=100, agree_max_bps=50, readings_min=3)


def test_readings_that_disagree_with_one_another_confirm_nothing() -> None:
    judge = guard(1_000_000)
    assert [judge.accepts(rate) for rate in (2_000_000, 3_000_000, 2_000_000, 3_000_000)] == [False] * 4
    # Each is close to the one before, but not to the first: a market that still runs is not a price yet.
    assert [judge.accepts(rate) for rate in (4_000_000, 4_015_000, 4_030_000)] == [False] * 3
    assert [judge.accepts(rate) for rate in (4_030_000, 4_030_000)] == [False, True]


def test_the_limit_itself_is_no_jump() -> None:
    assert guard(1_000_000).accepts(1_010_000)
    assert not guard(1_000_000).accepts(1_010_001)
    assert guard(1_010_000).accepts(1_000_000)


@given(last=st.integers(1, 10**18), rate=st.integers(1, 10**18))
def test_the_limit_of_a_jump_is_the_same_up_and_down(last: int, rate: int) -> None:
    assert guard(last).accepts(rate) == guard(rate).accepts(last)
    assert guard(last).accepts(rate) == (abs(last - rate) * 10_000 <= 100 * min(last, rate))
    assert guard(None).accepts(rate)


# -- agreement, as arithmetic ---------------------------------------------------------------------------------------


def test_none_is_believed_that_is_only_left_over() -> None:
    # The first and the last are equally far from the median of the others, so both go.
    assert agreeing({0: 1_000_000, 1: 2_000_000, 2: 6_000_000}, 50) == {}


RATES = st.lists(st.integers(1, 10**18) | st.integers(1_000_000, 1_020_000), max_size=9)


@given(rates=RATES, bps=st.integers(1, 9_999), data=st.data())
def test_those_kept_agree_and_their_order_does_not_matter(rates: list[int], bps: int, data: st.DataObject) -> None:
    feeds = dict(enumerate(rates))
    kept = agreeing(feeds, bps)
    assert kept.items() <= feeds.items()
    for number, rate in kept.items():
        others = [other for who, other in kept.items() if who != number]
        assert not others or bps_apart(rate, median(others)) <= bps
    assert len(kept) != 1 or len(feeds) == 1, "one that others contradicted is not believed"
    assert agreeing(dict(data.draw(st.permutations(list(feeds.items())))), bps) == kept


@given(agreed=st.integers(1, 10**18), others=st.lists(st.integers(1, 10**18), max_size=4), bps=st.integers(1, 9_999))
def test_a_majority_of_one_mind_is_never_overruled(agreed: int, others: list[int], bps: int) -> None:
    feeds = dict(enumerate([*others, *[agreed] * (len(others) + 2)]))
    kept = agreeing(feeds, bps)
    assert list(kept.values()).count(agreed) >= len(others) + 2
    assert bps_apart(median(list(kept.values())), agreed) <= bps


@given(rates=st.lists(st.integers(1, 10**18), min_size=1, max_size=9))
def test_a_median_has_as_many_below_as_above(rates: list[int]) -> None:
    middle = median(rates)
    assert min(rates) <= middle <= max(rates)
    assert 2 * sum(rate < middle for rate in rates) <= len(rates)
    assert 2 * sum(rate > middle + 1 for rate in rates) <= len(rates)


# -- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, steps",
    [
        ("$", ()),
        ("price", ("price",)),
        ("data.rates.USDC", ("data", "rates", "USDC")),
        ("$.result[0].price", ("result", 0, "price")),
        ("[0][3]", (0, 3)),
        ("$[12]", (12,)),
        ("usd-coin.eur", ("usd-coin", "eur")),
        ('rates["USDC.e"][1]', ("rates", "USDC.e", 1)),
        ('["$x"].0', ("$x", "0")),
    ],
)
def test_a_path_is_a_chain_of_names_and_places(text: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "$a", "a[-1]", "a[*]", "a[1", "a]", 'a["', 'a[""]', "a[\u0661]"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not understood"):
        parse_path(text)


def test_a_path_may_point_at_the_whole_document() -> None:
    assert rate_in(b" 1.0842 \n", Feed(url="https://a.example", path="$")) == 1_084_200
    assert rate_in(b'{"a":1, "a":2}', Feed(url="https://a.example", path="a")) == 2_000_000


@pytest.mark.parametrize("written", [b"1e-20", b"0.0000009", b"1000001", b"1e12"])
def test_an_inverse_that_cannot_be_a_rate_is_refused(written: bytes) -> None:
    with pytest.raises(FeedError, match="cannot be a rate"):
        rate_in(written, Feed(url="https://a.example", path="$", inverse=True))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from(["$", "a", "[0].a"]))
def test_any_bytes_are_a_rate_or_a_feed_error(content: bytes, path: str) -> None:
    try:
        rate = rate_in(content, Feed(url="https://a.example", path=path))
    except FeedError:
        return
    assert 1 <= rate <= 10**18

"""One attempt: where it goes, what arrives there, and what comes of every kind of receiver."""

import asyncio
import errno
import itertools
import logging
import os
import random
import socket
import ssl
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import aiohttp
import msgspec
import pytest
import structlog

from otcdesk import __version__
from otcdesk.config import SettingsError
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks import sender as module
from otcdesk.webhooks.addresses import checked_url
from otcdesk.webhooks.lookups import NotPublic
from otcdesk.webhooks.sender import CHECKS_AT_ONCE_MAX, CHECKS_WAITING_MAX, Attempt, Sender
from tests.support.certificates import Authority
from tests.support.clocks import new_seed
from tests.support.receiver import CLOSED, HOST, NEVER, Bytes, Held, Later, Receiver
from tests.support.server import free_port
from tests.support.waiting import until

TIMEOUT_MS = 5_000
SHORT_MS = 150
KEPT_BYTES = 2_048
NAME = "hooks.example"
BODY = b'{"type": "webhook.test",  "data": "\xc3\xa9"}'

NOT_PUBLIC = "the host leads to an address that is not public"
CLOSED_EARLY = "the connection was closed before an answer"
NOT_HTTP = "the answer is not HTTP that can be read"
OK_HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module", autouse=True)
def system_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """Let the system trust one authority instead of its hundreds, which take long to read for each sender."""
    made = Authority(tmp_path_factory.mktemp("system"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(made.file))
        environment.setenv("SSL_CERT_DIR", str(made.file.parent / "none"))
        yield made


class Names:
    """Implements `Resolve` with the addresses it is told, one list for each lookup, the last one for all others."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers or [[HOST]])
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return list(answer)


def opened(
    *,
    local: bool = True,
    timeout_ms: int = TIMEOUT_MS,
    ca_file: Path | None = None,
    response_bytes_max: int = KEPT_BYTES,
    connections_max: int = 100,
    names: Names | None = None,
) -> AbstractAsyncContextManager[Sender]:
    return Sender.opened(
        local=local,
        timeout_ms=timeout_ms,
        ca_file=str(ca_file or ""),
        response_bytes_max=response_bytes_max,
        connections_max=connections_max,
        resolve=names or Names(),
    )


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with opened() as made:
        yield made


@asynccontextmanager
async def hurried() -> AsyncIterator[Sender]:
    """Give a sender that soon loses patience."""
    async with opened(timeout_ms=SHORT_MS) as made:
        yield made


async def sent(receiver: Receiver, sender: Sender) -> Attempt:
    return await sender.send(receiver.url(), {}, BODY)


# -- what arrives --------------------------------------------------------------------------------------------------


async def test_a_post_arrives_as_it_was_given_and_the_answer_is_told(sender: Sender) -> None:
    with Receiver((202, {"Content-Type": "text/plain"}, b"thanks")) as receiver:
        attempt = await sender.send(receiver.url("/a//b/../c;d=1?x=%7E&&y"), {"X-Webhook-Id": "w 1"}, BODY)
        (request,) = receiver.requests
    assert attempt == Attempt(status=202, took_ms=attempt.took_ms, error=None, body="thanks", retry_after_seconds=None)
    assert 0 <= attempt.took_ms < TIMEOUT_MS
    assert (request.method, request.path, request.body) == ("POST", "/a//b/../c;d=1?x=%7E&&y", BODY)
    assert request.headers == {
        "host": f"{HOST}:{receiver.port}",
        "x-webhook-id": "w 1",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": f"otcdesk/{__version__}",
    }


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
async def test_a_type_that_is_given_is_the_one_sent(sender: Sender, name: str) -> None:
    with Receiver() as receiver:
        await sender.send(receiver.url(), {name: "application/cloudevents+json"}, b"")
        (request,) = receiver.requests
    assert [value for key, value in request.raw_headers if key.lower() == "content-type"] == [
        "application/cloudevents+json"
    ]
    assert (request.headers["content-length"], request.body) == ("0", b"")


async def test_the_host_is_the_name_and_the_connection_goes_to_its_address() -> None:
    names = Names()
    with Receiver() as receiver:
        async with opened(names=names) as sender:
            assert (await sender.send(receiver.url(host=NAME.upper()), {}, BODY)).status == 200
        (request,) = receiver.requests
    assert request.headers["host"] == f"{NAME}:{receiver.port}"
    assert names.asked == [(NAME, receiver.port)]


async def test_nothing_is_taken_from_the_environment(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url(""))
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine {HOST} login a password b\n")
        monkeypatch.setenv("NETRC", str(netrc))
        assert (await sent(receiver, sender)).status == 200
        assert "authorization" not in receiver.requests[0].headers
        assert proxy.connections == 0


async def test_cookies_are_not_kept(sender: Sender) -> None:
    with Receiver((200, {"Set-Cookie": "a=b; Path=/"}, b"")) as receiver:
        for _ in range(2):
            await sender.send(receiver.url(host=NAME), {}, BODY)
        assert ["cookie" in request.headers for request in receiver.requests] == [False, False]


async def test_what_cannot_be_a_header_is_an_error_and_nothing_is_sent(sender: Sender) -> None:
    with Receiver() as receiver, structlog.testing.capture_logs() as logs:
        attempt = await sender.send(receiver.url(), {"X-A": "secret\r\nX-B: c"}, BODY)
        assert (attempt.status, attempt.error) == (None, "the request failed")
        assert receiver.requests == []
    assert "secret" not in repr(logs)


# -- what comes of an answer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 299, 400, 404, 410, 500, 599, 999])
async def test_a_status_is_told_whatever_it_is(sender: Sender, status: int) -> None:
    with Receiver(status) as receiver:
        attempt = await sent(receiver, sender)
    assert (attempt.status, attempt.error, attempt.body) == (status, None, "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(sender: Sender, status: int) -> None:
    with Receiver() as inside, Receiver((status, {"Location": inside.url("/admin")}, b"moved")) as receiver:
        attempt = await sent(receiver, sender)
        assert (attempt.status, attempt.error, attempt.body) == (status, None, "moved")
        assert len(receiver.requests) == 1
        assert (inside.connections, inside.requests) == (0, [])


async def test_a_body_is_kept_as_text_that_a_database_takes(sender: Sender) -> None:
    with Receiver((200, {}, b"a\x00b\xff\xc3\xa9\xed\xa0\x80")) as receiver:
        text = (await sent(receiver, sender)).body
    assert text.startswith("ab\ufffd\u00e9\ufffd")
    assert "\x00" not in text
    text.encode()


async def test_a_compressed_body_is_not_opened(sender: Sender) -> None:
    with Receiver((200, {"Content-Encoding": "gzip"}, b"\x1f\x8b and so on")) as receiver:
        attempt = await sent(receiver, sender)
    assert (attempt.status, attempt.error, attempt.body) == (200, None, "\x1f\ufffd and so on")


@pytest.mark.parametrize("length", [0, 1, KEPT_BYTES - 1, KEPT_BYTES])
async def test_a_body_up_to_what_is_kept_is_read_whole_and_the_connection_stays(sender: Sender, length: int) -> None:
    with Receiver((200, {}, b"x" * length)) as receiver:
        for _ in range(3):
            assert (await sent(receiver, sender)).body == "x" * length
        assert (len(receiver.requests), receiver.connections) == (3, 1)


@pytest.mark.parametrize("kept", [0, 1, 5])
async def test_of_a_longer_body_the_beginning_is_kept(kept: int) -> None:
    with Receiver((200, {}, b"x" * 100_000)) as receiver:
        async with opened(response_bytes_max=kept) as sender:
            for _ in range(2):
                attempt = await sent(receiver, sender)
                assert (attempt.status, attempt.error, attempt.body) == (200, None, "x" * kept)


_MEGABYTE = b"x" * (1 << 20)
_CHUNK = b"100000\r\n" + _MEGABYTE + b"\r\n"


@pytest.mark.parametrize(
    "head,part",
    [
        (b"Content-Length: 1073741824\r\n\r\n", _MEGABYTE),
        (b"\r\n", _MEGABYTE),
        (b"Transfer-Encoding: chunked\r\n\r\n", _CHUNK),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
    ],
    ids=["a gigabyte", "endless", "endless chunks", "endless small chunks"],
)
async def test_an_endless_body_is_neither_read_nor_a_failure(sender: Sender, head: bytes, part: bytes) -> None:
    with Receiver(Bytes(parts=itertools.chain([OK_HEAD + head], itertools.repeat(part, 1_024)))) as receiver:
        tracemalloc.start()
        attempt = await sent(receiver, sender)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await until(lambda: receiver.hung_up == 1, "the connection is closed")
    assert (attempt.status, attempt.error, attempt.body) == (200, None, "x" * KEPT_BYTES)
    assert receiver.bytes_sent < 1 << 25, "what the buffers of two sockets hold"
    assert peak < 1 << 23


@pytest.mark.parametrize(
    "answer",
    [
        Bytes(parts=[OK_HEAD + b"Content-Length: 9\r\n\r\n", b"half"]),
        Bytes(parts=[OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n"], pause_ms=20),
        Bytes(parts=[OK_HEAD + b"Content-Length: 999\r\n\r\n", *[b"x"] * 1_000], pause_ms=100),
    ],
    ids=["cut short", "garbled", "dripping"],
)
async def test_the_status_counts_whatever_becomes_of_the_body(answer: Bytes) -> None:
    async with opened(timeout_ms=500) as sender:
        with Receiver(answer) as receiver:
            started = time.monotonic_ns()
            attempt = await sent(receiver, sender)
            assert time.monotonic_ns() - started < 5_000 * 1_000_000
    assert (attempt.status, attempt.error) == (200, None)


# -- receivers that do not answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        NEVER,
        Bytes(parts=(bytes([byte]) for byte in OK_HEAD * 100), pause_ms=20),
        Bytes(parts=itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), pause_ms=1),
    ],
    ids=["silent", "byte by byte", "soon to answer, for ever"],
)
async def test_who_does_not_answer_in_time_is_given_up(answer: Held | Bytes) -> None:
    async with hurried() as sender:
        with Receiver(answer) as receiver:
            attempt = await sent(receiver, sender)
            assert (attempt.status, attempt.error) == (None, f"timed out after {SHORT_MS} ms")
            assert SHORT_MS <= attempt.took_ms < 10 * SHORT_MS
            await until(lambda: receiver.hung_up == 1, "the connection is closed")


async def test_who_does_not_accept_is_given_up() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((HOST, 0))
        listener.listen(0)
        for waiting in (first, second):  # the queue of those who wait to be accepted is full with these
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        async with hurried() as sender:
            attempt = await sender.send(f"http://{HOST}:{listener.getsockname()[1]}/", {}, BODY)
    assert (attempt.status, attempt.error) == (None, f"timed out after {SHORT_MS} ms")


async def test_a_late_answer_within_the_time_is_an_answer(sender: Sender) -> None:
    with Receiver(Later(milliseconds=50)) as receiver:
        attempt = await sent(receiver, sender)
    assert attempt.status == 200
    assert attempt.took_ms >= 50


@pytest.mark.parametrize(
    "answer",
    [CLOSED, Bytes(parts=[OK_HEAD + b"Content-"]), Bytes(parts=[b"H"])],
    ids=["at once", "within a header", "after a letter"],
)
async def test_who_closes_early_has_not_answered_and_is_asked_once(sender: Sender, answer: Bytes) -> None:
    with Receiver(answer) as receiver:
        attempt = await sent(receiver, sender)
        assert (attempt.status, attempt.error) == (None, CLOSED_EARLY)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x01\x02 garbage \xff\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\n\r\n",
        OK_HEAD + b"Content-Length: -1\r\n\r\n",
        OK_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK_HEAD + b"no colon\r\n\r\n",
        OK_HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        OK_HEAD + b"x" * 100_000 + b": x\r\n\r\n",
        OK_HEAD + b"X: x\r\n" * 1_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
    ],
    ids=lambda content: ascii(content[:40]),
)
async def test_garbage_is_no_answer(sender: Sender, content: bytes) -> None:
    with Receiver(Bytes(parts=[content])) as receiver:
        attempt = await sent(receiver, sender)
    assert (attempt.status, attempt.error) == (None, NOT_HTTP)


@pytest.mark.parametrize("part", [b"X: x\r\n" * 1_000, b"x" * 10_000], ids=["headers", "a header"])
async def test_endless_headers_are_no_answer(sender: Sender, part: bytes) -> None:
    with Receiver(Bytes(parts=itertools.chain([OK_HEAD], itertools.repeat(part)))) as receiver:
        attempt = await sent(receiver, sender)
        assert (attempt.status, attempt.error) == (None, NOT_HTTP)
        await until(lambda: receiver.hung_up == 1, "the connection is closed")
        assert receiver.bytes_sent < 1 << 25


async def test_nobody_listens(sender: Sender) -> None:
    attempt = await sender.send(f"http://{HOST}:{free_port()}/", {}, BODY)
    assert (attempt.status, attempt.error, attempt.body) == (None, "connection refused", "")


@pytest.mark.parametrize(
    "number,sentence",
    [
        (errno.EHOSTUNREACH, "the host cannot be reached"),
        (errno.ENETUNREACH, "the host cannot be reached"),
        (errno.ECONNRESET, CLOSED_EARLY),
        (errno.EMFILE, "the desk has no connection left for it"),
        (None, "the host cannot be reached"),
    ],
)
async def test_what_the_network_says_is_said_in_words(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, number: int | None, sentence: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number or 0))

    monkeypatch.setattr(socket, "socket", fail)
    attempt = await sender.send(f"http://{HOST}:9/", {}, BODY)
    assert (attempt.status, attempt.error) == (None, sentence)


async def test_the_second_of_two_addresses_is_used_if_the_first_is_dead() -> None:
    with Receiver() as receiver:
        async with opened(names=Names(["127.0.0.9", "::1", HOST])) as sender:
            assert (await sender.send(receiver.url(host=NAME), {}, BODY)).status == 200


async def test_who_is_cancelled_is_cancelled(sender: Sender) -> None:
    with Receiver(NEVER) as receiver:
        task = asyncio.create_task(sent(receiver, sender))
        await receiver.arrived(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: receiver.hung_up == 1, "the connection is closed")


async def test_more_attempts_than_connections_wait_for_one_another() -> None:
    with Receiver(Held()) as receiver:
        async with opened(connections_max=1) as sender:
            attempts = [asyncio.create_task(sent(receiver, sender)) for _ in range(3)]
            for number in range(1, 4):
                await receiver.arrived(number)
                receiver.release()
            assert [(await attempt).status for attempt in attempts] == [200] * 3
        assert receiver.connections == 1


async def test_who_waits_for_a_connection_waits_within_its_time() -> None:
    with Receiver(NEVER) as receiver:
        async with opened(timeout_ms=SHORT_MS, connections_max=1) as sender:
            attempts = await asyncio.gather(*(sent(receiver, sender) for _ in range(3)))
        assert {attempt.error for attempt in attempts} == {f"timed out after {SHORT_MS} ms"}


# -- kept connections ----------------------------------------------------------------------------------------------


async def test_a_kept_connection_that_its_receiver_has_closed_is_not_the_receivers_failure(sender: Sender) -> None:
    """The receiver closes just when the second request arrives, as one that tidies up idle connections does."""
    with Receiver(lambda request: CLOSED if request.number == 1 else 200) as receiver:
        assert (await sent(receiver, sender)).status == 200
        assert (await sent(receiver, sender)).status == 200
        assert [request.connection for request in receiver.requests] == [0, 0, 1]
        assert {request.body for request in receiver.requests} == {BODY}


async def test_a_receiver_that_always_closes_fails_in_the_end(sender: Sender) -> None:
    with Receiver(Held()) as receiver:
        attempts = [asyncio.create_task(sent(receiver, sender)) for _ in range(3)]
        await receiver.arrived(3)
        receiver.release()
        await asyncio.gather(*attempts)
        receiver.answer = CLOSED
        assert (await sent(receiver, sender)).error == CLOSED_EARLY
        assert len(receiver.requests) == 3 + 3 + 1, "three kept connections and a new one"


async def test_a_connection_that_is_used_is_not_looked_up_again() -> None:
    names = Names([HOST], ["10.0.0.1"])
    with Receiver() as receiver:
        async with opened(names=names) as sender:
            for _ in range(3):
                assert (await sender.send(receiver.url(host=NAME), {}, BODY)).status == 200
        assert (len(names.asked), receiver.connections) == (1, 1)


async def test_the_host_is_looked_up_again_once_a_connection_was_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_SECONDS", 0.01)
    names = Names([HOST], ["10.0.0.1"])
    with Receiver() as receiver:
        async with opened(names=names) as sender:
            assert (await sender.send(receiver.url(host=NAME), {}, BODY)).status == 200
            await asyncio.sleep(0.05)  # the connection pool keeps the machine's time
            assert (await sender.send(receiver.url(host=NAME), {}, BODY)).error == NOT_PUBLIC
        assert (len(names.asked), receiver.connections) == (2, 1)


# -- where it may go -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, "localhost", "[::1]", "169.254.169.254", "2130706433", "[::ffff:127.0.0.1]"])
async def test_a_url_is_judged_at_each_attempt(host: str) -> None:
    with Receiver() as receiver:
        async with opened(local=False) as sender:
            attempt = await sender.send(f"https://{host}:{receiver.port}/", {}, BODY)
            assert attempt.status is None
            assert attempt.error in {Code.SUBSCRIPTION_URL_FORBIDDEN.sentence, Code.SUBSCRIPTION_URL_INVALID.sentence}
        assert receiver.connections == 0


async def test_plain_http_is_for_local_use_only() -> None:
    with Receiver() as receiver:
        async with opened(local=False) as sender:
            assert (
                await sender.send(receiver.url(host=NAME), {}, BODY)
            ).error == Code.SUBSCRIPTION_URL_INVALID.sentence
        assert receiver.connections == 0


@pytest.mark.parametrize(
    "inside",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  (nothing is bound)
        "224.0.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fe80::1%lo",
        "2606:4700::1111%lo",
        "fd00:ec2::254",
        "ff02::1",
        "127.1",
        "localhost",
        "",
    ],
)
async def test_a_host_with_any_address_inside_is_refused(inside: str) -> None:
    with Receiver() as receiver:
        url = f"https://{NAME}:{receiver.port}/"
        found = [[inside], ["8.8.8.8", inside], [inside, "8.8.8.8"], ["8.8.8.8", "2606:4700::1111", inside]]
        names = Names(*(each for each in found for _ in range(2)))
        async with opened(local=False, names=names) as sender:
            for _ in found:
                attempt = await sender.send(url, {}, BODY)
                assert (attempt.status, attempt.error) == (None, NOT_PUBLIC)
                with pytest.raises(Refusal) as caught:
                    await sender.check(url)
                assert caught.value.code is Code.SUBSCRIPTION_URL_FORBIDDEN
        assert len(names.asked) == 2 * len(found)
        assert receiver.connections == 0


async def test_a_name_that_leads_elsewhere_later_is_refused_then() -> None:
    names = Names(["8.8.8.8"], [HOST])
    with Receiver() as receiver:
        async with opened(local=False, names=names) as sender:
            url = f"https://{NAME}:{receiver.port}/"
            await sender.check(url)
            assert (await sender.send(url, {}, BODY)).error == NOT_PUBLIC
            assert (await sender.send(url, {}, BODY)).error == NOT_PUBLIC
        assert receiver.connections == 0
    assert len(names.asked) == 3


async def test_a_name_that_leads_elsewhere_after_a_success_is_refused_then() -> None:
    names = Names([HOST], ["10.0.0.1"], [HOST, "10.0.0.1"], [HOST])
    with Receiver((200, {"Connection": "close"}, b"")) as receiver:
        async with opened(names=names) as sender:
            attempts = [await sender.send(receiver.url(host=NAME), {}, BODY) for _ in range(4)]
        assert [attempt.error for attempt in attempts] == [None, NOT_PUBLIC, NOT_PUBLIC, None]
        assert len(receiver.requests) == 2


async def test_a_socket_is_only_made_to_where_it_may_lead(sender: Sender) -> None:
    """The last gate, past which nothing goes whoever asked: here the library itself, with an address in the URL."""
    for url in ("http://10.0.0.1/", "http://169.254.169.254/", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/"):
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await sender._session.post(url)
        assert isinstance(caught.value.os_error, NotPublic)


@pytest.mark.parametrize(
    "url,answer,code",
    [
        ("https://e.example/#x", ["8.8.8.8"], Code.SUBSCRIPTION_URL_INVALID),
        ("https://10.0.0.1/", ["8.8.8.8"], Code.SUBSCRIPTION_URL_FORBIDDEN),
        ("https://e.example/", ["10.0.0.1"], Code.SUBSCRIPTION_URL_FORBIDDEN),
        ("https://e.example/", [], Code.SUBSCRIPTION_URL_UNRESOLVED),
        ("https://e.example/", socket.gaierror(socket.EAI_NONAME, "no"), Code.SUBSCRIPTION_URL_UNRESOLVED),
        ("https://e.example/", ["8.8.8.8", "2606:4700::1111"], None),
        ("https://8.8.8.8/", OSError(), None),
    ],
)
async def test_a_url_can_be_judged_without_an_attempt(
    url: str, answer: Sequence[str] | OSError, code: Code | None
) -> None:
    async with opened(local=False, names=Names(answer)) as sender:
        if code is None:
            await sender.check(url)
            return
        with pytest.raises(Refusal) as caught:
            await sender.check(url)
        assert caught.value.code is code


@pytest.mark.parametrize("answer", [[], socket.gaierror(socket.EAI_AGAIN, "again")], ids=["nothing", "failure"])
async def test_a_host_without_an_address_is_an_error(answer: Sequence[str] | OSError) -> None:
    async with opened(names=Names(answer)) as sender:
        attempt = await sender.send(f"http://{NAME}/", {}, BODY)
    assert (attempt.status, attempt.error) == (None, "the host cannot be resolved")


async def test_a_lookup_that_hangs_is_given_up() -> None:
    async def hang(_: str, __: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with Sender.opened(
        local=False, timeout_ms=SHORT_MS, ca_file="", response_bytes_max=0, connections_max=1, resolve=hang
    ) as sender:
        attempt = await sender.send(f"https://{NAME}/", {}, BODY)
        assert attempt.error == f"timed out after {SHORT_MS} ms"
        with pytest.raises(Refusal) as caught:
            await sender.check(f"https://{NAME}/")
        assert caught.value.code is Code.SUBSCRIPTION_URL_UNRESOLVED


async def test_urls_that_are_checked_hold_up_nothing_that_is_sent() -> None:
    never, asked = asyncio.Event(), []

    async def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        if host.startswith("slow"):
            await never.wait()
        return [HOST]

    with Receiver() as receiver:
        async with Sender.opened(
            local=True,
            timeout_ms=TIMEOUT_MS,
            ca_file="",
            response_bytes_max=0,
            connections_max=1,
            resolve=resolve,
        ) as sender:
            most = CHECKS_AT_ONCE_MAX + CHECKS_WAITING_MAX
            checks = [asyncio.create_task(sender.check(f"https://slow-{number}.example/")) for number in range(most)]
            await until(lambda: len(asked) == CHECKS_AT_ONCE_MAX, "as many are looked up as may be")
            with pytest.raises(Refusal) as caught:
                await asyncio.wait_for(sender.check("https://one.more.example/"), 1)
            assert caught.value.code is Code.SUBSCRIPTION_URL_UNRESOLVED
            assert (await sender.send(receiver.url(host=NAME), {}, BODY)).status == 200
            for check in checks:
                check.cancel()
            await asyncio.gather(*checks, return_exceptions=True)
    assert asked == [*(f"slow-{number}.example" for number in range(CHECKS_AT_ONCE_MAX)), NAME]


async def test_a_url_that_is_read_in_two_ways_is_not_asked_for(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Python runs without asserts."""
    with Receiver() as receiver:
        read = checked_url(receiver.url("/two"), local=True)
        monkeypatch.setattr(
            module, "checked_url", lambda *_, **__: msgspec.structs.replace(read, host="another.example")
        )
        attempt = await sender.send(receiver.url("/two"), {}, BODY)
        assert not receiver.requests
    assert (attempt.status, attempt.error) == (None, Code.SUBSCRIPTION_URL_INVALID.sentence)


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_a_certificate_is_checked_against_the_name_and_the_name_is_asked_for(authority: Authority) -> None:
    with Receiver(tls=authority.server(NAME)) as receiver:
        async with opened(ca_file=authority.file) as sender:
            attempt = await sender.send(receiver.url(host=NAME), {}, BODY)
        (request,) = receiver.requests
    assert (attempt.status, attempt.error) == (200, None)
    assert (request.server_name, request.headers["host"]) == (NAME, f"{NAME}:{receiver.port}")


async def test_the_systems_authorities_are_trusted_with_and_without_others(
    sender: Sender, authority: Authority, system_authority: Authority
) -> None:
    with Receiver(tls=system_authority.server(NAME)) as receiver:
        async with opened(ca_file=authority.file) as other:
            for each in (sender, other):
                assert (await each.send(receiver.url(host=NAME), {}, BODY)).status == 200


async def test_a_certificate_may_be_for_an_address(authority: Authority) -> None:
    with Receiver(tls=authority.server(HOST)) as receiver:
        async with opened(ca_file=authority.file) as sender:
            assert (await sent(receiver, sender)).status == 200
        assert receiver.requests[0].server_name is None


@pytest.mark.parametrize(
    "names,days,trusted,sentence",
    [
        ([NAME], 1, False, "TLS: the certificate is not trusted"),
        (["other.example"], 1, True, "TLS: the certificate is for another name"),
        ([HOST], 1, True, "TLS: the certificate is for another name"),
        ([NAME], -1, True, "TLS: the certificate has expired"),
    ],
)
async def test_a_wrong_certificate_gets_nothing(
    authority: Authority, names: list[str], days: int, trusted: bool, sentence: str
) -> None:
    with Receiver(tls=authority.server(*names, days=days)) as receiver:
        async with opened(ca_file=authority.file if trusted else None) as sender:
            attempt = await sender.send(receiver.url(host=NAME), {}, BODY)
        assert (attempt.status, attempt.error) == (None, sentence)
        assert receiver.requests == []


async def test_a_certificate_for_another_address_gets_nothing(authority: Authority) -> None:
    with Receiver(tls=authority.server("127.0.0.2", NAME)) as receiver:
        async with opened(ca_file=authority.file) as sender:
            assert (await sent(receiver, sender)).error == "TLS: the certificate is for another address"
        assert receiver.requests == []


async def test_who_does_not_speak_tls_gets_nothing(authority: Authority) -> None:
    with Receiver(Bytes(parts=[b"HTTP/1.1 200 OK\r\n\r\n"])) as receiver:
        async with opened(timeout_ms=SHORT_MS) as sender:
            attempt = await sender.send(receiver.url(host=NAME).replace("http:", "https:"), {}, BODY)
        assert attempt.status is None
        assert attempt.error in {"TLS: no connection could be agreed on", f"timed out after {SHORT_MS} ms"}
        assert receiver.requests == []


async def test_who_breaks_the_handshake_off_gets_nothing(sender: Sender, authority: Authority) -> None:
    context = authority.server(NAME)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # which needs another kind of key than it has
    with Receiver(tls=context) as receiver:
        attempt = await sender.send(receiver.url(host=NAME), {}, BODY)
        assert (attempt.status, attempt.error) == (None, CLOSED_EARLY)
        assert receiver.requests == []


def test_tls_is_as_strict_as_can_be() -> None:
    context = module._trusted("")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_a_file_of_authorities_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    for file in (tmp_path / "missing.pem", tmp_path, empty, wrong):
        with pytest.raises(SettingsError, match="DESK_WEBHOOKS_CA_FILE"):
            async with opened(ca_file=file):
                pass


# -- Retry-After ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("0120", 120),
        ("9" * 19, 1_000_000_000),
        ("9" * 5_000, 1_000_000_000),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        ("soon", None),
        ("1_000", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1_000_000_000),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 1_000_000_000),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 99 Dec 2030 23:59:59 GMT", None),
        ("Fri, 31 Dec 2030 23:59:59 +99999999", None),
        ("Fri, 31 Dec 2030 23:59:59 +" + "9" * 20, None),
        ("Fri, 31 Dec " + "9" * 30 + " 23:59:59 GMT", None),
        ("2030-12-31T23:59:59Z", None),
        ("\u0663".encode().decode("latin-1"), None),  # a digit of another script, as UTF-8
        ("\xb2", None),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_a_pause_that_is_asked_for_is_told(sender: Sender, text: str, seconds: int | None) -> None:
    with Receiver((429, {"Retry-After": text}, b"")) as receiver:
        attempt = await sent(receiver, sender)
    assert (attempt.status, attempt.error, attempt.retry_after_seconds) == (429, None, seconds)


@pytest.mark.parametrize("status", [200, 302, 429, 500, 503])
async def test_a_pause_may_be_a_date_and_counts_where_waiting_helps(sender: Sender, status: int) -> None:
    until_then = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    with Receiver((status, {"Retry-After": until_then}, b"")) as receiver:
        asked = (await sent(receiver, sender)).retry_after_seconds
    if status in {429, 503}:
        assert asked is not None
        assert 590 <= asked <= 600
    else:
        assert asked is None


async def test_no_pause_that_is_asked_for_can_break_an_attempt(sender: Sender) -> None:
    chance = random.Random(new_seed())
    proper, strewn = "Fri, 31 Dec 2030 23:59:59 GMT", '0123456789:,+- GMTZ()"\\;.\xb2\xff'

    def nonsense(_: object) -> tuple[int, dict[str, str], bytes]:
        text = list(proper)
        for _ in range(chance.randint(1, 5)):
            place = chance.randrange(len(text))
            text[place : place + chance.randint(0, 3)] = chance.choice(strewn) * chance.randint(0, 9)
        return 503, {"Retry-After": "".join(text)}, b""

    with Receiver(nonsense) as receiver:
        for _ in range(500):
            attempt = await sent(receiver, sender)
            assert (attempt.status, attempt.error) == (503, None)
            assert attempt.retry_after_seconds is None or 0 <= attempt.retry_after_seconds <= 1_000_000_000


async def test_an_attempt_leaves_no_noise(sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for answer in (
            200,
            CLOSED,
            Bytes(parts=[b"garbage\r\n\r\n"]),
            Bytes(parts=[OK_HEAD, b"Content-Length: 5\r\n\r\n"]),
        ):
            with Receiver(answer) as receiver:
                await sent(receiver, sender)
    assert caplog.records == []

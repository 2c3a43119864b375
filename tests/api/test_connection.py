"""A connection as HTTP/1.1 has it: requests in turn, sent ahead, broken off; and its bounds in bytes and in time."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from otcdesk.api.connection import Connection, ConnectionLimits
from otcdesk.api.http import Answer, Request
from otcdesk.api.proxies import TrustedProxies
from otcdesk.config import SettingsError
from tests.support.desk import CONTRACT_WORLD
from tests.support.served import NewServer
from tests.support.server import CSRF, EXCHANGES, DeskServer, RawAnswer, World, check_error, read_answer


class Wire:
    """A socket to the server: bytes go out as they are, answers come back one by one."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.stream = connection.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self.connection.sendall(b"".join(parts))

    def answer(self) -> RawAnswer:
        return read_answer(self.stream)

    def is_over(self) -> bool:
        """Wait for the server to hang up; False if it says something first."""
        return self.stream.read(1) == b""


@contextmanager
def wired(server: DeskServer) -> Iterator[Wire]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        yield Wire(connection)


def get(target: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/{version}", "Host: desk", *lines, "", ""]).encode()


def quote(world: World, *lines: str, body: bytes | None = None) -> bytes:
    """A quote's request; without a body of its own it is whole."""
    content = json.dumps(world.buy_body("1.00")).encode() if body is None else body
    length = [f"Content-Length: {len(content)}"] if body is None else []
    common = [f"x-api-key: {world.keys['KA']}", f"X-CSRF-Token: {CSRF}", "Content-Type: application/json"]
    head = "\r\n".join([f"POST {EXCHANGES}/quote HTTP/1.1", "Host: desk", *common, *length, *lines, "", ""])
    return head.encode() + content


def test_requests_that_are_sent_ahead_are_answered_in_turn(world: World) -> None:
    ids = [f"request-{number:04}" for number in range(50)]
    with wired(world.server) as wire:
        wire.send(*(quote(world, f"X-Request-Id: {one}") for one in ids))
        answers = [wire.answer() for _ in ids]
    assert [answer.status for answer in answers] == [200] * len(ids)
    assert [answer.headers["x-request-id"] for answer in answers] == ids


def test_very_many_tiny_requests_at_once_are_all_answered(server: DeskServer) -> None:
    ids = [f"request-{number:04}" for number in range(2_000)]
    with wired(server) as wire:
        wire.send(*(f"GET /x HTTP/1.1\r\nx-request-id:{one}\r\n\r\n".encode() for one in ids))
        answers = [wire.answer() for _ in ids]
    assert {answer.status for answer in answers} == {404}
    assert [answer.headers["x-request-id"] for answer in answers] == ids


def test_a_request_that_comes_byte_by_byte_is_one_request(world: World) -> None:
    with wired(world.server) as wire:
        for byte in quote(world):
            wire.send(bytes([byte]))
        assert wire.answer().status == 200


def test_who_sends_no_more_is_answered_all_the_same(world: World) -> None:
    with wired(world.server) as wire:
        wire.send(quote(world), quote(world))
        wire.connection.shutdown(socket.SHUT_WR)
        assert [wire.answer().status, wire.answer().status] == [200, 200]
        assert wire.is_over()


@pytest.mark.parametrize(
    "request_bytes, keeps",
    [
        (get("/healthz"), True),
        (get("/healthz", "Connection: close"), False),
        (get("/healthz", version="1.0"), False),
        (get("/healthz", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), False),
    ],
    ids=["kept", "close", "1.0", "upgrade"],
)
def test_a_connection_is_kept_unless_its_client_wants_no_more(
    server: DeskServer, request_bytes: bytes, keeps: bool
) -> None:
    with wired(server) as wire:
        wire.send(request_bytes)
        answer = wire.answer()
        assert (answer.status, answer.headers.get("connection")) == (200, None if keeps else "close")
        if keeps:
            wire.send(request_bytes)
            assert wire.answer().status == 200
        else:
            assert wire.is_over()


def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(world: World) -> None:
    whole = quote(world, "Expect: 100-continue")
    head, _, body = whole.partition(b"\r\n\r\n")
    with wired(world.server) as wire:
        wire.send(head, b"\r\n\r\n")
        assert (wire.stream.readline(), wire.stream.readline()) == (b"HTTP/1.1 100 Continue\r\n", b"\r\n")
        wire.send(body)
        assert wire.answer().status == 200


def test_who_may_not_ask_is_told_before_his_body_is_here(world: World) -> None:
    head = quote(world, "Content-Length: 60000", body=b"")
    with wired(world.server) as wire:
        wire.send(head.replace(world.keys["KA"].encode(), b"sk_test_nobody"))
        assert wire.answer().status == 401
        wire.send(b"x" * 60_000, get("/healthz"))  # the body that nobody wanted, and then the next request
        assert wire.answer().status == 200


@pytest.mark.parametrize("rest", [b"zz\r\nxx\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n"])
def test_a_body_that_stops_being_http_is_refused(world: World, rest: bytes) -> None:
    with wired(world.server) as wire:
        wire.send(quote(world, "Transfer-Encoding: chunked", body=b""), rest)
        assert wire.answer().status == 400
        assert wire.is_over()
    assert world.server.http.get("/healthz").status_code == 200


def test_what_stops_being_http_after_good_requests_is_refused_after_their_answers(world: World) -> None:
    with wired(world.server) as wire:
        wire.send(quote(world), quote(world), b"\x00\x01\x02\r\n\r\n")
        answers = [wire.answer() for _ in range(3)]
        assert wire.is_over()
    assert [answer.status for answer in answers] == [200, 200, 400]
    assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]


def test_a_request_is_answered_once_whatever_comes_after_it(world: World) -> None:
    head = quote(world, "Transfer-Encoding: chunked", body=b"").replace(world.keys["KA"].encode(), b"sk_test_nobody")
    with wired(world.server) as wire:
        wire.send(head)
        assert wire.answer().status == 401
        wire.send(b"ZZ\r\n")  # its body stops being HTTP after the answer
        assert wire.is_over()
    with wired(world.server) as wire:
        wire.send(get("/healthz", "Connection: close"), get("/healthz"))
        assert wire.answer().headers["connection"] == "close"
        assert wire.is_over()


def test_what_follows_a_body_is_no_header(world: World) -> None:
    body = json.dumps(world.buy_body("1.00")).encode()
    head = quote(world, "Transfer-Encoding: chunked", body=b"").replace(b"x-api-key", b"x-other-key")
    trailer = f"x-api-key: {world.keys['KA']}\r\n".encode()
    with wired(world.server) as wire:
        wire.send(head, b"%x\r\n%b\r\n0\r\n" % (len(body), body), trailer, b"\r\n")
        assert wire.answer().status == 401


def test_a_body_that_is_held_back_from_who_may_not_ask_ends_the_connection(world: World) -> None:
    head = quote(world, "Content-Length: 60000", "Expect: 100-continue", body=b"")
    with wired(world.server) as wire:
        wire.send(head.replace(world.keys["KA"].encode(), b"sk_test_nobody"))
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert wire.is_over()


@pytest.mark.parametrize("target", ["/healthz#part", "http://desk/healthz", "/%68ealthz", "/healthz?a=1"])
def test_targets_name_their_path_in_every_form(server: DeskServer, target: str) -> None:
    with wired(server) as wire:
        wire.send(get(target))
        assert wire.answer().status == 200


def test_pages_are_only_read(server: DeskServer) -> None:
    answer = server.http.post("/healthz")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    check_error(405, answer.json())


def test_a_client_that_does_not_read_is_not_answered_without_end(world: World) -> None:
    with wired(world.server) as wire:
        wire.connection.settimeout(1)
        with pytest.raises(TimeoutError):  # the server stopped reading: what it would answer has nowhere to go
            wire.send(get("/openapi/exchanges.json") * 500_000)
    assert world.server.http.get("/healthz").status_code == 200


def test_a_client_that_never_reads_is_cut_off(new_server: NewServer) -> None:
    server = new_server(DESK_IDLE_SECONDS_MAX="1", DESK_BODY_SECONDS_MAX="1")
    with wired(server) as wire:
        wire.connection.settimeout(10)
        with pytest.raises(ConnectionError):
            wire.send(get("/openapi/exchanges.json") * 2_000_000)


def test_silence_and_slowness_end_a_connection(new_server: NewServer) -> None:
    server = new_server(DESK_IDLE_SECONDS_MAX="1", DESK_BODY_SECONDS_MAX="1")
    with wired(server) as silent, wired(server) as slow, wired(server) as kept:
        slow.send(b"GET /healthz HTT")
        kept.send(get("/healthz"))
        assert kept.answer().status == 200
        assert silent.is_over()
        assert slow.is_over()
        assert kept.is_over()


def test_stopping_waits_for_the_body_of_a_request_under_way(new_server: NewServer) -> None:
    server = new_server()
    world = World(server)
    whole = quote(world, "Expect: 100-continue")
    head, _, body = whole.partition(b"\r\n\r\n")
    with wired(server) as wire, wired(server) as idle:
        wire.send(head, b"\r\n\r\n")
        assert wire.stream.readline() + wire.stream.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert server.process is not None
        server.process.terminate()
        assert idle.is_over()
        wire.send(body)
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert server.process.wait(timeout=20) == 0


# -- proxies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trusted, peer, told, client",
    [
        ("", "10.0.0.1", b"1.2.3.4", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", b"1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "10.0.0.2", b"1.2.3.4", "10.0.0.2"),
        ("10.0.0.0/8", "10.9.9.9", b"6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("10.0.0.0/8", "10.9.9.9", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.0/8", "::ffff:10.9.9.9", b"1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "10.9.9.9", b"", "10.9.9.9"),
        ("10.0.0.0/8", "10.9.9.9", None, "10.9.9.9"),
        ("10.0.0.0/8", "10.9.9.9", b"unknown", "unknown"),
        ("*", "4.4.4.4", b"1.2.3.4, 5.6.7.8", "1.2.3.4"),
        ("::1, 127.0.0.1", "::1", b"2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_proxy_is_believed_if_it_is_trusted(trusted: str, peer: str, told: bytes | None, client: str) -> None:
    assert TrustedProxies(trusted).client(peer, told) == client


@pytest.mark.parametrize(
    "trusted, peer, told, by_tls",
    [
        ("", "10.0.0.1", b"https", False),
        ("10.0.0.1", "10.0.0.1", b"https", True),
        ("10.0.0.1", "10.0.0.1", b" HTTPS ", True),
        ("10.0.0.1", "10.0.0.1", b"http", False),
        ("10.0.0.1", "10.0.0.1", None, False),
        ("10.0.0.1", "10.0.0.2", b"https", False),
        ("*", "4.4.4.4", b"https", True),
    ],
)
def test_a_proxy_that_is_trusted_says_what_came_by_tls(
    trusted: str, peer: str, told: bytes | None, *, by_tls: bool
) -> None:
    assert TrustedProxies(trusted).came_by_tls(peer, told) is by_tls


def test_a_proxy_that_is_no_address_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="DESK_TRUSTED_PROXIES"):
        TrustedProxies("10.0.0.1, proxy.example")


def test_every_line_that_proxies_added_counts(new_server: NewServer) -> None:
    server = new_server(DESK_TRUSTED_PROXIES="127.0.0.1")
    limited = CONTRACT_WORLD.replace('ref = "KAr"\n', 'ref = "KAr"\nsource_ips = ["9.9.9.9"]\n')
    secret = World(server, world=limited).keys["KAr"]
    cases = {("9.9.9.9", "127.0.0.1"): 200, ("127.0.0.1", "9.9.9.9"): 200, ("9.9.9.9", "8.8.8.8"): 403}
    for lines, status in cases.items():
        with wired(server) as wire:
            wire.send(get(EXCHANGES, f"x-api-key: {secret}", *(f"X-Forwarded-For: {line}" for line in lines)))
            assert wire.answer().status == status


# -- bodies that nobody has asked for ----------------------------------------------------------------------------------


class Pipe(asyncio.Transport):
    """A transport that only knows whether it is read, and what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._reads = True

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        self.written += data


@pytest.mark.parametrize("asks", [True, False])
async def test_more_of_a_body_than_any_may_have_is_read_once_somebody_asks_for_it(asks: bool) -> None:
    """Until then the client waits, so nobody fills the memory with what nobody has let in."""
    admitted = asyncio.Event()
    served: list[Request] = []

    async def serve(request: Request) -> Answer:
        served.append(request)
        await admitted.wait()
        if not asks:
            return Answer(401, {})
        return Answer(200, {"bytes": len(await request.body(seconds_max=9, bytes_max=1_000_000))})

    state = SimpleNamespace(connections=set(), tasks=set())
    limits = ConnectionLimits(head_bytes=8_192, body_bytes=10_000, request_seconds=60, idle_seconds=60)
    connection, pipe = Connection(serve, limits, TrustedProxies(""), server_state=state), Pipe()
    connection.connection_made(pipe)
    head = b"POST / HTTP/1.1\r\nHost: desk\r\nContent-Length: 200000\r\n\r\n"
    connection.data_received(head + b"x" * 200_000 + get("/"))
    await asyncio.sleep(0)
    (request,) = served
    assert not pipe.is_reading()
    assert sum(map(len, request._pieces)) < 10_000 + 2 * 4_096
    admitted.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert pipe.is_reading()
    assert pipe.written.count(b"HTTP/1.1") == len(served) == 2
    assert (b'{"bytes":200000}' in pipe.written) == asks
    connection.connection_lost(None)

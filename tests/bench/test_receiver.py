"""The benchmark's receiver: what it counts, and that it sees what must not be."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from otcdesk.bench.receiver import Receiver

SIGNED = "X-Webhook-Signature: sha256=00\r\n"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def message(event: str, *, signature: str = SIGNED, method: str = "POST", prefix: str = "evt_") -> bytes:
    body = f'{{"id":"{prefix}{event}","type":"otc_exchange.created"}}'
    return f"{method} /hook HTTP/1.1\r\nHost: x\r\n{signature}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def connected(url: str) -> socket.socket:
    place = urlsplit(url)
    assert place.hostname is not None
    return socket.create_connection((place.hostname, place.port), timeout=10)


def post(connection: socket.socket, *parts: bytes) -> None:
    for part in parts:
        connection.sendall(part)
    assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_messages_and_distinct_events_are_counted_on_one_connection(receiver: Receiver) -> None:
    before = receiver.counted()
    with connected(receiver.places.live) as connection:
        for event in ("1", "2", "2"):
            post(connection, message(event))
    counted = receiver.counted()
    assert counted.messages == 3
    assert (counted.events - before.events, counted.again - before.again) == (2, 1)
    assert 0 < counted.first_ns < counted.last_ns
    assert receiver.counted().messages == 0


def test_a_message_in_parts_is_one(receiver: Receiver) -> None:
    receiver.counted()
    whole = message("3")
    with connected(receiver.places.live) as connection:
        for cut in (10, whole.index(b"\r\n\r\n") + 4, len(whole) - 1):
            post(connection, whole[:cut], whole[cut:])
    assert receiver.counted().messages == 3


def test_one_port_refuses_and_one_keeps_silent(receiver: Receiver) -> None:
    with pytest.raises(ConnectionRefusedError):
        connected(receiver.places.refusing)
    with connected(receiver.places.silent) as connection:
        connection.sendall(message("4"))
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)


@pytest.mark.parametrize("wrong", [message("5", signature=""), message("6", method="GET"), message("7", prefix="")])
def test_what_is_not_as_it_must_be_is_told(wrong: bytes) -> None:
    with Receiver() as receiver:
        with connected(receiver.places.live) as connection:
            post(connection, wrong)
        with pytest.raises(RuntimeError, match="not as it must be"):
            receiver.counted()

"""The receiver for people, on real sockets: what it makes of messages, and of desks that are none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from otcdesk.app import ENVELOPES
from otcdesk.webhooks.envelope import Envelope
from otcdesk.webhooks.listening import Arrived, DeskRefused, Listener, OperatorCalls, Wanted, open_port
from tests.support.callbacks import about_webhook, checking, fresh, sending
from tests.support.receiver import Receiver

STANDARD = ENVELOPES.named("standard")


class Heard:
    """A listener on a free port, a key that it checks with, and what it told."""

    def __init__(self, envelope: Envelope, url: str, client: httpx.AsyncClient) -> None:
        self.envelope = envelope
        self.url = url
        self.client = client
        self.key = fresh(envelope.key_kinds[0])
        self.arrived: list[Arrived] = []

    async def post(self, body: bytes, event_id: str = "evt_1") -> int:
        sent = sending(body, self.key, url=self.url, event_type=self.envelope.test_type)
        sent = msgspec.structs.replace(sent, event_id=event_id)
        return (await self.client.post(self.url, content=body, headers=self.envelope.headers(sent))).status_code


@asynccontextmanager
async def listening(envelope: Envelope = STANDARD, *, answer: int = 200) -> AsyncIterator[Heard]:
    opened = open_port(0)
    url = f"http://127.0.0.1:{opened.getsockname()[1]}/in"
    async with httpx.AsyncClient() as client:
        heard = Heard(envelope, url, client)
        listener = Listener(envelope, "/in", answer=answer, tell=heard.arrived.append)
        listener.check_with([checking(heard.key)])
        async with listener.listening(opened):
            yield heard


@pytest.mark.parametrize("name", ENVELOPES.names)
async def test_a_message_is_checked_and_told_and_its_repetition_is_known(name: str) -> None:
    envelope = ENVELOPES.named(name)
    told = envelope.told(about_webhook())
    assert told is not None
    async with listening(envelope) as heard:
        assert [await heard.post(told.body) for _ in range(2)] == [200, 200]
    assert [(one.verified, one.duplicate) for one in heard.arrived] == [(True, False), (True, True)], heard.arrived
    assert {one.glance.event_type for one in heard.arrived} == {envelope.test_type}
    assert {one.body for one in heard.arrived} == {told.body}


async def test_a_forged_message_is_told_as_such_and_takes_nobodys_id() -> None:
    async with listening() as heard:
        good, heard.key = heard.key, fresh(heard.key.kind)
        await heard.post(b'{"type":"x"}')
        heard.key = good
        await heard.post(b'{"type":"x"}')
    forged, real = heard.arrived
    assert (forged.verified, forged.duplicate) == (False, False)
    assert "does not fit" in forged.proof
    assert (real.verified, real.duplicate) == (True, False)


@pytest.mark.parametrize("name", ENVELOPES.names)
async def test_bytes_that_are_no_text_in_any_header_are_not_verified(name: str) -> None:
    """Anybody on this machine can post anything; the receiver answers as always and says so."""
    envelope = ENVELOPES.named(name)
    async with listening(envelope) as heard:
        sent = envelope.headers(sending(b"{}", heard.key, url=heard.url))
        more = {
            "exchanges": ["X-Webhook-Signature-Previous"],
            "ramp": ["Webhook-Signature-Previous"],
            "offers": ["Host"],
        }
        asked = [*(header for header in sent if header != "Content-Type"), *more.get(name, [])]
        for header in asked:
            raw = [(key.encode(), value.encode()) for key, value in {**sent, header: ""}.items() if key != header]
            # The signature itself is altered, so that those that sign nothing are looked at too.
            wrong = [(key, b"x" + value if key.lower().endswith(b"signature") else value) for key, value in raw]
            told = await heard.client.post(heard.url, content=b"{}", headers=[*wrong, (header.encode(), b"a\xff\x80")])
            assert told.status_code == 200, header
    assert len(heard.arrived) == len(asked) > 0
    assert not any(one.verified for one in heard.arrived)


async def test_it_answers_as_it_is_told_to() -> None:
    async with listening(answer=503) as heard:
        assert await heard.post(b"{}") == 503
    assert len(heard.arrived) == 1


async def test_what_is_not_for_it_is_not_told() -> None:
    async with listening() as heard:
        wrong_method = await heard.client.get(heard.url)
        assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
        assert (await heard.client.post(f"{heard.url}/other", content=b"{}")).status_code == 404
        assert (await heard.client.post(heard.url, content=b"x" * (1 << 21))).status_code == 413
        assert not heard.arrived
        assert (await heard.client.post(f"{heard.url}?a=1", content=b"{}")).status_code == 200
    assert [one.verified for one in heard.arrived] == [False]


DESKS = [
    (200, b"<html>"),
    (200, b'{"data":{}}'),
    (200, b"[]"),
    (404, b"nothing here"),
    (500, b'{"error":"x"}'),
    (302, b""),
    (200, b"\xff"),
]


@pytest.mark.parametrize("status,body", DESKS)
async def test_what_is_no_desk_is_called_none(status: int, body: bytes) -> None:
    with Receiver((status, {"Location": "/"}, body)) as server:
        async with OperatorCalls.opened(server.url(""), "token") as calls:
            with pytest.raises(DeskRefused, match="is no desk"):
                await calls.register(Wanted(envelope=STANDARD), "http://127.0.0.1:1/")


async def test_a_desk_that_hangs_up_is_told() -> None:
    async with OperatorCalls.opened("http://127.0.0.1:1", "token") as calls:
        with pytest.raises(DeskRefused, match=r"No desk answers at http://127\.0\.0\.1:1\."):
            await calls.remove("x")


@pytest.mark.parametrize("base_url", ["nonsense", "http://", "http://[", "ftp://127.0.0.1"])
async def test_what_is_no_url_is_told(base_url: str) -> None:
    async with OperatorCalls.opened(base_url, "token") as calls:
        with pytest.raises(DeskRefused, match="No desk answers at"):
            await calls.remove("x")


async def test_a_webhook_without_keys_to_check_with_is_taken_away_again() -> None:
    """A desk that makes the webhook and then does not publish its keys."""
    ramp, removed = ENVELOPES.named("ramp"), []

    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        method, path = getattr(request, "method", ""), getattr(request, "path", "")
        if method == "DELETE":
            removed.append(path)
        if method == "GET":
            return (404, {}, b"") if path == "/webhooks/keys" else (200, {}, b'{"data":[]}')
        return 200, {}, b'{"data":{"id":"7","url":"u","envelope":"ramp","description":null}}'

    with Receiver(answer) as server:
        async with OperatorCalls.opened(server.url(""), "token") as calls:
            with pytest.raises(DeskRefused, match="does not publish its keys"):
                await calls.register(Wanted(envelope=ramp, event_types=["Transaction"]), "http://127.0.0.1:1/")
    assert removed == ["/operator/webhooks/7"]

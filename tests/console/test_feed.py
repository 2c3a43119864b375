"""Being told when the books move: at once, of one's own lane only, and no longer than one is signed in."""

import asyncio
import re
from contextlib import ExitStack

import httpx
import pytest

from otcdesk.console import feed as feeds
from otcdesk.console.feed import STREAMS_MAX, STREAMS_PER_PERSON_MAX, Feed
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads
from tests.support.consoles import Person, signed_in
from tests.support.served import NewWorld
from tests.support.server import NO_AUTHORITIES, World, wait_until


def events(person: Person, stack: ExitStack, path: str = "/console/events") -> httpx.Response:
    """Open a stream, and leave it open."""
    http = stack.enter_context(
        httpx.Client(base_url=person.server.url, verify=NO_AUTHORITIES, timeout=20, cookies=person.http.cookies)
    )
    return stack.enter_context(http.stream("GET", path))


def test_a_page_is_told_when_its_own_lane_moves(world: World, new_world: NewWorld) -> None:
    other = new_world()
    with ExitStack() as stack:
        stream = events(signed_in(world, "trader"), stack)
        assert stream.status_code == 200
        assert stream.headers["content-type"] == "text/event-stream"
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        other.confirmed_buy()
        told = []

        def is_told() -> bool:
            world.buy("10.00")
            told.append(next(line for line in lines if line.startswith("event: ")))
            return True

        wait_until(is_told, "the page is told")
        assert told == ["event: books"]


def test_a_page_is_told_what_moved_before_it_listened(world: World) -> None:
    """Between its making and its stream, and between two streams of it, nobody listened."""
    person = signed_in(world, "trader")
    (path,) = re.findall(r'sse-connect="(/console/events\?since=\d+)"', person.get("/orders").text)
    world.buy("10.00")
    with ExitStack() as stack:
        stream = events(person, stack, path)
        assert stream.headers["x-accel-buffering"] == "no"
        told = next(line for line in stream.iter_lines() if line.startswith(("event: ", ": still here")))
        assert told == "event: books"


def test_somebody_may_open_so_many_pages_and_no_more(world: World) -> None:
    person = signed_in(world, "trader")
    with ExitStack() as stack:
        opened = [events(person, stack).status_code for _ in range(STREAMS_PER_PERSON_MAX + 1)]
        assert opened == [200] * STREAMS_PER_PERSON_MAX + [429]
        assert events(signed_in(world, "trader"), stack).status_code == 200
    wait_until(lambda: _opens(person), "those that were closed are free again")


def _opens(person: Person) -> bool:
    with ExitStack() as stack:
        return events(person, stack).status_code == 200


async def _always() -> bool:
    return True


async def test_who_is_signed_out_is_told_nothing_more(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is who is disabled, who was idle for too long, and everybody of a lane that is closed: none has a session."""
    monkeypatch.setattr(feeds, "_SIGN_OF_LIFE_SECONDS", 0.01)
    feed, is_in = Feed(reads), True

    async def is_signed_in() -> bool:
        return is_in

    stream = feed.stream(1, "person:a", is_signed_in)
    assert [await anext(stream), await anext(stream)] == [b"retry: 2000\n\n", b": still here\n\n"]
    assert feed.streams == 1
    is_in = False
    async with asyncio.timeout(10):
        assert [piece async for piece in stream] == []
    assert feed.streams == 0
    await feed.stop()


async def test_a_page_that_is_up_to_date_is_told_only_what_comes(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_SIGN_OF_LIFE_SECONDS", 0.01)
    feed = Feed(reads)
    stream = feed.stream(1, "person:a", _always, since=await feed.head(1))
    assert [await anext(stream), await anext(stream)] == [b"retry: 2000\n\n", b": still here\n\n"]
    feed._seen(1, feed._heads[1] + 1)
    assert (await anext(stream)).startswith(b"event: books\n")
    await stream.aclose()
    await feed.stop()


async def test_while_the_database_is_away_pages_stay_and_look_by_themselves(
    reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_SIGN_OF_LIFE_SECONDS", 0.01)
    feed = Feed(reads)

    async def nobody_knows(*_: object) -> bool:
        raise ConnectionRefusedError

    monkeypatch.setattr(feed, "head", nobody_knows)
    stream = feed.stream(1, "person:a", nobody_knows, since=7)
    pieces = [await anext(stream) for _ in range(3)]
    assert pieces[0] == b"retry: 2000\n\n"
    assert {b": still here\n\n", b"event: books\ndata: 0\n\n"} <= set(pieces)
    await stream.aclose()
    await feed.stop()


async def test_a_stream_that_is_closed_is_forgotten(reads: Reads) -> None:
    feed = Feed(reads)
    stream = feed.stream(1, "person:a", _always)
    await anext(stream)
    await stream.aclose()
    assert (feed.streams, feed._by_person, feed._heads) == (0, {}, {})
    await feed.stop()


async def test_a_process_tells_so_many_pages_and_no_more(reads: Reads) -> None:
    feed = Feed(reads)
    streams = [feed.stream(1, f"person:{number}", _always) for number in range(STREAMS_MAX)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(Refusal) as refused:
        feed.stream(1, "person:other", _always)
    assert refused.value.code is Code.RATE_LIMITED
    for stream in streams:
        await stream.aclose()
    assert feed.streams == 0
    await feed.stop()

"""When there is too much to do: rate limits per tenant, a full queue, and stopping without losing an answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from otcdesk.storage.statements import TURN_CLASS
from tests.support.databases import run_apart
from tests.support.served import NewServer
from tests.support.server import (
    CSRF,
    EXCHANGES,
    NO_AUTHORITIES,
    ORDERS,
    DeskServer,
    World,
    assert_refused,
    lane_of,
    read_raw,
    wait_until,
)

IN_PARALLEL = 12

#: More than any request has, and more than a socket takes in without being read.
ENDLESS_BYTES = 20_000_000


# -- rate limits (exchanges contract 2.8) ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(new_server: NewServer) -> DeskServer:
    return new_server(DESK_EXCHANGES_REQUESTS_PER_SECOND="5", DESK_OPERATOR_REQUESTS_PER_SECOND="5")


def _until_refused(call: Callable[[], httpx.Response]) -> tuple[int, httpx.Response]:
    """Call until told to slow down, from the start of a window; returns how often it went well, and the refusal."""
    wait_until(lambda: call().status_code == 429, "the limit is reached")
    wait_until(lambda: call().status_code == 200, "a new window has begun")
    good = 1
    while (answer := call()).status_code == 200:
        good += 1
        assert good < 100
    return good, answer


def test_a_tenant_over_its_limit_is_told_to_slow_down(limited: DeskServer) -> None:
    world = World(limited)
    good, refused = _until_refused(lambda: world.get(""))
    assert good == 5
    assert_refused(refused, 429, "RATE_LIMITED")
    assert refused.headers["retry-after"] == "1"
    assert_refused(world.get("", key="KAr"), 429, "RATE_LIMITED")
    assert world.get("", key="KB").status_code == 200


def test_an_operator_over_its_limit_is_told_to_slow_down(limited: DeskServer) -> None:
    world = World(limited)
    good, refused = _until_refused(lambda: world.operator("GET", ORDERS))
    assert good == 5
    assert_refused(refused, 429, "RATE_LIMITED")
    assert refused.headers["retry-after"] == "1"


def test_what_is_refused_for_its_rate_is_not_stored_under_its_key(limited: DeskServer) -> None:
    world = World(limited)
    wait_until(lambda: world.post("/quote", world.buy_body("1")).status_code == 200, "a quote")
    quote_id = world.get("").json()["data"][0]["id"] if world.get("").status_code == 200 else None
    if quote_id is None:
        wait_until(lambda: world.get("").status_code == 200, "a new window")
        quote_id = world.get("").json()["data"][0]["id"]
    key = str(uuid4())
    wait_until(lambda: world.get("").status_code == 429, "the limit is reached")
    first = world.confirm(quote_id, idempotency=key)
    assert first.status_code in {201, 429}
    wait_until(lambda: world.confirm(quote_id, idempotency=key).status_code == 201, "the confirm goes through")


def test_without_a_limit_there_is_none(world: World) -> None:
    assert {world.get("").status_code for _ in range(200)} == {200}


# -- a full queue ------------------------------------------------------------------------------------------------------


class HeldLane:
    """A world's lane, held as another writer would hold it: batches wait at the door until it is let go."""

    def __init__(self, world: World) -> None:
        self.dsn = world.server.environ["DATABASE_URL"]
        self.lane = lane_of(world)
        self.held = threading.Event()
        self.let_go = threading.Event()

    async def hold(self) -> None:
        """Hold the lane until it is let go."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.fetchval("select pg_advisory_lock($1, $2)", TURN_CLASS, self.lane)
            self.held.set()
            while not self.let_go.is_set():
                await connection.fetchval("select pg_sleep(0.01)")
        finally:
            await connection.close()

    def wait_for_a_batch(self) -> None:
        """Wait until a batch stands at the door, so that whatever comes now waits in the queue."""

        async def stands_there() -> bool:
            connection = await asyncpg.connect(self.dsn)
            try:
                found = await connection.fetchval(
                    "select count(*) from pg_locks where locktype = 'advisory' and not granted"
                    " and classid = $1 and objid = $2 and database = (select oid from pg_database"
                    " where datname = current_database())",
                    TURN_CLASS,
                    self.lane,
                )
                return bool(found)
            finally:
                await connection.close()

        wait_until(lambda: run_apart(stands_there()), "a batch stands at the door")


@contextmanager
def held_lane(world: World) -> Iterator[HeldLane]:
    """Hold a world's lane for a while."""
    lane = HeldLane(world)
    thread = threading.Thread(target=run_apart, args=(lane.hold(),))
    thread.start()
    try:
        assert lane.held.wait(10)
        yield lane
    finally:
        lane.let_go.set()
        thread.join()


def waiting(server: DeskServer) -> int:
    """Return how many commands wait in a server's queue."""
    answer: dict[str, Any] = httpx.get(f"{server.url}/readyz", verify=NO_AUTHORITIES).json()
    return int(answer["waiting"])


def test_a_full_queue_is_told_and_nothing_is_lost(new_server: NewServer) -> None:
    world = World(new_server(DESK_QUEUE_WAITING_MAX="4"), frozen=True)
    with ThreadPoolExecutor(IN_PARALLEL + 1) as threads:
        with held_lane(world) as lane:
            calls = [threads.submit(world.post, "/quote", world.buy_body("1.00"))]
            lane.wait_for_a_batch()
            calls += [threads.submit(world.post, "/quote", world.buy_body("1.00")) for _ in range(IN_PARALLEL)]
            refused = _done(calls, IN_PARALLEL - 4)
            assert len(refused) == IN_PARALLEL - 4
            for answer in refused:
                assert_refused(answer, 503, "SERVICE_UNAVAILABLE")
                assert answer.headers["retry-after"] == "1"
        answers = [call.result() for call in calls]
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [503] * (IN_PARALLEL - 4)
    assert world.get("").json()["meta"]["pagination"]["total"] == 5


def _done(calls: list["Future[httpx.Response]"], count: int) -> list[httpx.Response]:
    wait_until(lambda: sum(call.done() for call in calls) >= count, f"{count} calls are answered")
    return [call.result() for call in calls if call.done()]


def test_an_overloaded_confirm_is_not_stored_under_its_key(new_server: NewServer) -> None:
    world = World(new_server(DESK_QUEUE_WAITING_MAX="1"), frozen=True)
    quote_id, key = world.buy(), str(uuid4())
    with ThreadPoolExecutor(IN_PARALLEL) as threads:
        with held_lane(world) as lane:
            filling = [threads.submit(world.post, "/quote", world.buy_body("1.00"))]
            lane.wait_for_a_batch()
            filling += [threads.submit(world.post, "/quote", world.buy_body("1.00")) for _ in range(2)]
            _done(filling, 1)
            assert_refused(world.confirm(quote_id, idempotency=key), 503, "SERVICE_UNAVAILABLE")
        for call in filling:
            call.result()
    assert world.confirm(quote_id, idempotency=key).status_code == 201


def test_the_same_key_while_the_first_is_still_running(world: World) -> None:
    quote_id, key = world.buy(), str(uuid4())
    with ThreadPoolExecutor(1) as threads:
        with held_lane(world) as lane:
            first = threads.submit(world.confirm, quote_id, idempotency=key)
            lane.wait_for_a_batch()
            second = world.confirm(quote_id, idempotency=key)
            assert_refused(second, 409, "IDEMPOTENCY_IN_PROGRESS")
            assert second.headers["retry-after"] == "1"
        assert first.result().status_code == 201
    assert world.confirm(quote_id, idempotency=key).content == first.result().content
    assert world.balances()[0] == "7500.00"


def _impatient_confirm(world: World, quote_id: str, key: str) -> httpx.Response:
    headers = {"x-api-key": world.keys["KA"], "X-CSRF-Token": CSRF, "Idempotency-Key": key}
    try:
        return httpx.post(world.server.url + EXCHANGES, json={"quoteId": quote_id}, headers=headers, timeout=1)
    except httpx.TimeoutException:
        return httpx.Response(504)


def test_a_caller_that_hangs_up_does_not_undo_what_it_asked(world: World) -> None:
    quote_id, key = world.buy(), str(uuid4())
    with held_lane(world):
        assert _impatient_confirm(world, quote_id, key).status_code == 504
    wait_until(lambda: world.confirm(quote_id, idempotency=key).status_code == 201, "the confirm stands")
    assert world.balances()[0] == "7500.00"


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_stopping_answers_everything_that_is_under_way(new_server: NewServer, server: DeskServer) -> None:
    stopping = new_server()
    world = World(stopping, frozen=True)
    quotes = [world.buy("1.00") for _ in range(IN_PARALLEL)]
    keys = [str(uuid4()) for _ in quotes]
    with ThreadPoolExecutor(IN_PARALLEL) as threads:
        with held_lane(world) as lane:
            calls = [threads.submit(world.confirm, quotes[0], idempotency=keys[0])]
            lane.wait_for_a_batch()
            calls += [
                threads.submit(world.confirm, quote_id, idempotency=key)
                for quote_id, key in zip(quotes[1:], keys[1:], strict=True)
            ]
            wait_until(lambda: waiting(stopping) == IN_PARALLEL - 1, "the others wait in the queue")
            stopping.tell_to_stop()
            wait_until(lambda: _refuses_connections(stopping), "the server takes nothing more")
            assert not any(call.done() for call in calls)
        answers = [call.result() for call in calls]
    assert [answer.status_code for answer in answers] == [201] * IN_PARALLEL
    assert stopping.process is not None
    assert stopping.process.wait(timeout=20) == 0
    headers = {"x-api-key": world.keys["KA"]}
    listed = server.http.get(EXCHANGES, headers=headers).json()["data"]
    assert {row["id"]: row["status"] for row in listed} == dict.fromkeys(quotes, "pending_approval")
    replay = {**headers, "X-CSRF-Token": CSRF, "Idempotency-Key": keys[0]}
    again = server.http.post(EXCHANGES, json={"quoteId": quotes[0]}, headers=replay)
    assert (again.status_code, again.content) == (201, answers[0].content)


def _refuses_connections(server: DeskServer) -> bool:
    try:
        httpx.get(f"{server.url}/healthz", timeout=1, verify=NO_AUTHORITIES)
    except httpx.TransportError:
        return True
    return False


def test_stopping_twice_in_a_row_and_without_anything_to_do(new_server: NewServer) -> None:
    server = new_server()
    World(server)
    assert server.stop() == 0


def test_an_approval_under_way_is_finished_by_whoever_comes_next(new_server: NewServer, server: DeskServer) -> None:
    stopping = new_server()
    world = World(stopping, frozen=True)
    order_id = world.confirmed_buy("100.00")
    world.fault("chain", "unknown")
    assert world.approve(order_id, "1").json()["data"]["status"] == "pending_approval"
    assert stopping.stop() == 0
    world.server = server
    world.fault("chain", "up")
    wait_until(lambda: world.status(order_id) == "completed", "the other server's worker finishes it")
    assert world.balances() == ("9900.00", "1000100.00", "5100.000000", "999900.000000")


@pytest.mark.parametrize("start", [b"GET /exchanges/otc-exchanges HTTP/1.1\r\nhost: x\r\nx-long: ", b"GET /"])
def test_endless_headers_are_cut_off_before_anybody_is_asked_who_he_is(server: DeskServer, start: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(start)
        sent = len(start)
        try:
            while sent < ENDLESS_BYTES:
                sent += connection.send(b"a" * 65_536)
            answer = read_raw(connection)
        except (ConnectionError, IndexError):  # it hung up while we were still sending
            answer = None
    assert answer is None or answer.status in {400, 431}
    assert server.http.get("/healthz").status_code == 200

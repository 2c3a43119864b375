"""Several server processes over real HTTP: killed, stopped in the middle, asked to forget a key, told to stop.

The tests of this module share one desk of two processes; each leaves it whole, and the last one ends it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from otcdesk.storage.leadership import LEADER_CLASS
from otcdesk.storage.queries import queries
from tests.api.test_limits import held_lane
from tests.handover.group import Group, assert_sound, is_gone
from tests.support.databases import run_apart
from tests.support.desk import A
from tests.support.server import CSRF, EXCHANGES, World, assert_refused, lane_of, run_cli, wait_until
from tests.test_metrics import value

IN_PARALLEL = 6

LOST = 'otcdesk_handed_over_total{outcome="lost"}'


@pytest.fixture(scope="module")
def group(module_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Give two processes on a database of their own, which is sound in the end."""
    home = tmp_path_factory.mktemp("group")
    group = Group(module_dsn, home, DESK_HANDOVER_TIMEOUT_MS="4000")
    try:
        group.start()
        yield group
    finally:
        group.stop()
    assert_sound(group)


class Sides:
    """One process that leads, one that hands over to it, and a world with connections to both."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.leading = group.settle()
        self.other = 3 - self.leading
        self.world = World(group, frozen=True)
        self.lane = lane_of(self.world)

    @property
    def leader_pid(self) -> int:
        return self.group.pids()[self.leading]

    def post(self, client: httpx.Client, path: str, body: Any, key: str | None = None) -> httpx.Response:
        """Write as the customer, over a connection of one's own choice."""
        headers = {"x-api-key": self.world.keys["KA"], "X-CSRF-Token": CSRF}
        if key is not None:
            headers["Idempotency-Key"] = key
        return client.post(EXCHANGES + path, json=body, headers=headers)

    def confirm(self, client: httpx.Client, quote_id: str, key: str | None = None) -> httpx.Response:
        return self.post(client, "", {"quoteId": quote_id}, key or str(uuid4()))

    def quote(self, client: httpx.Client) -> httpx.Response:
        return self.post(client, "/quote", self.world.buy_body("1.00"))

    def orders(self) -> int:
        """Return how many orders there are in all."""
        total: int = self.world.get("").json()["meta"]["pagination"]["total"]
        return total

    def led_by(self) -> int | None:
        """Return the number by which the leader is known in the database."""

        async def ask() -> int | None:
            connection = await asyncpg.connect(self.group.environ["DATABASE_URL"])
            try:
                question = queries("batches")["who_leads"].format(leader_class=LEADER_CLASS)
                number: int | None = await connection.fetchval(question)
                return number
            finally:
                await connection.close()

        return run_apart(ask())

    def states(self) -> dict[str, int]:
        """Return how many orders are in which state, by the books themselves."""
        lane = self.lane

        async def ask() -> dict[str, int]:
            connection = await asyncpg.connect(self.group.environ["DATABASE_URL"])
            try:
                question = "select state, count(*) from orders where lane = $1 group by state"
                return {record[0]: record[1] for record in await connection.fetch(question, lane)}
            finally:
                await connection.close()

        return run_apart(ask())

    def confirmed(self) -> int:
        """Return how many orders of 1.00 were confirmed, by the money that moved."""
        return 10_000 - int(self.world.balances()[0].partition(".")[0])


@pytest.fixture
def sides(group: Group) -> Iterator[Sides]:
    yield Sides(group)
    group.hang_up()


def figure(client: httpx.Client, series: str) -> float:
    return float(value(client.get("/metrics").content, series) or 0)


def test_commands_of_all_processes_are_decided_by_the_one_that_leads(sides: Sides) -> None:
    leading, other = sides.group.connected(sides.leading), sides.group.connected(sides.other)
    quotes = [World.quoted(sides.quote(client)) for client in (leading, other, other)]
    assert [sides.confirm(other, quote).status_code for quote in quotes] == [201, 201, 201]
    assert sides.confirmed() == 3
    lane = sides.lane

    async def writers() -> int:
        connection = await asyncpg.connect(sides.group.environ["DATABASE_URL"])
        try:
            return int(await connection.fetchval("select count(distinct writer) from batches where lane = $1", lane))
        finally:
            await connection.close()

    assert run_apart(writers()) == 1


def test_keys_and_refusals_mean_the_same_in_every_process(sides: Sides) -> None:
    leading, other = sides.group.connected(sides.leading), sides.group.connected(sides.other)
    done, running = [World.quoted(sides.quote(other)) for _ in range(2)]
    first_key, key = str(uuid4()), str(uuid4())
    first = sides.confirm(other, done, first_key)
    assert first.status_code == 201
    for client in (leading, other):
        again = sides.confirm(client, done, first_key)
        assert (again.status_code, again.content) == (201, first.content)
        assert_refused(sides.confirm(client, done), 409, "NOT_CONFIRMABLE")
    with ThreadPoolExecutor(1) as threads:
        with held_lane(sides.world) as lane:
            call = threads.submit(sides.confirm, leading, running, key)
            lane.wait_for_a_batch()
            refused = sides.confirm(other, running, key)
            assert_refused(refused, 409, "IDEMPOTENCY_IN_PROGRESS")
            assert refused.headers["retry-after"] == "1"
        assert call.result().status_code == 201


def test_figures_are_those_of_all_processes_whoever_is_asked(sides: Sides) -> None:
    leading, other = sides.group.connected(sides.leading), sides.group.connected(sides.other)
    asked = 'otcdesk_http_requests_total{dialect="exchanges",route="POST /otc-exchanges/quote",status="200"}'
    decided = 'otcdesk_commands_total{command="quote_buy",outcome="done"}'
    handed = 'otcdesk_handed_over_total{outcome="answered"}'
    before = {series: figure(other, series) for series in (asked, decided, handed)}
    for client in (leading, other, other):
        World.quoted(sides.quote(client))
    after = {series: {figure(client, series) for client in (leading, other)} for series in before}
    assert after[asked] == {before[asked] + 3}
    assert after[decided] == {before[decided] + 3}
    assert after[handed] == {before[handed] + 2}
    assert figure(leading, "otcdesk_handover_seconds_total") > 0
    for client in (leading, other):
        assert figure(client, f'otcdesk_leads{{process="{sides.leading}"}}') == 1
        assert figure(client, f'otcdesk_leads{{process="{sides.other}"}}') == 0
        assert figure(client, "otcdesk_commands_waiting") == 0


def _until_never_again(clients: list[httpx.Client], secret: str, end: Callable[[], object]) -> None:
    """Keep using a key in every process; see that what is begun more than a second after its end never succeeds."""
    let_in: list[float] = []
    stop = threading.Event()

    def use(client: httpx.Client) -> None:
        refused = 0
        while not stop.is_set() or not refused:
            began = time.monotonic()
            answer = client.get(EXCHANGES, headers={"x-api-key": secret})
            if answer.status_code == 200:
                assert not refused, "a dead key came back to life"
                let_in.append(began)
            else:
                assert_refused(answer, 401, "UNAUTHORIZED")
                refused += 1

    with ThreadPoolExecutor(len(clients)) as threads:
        calls = [threads.submit(use, client) for client in clients]
        wait_until(lambda: len(let_in) > 10 * len(clients), "the key is known everywhere")
        end()
        ended = time.monotonic()
        wait_until(lambda: time.monotonic() > ended + 1, "a second has passed")
        stop.set()
        for call in calls:
            call.result()
    assert max(let_in) < ended + 1


def test_a_revoked_key_is_dead_in_every_process_within_a_second(sides: Sides) -> None:
    clients = list(sides.group.each().values())
    world = sides.world
    shown = world.keys["KA"][:16]
    _until_never_again(
        clients, world.keys["KA"], lambda: run_cli(sides.group, "keys", "revoke", shown, "--lane", world.id)
    )
    assert all(client.get(EXCHANGES, headers={"x-api-key": world.keys["KB"]}).status_code == 200 for client in clients)


def test_what_belongs_to_a_deleted_world_is_dead_in_every_process_within_a_second(sides: Sides) -> None:
    clients = list(sides.group.each().values())
    world = sides.world
    tenant = str(A)
    session = run_cli(sides.group, "session", tenant, "--lane", world.id).strip()
    bearer = {"Authorization": f"Bearer {session}"}
    assert all(client.get(EXCHANGES, headers=bearer).status_code == 200 for client in clients)
    _until_never_again(
        clients, world.keys["KA"], lambda: world.operator("DELETE", f"/sandbox/worlds/{world.id}").raise_for_status()
    )
    for client in clients:
        assert_refused(client.get(EXCHANGES, headers=bearer), 401, "UNAUTHORIZED")


def test_a_killed_leader_loses_nothing_that_was_acknowledged_and_doubles_nothing(sides: Sides) -> None:
    """Everybody confirms over the other process, one order after another, while the leader is killed."""
    other = sides.group.connected(sides.other)
    quotes = [World.quoted(sides.quote(other)) for _ in range(60)]
    clients = [sides.group.connected(sides.other) for _ in range(IN_PARALLEL)]
    pid, old = sides.leader_pid, sides.leading
    acknowledged: list[str] = []

    def confirm_some(number: int) -> None:
        for quote in quotes[number::IN_PARALLEL]:
            answer = sides.confirm(clients[number], quote)
            assert answer.status_code == 201, answer.text
            acknowledged.append(quote)

    with ThreadPoolExecutor(IN_PARALLEL) as threads:
        calls = [threads.submit(confirm_some, number) for number in range(IN_PARALLEL)]
        wait_until(lambda: len(acknowledged) > IN_PARALLEL, "some are confirmed")
        os.kill(pid, signal.SIGKILL)
        for call in calls:
            call.result()
    assert sorted(acknowledged) == sorted(quotes)

    wait_until(lambda: other.get("/readyz").json()["leads"], "the other process leads")
    sides.group.http = sides.group.fresh_client()
    assert sides.confirmed() == len(quotes)
    assert {sides.world.status(quote) for quote in quotes} == {"pending_approval"}
    assert_sound(sides.group)
    assert sides.group.settle() == sides.other
    assert figure(other, f'otcdesk_process_restarts_total{{process="{old}"}}') >= 1


def test_what_was_handed_over_to_a_killed_leader_is_repeated_by_its_key_or_unknown(sides: Sides) -> None:
    clients = [sides.group.connected(sides.other) for _ in range(2)]
    quote, key = World.quoted(sides.quote(clients[0])), str(uuid4())
    with ThreadPoolExecutor(2) as threads:
        with held_lane(sides.world) as lane:
            keyed = threads.submit(sides.confirm, clients[0], quote, key)
            lane.wait_for_a_batch()
            leader = sides.group.connected(sides.leading)
            keyless = threads.submit(sides.quote, clients[1])
            wait_until(lambda: leader.get("/readyz").json()["waiting"] == 1, "the quote waits at the leader")
            os.kill(sides.leader_pid, signal.SIGKILL)
            refused = keyless.result()
            assert_refused(refused, 503, "SERVICE_UNAVAILABLE")
            assert "retry-after" not in refused.headers, "nobody is told to repeat it"
            assert not keyed.done()
        assert keyed.result().status_code == 201
    again = sides.confirm(clients[0], quote, key)
    assert (again.status_code, again.content) == (201, keyed.result().content)
    wait_until(lambda: clients[0].get("/readyz").json()["leads"], "the other process leads")
    sides.group.http = sides.group.fresh_client()
    assert (sides.confirmed(), sides.orders()) == (1, 1)
    sides.group.settle()


def test_a_leader_that_is_stopped_is_replaced_and_harmless_when_it_goes_on(sides: Sides) -> None:
    """It is stopped while it waits for the lane's turn, gets it all the same, and keeps it from nobody for long."""
    clients = [sides.group.connected(sides.other) for _ in range(3)]
    quotes = [World.quoted(sides.quote(clients[0])) for _ in range(2)]
    pid = sides.leader_pid
    try:
        with ThreadPoolExecutor(2) as threads:
            with held_lane(sides.world) as lane:
                keyed = threads.submit(sides.confirm, clients[0], quotes[0])
                lane.wait_for_a_batch()
                os.kill(pid, signal.SIGSTOP)
            keyless = threads.submit(sides.quote, clients[1])
            assert keyed.result().status_code == 201
            assert_refused(keyless.result(), 503, "SERVICE_UNAVAILABLE")
        lost = figure(clients[2], LOST)
        assert sides.confirm(clients[2], quotes[1]).status_code == 201
        assert figure(clients[2], LOST) == lost, "nothing more is given to a leader that is known to be gone"
        wait_until(lambda: clients[0].get("/readyz").json()["leads"], "the other process leads")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert sides.group.settle() == sides.other
    assert (sides.confirmed(), sides.orders()) == (2, 2)  # the quote that was given up is not made late
    assert_sound(sides.group)


def test_stopping_answers_everything_that_was_sent_whichever_process_has_it(sides: Sides) -> None:
    """All of it waits at the leader, which has no requests of its own to wait for, and half of it has no key."""
    group = sides.group
    clients = [group.connected(sides.other) for _ in range(IN_PARALLEL)]
    confirming, quoting = clients[: IN_PARALLEL // 2], clients[IN_PARALLEL // 2 :]
    quotes = [World.quoted(sides.quote(client)) for client in confirming]
    watching = group.connected(sides.leading)
    pids = group.pids().values()
    with ThreadPoolExecutor(IN_PARALLEL) as threads:
        with held_lane(sides.world) as lane:
            calls = [threads.submit(sides.confirm, confirming[0], quotes[0])]
            lane.wait_for_a_batch()
            calls += [threads.submit(sides.confirm, *one) for one in zip(confirming[1:], quotes[1:], strict=True)]
            calls += [threads.submit(sides.quote, client) for client in quoting]
            waiting = len(clients) - 1
            wait_until(lambda: watching.get("/readyz").json()["waiting"] == waiting, "the others wait at the leader")
            led_by = sides.led_by()
            group.tell_to_stop()
            wait_until(lambda: not group.answers(), "nobody listens any more")
            wait_until(lambda: sides.led_by() not in {led_by, None}, "the leader has let the other one lead")
            assert not any(call.done() for call in calls)
        answers = [call.result() for call in calls]
    assert [answer.status_code for answer in answers] == [201] * len(confirming) + [200] * len(quoting)
    assert group.process is not None
    assert group.process.wait(timeout=30) == 0
    assert all(is_gone(pid) for pid in pids)
    assert list((group.home / "run").glob("*.hand")) == []
    assert list((group.home / "run").glob("shared-*")) == []
    assert sides.states() == {"pending_approval": len(confirming), "quoted": len(quoting)}

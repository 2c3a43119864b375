"""Measure what webhooks cost orders, how fast they are sent, and what a receiver that is down costs everybody else.

One PostgreSQL, durability as it has it, and databases of the same beginning, each with a server of its own: to one of
them nobody has subscribed (`quiet`), in the others every customer has, so that deliveries are made (`held`) or made and
sent meanwhile (`told`), and in one of these besides 100,000 deliveries wait for a receiver that refuses connections
(`refusing`), or accepts them and never answers (`silent`). They are measured in turn while the others have nothing to
do, in as many rounds as there are of them, and each has each place in a round once, so that whatever else the machine
does, and whatever one leaves behind for the next, meets all alike. Ratios are of what all rounds together made. The
receiver looks at every message, what it counts is held against the databases, and the books are checked in the end.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import msgspec

from otcdesk.app import open_desk
from otcdesk.bench.callers import Caller
from otcdesk.bench.dialects import Exchanges
from otcdesk.bench.machine import (
    Asked,
    Say,
    Server,
    books,
    execute,
    facts,
    hundredths,
    make_orders,
)
from otcdesk.bench.receiver import Receiver
from otcdesk.bench.sites import ENVELOPE, Measuring, Site, Slot, each_second
from otcdesk.config import Settings
from otcdesk.domain.event_types import CONFIRMED
from otcdesk.domain.world import tenant_id
from otcdesk.logs import configure_logging
from otcdesk.storage.database import migrate
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.webhooks.subscriptions import Wanted

_DIALECT = Exchanges()

#: What each customer hears of each of its orders.
_EVENT_TYPE = "otc_exchange.created"
#: The envelope of who is down: a subscription of this one is not switched off for a number of failures.
_DEAD_ENVELOPE = "standard"

_PILED_UP = 20_000
_BACKLOG = 100_000
#: Parts of what was piled up that are told beforehand, to see what telling alone takes.
_PARTS_TOLD_ALONE = 10
#: One for each of what is compared, so that each has each place in a round once.
_ROUNDS = 5
_WARM_UP_SECONDS = 2


class WebhookFigures(msgspec.Struct, kw_only=True):
    """One run's figures."""

    quiet_pairs_per_s: int
    held_pairs_per_s: int
    held_pairs_ratio: str
    told_pairs_per_s: int
    told_pairs_ratio: str
    quiet_engine_us_per_order: int
    held_added_engine_us_per_order: int
    told_added_engine_us_per_order: int
    quiet_cpu_us_per_order: int
    held_added_cpu_us_per_order: int
    told_added_cpu_us_per_order: int
    telling_us_per_delivery: int
    drained_deliveries: int
    drain_deliveries_per_s: int
    attempt_p50_ms: int
    attempt_p99_ms: int
    backlog_deliveries: int
    refusing_pairs_per_s: int
    refusing_pairs_ratio: str
    silent_pairs_per_s: int
    silent_pairs_ratio: str
    held_drain_per_s: int
    told_drain_per_s: int
    refusing_drain_per_s: int
    refusing_drain_ratio: str
    silent_drain_per_s: int
    silent_drain_ratio: str
    connections: int
    processes: int
    rounds: int
    slot_seconds: int
    server_rss_mb: int
    orders_before: int
    received_messages: int
    received_events: int
    succeeded_deliveries: int
    postgres_version: str
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    books: list[str]


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """A pile of deliveries, made while nobody sent, that a worker has sent at once."""

    telling_us_per_delivery: int
    deliveries: int
    deliveries_per_s: int
    p50_ms: int
    p99_ms: int


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of everything that is compared."""

    quiet: Slot
    held: Slot
    told: Slot
    refusing: Slot
    silent: Slot


def bench_webhooks(asked: Asked, say: Say) -> WebhookFigures:
    """Run everything on a fresh embedded server in a temporary folder, and clean up."""
    home = Path(tempfile.mkdtemp(prefix="otcdesk-bench-"))
    server = EmbeddedServer(home)
    try:
        say("starting PostgreSQL")
        server.start()
        with Receiver() as receiver:
            return _bench(server, home, Measuring(receiver, asked, say))
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _bench(server: EmbeddedServer, home: Path, measuring: Measuring) -> WebhookFigures:
    told = Site.made(server, home, "told")
    configure_logging(told.settings)
    asyncio.run(migrate(told.settings.database_url))
    told.callers, before = asyncio.run(_prepare(told.settings, measuring))
    quiet, stuck, piled = [told.copied(server, home, name) for name in ("quiet", "stuck", "piled")]
    drained = _drain_a_pile(piled, measuring)
    quiet.ask("unsubscribe")
    rounds, rss_mb = _rounds(quiet, told, stuck, measuring)
    succeeded = sum(site.ask("outcomes")["succeeded"] for site in (told, stuck, piled))
    measuring.received()
    if measuring.events != succeeded:
        raise RuntimeError(f"{measuring.events} events were received of {succeeded} deliveries that succeeded")
    measuring.say("checking the books")
    return _figures(
        measuring,
        drained,
        rounds,
        rss_mb=rss_mb,
        before=before,
        succeeded=succeeded,
        durable=asyncio.run(facts(told.settings.database_url)),
        sound=_checked([piled, told, stuck, quiet]),
    )


def _checked(sites: Sequence[Site]) -> list[str]:
    """Verify the books of all sites, as many at once as there are processors."""
    with ProcessPoolExecutor() as pool:
        return list(pool.map(_books, [site.settings for site in sites]))


def _books(settings: Settings) -> str:
    return asyncio.run(books(settings))


# -- the measurements -------------------------------------------------------------------------------------------------


async def _prepare(settings: Settings, measuring: Measuring) -> tuple[Sequence[Caller], int]:
    """Make the world, the orders before, and a subscription of each customer."""
    async with open_desk(settings, settings.database_url) as program:
        world = await _DIALECT.load_world(program)
        before = await make_orders(program, _DIALECT, world.lane, measuring.asked.orders, measuring.say)
        for owner_id in world.tenants.values():
            wanted = Wanted(
                lane=world.lane,
                owner_id=UUID(owner_id),
                envelope=ENVELOPE,
                url=measuring.receiver.places.live,
                event_types=[_EVENT_TYPE],
            )
            await program.webhooks.subscriptions.create(wanted)
    return _DIALECT.callers(settings, world), before


def _drain_a_pile(site: Site, measuring: Measuring) -> Drained:
    """Pile deliveries up and let a worker drain them: counted from the first message to the last."""
    measuring.say(f"piling up {_PILED_UP} deliveries")
    telling_us = asyncio.run(_pile_up(site, measuring.say)) // site.ask("made")[0]
    measuring.say("a worker sends them")
    with site.server("work"):
        site.settle()
        counted = measuring.received()
    outcomes = site.ask("outcomes")
    if not counted.events == outcomes["succeeded"] == _PILED_UP:
        raise RuntimeError(f"{counted.events} of {_PILED_UP} deliveries were received")
    return Drained(
        telling_us_per_delivery=telling_us,
        deliveries=outcomes["succeeded"],
        deliveries_per_s=each_second(counted),
        p50_ms=outcomes["p50_ms"],
        p99_ms=outcomes["p99_ms"],
    )


async def _pile_up(site: Site, say: Say) -> int:
    """Make orders that nobody tells, and then tell some; returns the microseconds that this took."""
    async with open_desk(site.settings, site.settings.database_url) as program:
        lane = await program.desk.reads.value("lanes", "named", "main")
        await make_orders(program, _DIALECT, lane, _PILED_UP, say)
        started_ns = time.monotonic_ns()
        for _ in range(_PARTS_TOLD_ALONE):
            await program.webhook_worker.fan_out()
        return (time.monotonic_ns() - started_ns) // 1000


def _rounds(quiet: Site, told: Site, stuck: Site, measuring: Measuring) -> tuple[list[Round], int]:
    """Measure sites in turn; returns the rounds, and the memory of the largest server, MiB."""
    places = measuring.receiver.places
    stuck.dead = asyncio.run(_subscribe_the_dead(stuck.settings, places.refusing))
    stuck.switch(places.refusing, on=False)
    sites = (quiet, told, stuck)
    with ExitStack() as running:
        servers = [running.enter_context(site.server(processes=measuring.asked.processes)) for site in sites]
        measuring.say("warming up")
        for site, server in zip(sites, servers, strict=True):
            server.wait_until_ready()
            measuring.orders(site, server, _WARM_UP_SECONDS, site.settle)
        measuring.say(f"making a backlog of {_BACKLOG} deliveries")
        stuck.ask("pile_up", _BACKLOG, ENVELOPE, stuck.dead)
        for site in (told, stuck):
            site.ask("tidy")
        asyncio.run(execute(stuck.settings.database_url, "checkpoint"))  # nobody else is to pay for it
        rounds = [_round(quiet, told, stuck, servers, measuring, number) for number in range(_ROUNDS)]
        waiting = stuck.ask("waiting", stuck.dead)[0]
        if waiting < _BACKLOG:
            raise RuntimeError(f"only {waiting} deliveries of the backlog wait still")
        return rounds, max(server.rss_mb for server in servers)


async def _subscribe_the_dead(settings: Settings, url: str) -> UUID:
    """Let the first customer subscribe with a receiver that is down."""
    async with open_desk(settings, settings.database_url) as program:
        wanted = Wanted(
            lane=await program.desk.reads.value("lanes", "named", "main"),
            owner_id=tenant_id("customer-0"),
            envelope=_DEAD_ENVELOPE,
            url=url,
            event_types=[CONFIRMED.name],
        )
        made = await program.webhooks.subscriptions.create(wanted)
    return made.subscription.id


def _round(quiet: Site, told: Site, stuck: Site, servers: Sequence[Server], measuring: Measuring, number: int) -> Round:
    measuring.say(f"round {number + 1} of {_ROUNDS}: five times {measuring.slot_seconds} s of load, and what they tell")
    places = measuring.receiver.places
    of_quiet, of_told, of_stuck = servers
    steps: list[tuple[str, Callable[[], Slot]]] = [
        ("quiet", lambda: measuring.slot(quiet, of_quiet)),
        ("held", lambda: measuring.held_slot(told, of_told)),
        ("told", lambda: measuring.slot(told, of_told)),
        ("refusing", lambda: measuring.slot(stuck, of_stuck, places.refusing)),
        ("silent", lambda: measuring.slot(stuck, of_stuck, places.silent)),
    ]
    slots = {}
    for name, step in (*steps[number:], *steps[:number]):  # what is never answered ends when the servers are stopped
        slots[name] = slot = step()
        measuring.say(f"{name}: {slot.pairs_per_s} pairs/s, {slot.drained_per_s} deliveries/s drained afterwards")
    return Round(**slots)


# -- the figures ------------------------------------------------------------------------------------------------------


def _figures(
    measuring: Measuring,
    drained: Drained,
    rounds: Sequence[Round],
    *,
    rss_mb: int,
    before: int,
    succeeded: int,
    durable: dict[str, str],
    sound: list[str],
) -> WebhookFigures:
    return WebhookFigures(
        quiet_pairs_per_s=_middle(each.quiet.pairs_per_s for each in rounds),
        held_pairs_per_s=_middle(each.held.pairs_per_s for each in rounds),
        held_pairs_ratio=_ratio((each.held.pairs_per_s, each.quiet.pairs_per_s) for each in rounds),
        told_pairs_per_s=_middle(each.told.pairs_per_s for each in rounds),
        told_pairs_ratio=_ratio((each.told.pairs_per_s, each.quiet.pairs_per_s) for each in rounds),
        quiet_engine_us_per_order=_middle(each.quiet.engine_us_per_order for each in rounds),
        held_added_engine_us_per_order=_middle(
            each.held.engine_us_per_order - each.quiet.engine_us_per_order for each in rounds
        ),
        told_added_engine_us_per_order=_middle(
            each.told.engine_us_per_order - each.quiet.engine_us_per_order for each in rounds
        ),
        quiet_cpu_us_per_order=_middle(each.quiet.cpu_us_per_order for each in rounds),
        held_added_cpu_us_per_order=_middle(
            each.held.cpu_us_per_order - each.quiet.cpu_us_per_order for each in rounds
        ),
        told_added_cpu_us_per_order=_middle(
            each.told.cpu_us_per_order - each.quiet.cpu_us_per_order for each in rounds
        ),
        telling_us_per_delivery=drained.telling_us_per_delivery,
        drained_deliveries=drained.deliveries,
        drain_deliveries_per_s=drained.deliveries_per_s,
        attempt_p50_ms=drained.p50_ms,
        attempt_p99_ms=drained.p99_ms,
        backlog_deliveries=_BACKLOG,
        refusing_pairs_per_s=_middle(each.refusing.pairs_per_s for each in rounds),
        refusing_pairs_ratio=_ratio((each.refusing.pairs_per_s, each.told.pairs_per_s) for each in rounds),
        silent_pairs_per_s=_middle(each.silent.pairs_per_s for each in rounds),
        silent_pairs_ratio=_ratio((each.silent.pairs_per_s, each.told.pairs_per_s) for each in rounds),
        held_drain_per_s=_middle(each.held.drained_per_s for each in rounds),
        told_drain_per_s=_middle(each.told.drained_per_s for each in rounds),
        refusing_drain_per_s=_middle(each.refusing.drained_per_s for each in rounds),
        refusing_drain_ratio=_ratio((each.refusing.drained_per_s, each.told.drained_per_s) for each in rounds),
        silent_drain_per_s=_middle(each.silent.drained_per_s for each in rounds),
        silent_drain_ratio=_ratio((each.silent.drained_per_s, each.told.drained_per_s) for each in rounds),
        connections=measuring.asked.connections,
        processes=measuring.asked.processes,
        rounds=len(rounds),
        slot_seconds=measuring.slot_seconds,
        server_rss_mb=rss_mb,
        orders_before=before,
        received_messages=measuring.messages,
        received_events=measuring.events,
        succeeded_deliveries=succeeded,
        books=sound,
        **durable,
    )


def _middle(numbers: Iterable[int]) -> int:
    ordered = sorted(numbers)
    return ordered[len(ordered) // 2]


def _ratio(pairs: Iterable[tuple[int, int]]) -> str:
    """Return how all of the first numbers are to all of the second ones, with two decimals."""
    ones, others = zip(*pairs, strict=True)
    return hundredths(sum(ones), sum(others))

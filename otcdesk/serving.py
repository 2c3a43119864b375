"""The running of a wired program: who leads, the workers, the web server, and the order in which they stop.

That order loses nothing: no new requests, the workers, then whoever leads lets others lead and answers what they had
handed over, then the queue and the connections (`app.open_desk`).
"""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, cast

import uvicorn

from otcdesk.accepting import Acceptor, Shares
from otcdesk.actions.publish_price import PublishPrice
from otcdesk.api.connection import Connection, ConnectionLimits
from otcdesk.api.proxies import TrustedProxies
from otcdesk.app import Program, price_feed_settings, web_app
from otcdesk.console.position.pnl import keep_up
from otcdesk.console.system.sampler import PERIOD_MS
from otcdesk.rails.chains import Chains
from otcdesk.rails.price_settings import price_source_from
from otcdesk.workers.checkouts import settle_paid_checkouts
from otcdesk.workers.deadlines import record_what_is_due
from otcdesk.workers.loop import Loop
from otcdesk.workers.prices import PriceWorker

#: Connections that may wait to be accepted.
LISTEN_BACKLOG = 2_048

#: New objects between two rounds of the collector; its own default of 700 makes a round for every third request.
_COLLECTED_AFTER = 50_000

#: A connection that is accepted is opened in one turn of the loop, read in the next, and its request begins in a third.
_TURNS_TO_READ = 4

#: Worlds and the holders of claims go slowly, and what is kept of those that went is only room.
_FORGET_PERIOD_MS = 10_000

#: What has arrived and could not be bought for waits so long for the next try.
_PURCHASES_PERIOD_MS = 5_000

#: Counting a backlog reads all of it.
_BACKLOG_PERIOD_MS = 5_000

#: History is kept for days.
_HISTORY_PERIOD_MS = 60_000

#: Others tell what this process says of its present, so it must not be older than anybody minds.
_FIGURES_PERIOD_MS = 500


@asynccontextmanager
async def among_others(program: Program, *, may_lead: bool) -> AsyncIterator[None]:
    """Take part in who leads, whatever happens inside; on leaving let others lead and answer what they handed over."""
    settings, desk = program.settings, program.desk

    async def forget() -> bool:
        await desk.forget_closed()
        return False

    async def show() -> bool:
        program.metrics.refresh()
        return False

    leading = Loop("leadership", desk.handover.follow, period_ms=settings.leadership_period_ms)
    loops = [leading, Loop("lanes", forget, period_ms=_FORGET_PERIOD_MS)]
    loops.append(Loop("sampler", program.sampler.step, period_ms=PERIOD_MS))
    if program.metrics.shared is not None:
        loops.append(Loop("figures", show, period_ms=_FIGURES_PERIOD_MS))
    desk.handover.join(leading.nudge, may_lead=may_lead)
    if settings.handover:
        await desk.handover.listen(settings.home_path)
    await desk.handover.follow()
    try:
        async with _running(program, loops):
            yield
    finally:
        await desk.handover.close(settings.stop_seconds_max)


@asynccontextmanager
async def workers(program: Program) -> AsyncIterator[None]:
    """Run the workers beside whatever happens inside: they work in the process that leads, and only there."""
    settings, leadership = program.settings, program.desk.leadership

    async def record() -> bool:
        return leadership.leads and await record_what_is_due(program.desk, grace_ms=settings.deadlines_grace_ms)

    async def buy() -> bool:
        if leadership.leads:
            await settle_paid_checkouts(program.desk)
        return False

    async def settle() -> bool:
        return leadership.leads and await program.settlement.settle_waiting()

    async def send() -> bool:
        return leadership.leads and await program.chain_payouts.begin_waiting()

    async def forget() -> bool:
        if leadership.leads:
            await program.settlement.forget_ended()
        return False

    async def forget_tokens() -> bool:
        return leadership.leads and await program.tokens.forget_old()

    async def forget_sign_ins() -> bool:
        return leadership.leads and await program.operators.forget_old()

    async def add_up() -> bool:
        return leadership.leads and await keep_up(program.desk.reads)

    loops = [
        Loop("deadlines", record, period_ms=settings.deadlines_period_ms),
        Loop("checkouts", buy, period_ms=_PURCHASES_PERIOD_MS),
        Loop("settlement", settle, period_ms=settings.settlement_period_ms),
        Loop("chain payouts", send, period_ms=settings.settlement_period_ms),
        Loop("leases", forget, period_ms=_FORGET_PERIOD_MS),
        Loop("tokens", forget_tokens, period_ms=_HISTORY_PERIOD_MS),
        Loop("sign-ins", forget_sign_ins, period_ms=_HISTORY_PERIOD_MS),
        Loop("days of trades", add_up, period_ms=settings.trade_days_period_ms),
        *_execution_loops(program),
        *_payout_loops(program),
        *_job_loops(program),
        *_chain_loops(program),
        *_webhook_loops(program),
    ]
    stop = asyncio.Event()
    source = price_source_from(price_feed_settings(settings), program.desk.clock)
    prices = []
    if source is not None:
        prices.append(asyncio.create_task(PriceWorker(source, _publishing(program)).run(stop), name="prices"))
    try:
        async with _running(program, loops):
            yield
    finally:
        stop.set()
        await asyncio.gather(*prices)
        if source is not None:
            await source.close()


def _execution_loops(program: Program) -> list[Loop]:
    settings, leadership, worker = program.settings, program.desk.leadership, program.execution

    async def execute() -> bool:
        return leadership.leads and await worker.begin_waiting()

    async def count() -> bool:
        program.metrics.executions_under_way(*(await worker.under_way() if leadership.leads else (0, 0)))
        return False

    executing = Loop("execution", execute, period_ms=settings.venue_period_ms)
    worker.on_work = executing.nudge
    return [executing, Loop("executions under way", count, period_ms=_BACKLOG_PERIOD_MS)]


def _payout_loops(program: Program) -> list[Loop]:
    settings, leadership, worker = program.settings, program.desk.leadership, program.payouts

    async def pay() -> bool:
        return leadership.leads and await worker.begin_waiting()

    async def book_returns() -> bool:
        return leadership.leads and await worker.book_returns()

    async def count() -> bool:
        program.metrics.payouts_under_way(*(await worker.under_way() if leadership.leads else (0, 0)))
        return False

    paying = Loop("payouts", pay, period_ms=settings.payout_period_ms)
    worker.on_work = paying.nudge
    return [
        paying,
        Loop("payout returns", book_returns, period_ms=settings.payout_period_ms),
        Loop("payouts under way", count, period_ms=_BACKLOG_PERIOD_MS),
    ]


def _job_loops(program: Program) -> list[Loop]:
    settings, leadership, worker = program.settings, program.desk.leadership, program.jobs

    async def carry() -> bool:
        return leadership.leads and await worker.begin_waiting()

    async def count() -> bool:
        program.metrics.jobs_under_way(*(await worker.under_way() if leadership.leads else (0, 0)))
        program.metrics.jobs_failed(await worker.failed() if leadership.leads else 0)
        return False

    carrying = Loop("jobs", carry, period_ms=settings.job_period_ms)
    worker.on_work = carrying.nudge
    return [carrying, Loop("jobs under way", count, period_ms=_BACKLOG_PERIOD_MS)]


def _chain_loops(program: Program) -> list[Loop]:
    desk = program.desk
    if not program.settings.chains_file:
        return []

    async def count() -> bool:
        number, longest_ms = 0, 0
        if desk.leadership.leads:
            if isinstance(desk.chain, Chains):
                await desk.chain.tend()
            ((number, longest_ms),) = await desk.reads.records("chain_sends", "under_way", desk.clock.now())
        program.metrics.chain_sends_unconfirmed(number, longest_ms)
        return False

    return [Loop("chain sends under way", count, period_ms=_BACKLOG_PERIOD_MS)]


def _webhook_loops(program: Program) -> list[Loop]:
    settings, leadership, worker = program.settings, program.desk.leadership, program.webhook_worker

    async def fan_out() -> bool:
        return leadership.leads and await worker.fan_out_in_a_moment()

    async def send() -> bool:
        return leadership.leads and await worker.send_due()

    async def keep_house() -> bool:
        return leadership.leads and await worker.keep_house()

    async def count() -> bool:
        program.metrics.webhooks_waiting(*(await worker.backlog() if leadership.leads else (0, 0, 0)))
        return False

    telling = Loop("outbox", fan_out, period_ms=settings.webhooks_period_ms)
    sending = Loop("webhooks", send, period_ms=settings.webhooks_period_ms)
    worker.on_commit, worker.on_room = telling.nudge, sending.nudge
    return [
        telling,
        sending,
        Loop("webhook backlog", count, period_ms=_BACKLOG_PERIOD_MS),
        Loop("webhook history", keep_house, period_ms=_HISTORY_PERIOD_MS),
    ]


@asynccontextmanager
async def _running(program: Program, loops: list[Loop]) -> AsyncIterator[None]:
    """Run loops beside whatever happens inside, and let each finish its step in the end."""
    for loop in loops:
        loop.watch = program.metrics.worker_step
    tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]
    try:
        yield
    finally:
        for loop in loops:
            loop.stop()
        await asyncio.gather(*tasks)


def _publishing(program: Program) -> Callable[[PublishPrice], Awaitable[object]]:
    """Return how the price worker's rates get into the books: by the leader, into the feed's lane if there is one."""
    desk, name = program.desk, program.settings.price_feed_lane

    async def publish(command: PublishPrice) -> None:
        lane = await desk.reads.value("lanes", "named", name) if desk.leadership.leads else None
        if lane is not None:
            await desk.submit_as_worker(lane, "worker:prices", command)

    return publish


async def serve(
    program: Program,
    *,
    with_workers: bool = True,
    on_ready: Callable[[], None] | None = None,
    listener: socket.socket | None = None,
) -> None:
    """Answer requests until a signal says stop; then finish what is under way.

    Several processes share a `listener` that is open already, instead of the settings' address.
    """
    settings = program.settings
    limits = ConnectionLimits(
        head_bytes=settings.head_bytes_max,
        body_bytes=settings.body_bytes_max,
        request_seconds=settings.body_seconds_max,
        idle_seconds=settings.idle_seconds_max,
    )
    connection: Any = partial(Connection, web_app(program), limits, TrustedProxies(settings.trusted_proxies))
    config = uvicorn.Config(
        _never_asked,
        host=settings.host,
        port=settings.port,
        http=connection,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=settings.stop_seconds_max,
        backlog=LISTEN_BACKLOG,
    )
    place = program.place
    shares = None if place.shared is None else Shares(place.shared, place.process)
    server = _Server(config, on_ready, shares)
    _spare_the_collector()
    works = with_workers or settings.stand_by
    async with AsyncExitStack() as around:
        await around.enter_async_context(among_others(program, may_lead=works))
        if works:
            await around.enter_async_context(workers(program))
        await server.serve(None if listener is None else [listener])


async def _never_asked(scope: Any, receive: Any, send: Any) -> None:
    """Stand where uvicorn wants an ASGI application; connections are served without one."""


def _spare_the_collector() -> None:
    """Take what is loaded by now out of the garbage collector's rounds, and let these be rare: little makes cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER, 20, 100)


class _Server(uvicorn.Server):
    """Tells when it listens, and hears what was said before it was told to stop."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None] | None, shares: Shares | None = None
    ) -> None:
        super().__init__(config)
        self.on_ready = on_ready
        self.shares = shares

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if sockets is None:
            await super().startup()
        else:
            assert self.shares is not None
            open_ones = self.server_state.connections
            accepting = [Acceptor(listener, self._connection, self.shares, open_ones) for listener in sockets]
            self.servers = cast("list[asyncio.Server]", accepting)
            self.started = True
        if self.started and self.on_ready is not None:
            self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Read what has arrived by now before connections without a request are closed."""
        for server in self.servers:
            server.close()
        for _ in range(_TURNS_TO_READ):
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.BaseProtocol:
        make: Any = self.config.http_protocol_class
        return cast(
            "asyncio.BaseProtocol", make(config=self.config, server_state=self.server_state, app_state={}, _loop=None)
        )

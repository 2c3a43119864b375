"""The composition root: settings in, wired program out. Nothing else wires.

`open_desk` builds everything that the process needs on a running database; `web_app` puts the edges on it; `serve`
runs both until it is told to stop, and then stops in the order that loses nothing: no new requests, the workers, the
queue, the connections.
"""

import asyncio
import gc
import os
import secrets
import socket
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import structlog
import uvicorn

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.publish_price import PublishPrice
from otcdesk.api.auth import Authenticator, Sessions
from otcdesk.api.connection import Connection, ConnectionLimits
from otcdesk.api.dialect import Dialect
from otcdesk.api.exchanges.routes import ExchangesDialect
from otcdesk.api.health import Health
from otcdesk.api.limits import RateLimit
from otcdesk.api.openapi import openapi_document
from otcdesk.api.operator.routes import OperatorDialect
from otcdesk.api.proxies import TrustedProxies
from otcdesk.api.routing import Front, Page
from otcdesk.api.sandbox.routes import SandboxDialect
from otcdesk.clock import Clock, SystemClock
from otcdesk.config import Settings, SettingsError
from otcdesk.credentials import Credentials
from otcdesk.desk import Desk
from otcdesk.engine.engine import Engine
from otcdesk.engine.lane import LaneLimits
from otcdesk.metrics import Metrics
from otcdesk.rails.price_settings import PriceFeedSettings, price_source_from
from otcdesk.rails.simulated.custody import CHAIN, FIAT, SimulatedRail
from otcdesk.secret_files import load_or_make_key
from otcdesk.storage.database import Reads, engine_pool
from otcdesk.storage.leadership import Leadership
from otcdesk.storage.postgres_store import PostgresStore
from otcdesk.workers.deadlines import record_what_is_due
from otcdesk.workers.loop import Loop
from otcdesk.workers.prices import PriceWorker
from otcdesk.workers.settlement import Settlement
from otcdesk.world_loading import WorldLoader

log = structlog.get_logger()

#: New objects between two rounds of the collector; its own default of 700 makes a round for every third request.
_COLLECTED_AFTER = 50_000

#: Hosts and process ids come again, in containers all the time.
_THIS_PROCESS = secrets.token_hex(4)

DIALECTS: tuple[type[Dialect], ...] = (ExchangesDialect, OperatorDialect, SandboxDialect)


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that this process is made of."""

    settings: Settings
    dsn: str
    desk: Desk
    credentials: Credentials
    sessions: Sessions
    worlds: WorldLoader
    settlement: Settlement
    metrics: Metrics
    audit_key: bytes
    urls: dict[str, str]

    async def work_once(self) -> None:
        """Let the workers do now what they would do in a moment."""
        await record_what_is_due(self.desk)
        await self.settlement.settle_waiting()


def writer_name() -> str:
    """Return the name by which the audit chain and leases know this process, and no other one ever."""
    return f"{socket.gethostname()}:{os.getpid()}:{_THIS_PROCESS}"


@asynccontextmanager
async def open_desk(settings: Settings, dsn: str, clock: Clock | None = None) -> AsyncIterator[Program]:
    """Build the desk on a migrated database; on leaving, answer what waits and close the connections."""
    clock = clock or SystemClock()
    timeout = settings.statement_timeout_ms
    async with AsyncExitStack() as closing:
        pool = await engine_pool(dsn, connections_max=settings.engine_connections_max, statement_timeout_ms=timeout)
        closing.push_async_callback(pool.close)
        reads, edge_reads = [
            await closing.enter_async_context(Reads.opened(dsn, connections_max=most, statement_timeout_ms=timeout))
            for most in (settings.read_connections_max, settings.edge_connections_max)
        ]
        program = await _wired(settings, dsn, clock, pool, reads, edge_reads)
        closing.push_async_callback(program.desk.engine.stop)
        closing.push_async_callback(program.settlement.stop)
        yield program


async def _wired(
    settings: Settings, dsn: str, clock: Clock, pool: asyncpg.Pool, reads: Reads, edge_reads: Reads
) -> Program:
    """Put the parts together. Long reads have connections of their own, so that they hold up no credential or claim."""
    timeout = settings.statement_timeout_ms
    written = await reads.value("batches", "any_written")
    audit_key = load_or_make_key(settings.home_path, "audit.key", may_make=not written)
    session_key = load_or_make_key(settings.home_path, "session.key")
    metrics = Metrics()
    engine = Engine(
        store=PostgresStore(pool, acquire_timeout_ms=timeout),
        clock=clock,
        catalogue=CATALOGUE,
        audit_key=audit_key,
        writer=writer_name(),
        limits=_limits(settings),
        watch=metrics.batch,
    )
    desk = Desk(
        engine=engine,
        reads=reads,
        leadership=Leadership(dsn, timeout_ms=timeout),
        chain=SimulatedRail(reads, CHAIN),
        fiat=SimulatedRail(reads, FIAT),
        clock=clock,
        settings=settings,
    )
    metrics.watch_engine(engine.waiting, lambda: desk.leadership.leads)
    credentials = Credentials(edge_reads, clock)
    return Program(
        settings=settings,
        dsn=dsn,
        desk=desk,
        credentials=credentials,
        sessions=Sessions(session_key, clock),
        worlds=WorldLoader(desk, credentials, clock),
        settlement=Settlement(desk, writer_name(), edge_reads),
        metrics=metrics,
        audit_key=audit_key,
        urls=dialect_urls(settings),
    )


def _limits(settings: Settings) -> LaneLimits:
    return LaneLimits(
        batch_commands_max=settings.batch_commands_max,
        waiting_max=settings.queue_waiting_max,
        waiting_per_owner_max=settings.queue_waiting_per_owner_max,
        cached_rows_max=settings.cached_rows_max,
        store_retries_max=settings.store_retries_max,
        retry_pause_ms=settings.retry_pause_ms,
    )


def dialect_urls(settings: Settings) -> dict[str, str]:
    """Return where each dialect answers."""
    base = settings.base_url
    own_host = f"http://{settings.exchanges_host}:{settings.port}" if settings.exchanges_host else ""
    return {"exchanges": own_host or base + settings.exchanges_prefix, "operator": f"{base}/operator"}


def web_app(program: Program) -> Front:
    """Return the outermost edge: every dialect under its prefix or host, documents and health beside them."""
    settings = program.settings
    authenticator = Authenticator(
        program.credentials, program.sessions, program.desk.clock, settings.credential_cache_ms
    )

    def served(dialect: type[Dialect], requests_per_second: int) -> Dialect:
        limit = RateLimit(requests_per_second)
        return dialect(program.desk, authenticator, limit, count=program.metrics.request, services=program)

    exchanges = served(ExchangesDialect, settings.exchanges_requests_per_second)
    operator = served(OperatorDialect, settings.operator_requests_per_second)
    health = Health(program.desk)
    hosts: dict[str, Dialect] = {}
    prefixes: dict[str, Dialect] = {"/operator": operator}
    if settings.exchanges_host:
        hosts[settings.exchanges_host] = exchanges
    else:
        prefixes[settings.exchanges_prefix] = exchanges
    if settings.sandbox:
        prefixes["/sandbox"] = served(SandboxDialect, 0)
    documented = [dialect for dialect in DIALECTS if settings.sandbox or dialect is not SandboxDialect]
    pages = {
        "/healthz": health.live,
        "/readyz": health.ready,
        "/metrics": health.metrics(program.metrics.text),
        **{f"/openapi/{dialect.name}.json": _document(dialect, settings) for dialect in documented},
    }
    return Front(hosts=hosts, prefixes=prefixes, pages=pages, otherwise=operator)


def prefix_of(dialect: type[Dialect], settings: Settings) -> str:
    """Return the path prefix under which a dialect answers."""
    if dialect is ExchangesDialect:
        return "/" if settings.exchanges_host else settings.exchanges_prefix
    return f"/{dialect.name}"


def _document(dialect: type[Dialect], settings: Settings) -> Page:
    return Health.document(msgspec.json.encode(openapi_document(dialect, prefix_of(dialect, settings))))


@asynccontextmanager
async def workers(program: Program) -> AsyncIterator[None]:
    """Run the workers beside whatever happens inside: in one process of all that share the database, the leader."""
    settings, leadership = program.settings, program.desk.leadership

    async def record() -> bool:
        return leadership.leads and await record_what_is_due(program.desk)

    async def settle() -> bool:
        return leadership.leads and await program.settlement.settle_waiting()

    loops = [
        Loop("leadership", leadership.claim, period_ms=settings.leadership_period_ms),
        Loop("deadlines", record, period_ms=settings.deadlines_period_ms),
        Loop("settlement", settle, period_ms=settings.settlement_period_ms),
    ]
    await leadership.claim()
    stop = asyncio.Event()
    tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]
    source = price_source_from(price_feed_settings(settings), program.desk.clock)
    if source is not None:
        tasks.append(asyncio.create_task(PriceWorker(source, _publishing(program)).run(stop), name="prices"))
    try:
        yield
    finally:
        stop.set()
        for loop in loops:
            loop.stop()
        await asyncio.gather(*tasks)
        if source is not None:
            await source.close()
        await leadership.resign()


def price_feed_settings(settings: Settings) -> PriceFeedSettings:
    """Read the price feed's file; raises SettingsError for one that is missing or not valid."""
    if not settings.price_feed_file:
        return PriceFeedSettings()
    try:
        table = tomllib.loads(Path(settings.price_feed_file).read_text(encoding="utf-8")).get("price_feed", {})
        return msgspec.convert(table, PriceFeedSettings)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"DESK_PRICE_FEED_FILE: {error}") from None


def _publishing(program: Program) -> Callable[[PublishPrice], Awaitable[object]]:
    """Return how the price worker's rates get into the books: by the leader, into the feed's lane if there is one."""
    desk, name = program.desk, program.settings.price_feed_lane

    async def publish(command: PublishPrice) -> None:
        lane = await desk.reads.value("lanes", "named", name) if desk.leadership.leads else None
        if lane is not None:
            await desk.submit_as_worker(lane, "worker:prices", command)

    return publish


async def serve(program: Program, *, with_workers: bool = True, on_ready: Any = None) -> None:
    """Answer requests until a signal says stop; then finish what is under way."""
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
        backlog=2048,
    )
    server = _Server(config, on_ready)
    _spare_the_collector()
    if with_workers or settings.stand_by:
        async with workers(program):
            await server.serve()
    else:
        await server.serve()


async def _never_asked(*_: Any) -> None:
    """Stand where uvicorn wants an ASGI application; connections are served without one."""


def _spare_the_collector() -> None:
    """Take what is loaded by now out of the garbage collector's rounds, and let these be rare: little makes cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER, 20, 100)


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Any) -> None:
        super().__init__(config)
        self.on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.on_ready is not None:
            self.on_ready()


def database_dsn(settings: Settings) -> tuple[str, Any]:
    """Return where the database is, starting the embedded server unless a setting names another.

    The second value is the embedded server to be stopped in the end, or None.
    """
    if settings.database_url:
        return settings.database_url, None
    from otcdesk.storage.embedded import EmbeddedServer

    server = EmbeddedServer(Path(settings.home_path))
    return server.start(), server


def psql_program(settings: Settings) -> str:
    """Return the SQL shell to use: the embedded server's own, or the machine's beside a database of one's own."""
    if settings.database_url:
        return "psql"
    from otcdesk.storage.embedded import EmbeddedServer

    return str(EmbeddedServer(settings.home_path).bin("psql"))


def configure_logging(settings: Settings) -> None:
    """Send structured logs to standard error: one JSON object a line, or readable lines."""
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        processors.append(structlog.processors.format_exc_info)  # the plain traceback: values could be secrets
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(levels[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )

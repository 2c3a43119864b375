"""The composition root: settings in, wired program out. Nothing else wires.

`open_desk` builds everything that the process needs on a running database; `web_app` puts the edges on it. How both
are run and stopped is in `serving.py`.
"""

import os
import secrets
import socket
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.bid_resale import AcceptBid
from otcdesk.actions.burn_holding import BurnHolding
from otcdesk.actions.buy_resale import BuyResale, BuyUnsold
from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.list_resale import ListResale
from otcdesk.actions.record_deposit import ConcludeDeposit, RecordDeposit
from otcdesk.actions.record_job import RecordJob
from otcdesk.actions.retry_job import RetryJob
from otcdesk.actions.review_payout import CancelPayout, ReleasePayout
from otcdesk.actions.sell_payout import SellPayout
from otcdesk.actions.send_funds import SendFunds
from otcdesk.actions.take_resale import TakeResale
from otcdesk.actions.withdraw_resale import CloseResale, WithdrawResale
from otcdesk.api.auth import Authenticator, Sessions
from otcdesk.api.deals.routes import DealsDialect
from otcdesk.api.deals.services import DealsServices
from otcdesk.api.deals.tokens import REFRESH_SECONDS, Bearers, signing_key
from otcdesk.api.dialect import Dialect, Recognizes
from otcdesk.api.exchanges.callbacks import ExchangesCallbacks
from otcdesk.api.exchanges.routes import ExchangesDialect
from otcdesk.api.health import Health
from otcdesk.api.limits import RateLimit, SharedCounts
from otcdesk.api.maintenance import Maintenance
from otcdesk.api.offers.callbacks import OffersCallbacks
from otcdesk.api.offers.listings import Listings
from otcdesk.api.offers.routes import OffersDialect
from otcdesk.api.offers.tokens import Clients, OffersServices
from otcdesk.api.openapi import openapi_document
from otcdesk.api.operator.callbacks import StandardCallbacks
from otcdesk.api.operator.routes import OperatorDialect
from otcdesk.api.ramp.callbacks import RampCallbacks
from otcdesk.api.ramp.checkout_links import CheckoutLinks, links_of
from otcdesk.api.ramp.hosted import HostedCheckout
from otcdesk.api.ramp.routes import RampDialect
from otcdesk.api.ramp.services import Channels, LaneAssets, RampServices
from otcdesk.api.ramp.signatures import RequestKeys
from otcdesk.api.routing import Front, Page
from otcdesk.api.sandbox.routes import SandboxDialect
from otcdesk.api.webhook_keys import published_keys
from otcdesk.clock import Clock, SystemClock
from otcdesk.config import Settings, SettingsError
from otcdesk.console.books.checks import Checks
from otcdesk.console.feed import Feed
from otcdesk.console.routes import Console
from otcdesk.console.system.sampler import Sampler
from otcdesk.credentials import Credentials
from otcdesk.desk import Desk
from otcdesk.domain.keys import DONE
from otcdesk.domain.lanes import SANDBOX
from otcdesk.engine.engine import Engine
from otcdesk.engine.lane import LaneLimits
from otcdesk.handover.member import Handover
from otcdesk.handover.places import run_folder
from otcdesk.metrics import Metrics
from otcdesk.operators import Operators
from otcdesk.outcomes import Outcomes
from otcdesk.rails.chains import open_chains
from otcdesk.rails.price_settings import PriceFeedSettings
from otcdesk.rails.protocols import ChainRail
from otcdesk.rails.simulated.custody import FIAT, SimulatedRail
from otcdesk.rails.simulated.payouts import SimulatedPayouts
from otcdesk.rails.simulated.places import SimulatedPlaces
from otcdesk.rails.simulated.tax import SimulatedTax
from otcdesk.rails.simulated.venue import SimulatedVenue
from otcdesk.secret_files import load_or_make_key
from otcdesk.storage.audit_key import audit_key_of
from otcdesk.storage.database import PLANNED_EACH_TIME, Reads, engine_pool, without_password
from otcdesk.storage.leadership import Leadership
from otcdesk.storage.postgres_store import BY_INDEX, PostgresStore
from otcdesk.storage.secrets import Secrets
from otcdesk.supervisors import Supervisors
from otcdesk.tokens import RefreshTokens, Tokens
from otcdesk.webhooks.deliveries import BY_HAND_MAX, Deliveries
from otcdesk.webhooks.envelope import Envelopes
from otcdesk.webhooks.keys import SigningKeys
from otcdesk.webhooks.outbox import Outbox
from otcdesk.webhooks.sender import Sender
from otcdesk.webhooks.service import Webhooks
from otcdesk.webhooks.subscriptions import Subscriptions
from otcdesk.workers.chain_payouts import ChainPayouts
from otcdesk.workers.checkouts import settle_paid_checkouts
from otcdesk.workers.deadlines import record_what_is_due
from otcdesk.workers.execution import Execution
from otcdesk.workers.jobs import Jobs
from otcdesk.workers.payouts import Payouts
from otcdesk.workers.settlement import Settlement
from otcdesk.workers.webhooks import WebhookWorker
from otcdesk.world_loading import WorldLoader

#: Hosts and process ids come again, in containers all the time.
_THIS_PROCESS = secrets.token_hex(4)

#: A leader misses so many of its signs before it has given none.
_PERIODS_OF_A_LEASE = 3

#: How a batch tells that it has accepted quotes.
_ACCEPTED = (CATALOGUE[AcceptQuote].name, DONE)

#: How a batch tells that payouts wait for their provider: a deposit sets off rules that sell.
_PAYABLE_BY = (SellPayout, ReleasePayout, CancelPayout, RecordDeposit, ConcludeDeposit)
_PAYABLE = frozenset((CATALOGUE[command].name, DONE) for command in _PAYABLE_BY)

#: How a batch tells that jobs wait for the chain: those that somebody has asked for, or those by which it follows.
_ASKED_BY = (
    *(ListResale, WithdrawResale, BuyUnsold, BuyResale, AcceptBid, BurnHolding),
    *(TakeResale, CloseResale, SendFunds, RecordJob, RetryJob),
)
_ASKED = frozenset((CATALOGUE[command].name, DONE) for command in _ASKED_BY)

DIALECTS: tuple[type[Dialect], ...] = (
    ExchangesDialect,
    OffersDialect,
    RampDialect,
    DealsDialect,
    OperatorDialect,
    SandboxDialect,
)

#: Those that an operator may close for maintenance: it needs its own to open them again.
CLOSABLE = frozenset(dialect.name for dialect in DIALECTS if dialect not in {OperatorDialect, SandboxDialect})

ENVELOPES = Envelopes([ExchangesCallbacks(), OffersCallbacks(), RampCallbacks(), StandardCallbacks()])


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which of several server processes this is, from 1, and the folder that they share while they live."""

    process: int = 1
    shared: Path | None = None


ALONE = Place()


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that this process is made of."""

    settings: Settings
    place: Place
    dsn: str
    desk: Desk
    credentials: Credentials
    sessions: Sessions
    tokens: Tokens
    supervisors: Supervisors
    operators: Operators
    feed: Feed
    sampler: Sampler
    checks: Checks
    bearers: Bearers
    refresh_tokens: RefreshTokens
    maintenance: Maintenance
    secrets: Secrets
    worlds: WorldLoader
    checkout_links: CheckoutLinks
    settlement: Settlement
    execution: Execution
    chain_payouts: ChainPayouts
    payouts: Payouts
    jobs: Jobs
    simulated_payouts: SimulatedPayouts
    webhooks: Webhooks
    webhook_worker: WebhookWorker
    metrics: Metrics
    audit_key: bytes
    urls: dict[str, str]

    async def work_once(self, lane: int) -> None:
        """Let the workers do now what they would do in a moment; of executions, payouts and webhooks one lane's."""
        await record_what_is_due(self.desk)
        await settle_paid_checkouts(self.desk)
        await self.settlement.settle_waiting()
        await self.execution.work_once(lane)
        await self.chain_payouts.work_once(lane)
        await self.jobs.work_once(lane)
        await self.payouts.work_once(lane)
        await self.payouts.book_returns(lane)
        await self.webhook_worker.work_once(lane)


def writer_name() -> str:
    """Return the name by which the audit chain and leases know this process, and no other one ever."""
    return f"{socket.gethostname()}:{os.getpid()}:{_THIS_PROCESS}"


@asynccontextmanager
async def open_desk(
    settings: Settings, dsn: str, clock: Clock | None = None, place: Place = ALONE
) -> AsyncIterator[Program]:
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
        webhook_reads = await closing.enter_async_context(
            Reads.opened(
                dsn,
                connections_max=settings.webhook_connections_max,
                statement_timeout_ms=timeout,
                session={**BY_INDEX, "application_name": "otcdesk webhooks"},
            )
        )
        venue_reads = await closing.enter_async_context(
            Reads.opened(
                dsn,
                connections_max=settings.venue_connections_max,
                statement_timeout_ms=timeout,
                session={**PLANNED_EACH_TIME, "application_name": "otcdesk execution"},
            )
        )
        sender = await closing.enter_async_context(_sender(settings))
        chain = await closing.enter_async_context(
            open_chains(settings.chains_file, reads, clock, rail_timeout_ms=settings.rail_timeout_ms)
        )
        program = await _wired(
            settings, dsn, clock, place, pool, reads, edge_reads, webhook_reads, venue_reads, sender, chain
        )
        workers = (program.settlement, program.execution, program.chain_payouts, program.payouts, program.jobs)
        for part in (program.desk.engine, program.webhook_worker, *workers):  # the last of them stops first
            closing.push_async_callback(part.stop)
        closing.push_async_callback(program.desk.outcomes.close)
        closing.push_async_callback(program.feed.stop)
        closing.push_async_callback(program.checks.stop)
        yield program


async def _wired(
    settings: Settings,
    dsn: str,
    clock: Clock,
    place: Place,
    pool: asyncpg.Pool,
    reads: Reads,
    edge_reads: Reads,
    webhook_reads: Reads,
    venue_reads: Reads,
    sender: Sender,
    chain: ChainRail,
) -> Program:
    """Put the parts together. Long reads have connections of their own, so that they hold up no credential or claim."""
    timeout = settings.statement_timeout_ms
    audit_key = await audit_key_of(reads.pool, settings.home_path)
    session_key = load_or_make_key(settings.home_path, "session.key")
    metrics = Metrics(place.process, place.shared)
    sealed = Secrets(edge_reads.pool, settings.home_path, clock)
    webhooks = _webhooks(settings, clock, webhook_reads, reads, sealed, sender)
    webhook_worker = WebhookWorker(webhooks, clock, settings, metrics.webhook)

    def committed(outcomes: Mapping[tuple[str, str], int], nanoseconds: int) -> None:
        metrics.batch(outcomes, nanoseconds)
        webhook_worker.committed()
        if _ACCEPTED in outcomes:
            execution.committed()
        if not _PAYABLE.isdisjoint(outcomes):
            payouts.committed()
        if not _ASKED.isdisjoint(outcomes):
            jobs.committed()

    engine = Engine(
        store=PostgresStore(pool, acquire_timeout_ms=timeout),
        clock=clock,
        catalogue=CATALOGUE,
        audit_key=audit_key,
        writer=writer_name(),
        limits=_limits(settings),
        watch=committed,
    )
    lease_ms = max(settings.leadership_lease_ms, _PERIODS_OF_A_LEASE * settings.leadership_period_ms)
    leadership = Leadership(dsn, timeout_ms=timeout, lease_ms=lease_ms)
    handover = Handover(
        engine=engine,
        leadership=leadership,
        catalogue=CATALOGUE,
        clock=clock,
        timeout_ms=settings.handover_timeout_ms,
        pending_max=settings.queue_waiting_max,
        watch=metrics.handed_over,
    )
    simulated_payouts = SimulatedPayouts(reads, clock)
    desk = Desk(
        engine=engine,
        reads=reads,
        handover=handover,
        chain=chain,
        fiat=SimulatedRail(reads, FIAT),
        venue=SimulatedVenue(reads),
        payouts=simulated_payouts,
        tax=SimulatedTax(reads),
        outcomes=Outcomes(reads, period_ms=settings.outcomes_period_ms),
        clock=clock,
        settings=settings,
    )
    metrics.watch_engine(engine.waiting, lambda: leadership.leads)
    metrics.watch_outcomes(lambda: desk.outcomes.waiting)
    execution = Execution(desk, writer_name(), venue_reads, metrics.venue_call)
    payouts = Payouts(desk, writer_name(), venue_reads, metrics.payout_call)
    jobs = Jobs(desk, writer_name(), venue_reads, metrics.job_call)
    credentials, supervisors = Credentials(edge_reads, clock), Supervisors(edge_reads)
    operators = Operators(edge_reads, sealed, clock, settings)
    return Program(
        settings=settings,
        place=place,
        dsn=dsn,
        desk=desk,
        credentials=credentials,
        sessions=Sessions(session_key, clock),
        tokens=Tokens(session_key, edge_reads, clock),
        supervisors=supervisors,
        feed=Feed(edge_reads),
        sampler=Sampler(metrics, clock),
        checks=Checks(dsn, audit_key, clock, shared=place.shared),
        operators=operators,
        bearers=_bearers(settings, supervisors, clock),
        refresh_tokens=RefreshTokens(edge_reads, clock, lasts_seconds=REFRESH_SECONDS),
        maintenance=Maintenance(edge_reads, clock, CLOSABLE),
        secrets=sealed,
        checkout_links=links_of(session_key, settings.base_url, settings.checkout_prefix),
        worlds=WorldLoader(desk, credentials, supervisors, operators, webhooks.subscriptions, clock),
        settlement=Settlement(desk, writer_name(), edge_reads, metrics.transfer_call),
        execution=execution,
        chain_payouts=ChainPayouts(desk, writer_name(), venue_reads, partial(metrics.transfer_call, "chain")),
        payouts=payouts,
        jobs=jobs,
        simulated_payouts=simulated_payouts,
        webhooks=webhooks,
        webhook_worker=webhook_worker,
        metrics=metrics,
        audit_key=audit_key,
        urls=dialect_urls(settings),
    )


def _bearers(settings: Settings, supervisors: Supervisors, clock: Clock) -> Bearers:
    return Bearers(
        signing_key(settings.home_path, settings.deals_key_file),
        supervisors,
        clock,
        cache_ms=settings.credential_cache_ms,
        lasts_seconds=settings.deals_token_seconds,
    )


def _sender(settings: Settings) -> AbstractAsyncContextManager[Sender]:
    return Sender.opened(
        local=settings.webhooks_local,
        timeout_ms=settings.webhooks_timeout_ms,
        ca_file=settings.webhooks_ca_file,
        response_bytes_max=settings.webhooks_response_bytes_max,
        connections_max=settings.webhooks_in_flight_max + BY_HAND_MAX,
    )


def _webhooks(
    settings: Settings, clock: Clock, reads: Reads, pages: Reads, sealed: Secrets, sender: Sender
) -> Webhooks:
    """Put the parts together. What edges ask for has connections of its own, so that it holds up no message."""
    keys = SigningKeys(reads.pool, sealed, ENVELOPES, clock, overlap_hours=settings.webhooks_overlap_hours)
    outbox = Outbox(reads.pool, ENVELOPES, clock)
    return Webhooks(
        envelopes=ENVELOPES,
        keys=keys,
        sender=sender,
        subscriptions=Subscriptions(
            reads=pages,
            keys=keys,
            sender=sender,
            envelopes=ENVELOPES,
            clock=clock,
            local=settings.webhooks_local,
        ),
        outbox=outbox,
        deliveries=Deliveries(
            reads=reads,
            pages=pages,
            outbox=outbox,
            envelopes=ENVELOPES,
            keys=keys,
            sender=sender,
            clock=clock,
            settings=settings,
        ),
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
    return {
        **{
            name: f"http://{host}:{settings.port}" if host else base + prefix
            for name, (host, prefix) in _placed(settings).items()
        },
        "operator": f"{base}/operator",
    }


def _placed(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return the host, if it has one of its own, and the prefix of each dialect for which settings say them."""
    return {
        ExchangesDialect.name: (settings.exchanges_host, settings.exchanges_prefix),
        OffersDialect.name: (settings.offers_host, settings.offers_prefix),
        RampDialect.name: (settings.ramp_host, settings.ramp_prefix),
        DealsDialect.name: (settings.deals_host, settings.deals_prefix),
    }


def web_app(program: Program) -> Front:
    """Return the outermost edge: every dialect under its prefix or host, documents and health beside them."""
    settings = program.settings
    authenticator = Authenticator(
        program.credentials, program.sessions, program.desk.clock, settings.credential_cache_ms
    )

    rates = {
        ExchangesDialect: settings.exchanges_requests_per_second,
        OffersDialect: settings.offers_requests_per_second,
        RampDialect: settings.ramp_requests_per_second,
        DealsDialect: settings.deals_requests_per_second,
        OperatorDialect: settings.operator_requests_per_second,
    }
    counts = SharedCounts(run_folder(settings.home_path) / "limits") if any(rates.values()) else None
    address, _ = without_password(program.dsn)  # tenants of another database are others

    def served(
        dialect: type[Dialect],
        recognizes: Recognizes = authenticator,
        services: Callable[[RateLimit], Any] = lambda _: program,
    ) -> Dialect:
        limit = RateLimit(rates.get(dialect, 0), counts, name=f"{dialect.name} {address}")
        return dialect(
            program.desk,
            recognizes,
            limit,
            maintenance=program.maintenance,
            count=program.metrics.request,
            services=services(limit),
        )

    clients = Clients(program.credentials, program.tokens, settings.credential_cache_ms)
    request_keys = RequestKeys(program.credentials, program.desk.clock, settings)
    reads = program.desk.reads
    ramp = RampServices(
        links=program.checkout_links,
        places={SANDBOX: SimulatedPlaces()},
        assets=LaneAssets(reads),
        channels=Channels(reads, settings.credential_cache_ms),
    )
    operator = served(OperatorDialect)
    of_contracts = {
        ExchangesDialect.name: served(ExchangesDialect),
        OffersDialect.name: served(OffersDialect, clients, partial(_offers_services, program, clients)),
        RampDialect.name: served(RampDialect, request_keys, lambda _: ramp),
        DealsDialect.name: served(DealsDialect, program.bearers, partial(_deals_services, program)),
    }
    health = Health(program.desk, program.place.process)
    hosts: dict[str, Dialect] = {}
    prefixes: dict[str, Dialect] = {"/operator": operator}
    for name, (host, prefix) in _placed(settings).items():
        if host:
            hosts[host] = of_contracts[name]
        else:
            prefixes[prefix] = of_contracts[name]
    prefixes[settings.checkout_prefix] = served(HostedCheckout)
    prefixes["/console"] = served(Console)
    if settings.sandbox:
        prefixes["/sandbox"] = served(SandboxDialect)
    documented = [dialect for dialect in DIALECTS if settings.sandbox or dialect is not SandboxDialect]
    pages = {
        "/healthz": health.live,
        "/readyz": health.ready,
        "/metrics": health.metrics(program.metrics.text),
        "/webhooks/keys": published_keys(program.webhooks.keys),
        **{f"/openapi/{dialect.name}.json": _document(dialect, settings) for dialect in documented},
    }
    return Front(hosts=hosts, prefixes=prefixes, pages=pages, otherwise=operator)


def _offers_services(program: Program, clients: Clients, limit: RateLimit) -> OffersServices:
    return OffersServices(
        clients=clients,
        tokens=program.tokens,
        listings=Listings(program.desk.reads),
        limit=limit,
        maintenance=program.maintenance,
    )


def _deals_services(program: Program, limit: RateLimit) -> DealsServices:
    return DealsServices(
        bearers=program.bearers,
        credentials=program.credentials,
        refresh_tokens=program.refresh_tokens,
        limit=limit,
        maintenance=program.maintenance,
    )


def prefix_of(dialect: type[Dialect], settings: Settings) -> str:
    """Return the path prefix under which a dialect answers."""
    host, prefix = _placed(settings).get(dialect.name, ("", f"/{dialect.name}"))
    return "/" if host else prefix


def _document(dialect: type[Dialect], settings: Settings) -> Page:
    host, _ = _placed(settings).get(dialect.name, ("", ""))
    server = dialect_urls(settings)[dialect.name] if host else prefix_of(dialect, settings)
    return Health.document(msgspec.json.encode(openapi_document(dialect, server)))


def price_feed_settings(settings: Settings) -> PriceFeedSettings:
    """Read the price feed's file; raises SettingsError for one that is missing or not valid."""
    if not settings.price_feed_file:
        return PriceFeedSettings()
    try:
        table = tomllib.loads(Path(settings.price_feed_file).read_text(encoding="utf-8")).get("price_feed", {})
        return msgspec.convert(table, PriceFeedSettings)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"DESK_PRICE_FEED_FILE: {error}") from None


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

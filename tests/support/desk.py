"""Engines and lanes for tests: the product's own, wired by hand, on a database of the tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.clock import Clock
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Catalogue, Command
from otcdesk.domain.ledger import TREASURY, desk_account_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import account_id, declaration_of, parse_world, tenant_id
from otcdesk.engine.engine import Engine
from otcdesk.engine.lane import LaneLimits
from otcdesk.storage.database import engine_pool
from otcdesk.storage.postgres_store import PostgresStore
from tests.support.clocks import SteeredClock

AUDIT_KEY = b"a key that only the tests know.."

LIMITS = LaneLimits(
    batch_commands_max=512,
    waiting_max=10_000,
    waiting_per_owner_max=10_000,
    cached_rows_max=10_000,
    store_retries_max=3,
    retry_pause_ms=10,
)

CONTRACT_WORLD = (files("otcdesk") / "worlds" / "contract.toml").read_text(encoding="utf-8")

# Who and what the contract's world declares.
A, B = tenant_id("A"), tenant_id("B")
FA1, FA2, FA3 = (account_id("A", ref) for ref in ("FA1", "FA2", "FA3"))
WA1, WA2, WAT = (account_id("A", ref) for ref in ("WA1", "WA2", "WAT"))
FB1, WB1 = account_id("B", "FB1"), account_id("B", "WB1")
TREASURY_EUR = desk_account_id(TREASURY, "EUR")
TREASURY_USDC = desk_account_id(TREASURY, "USDC", "ethereum")

#: Who an account of the contract's world belongs to.
OWNER_OF = {FA1: A, FA2: A, FA3: A, WA1: A, WA2: A, WAT: A, FB1: B, WB1: B}


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A lane of a test's own."""

    number: int
    dsn: str
    clock: Clock


@asynccontextmanager
async def make_engine(
    dsn: str,
    *,
    clock: Clock | None = None,
    catalogue: Catalogue = CATALOGUE,
    writer: str = "tests",
    connections_max: int = 5,
    statement_timeout_ms: int = 10_000,
    **limits: int,
) -> AsyncIterator[Engine]:
    """Run an engine over a database; `limits` are fields of `LaneLimits` that differ from the tests' own."""
    pool = await engine_pool(dsn, connections_max=connections_max, statement_timeout_ms=statement_timeout_ms)
    engine = Engine(
        store=PostgresStore(pool),
        clock=clock or SteeredClock(),
        catalogue=catalogue,
        audit_key=AUDIT_KEY,
        writer=writer,
        limits=msgspec.structs.replace(LIMITS, **limits),
    )
    try:
        yield engine
    finally:
        await engine.stop()
        pool.terminate()


async def new_lane(dsn: str, world: str = CONTRACT_WORLD, clock: Clock | None = None) -> Lane:
    """Open a lane with a number of its own and declare a world in it."""
    clock = clock or SteeredClock()
    connection = await asyncpg.connect(dsn)
    try:
        number = await connection.fetchval("select nextval('lane_numbers')")
        await connection.execute(
            "insert into lanes (lane, name, kind, created_at) values ($1, $2, 'sandbox', $3)",
            number,
            f"test-{uuid4()}",
            clock.now(),
        )
    finally:
        await connection.close()
    async with make_engine(dsn, clock=clock, connections_max=1) as engine:
        command = DeclareWorld(declaration=declaration_of(parse_world(world)))
        await submit(engine, number, command, caller="world file")
    return Lane(number=number, dsn=dsn, clock=clock)


async def submit(
    engine: Engine,
    lane: int,
    command: Command,
    *,
    owner_id: UUID = DESK_ID,
    caller: str = "test",
    key: str | None = None,
    request_id: str = "request",
    in_person: InPerson | None = None,
) -> Any:
    """Submit as the desk, or as who is named."""
    return await engine.submit(
        lane, command, caller=caller, owner_id=owner_id, request_id=request_id, key=key, in_person=in_person
    )

"""What the commands share: settings, a running database, a desk on it, and words for what goes wrong."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import typer
import uvloop

from otcdesk.app import Program, database_dsn, open_desk
from otcdesk.config import Settings, SettingsError, load_settings
from otcdesk.domain.parties import Tenant
from otcdesk.errors import Refusal
from otcdesk.logs import configure_logging
from otcdesk.sealed import SecretDamaged
from otcdesk.secret_files import KeyUnusable
from otcdesk.storage.database import DatabaseUnusable, Reads, migrate

T = TypeVar("T")

MAIN_LANE: Final = "main"

STOPS: Final = (signal.SIGINT, signal.SIGTERM)

#: Failures that are told in a sentence, because a person can do something about them.
EXPECTED: Final = (
    *(SettingsError, KeyUnusable, SecretDamaged, DatabaseUnusable, Refusal),
    *(OSError, msgspec.MsgspecError, asyncpg.PostgresError),
)

Home = Annotated[Path | None, typer.Option(help="Folder for data and secrets (DESK_HOME).")]
LaneName = Annotated[str, typer.Option(help="Name of the lane.")]


def settings_of(**overrides: Any) -> Settings:
    """Read the settings; what the command line says wins."""
    return load_settings(os.environ, **overrides)


def sentence(error: Exception) -> str:
    """Return what a person needs to read of an expected failure."""
    if isinstance(error, Refusal):
        return error.detail
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the database's address, the schema up to date; the embedded server is stopped on leaving, undisturbed."""
    with running_database(settings) as (dsn, _):
        asked(migrate(dsn))
        yield dsn


@contextmanager
def running_database(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the address of the database as it is, and the embedded server if it is on one."""
    configure_logging(settings)
    dsn, server = database_dsn(settings)
    try:
        yield dsn, server
    finally:
        if server is not None:
            for number in STOPS:  # an impatient second Ctrl-C would leave it running
                signal.signal(number, signal.SIG_IGN)
            server.stop()


def asked(work: Coroutine[Any, Any, T]) -> T:
    """Do something with the database; say so if it cannot be reached."""
    try:
        return asyncio.run(work)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SettingsError(f"The database cannot be used: {sentence(error)}") from error


def on_desk(settings: Settings, work: Callable[[Program], Awaitable[Any]]) -> Any:
    """Open the desk, do something with it, close it."""

    async def run(dsn: str) -> Any:
        async with open_desk(settings, dsn) as program:
            return await work(program)

    with database(settings) as dsn:
        return uvloop.run(run(dsn))


def told_by_demo(settings: Settings, dialect: str) -> Mapping[str, Any]:
    """Return what the demo of a home says of a dialect, nothing if there is no demo."""
    try:
        told: Any = msgspec.json.decode((settings.home_path / "demo.json").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}
    found = told.get(dialect) if isinstance(told, dict) else None
    return found if isinstance(found, dict) else {}


async def lane_number(program: Program, lane: str) -> int:
    """Return the number of the lane of this name; raises BadParameter if there is none."""
    return await lane_named(program.desk.reads, lane)


async def lane_named(reads: Reads, lane: str) -> int:
    """Return the number of the lane of this name; raises BadParameter if there is none."""
    number: int | None = await reads.value("lanes", "named", lane)
    if number is None:
        raise typer.BadParameter(f"there is no lane {lane!r}; load a world file first")
    return number


async def tenant_named(program: Program, lane: int, text: str) -> UUID:
    """Return the id of a lane's tenant as it was typed; raises BadParameter if there is none such."""
    tenant_id = uuid_typed(text)
    if tenant_id not in {row.id for row in await program.desk.reads.rows("lanes", "tenants", Tenant, lane)}:
        raise typer.BadParameter(f"the lane has no tenant {tenant_id}")
    return tenant_id


def uuid_typed(text: str) -> UUID:
    """Return an id as it was typed; raises BadParameter for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a UUID") from None

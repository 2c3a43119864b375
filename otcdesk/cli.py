"""The `otcdesk` command: parses what a person typed, wires a program, and says in one sentence what went wrong."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import uvloop

from otcdesk import __version__
from otcdesk.app import ENVELOPES, Program, open_desk, psql_program
from otcdesk.cli_books import books
from otcdesk.cli_chains import chains
from otcdesk.cli_deals import deals, supervisor_of
from otcdesk.cli_hooks import hooks
from otcdesk.cli_operators import operators, told_of
from otcdesk.cli_payouts import payouts
from otcdesk.cli_ramp import ramp, request_keys
from otcdesk.commandline import (
    EXPECTED,
    MAIN_LANE,
    STOPS,
    Home,
    LaneName,
    database,
    lane_number,
    on_desk,
    sentence,
    settings_of,
    tenant_named,
)
from otcdesk.config import Settings, SettingsError, load_settings
from otcdesk.credentials import API_KEY, OPERATOR
from otcdesk.demo import load_demo
from otcdesk.demo_story import story
from otcdesk.docs import write_documents
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import parse_world
from otcdesk.secret_files import fingerprint
from otcdesk.serving import LISTEN_BACKLOG, among_others, serve, workers
from otcdesk.storage.database import without_password
from otcdesk.supervisor import Supervisor
from otcdesk.webhooks.keys import desk_owner
from otcdesk.world_loading import LIVE, SANDBOX

cli = typer.Typer(
    help="A self-hosted OTC desk: quote, confirm, approve and settle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="Credentials: create, list, revoke.", no_args_is_help=True)
world = typer.Typer(help="World files: what the desk deals in and with whom.", no_args_is_help=True)
cli.add_typer(keys, name="keys")
cli.add_typer(world, name="world")
keys.add_typer(request_keys)
cli.add_typer(books)
cli.add_typer(chains)
cli.add_typer(hooks, name="hooks")
cli.add_typer(ramp, name="ramp")
cli.add_typer(payouts, name="payouts")
cli.add_typer(deals, name="deals")
cli.add_typer(operators, name="operators")

Port = Annotated[int | None, typer.Option(help="Port to listen on (DESK_PORT).")]
Processes = Annotated[
    int | None, typer.Option("--workers", min=1, max=64, help="Server processes on the one port (DESK_PROCESSES).")
]


def main() -> None:
    """Run the command and turn expected failures into one sentence and exit code 1."""
    for number in STOPS:
        signal.signal(number, _interrupt)
    try:
        cli(standalone_mode=True)
    except EXPECTED as error:
        typer.echo(f"otcdesk: {sentence(error)}", err=True)
        sys.exit(1)
    except Exception as error:
        if type(error).__name__ != "EmbeddedServerError":  # known by name: its module is loaded only when it is used
            raise
        typer.echo(f"otcdesk: {error}", err=True)
        sys.exit(1)


def _interrupt(*_: object) -> None:
    """Let a supervisor's SIGTERM stop the desk as orderly as Ctrl-C does: the database is stopped on the way out."""
    raise KeyboardInterrupt


def _serve(settings: Settings, work: Callable[[Program, Callable[[], None]], Awaitable[Any]]) -> None:
    """Run a server until a signal stops it; `work` gets the program and what to call when it listens.

    Once it has stopped in order the server raises the signal again, which then has nothing left to say.
    """
    listening = False

    def listens() -> None:
        nonlocal listening
        listening = True

    try:
        on_desk(settings, lambda program: work(program, listens))
    except KeyboardInterrupt:
        if not listening:
            raise


def _listener(settings: Settings) -> socket.socket:
    """Open the settings' address; told before a database is started if it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=LISTEN_BACKLOG)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        told = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise SettingsError(f"{where} cannot be listened on: {told}; DESK_PORT names another port") from None


def _with_port_of(settings: Settings, listener: socket.socket) -> Settings:
    return msgspec.structs.replace(settings, port=listener.getsockname()[1])


def _with_free_port(settings: Settings) -> Settings:
    """Return the settings with the port that will be used."""
    with _listener(settings) as listener:
        return _with_port_of(settings, listener)


def _supervise(settings: Settings, listener: socket.socket, ready: Callable[[], None], *, with_workers: bool) -> None:
    """Run several server processes on a database that is ready, until a signal stops them."""
    code = Supervisor(settings, listener, with_workers=with_workers, on_ready=ready).run()
    if code:
        typer.echo("otcdesk: server processes died too often; the log says of what", err=True)
        raise typer.Exit(code)


@cli.command()
def demo(port: Port = None, home: Home = None, processes: Processes = None) -> None:
    """Open a demo desk with a funded customer, and print a story to paste."""
    environ = {
        "DESK_LOG_FORMAT": "console",
        "DESK_LOG_LEVEL": "warning",
        "DESK_WEBHOOKS_LOCAL": "true",
        **os.environ,
    }
    overrides = {"port": port, "home": home and str(home), "sandbox": True, "processes": processes}
    settings = load_settings(environ, **overrides)
    if settings.processes > 1:
        _demo_of_many(settings)
    else:
        _demo_of_one(_with_free_port(settings))
    typer.echo("otcdesk stopped; the data is kept.")


def _demo_of_one(settings: Settings) -> None:
    async def run(program: Program, listens: Callable[[], None]) -> None:
        told = await load_demo(program)

        def ready() -> None:
            listens()
            typer.echo(story(told, settings.home_path))

        await serve(program, on_ready=ready)

    _serve(settings, run)


def _demo_of_many(settings: Settings) -> None:
    with _listener(settings) as listener:
        settings = _with_port_of(settings, listener)

        async def load(dsn: str) -> Any:
            async with open_desk(settings, dsn) as program:
                return await load_demo(program)

        with database(settings) as dsn:
            told = uvloop.run(load(dsn))
            _supervise(settings, listener, lambda: typer.echo(story(told, settings.home_path)), with_workers=True)


@cli.command(name="serve")
def serve_command(
    port: Port = None,
    home: Home = None,
    processes: Processes = None,
    no_workers: Annotated[bool, typer.Option("--no-workers", help="Leave settlement and deadlines to `work`.")] = False,
) -> None:
    """Serve every dialect until told to stop."""
    settings = settings_of(port=port, home=home and str(home), processes=processes)
    if settings.processes > 1:
        with _listener(settings) as listener:
            settings = _with_port_of(settings, listener)
            with database(settings):
                _supervise(settings, listener, lambda: _say_where(settings), with_workers=not no_workers)
        return
    settings = _with_free_port(settings)

    async def run(program: Program, listens: Callable[[], None]) -> None:
        def ready() -> None:
            listens()
            _say_where(settings)

        await serve(program, with_workers=not no_workers, on_ready=ready)

    _serve(settings, run)


def _say_where(settings: Settings) -> None:
    typer.echo(f"otcdesk {__version__} listens at {settings.base_url}", err=True)


@cli.command()
def work(home: Home = None) -> None:
    """Run the workers only: record what is due, carry out what is approved."""

    async def run(program: Program) -> None:
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        async with among_others(program, may_lead=True), workers(program):
            await stop.wait()

    on_desk(settings_of(home=home and str(home)), run)


@cli.command(name="migrate")
def migrate_command(home: Home = None) -> None:
    """Bring the database's schema up to date."""
    with database(settings_of(home=home and str(home))):
        typer.echo("The schema is up to date.")


@world.command(name="load")
def world_load(file: Path, lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """Load a world file; loading it again changes only what differs."""
    try:
        declared = parse_world(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8 text") from None

    async def run(program: Program) -> None:
        number = await program.worlds.open_lane(lane, LIVE)
        loaded = await program.worlds.load(number, declared, kind=LIVE)
        typer.echo(f"{loaded.name}: {loaded.declared.added} rows added, {loaded.declared.changed} changed.")
        for ref, tenant in loaded.tenants.items():
            typer.echo(f"tenant {ref}: {tenant}")
        for ref, supervisor in loaded.supervisors.items():
            typer.echo(f"supervisor {ref}: {supervisor}")
        for name, secret in {**loaded.api_keys, **loaded.operators, **loaded.request_keys}.items():
            typer.echo(f"{name}: {secret}   (shown this once)")
        for made in loaded.staff.values():
            typer.echo(f"{told_of(made)}   (shown this once)")
        for name, client in loaded.clients.items():
            typer.echo(f"{name}: client id {client.client_id}, secret {client.client_secret}   (shown this once)")
        for webhook in loaded.webhooks:
            told = "" if webhook.secret is None else f": {webhook.secret}   (shown this once)"
            typer.echo(f"webhook {webhook.url}{told}")
        for missed in loaded.missed:
            typer.echo(f"webhook {missed.url} was not made: {missed.reason}", err=True)

    on_desk(settings_of(home=home and str(home)), run)


@keys.command(name="create")
def keys_create(
    name: Annotated[str, typer.Argument(help="What the audit trail will call it.")],
    tenant: Annotated[str | None, typer.Option(help="Tenant id; without it an operator's token is made.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="Scope; give several by repeating.")] = None,
    source_ip: Annotated[list[str] | None, typer.Option(help="Only from this address or network.")] = None,
    days: Annotated[int | None, typer.Option(help="Days until it expires.", min=1)] = None,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Create an API key of a tenant, or an operator's token, and show it this once."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        scopes = scope or (["otc-exchanges:read", "otc-exchanges:write"] if tenant else ["otc-operator"])
        secret = await program.credentials.create(
            lane=number,
            kind=API_KEY if tenant else OPERATOR,
            owner_id=await tenant_named(program, number, tenant) if tenant else DESK_ID,
            name=name,
            scopes=scopes,
            source_ips=source_ip,
            expires_at=program.desk.clock.now() + timedelta(days=days) if days else None,
        )
        typer.echo(secret)

    on_desk(settings_of(home=home and str(home)), run)


@keys.command(name="create-client")
def keys_create_client(
    name: Annotated[str, typer.Argument(help="What the audit trail will call it.")],
    tenant: Annotated[str, typer.Option(help="Tenant id.")],
    supervisor: Annotated[
        str | None, typer.Option(help="Id of the supervisor that it calls as, for deals; without it, for offers.")
    ] = None,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Create a tenant's client id and secret, by which it gets access tokens, and show them this once."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        owner_id = await tenant_named(program, number, tenant)
        client_id, secret = await program.credentials.create_client(
            lane=number,
            owner_id=owner_id,
            name=name,
            world_kind=LIVE,
            supervisor_id=None if supervisor is None else await supervisor_of(program, number, owner_id, supervisor),
        )
        typer.echo(f"client id {client_id}, secret {secret}")

    on_desk(settings_of(home=home and str(home)), run)


@keys.command(name="list")
def keys_list(lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """List credentials; secrets cannot be shown again."""

    async def run(program: Program) -> None:
        for row in await program.credentials.of_lane(await lane_number(program, lane)):
            state = "revoked" if row.revoked_at else "expires " + row.expires_at.isoformat() if row.expires_at else "-"
            typer.echo(f"{row.id}  {row.shown_prefix}...  {row.kind}  {row.name}  {' '.join(row.scopes)}  {state}")

    on_desk(settings_of(home=home and str(home)), run)


@keys.command(name="revoke")
def keys_revoke(
    which: Annotated[str, typer.Argument(help="Its id or the beginning that `list` shows.")],
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """End a credential at once."""

    async def run(program: Program) -> None:
        if not await program.credentials.revoke(await lane_number(program, lane), which.removesuffix("...")):
            raise typer.BadParameter("there is no live credential of that id or beginning")
        typer.echo("revoked")

    on_desk(settings_of(home=home and str(home)), run)


@keys.command(name="rotate-secrets")
def keys_rotate_secrets(
    retire: Annotated[
        bool, typer.Option("--retire", help="Forget the older keys; backups sealed with them need them.")
    ] = False,
    home: Home = None,
) -> None:
    """Seal every secret anew with a fresh key of secrets/sealing.key."""

    async def run(program: Program) -> None:
        count = await program.secrets.rotate(retire=retire)
        typer.echo(f"{count} secrets sealed anew; the older keys are {'gone' if retire else 'kept'}.")

    on_desk(settings_of(home=home and str(home)), run)


@keys.command(name="rotate-webhooks")
def keys_rotate_webhooks(
    envelope: Annotated[str, typer.Argument(help="Whose key pair: ramp or offers.")],
    sandbox: Annotated[bool, typer.Option("--sandbox", help="The pair of sandboxes, not the live one.")] = False,
    home: Home = None,
) -> None:
    """Replace the key pair that signs an envelope's webhooks; both sign for DESK_WEBHOOKS_OVERLAP_HOURS."""

    async def run(program: Program) -> None:
        of_desk = [name for name in ENVELOPES.names if not ENVELOPES.named(name).own_keys]
        if envelope not in of_desk:
            raise typer.BadParameter(f"the desk has key pairs for {' and '.join(of_desk)}")
        owner = desk_owner(envelope, SANDBOX if sandbox else LIVE)
        made = await program.webhooks.keys.rotate(owner, ENVELOPES.named(envelope).key_kinds[0])
        typer.echo(made.key.shown, nl=False)

    on_desk(settings_of(home=home and str(home)), run)


@cli.command()
def session(
    tenant: Annotated[str, typer.Argument(help="Tenant id.")],
    user: Annotated[str, typer.Option(help="Who is logged in.")] = "user",
    csrf_token: Annotated[str, typer.Option(help="64 hexadecimal characters that writes must repeat.")] = "0" * 64,
    minutes: Annotated[int, typer.Option(min=1, max=1440)] = 60,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Sign a session token for a tenant's user."""
    if not re.fullmatch("[0-9a-fA-F]{64}", csrf_token):
        raise typer.BadParameter("the CSRF token must be 64 hexadecimal characters")

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        typer.echo(
            program.sessions.sign(
                lane=number,
                tenant_id=await tenant_named(program, number, tenant),
                user=user,
                scopes=["otc-exchanges:read", "otc-exchanges:write"],
                csrf_token=csrf_token,
                lasts=timedelta(minutes=minutes),
            )
        )

    on_desk(settings_of(home=home and str(home)), run)


@cli.command()
def doctor(home: Home = None) -> None:
    """Say whether everything that the desk needs is there."""
    settings = settings_of(home=home and str(home))

    async def run(program: Program) -> None:
        version = await program.desk.reads.value("lanes", "server_version")
        durable = await program.desk.reads.value("lanes", "durability")
        lanes = await program.desk.reads.value("lanes", "count_open")
        typer.echo(f"PostgreSQL {version}, durability: {durable}")
        typer.echo(f"home {settings.home_path}, {lanes} open lanes, audit key {fingerprint(program.audit_key)}")
        secrets, faults = await program.secrets.faults()
        typer.echo(f"{secrets} sealed secrets, {len(faults)} that do not open")
        for fault in faults:
            typer.echo(fault)
        if faults:
            raise typer.Exit(1)

    on_desk(settings, run)


@cli.command(name="bench")
def bench_command(
    connections: Annotated[int, typer.Option(min=1, max=1000, help="Connections of the load.")] = 64,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Server processes on the one port.")] = 1,
    seconds: Annotated[int, typer.Option(min=2, max=3600, help="Seconds of each measurement.")] = 10,
    orders: Annotated[int, typer.Option(min=0, help="Orders to make before measuring.")] = 0,
    dialect: Annotated[
        str, typer.Option(help="The dialect to be measured: exchanges, offers, ramp, ramp-signed or deals.")
    ] = "exchanges",
    webhooks: Annotated[
        bool, typer.Option("--webhooks", help="Measure webhooks instead: their cost, speed, and receivers down.")
    ] = False,
) -> None:
    """Measure a dialect's two main requests beside pgbench on one PostgreSQL, in one run; prints one JSON object."""
    from otcdesk.bench.dialects import DIALECTS
    from otcdesk.bench.machine import Asked
    from otcdesk.bench.run import bench
    from otcdesk.bench.webhooks import bench_webhooks

    asked = Asked(connections=connections, processes=workers, seconds=seconds, orders=orders)
    if dialect not in DIALECTS:
        raise typer.BadParameter(f"the dialects are {', '.join(DIALECTS)}", param_hint="--dialect")

    def say(line: str) -> None:
        typer.echo(f"bench: {line}", err=True)

    figures = bench_webhooks(asked, say) if webhooks else bench(DIALECTS[dialect], asked, say)
    typer.echo(msgspec.json.format(msgspec.json.encode(figures), indent=2).decode())


@cli.command()
def psql(home: Home = None) -> None:
    """Open a SQL shell on the desk's database."""
    settings = settings_of(home=home and str(home))
    with database(settings) as dsn:
        address, secret = without_password(dsn)
        environ = {**os.environ, "PGPASSWORD": secret} if secret else None  # arguments are for all to see
        subprocess.run([psql_program(settings), address], env=environ, check=False)  # noqa: S603  (found by us)


@cli.command()
def docs(check: Annotated[bool, typer.Option("--check", help="Only say whether they are fresh.")] = False) -> None:
    """Write the generated documents: settings, refusals, state diagrams, OpenAPI."""
    stale = write_documents(Path.cwd() / "docs", check=check)
    for path in stale:
        typer.echo(f"{path} {'is stale: run make docs' if check else 'written'}")
    if check and stale:
        raise typer.Exit(1)


@cli.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)

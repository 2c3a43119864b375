"""Commands for the people who run the desk: who they are, what they may do, and where they are signed in."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from otcdesk.app import Program
from otcdesk.clock import SystemClock
from otcdesk.commandline import MAIN_LANE, Home, LaneName, lane_number, on_desk, settings_of, told_by_demo
from otcdesk.one_time_codes import code_at, parsed_secret
from otcdesk.operators import MadeOperator, Operator

operators = typer.Typer(help="The people who run the desk: roles, passwords, sessions.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(help="The operator's e-mail address.")]
Role = Annotated[list[str], typer.Option(help="trader, approver, finance, compliance or admin; repeat for several.")]


class _Account(msgspec.Struct):
    """What `demo.json` says of somebody, as far as a code is made from it."""

    email: str
    totp_secret: str


def told_of(made: MadeOperator) -> str:
    """Return what an operator signs in with, in three lines."""
    return f"{made.email}: {made.password}\nTOTP secret: {made.totp_secret}\n{made.provisioning_uri}"


@operators.command()
def create(
    email: Email,
    name: Annotated[str, typer.Option(help="What people call them.")],
    role: Role,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Make an operator; print password, TOTP secret and the address for an authenticator, this once."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        made = await program.operators.create(lane=number, email=email, name=name, roles=role)
        typer.echo(told_of(made))

    on_desk(settings_of(home=home and str(home)), run)


@operators.command(name="list")
def list_operators(lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """List operators and their roles."""

    async def run(program: Program) -> None:
        now = program.desk.clock.now()
        for one in await program.operators.of_lane(await lane_number(program, lane)):
            is_locked = one.locked_until is not None and one.locked_until > now
            standing = "disabled" if not one.enabled else "locked" if is_locked else "-"
            typer.echo(f"{one.id}  {one.email}  {one.name}  {' '.join(one.roles)}  {standing}")

    on_desk(settings_of(home=home and str(home)), run)


@operators.command()
def roles(email: Email, role: Role, lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """Give an operator these roles and no others; what is open in a browser follows at once."""

    async def run(program: Program) -> None:
        one = await _named(program, lane, email)
        await program.operators.set_roles(one.lane, one.id, role)
        typer.echo(" ".join((await program.operators.operator(one.lane, one.id)).roles))

    on_desk(settings_of(home=home and str(home)), run)


@operators.command()
def disable(email: Email, lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """Keep an operator out; their sessions end at once."""

    async def run(program: Program) -> None:
        one = await _named(program, lane, email)
        await program.operators.enable(one.lane, one.id, enabled=False)
        typer.echo("disabled")

    on_desk(settings_of(home=home and str(home)), run)


@operators.command()
def enable(email: Email, lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """Let an operator in again, with the password and the secret that they had."""

    async def run(program: Program) -> None:
        one = await _named(program, lane, email)
        await program.operators.enable(one.lane, one.id, enabled=True)
        typer.echo("enabled")

    on_desk(settings_of(home=home and str(home)), run)


@operators.command()
def reset(email: Email, lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """Make another password and TOTP secret and print them this once; sessions and lock-outs end."""

    async def run(program: Program) -> None:
        one = await _named(program, lane, email)
        typer.echo(told_of(await program.operators.reset(one.lane, one.id)))

    on_desk(settings_of(home=home and str(home)), run)


@operators.command()
def sessions(email: Email, lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """List where an operator is signed in."""

    async def run(program: Program) -> None:
        one = await _named(program, lane, email)
        for session in await program.operators.sessions(one.id):
            times = f"since {session.created_at:%Y-%m-%d %H:%M} UTC, seen {session.seen_at:%Y-%m-%d %H:%M} UTC"
            typer.echo(f"{session.id}  {times}  {session.address}  {session.agent or '-'}")

    on_desk(settings_of(home=home and str(home)), run)


@operators.command(name="sign-out")
def sign_out(
    email: Email,
    session: Annotated[str | None, typer.Option(help="Only this session, by its id.")] = None,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """End the sessions of an operator."""

    async def run(program: Program) -> None:
        one = await _named(program, lane, email)
        if session is None:
            ended = await program.operators.sign_out_all(one.id)
        else:
            ended = int(await program.operators.sign_out(await _session_named(program, one, session)))
        typer.echo(f"{ended} {'session' if ended == 1 else 'sessions'} ended")

    on_desk(settings_of(home=home and str(home)), run)


@operators.command()
def code(email: Email, home: Home = None) -> None:
    """Print the current code of an operator of the demo, for whoever has no authenticator; from demo.json only."""
    settings = settings_of(home=home and str(home))
    told: Any = told_by_demo(settings, "console").get("users", [])
    known = {one.email.lower(): one for one in msgspec.convert(told, list[_Account])}
    found = known.get(email.lower())
    if found is None:
        path = settings.home_path / "demo.json"
        raise typer.BadParameter(f"{path} knows no operator {email}; it knows {', '.join(known) or 'none'}")
    typer.echo(code_at(parsed_secret(found.totp_secret), SystemClock().now()))


async def _named(program: Program, lane: str, email: str) -> Operator:
    """Return an operator of a lane as they were typed; raises BadParameter if there is none such."""
    found = await program.operators.of_email(await lane_number(program, lane), email)
    if found is None:
        raise typer.BadParameter(f"the lane has no operator {email}")
    return found


async def _session_named(program: Program, one: Operator, text: str) -> UUID:
    found = {str(session.id): session.id for session in await program.operators.sessions(one.id)}.get(text)
    if found is None:
        raise typer.BadParameter(f"{one.email} has no session {text}", param_hint="--session")
    return found

"""Commands for deals: who may act for a tenant, and a token to try requests with."""

import os
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import msgspec
import typer

from otcdesk.app import Program, dialect_urls
from otcdesk.commandline import (
    MAIN_LANE,
    Home,
    LaneName,
    lane_number,
    on_desk,
    settings_of,
    tenant_named,
    told_by_demo,
)
from otcdesk.domain.compact_ids import compact_id, parse_compact_id, print_compact_id
from otcdesk.domain.supervisors import Role, Supervisor

deals = typer.Typer(help="Deals: supervisors and their roles, and tokens.", no_args_is_help=True)

#: Where a client's id and secret are looked for; arguments are for all to see.
CLIENT_VARIABLE: Final = "OTCDESK_DEALS_CLIENT"
SECRET_VARIABLE: Final = "OTCDESK_DEALS_SECRET"  # noqa: S105  (a variable's name)

_VERSION: Final = "/v2"
_AUTHENTICATE: Final = "/auth/authenticate"
_TIMEOUT_SECONDS: Final = 30

Tenant = Annotated[str, typer.Option(help="Tenant id.")]
Which = Annotated[str, typer.Argument(help="The supervisor's id, 24 hexadecimal digits.")]
Known = Annotated[str | None, typer.Option("--id", help="Change the one of this id; without it one is made.")]


# -- supervisors -------------------------------------------------------------------------------------------------------


@deals.command(name="role")
def keep_role(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    tenant: Tenant,
    permission: Annotated[list[str] | None, typer.Option(help="`*` for all; give several by repeating.")] = None,
    priority: Annotated[int, typer.Option(help="Its rank, which grants nothing.")] = 100,
    known: Known = None,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Make a role of a tenant's supervisors, or change it, and print its id."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        role = Role(
            id=_id_of(program, known),
            tenant_id=await tenant_named(program, number, tenant),
            name=name,
            priority=priority,
            permissions=tuple(permission or ()),
        )
        if known is not None and role.id not in {row.id for row in await program.supervisors.roles(number)}:
            raise typer.BadParameter(f"the lane has no role {known}", param_hint="--id")
        await program.supervisors.keep_role(number, role)
        typer.echo(print_compact_id(role.id))

    on_desk(settings_of(home=home and str(home)), run)


@deals.command(name="supervisor")
def keep_supervisor(
    email: Annotated[str, typer.Argument(help="Its e-mail address, which its tokens tell.")],
    tenant: Tenant,
    branch: Annotated[str, typer.Option(help="Id of the branch that it is of, 24 hexadecimal digits.")],
    role: Annotated[str, typer.Option(help="Id of its role.")],
    known: Known = None,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Make a supervisor of a branch, or change its address and role, and print its id; see `keys create-client`."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        before = None if known is None else await program.supervisors.supervisor(number, compact_typed(known))
        if known is not None and before is None:
            raise typer.BadParameter(f"the lane has no supervisor {known}", param_hint="--id")
        one = Supervisor(
            id=_id_of(program, known),
            tenant_id=await tenant_named(program, number, tenant),
            branch_id=compact_typed(branch),
            role_id=compact_typed(role),
            email=email,
            enabled=before is None or before.enabled,
        )
        await program.supervisors.keep_supervisor(number, one)
        typer.echo(print_compact_id(one.id))

    on_desk(settings_of(home=home and str(home)), run)


@deals.command(name="supervisors")
def list_supervisors(lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """List roles and supervisors."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        for role in await program.supervisors.roles(number):
            told = f"priority {role.priority}  {' '.join(role.permissions) or '-'}"
            typer.echo(f"role        {print_compact_id(role.id)}  {role.name}  {told}")
        for one in await program.supervisors.supervisors(number):
            ids = f"branch {print_compact_id(one.branch_id)}  role {print_compact_id(one.role_id)}"
            typer.echo(
                f"supervisor  {print_compact_id(one.id)}  {one.email}  {ids}  {'-' if one.enabled else 'disabled'}"
            )

    on_desk(settings_of(home=home and str(home)), run)


@deals.command()
def disable(which: Which, lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """Keep a supervisor out; its tokens are dead at once."""
    _enable(which, lane, home, enabled=False)


@deals.command()
def enable(which: Which, lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """Let a supervisor in again."""
    _enable(which, lane, home, enabled=True)


def _enable(which: str, lane: str, home: Path | None, *, enabled: bool) -> None:
    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        if not await program.supervisors.enable(number, compact_typed(which), enabled=enabled):
            raise typer.BadParameter(f"the lane has no supervisor {which}")
        typer.echo("enabled" if enabled else "disabled")

    on_desk(settings_of(home=home and str(home)), run)


async def supervisor_of(program: Program, lane: int, tenant_id: UUID, text: str) -> UUID:
    """Return the id of a tenant's supervisor as it was typed; raises BadParameter if there is none such."""
    found = await program.supervisors.supervisor(lane, compact_typed(text))
    if found is None or found.tenant_id != tenant_id:
        raise typer.BadParameter(f"the tenant has no supervisor {text}", param_hint="--supervisor")
    return found.id


def _id_of(program: Program, known: str | None) -> UUID:
    clock = program.desk.clock
    return compact_id(clock.new_id(), clock.now()) if known is None else compact_typed(known)


def compact_typed(text: str) -> UUID:
    """Return an id as it was typed; raises BadParameter for what is none."""
    found = parse_compact_id(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not 24 hexadecimal digits")
    return found


# -- tokens ------------------------------------------------------------------------------------------------------------


@deals.command()
def token(
    client_id: Annotated[
        str | None, typer.Option(help=f"The client's id ({CLIENT_VARIABLE}; else demo.json's).")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Where the dialect answers; else as demo.json or settings say.")
    ] = None,
    home: Home = None,
) -> None:
    """Print an access token for a client's secret (OTCDESK_DEALS_SECRET, or asked for), from a desk that runs."""
    settings = settings_of(home=home and str(home))
    known = told_by_demo(settings, "deals")
    api_key = client_id or os.environ.get(CLIENT_VARIABLE) or known.get("api_key")
    if not api_key:
        raise typer.BadParameter(f"say who asks: --client-id or {CLIENT_VARIABLE}")
    of_demo = known.get("secret_key") if api_key == known.get("api_key") else None
    secret = os.environ.get(SECRET_VARIABLE) or of_demo or typer.prompt("secret", hide_input=True, err=True)
    base = (url or known.get("base_url") or dialect_urls(settings)["deals"]).rstrip("/").removesuffix(_VERSION)
    answer = _asked(base + _VERSION + _AUTHENTICATE, {"api_key": api_key, "secret_key": secret})
    if not answer.is_success:
        typer.echo(f"otcdesk: {answer.status_code} {answer.text}", err=True)
        raise typer.Exit(1)
    typer.echo(msgspec.json.decode(answer.content, type=dict[str, Any])["access_token"])


def _asked(url: str, body: dict[str, str]) -> httpx.Response:
    try:
        return httpx.post(url, json=body, timeout=_TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        place = urlsplit(url).netloc or url
        raise typer.BadParameter(f"{place} does not answer: {error}", param_hint="--url") from None

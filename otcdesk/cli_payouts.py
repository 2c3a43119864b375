"""Commands about payouts through a bank: make a file for it, list the files, and take in its statements."""

import signal
import time
from asyncio import get_running_loop
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from otcdesk.app import Program
from otcdesk.banking.credit_transfers import DECIMALS
from otcdesk.banking.service import Banking, TakenIn
from otcdesk.commandline import MAIN_LANE, STOPS, Home, LaneName, lane_number, on_desk, settings_of
from otcdesk.credentials import OPERATOR
from otcdesk.desk import Caller
from otcdesk.domain.bank_files import PayoutFile
from otcdesk.domain.parties import DESK_ID
from otcdesk.money import print_units

payouts = typer.Typer(help="Payouts through a bank: files for it, and its statements.", no_args_is_help=True)

#: Who the audit trail says it was.
_NAME: Final = "command line"

_FILES_SHOWN = 100
_SECONDS_BETWEEN_SIGNS = 1


class _Listed(msgspec.Struct, frozen=True):
    file: PayoutFile
    states: dict[str, int]


async def _caller(program: Program, lane: str) -> Caller:
    number = await lane_number(program, lane)
    return Caller(lane=number, owner_id=DESK_ID, name=_NAME, kind=OPERATOR, scopes=frozenset())


@payouts.command(name="file")
def file_command(
    out: Annotated[Path | None, typer.Option(help="Where to write it; without this it is printed.")] = None,
    execution_date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="On which day the bank is to pay; else today.")
    ] = None,
    again: Annotated[str | None, typer.Option(help="Write a file once more: its id or reference.")] = None,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Put payouts that wait for it into a file for the bank (ISO 20022 pain.001), and write it."""
    if out is not None and out.exists():
        raise typer.BadParameter(f"{out} exists already")

    async def run(program: Program) -> None:
        caller, banking = await _caller(program, lane), Banking(program.desk)
        if again is not None:
            file_id = _uuid(again)
        else:
            day: date | None = None if execution_date is None else execution_date.date()
            made = await banking.file(caller, execution_on=day, request_id=_NAME)
            file_id = made.filed.file_id
            for order_id in made.unpayable:
                typer.echo(f"left out: {order_id}, which no bank could pay: its payee has no name or IBAN", err=True)
            for order_id in made.filed.left_out:
                typer.echo(f"left out: {order_id}, which went another way meanwhile", err=True)
        detail = await banking.detail(caller.lane, file_id)
        content = await banking.content(caller.lane, file_id)
        total = f"{print_units(detail.file.total_units, DECIMALS)} {detail.file.fiat}"
        typer.echo(f"file {file_id}: {len(detail.payouts)} payouts, {total}", err=True)
        if out is None:
            typer.echo(content, nl=False)
        else:
            _written(out, content)

    on_desk(settings_of(home=home and str(home)), run)


def _written(out: Path, content: bytes) -> None:
    from otcdesk.secret_files import private_file

    with private_file(out, replace=False) as target:
        target.write(content)


def _uuid(text: str) -> Any:
    from uuid import UUID

    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no id of a file") from None


@payouts.command(name="files")
def files_command(lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """List the files for the bank, newest first, and how many of their payouts are in which state."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        rows = await program.desk.reads.rows("bank_files", "files", _Listed, number, _FILES_SHOWN, 0)
        for row in rows:
            file, states = row.file, ", ".join(f"{count} {state}" for state, count in sorted(row.states.items()))
            total = f"{print_units(file.total_units, DECIMALS)} {file.fiat}"
            typer.echo(f"{file.id}  {file.created_at:%Y-%m-%d %H:%M}  {len(file.order_ids)} payouts  {total}  {states}")

    on_desk(settings_of(home=home and str(home)), run)


@payouts.command(name="import-statement")
def import_command(
    file: Annotated[Path, typer.Argument(help="A statement of the desk's bank: ISO 20022 camt.053.")],
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Take in a bank's statement: settle or return payouts; exit 1 if it was not whole or does not add up.

    Importing one again changes nothing but what was not matched before. Ctrl-C stops it; import it again to go on.
    """
    with file.open("rb") as source:

        async def run(program: Program) -> TakenIn:
            stopped = False

            def stop() -> None:
                nonlocal stopped
                stopped = True

            for number in STOPS:
                get_running_loop().add_signal_handler(number, stop)
            try:
                return await Banking(program.desk).take_in(
                    await _caller(program, lane),
                    source,
                    request_id=_NAME,
                    tell=_signs(),
                    stopped=lambda: stopped,
                )
            finally:
                for number in STOPS:
                    get_running_loop().remove_signal_handler(number)
                    signal.signal(number, signal.default_int_handler)

        taken: TakenIn = on_desk(settings_of(home=home and str(home)), run)
    _echo(taken)
    if not taken.whole or taken.amiss:
        raise typer.Exit(1)


def _signs() -> Callable[[TakenIn], None]:
    """Return what tells now and then how far it is."""
    told_at = time.monotonic()

    def tell(taken: TakenIn) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= _SECONDS_BETWEEN_SIGNS:
            told_at = time.monotonic()
            typer.echo(f"{taken.read} lines, {taken.matched} matched", err=True)

    return tell


def _echo(taken: TakenIn) -> None:
    unmatched = sum(taken.unmatched.values())
    typer.echo(f"{taken.read} lines: {taken.matched} matched, {unmatched} unmatched, {taken.known} known before.")
    for reason, count in sorted(taken.unmatched.items()):
        typer.echo(f"unmatched, {reason}: {count}")
    for statement in taken.amiss:
        typer.echo(
            f"statement {statement.id} does not add up: {statement.opening} and {statement.moved} "
            f"are not {statement.closing}",
            err=True,
        )
    if not taken.whole:
        typer.echo("stopped before its end; import it again to go on", err=True)

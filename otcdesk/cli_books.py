"""Commands about the books as a whole: verify them, export their heads, back them up, restore and upgrade them."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from otcdesk.app import Program
from otcdesk.commandline import Home, asked, database, lane_named, lane_number, on_desk, running_database, settings_of
from otcdesk.logs import configure_logging
from otcdesk.secret_files import fingerprint, load_or_make_key, write_private
from otcdesk.storage.audit_key import AUDIT_KEY
from otcdesk.storage.database import DatabaseUnusable, Reads
from otcdesk.storage.verify import ExportedHeads, Report, describe, export_heads, verify

books = typer.Typer()


@books.command(name="verify")
def verify_command(
    lane: Annotated[str | None, typer.Option(help="Only this lane, by name.")] = None,
    head: Annotated[Path | None, typer.Option(help="Exported heads that the chains must contain.")] = None,
    home: Home = None,
) -> None:
    """Replay the audit chain against the tables and check every invariant; exit 1 naming what does not fit."""
    settings = settings_of(home=home and str(home))
    exported = msgspec.json.decode(head.read_bytes(), type=ExportedHeads) if head else None

    async def run(dsn: str) -> Report:
        async with Reads.opened(dsn, connections_max=1, statement_timeout_ms=settings.statement_timeout_ms) as reads:
            number = await lane_named(reads, lane) if lane else None
            written = await reads.value("batches", "any_written")
        # Not held against the books first, as other commands do: under another key this names every batch.
        key = load_or_make_key(settings.home_path, AUDIT_KEY, may_make=not written)
        told = exported.heads if exported else []
        if exported is not None and exported.audit_key != fingerprint(key):
            raise DatabaseUnusable(
                f"{head} belongs to the audit key {exported.audit_key}, and ours is {fingerprint(key)}."
            )
        if number is not None:
            told = [each for each in told if each.lane == number]
            if exported is not None and not told:
                raise typer.BadParameter(f"{head} has no head of the lane {lane!r}")
        return await verify(dsn, key, lane=number, heads=told)

    with database(settings) as dsn:
        report = uvloop.run(run(dsn))
    _echo_report(report)
    if not report.sound:
        raise typer.Exit(1)


def _echo_report(report: Report) -> None:
    for finding in report.findings:
        typer.echo(describe(finding))
    found = len(report.findings) + report.left_out
    typer.echo(f"{report.rows} rows in {report.batches} batches checked, {found} findings.")


@books.command(name="head")
def head_command(
    lane: Annotated[str | None, typer.Option(help="Only this lane, by name.")] = None,
    output: Annotated[Path | None, typer.Option(help="A new file to write; without it they are printed.")] = None,
    home: Home = None,
) -> None:
    """Export the heads of the audit chains, to be kept elsewhere and given to `verify --head`."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane) if lane else None
        heads = ExportedHeads(
            made_at=datetime.now(UTC),
            audit_key=fingerprint(program.audit_key),
            heads=await export_heads(program.dsn, number),
        )
        told = msgspec.json.encode(heads).decode()
        if output is None:
            typer.echo(told)
        else:
            write_private(output, f"{told}\n", replace=False)

    on_desk(settings_of(home=home and str(home)), run)


@books.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file if it is there.")] = False,
    home: Home = None,
) -> None:
    """Write the database as of now into one file, while the desk works; no key is in it."""
    from otcdesk.operations import back_up_desk

    settings = settings_of(home=home and str(home))
    with database(settings) as dsn:
        try:
            typer.echo(asyncio.run(back_up_desk(settings, dsn, file, replace=replace)))
        except FileExistsError as error:
            raise FileExistsError(error.errno, f"{error.strerror}; --replace replaces it", str(file)) from None


@books.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of the embedded database, which is kept.")
    ] = False,
    despite_findings: Annotated[
        bool, typer.Option("--despite-findings", help="Use the database even though verify finds fault with it.")
    ] = False,
    home: Home = None,
) -> None:
    """Fill an empty database from a backup and verify it against the heads that the backup names."""
    from otcdesk.operations import restore_desk
    from otcdesk.storage.backup import opened

    settings = settings_of(home=home and str(home))
    key = load_or_make_key(settings.home_path, AUDIT_KEY, may_make=False)
    with opened(file, audit_key=key) as found, running_database(settings) as place:
        done = asked(restore_desk(settings, found, key, place, replace=replace, despite_findings=despite_findings))
    for line in done.lines:
        typer.echo(line)
    _echo_report(done.restored.report)
    if not done.restored.sound:
        raise typer.Exit(1)


@books.command()
def upgrade(
    old_bin: Annotated[
        Path | None, typer.Option(help="Folder of the programs of the PostgreSQL that wrote the embedded data.")
    ] = None,
    home: Home = None,
) -> None:
    """Bring the embedded data to this version's PostgreSQL, and the schema up to date."""
    from otcdesk.operations import upgrade_data

    settings = settings_of(home=home and str(home))
    configure_logging(settings)
    for line in upgrade_data(settings, old_bin, tell=lambda step: typer.echo(f"upgrade: {step}", err=True)):
        typer.echo(line)
    with database(settings):
        typer.echo("The schema is up to date.")

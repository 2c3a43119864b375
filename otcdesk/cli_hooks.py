"""Commands for those who receive webhooks: listen to a desk's, and check one that was captured."""

import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn
from urllib.parse import urlsplit

import msgspec
import typer

from otcdesk.app import ENVELOPES
from otcdesk.clock import iso_milliseconds
from otcdesk.commandline import STOPS, Home, settings_of
from otcdesk.errors import Refusal
from otcdesk.webhooks.addresses import checked_url
from otcdesk.webhooks.captures import (
    CaptureUnreadable,
    public_keys,
    read_request,
    recognised,
    secret_key,
    signed_at,
)
from otcdesk.webhooks.envelope import Captured, CheckingKey, Envelope, SignatureInvalid
from otcdesk.webhooks.listening import HOST, Arrived, DeskRefused, Listener, OperatorCalls, Wanted, open_port
from otcdesk.webhooks.messages import glance
from otcdesk.world_loading import LIVE, SANDBOX

hooks = typer.Typer(help="Webhooks, on their receiver's side: listen, verify.", no_args_is_help=True)

#: The environment's variable with a secret; arguments are for all to see.
SECRET_VARIABLE: Final = "OTCDESK_HOOK_SECRET"  # noqa: S105  (its name, not its value)

EnvelopeName = Annotated[str | None, typer.Option("--envelope", help=f"One of {', '.join(ENVELOPES.names)}.")]


class _Place(msgspec.Struct):
    base_url: str
    operator: dict[str, str]


# -- verify ----------------------------------------------------------------------------------------------------------


@hooks.command()
def verify(
    file: Annotated[str, typer.Argument(help="The request: line, headers, empty line, body. `-`: standard input.")],
    envelope: EnvelopeName = None,
    secret_file: Annotated[
        Path | None, typer.Option(help=f"File with the webhook's secret; or set {SECRET_VARIABLE}.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="File with a public key: PEM, whpk_..., or the desk's page /webhooks/keys.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where it was posted to, if a proxy changed it (offers).")] = None,
    now: Annotated[str | None, typer.Option(help="Judge its age as of this time, ISO 8601.")] = None,
    any_age: Annotated[bool, typer.Option("--any-age", help="Do not judge its age.")] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Of the desk's page take the keys of sandboxes, not the live ones.")
    ] = False,
) -> None:
    """Check a captured request: what it is, and whether its signature fits; exit 1 if it does not."""
    moment = _moment(now)
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        captured = read_request(raw, url)
        chosen = _chosen(envelope, captured)
        keys = _keys(chosen, secret_file, public_key, SANDBOX if sandbox else LIVE)
    except CaptureUnreadable as unreadable:
        _fail(str(unreadable))
    for line in _facts(chosen, captured, guessed=envelope is None):
        typer.echo(line)
    if any_age:
        moment = signed_at(chosen.name, captured) or moment
    try:
        proved = chosen.check(captured, keys, moment)
    except SignatureInvalid as invalid:
        typer.echo(f"{_styled('NOT verified', typer.colors.RED)}: {_plain(str(invalid))}", color=_color())
        raise typer.Exit(1) from None
    if any_age:
        proved = f"{proved.rpartition(';')[0] or proved.rstrip('.')}; its age is not judged."
    typer.echo(f"{_styled('Verified', typer.colors.GREEN)}: {_plain(proved)}", color=_color())


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not a time as 2026-01-31T12:00:00Z") from None


def _named(name: str) -> Envelope:
    found = ENVELOPES.find(name)
    if found is None:
        raise typer.BadParameter(f"there is no envelope {name!r}; there are {', '.join(ENVELOPES.names)}")
    return found


def _chosen(name: str | None, captured: Captured) -> Envelope:
    found = name or recognised(captured)
    if found is None:
        raise CaptureUnreadable(
            "It has no header by which an envelope is known: is it a webhook? --envelope says which."
        )
    return _named(found)


def _keys(envelope: Envelope, secret_file: Path | None, public_key: Path | None, environment: str) -> list[CheckingKey]:
    """Return what was given to check with; a wrong kind of key is for the envelope to refuse."""
    keys: list[CheckingKey] = []
    secret = secret_file.read_bytes() if secret_file else os.environ.get(SECRET_VARIABLE, "").encode()
    if secret.strip():
        keys.append(secret_key(secret))
    if public_key is not None:
        keys += public_keys(public_key.read_bytes(), envelope.name, environment)
    if not keys and public_key is not None:
        raise CaptureUnreadable(f"{public_key} has no {environment} key for the envelope {envelope.name}.")
    if not keys:
        raise CaptureUnreadable(f"There is no key to check with: --secret-file, {SECRET_VARIABLE} or --public-key.")
    return keys


def _facts(envelope: Envelope, captured: Captured, *, guessed: bool) -> list[str]:
    seen = glance(envelope.name, captured)
    told = f"It tells of {seen.event_type or 'nothing that it names'}"
    told += f", event {seen.event_id}" if seen.event_id else ""
    told += f", about {seen.subject_id}" if seen.subject_id else ""
    told += f", {seen.status}" if seen.status else ""
    return [
        f"A {captured.method} to {_plain(captured.url)} with a body of {len(captured.body)} bytes.",
        f"The envelope is {envelope.name}{', by its headers' if guessed else ''}.",
        f"{told}.",
    ]


# -- listen ----------------------------------------------------------------------------------------------------------


@hooks.command()
def listen(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of this machine; 0: any that is free.")] = 0,
    path: Annotated[str, typer.Option(help="Path that the desk posts to.")] = "/",
    envelope: EnvelopeName = "standard",
    tenant: Annotated[str | None, typer.Option(help="Id of the tenant to listen for; else the desk itself.")] = None,
    events: Annotated[str | None, typer.Option(help="Event types, separated by commas; else all.")] = None,
    answer: Annotated[int, typer.Option(min=200, max=599, help="Status to answer, to see what the desk does.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each message.")] = False,
    url: Annotated[str | None, typer.Option(help="Base URL of the desk; without it that of the demo.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with an operator's token, with --url.")] = None,
    home: Home = None,
) -> None:
    """Receive a desk's webhooks here: registers itself, checks each signature, prints what comes, until Ctrl-C."""
    wanted = Wanted(
        envelope=_named(envelope or "standard"),
        tenant_id=tenant,
        event_types=[name.strip() for name in (events or "").split(",") if name.strip()],
    )
    _here(path, port)
    base_url, token = _desk(url, token_file, home)
    try:
        opened = open_port(port)
    except OSError as error:
        _fail(f"{HOST}:{port} cannot be listened on: {os.strerror(error.errno or 0)}; --port names another.")
    here = _here(path, opened.getsockname()[1])
    stop = asyncio.Event()

    def tell(arrived: Arrived) -> None:
        try:
            (_tell_json if as_json else _tell_line)(arrived)
        except OSError:  # whoever read what is printed has gone
            stop.set()

    listener = Listener(wanted.envelope, urlsplit(here).path, answer=answer, tell=tell)

    async def run() -> None:
        for number in (*STOPS, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with OperatorCalls.opened(base_url, token) as calls, listener.listening(opened):
            webhook_id, keys = await calls.register(wanted, here)
            listener.check_with(keys)
            typer.echo(f"{here} hears of {base_url} as webhook {webhook_id}. Ctrl-C takes it away.", err=as_json)
            await stop.wait()
            await calls.remove(webhook_id)
        with contextlib.suppress(OSError):
            typer.echo("The webhook is gone.", err=as_json)

    try:
        with opened:
            asyncio.run(run())
    except DeskRefused as refused:
        _fail(str(refused))


def _desk(url: str | None, token_file: Path | None, home: Path | None) -> tuple[str, str]:
    """Return where the desk is and an operator's token: as told, or those of the demo of this home."""
    if (url is None) != (token_file is None):
        raise typer.BadParameter("--url and --token-file go together")
    if url is not None and token_file is not None:
        return url.rstrip("/"), _token(token_file)
    path = settings_of(home=home and str(home)).home_path / "demo.json"
    try:
        told = msgspec.json.decode(path.read_bytes(), type=_Place)
        return told.base_url.rstrip("/"), told.operator["token"]
    except FileNotFoundError:
        _fail(f"{path} is missing: start `otcdesk demo`, or name a desk with --url and --token-file.")
    except (msgspec.MsgspecError, KeyError):
        _fail(f"{path} is damaged: start `otcdesk demo` again, or name a desk with --url and --token-file.")


def _here(path: str, port: int) -> str:
    """Return where the desk is to post to; the path is judged before a port is known, and 0 stands for any."""
    try:
        return checked_url(f"http://{HOST}:{port or 1}{path}", local=True).url
    except Refusal:
        raise typer.BadParameter(f"{path!r} is not a path that a URL may have; it begins with /") from None


def _token(path: Path) -> str:
    text = path.read_bytes().strip()
    if not text or not text.isascii() or not text.decode("ascii").isprintable() or b" " in text:
        _fail(f"{path} holds no token.")
    return text.decode("ascii")


def _tell_line(arrived: Arrived) -> None:
    seen = arrived.glance
    judged = _styled("verified", typer.colors.GREEN)
    if not arrived.verified:
        judged = f"{_styled('NOT verified', typer.colors.RED)}: {_plain(arrived.proof)}"
    parts = [
        _styled(f"{arrived.at.astimezone():%H:%M:%S}", typer.colors.BRIGHT_BLACK),
        _styled(seen.event_type or "?", typer.colors.CYAN),
        seen.event_id or "-",
        *(part for part in (seen.subject_id, seen.status) if part),
        *([_styled("again", typer.colors.YELLOW)] if arrived.duplicate else []),
        judged,
    ]
    typer.echo("  ".join(parts), color=_color())


def _tell_json(arrived: Arrived) -> None:
    seen = arrived.glance
    row = {
        "at": iso_milliseconds(arrived.at),
        "eventType": seen.event_type,
        "eventId": seen.event_id,
        "subjectId": seen.subject_id,
        "status": seen.status,
        "verified": arrived.verified,
        "proof": _plain(arrived.proof),
        "duplicate": arrived.duplicate,
        "body": arrived.body.decode("utf-8", "replace"),
    }
    typer.echo(msgspec.json.encode(row).decode())


# -- words -----------------------------------------------------------------------------------------------------------


def _color() -> bool | None:
    """Return whether colours are wanted: never if NO_COLOR is set, else on a terminal only."""
    return False if os.environ.get("NO_COLOR") else None


def _styled(text: str, color: str) -> str:
    return typer.style(text, fg=color)


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _fail(told: str) -> NoReturn:
    typer.echo(f"otcdesk: {_plain(told)}", err=True)
    raise typer.Exit(1)

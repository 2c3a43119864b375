"""Commands for those who call for payouts: make and rotate keys, sign a request, send one."""

import os
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import msgspec
import typer

from otcdesk.app import Program
from otcdesk.commandline import MAIN_LANE, Home, LaneName, lane_number, on_desk, settings_of, tenant_named, told_by_demo
from otcdesk.request_signatures import (
    Signed,
    claims_of,
    new_key_pair,
    private_key,
    signed_token,
)
from otcdesk.secret_files import write_private

request_keys = typer.Typer()
ramp = typer.Typer(help="Payouts, on their callers' side: sign and send requests.", no_args_is_help=True)

#: Where a key and the private half of its pair are looked for; arguments are for all to see.
KEY_VARIABLE: Final = "OTCDESK_RAMP_KEY"
KEY_FILE_VARIABLE: Final = "OTCDESK_RAMP_KEY_FILE"

_VERSION: Final = "/v1"
_METHODS: Final = ("GET", "POST", "PUT", "DELETE")
_TIMEOUT_SECONDS: Final = 30
_ERRORS: Final = 400


class Curve(Enum):
    """The curves of a key pair."""

    P384 = "p384"
    P256 = "p256"


PublicKey = Annotated[Path | None, typer.Option(help="PEM file of a public key (P-384 or P-256).")]
MakeKeyPair = Annotated[
    Path | None, typer.Option(help="File for the private half (mode 600) of a pair that is made now.")
]
CurveName = Annotated[Curve, typer.Option(help="The curve of a pair that is made now.")]


# -- keys ------------------------------------------------------------------------------------------------------------


@request_keys.command(name="create-request")
def keys_create_request(
    name: Annotated[str, typer.Argument(help="What the audit trail will call it.")],
    tenant: Annotated[str, typer.Option(help="Tenant id.")],
    public_key: PublicKey = None,
    make_key_pair: MakeKeyPair = None,
    curve: CurveName = Curve.P384,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Create a tenant's key for payouts and show it this once; with a public key its requests are signed."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        owner_id = await tenant_named(program, number, tenant)
        kind = await program.credentials.lane_kind(number)
        pem = _public_half(public_key, make_key_pair, curve)
        typer.echo(
            await program.credentials.create_request_key(
                lane=number, owner_id=owner_id, name=name, world_kind=kind, public_key=pem
            )
        )

    on_desk(settings_of(home=home and str(home)), run)


@request_keys.command(name="rotate-request")
def keys_rotate_request(
    which: Annotated[str, typer.Argument(help="Its id or the beginning that `list` shows.")],
    overlap_minutes: Annotated[int, typer.Option(min=0, max=525_600, help="Minutes for which the old key lives.")] = 60,
    public_key: PublicKey = None,
    make_key_pair: MakeKeyPair = None,
    curve: CurveName = Curve.P384,
    lane: LaneName = MAIN_LANE,
    home: Home = None,
) -> None:
    """Replace a key for payouts by a new one, shown this once; it keeps its public key unless told another."""

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        secret = await program.credentials.rotate_request_key(
            number,
            which.removesuffix("..."),
            overlap=timedelta(minutes=overlap_minutes),
            public_key=_public_half(public_key, make_key_pair, curve),
        )
        if secret is None:
            raise typer.BadParameter("there is no live request key of that id or beginning")
        typer.echo(secret)

    on_desk(settings_of(home=home and str(home)), run)


def _public_half(public_key: Path | None, make_key_pair: Path | None, curve: Curve) -> str | None:
    """Return the public key that was given or made, None for neither."""
    if public_key is not None and make_key_pair is not None:
        raise typer.BadParameter("give --public-key or --make-key-pair, not both")
    if make_key_pair is not None:
        word: Literal["p384", "p256"] = "p256" if curve is Curve.P256 else "p384"
        private, public = new_key_pair(word)
        write_private(make_key_pair, private, replace=False)
        return public
    return None if public_key is None else public_key.read_text(encoding="utf-8")


# -- requests --------------------------------------------------------------------------------------------------------

Method = Annotated[str, typer.Argument(help="GET, POST or PUT.")]
RequestPath = Annotated[str, typer.Argument(help="Path with its query, from the version on: /v1/balances.")]
Data = Annotated[str | None, typer.Option(help="Body as JSON; @FILE reads it from a file.")]
KeyFile = Annotated[Path | None, typer.Option(help=f"PEM file of the private half ({KEY_FILE_VARIABLE}).")]


@ramp.command()
def sign(method: Method, path: RequestPath, data: Data = None, key_file: KeyFile = None) -> None:
    """Print the Api-Signature of a request, good for five minutes."""
    file = key_file or _variable_path()
    if file is None:
        raise typer.BadParameter(f"say whose signature: --key-file or {KEY_FILE_VARIABLE}")
    typer.echo(_signature(_checked_method(method), _checked_path(path), _body(data), file))


@ramp.command()
def curl(
    method: Method,
    path: RequestPath,
    data: Data = None,
    key_file: KeyFile = None,
    api_key: Annotated[str | None, typer.Option(help=f"The API key ({KEY_VARIABLE}; else demo.json's).")] = None,
    url: Annotated[
        str | None, typer.Option(help="Where the dialect answers; else as demo.json or settings say.")
    ] = None,
    home: Home = None,
) -> None:
    """Send a request, signed if there is a private key, and print the answer; exit code 1 for an error."""
    settings = settings_of(home=home and str(home))
    known = told_by_demo(settings, "ramp")
    key = api_key or os.environ.get(KEY_VARIABLE) or known.get("api_key")
    if not key:
        raise typer.BadParameter(f"say who asks: --api-key or {KEY_VARIABLE}")
    base = url or known.get("base_url") or settings.base_url + settings.ramp_prefix
    verb, target, body = _checked_method(method), _checked_path(path), _body(data)
    headers = {"X-Api-Key": key, **({"Content-Type": "application/json"} if body else {})}
    file = key_file or _variable_path()
    if file is not None:
        headers["Api-Signature"] = _signature(verb, target, body, file)
    answer = _sent(verb, base.rstrip("/").removesuffix(_VERSION) + target, headers, body)
    typer.echo(f"{answer.status_code} {answer.reason_phrase}")
    typer.echo(_printed(answer))
    if answer.status_code >= _ERRORS:
        raise typer.Exit(1)


def _variable_path() -> Path | None:
    named = os.environ.get(KEY_FILE_VARIABLE)
    return Path(named) if named else None


def _checked_method(method: str) -> str:
    if method.upper() not in _METHODS:
        raise typer.BadParameter(f"{method!r} is none of {', '.join(_METHODS)}", param_hint="METHOD")
    return method.upper()


def _checked_path(path: str) -> str:
    if not path.startswith(_VERSION + "/"):
        raise typer.BadParameter(f"a path begins with {_VERSION}/, as in {_VERSION}/balances", param_hint="PATH")
    return quote(path, safe="/?&=%+:,;@!$'()*~[]-._")


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    content = Path(data[1:]).read_bytes() if data.startswith("@") else data.encode()
    try:
        msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise typer.BadParameter(f"the body is not JSON: {error}", param_hint="--data") from None
    return content


def _signature(method: str, path: str, body: bytes, file: Path) -> str:
    parts = urlsplit(path)
    query = parse_qsl(parts.query, keep_blank_values=True)
    request = Signed(method=method, path=parts.path, query=query, body=body)
    return signed_token(claims_of(request, datetime.now(UTC)), private_key(file.read_bytes()))


def _sent(method: str, url: str, headers: dict[str, str], body: bytes) -> httpx.Response:
    try:
        return httpx.request(method, url, headers=headers, content=body or None, timeout=_TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        place = urlsplit(url).netloc or url
        raise typer.BadParameter(f"{place} does not answer: {error}", param_hint="--url") from None


def _printed(answer: httpx.Response) -> str:
    try:
        return msgspec.json.format(answer.content, indent=2).decode() if answer.content else ""
    except msgspec.MsgspecError:
        return answer.text

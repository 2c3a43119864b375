"""HTTP as the dialects see it: a request, an answer, and how bytes become values. No dialect's word is known here."""

import asyncio
import itertools
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from otcdesk.errors import Code, Refusal

T = TypeVar("T")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
#: A request's own id: this process, and a number.
_PROCESS = secrets.token_hex(4)
_NUMBERS = itertools.count(1)
_encode = msgspec.json.Encoder().encode
#: Deeper nesting than this is nobody's request.
_QUERY_FIELDS_MAX = 100


class Request:
    """One HTTP request. Header names are lower case; a repeated header keeps its first value."""

    __slots__ = ("_body", "_headers", "_receive", "id", "path_parameters", "route", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self._headers: dict[bytes, bytes] | None = None
        self._body: bytes | None = None
        self.path_parameters: dict[str, str] = {}
        self.route = "none"
        given = self.header("x-request-id") or ""
        self.id = given if given and _REQUEST_ID.fullmatch(given) else f"{_PROCESS}{next(_NUMBERS):08x}"

    @property
    def method(self) -> str:
        """Return the method in capitals."""
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """Return the whole path as sent."""
        return str(self.scope["path"])

    @property
    def client_address(self) -> str:
        """Return the address that the request came from."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    def header(self, name: str) -> str | None:
        """Return a header's value."""
        if self._headers is None:
            self._headers = {}
            for key, value in self.scope["headers"]:
                self._headers.setdefault(key, value)
        value = self._headers.get(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """Return the query's fields; a repeated one keeps its last value."""
        raw = self.scope["query_string"].decode("latin-1")
        try:
            fields = parse_qsl(raw, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX, errors="strict")
        except ValueError:
            raise Refusal(Code.REQUEST_INVALID, "The query string is not valid.") from None
        return dict(fields)

    async def body(self, *, bytes_max: int, seconds_max: int) -> bytes:
        """Read the whole body; refuses BODY_TOO_LARGE without reading more, REQUEST_INVALID when it does not come."""
        if self._body is not None:
            return self._body
        announced = self.header("content-length")
        if announced is not None and announced.isdigit() and int(announced[:20]) > bytes_max:
            raise Refusal(Code.BODY_TOO_LARGE)
        try:
            async with asyncio.timeout(seconds_max):
                self._body = await self._read(bytes_max)
        except TimeoutError:
            raise Refusal(Code.REQUEST_INVALID, f"The body did not come within {seconds_max} s.") from None
        return self._body

    async def _read(self, bytes_max: int) -> bytes:
        chunks, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > bytes_max:
                raise Refusal(Code.BODY_TOO_LARGE)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)


class ClientGone(Exception):
    """The client hung up before its request was whole; there is nobody to answer."""


class Answer(msgspec.Struct, frozen=True):
    """A status, a body that becomes JSON (bytes are sent as they are), and headers of its own."""

    status: int
    body: Any
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"


async def send_answer(
    answer: Answer, request: Request, send: Send, more_headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Send an answer with the request's id."""
    body = answer.body if isinstance(answer.body, bytes) else _encode(answer.body)
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request.id.encode("ascii")),
        (b"cache-control", b"no-store"),
        *answer.headers,
        *more_headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


def check_content_type(request: Request) -> None:
    """Refuse CONTENT_TYPE_UNSUPPORTED for a body that says it is not JSON."""
    given = request.header("content-type")
    if given is None:
        return
    media = given.partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise Refusal(Code.CONTENT_TYPE_UNSUPPORTED)


def decode_body(raw: bytes, kind: type[T]) -> T:
    """Read JSON as a `kind`; refuses REQUEST_INVALID with the place of the first mistake, also a repeated name."""
    try:
        value: T = _decoder(kind).decode(raw)  # type: ignore[arg-type]
        _CHECK_NAMES.decode(raw.decode())
    except _Repeated as error:
        raise Refusal(Code.REQUEST_INVALID, str(error)) from None
    except msgspec.ValidationError as error:
        raise Refusal(Code.REQUEST_INVALID, f"The body is not valid: {error}") from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Refusal(Code.REQUEST_INVALID, "The body is not valid JSON in UTF-8.") from None
    return value


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


class _Repeated(Exception):
    pass


def _no_repeats(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated("The body names a field twice.")
    return found


_CHECK_NAMES = json.JSONDecoder(object_pairs_hook=_no_repeats)

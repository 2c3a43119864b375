"""HTTP as the dialects see it: a request, an answer, and how bytes become values. No dialect's word is known here."""

import asyncio
import itertools
import json
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from otcdesk.errors import Code, Refusal

T = TypeVar("T")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
#: A request's own id: this process, and a number.
_PROCESS = secrets.token_hex(4)
_NUMBERS = itertools.count(1)
_encode = msgspec.json.Encoder().encode
#: More fields than this are nobody's query.
_QUERY_FIELDS_MAX = 100

#: How the decoder names the field of a body that is wrong, or missing.
_WRONG_FIELD = re.compile(r"missing required field `(\w+)`|at `\$\.(\w+)")


def _nobody_listens() -> None:
    pass


class Request:
    """One HTTP request. Header names are lower case; a repeated header keeps its first value.

    The edge that reads it adds the body piece by piece; whoever serves it asks for it whole. Until then it is held back
    once more than `body_bytes_max` bytes are here; no more are kept unless that is asked for, and none that nobody will
    ask for.
    """

    __slots__ = (
        "_arrived",
        "_asked",
        "_broken_off",
        "_headers",
        "_kept_max",
        "_pieces",
        "_size",
        "_whole",
        "api_version",
        "came_by_tls",
        "client_address",
        "id",
        "inside",
        "keep_alive",
        "method",
        "on_waiting",
        "path",
        "path_parameters",
        "query_string",
        "raw_path",
        "route",
        "taken",
        "waited",
    )

    def __init__(
        self,
        *,
        method: str,
        path: str,
        query_string: bytes,
        headers: dict[bytes, bytes],
        client_address: str,
        keep_alive: bool,
        body_bytes_max: int,
        raw_path: str | None = None,
        came_by_tls: bool = False,
    ) -> None:
        self.method = method
        #: The whole path, and the part of it that its dialect's routes name; and the whole path as it was written.
        self.path = self.inside = path
        self.raw_path = path if raw_path is None else raw_path
        self.query_string = query_string
        self.client_address = client_address
        #: Whether a proxy that is believed has said so.
        self.came_by_tls = came_by_tls
        self.keep_alive = keep_alive
        #: The version of the contract that the path named, if it did.
        self.api_version = ""
        self.path_parameters: dict[str, str] = {}
        self.route = "none"
        #: Told when the server begins to wait for the body.
        self.on_waiting: Callable[[], None] = _nobody_listens
        #: Whether somebody serves it, and whether whoever does has begun to wait for the body.
        self.taken = self.waited = False
        self._headers = headers
        self._kept_max = body_bytes_max
        self._pieces: list[bytes] = []
        self._asked = False
        self._size = 0
        self._whole = False
        self._broken_off = False
        self._arrived: asyncio.Event | None = None
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        self.id = given if given and _REQUEST_ID.fullmatch(given) else f"{_PROCESS}{next(_NUMBERS):08x}"

    def header(self, name: str) -> str | None:
        """Return a header's value."""
        value = self._headers.get(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")

    @property
    def query_fields(self) -> list[tuple[str, str]]:
        """Return the query's fields as they were sent."""
        raw = self.query_string.decode("latin-1")
        try:
            return parse_qsl(raw, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX, errors="strict")
        except ValueError:
            raise Refusal(Code.REQUEST_INVALID, "The query string is not valid.") from None

    @property
    def query(self) -> dict[str, str]:
        """Return the query's fields; a repeated one keeps its last value."""
        return dict(self.query_fields)

    @property
    def is_held_back(self) -> bool:
        """Tell whether no more of the body is to be read before somebody asks for it, or the request is answered."""
        return self._is_too_large and not self._asked

    async def body(self, *, seconds_max: int, bytes_max: int | None = None) -> bytes:
        """Return the whole body; refuses BODY_TOO_LARGE without waiting for more, REQUEST_INVALID if it stays away.

        It may have `bytes_max` bytes, else as many as are kept of any. Raises ClientGone when the client hangs up in
        the middle of it.
        """
        if bytes_max is not None:
            self._kept_max = bytes_max
        self._asked = True
        announced = self.header("content-length")
        if announced is not None and announced.isdigit() and int(announced[:20]) > self._kept_max:
            raise Refusal(Code.BODY_TOO_LARGE)
        if not self._whole and not self._is_too_large:
            await self._wait(seconds_max)
        if self._is_too_large:
            raise Refusal(Code.BODY_TOO_LARGE)
        if not self._whole:
            raise ClientGone
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    async def _wait(self, seconds_max: int) -> None:
        self._arrived = asyncio.Event()
        self.waited = True
        self.on_waiting()
        if self._broken_off:
            return
        try:
            async with asyncio.timeout(seconds_max):
                await self._arrived.wait()
        except TimeoutError:
            raise Refusal(Code.REQUEST_INVALID, f"The body did not come within {seconds_max} s.") from None

    @property
    def _is_too_large(self) -> bool:
        return self._size > self._kept_max

    def add_body(self, piece: bytes) -> None:
        """Take a piece of the body that came in."""
        self._size += len(piece)
        if not self._is_too_large or self.is_held_back:
            self._pieces.append(piece)
        else:
            self._pieces = []
            self._tell()

    def complete_body(self) -> None:
        """Know that there is no more of the body."""
        self._whole = True
        self._tell()

    def break_off(self) -> None:
        """Know that the rest of the body will never come."""
        self._broken_off = True
        self._tell()

    def drop_body(self) -> None:
        """Keep nothing of what may still come: the request is answered."""
        self._pieces = []
        self._kept_max, self._asked = -1, True

    def _tell(self) -> None:
        if self._arrived is not None:
            self._arrived.set()


class ClientGone(Exception):
    """The client hung up before its request was whole; there is nobody to answer."""


class Answer(msgspec.Struct, frozen=True):
    """A status, a body that becomes JSON (bytes are sent as they are), and headers of its own.

    `kept_for`: who may keep it and for how long, in the words of Cache-Control.
    """

    status: int
    body: Any
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"
    kept_for: bytes = b"no-store"


class Stream(msgspec.Struct, frozen=True):
    """An answer that comes in pieces, of which nobody knows how many: the connection ends with the last one.

    Whoever makes it bounds it: in time, in bytes, and in how many there are at once.
    """

    status: int
    pieces: AsyncGenerator[bytes, None]
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"text/event-stream"


def stream_head(stream: Stream, request: Request) -> bytes:
    """Return what stands before a stream's pieces."""
    said = answer_bytes(Answer(stream.status, b"", stream.headers, stream.content_type), request, keep_alive=False)
    return said.replace(b"content-length: 0\r\n", b"", 1)


def answer_bytes(answer: Answer, request: Request, *, keep_alive: bool) -> bytes:
    """Return an answer as it goes over the wire, with the request's id."""
    body = answer.body if isinstance(answer.body, bytes) else _encode(answer.body)
    parts = [_status_line(answer.status)]
    if answer.status != HTTPStatus.NO_CONTENT:  # which has no content whose length could be told (RFC 9110, 8.6)
        parts.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (answer.content_type, len(body)))
    parts.append(b"x-request-id: %b\r\ncache-control: %b\r\n" % (request.id.encode("ascii"), answer.kept_for))
    for name, value in answer.headers:
        if b"\n" in value or b"\r" in value:
            raise AssertionError(f"the header {name!r} holds a line break")
        parts.append(b"%b: %b\r\n" % (name, value))
    parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    if request.method != "HEAD":
        parts.append(body)
    return b"".join(parts)


@cache
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode("ascii"))


def check_content_type(request: Request) -> None:
    """Refuse CONTENT_TYPE_UNSUPPORTED for a body that says it is not JSON."""
    given = request.header("content-type")
    if given is None:
        return
    media = given.partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise Refusal(Code.CONTENT_TYPE_UNSUPPORTED)


def decode_body(raw: bytes, kind: type[T]) -> T:
    """Read JSON as a `kind`; refuses REQUEST_INVALID with the place of the first mistake, also a repeated name.

    The facts of the refusal have the `field` that is wrong, if it is one, and whether it is `missing`.
    """
    try:
        value: T = _decoder(kind).decode(raw)  # type: ignore[arg-type]
        if raw.count(b":") != _least_colons(kind):  # type: ignore[arg-type]
            _CHECK_NAMES.decode(raw.decode())
    except _Repeated as error:
        raise Refusal(Code.REQUEST_INVALID, str(error)) from None
    except msgspec.ValidationError as error:
        raise Refusal(Code.REQUEST_INVALID, f"The body is not valid: {error}", **_wrong_field(str(error))) from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Refusal(Code.REQUEST_INVALID, "The body is not valid JSON in UTF-8.") from None
    return value


def _wrong_field(error: str) -> dict[str, object]:
    found = _WRONG_FIELD.search(error)
    if found is None:
        return {}
    return {"field": found[1] or found[2], "missing": found[1] is not None}


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _least_colons(kind: object) -> int:
    """Return how many colons the shortest body has: one with no more than these names no field twice."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return 0
    return sum(field.required for field in msgspec.structs.fields(kind))


class _Repeated(Exception):
    pass


def _no_repeats(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated("The body names a field twice.")
    return found


_CHECK_NAMES = json.JSONDecoder(object_pairs_hook=_no_repeats)

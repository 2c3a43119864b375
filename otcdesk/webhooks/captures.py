"""Requests that somebody captured, as text: read, recognised, and the keys to check them with.

What is read is how HTTP/1.1 looks on the wire, by hand or by a tool: request line, headers, an empty line and the body,
which is kept byte for byte.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from otcdesk.webhooks.envelope import Captured, CheckingKey, KeyKind, SignatureInvalid
from otcdesk.webhooks.key_pairs import public_kind

#: The header that an envelope's messages have, the telling ones first: `webhook-signature` alone could be two.
_MARKS: Final[Mapping[str, str]] = {
    "exchanges": "x-webhook-signature",
    "offers": "signature-input",
    "standard": "webhook-id",
    "ramp": "webhook-signature",
}

#: Where an envelope's messages say when they were signed, Unix seconds; those of ramp do not.
_SIGNED_AT: Final[Mapping[str, tuple[str, str]]] = {
    "exchanges": ("x-webhook-timestamp", r"^(\d{1,10})$"),
    "standard": ("webhook-timestamp", r"^(\d{1,10})$"),
    "offers": ("signature-input", r";created=(\d{1,10})(?!\d)"),
}

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE: Final = re.compile(r"([A-Z]+) (\S+) HTTP/1\.[01]")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class CaptureUnreadable(Exception):
    """A captured request, or a file of keys, is not what it should be; the message says in what."""


class _PublishedKey(msgspec.Struct):
    id: str
    kind: KeyKind
    pem: str
    envelope: str = ""
    environment: str = ""


class _PublishedKeys(msgspec.Struct):
    keys: list[_PublishedKey]


def read_request(raw: bytes, url: str | None = None) -> Captured:
    """Read a request; lines may end in CRLF or LF. `url`: where it was posted to, if its head does not say it.

    What a `Content-Length` leaves over is not the body's, as editors end a file with a new line. Raises
    CaptureUnreadable.
    """
    end = _HEAD_END.search(raw)
    if end is None:
        raise CaptureUnreadable("There is no empty line between the headers and the body.")
    first, *lines = re.split("\r?\n", raw[: end.start()].decode("latin-1"))
    request = _REQUEST_LINE.fullmatch(first)
    if request is None:
        raise CaptureUnreadable("It does not begin with a request line, as: POST /path HTTP/1.1")
    headers = _headers(lines)
    return Captured(
        method=request[1],
        url=url or _url(request[2], headers),
        headers=headers,
        body=_body(raw[end.end() :], headers),
    )


def _headers(lines: list[str]) -> dict[str, str]:
    """Return headers by their lower-case names; several of one name count as one list (RFC 9110 section 5.3)."""
    headers: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        found = _HEADER.fullmatch(line)
        if found is None:
            raise CaptureUnreadable(f"Line {number} is not a header.")
        name, value = found[1].lower(), found[2]
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _url(target: str, headers: Mapping[str, str]) -> str:
    """Return where a request went; that a desk asks for https is all that the head does not say."""
    return target if "://" in target else f"https://{headers.get('host', '')}{target}"


def _body(rest: bytes, headers: Mapping[str, str]) -> bytes:
    text = headers.get("content-length")
    if text is None:
        return rest
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise CaptureUnreadable("Its Content-Length is not a number.")
    if len(rest) < int(text):
        raise CaptureUnreadable(f"Its Content-Length says {text} bytes, and only {len(rest)} are there.")
    return rest[: int(text)]


def recognised(captured: Captured) -> str | None:
    """Return the name of the envelope that a message has, None if it has none of ours."""
    return next((name for name, mark in _MARKS.items() if mark in captured.headers), None)


def signed_at(envelope: str, captured: Captured) -> datetime | None:
    """Return when a message says that it was signed, None if it does not say it."""
    name, pattern = _SIGNED_AT.get(envelope, ("", ""))
    found = re.search(pattern, captured.headers.get(name, ""), re.ASCII) if name else None
    return msgspec.convert(int(found[1]), datetime, strict=False) if found else None


def secret_key(text: bytes) -> CheckingKey:
    """Return a shared secret as a key, without what an editor leaves around it."""
    return CheckingKey(kind=KeyKind.HMAC_SHA256, content=text.strip())


def public_keys(content: bytes, envelope: str | None = None, environment: str | None = None) -> list[CheckingKey]:
    """Return public halves: one of any form, or those for an envelope of the page `GET /webhooks/keys`.

    `environment`: only those of `live` lanes or of a `sandbox`, whose signatures anybody may come by. Raises
    CaptureUnreadable.
    """
    content = content.strip()
    try:
        if content.startswith(b"{"):
            published = msgspec.json.decode(content, type=_PublishedKeys).keys
            return [
                CheckingKey(kind=key.kind, content=key.pem.encode(), id=key.id)
                for key in published
                if envelope in {None, key.envelope} and environment in {None, key.environment}
            ]
        return [CheckingKey(kind=public_kind(content), content=content)]
    except msgspec.MsgspecError:
        raise CaptureUnreadable("The file of keys is not the page of a desk's public keys.") from None
    except SignatureInvalid as invalid:
        raise CaptureUnreadable(str(invalid)) from None

"""Files that people take along: named by letters that every system takes, sent as they are made, a few at a time."""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Final

from otcdesk.api.http import Answer, Stream
from otcdesk.errors import Code, Refusal

#: Of these one process sends so many at once, and each for so long at most.
AT_ONCE_MAX: Final = 4
SECONDS_MAX: Final = 300

CSV: Final = b"text/csv; charset=utf-8"
PDF: Final = b"application/pdf"

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9]+")
_NAME_LENGTH_MAX: Final = 80

_under_way: set[object] = set()


def file_name(*parts: str, kind: str) -> str:
    """Return a name made of letters, digits and single hyphens, whatever the parts hold."""
    words = (_UNSAFE.sub("-", part).strip("-").lower() for part in parts)
    return f"{'-'.join(word for word in words if word)[:_NAME_LENGTH_MAX].rstrip('-')}.{kind}"


def csv_file(name: str, pieces: AsyncGenerator[bytes, None]) -> Stream:
    """Answer a file that is made while it is sent; refuses RATE_LIMITED while too many are."""
    if len(_under_way) >= AT_ONCE_MAX:
        raise Refusal(Code.RATE_LIMITED, "Too many files are being made. Try again soon.", retry_after_seconds=10)
    return Stream(200, _bounded(pieces), (_attached(name),), CSV)


async def _bounded(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    me = object()
    _under_way.add(me)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            async for piece in pieces:
                yield piece
    finally:
        _under_way.discard(me)
        await pieces.aclose()


def pdf_file(name: str, content: bytes) -> Answer:
    """Answer a document."""
    return Answer(200, content, (_attached(name),), PDF)


def _attached(name: str) -> tuple[bytes, bytes]:
    return b"content-disposition", f'attachment; filename="{name}"'.encode("ascii")

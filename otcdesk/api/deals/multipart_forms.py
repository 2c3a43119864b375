"""Bodies that are `multipart/form-data`, read in memory within bounds: texts, and what files were sent (contract 3.13).

Of a file its name and size are known and nothing of it is kept: the desk stores no files.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from otcdesk.api.deals.values import invalid
from otcdesk.api.dialect import Call
from otcdesk.errors import Code, Refusal

MEDIA_TYPE: Final = "multipart/form-data"

#: No form of the contract has more parts with 20 images and as many documents.
_PARTS_MAX: Final = 64
FILES_MAX: Final = 20
_HEADERS_MAX: Final = 8
_HEADER_BYTES_MAX: Final = 4_096
#: A text is kept with its row; longer ones are nobody's description.
_TEXT_BYTES_MAX: Final = 20_000
_NAME_MAX: Final = 200


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was sent: its name as it was told, and how many bytes it has."""

    name: str
    size: int


class Form(msgspec.Struct, frozen=True):
    """What a form says: its texts by name, and its files by name in their order."""

    texts: dict[str, str]
    files: dict[str, list[Upload]]

    def text(self, name: str, *, length_max: int) -> str:
        """Return a text that must be there and not be blank; refuses REQUEST_INVALID."""
        found = self.text_or_none(name, length_max=length_max)
        if not found or not found.strip():
            raise invalid(f"{name} is required")
        return found

    def text_or_none(self, name: str, *, length_max: int) -> str | None:
        """Return a text, None if it is not there; refuses REQUEST_INVALID for one that is too long."""
        found = self.texts.get(name)
        if found is not None and len(found) > length_max:
            raise invalid(f"{name} has more than {length_max} characters")
        return found

    def uploads(self, name: str) -> list[Upload]:
        """Return the files of a name."""
        return self.files.get(name, [])


def form_schema(
    required: Sequence[str], optional: Sequence[str], *, file: str | None = None, files: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what the document of the dialect says of a form: its texts, a file, and lists of files."""
    one = {"type": "string", "format": "binary"}
    properties: dict[str, Any] = {name: {"type": "string"} for name in (*required, *optional)}
    if file is not None:
        properties[file] = one
    properties |= {name: {"type": "array", "items": one, "maxItems": FILES_MAX} for name in files}
    return {"type": "object", "required": [*required], "properties": properties}


def form_of(call: Call) -> Form:
    """Read a request's form.

    Refuses CONTENT_TYPE_UNSUPPORTED for another kind of body, BODY_TOO_LARGE for too many parts or a text that is too
    long, REQUEST_INVALID for what is not a form, a text told twice, or one that is no UTF-8 or cannot be kept.
    """
    media, options = parse_options_header(call.request.header("content-type") or "")
    if media != MEDIA_TYPE:
        raise Refusal(Code.CONTENT_TYPE_UNSUPPORTED, f"The body must be {MEDIA_TYPE}.")
    if not options.get("boundary"):
        raise invalid("The form has no boundary")
    try:
        return _read(call.body, options["boundary"])
    except ParserLimitReached:
        raise Refusal(Code.BODY_TOO_LARGE, "The form has too many parts, or too long ones.") from None
    except (MultipartError, UnicodeError):
        raise invalid("The body is not a valid form") from None


def _read(body: bytes, boundary: str) -> Form:
    form = Form({}, {})
    segment: MultipartSegment | None = None
    pieces: list[bytes] = []
    size = 0
    with PushMultipartParser(
        boundary,
        max_header_size=_HEADER_BYTES_MAX,
        max_header_count=_HEADERS_MAX,
        max_segment_count=_PARTS_MAX,
        strict=True,
    ) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                segment, pieces, size = event, [], 0
            elif event:
                size += len(event)
                if segment is not None and segment.filename is None:
                    _check_text(size)
                    pieces.append(bytes(event))
            elif segment is not None and segment.filename is not None:
                _take_file(form, segment, size)
            elif segment is not None:
                _take_text(form, segment.name or "", b"".join(pieces))
    return form


def _take_file(form: Form, segment: MultipartSegment, size: int) -> None:
    kept = segment.filename.replace("\0", "")[:_NAME_MAX]
    if kept or size:  # a browser sends an empty part for a file that was not chosen
        form.files.setdefault(segment.name or "", []).append(Upload(name=kept, size=size))


def _check_text(size: int) -> None:
    if size > _TEXT_BYTES_MAX:
        raise Refusal(Code.BODY_TOO_LARGE, f"A text of the form has more than {_TEXT_BYTES_MAX} bytes.")


def _take_text(form: Form, name: str, content: bytes) -> None:
    if name in form.texts:
        raise invalid(f"{name} is told twice")
    text = content.decode()
    if "\0" in text or "\0" in name:
        raise invalid("A text of the form has a character that cannot be kept")
    form.texts[name] = text

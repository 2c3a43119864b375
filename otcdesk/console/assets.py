"""What pages need besides themselves: styles, scripts and a picture, from this server only.

Each is known by a digest of its content, so that a browser may keep it for ever and never has an old one. Under another
digest, as of a page that another version of the program has made, it is answered and not kept.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files

import msgspec

from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.errors import Code, Refusal

#: The path at which browsers ask for them.
PATH = "/console/static"

_TYPES = {
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
_DIGEST_LETTERS = 12

#: A year, the longest that Cache-Control is used to.
_FOR_EVER = b"public, max-age=31536000, immutable"


def _found() -> Mapping[str, bytes]:
    folder = files("otcdesk.console") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES}


_ASSETS = _found()
_DIGESTS = {name: hashlib.sha256(content).hexdigest()[:_DIGEST_LETTERS] for name, content in _ASSETS.items()}


def asset_url(name: str) -> str:
    """Return where a browser gets an asset."""
    return f"{PATH}/{name}?v={_DIGESTS[name]}"


async def show_asset(call: Call) -> Answer:
    """Answer an asset; refuses ROUTE_UNKNOWN."""
    name = call.path_text("name")
    content = _ASSETS.get(name)
    if content is None:
        raise Refusal(Code.ROUTE_UNKNOWN)
    answer = Answer(200, content, content_type=_TYPES[name.rpartition(".")[2]])
    is_of_this = call.request.query.get("v") == _DIGESTS[name]
    return msgspec.structs.replace(answer, kept_for=_FOR_EVER) if is_of_this else answer

"""From a path to what is served there. Fixed paths win over those with a parameter, whatever the order of the table."""

import re
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from otcdesk.api.http import Answer, Request, Stream
from otcdesk.errors import Code, Refusal

T = TypeVar("T")

_PARAMETER = re.compile(r"\{(\w+)\}")


class Paths(Generic[T]):
    """A table of path templates (`/orders/{id}`); a parameter is one segment, never empty."""

    def __init__(self, served: Mapping[str, T]) -> None:
        self._fixed = {path: value for path, value in served.items() if "{" not in path}
        self._templates = [(_compiled(path), value) for path, value in served.items() if "{" in path]

    def find(self, path: str) -> tuple[T | None, dict[str, str]]:
        """Return what is served at a path, and its parameters."""
        value = self._fixed.get(path)
        if value is not None:
            return value, {}
        for pattern, served in self._templates:
            match = pattern.fullmatch(path)
            if match is not None:
                return served, match.groupdict()
        return None, {}


def _compiled(path: str) -> re.Pattern[str]:
    parts = _PARAMETER.split(path)
    literals, names = parts[::2], parts[1::2]
    pattern = re.escape(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        pattern += f"(?P<{name}>[^/]+){re.escape(literal)}"
    return re.compile(pattern)


class Page(Protocol):
    """Something outside every dialect that can be read: a document, the health."""

    async def __call__(self, request: Request) -> Answer:
        """Return what is there now."""
        ...


class Served(Protocol):
    """A dialect, as it is reached."""

    name: str

    async def __call__(self, request: Request) -> Answer | Stream:
        """Answer a request whose `inside` is the dialect's part of the path."""
        ...

    def refused(self, refusal: Refusal, request: Request) -> Answer:
        """Say a refusal in the dialect's shape."""
        ...


class Front:
    """The outermost edge: hands a request to the dialect whose host or prefix it names, or to a page.

    On a dialect's own host everything is the dialect's but the document of it.
    Whatever is nowhere gets its error in the shape of the dialect `otherwise`.
    """

    def __init__(
        self,
        *,
        hosts: Mapping[str, Served],
        prefixes: Mapping[str, Served],
        pages: Mapping[str, Page],
        otherwise: Served,
    ) -> None:
        self._hosts = dict(hosts)
        self._prefixes = sorted(prefixes.items(), key=lambda item: -len(item[0]))
        self._pages = dict(pages)
        self._otherwise = otherwise

    async def __call__(self, request: Request) -> Answer | Stream:
        """Pass a request on, with the part of its path that the dialect owns."""
        path = request.path
        named = self._hosts.get(_host(request)) if self._hosts else None
        if named is not None and path != f"/openapi/{named.name}.json":
            return await named(request)
        for prefix, served in self._prefixes:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}:
                request.inside = path[len(prefix) :] or "/"
                return await served(request)
        page = self._pages.get(path)
        if page is None:
            request.inside = ""  # where no dialect has anything
            return await self._otherwise(request)
        if request.method not in {"GET", "HEAD"}:
            return self._otherwise.refused(Refusal(Code.METHOD_NOT_ALLOWED, allow="GET"), request)
        return await page(request)


def _host(request: Request) -> str:
    return (request.header("host") or "").partition(":")[0].lower()

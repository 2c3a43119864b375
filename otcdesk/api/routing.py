"""From a path to what is served there. Fixed paths win over those with a parameter, whatever the order of the table."""

import re
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from otcdesk.api.http import Receive, Scope, Send

T = TypeVar("T")

_PARAMETER = re.compile(r"\{(\w+)\}")

#: Where the dialects find the part of the path that is theirs.
INSIDE = "otcdesk.inside"


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


class Front:
    """The outermost application: hands a request to the dialect whose host or prefix it names, else to the rest."""

    def __init__(self, *, hosts: Mapping[str, object], prefixes: Mapping[str, object], rest: object) -> None:
        self._hosts = dict(hosts)
        self._prefixes = sorted(prefixes.items(), key=lambda item: -len(item[0]))
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with the part of its path that the dialect owns."""
        app = self._rest
        if scope["type"] == "http":
            path = scope["path"]
            scope[INSIDE] = path
            named = self._hosts.get(_host(scope["headers"])) if self._hosts else None
            if named is not None:
                app = named
            else:
                for prefix, served in self._prefixes:
                    if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}:
                        app, scope[INSIDE] = served, path[len(prefix) :] or "/"
                        break
        await app(scope, receive, send)  # type: ignore[operator]


def _host(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"host":
            return value.decode("latin-1").partition(":")[0].lower()
    return ""

"""Named queries: SQL lives in `sql/*.sql`, each block under `-- name:` with a line that says what it is for.

What several statements of a file share is a block under `-- part:`, and stands where they say `-- here:` and its name.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import takewhile

_BLOCK = re.compile(r"^-- (name|part): (\w+)\n", re.MULTILINE)
_HERE = re.compile(r"^-- here: (\w+)$", re.MULTILINE)


@cache
def queries(file: str) -> dict[str, str]:
    """Return the blocks of one file by name, without their comment lines.

    A file that would be too long to be read goes on in others: `invariants.sql` in `invariants.deposits.sql`.
    """
    blocks: dict[str, dict[str, str]] = {"name": {}, "part": {}}
    for kind, name, body in _blocks(file):
        blocks[kind][name] = body
    shared = {name: _without_comments(body) for name, body in blocks["part"].items()}
    return {
        name: _without_comments(_HERE.sub(lambda place: shared[place[1]], body))
        for name, body in blocks["name"].items()
    }


def _blocks(file: str) -> Iterator[tuple[str, str, str]]:
    """Give the kind, name and text of each block of a file and of those that it goes on in."""
    found = sorted(
        (part for part in (files("otcdesk.storage") / "sql").iterdir() if part.name.startswith(f"{file}.")),
        key=lambda part: part.name.removesuffix(".sql"),
    )
    for part in found:
        _, *pieces = _BLOCK.split(part.read_text(encoding="utf-8"))
        yield from zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)


@cache
def purposes(file: str) -> dict[str, str]:
    """Return what the named blocks of one file are for, as the comment under each name says."""
    return {
        name: " ".join(line[2:].strip() for line in takewhile(_is_comment, body.splitlines()))
        for kind, name, body in _blocks(file)
        if kind == "name"
    }


def _is_comment(line: str) -> bool:
    return line.startswith("--") and not _HERE.match(line)


def _without_comments(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()

"""Named queries: SQL lives in `sql/*.sql`, each block under `-- name:` with a line that says what it is for."""

import re
from functools import cache
from importlib.resources import files

_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def queries(file: str) -> dict[str, str]:
    """Return the blocks of one file by name, without their comment lines."""
    text = (files("otcdesk.storage") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _BLOCK.split(text)
    return {name: _statement(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _statement(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()

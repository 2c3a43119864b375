"""Named queries: SQL lives in `sql/*.sql`, each block under `-- name:` with a line that says what it is for."""

import re
from functools import cache
from importlib.resources import files

_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def queries(file: str) -> dict[str, str]:
    """Return the blocks of one file by name, without their comment lines.

    A file that would be too long to be read goes on in others: `invariants.sql` in `invariants.deposits.sql`.
    """
    found = sorted(
        (part for part in (files("otcdesk.storage") / "sql").iterdir() if part.name.startswith(f"{file}.")),
        key=lambda part: part.name.removesuffix(".sql"),
    )
    blocks: dict[str, str] = {}
    for part in found:
        _, *parts = _BLOCK.split(part.read_text(encoding="utf-8"))
        blocks |= {name: _statement(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return blocks


def _statement(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()

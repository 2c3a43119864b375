"""What an embedded PostgreSQL wrote since it was last started: its progress, and why it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TAIL_BYTES = 16_384
TAIL_LINES = 12


class ServerLog:
    """Two places: `first`, begun anew at each start, until the server's own log in `folder` is open."""

    def __init__(self, *, first: Path, folder: Path) -> None:
        """Remember how long the logs of earlier runs are, so that their words are not taken for new ones."""
        self.first = first
        self._folder = folder
        self._old_bytes = {path: path.stat().st_size for path in self._files() if path != first}

    def size_bytes(self) -> int:
        """Return a number that grows whenever the server writes."""
        return sum(path.stat().st_size for path in self._files())

    def tail(self) -> str:
        """Return the last lines of this run."""
        text = ""
        for path in self._files():
            size = path.stat().st_size
            old = self._old_bytes.get(path, 0)
            start = max(0 if old > size else old, size - TAIL_BYTES)  # shorter than before: begun anew
            with path.open("rb") as log:
                log.seek(start)
                text += log.read(TAIL_BYTES).decode(errors="replace")
        return last_lines(text)

    def _files(self) -> list[Path]:
        return [*([self.first] if self.first.exists() else []), *sorted(self._folder.glob("postgres-*.log"))]


def last_lines(text: str) -> str:
    """Cut a program's words to what a person reads."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-TAIL_LINES:])

"""Where the processes of one host tell one another how far a check is: a file for each lane, in a folder they share.

A page may be answered by another process than the one that runs the check. A server of one process needs no folder and
remembers its own runs. Files are replaced as a whole, so nobody reads half of one.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

#: Who is silent for longer than anything takes between two signs has ended without saying so.
SILENCE_SECONDS_MAX: Final = 60


Run = TypeVar("Run")


class Board:
    """The runs of one kind of check, of all processes that share a folder; without one, of none."""

    def __init__(self, folder: Path | None, kind: str) -> None:
        self._folder = folder
        self._kind = kind

    def tell(self, lane: int, run: Any) -> None:
        """Say how far the run of a lane is."""
        if self._folder is not None:
            self._write(self._folder / self._name(lane), msgspec.json.encode(run))

    def told(self, lane: int, shape: type[Run]) -> tuple[Run, bool] | None:
        """Return how far the run of a lane was said to be, and whether whoever runs it may still be there."""
        if self._folder is None:
            return None
        path = self._folder / self._name(lane)
        try:
            age = time.time() - path.stat().st_mtime
            return msgspec.json.decode(path.read_bytes(), type=shape), age < SILENCE_SECONDS_MAX
        except FileNotFoundError:
            return None

    def ask_to_end(self, lane: int, caller: str) -> None:
        """Ask whoever runs a lane's check to end it."""
        if self._folder is not None:
            self._write(self._folder / f"{self._name(lane)}.end", caller.encode())

    def asked_to_end(self, lane: int) -> str | None:
        """Return who has asked for that, None if nobody has."""
        if self._folder is None:
            return None
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / f"{self._name(lane)}.end").read_text(encoding="utf-8")
        return None

    def begin(self, lane: int) -> None:
        """Forget what was asked of the run before."""
        if self._folder is not None:
            (self._folder / f"{self._name(lane)}.end").unlink(missing_ok=True)

    def _name(self, lane: int) -> str:
        return f"check-{self._kind}-{lane}"

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
        draft.write_bytes(content)
        draft.replace(path)

"""Whole numbers that one process counts and all of its neighbours can read, at the price of adding to a list.

Each process has two files in a folder that they share: its series, one JSON line each, and their cells, 64 bits each,
mapped into memory. Nobody else writes them while it lives, so nothing is locked, and a kill loses nothing. Who takes
the place of a process that has ended goes on in its files. Without a folder the numbers are in memory only.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

_CELL_BYTES = 8

#: Labels come from tables of the code, so this is far more than there can be.
CELLS_MAX = 32_768

_SERIES, _CELLS = ".series", ".cells"


class Series(msgspec.Struct, frozen=True, array_like=True):
    """What some cells count: a figure, the values of its labels, and the number of its cells."""

    figure: str
    labels: tuple[str, ...]
    cells: int


class Full(Exception):
    """There is no room for another series."""


class Figures:
    """The numbers of one process."""

    def __init__(self, folder: Path | None = None, process: int = 1) -> None:
        self.folder = folder
        self._places: dict[tuple[str, tuple[str, ...]], int] = {}
        self._series: list[Series] = []
        self._used = 0
        self._names = -1
        if folder is None:
            self._memory = mmap.mmap(-1, CELLS_MAX * _CELL_BYTES)
        else:
            self._memory = _mapped(folder / f"{process}{_CELLS}")
            self._names = os.open(folder / f"{process}{_SERIES}", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            for series in _series_of(folder / f"{process}{_SERIES}"):
                self._take(series)
        #: All cells; whoever has a series adds to them where `place` says.
        self.cells = memoryview(self._memory).cast("Q")

    def place(self, figure: str, labels: tuple[str, ...] = (), cells: int = 1) -> int:
        """Return where the cells of a series begin, making it if it is new. Raises Full."""
        place = self._places.get((figure, labels))
        if place is not None:
            return place
        if self._used + cells > CELLS_MAX:
            raise Full
        series = Series(figure, labels, cells)
        if self._names >= 0:
            os.write(self._names, msgspec.json.encode(series) + b"\n")
        return self._take(series)

    def _take(self, series: Series) -> int:
        place = self._places[series.figure, series.labels] = self._used
        self._series.append(series)
        self._used += series.cells
        return place

    def all(self) -> Iterator[tuple[Series, list[int]]]:
        """Yield every series with its cells: of all processes of the folder, one after another."""
        if self.folder is None:
            yield from _cut(self._series, self.cells)
            return
        for path in sorted(self.folder.glob(f"*{_SERIES}")):
            yield from _read(path)


def clear(folder: Path, process: int, figures: frozenset[str]) -> None:
    """Set to nothing what a process that has ended said of its present; what it counted stays."""
    path = folder / f"{process}{_SERIES}"
    if not path.exists():
        return
    place = 0
    with _mapped(path.with_suffix(_CELLS)) as memory:
        for series in _series_of(path):
            if series.figure in figures:
                memory[place : place + series.cells * _CELL_BYTES] = bytes(series.cells * _CELL_BYTES)
            place += series.cells * _CELL_BYTES


def _mapped(path: Path) -> mmap.mmap:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(handle, 0, CELLS_MAX * _CELL_BYTES)  # a full disk is told now, not by a signal at a store
        return mmap.mmap(handle, CELLS_MAX * _CELL_BYTES)
    finally:
        os.close(handle)


def _series_of(path: Path) -> list[Series]:
    """Read the series of a process; a line that is not whole yet has nothing to tell."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=Series) for line in lines]


def _read(path: Path) -> Iterator[tuple[Series, list[int]]]:
    all_series = _series_of(path)
    with _mapped(path.with_suffix(_CELLS)) as memory, memoryview(memory) as raw, raw.cast("Q") as cells:
        yield from _cut(all_series, cells)


def _cut(all_series: list[Series], cells: memoryview) -> Iterator[tuple[Series, list[int]]]:
    place = 0
    for series in all_series:
        yield series, list(cells[place : place + series.cells])
        place += series.cells

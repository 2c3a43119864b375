"""The last step of an upgrade: the old data folder gives its name to the new one, whenever the power fails.

Two names cannot be exchanged at once on every system. So a new folder that is complete and verified is first renamed to
`<data>.upgraded`, which decides the upgrade, and every start carries out what is decided: the old folder moves to
`<data>.postgresql-<major>`, the new one to `<data>`. Both renames can be repeated from wherever they were cut off. The
old folder is never removed here.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from otcdesk.secret_files import sync_folder
from otcdesk.storage.embedded_places import EmbeddedServerError, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from otcdesk.storage.embedded_places import Places

_MARK = "otcdesk_upgraded_from"


class UpgradedFrom(msgspec.Struct, frozen=True, kw_only=True):
    """Which data an upgraded folder was made from: their version and their state when their server had stopped."""

    major: str
    state: str


def decide_upgrade(places: Places, upgraded: Path, *, from_major: str) -> Path:
    """Put a complete folder in the place of the data, whose server has stopped; returns where the old data are."""
    told = UpgradedFrom(major=from_major, state=_state_of(places.data))
    write_whole(upgraded / _MARK, msgspec.json.encode(told).decode(), mode=0o644)
    sync_folder(upgraded)
    upgraded.rename(_decided(places))
    sync_folder(places.data.parent)
    kept = finish_upgrade(places)
    assert kept is not None, "it was decided a moment ago"
    return kept


def finish_upgrade(places: Places) -> Path | None:
    """Carry out what is decided; returns where the old data went if they had not gone before.

    Raises EmbeddedServerError if the old data were used since: then the new folder is not what became of them.
    """
    decided, data = _decided(places), places.data
    if not decided.exists():
        return None
    told = msgspec.json.decode((decided / _MARK).read_bytes(), type=UpgradedFrom)
    kept = None
    if data.exists():
        if _state_of(data) != told.state:
            raise EmbeddedServerError(
                f"{data} was used since {decided} was made of it: remove the second and run otcdesk upgrade again."
            )
        kept = _free_name(data, told.major)
        data.rename(kept)
        sync_folder(data.parent)
    decided.rename(data)
    sync_folder(data.parent)
    return kept


def _decided(places: Places) -> Path:
    return places.data.with_name(f"{places.data.name}.upgraded")


def _state_of(data: Path) -> str:
    """Return a digest of the file that PostgreSQL writes whenever it starts, stops or makes a checkpoint."""
    return hashlib.sha256((data / "global" / "pg_control").read_bytes()).hexdigest()


def _free_name(data: Path, major: str) -> Path:
    name, number = data.with_name(f"{data.name}.postgresql-{major}"), 1
    while name.exists():
        number += 1
        name = data.with_name(f"{data.name}.postgresql-{major}-{number}")
    return name

"""Keys are made once, kept as they are, readable by their owner alone, and never made anew over books they prove."""

import errno
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otcdesk.app import open_desk
from otcdesk.config import Settings
from otcdesk.secret_files import (
    KeyUnusable,
    fingerprint,
    load_or_make_key,
    private_file,
    read_private,
    write_private,
)
from tests.support.desk import Lane


def test_a_key_is_made_once_whoever_asks(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: load_or_make_key(tmp_path, "a.key"), range(8)))
    assert len(keys) == 1
    assert stat.S_IMODE((tmp_path / "secrets" / "a.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["a.key"]


@pytest.mark.parametrize("text", ["", "no hex", "ab" * 31, "ab" * 33, f"{'ab' * 32}\n{'cd' * 32}\n"])
def test_a_damaged_key_is_not_used(tmp_path: Path, text: str) -> None:
    load_or_make_key(tmp_path, "a.key")
    (tmp_path / "secrets" / "a.key").write_text(text)
    with pytest.raises(KeyUnusable, match="damaged"):
        load_or_make_key(tmp_path, "a.key")


async def test_the_audit_key_is_not_made_anew_over_books(lane: Lane, tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="is missing"):
        async with open_desk(Settings(home=str(tmp_path)), lane.dsn):
            pass


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    write_private(tmp_path / "demo.json", "one")
    write_private(tmp_path / "demo.json", "two")
    assert (tmp_path / "demo.json").read_text() == "two"
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600


def test_a_private_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, "one", replace=False)
    with pytest.raises(FileExistsError, match=str(path)):
        write_private(path, "two", replace=False)
    with pytest.raises(TypeError), private_file(path, replace=True) as draft:
        draft.writelines([b"half", "no bytes"])  # type: ignore[list-item]
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_keys_are_told_apart_by_fingerprints_that_do_not_hold_them() -> None:
    prints = [fingerprint(bytes([number]) * 32) for number in range(50)]
    assert len(set(prints)) == 50
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in prints)
    assert (bytes(32)).hex()[:16] not in prints


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_gets_its_name_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    def no_links(source: Path, name: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(source), None, str(name))

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "file"
    if taken:
        with pytest.raises(FileExistsError), private_file(path, replace=False):
            path.write_text("somebody was faster")
        assert path.read_text() == "somebody was faster"
    else:
        with private_file(path, replace=False) as file:
            file.write(b"ours")
        assert path.read_bytes() == b"ours"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_of_secrets_from_elsewhere_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write_private(path, "secret")
    assert read_private(path) == "secret"
    for mode in (0o640, 0o604, 0o610, 0o602):
        path.chmod(mode)
        with pytest.raises(KeyUnusable, match="chmod 600"):
            read_private(path)
    with pytest.raises(IsADirectoryError):
        read_private(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "none")

"""Where hand-over sockets lie: closed to others, short enough for every system, and none left of who is dead."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from otcdesk.handover import places
from otcdesk.storage.embedded_places import SOCKET_PATH_BYTES_MAX, EmbeddedServerError


@pytest.fixture
def long_home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / ("long" * 20) / ("longer" * 10)
    yield home
    shutil.rmtree(places.socket_folder(home))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_socket_is_closed_to_others_and_so_is_its_folder(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = places.socket_folder(tmp_path / "home")
        with places.listening_socket(folder, 0xBEEF):
            path = places.socket_path(folder, 0xBEEF)
            assert (mode(path), mode(folder)) == (0o600, 0o700)
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert [entry.name for entry in folder.iterdir()] == [path.name]
    finally:
        os.umask(before)


def test_a_home_with_a_long_name_has_its_sockets_elsewhere(long_home: Path) -> None:
    folder = places.socket_folder(long_home)
    assert not folder.is_relative_to(long_home)
    assert mode(folder) == 0o700
    assert places.socket_folder(long_home) == folder
    assert places.socket_folder(long_home.parent) != folder
    with places.listening_socket(folder, 2**31 - 1) as listener:
        path = places.socket_path(folder, 2**31 - 1)
        assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(path))
            listener.settimeout(10)
            listener.accept()[0].close()


@pytest.mark.parametrize("length", range(60, 110))
def test_no_name_of_a_home_makes_a_socket_too_long(tmp_path: Path, length: int) -> None:
    name = "h" * max(1, length - len(os.fsencode(tmp_path)) - 1)
    home = tmp_path / name
    folder = places.socket_folder(home)
    places.listening_socket(folder, 1).close()
    if not folder.is_relative_to(home):
        shutil.rmtree(folder)


def test_a_folder_that_is_open_to_others_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    (tmp_path / "run").chmod(0o755)
    with pytest.raises(EmbeddedServerError, match="open to other users"):
        places.socket_folder(tmp_path)


def test_the_sockets_of_the_dead_are_removed_and_those_of_the_living_kept(tmp_path: Path) -> None:
    folder = places.socket_folder(tmp_path)
    places.listening_socket(folder, 1).close()  # as a kill leaves it: nobody took its name away
    with places.listening_socket(folder, 2), places.listening_socket(folder, 3):
        assert sorted(path.name for path in folder.iterdir()) == ["00000002.hand", "00000003.hand"]


def test_who_is_another_user_is_told_from_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    with one, other:
        assert places.is_ours(one)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert not places.is_ours(one)

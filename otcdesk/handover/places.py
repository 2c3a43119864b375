"""Where a process's hand-over socket lies, and who may speak on it.

Each process has one, named by its number, in a folder of the home: mode 0600 in 0700, short enough for every system.
Two homes on one host are two hosts to each other.
"""

import contextlib
import hashlib
import os
import socket
import struct
from pathlib import Path

from otcdesk.storage.embedded_places import SHORT_SOCKET_FOLDER, SOCKET_PATH_BYTES_MAX, private_folder

_SUFFIX = ".hand"
_DRAFT = ".new"
_BACKLOG = 128

#: Process, user and group of who connected, as Linux tells them (unix(7)).
_PEER = struct.Struct("=iII")


def run_folder(home: Path) -> Path:
    """Return the home's folder for what lives no longer than its processes, making it if it is missing."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return private_folder(home / "run")


def socket_folder(home: Path) -> Path:
    """Return the folder of the home's hand-over sockets: its own, or a short one if the home's name is too long."""
    own = run_folder(home)
    if len(os.fsencode(own / _name(0))) + len(_DRAFT) <= SOCKET_PATH_BYTES_MAX:
        return own
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    # Not the TMPDIR of the moment: every process of the home must come to the same name.
    return private_folder(SHORT_SOCKET_FOLDER / f"otcdesk-{os.geteuid()}-{digest}")


def socket_path(folder: Path, number: int) -> Path:
    """Return where the process of this number listens."""
    return folder / _name(number)


def _name(number: int) -> str:
    return f"{number:08x}{_SUFFIX}"


def listening_socket(folder: Path, number: int) -> socket.socket:
    """Open a process's socket; it has its name only once it listens and nobody else may connect."""
    _sweep(folder)
    path = socket_path(folder, number)
    draft = path.with_name(path.name + _DRAFT)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fsencode(draft))
        draft.chmod(0o600)
        listener.listen(_BACKLOG)
        draft.rename(path)
    except BaseException:
        listener.close()
        draft.unlink(missing_ok=True)
        raise
    listener.settimeout(0)
    return listener


def _sweep(folder: Path) -> None:
    """Remove the sockets of processes that were killed."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(0)
            try:
                asking.connect(os.fsencode(path))
            except ConnectionRefusedError:  # a name is given only to what listens, so nobody does any more
                path.unlink(missing_ok=True)
            except OSError:
                continue


def is_ours(connection: socket.socket) -> bool:
    """Tell whether the other side runs as the same user, where the system tells who it is."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the folder and the socket are closed to others all the same
    with contextlib.suppress(OSError, struct.error):
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return bool(_PEER.unpack(told)[1] == os.geteuid())
    return False

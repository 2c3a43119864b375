"""Keys that live outside the database: random bytes in files of the home folder that only its owner can read."""

import errno
import os
import secrets
import stat
from pathlib import Path

_KEY_BYTES = 32


class KeyUnusable(Exception):
    """A key file is damaged, or missing where it cannot be made anew; the message says which."""


def load_or_make_key(home: Path, name: str, *, may_make: bool = True) -> bytes:
    """Return the key of this name, making it at its first use; two processes at once get the same one.

    Raises KeyUnusable for a damaged file, and for a missing one unless it `may_make` it.
    """
    folder = home / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {0, os.geteuid()}:  # whoever made it may know the keys
        raise PermissionError(errno.EPERM, "must be a folder of root or of the desk's own user", str(folder))
    path = folder / name
    if not path.exists():
        if not may_make:
            raise KeyUnusable(f"{path} is missing, and the database was written with it: restore it from a backup.")
        _make(path)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise KeyUnusable(f"{path} is damaged: it must hold {2 * _KEY_BYTES} hexadecimal digits.")
    return key


def _make(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")  # not the pid: a draft left by a crash may have it
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails if somebody else was first, and then theirs counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)  # else a power cut could take the name of a key that proves commits
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)

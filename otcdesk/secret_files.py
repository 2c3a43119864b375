"""Keys that live outside the database, and other files that only their owner can read: written whole or not at all."""

import errno
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

KEY_BYTES = 32


class KeyUnusable(Exception):
    """A key file is damaged, or missing where it cannot be made anew; the message says which."""


def load_or_make_key(home: Path, name: str, *, may_make: bool = True) -> bytes:
    """Return the one key in the file of this name; see `load_keys`."""
    key, *others = load_keys(home, name, may_make=may_make)
    if others:
        raise _damaged(home / "secrets" / name)
    return key


def load_keys(home: Path, name: str, *, may_make: bool) -> list[bytes]:
    """Return the keys in a file, one for each line, at least one.

    If it `may_make` the file, one with a single key is made at its first use; two processes at once get the same one.
    Raises KeyUnusable for a damaged file, and for a missing one that it may not make.
    """
    folder = home / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {0, os.geteuid()}:  # whoever made it may know the keys
        raise PermissionError(errno.EPERM, "must be a folder of root or of the desk's own user", str(folder))
    path = folder / name
    if not path.exists():
        if not may_make:
            raise KeyUnusable(f"{path} is missing, and the database was written with it: put that key there.")
        _make(path)
    try:
        keys = [bytes.fromhex(line) for line in path.read_text(encoding="ascii").split()]
    except ValueError:
        raise _damaged(path) from None
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise _damaged(path)
    return keys


def read_private(path: Path) -> str:
    """Return a file of secrets that somebody else has written for the desk.

    Raises KeyUnusable for one that is not a regular file of root or of the desk's own user, or that others may open,
    and OSError for one that cannot be read.
    """
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in {0, os.geteuid()}:
            raise KeyUnusable(f"{path} must be a file of root or of the desk's own user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise KeyUnusable(f"{path} can be opened by others than its owner: chmod 600")
        return file.read().decode()


def _damaged(path: Path) -> KeyUnusable:
    return KeyUnusable(f"{path} is damaged: a key is {2 * KEY_BYTES} hexadecimal digits.")


def fingerprint(key: bytes) -> str:
    """Return what tells one key from another and gives nothing of it away: 16 hexadecimal digits."""
    return hmac.new(key, b"otcdesk key fingerprint", hashlib.sha256).hexdigest()[:16]


def _make(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")  # not the pid: a draft left by a crash may have it
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails if somebody else was first, and then theirs counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    sync_folder(path.parent)  # else a power cut could take the name of a key that proves commits


def write_private(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a file that only its owner can read, whole or not at all; see `private_file`."""
    with private_file(path, replace=replace) as file:
        file.write(text.encode())


#: What file systems without hard links say.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


@contextmanager
def private_file(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """Give a draft to write to, which on a good end is synced to disk and gets its name; else nothing is left of it.

    Raises FileExistsError for a name that is taken, unless it may `replace` it, and IsADirectoryError for a folder's.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not replace and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None  # nobody asked for a draft
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if replace and path.exists():
                _keep_owner(file.fileno(), path)
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            _name(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _name(draft: Path, path: Path) -> None:
    """Give a draft its name unless that is taken: unlike a rename, a link fails if somebody was faster."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # the name is ours, and so may be replaced
        draft.replace(path)
    else:
        draft.unlink()


def _keep_owner(descriptor: int, path: Path) -> None:
    """Let a file that replaces another belong to the same user: root must not take a key from who reads it."""
    before, now = path.stat(), os.fstat(descriptor)
    if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: a rename is, only after this."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

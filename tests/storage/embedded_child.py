"""A process that holds one EmbeddedServer and does what its input says, one word a line, one JSON answer
each.

It stands for the desk's own process, so that tests can end it in every way a desk can end. Arguments: the
home, and the uid to become, or `-` to stay who we are. It becomes another user only after all imports,
because a checkout or an interpreter under root's home folder is out of that user's reach.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from otcdesk.storage import embedded_places
from otcdesk.storage.embedded import EmbeddedServer, EmbeddedServerError


def become(uid: int, *, binaries: Path) -> None:
    """Take another user's place, with PostgreSQL where that user can run it."""
    embedded_places.wheel_binaries = lambda: binaries
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def main() -> None:
    """Answer until the input ends; the end of input stops nothing, as a kill would not."""
    home, uid = Path(sys.argv[1]), sys.argv[2]
    if uid != "-":
        system_folder = embedded_places.private_folder(embedded_places.SYSTEM_FOLDER, mode=0o755)
        become(int(uid), binaries=embedded_places.shared_binaries(system_folder))
    server = EmbeddedServer(home, start_timeout_seconds=30)
    for line in sys.stdin:
        began = time.monotonic_ns()
        try:
            if line.strip() == "start":
                answer: dict[str, object] = {"dsn": server.start(), "pid": server.pid}
            else:
                server.stop()
                answer = {}
        except EmbeddedServerError as error:
            answer = {"error": str(error)}
        answer["milliseconds"] = (time.monotonic_ns() - began) // 1_000_000
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

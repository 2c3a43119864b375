"""The counts that all processes share: exact, whoever counts, and whatever becomes of who does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from otcdesk.api.limits import _GROUP_BYTES, _GROUP_SLOTS, _GROUPS, RateLimit, SharedCounts
from otcdesk.desk import Caller
from otcdesk.errors import Code, Refusal
from tests.support.server import wait_until

ROOT = Path(__file__).resolve().parents[2]
OWNER = b"an owner of 12"[:12]


def caller(owner_id: UUID, lane: int = 1) -> Caller:
    return Caller(lane=lane, owner_id=owner_id, name="who", kind="api_key", scopes=frozenset())


def run(program: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_second_has_so_many_and_the_next_has_them_again(tmp_path: Path) -> None:
    counts = SharedCounts(tmp_path / "counts")
    assert [counts.take(OWNER, 7, 3) for _ in range(5)] == [True, True, True, False, False]
    assert [counts.take(OWNER, 8, 3) for _ in range(4)] == [True, True, True, False]
    assert counts.take(b"someone else", 8, 3)


def test_a_limit_counts_owners_and_lanes_and_limits_apart(tmp_path: Path) -> None:
    counts = SharedCounts(tmp_path / "counts")
    one, other = (RateLimit(1, counts, name=name) for name in ("one", "other"))
    owner_id = uuid4()

    def spent(limit: RateLimit, who: Caller) -> bool:
        """Tell within one second whether the second request is refused."""
        wait_until(lambda: time.monotonic() % 1 < 0.5, "there is time left in this second")
        limit.take(who)
        with pytest.raises(Refusal) as refused:
            limit.take(who)
        facts = {"retry_after_seconds": 1, "requests_per_second": 1}
        return (refused.value.code, refused.value.facts) == (Code.RATE_LIMITED, facts)

    assert spent(one, caller(owner_id))
    assert spent(other, caller(owner_id))
    assert spent(one, caller(owner_id, lane=2))
    assert spent(one, caller(uuid4()))


def test_a_limit_counts_under_any_name(tmp_path: Path) -> None:
    limit = RateLimit(1, SharedCounts(tmp_path / "counts"))
    wait_until(lambda: time.monotonic() % 1 < 0.5, "there is time left in this second")
    for lane, name in ((1, b"one"), (1, b"other"), (2, b"one")):
        limit.count(lane, name)
        with pytest.raises(Refusal):
            limit.count(lane, name)


def test_no_limit_opens_nothing() -> None:
    limit = RateLimit(0)
    for _ in range(1000):
        limit.take(caller(uuid4()))
    with pytest.raises(ValueError, match="counts"):
        RateLimit(1)


def test_what_one_has_counted_is_counted_for_who_comes_after(tmp_path: Path) -> None:
    first = SharedCounts(tmp_path / "counts")
    assert first.take(OWNER, 7, 2)
    first.close()
    second = SharedCounts(tmp_path / "counts")
    assert [second.take(OWNER, 7, 2) for _ in range(2)] == [True, False]


def test_the_file_is_closed_to_others_and_never_grows(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    counts = SharedCounts(path)
    size = path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600
    for second in range(3):
        for number in range(20_000):
            counts.take(number.to_bytes(12, "little"), second, 1)
    assert path.stat().st_size == size


def test_a_crowded_group_lets_nobody_in_unseen_and_the_next_second_is_free(tmp_path: Path) -> None:
    counts = SharedCounts(tmp_path / "counts")
    crowd = [(number * _GROUPS).to_bytes(12, "little") for number in range(_GROUP_SLOTS + 1)]
    assert [counts.take(owner, 7, 5) for owner in crowd] == [True] * _GROUP_SLOTS + [False]
    assert counts.take(crowd[0], 7, 5)
    assert counts.take(crowd[-1], 8, 5)


def test_damage_is_forgotten_with_its_second(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    path.write_bytes(os.urandom(64))
    counts = SharedCounts(path)
    assert [counts.take(OWNER, 7, 1) for _ in range(2)] == [True, False]


_HAMMER = """
import sys
from pathlib import Path
from otcdesk.api.limits import SharedCounts
counts = SharedCounts(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(sum(counts.take(b"an owner of ", 7, 15_000) for _ in range(10_000)), flush=True)
"""


def test_processes_that_count_at_once_count_exactly(tmp_path: Path) -> None:
    hammers = [run(_HAMMER, str(tmp_path / "counts")) for _ in range(2)]
    for hammer in hammers:
        assert hammer.stdout is not None
        assert hammer.stdout.readline() == "ready\n"
    for hammer in hammers:
        assert hammer.stdin is not None
        hammer.stdin.write("go\n")
        hammer.stdin.flush()
    counted = [int(hammer.communicate(timeout=60)[0]) for hammer in hammers]
    assert sum(counted) == 15_000


_HOLD = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(handle, fcntl.LOCK_EX, int(sys.argv[3]), int(sys.argv[2]))
print("held", flush=True)
sys.stdin.readline()
"""


def test_who_is_killed_while_it_counts_holds_nobody_up_and_who_is_stopped_not_for_long(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    counts = SharedCounts(path)
    place = int.from_bytes(OWNER[:4], "little") % _GROUPS * _GROUP_BYTES
    holder = run(_HOLD, str(path), str(place), str(_GROUP_BYTES))
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGSTOP)
        began = time.monotonic()
        assert [counts.take(OWNER, 7, 3) for _ in range(200)] == [True] * 3 + [False] * 197
        assert time.monotonic() - began < 1
        assert counts.take(b"someone else", 7, 1)
    finally:
        holder.kill()
        holder.communicate()
    counts._unlocked.clear()
    assert counts._lock(place)

"""Seeds of the simulated engine: whatever befalls it, what was answered is what the chain says, exactly once.

A seed is a run, so a failure names its seed and is repeated by it alone. Ordinary runs go through the same seeds each
time; `make fuzz` goes on from a random one.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.clocks import new_seed
from tests.support.simulator import Failed, Run, again, simulate
from tests.support.simulator_store import CUTS

ROOT = Path(__file__).parents[2]

CHUNKS = 4 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 1
SEEDS_OF_CHUNK = 200

#: What must have happened in every chunk of seeds: a simulation in which nothing goes wrong proves nothing.
MUST_HAPPEN = {
    # The network and the server.
    *(f"cut: {cut}" for cut in (*CUTS, "load", "standing")),
    *(f"down at {what}" for what in ("load", "save", "standing")),
    "a statement stalled",
    "a save was refused by the server",
    "a save was committed that nobody waited for",
    "a late save met another link",
    "a void was written",
    "a turn was held",
    "a held turn was lost",
    *(f"save: {failure}" for failure in ("FenceLost", "KeyTaken", "BadData")),
    # Processes.
    *(f"crash at {what}" for what in ("load", "save", "turn", "a pause", "rest")),
    "a dead process's request never arrived",
    "a process was stopped",
    # Callers.
    "several commands in one batch",
    "a command was lost",
    "an answer was lost",
    "a command was sent twice at once",
    "a caller hung up",
    "asked again and again",
    "asked again though answered",
    "a key was answered again",
    "a command was committed after its caller was told to come back",
    # Answers, and how far orders came.
    *(
        f"answer: {code}"
        for code in (
            "done", "UNAVAILABLE", "OVERLOADED", "STOPPING", "KEY_IN_FLIGHT", "KEY_REUSED", "CRASHED", "QUOTE_EXPIRED",
            "NOT_CONFIRMABLE", "NOT_CANCELLABLE", "INVALID_STATE", "PRICE_UNAVAILABLE", "SOURCE_CASH_INSUFFICIENT",
            "SOURCE_CUSTODY_INSUFFICIENT", "TREASURY_INSUFFICIENT", "BALANCE_INSUFFICIENT",
        )
    ),
    *(
        f"an order became {state}"
        for state in (
            "quoted", "requoted", "debit_pending", "pending_approval", "collecting", "paying", "returning", "completed",
            "cancelled", "rejected", "expired", "failed",
        )
    ),
}  # fmt: skip


#: How long an ordinary run looks at new seeds.
NEW_SEEDS_SECONDS = 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With TEST_SEED there is that seed, otherwise chunks of seeds."""
    if "first_seed" in metafunc.fixturenames:
        alone = os.environ.get("TEST_SEED")
        firsts = [SEEDS_OF_CHUNK * chunk for chunk in range(CHUNKS)] if alone is None else [int(alone)]
        metafunc.parametrize("first_seed", firsts, ids=lambda seed: f"seed-{seed}")


def test_whatever_happens_answers_and_books_are_those_of_the_chain(first_seed: int) -> None:
    if "TEST_SEED" in os.environ:
        simulate(first_seed)
        return
    happened: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + SEEDS_OF_CHUNK):
        happened += simulate(seed).happened
    assert {what for what in MUST_HAPPEN if not happened[what]} == set()


def test_seeds_without_end(fuzz_seconds: int | None) -> None:
    """Ordinary runs take a few seeds that nobody took before, `make fuzz` as many as there is time for."""
    seed = first = new_seed()
    deadline = time.monotonic() + (fuzz_seconds or NEW_SEEDS_SECONDS)
    while time.monotonic() < deadline:
        simulate(seed)
        seed += 1
    print(f"{seed - first} seeds from {first}")


def test_a_seed_is_a_run_whatever_the_process() -> None:
    """Byte for byte, though sets and addresses are in another order in each process."""
    runs = [
        subprocess.run(
            [sys.executable, "-m", "tests.support.simulator", *map(str, range(8))],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert runs[0].count(b"commits batch") > 100
    here = b"".join("\n".join([*simulate(seed).trace, ""]).encode() for seed in range(8))
    assert runs[0] == here


def test_a_seed_that_fails_says_how_it_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run: Run, logs: object) -> None:
        raise AssertionError("the books are not sound")

    monkeypatch.setattr(Run, "assert_ended_well", broken)
    with pytest.raises(Failed) as caught:
        simulate(3)
    said = str(caught.value)
    assert "seed 3: AssertionError: the books are not sound" in said
    assert again(3) in said
    assert "commits batch" in said

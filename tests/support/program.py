"""The whole program over a database of the tests, with a steered clock and rails that a test scripts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from otcdesk.app import Program, open_desk
from otcdesk.config import Settings
from otcdesk.domain.ledger import Account
from otcdesk.rails.protocols import Receipt, Transfer
from otcdesk.sealed import SEALING_KEY
from otcdesk.secret_files import write_private
from tests.support.desk import AUDIT_KEY, Lane

Answer = Receipt | Exception


class ScriptedRail:
    """A rail that remembers what it was asked and answers as the test says; implements `ChainRail` and `FiatRail`."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[Transfer] = []
        self.answers = list(answers)
        self.cancelled: list[Transfer] = []
        self.cancels: Answer | None = None
        self.during: Callable[[], None] = lambda: None

    async def balance(self, lane: int, account: Account) -> int:
        del lane
        return account.balance

    async def transfer(self, transfer: Transfer) -> Receipt:
        """Give the next answer; the last one is given for ever."""
        self.asked.append(transfer)
        self.during()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def cancel(self, transfer: Transfer) -> Receipt:
        """Give the answer for this; without one the next of all, and what is asked is remembered with the others."""
        if self.cancels is None:
            return await self.transfer(transfer)
        self.cancelled.append(transfer)
        if isinstance(self.cancels, Exception):
            raise self.cancels
        return self.cancels


def put_audit_key(home: Path) -> None:
    """Put the keys under which the tests' own engines write, and seal, where a desk of this home finds them.

    All homes of one database have the same: what one has sealed the next must open.
    """
    folder = home / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / "audit.key", f"{AUDIT_KEY.hex()}\n")
    write_private(folder / SEALING_KEY, f"{AUDIT_KEY.hex()}\n")


@asynccontextmanager
async def opened(lane: Lane, home: Path, **settings: Any) -> AsyncIterator[Program]:
    """Open the program on a lane's database and clock."""
    put_audit_key(home)
    defaults = Settings(home=str(home), rail_timeout_ms=1_000, rail_retry_ms=1_000)
    async with open_desk(msgspec.structs.replace(defaults, **settings), lane.dsn, lane.clock) as program:
        yield program

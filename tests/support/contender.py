"""A process of its own with one engine, hammering one account together with others.

Arguments: address, lane, writer, how many deposits, how many at once. Prints `ready`, starts at a line on its input,
and prints how many deposits were carried out, and how often at most the fence was lost before a batch was saved.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence

import structlog

from otcdesk.actions.move_value import Booked, Deposit
from otcdesk.engine.batch import Answer
from otcdesk.engine.lane import LaneWriter
from otcdesk.engine.queue import Ticket
from otcdesk.engine.store import FenceLost
from tests.support.clocks import SteeredClock
from tests.support.desk import FA1, make_engine, submit


class Losses:
    """Counts how often in a row the batches of this process lose the fence, wherever they see it."""

    def __init__(self) -> None:
        self.most = in_a_row = 0
        attempt = LaneWriter._attempt

        async def counted(writer: LaneWriter, tickets: list[Ticket], *, read_keys: bool) -> Sequence[Answer]:
            nonlocal in_a_row
            try:
                answers = await attempt(writer, tickets, read_keys=read_keys)
            except FenceLost:
                in_a_row += 1
                self.most = max(self.most, in_a_row)
                raise
            in_a_row = 0
            return answers

        LaneWriter._attempt = counted  # type: ignore[method-assign, assignment]


async def main(dsn: str, lane: int, writer: str, deposits: int, at_once: int) -> None:
    done, losses = 0, Losses()
    clock = SteeredClock(seed=hash(writer))
    async with make_engine(dsn, clock=clock, writer=writer, batch_commands_max=8) as engine:

        async def client(number: int) -> None:
            nonlocal done
            for turn in range(deposits // at_once):
                command = Deposit(account_id=FA1, units=1, reason="hammer", reference=f"{number}/{turn}")
                booked = await submit(engine, lane, command, caller=writer, key=f"{writer}/{number}/{turn}")
                assert isinstance(booked, Booked)
                done += 1

        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*[client(number) for number in range(at_once)])
    sys.stdout.write(f"{done} {losses.most}\n")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))

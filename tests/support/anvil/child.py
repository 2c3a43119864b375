"""A process that carries out transfers until each has ended, and may be killed at it; told on standard input."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog

from otcdesk.clock import SystemClock
from otcdesk.rails.chains import open_chains
from otcdesk.rails.protocols import RailPending, Transfer
from otcdesk.storage.database import Reads

ROOT = Path(__file__).resolve().parents[3]
_POLL_SECONDS = 0.02


class Order(msgspec.Struct):
    """What the process is told."""

    dsn: str
    chains_file: str
    transfers: list[Transfer]


@contextmanager
def carrying_out(dsn: str, chains_file: Path, transfers: Sequence[Transfer]) -> Iterator[subprocess.Popen[bytes]]:
    """Run such a process; what is left of it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.anvil.child"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("DESK_")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(Order(dsn, str(chains_file), [*transfers])))
    process.stdin.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def _carry_out(order: Order) -> None:
    reads = await Reads.open(order.dsn, connections_max=4, statement_timeout_ms=10_000)
    async with open_chains(order.chains_file, reads, SystemClock(), rail_timeout_ms=30_000) as rail:

        async def one(transfer: Transfer) -> tuple[str, str]:
            while True:
                try:
                    receipt = await rail.transfer(transfer)
                except RailPending:
                    await asyncio.sleep(_POLL_SECONDS)
                else:
                    return transfer.reference, receipt.detail

        print(json.dumps(dict(await asyncio.gather(*map(one, order.transfers)))))
    await reads.pool.close()


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(_carry_out(msgspec.json.decode(sys.stdin.buffer.read(), type=Order)))

"""Every statement of the program is one for the server that the tests run on."""

import re
from importlib.resources import files

import asyncpg
import pytest

from otcdesk.storage.queries import queries

#: What is put together before it is sent: batches, backups, locks and what `verify` asks of each table. Their own tests
#: send them.
_PARAMETER = re.compile(r"\{\w+\}")

STATEMENTS = sorted(
    (file.name.removesuffix(".sql"), name)
    for file in (files("otcdesk.storage") / "sql").iterdir()
    for name, text in queries(file.name.removesuffix(".sql")).items()
    if not _PARAMETER.search(text)
)


@pytest.mark.parametrize("file, name", STATEMENTS)
async def test_a_statement_is_understood(file: str, name: str, database: asyncpg.Connection) -> None:
    await database.prepare(queries(file)[name])


def test_what_statements_share_stands_in_each_of_them() -> None:
    statements = queries("leases")
    sharing = ("claim_wave", "claim_chain_payouts", "claim_jobs")
    assert all(statements[name].count("claimed as (") == 1 and "-- " not in statements[name] for name in sharing)
    assert "claimed" not in statements  # a part is no statement

"""Verify: replay the audit chain of every lane against the tables, run every invariant, and name each row that breaks.

Sees any change of any column of any row of the kinds in `domain.registry`, made otherwise than by a batch: changed,
deleted, added, restored or swapped rows, and batches changed, taken out or cut off the end. A cut that takes the rows
of the cut batches along leaves books that were true once; only a head that was exported before the cut shows it.

Not protected, since no decision reads them: the names, kinds and times in `lanes`, and the tables of the edges
(credentials, leases). Nor is anything safe from somebody who has the audit key.

The desk may work meanwhile. Nothing is read in a long transaction; the invariants are each one statement over all that
they concern, the longest statements of a run.
"""

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import msgspec

from otcdesk.domain.registry import KINDS
from otcdesk.storage.queries import queries
from otcdesk.storage.verify_findings import Finding, Findings, describe, shown
from otcdesk.storage.verify_lane import ExportedHead, ExportedHeads, LaneReplay, Pages, Progress, has_its_hash

__all__ = [
    "ExportedHead",
    "ExportedHeads",
    "Finding",
    "Pages",
    "Progress",
    "Report",
    "describe",
    "export_heads",
    "heads_over",
    "key_fits",
    "reading_connection",
    "verify",
    "verify_over",
]

#: So many findings are kept, and so many are asked of one invariant or one table.
FINDINGS_MAX = 1_000

STATEMENT_TIMEOUT_MS = 30 * 60 * 1000


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found, and what it looked at. `left_out` findings were more than are kept."""

    findings: list[Finding]
    left_out: int
    heads: list[ExportedHead]
    batches: int
    rows: int

    @property
    def sound(self) -> bool:
        """Tell whether everything was as it must be."""
        return not self.findings


async def verify(
    dsn: str,
    audit_key: bytes,
    *,
    lane: int | None = None,
    heads: Sequence[ExportedHead] = (),
    progress: Callable[[Progress], None] | None = None,
    pages: Pages | None = None,
    invariants: bool = True,
) -> Report:
    """Verify one lane or all, on a read-only connection of its own; without `invariants` the chain and the rows alone.

    `heads` are some that `export_heads` gave earlier: the chains must still contain them. `progress` is told of every
    page that was read, of `pages`, and ends the run if it raises. Raises ValueError if a head is another lane's than
    `lane`.
    """
    connection = await reading_connection(dsn)
    try:
        return await verify_over(
            connection, audit_key, lane=lane, heads=heads, progress=progress, pages=pages, invariants=invariants
        )
    finally:
        await connection.close()


async def export_heads(dsn: str, lane: int | None = None) -> list[ExportedHead]:
    """Return the newest link of every lane that has one, or of one lane, to be kept outside of the database."""
    connection = await reading_connection(dsn)
    try:
        return await heads_over(connection, lane)
    finally:
        await connection.close()


async def heads_over(connection: Any, lane: int | None = None) -> list[ExportedHead]:
    """Return the newest links as a connection sees them; see `export_heads`."""
    return [
        ExportedHead(
            lane=record["lane"],
            seq=record["seq"],
            hash=record["hash"],
            at=msgspec.json.decode(record["at"], type=str),
        )
        for record in await connection.fetch(queries("verify")["heads"], lane)
    ]


async def key_fits(connection: Any, audit_key: bytes) -> bool:
    """Tell whether the books were written with this key, as far as the ends of a few lanes show.

    One link that it proves is enough: others that it does not prove were changed, and are for `verify` to name.
    """
    samples = await connection.fetch(queries("verify")["samples"])
    return not samples or any(has_its_hash(audit_key, record["lane"], record) for record in samples)


async def reading_connection(dsn: str) -> Any:
    """Open a connection that can only read and does it at no others' expense."""
    return await asyncpg.connect(
        dsn,
        server_settings={
            "application_name": "otcdesk verify",
            "default_transaction_read_only": "on",
            "timezone": "UTC",
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "plan_cache_mode": "force_custom_plan",  # with the lane or without it are two different plans
            "max_parallel_workers_per_gather": "0",
            "jit": "off",
            "work_mem": "64MB",
        },
    )


async def verify_over(
    connection: Any,
    audit_key: bytes,
    *,
    lane: int | None = None,
    heads: Sequence[ExportedHead] = (),
    progress: Callable[[Progress], None] | None = None,
    pages: Pages | None = None,
    invariants: bool = True,
) -> Report:
    """Verify over a connection of `reading_connection`; see `verify`."""
    others = {head.lane for head in heads} - {lane}
    if lane is not None and others:
        raise ValueError(f"the exported head is of lane {min(others)}, not of lane {lane}")
    findings = Findings(FINDINGS_MAX)
    told = progress or _unheard
    lanes = {record["lane"]: record["has_begun"] for record in await connection.fetch(queries("verify")["lanes"], lane)}
    if lane is not None and lane not in lanes:
        findings.add(lane, "lanes", str(lane), "does not exist")
    for head in heads:
        await _check_head(connection, head, findings)
    if lane is None:
        await _check_strays(connection, findings)
    reached_heads = []
    batches = rows = 0
    for number in sorted({*lanes, *([] if lane is None else [lane])}):
        replay = LaneReplay(connection, number, audit_key, findings=findings, progress=told, pages=pages or Pages())
        reached = await replay.run()
        if reached is not None:
            reached_heads.append(reached)
        elif lanes.get(number):
            findings.add(number, "lanes", str(number), "has no batches, not even the first")
        batches += replay.batches
        rows += replay.rows
    if invariants:
        await _check_invariants(connection, lane, findings, told)
    return Report(findings=findings.kept(), left_out=findings.left_out, heads=reached_heads, batches=batches, rows=rows)


def _unheard(_: Progress) -> None:
    """Tell nobody how far the run is."""


async def _check_head(connection: Any, head: ExportedHead, findings: Findings) -> None:
    """Check that the chain still contains a head that was exported from it."""
    standing = await connection.fetchval(queries("batches")["standing"], head.lane, head.seq)
    if standing is None:
        findings.add(
            head.lane, "batches", str(head.seq), "is gone, but its head was exported: the chain was cut before it"
        )
    elif standing != head.hash:
        findings.add(
            head.lane,
            "batches",
            str(head.seq),
            "has another hash than the exported head: the chain was cut and rewritten",
        )


async def _check_strays(connection: Any, findings: Findings) -> None:
    """Check that no row is in a lane that does not exist."""
    tables = [("batches", ("seq",)), *((kind.name, kind.key_fields) for kind in KINDS)]
    for name, fields in tables:
        keys = ", ".join(f"t.{field}" for field in fields)
        statement = queries("verify")["strays"].format(name=name, keys=keys)
        for record in await connection.fetch(statement, FINDINGS_MAX):
            findings.add(record["lane"], name, shown(tuple(record)[1:]), "is in a lane that does not exist")


async def _check_invariants(
    connection: Any, lane: int | None, findings: Findings, told: Callable[[Progress], None]
) -> None:
    """Run every invariant."""
    every = queries("invariants")
    for number, (name, statement) in enumerate(every.items(), start=1):
        first = queries("verify")["first_broken"].format(statement=statement)
        for record in await connection.fetch(first, lane, FINDINGS_MAX):
            findings.add(record["lane"], record["what"], record["key"], f"{record['detail']} ({name})")
        told(Progress(lane, "invariants", number, len(every), findings.found))

"""Staging what is declared: new rows are added, different ones put, others left alone, and all counted."""

from typing import Any, cast

from otcdesk.actions.tally import Tally
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import DESK_ID, Tenant
from otcdesk.domain.payouts import PayoutTerms


class Staged:
    """What was staged, in order."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Noun]] = []

    def add(self, row: Noun) -> None:
        self.rows.append(("add", row))

    def put(self, row: Noun) -> None:
        self.rows.append(("put", row))


def test_only_what_is_new_or_different_is_staged_and_counted() -> None:
    staged = Staged()
    tally = Tally(cast("Any", staged))
    old, new = PayoutTerms(validity_seconds=1), PayoutTerms(validity_seconds=2)
    assert (tally.added, tally.changed) == (0, 0)
    tally.keep(None, old)
    tally.keep(old, PayoutTerms(validity_seconds=1))
    tally.keep(old, new)
    assert staged.rows == [("add", old), ("put", new)]
    assert (tally.added, tally.changed) == (1, 1)


def test_a_later_field_that_was_read_as_null_is_no_difference() -> None:
    staged = Staged()
    tally = Tally(cast("Any", staged))
    said = Tenant(id=DESK_ID, name="Acme")
    tally.keep(said.with_(limited=None), said)
    assert (staged.rows, tally.changed) == ([], 0)

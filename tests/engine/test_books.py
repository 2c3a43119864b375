"""The working set and the lane's cache."""

from uuid import UUID

import pytest

from otcdesk.domain.lanes import Fault
from otcdesk.domain.ledger import Entry
from otcdesk.domain.registry import KINDS
from otcdesk.engine.books import LaneCache, RowKey, Unread, WorkingSet
from otcdesk.engine.store import Head, Kept, Loaded
from tests.support.clocks import START

HEAD = Head(7, "hash", START)
ONE: RowKey = (Fault, "one")
TWO: RowKey = (Fault, "two")


@pytest.fixture
def cache() -> LaneCache:
    made = LaneCache(10)
    made.advance(HEAD, [Kept(Fault(rail="one", delay_ms=1), 5)])
    return made


@pytest.fixture
def books(cache: LaneCache) -> WorkingSet:
    return WorkingSet(cache)


def fault(delay_ms: int, rail: str = "one") -> Fault:
    return Fault(rail=rail, delay_ms=delay_ms)


def test_a_cached_row_is_found_and_an_unknown_one_is_unread(books: WorkingSet) -> None:
    assert books.find(*ONE) == fault(1)
    with pytest.raises(Unread) as caught:
        books.find(*TWO)
    assert caught.value.keys == {TWO}


def test_wants_are_named_together(books: WorkingSet) -> None:
    books.want(ONE)
    with pytest.raises(Unread) as caught:
        books.want(ONE, TWO, (Fault, "three"))
    assert caught.value.keys == {TWO, (Fault, "three")}


def test_what_was_read_and_is_not_there_is_absent_for_this_attempt_only(books: WorkingSet) -> None:
    assert books.take(Loaded(HEAD, []), {TWO})
    assert books.find(*TWO) is None
    assert books.knows(TWO)
    assert not WorkingSet(books.cache).knows(TWO)


def test_rows_of_two_heads_never_mix(books: WorkingSet) -> None:
    assert not books.take(Loaded(Head(8, "other", START), []), {TWO})
    assert not books.knows(TWO)


def test_layers_cover_one_another(books: WorkingSet) -> None:
    books.take(Loaded(HEAD, [Kept(fault(2), 6)]), {ONE})
    assert books.find(*ONE) == fault(2)
    books.put(fault(3))
    assert books.find(*ONE) == fault(3)
    books.keep()
    books.put(fault(4))
    assert books.find(*ONE) == fault(4)
    books.discard()
    assert books.find(*ONE) == fault(3)
    books.restart()
    assert books.find(*ONE) == fault(2)


def test_each_row_goes_out_once_in_its_final_state(books: WorkingSet) -> None:
    books.take(Loaded(HEAD, []), {TWO})
    books.add(fault(1, "two"))
    books.keep()
    books.put(fault(2, "two"))
    books.put(fault(9))
    books.keep()
    assert books.changes() == [(fault(2, "two"), None), (fault(9), 5)]


def test_a_discarded_addition_may_be_made_again(books: WorkingSet) -> None:
    books.take(Loaded(HEAD, []), {TWO})
    books.add(fault(1, "two"))
    books.discard()
    books.add(fault(2, "two"))
    books.keep()
    assert books.changes() == [(fault(2, "two"), None)]


def test_staging_what_cannot_be_is_a_bug_of_the_action(books: WorkingSet) -> None:
    books.take(Loaded(HEAD, []), {TWO})
    books.add(fault(1, "two"))
    with pytest.raises(AssertionError, match="added twice"):
        books.add(fault(1, "two"))
    books.discard()
    with pytest.raises(AssertionError, match="without having been found"):
        books.put(fault(1, "two"))  # read, and not there
    with pytest.raises(AssertionError, match="without having been found"):
        books.put(fault(1, "three"))  # never read


def test_the_cache_keeps_no_row_that_nobody_reads_back() -> None:
    cache = LaneCache(10)
    entry = Entry(
        account_id=UUID(int=1),
        account_version=1,
        transaction_id=UUID(int=2),
        posting_number=1,
        units=1,
        balance_after=1,
    )
    cache.advance(HEAD, [Kept(entry, 7)])
    assert not cache.rows


def test_the_cache_lets_its_oldest_go() -> None:
    cache = LaneCache(20)
    for number in range(20):
        cache.advance(HEAD, [Kept(fault(1, str(number)), 1)])
    cache.advance(HEAD, [Kept(fault(2, "0"), 2)])  # used again: the youngest now
    cache.advance(HEAD, [Kept(fault(1, "20"), 1)])
    assert (Fault, "1") not in cache.rows
    assert (Fault, "0") in cache.rows
    assert len(cache.rows) <= 20


def test_the_cache_keeps_its_bound_however_many_rows_come_at_once() -> None:
    cache = LaneCache(20)
    for batch in range(3):
        cache.advance(HEAD, [Kept(fault(1, f"{batch} {number}"), batch) for number in range(50)])
        assert len(cache.rows) <= 20


def test_a_dropped_cache_knows_nothing() -> None:
    cache = LaneCache(20)
    cache.advance(HEAD, [Kept(fault(1), 1)])
    cache.drop()
    assert (cache.head, cache.rows) == (None, {})


def test_the_cache_keeps_what_changes_and_what_the_next_step_reads_again() -> None:
    kept = {kind.name for kind in KINDS if kind.kept}
    read_again = {
        "bank_details",
        "checkouts",
        "deposit_addresses",
        "deposits",
        "firm_quotes",
        "holders",
        "payments",
        "payout_files",
        "purchases",
    }
    assert kept == {kind.name for kind in KINDS if kind.changes} - {"statement_lines"} | read_again
    cache = LaneCache(100)
    rows = [kind.noun(**{name: f"the {name}" for name in kind.fields}) for kind in KINDS]
    cache.advance(HEAD, [Kept(row, 7) for row in rows])
    assert {kind.name for kind in KINDS for row, _ in cache.rows if row is kind.noun} == kept

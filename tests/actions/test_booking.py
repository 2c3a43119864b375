"""The only writer of ledger rows asserts what its callers have checked."""

from collections.abc import Callable
from uuid import UUID

import pytest

from otcdesk.actions.booking import Move, capture_hold, check_fits, fits, place_hold, post, release_hold
from otcdesk.domain.commands import Moment
from otcdesk.domain.ledger import Account, Entry, Hold, Posting
from otcdesk.domain.noun import Noun
from otcdesk.engine.books import LaneCache, WorkingSet
from otcdesk.engine.store import Head, Kept, Loaded
from otcdesk.errors import Code, Refusal
from otcdesk.money import BALANCE_MAX, UNITS_MAX
from tests.support.clocks import START

ONE, TWO, OTHER, ORDER = UUID(int=1 << 8), UUID(int=2 << 8), UUID(int=3 << 8), UUID(int=4 << 8)
NEW = UUID(int=5 << 8)
MOMENT = Moment(now=START, arrived_at=START, command_id=UUID(int=9 << 8), caller="test", owner_id=ONE)


@pytest.fixture
def books() -> WorkingSet:
    accounts = [
        Account(id=account_id, owner_id=ONE, purpose="cash", asset=asset, balance=100)
        for account_id, asset in ((ONE, "EUR"), (TWO, "EUR"), (OTHER, "USDC"))
    ]
    made = WorkingSet(LaneCache(10))
    asked: set[tuple[type[Noun], object]] = {(Account, row.id) for row in accounts}
    asked |= {(Hold, MOMENT.new_id(number)) for number in range(1, 4)}
    asked.add((Account, NEW))
    made.take(Loaded(Head(1, "", START), [Kept(row, 1) for row in accounts]), asked)
    return made


def account(books: WorkingSet, account_id: UUID) -> Account:
    found = books.find(Account, account_id)
    assert found is not None
    return found


def test_a_transaction_writes_its_postings_entries_and_balances(books: WorkingSet) -> None:
    one, two = account(books, ONE), account(books, TWO)
    post(books, MOMENT, [Move(one, two, 30), Move(two, one, 5)], transaction_id=MOMENT.new_id(1), reason="r")
    assert (account(books, ONE).balance, account(books, TWO).balance) == (75, 125)
    books.keep()
    staged = [row for row, _ in books.changes()]
    assert [row.units for row in staged if isinstance(row, Posting)] == [30, 5]
    entries = [
        (row.account_id, row.account_version, row.units, row.balance_after) for row in staged if isinstance(row, Entry)
    ]
    assert entries == [(ONE, 1, -30, 70), (TWO, 1, 30, 130), (TWO, 2, -5, 125), (ONE, 2, 5, 75)]


@pytest.mark.parametrize(
    "source, destination, units",
    [(ONE, TWO, 0), (ONE, TWO, -1), (ONE, ONE, 1), (ONE, OTHER, 1), (ONE, TWO, 101)],
)
def test_what_is_no_posting_is_a_bug(books: WorkingSet, source: UUID, destination: UUID, units: int) -> None:
    move = Move(account(books, source), account(books, destination), units)
    with pytest.raises(AssertionError):
        post(books, MOMENT, [move], transaction_id=MOMENT.new_id(1), reason="r")


def test_a_hold_is_placed_once_and_ended_once(books: WorkingSet) -> None:
    hold = place_hold(books, MOMENT, account(books, ONE), 60, hold_id=MOMENT.new_id(1), order_id=ORDER)
    assert (account(books, ONE).held, account(books, ONE).available) == (60, 40)
    with pytest.raises(AssertionError):
        place_hold(books, MOMENT, account(books, ONE), 41, hold_id=MOMENT.new_id(2), order_id=ORDER)
    with pytest.raises(AssertionError):
        place_hold(books, MOMENT, account(books, ONE), 0, hold_id=MOMENT.new_id(2), order_id=ORDER)
    with pytest.raises(AssertionError):
        post(books, MOMENT, [Move(account(books, ONE), account(books, TWO), 41)], transaction_id=ORDER, reason="r")
    assert release_hold(books, MOMENT, hold.id).state == "released"
    assert account(books, ONE).held == 0
    ends: tuple[Callable[..., Hold], ...] = (release_hold, capture_hold)
    for end in ends:
        with pytest.raises(AssertionError):
            end(books, MOMENT, hold.id)
        with pytest.raises(AssertionError):
            end(books, MOMENT, MOMENT.new_id(3))


def test_a_captured_hold_frees_its_units_to_be_posted(books: WorkingSet) -> None:
    hold = place_hold(books, MOMENT, account(books, ONE), 100, hold_id=MOMENT.new_id(1), order_id=ORDER)
    ended = capture_hold(books, MOMENT, hold.id)
    assert (ended.state, ended.ended_at) == ("captured", START)
    post(books, MOMENT, [Move(account(books, ONE), account(books, TWO), 100)], transaction_id=ORDER, reason="r")
    assert account(books, ONE).balance == 0


@pytest.mark.parametrize("units, fit", [(UNITS_MAX - 100, True), (UNITS_MAX - 99, False)])
def test_a_balance_is_counted_up_to_the_largest_amount_either_way(books: WorkingSet, units: int, *, fit: bool) -> None:
    assert fits(books, ONE, units) is fit
    assert fits(books, ONE, -units - 200) is fit
    assert fits(books, NEW, UNITS_MAX)
    if fit:
        check_fits(books, NEW, ONE, units)
        return
    for source, destination in ((NEW, ONE), (ONE, NEW)):
        with pytest.raises(Refusal) as caught:
            check_fits(books, source, destination, UNITS_MAX + 1)
        assert caught.value.code is Code.AMOUNT_TOO_LARGE
    assert books.changes() == []


def test_what_the_database_could_not_keep_is_a_bug(books: WorkingSet) -> None:
    for account_id in (ONE, TWO):
        books.put(account(books, account_id).with_(balance=BALANCE_MAX))
    with pytest.raises(AssertionError, match="cannot keep"):
        post(books, MOMENT, [Move(account(books, ONE), account(books, TWO), 1)], transaction_id=ORDER, reason="r")

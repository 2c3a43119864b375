"""What a purchase's job brings about, and what becomes of the listing that it is a part of."""

import pytest

from otcdesk.actions.record_due import RecordDue
from otcdesk.domain.ledger import Account, LedgerTransaction, Posting
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.resales import Branch, Resale
from otcdesk.errors import Code
from otcdesk.money import BALANCE_MAX, UNITS_MAX
from tests.support.trading import (
    U1,
    U2,
    N,
    T,
    TradingDesk,
    accepting,
    bidding,
    buying,
    buying_unsold,
    closing,
    taking,
    withdrawing,
)

MONTH = 31 * 86_400


@pytest.fixture
def desk() -> TradingDesk:
    desk = TradingDesk()
    desk.fees("4", "1")
    return desk


def test_everything_changes_hands_in_one_ledger_transaction(desk: TradingDesk) -> None:
    listed = desk.listed(4, "2.5")
    job = desk.tell(buying(listed, 4)).job
    followed = desk.followed()
    assert desk.word(job).applied
    assert (desk.held(U1), desk.held(U1, "VUSD")) == ((6, 0), (9_500_000, 0))
    assert (desk.held(U2), desk.held(U2, "VUSD")) == ((4, 0), (490_000_000, 0))
    assert (desk.has("resale_fees"), desk.desk_has("fee_income", "VUSD")) == (400_000, 100_000)
    (booked,) = (row for row in desk.all(LedgerTransaction) if row.order_id == job.order_id)
    assert [row.units for row in desk.all(Posting) if row.transaction_id == booked.id] == [
        4,
        9_500_000,
        400_000,
        100_000,
    ]
    trade = desk.get(Trade, job.order_id)
    assert (trade.source_units, trade.destination_units) == (4, 10_000_000)
    assert desk.parts(listed) == ("completed", 0, 0, 4)
    assert desk.followed()[len(followed) :] == [
        ("EXT", 4),
        ("VUSD", 400_000),
        ("VUSD", 100_000),
    ]  # the job paid the rest
    desk.assert_sound()


def test_a_word_is_taken_once(desk: TradingDesk) -> None:
    job = desk.tell(buying(desk.listed(4), 1)).job
    desk.word(job)
    rows = dict(desk.rows)
    again, contrary = desk.word(job), desk.word(job, "refused")
    assert (again.applied, again.agrees, contrary.applied, contrary.agrees) == (False, True, False, False)
    assert desk.rows == rows


def test_fees_are_those_of_when_it_was_bought(desk: TradingDesk) -> None:
    job = desk.tell(buying(desk.listed(4, "2.5"), 4)).job
    desk.fees("40", "40")
    desk.word(job)
    assert desk.held(U1, "VUSD") == (9_500_000, 0)
    desk.assert_sound()


def test_of_the_unsold_supply_the_branch_is_paid(desk: TradingDesk) -> None:
    job = desk.tell(buying_unsold(10)).job
    desk.word(job)
    assert (desk.has("unsold", "EXT"), desk.has("funds")) == (980, 1_019_000_000)
    assert (desk.held(U2), desk.held(U2, "VUSD")) == ((10, 0), (480_000_000, 0))
    desk.assert_sound()


@pytest.mark.parametrize("unsold", [False, True])
def test_what_the_chain_refuses_is_given_back_on_both_sides(desk: TradingDesk, unsold: bool) -> None:
    listed = desk.listed(4)
    before = (desk.parts(listed), desk.held(U1), desk.held(U2, "VUSD"), desk.has("unsold", "EXT"))
    job = desk.tell(buying_unsold(3) if unsold else buying(listed, 3)).job
    desk.word(job, "refused")
    assert desk.state(job.order_id) == "failed"
    assert (desk.parts(listed), desk.held(U1), desk.held(U2, "VUSD"), desk.has("unsold", "EXT")) == before
    desk.assert_sound()


def test_a_listing_is_completed_with_the_last_of_its_purchases(desk: TradingDesk) -> None:
    listed = desk.listed(4)
    jobs = [desk.tell(buying(listed, quantity)).job for quantity in (1, 2, 1)]
    for job, parts in zip(jobs, [("active", 0, 3, 1), ("active", 0, 1, 3), ("completed", 0, 0, 4)], strict=True):
        desk.word(job)
        assert desk.parts(listed) == parts
        desk.assert_sound()


def test_what_comes_back_can_be_bought_again(desk: TradingDesk) -> None:
    listed = desk.listed(4)
    due_at = desk.get(Order, listed).due_at
    job = desk.tell(buying(listed, 4)).job
    desk.word(job, "refused")
    assert desk.parts(listed) == ("active", 4, 0, 0)
    assert desk.get(Order, listed).due_at == due_at is not None
    desk.tell(buying(listed, 4))
    desk.assert_sound()


# -- the time passes while a part is promised ----------------------------------------------------------------------


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("outcome", ["done", "refused"])
def test_a_listing_runs_out_while_a_part_is_promised(desk: TradingDesk, outcome: str, recorded: bool) -> None:
    listed = desk.listed(4)
    job = desk.tell(buying(listed, 3)).job
    desk.clock.advance(seconds=MONTH)
    if recorded:
        desk.act(RecordDue(order_ids=[listed]))
        assert desk.parts(listed) == ("expired", 0, 3, 0)
        assert desk.held(U1) == (10, 3)
        desk.assert_sound()
    followed = len(desk.followed())
    desk.word(job, outcome)
    assert desk.parts(listed) == ("expired", 0, 0, 3 if outcome == "done" else 0)
    assert desk.held(U1) == ((7, 0) if outcome == "done" else (10, 0))
    back = [units for asset, units in desk.followed()[followed:] if asset == "EXT"]
    assert sorted(back) == ([3] if recorded else [1, 3])  # to the buyer or back, and what was left
    desk.assert_sound()


@pytest.mark.parametrize("outcome", ["done", "refused"])
def test_a_listing_whose_time_passes_while_all_is_promised(desk: TradingDesk, outcome: str) -> None:
    listed = desk.listed(4)
    job = desk.tell(buying(listed, 4)).job
    desk.clock.advance(seconds=MONTH)
    desk.act(RecordDue(order_ids=[listed]))
    assert desk.state(listed) == "active"
    desk.word(job, outcome)
    if outcome == "done":
        assert desk.parts(listed) == ("completed", 0, 0, 4)
    else:
        assert (desk.parts(listed), desk.held(U1)) == (("expired", 0, 0, 0), (10, 0))
        assert desk.followed() == [("EXT", 4)]
    desk.assert_sound()


# -- it is taken, closed or withdrawn while a part is promised -----------------------------------------------------


@pytest.mark.parametrize("outcome", ["done", "refused"])
def test_the_branch_takes_the_rest_while_a_part_is_promised(desk: TradingDesk, outcome: str) -> None:
    listed = desk.listed(4, "2.5", "otc")
    job = desk.tell(buying(listed, 3, "otc")).job
    desk.tell(taking(listed))
    assert desk.parts(listed) == ("completed", 0, 3, 1)
    assert (desk.has("inventory", "EXT"), desk.get(Trade, listed).source_units) == (1, 1)
    desk.assert_sound()
    assert desk.refused(taking(listed)) is Code.NOT_TAKEABLE
    desk.word(job, outcome)
    assert desk.parts(listed) == ("completed", 0, 0, 4 if outcome == "done" else 1)
    assert desk.held(U1) == ((6, 0) if outcome == "done" else (9, 0))
    assert desk.refused(taking(listed)) is Code.NOT_TAKEABLE  # once for ever
    desk.assert_sound()


def test_the_branch_takes_what_was_left_after_a_part_was_sold(desk: TradingDesk) -> None:
    listed = desk.listed(4, "2.5", "otc")
    desk.word(desk.tell(buying(listed, 1, "otc")).job)
    desk.tell(taking(listed))
    assert desk.parts(listed) == ("completed", 0, 0, 4)
    assert desk.get(Trade, listed).destination_units == 7_500_000
    desk.assert_sound()


def test_what_is_all_promised_is_nothing_for_the_branch_to_take_or_close(desk: TradingDesk) -> None:
    listed = desk.listed(4, "2.5", "otc")
    desk.tell(buying(listed, 4, "otc"))
    assert desk.refused(taking(listed)) is Code.NOT_TAKEABLE
    assert desk.refused(closing(listed)) is Code.NOT_CANCELLABLE


@pytest.mark.parametrize("outcome", ["done", "refused"])
def test_the_branch_closes_it_while_a_part_is_promised(desk: TradingDesk, outcome: str) -> None:
    listed = desk.listed(4, "2.5", "otc")
    job = desk.tell(buying(listed, 3, "otc")).job
    desk.tell(closing(listed))
    assert desk.parts(listed) == ("cancelled", 0, 3, 0)
    desk.word(job, outcome)
    sold = 3 if outcome == "done" else 0
    assert (desk.parts(listed), desk.held(U1)) == (("cancelled", 0, 0, sold), (10 - sold, 0))
    assert sum(units for asset, units in desk.followed() if asset == "EXT") == 4  # nothing stays where it was listed
    desk.assert_sound()


@pytest.mark.parametrize("given_back", ["done", "refused"])
@pytest.mark.parametrize("paid", ["done", "refused"])
@pytest.mark.parametrize("paid_first", [False, True])
def test_it_is_withdrawn_while_a_part_is_promised(
    desk: TradingDesk, given_back: str, paid: str, paid_first: bool
) -> None:
    listed = desk.listed(4)
    buys = desk.tell(buying(listed, 3)).job
    back = desk.begun(desk.tell(withdrawing(listed)).job)
    assert (back.units, desk.state(listed)) == (1, "withdrawing")
    assert desk.refused(buying(listed, 1)) is Code.NOT_TAKEABLE
    for job, outcome in [(buys, paid), (back, given_back)] if paid_first else [(back, given_back), (buys, paid)]:
        desk.word(job, outcome)
        desk.assert_sound()
    sold = 3 if paid == "done" else 0
    if given_back == "done":
        assert (desk.parts(listed), desk.held(U1)) == (("cancelled", 0, 0, sold), (10 - sold, 0))
        assert sum(units for asset, units in desk.followed() if asset == "EXT") == 3  # the job gave one back
    else:
        assert desk.parts(listed) == ("active", 4 - sold, 0, sold)


# -- what may not be refused any more ------------------------------------------------------------------------------


def test_no_account_is_too_full_for_what_the_chain_has_done(desk: TradingDesk) -> None:
    """The desk counts to more than may ever come in, so what moves within its books always fits."""
    assert BALANCE_MAX > 50 * UNITS_MAX
    listed = desk.listed(4)
    job = desk.tell(buying(listed, 4)).job
    paid = desk.get(Account, job.destination_account_id)
    equity = next(row for row in desk.all(Account) if (row.purpose, row.asset) == ("equity", "VUSD"))
    desk.put(paid.with_(balance=UNITS_MAX))
    desk.put(equity.with_(balance=equity.balance - UNITS_MAX))
    desk.word(job)
    assert desk.held(U1, "VUSD") == (UNITS_MAX + 9_500_000, 0)
    desk.assert_sound()


def test_switching_negotiation_off_does_not_touch_what_is_promised(desk: TradingDesk) -> None:
    listed = desk.listed(4, "2.5", "otc")
    bid = desk.tell(bidding(listed, 1)).order.id
    bought, accepted = desk.tell(buying(listed, 2, "otc")).job, desk.tell(accepting(bid)).job
    desk.put(desk.get(Branch, N).with_(parties_trade=False))
    for job in (bought, accepted):
        desk.word(job)
    assert desk.parts(listed) == ("active", 1, 0, 3)
    desk.assert_sound()


def test_accounts_that_are_opened_are_on_the_network_of_what_arrives(desk: TradingDesk) -> None:
    seller = desk.get(Account, desk.get(Order, desk.listed(1)).source_account_id)
    desk.put(seller.with_(network="polygon"))
    money = desk.get(Account, desk.get(Order, desk.tell(buying_unsold(1)).job.order_id).source_account_id)
    desk.put(money.with_(network="polygon"))
    listed = desk.listed(2)
    desk.word(desk.tell(buying(listed, 2)).job)
    assert desk.get(Resale, listed).instrument_id == T
    opened = [row for row in desk.all(Account) if row.purpose in {"holding", "resale_fees", "fee_income"}]
    assert {(row.purpose, row.asset, row.owner_id) for row in opened if row.network == "polygon"} >= {
        ("holding", "EXT", U2),
        ("holding", "VUSD", U1),
        ("resale_fees", "VUSD", N),
    }
    assert {row.network for row in opened if row.purpose == "fee_income"} == {"polygon"}

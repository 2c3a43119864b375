"""Bids for what is listed over the counter: their money is held, and the lister accepts one or declines."""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest

from otcdesk.actions.record_due import RecordDue
from otcdesk.domain.events import Event
from otcdesk.domain.jobs import Job
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party
from otcdesk.domain.resales import Branch, Instrument, Mandate, Purchase, ResaleTerms
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.trading import (
    ESTATE,
    NOBODY,
    U1,
    U2,
    U3,
    N,
    T,
    TradingDesk,
    accepting,
    bidding,
    burning,
    buying,
    buying_unsold,
    closing,
    declining,
    refusal_of,
    taking,
    withdrawing,
    withdrawing_bid,
)

NOT_THIS = Mandate("1", permitted=False)
NOT_HERE = Mandate("1.3", permitted=True)


@pytest.fixture
def desk() -> TradingDesk:
    return TradingDesk()


@pytest.fixture
def listed(desk: TradingDesk) -> UUID:
    return desk.listed(4, "2.5", "otc")


def bid(desk: TradingDesk, listed: UUID, quantity: int = 2, price: str = "1.5", **changes: object) -> UUID:
    order_id: UUID = desk.tell(bidding(listed, quantity, price, **changes)).order.id
    return order_id


# -- bidding -------------------------------------------------------------------------------------------------------


def test_a_bid_holds_its_money_and_nothing_of_the_listing(desk: TradingDesk, listed: UUID) -> None:
    order = desk.tell(bidding(listed, 3, "1.25")).order
    assert (order.side, order.state, order.rate, order.source_units) == ("bid", "active", Decimal("1.25"), 3_750_000)
    assert (order.due_at - desk.clock.now()).total_seconds() == 86_400
    assert desk.held(U2, "VUSD") == (500_000_000, 3_750_000)
    assert (desk.parts(listed), desk.held(U1)) == (("active", 4, 0, 0), (10, 4))
    assert desk.get(Event, (order.id, order.version)).name == "resale.place"
    assert not [job for job in desk.all(Job) if job.order_id == order.id]
    desk.assert_sound()


def test_bids_last_as_long_as_the_terms_say_or_the_bidder(desk: TradingDesk, listed: UUID) -> None:
    desk.put(desk.get(ResaleTerms, 1).with_(bid_validity_seconds=60))
    for seconds, lasts in ((None, 60), (7, 7)):
        order = desk.tell(bidding(listed, validity_seconds=seconds)).order
        assert (order.ttl_seconds, (order.due_at - desk.clock.now()).total_seconds()) == (lasts, lasts)


def test_any_number_of_bids_is_for_the_same_units(desk: TradingDesk, listed: UUID) -> None:
    desk.word(desk.tell(buying_unsold(1)).job)
    bids = [bid(desk, listed, 4, price) for price in ("1", "2", "3")]
    assert desk.held(U2, "VUSD")[1] == 24_000_000
    desk.tell(accepting(bids[1]))
    assert desk.refused(accepting(bids[2])) is Code.QUANTITY_UNAVAILABLE
    desk.assert_sound()


def test_refusals_of_bids_in_their_order(desk: TradingDesk, listed: UUID) -> None:
    own, secondary = desk.listed(1, "1", "otc", U3), desk.listed(1)
    wrong = bidding(None, 9, "0", party_id=NOBODY, instrument_id=NOBODY, mandate=NOT_THIS)
    assert desk.refused(wrong) is Code.PARTY_NOT_FOUND
    assert desk.refused(bidding(None, 9, "0", instrument_id=NOBODY, mandate=NOT_THIS)) is Code.INSTRUMENT_NOT_FOUND
    for mandate in (NOT_THIS, NOT_HERE):
        assert desk.refused(bidding(None, 9, "0", mandate=mandate)) is Code.NOT_PERMITTED
    party, branch = desk.get(Party, U2), desk.get(Branch, N)
    desk.put(party.with_(status="inactive"))
    desk.put(branch.with_(parties_trade=False))
    assert desk.refused(bidding(None, 9, "0")) is Code.PARTY_INACTIVE
    desk.put(party)
    assert desk.refused(bidding(None, 9, "0")) is Code.PARTIES_DO_NOT_TRADE
    desk.put(branch)
    assert desk.refused(bidding(None, 9, "0")) is Code.ORDER_NOT_FOUND
    assert desk.refused(bidding(secondary, 9, "0")) is Code.ORDER_NOT_FOUND
    assert desk.refused(bidding(own, 9, "0", party_id=U3)) is Code.OWN_RESALE
    over = desk.listed(1, "1", "otc")
    desk.tell(closing(over))
    assert desk.refused(bidding(over, 9, "0")) is Code.NOT_TAKEABLE
    assert desk.refused(bidding(listed, 5, "0")) is Code.QUANTITY_UNAVAILABLE
    assert desk.refused(bidding(listed, 4, "0.0000001")) is Code.AMOUNT_TOO_FINE
    for price in ("0", "-1"):
        assert desk.refused(bidding(listed, 4, price)) is Code.AMOUNT_TOO_SMALL
    assert desk.refused(bidding(listed, 4, str(UNITS_MAX))) is Code.AMOUNT_TOO_LARGE
    assert desk.refused(bidding(listed, 4, "125.000001")) is Code.BUYER_NOT_COVERED
    bid(desk, listed, 4, "125")
    desk.assert_sound()


def test_a_key_makes_one_bid(desk: TradingDesk, listed: UUID) -> None:
    first, again = (desk.tell(bidding(listed), key="k") for _ in range(2))
    assert first == again
    assert desk.refuse(bidding(listed, 1), owner_id=ESTATE, key="k") is Code.KEY_REUSED
    assert desk.held(U2, "VUSD")[1] == 3_000_000


# -- accepting -----------------------------------------------------------------------------------------------------


def test_an_accepted_bid_is_a_purchase_at_its_own_price(desk: TradingDesk, listed: UUID) -> None:
    desk.fees("4", "1")
    bid_id = bid(desk, listed, 3, "2")
    job: Job = desk.tell(accepting(bid_id)).job
    assert (job.kind, job.market, job.units, job.party_id) == ("purchase", "otc", 5_700_000, U2)
    assert (desk.state(bid_id), desk.parts(listed)) == ("pending", ("active", 1, 3, 0))
    assert (desk.held(U1), desk.held(U2, "VUSD")) == ((10, 4), (500_000_000, 6_000_000))
    assert desk.get(Order, bid_id).due_at is None
    desk.assert_sound()
    desk.word(job)
    assert (desk.state(bid_id), desk.parts(listed)) == ("completed", ("active", 1, 0, 3))
    assert (desk.held(U1), desk.held(U1, "VUSD")) == ((7, 1), (5_700_000, 0))
    assert (desk.held(U2), desk.held(U2, "VUSD")) == ((3, 0), (494_000_000, 0))
    desk.assert_sound()


def test_an_accepted_bid_that_the_chain_refuses_is_given_back(desk: TradingDesk, listed: UUID) -> None:
    bid_id = bid(desk, listed, 4)
    desk.word(desk.tell(accepting(bid_id)).job, "refused")
    assert (desk.state(bid_id), desk.parts(listed)) == ("failed", ("active", 4, 0, 0))
    assert desk.held(U2, "VUSD") == (500_000_000, 0)
    assert desk.refused(accepting(bid_id)) is Code.BID_OVER
    desk.assert_sound()


def test_refusals_of_an_acceptance_in_their_order(desk: TradingDesk, listed: UUID) -> None:
    bid_id = bid(desk, listed, 4)
    bought = desk.tell(buying(listed, 1, "otc")).job.order_id
    wrong = accepting(NOBODY, party_id=NOBODY, instrument_id=NOBODY, mandate=NOT_THIS)
    assert desk.refused(wrong) is Code.PARTY_NOT_FOUND
    assert desk.refused(accepting(NOBODY, instrument_id=NOBODY, mandate=NOT_THIS)) is Code.INSTRUMENT_NOT_FOUND
    assert desk.refused(accepting(NOBODY, mandate=NOT_THIS)) is Code.NOT_PERMITTED
    party, branch = desk.get(Party, U1), desk.get(Branch, N)
    desk.put(party.with_(status="inactive"))
    assert desk.refused(accepting(NOBODY)) is Code.PARTY_INACTIVE
    desk.put(party)
    for no_bid in (NOBODY, bought, listed):
        assert desk.refused(accepting(no_bid)) is Code.BID_NOT_FOUND
    desk.put(branch.with_(parties_trade=False))
    for other in (U2, U3):
        assert desk.refused(accepting(bid_id, party_id=other)) is Code.RESALE_NOT_OWN
    assert desk.refused(accepting(bid_id)) is Code.PARTIES_DO_NOT_TRADE
    desk.put(branch)
    assert desk.refused(accepting(bid_id)) is Code.QUANTITY_UNAVAILABLE
    assert refusal_of(desk, accepting(bid_id)).facts == {"available": 3}
    desk.tell(taking(listed))
    assert desk.refused(accepting(bid_id)) is Code.NOT_TAKEABLE
    desk.tell(declining(bid_id))
    assert desk.refused(accepting(bid_id)) is Code.BID_OVER
    desk.assert_sound()


def test_a_bid_is_of_the_instrument_in_the_question(desk: TradingDesk, listed: UUID) -> None:
    other = desk.get(Instrument, T).with_(id=NOBODY, asset="OTHER")
    desk.put(other)
    bid_id = bid(desk, listed)
    for command in (accepting, declining, withdrawing_bid):
        assert desk.refused(command(bid_id, instrument_id=NOBODY)) is Code.BID_NOT_FOUND


def test_nothing_is_sold_twice(desk: TradingDesk, listed: UUID) -> None:
    bid_id = bid(desk, listed)
    desk.tell(accepting(bid_id))
    assert desk.refused(accepting(bid_id)) is Code.BID_OVER
    assert desk.refused(declining(bid_id)) is Code.BID_OVER
    assert desk.refused(withdrawing_bid(bid_id)) is Code.BID_OVER
    assert desk.parts(listed) == ("active", 2, 2, 0)


def test_a_withdrawn_listing_sells_to_nobody(desk: TradingDesk, listed: UUID) -> None:
    bid_id = bid(desk, listed)
    desk.begun(desk.tell(withdrawing(listed, "otc")).job)
    assert desk.refused(accepting(bid_id)) is Code.NOT_TAKEABLE
    desk.assert_sound()


def test_a_listing_that_has_run_out_sells_to_nobody_though_nobody_recorded_it(desk: TradingDesk, listed: UUID) -> None:
    desk.clock.advance(seconds=31 * 86_400 - 10)
    bid_id = bid(desk, listed)
    desk.clock.advance(seconds=10)
    assert desk.state(listed) == "active"
    assert desk.refused(accepting(bid_id)) is Code.NOT_TAKEABLE
    desk.tell(withdrawing_bid(bid_id))
    desk.assert_sound()


# -- the other ends of a bid ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command, state", [(declining, "declined"), (withdrawing_bid, "cancelled")])
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_bid_that_is_declined_or_withdrawn_has_its_money_again(
    desk: TradingDesk, listed: UUID, command: Callable[..., object], state: str, is_listed: bool
) -> None:
    bid_id = bid(desk, listed)
    if not is_listed:
        desk.tell(closing(listed))
    desk.put(desk.get(Branch, N).with_(parties_trade=False))
    ended = desk.tell(command(bid_id)).order
    assert (ended.state, ended.pay_hold_id, ended.ended_at) == (state, None, desk.clock.now())
    assert desk.held(U2, "VUSD") == (500_000_000, 0)
    assert desk.refused(command(bid_id)) is Code.BID_OVER
    desk.assert_sound()


def test_who_may_decline_and_who_may_withdraw(desk: TradingDesk, listed: UUID) -> None:
    bid_id = bid(desk, listed)
    assert desk.refused(declining(bid_id, party_id=U2)) is Code.RESALE_NOT_OWN
    assert desk.refused(withdrawing_bid(bid_id, party_id=U1)) is Code.RESALE_NOT_OWN
    for command in (declining, withdrawing_bid):
        for no_bid in (NOBODY, listed):
            assert desk.refused(command(no_bid)) is Code.BID_NOT_FOUND
        assert desk.refused(command(bid_id, mandate=NOT_THIS)) is Code.NOT_PERMITTED


@pytest.mark.parametrize("recorded", [False, True])
def test_a_bid_runs_out(desk: TradingDesk, listed: UUID, recorded: bool) -> None:
    bid_id = bid(desk, listed)
    desk.clock.advance(seconds=86_400)
    if recorded:
        desk.act(RecordDue(order_ids=[bid_id]))
        assert (desk.state(bid_id), desk.held(U2, "VUSD")) == ("expired", (500_000_000, 0))
    for command in (accepting, declining, withdrawing_bid):
        assert desk.refused(command(bid_id)) is Code.BID_OVER
    desk.assert_sound()


def test_a_bid_has_the_fees_of_when_it_was_made(desk: TradingDesk, listed: UUID) -> None:
    desk.fees("10", "0")
    bid_id = bid(desk, listed, 4, "1")
    desk.fees("20", "20")
    desk.word(desk.tell(accepting(bid_id)).job)
    assert (desk.get(Purchase, bid_id).fee_units, desk.held(U1, "VUSD")) == (400_000, (3_600_000, 0))
    desk.assert_sound()


def test_units_that_are_listed_are_neither_burnt_nor_listed_again(desk: TradingDesk, listed: UUID) -> None:
    bid_id = bid(desk, listed)
    assert desk.tell(burning()).job.units == 6
    desk.word(desk.tell(accepting(bid_id)).job)
    desk.assert_sound()

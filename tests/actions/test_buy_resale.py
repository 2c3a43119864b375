"""A party buys of what is listed, or of the unsold supply: both sides are held from the start."""

from decimal import Decimal
from uuid import UUID

import pytest

from otcdesk.actions.record_due import RecordDue
from otcdesk.domain.events import Event
from otcdesk.domain.jobs import Job
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party
from otcdesk.domain.resales import Currency, Instrument, Mandate, Purchase, ResaleTerms, branch_account_id
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.trading import (
    NOBODY,
    ROOT,
    U1,
    U2,
    U3,
    N,
    T,
    TradingDesk,
    buying,
    buying_unsold,
    listing,
    withdrawing,
)

NOT_HERE = Mandate("1.3", permitted=True)
NOT_THIS = Mandate("1", permitted=False)


@pytest.fixture
def desk() -> TradingDesk:
    return TradingDesk()


# -- the secondary market, and over the counter --------------------------------------------------------------------


@pytest.mark.parametrize("market", ["secondary", "otc"])
def test_buying_a_part_holds_both_sides(desk: TradingDesk, market: str) -> None:
    listed = desk.listed(4, "2.5", market)
    job: Job = desk.tell(buying(listed, 3, market)).job
    assert (job.kind, job.market, job.asset, job.units, job.party_id) == ("purchase", market, "VUSD", 7_500_000, U2)
    assert desk.parts(listed) == ("active", 1, 3, 0)
    assert (desk.held(U1), desk.held(U2, "VUSD")) == ((10, 4), (500_000_000, 7_500_000))
    order, purchase = desk.get(Order, job.order_id), desk.get(Purchase, job.order_id)
    assert (order.side, order.state, order.rate, order.destination_units) == ("buy", "pending", Decimal("2.5"), 3)
    assert (purchase.listing_id, purchase.quantity, purchase.price_units) == (listed, 3, 2_500_000)
    assert desk.get(Event, (listed, desk.get(Order, listed).version)).name == "resale.take"
    desk.assert_sound()


def test_what_is_all_promised_can_be_neither_taken_nor_withdrawn_and_does_not_run_out(desk: TradingDesk) -> None:
    listed = desk.listed(4)
    desk.tell(buying(listed, 4))
    assert desk.parts(listed) == ("active", 0, 4, 0)
    assert desk.get(Order, listed).due_at is None
    assert desk.refused(buying(listed, 1)) is Code.QUANTITY_UNAVAILABLE
    assert desk.refused(withdrawing(listed)) is Code.NOT_CANCELLABLE
    desk.clock.advance(seconds=32 * 86_400)
    assert desk.act(RecordDue(order_ids=[listed])).recorded == 0
    desk.assert_sound()


def test_fees_are_of_the_seller_and_are_fixed_when_it_is_bought(desk: TradingDesk) -> None:
    desk.fees("2.5", "0.1")
    listed = desk.listed(3, "0.333333")
    job = desk.tell(buying(listed, 3)).job
    purchase = desk.get(Purchase, job.order_id)
    assert (purchase.fee_units, purchase.desk_fee_units) == (25_000, 999)  # 2.6 % of 0.999999, cut; 0.1 %, cut
    assert job.units == 999_999 - 25_999
    assert desk.held(U2, "VUSD")[1] == 999_999


def test_the_smallest_price_and_the_highest_fees_leave_something_to_be_paid(desk: TradingDesk) -> None:
    desk.fees("49.999999", "49.999999")
    for quantity, fees in ((1, 0), (2, 1), (7, 6)):
        job = desk.tell(buying(desk.listed(quantity, "0.000001"), quantity)).job
        assert job.units == quantity - fees
        desk.word(job)
    assert desk.held(U1, "VUSD") == (3, 0)
    desk.assert_sound()


def test_refusals_in_their_order(desk: TradingDesk) -> None:
    own, listed, over = desk.listed(1, party=U3), desk.listed(4), desk.listed(1)
    desk.begun(desk.tell(withdrawing(over)).job)
    nothing = buying(None, 5, party_id=NOBODY, instrument_id=NOBODY, mandate=NOT_HERE)
    assert desk.refused(nothing) is Code.PARTY_NOT_FOUND
    assert desk.refused(buying(None, 5, instrument_id=NOBODY, mandate=NOT_HERE)) is Code.INSTRUMENT_NOT_FOUND
    for mandate in (NOT_HERE, NOT_THIS):
        assert desk.refused(buying(None, 5, mandate=mandate)) is Code.NOT_PERMITTED
    party = desk.get(Party, U2)
    desk.put(party.with_(status="inactive"))
    assert desk.refused(buying(None, 5)) is Code.PARTY_INACTIVE
    desk.put(party.with_(status="unverified"))
    assert desk.refused(buying(None, 5)) is Code.ORDER_NOT_FOUND
    desk.put(desk.get(ResaleTerms, 1).with_(verifies_parties=True))
    assert desk.refused(buying(None, 5)) is Code.PARTY_UNVERIFIED
    desk.put(party)
    assert desk.refused(buying(listed, 1, "otc")) is Code.ORDER_NOT_FOUND  # it is listed elsewhere
    assert desk.refused(buying(own, 9, party_id=U3)) is Code.OWN_RESALE
    assert desk.refused(buying(over, 9)) is Code.NOT_TAKEABLE
    assert desk.refused(buying(listed, 5)) is Code.QUANTITY_UNAVAILABLE
    assert desk.refused(buying(listed, 4, party_id=U3)) is Code.BUYER_NOT_COVERED
    desk.assert_sound()


def test_parties_trade_over_the_counter_only_where_the_issuer_lets_them() -> None:
    desk = TradingDesk(trades=False)
    assert desk.refused(buying(desk.listed(1, market="otc"), 1, "otc")) is Code.PARTIES_DO_NOT_TRADE
    desk.tell(buying(desk.listed(1), 1))


def test_a_pending_listing_cannot_be_bought(desk: TradingDesk) -> None:
    job = desk.tell(listing()).job
    assert desk.refused(buying(job.order_id)) is Code.NOT_TAKEABLE


def test_what_has_run_out_cannot_be_bought_though_nobody_recorded_it(desk: TradingDesk) -> None:
    listed = desk.listed(4)
    desk.clock.advance(seconds=31 * 86_400)
    assert desk.state(listed) == "active"
    assert desk.refused(buying(listed)) is Code.NOT_TAKEABLE


def test_money_that_is_held_cannot_be_spent_twice(desk: TradingDesk) -> None:
    first, second = desk.listed(4, "100"), desk.listed(2, "100")
    desk.tell(buying(first, 4))
    assert desk.refused(buying(second, 2)) is Code.BUYER_NOT_COVERED
    desk.tell(buying(second, 1))
    assert desk.held(U2, "VUSD") == (500_000_000, 500_000_000)
    desk.assert_sound()


def test_a_key_starts_one_purchase_and_tells_whoever_may_buy(desk: TradingDesk) -> None:
    listed = desk.listed(4)
    command = buying(listed, 1)
    first = desk.tell(command, key="k")
    assert desk.tell(command, key="k") == first
    for quantity in (1, 2):
        elsewhere = buying(listed, quantity, mandate=Mandate("1.2", permitted=True))
        assert desk.refuse(elsewhere, owner_id=first.job.tenant_id, key="k") is Code.NOT_PERMITTED
    assert desk.refuse(buying(listed, 2), owner_id=first.job.tenant_id, key="k") is Code.KEY_REUSED
    assert desk.refuse(buying_unsold(1), owner_id=first.job.tenant_id, key="k") is Code.KEY_REUSED
    assert desk.parts(listed) == ("active", 3, 1, 0)


# -- the primary market --------------------------------------------------------------------------------------------


def test_buying_of_the_unsold_supply_holds_both_sides(desk: TradingDesk) -> None:
    desk.fees("4", "0")
    job = desk.tell(buying_unsold(7)).job
    unsold = desk.get(Account, branch_account_id(N, "unsold", "EXT"))
    assert (unsold.balance, unsold.held) == (990, 7)
    assert desk.held(U2, "VUSD") == (500_000_000, 14_000_000)
    assert (job.kind, job.market, job.units) == ("purchase", "primary", 13_440_000)
    desk.assert_sound()


def test_refusals_on_the_primary_market_in_their_order(desk: TradingDesk) -> None:
    assert desk.refused(buying_unsold(party_id=NOBODY, instrument_id=NOBODY)) is Code.PARTY_NOT_FOUND
    assert desk.refused(buying_unsold(instrument_id=NOBODY, mandate=NOT_THIS)) is Code.INSTRUMENT_NOT_FOUND
    assert desk.refused(buying_unsold(mandate=NOT_THIS)) is Code.NOT_PERMITTED
    instrument, currency = desk.get(Instrument, T), desk.get(Currency, desk.get(Instrument, T).currency_id)
    party = desk.get(Party, U2)
    desk.put(party.with_(status="inactive"))
    desk.put(instrument.with_(state="passive"))
    assert desk.refused(buying_unsold()) is Code.PARTY_INACTIVE
    desk.put(party)
    desk.put(currency.with_(state="error"))
    assert desk.refused(buying_unsold()) is Code.NOT_ON_SALE
    desk.put(instrument)
    assert desk.refused(buying_unsold()) is Code.CURRENCY_NOT_FOUND
    desk.put(currency)
    assert desk.refused(buying_unsold(UNITS_MAX)) is Code.AMOUNT_TOO_LARGE
    assert desk.refused(buying_unsold(991)) is Code.SUPPLY_INSUFFICIENT
    assert desk.refused(buying_unsold(990)) is Code.BUYER_NOT_COVERED
    desk.assert_sound()


def test_supply_that_is_held_is_sold_once(desk: TradingDesk) -> None:
    desk.put(desk.get(Instrument, T).with_(price=Decimal("0.000001")))
    desk.tell(buying_unsold(600))
    assert desk.refused(buying_unsold(391)) is Code.SUPPLY_INSUFFICIENT
    desk.tell(buying_unsold(390))
    desk.assert_sound()


@pytest.mark.parametrize("party", [U1, U2, U3])
def test_only_what_is_covered_is_bought(desk: TradingDesk, party: UUID) -> None:
    command = buying_unsold(1, party_id=party, mandate=ROOT)
    if party == U2:
        desk.tell(command)
    else:
        assert desk.refused(command) is Code.BUYER_NOT_COVERED

"""How a deal is shown: its state by the clock, who has bought, and what may be negotiated."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import msgspec
import pytest

from otcdesk.api.deals.deal_lists import (
    STATUSES,
    Buyer,
    ListedDeal,
    _user_deal,
    by_the_clock,
    expiry_of,
    token_deal,
)
from otcdesk.api.deals.values import id_text
from otcdesk.domain.orders import SELL, Order
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resales import ACTIVE, CREATED, EXPIRED, FAILED, LISTING, OTC, PENDING, WITHDRAWING, Branch, Resale

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = NOW + timedelta(days=31)
BRANCH = Branch(id=uuid4(), tenant_id=uuid4(), number=1, path="1", name="Node")


def a_deal(state: str = ACTIVE, *, due_at: datetime | None = LATER, ttl_seconds: int = 31 * 86_400) -> ListedDeal:
    order = Order(
        id=uuid4(),
        tenant_id=BRANCH.tenant_id,
        product="resale",
        side=SELL,
        state=state,
        version=2,
        source_account_id=uuid4(),
        source_asset="EXT",
        source_units=4,
        destination_account_id=uuid4(),
        destination_asset="VUSD",
        destination_units=10_000_000,
        rate=Decimal("2.5"),
        quoted_rate=Decimal("2.5"),
        quoted_by="test",
        quoted_at=NOW,
        market_rate=Decimal(2),
        market_source="issuer",
        market_at=NOW,
        ttl_seconds=ttl_seconds,
        expires_at=NOW + timedelta(seconds=ttl_seconds),
        due_at=due_at,
        pay_hold_id=uuid4(),
        created_at=NOW,
        updated_at=NOW,
    )
    resale = Resale(
        order_id=order.id,
        tenant_id=order.tenant_id,
        branch_id=BRANCH.id,
        party_id=uuid4(),
        instrument_id=uuid4(),
        currency_id=uuid4(),
        market=OTC,
        quantity=4,
        available=3,
        price_units=2_500_000,
        number=7,
    )
    return ListedDeal(order, resale, BRANCH, "Tower", "EXT", "VUSD", 6, taken=False)


def test_every_state_that_is_listed_has_a_word() -> None:
    states = {state for state, _ in LISTING.moves} | {*LISTING.moves.values()}
    assert states - STATUSES.keys() == {CREATED, PENDING, FAILED}


def test_a_deal_is_active_until_its_time_is_over_and_has_nothing_left_then() -> None:
    deal = a_deal()
    assert by_the_clock(deal, LATER - timedelta(microseconds=1)) is deal
    over = by_the_clock(deal, LATER)
    assert (over.order.state, over.order.updated_at, over.resale.available) == (EXPIRED, LATER, 0)
    assert (over.resale.quantity, over.resale.number) == (4, 7)


def test_what_is_being_taken_back_does_not_run_out() -> None:
    deal = a_deal(WITHDRAWING, due_at=None)
    assert by_the_clock(deal, LATER) is deal
    assert token_deal(deal).status == "active"


def test_a_deal_without_an_end_says_none() -> None:
    assert expiry_of(a_deal().order) == "2026-04-02T09:00:00.000Z"
    assert expiry_of(a_deal(due_at=None, ttl_seconds=0).order) is None


@pytest.mark.parametrize("trade, negotiable, least", [(False, False, 4), (True, True, 1)])
def test_what_may_be_negotiated(trade: bool, negotiable: bool, least: int) -> None:
    deal = msgspec.structs.replace(a_deal(), issuer=BRANCH.with_(parties_trade=trade))
    shown = token_deal(deal)
    assert (shown.negotiable, shown.minimum_quantity) == (negotiable, least)
    assert (shown.counterparty_id, shown.counterparty_name) == (id_text(BRANCH.id), "Node")


def test_who_has_bought() -> None:
    deal = a_deal()
    assert deal.bought_by == (None, None)
    assert (_user_deal(deal, "Ada").buyer_id, _user_deal(deal, "Ada").buyer_name) == (None, None)
    profile = PartyProfile(
        party_id=uuid4(),
        tenant_id=BRANCH.tenant_id,
        kind="individual",
        details='{"name": "Ben", "surname": "Buyer", "more": 1}',
        updated_at=NOW,
    )
    sold = msgspec.structs.replace(deal, buyer=Buyer(profile.party_id, profile))
    assert sold.bought_by == (profile.party_id, "Ben Buyer")
    taken = msgspec.structs.replace(sold, taken=True)
    assert taken.bought_by == (BRANCH.id, "Node")
    assert _user_deal(taken, "Ada").seller_name == "Ada"

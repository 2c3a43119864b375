"""What arrives completes the checkout that it is for, once enough of it is there."""

import pytest

from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.domain.checkouts import ASSET_IN, FIAT_IN, AwaitedPayment
from otcdesk.domain.events import Event
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PURCHASE, Payment
from tests.support.checkouts import ADDRESS, arrival, confirmed, opened, opening, wired
from tests.support.payouts import ADA, B1, current, moved_price, ramp_desk, settled
from tests.support.pure import PureDesk


def stocked_desk() -> PureDesk:
    """Give a desk whose treasury has bought 439.673914 USDC, and can sell of them."""
    desk = ramp_desk()
    settled(desk, "400.00")
    return desk


@pytest.mark.parametrize("confirms", [False, True])
def test_an_asset_at_its_address_settles_it(confirms: bool) -> None:
    desk = ramp_desk()
    order_id = opened(desk, ASSET_IN, amount="25").order_id
    if confirms:
        confirmed(desk, order_id, arrival_seconds=60)
    arrival(desk, 25_000_000)
    order = desk.get(Order, order_id)
    assert (order.state, order.due_at, order.ended_at) == ("settled", None, desk.clock.now())
    assert desk.get(Event, (order_id, order.version)).name == "checkout.settle"
    assert current(desk) == (525_000_000, 525_000_000)


def test_parts_are_counted_until_it_is_enough() -> None:
    desk = ramp_desk()
    order_id = opened(desk, ASSET_IN, amount="25").order_id
    for units, state in ((10_000_000, "open"), (14_999_999, "open"), (1, "settled")):
        arrival(desk, units)
        assert desk.get(Order, order_id).state == state
    (awaited,) = desk.all(AwaitedPayment)
    assert awaited.arrived_units == awaited.brought_units == awaited.due_units == 25_000_000


def test_what_comes_after_it_is_over_is_the_tenants_all_the_same() -> None:
    desk = ramp_desk()
    order_id = opened(desk, ASSET_IN, amount="25").order_id
    arrival(desk, 25_000_000)
    order, (awaited,) = desk.get(Order, order_id), desk.all(AwaitedPayment)
    arrival(desk, 25_000_000)
    assert (desk.get(Order, order_id), desk.all(AwaitedPayment)) == (order, [awaited])
    assert current(desk) == (550_000_000, 550_000_000)


def test_what_comes_too_late_does_not_complete_it() -> None:
    desk = stocked_desk()
    late = opened(desk, FIAT_IN)
    desk.clock.advance(seconds=3_600)
    assert late.checkout is not None
    wired(desk, 10_000, late.checkout.reference)
    assert desk.get(Order, late.order_id).state == "open"  # expired, and not recorded yet
    assert [row.kind for row in desk.all(Payment)] == ["payout"]


def test_fiat_is_known_by_its_reference_and_buys_the_asset() -> None:
    desk = stocked_desk()
    one, other = opened(desk, FIAT_IN), opened(desk, FIAT_IN)
    assert one.checkout is not None
    desk.act(moved_price("0.98"))
    before, _ = current(desk)
    wired(desk, 10_200, f"thank you! {one.checkout.reference}")
    order = desk.get(Order, one.order_id)
    assert (order.state, order.destination_units, str(order.rate)) == ("settled", 104_081_632, "0.98")
    assert desk.get(Order, other.order_id).state == "open"
    assert current(desk)[0] - before == 104_081_632
    assert current(desk, asset="EUR") == (0, 0)
    (bought,) = [row for row in desk.all(Payment) if row.kind == PURCHASE]
    assert (bought.checkout_id, bought.party_id, bought.external_id) == (one.order_id, ADA, "cart-7")


def test_what_was_agreed_when_it_was_opened_comes_off() -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN, spread_bps=100, fee_bps=200)
    assert one.checkout is not None
    assert one.order is not None
    wired(desk, 10_000, one.checkout.reference)
    order = desk.get(Order, one.order_id)
    assert (order.state, order.destination_units) == ("settled", one.order.destination_units)
    assert order.destination_units == 98_000_000 * 10_000 // 9_292  # 98.00 at 0.9292


def test_what_cannot_be_bought_stays_the_tenants_fiat() -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN)
    assert one.checkout is not None
    desk.act(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=False))
    wired(desk, 10_000, one.checkout.reference)
    assert desk.get(Order, one.order_id).state == "open"
    assert current(desk, asset="EUR") == (10_000, 10_000)
    assert [row.arrived_units for row in desk.all(AwaitedPayment)] == [0]


@pytest.mark.parametrize("reference", [None, "", "COAAAAAAAAAAAA", "invoice 7"])
def test_what_is_for_nothing_that_is_known_completes_nothing(reference: str | None) -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN)
    wired(desk, 10_000, reference)
    assert desk.get(Order, one.order_id).state == "open"
    assert current(desk, asset="EUR") == (10_000, 10_000)


def test_another_asset_at_the_address_completes_nothing() -> None:
    desk = ramp_desk()
    order_id = opened(desk, ASSET_IN, amount="25").order_id
    arrival(desk, 10**18, asset="ETH", at=ADDRESS)
    assert desk.get(Order, order_id).state == "open"


def test_an_address_is_one_checkouts_alone() -> None:
    desk = ramp_desk()
    opened(desk, ASSET_IN)
    with pytest.raises(AssertionError):
        desk.act(opening(ASSET_IN), owner_id=B1)

"""What arrives completes the checkout that it is for, once enough of it is there."""

from decimal import Decimal
from uuid import UUID

import pytest
from msgspec.structs import replace

from otcdesk.actions.keep_party import KeepParty
from otcdesk.actions.open_checkout import CheckoutOpened
from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.settle_checkout import CheckoutsSettled, SettleCheckouts
from otcdesk.domain.checkouts import ASSET_IN, FIAT_IN, AwaitedPayment
from otcdesk.domain.events import Event
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PURCHASE, Payment
from otcdesk.domain.rules import Condition
from otcdesk.engine.lane import READINGS_MAX
from otcdesk.errors import Code
from tests.support.brokerage import assert_balanced
from tests.support.checkouts import ADDRESS, BANK, arrival, confirmed, opened, opening, wired
from tests.support.deposits import RULE_BANK_NAME, bank, buying_action, deposited, open_places, ruled, transferring
from tests.support.limits import limited, used
from tests.support.payouts import ADA, B1, B2, current, moved_price, ramp_desk, settled
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


def feed(desk: PureDesk, *, up: bool) -> None:
    desk.act(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=up))


def retried(desk: PureDesk) -> int:
    """Let the worker's command try everything again; returns for how many deposits something was bought."""
    reply: CheckoutsSettled = desk.act(SettleCheckouts(places=[row.place for row in desk.all(AwaitedPayment)]))
    return reply.bought


def test_the_limits_of_many_parties_are_read_together() -> None:
    desk = ramp_desk()
    settled(desk)
    feed(desk, up=False)
    parties: list[UUID] = []
    for number in range(READINGS_MAX):
        person = KeepParty(external_id=f"payer-{number}", country="DE", kind="individual", details="{}")
        feed(desk, up=True)
        theirs = replace(BANK, name=f"{BANK.name}/{number}")  # bank details are one party's
        one = opened(desk, FIAT_IN, amount="1", party=person.external_id, person=person, bank=theirs)
        feed(desk, up=False)
        assert one.checkout is not None
        parties.append(one.checkout.party_id)
        limited(desk, one.checkout.party_id, "EUR", day=100)
        arrival(desk, 100, asset="EUR", network=None, at=theirs.name, reference=one.checkout.reference)
    feed(desk, up=True)
    assert retried(desk) == len(parties)
    assert {used(desk, party_id, "EUR") for party_id in parties} == {(100, 100)}


def reference_of(opened_one: CheckoutOpened) -> str:
    assert opened_one.checkout is not None
    assert opened_one.checkout.reference is not None
    return opened_one.checkout.reference


def purchases(desk: PureDesk) -> list[Payment]:
    return [row for row in desk.all(Payment) if row.kind == PURCHASE]


def test_a_moment_without_a_price_delays_the_purchase_and_does_not_lose_the_payment() -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN)
    feed(desk, up=False)
    wired(desk, 10_000, reference_of(one))
    order, (awaited,) = desk.get(Order, one.order_id), desk.all(AwaitedPayment)
    assert (order.state, order.due_at) == ("confirmed", None)
    assert desk.get(Event, (order.id, order.version)).name == "checkout.pay"
    assert (awaited.arrived_units, awaited.brought_units, len(awaited.unbought_ids)) == (10_000, 0, 1)
    assert current(desk, asset="EUR") == (10_000, 10_000)
    desk.clock.advance(seconds=30 * 86_400)  # what was paid in time does not expire
    assert (retried(desk), desk.get(Order, one.order_id)) == (0, order)
    feed(desk, up=True)
    assert (retried(desk), retried(desk)) == (1, 0)
    order, (awaited,) = desk.get(Order, one.order_id), desk.all(AwaitedPayment)
    assert (order.state, order.destination_units, order.rate) == ("settled", 108_695_652, Decimal("0.92"))
    assert (awaited.unbought_ids, awaited.brought_units) == ((), 108_695_652)
    assert current(desk, asset="EUR") == (0, 0)
    assert_balanced(desk)


def test_the_next_deposit_buys_for_those_before_it() -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN)
    feed(desk, up=False)
    for _ in range(3):
        wired(desk, 3_000, reference_of(one))
    order, (awaited,) = desk.get(Order, one.order_id), desk.all(AwaitedPayment)
    assert (order.state, awaited.arrived_units, len(awaited.unbought_ids)) == ("open", 9_000, 3)
    feed(desk, up=True)
    wired(desk, 1_000, reference_of(one))
    assert desk.get(Order, one.order_id).state == "settled"
    assert sorted(row.fiat_units for row in purchases(desk)) == [1_000, 3_000, 3_000, 3_000]
    assert len({row.deposit_id for row in purchases(desk)}) == 4


def test_what_waits_for_a_checkout_that_expires_stays_the_tenants_fiat() -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN)
    feed(desk, up=False)
    wired(desk, 9_999, reference_of(one))
    desk.clock.advance(seconds=3_600)
    feed(desk, up=True)
    assert retried(desk) == 0
    assert purchases(desk) == []
    assert current(desk, asset="EUR") == (9_999, 9_999)


def test_a_part_too_small_to_buy_anything_is_paid_all_the_same() -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN, fee_bps=100)
    for units in (9_999, 1):
        wired(desk, units, reference_of(one))
    order = desk.get(Order, one.order_id)
    (bought,) = purchases(desk)
    assert (order.state, order.destination_units) == ("settled", desk.get(Order, bought.order_id).destination_units)
    assert current(desk, asset="EUR") == (1, 1)


@pytest.mark.parametrize("up", [True, False])
def test_what_arrives_in_parts_that_buy_nothing_fails(up: bool) -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN, amount="0.02", fee_bps=100)
    feed(desk, up=up)
    for _ in range(2):
        wired(desk, 1, reference_of(one))
    feed(desk, up=True)
    assert retried(desk) == (0 if up else 2)
    order = desk.get(Order, one.order_id)
    assert (order.state, order.reason) == ("failed", "what arrived buys nothing")
    assert current(desk, asset="EUR") == (2, 2)


def test_a_treasury_without_the_asset_delays_the_purchase() -> None:
    desk = ramp_desk()
    one, other = opened(desk, FIAT_IN), opened(desk, FIAT_IN)
    wired(desk, 10_000, reference_of(one))
    wired(desk, 10_000, reference_of(other))
    assert retried(desk) == 0
    settled(desk, "150.00")  # brings 165.76 USDC: enough for one of them
    assert retried(desk) == 1
    assert sorted(desk.get(Order, each.order_id).state for each in (one, other)) == ["confirmed", "settled"]
    assert_balanced(desk)


def test_more_parts_than_may_wait_stay_fiat_and_are_paid() -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN, amount="1.02")
    feed(desk, up=False)
    for _ in range(102):
        wired(desk, 1, reference_of(one))
    feed(desk, up=True)
    assert (retried(desk), retried(desk), retried(desk)) == (64, 36, 0)
    assert desk.get(Order, one.order_id).state == "settled"
    assert current(desk, asset="EUR") == (2, 2)


def test_no_place_keeps_another_waiting() -> None:
    """One with more to buy for than a command does, of an asset that the treasury has nothing of, stands first."""
    desk = stocked_desk()
    many, one = opened(desk, FIAT_IN, amount="1.00"), opened(desk, FIAT_IN)
    feed(desk, up=False)
    for _ in range(80):
        wired(desk, 1, reference_of(many))
    wired(desk, 10_000, reference_of(one))
    feed(desk, up=True)
    assert retried(desk) == 33
    assert desk.get(Order, one.order_id).state == "settled"


def test_what_a_rule_is_to_spend_completes_no_checkout() -> None:
    """Fiat at a rule's own bank details is the rule's, whatever reference it carries, and is never spent twice."""
    desk = stocked_desk()
    open_places(desk)
    deposited(desk, transferring(10_000, outside_id="of somebody else"))
    condition = (Condition(asset="EUR"),)
    ruled(desk, buying_action(), conditions=condition, bank=bank(RULE_BANK_NAME), party_id=ADA, is_permanent=True)
    one = opened(desk, FIAT_IN)
    told = transferring(10_000, destination=RULE_BANK_NAME, outside_id="once", reference=reference_of(one))
    deposited(desk, told)
    (bought,) = purchases(desk)
    assert bought.checkout_id is None
    assert desk.get(Order, one.order_id).state == "open"
    assert current(desk, asset="EUR") == (10_000, 10_000)


def test_what_a_rule_has_spent_completes_no_checkout() -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN)
    deposited_before = opened(desk, FIAT_IN)
    wired(desk, 5_000, reference_of(deposited_before))
    ruled(desk, buying_action(), conditions=(Condition(asset="EUR"),))  # of any fiat that arrives
    wired(desk, 10_000, reference_of(one))
    assert [row.checkout_id for row in purchases(desk)] == [deposited_before.order_id, None]
    assert desk.get(Order, one.order_id).state == "open"
    assert [row.arrived_units for row in desk.all(AwaitedPayment)] == [0, 5_000]


def test_a_reference_at_other_bank_details_completes_nothing() -> None:
    desk = stocked_desk()
    open_places(desk)
    one = opened(desk, FIAT_IN)
    deposited(desk, transferring(10_000, reference=reference_of(one)))
    assert desk.get(Order, one.order_id).state == "open"


@pytest.mark.parametrize("before", ["Company invoice 4711", "Coffee machine order", "COSMETICS GMBH PAYS"])
def test_words_that_look_like_a_reference_do_not_hide_it(before: str) -> None:
    desk = stocked_desk()
    one = opened(desk, FIAT_IN)
    wired(desk, 10_000, f"{before} {reference_of(one)}")
    assert desk.get(Order, one.order_id).state == "settled"


def test_of_several_references_the_first_that_waits_is_meant() -> None:
    desk = stocked_desk()
    over, theirs, meant, other = (
        opened(desk, FIAT_IN),
        opened(desk, FIAT_IN, tenant=B2, bank=replace(BANK, name=f"{BANK.name}9")),
        opened(desk, FIAT_IN),
        opened(desk, FIAT_IN),
    )
    wired(desk, 10_000, reference_of(over))
    wired(desk, 10_000, " ".join(reference_of(one) for one in (over, theirs, meant, other)))
    assert [desk.get(Order, one.order_id).state for one in (over, theirs, meant, other)] == [
        "settled",
        "open",
        "settled",
        "open",
    ]


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
    assert desk.refuse(opening(ASSET_IN), owner_id=B1) is Code.DEPOSIT_PLACE_TAKEN

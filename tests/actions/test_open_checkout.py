"""Opening a checkout: what is kept, what is refused, and what a nonce means."""

from decimal import Decimal
from typing import Any

import pytest

from otcdesk.actions.keep_party import KeepParty
from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.record_due import RecordDue
from otcdesk.domain.checkouts import ASSET_IN, FIAT_IN, FIAT_OUT, AwaitedPayment, Checkout, place_of
from otcdesk.domain.deposits import BankDetails, DepositAddress
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import Account, Hold
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party, named_party_id
from otcdesk.errors import Code, Refusal
from tests.support.checkouts import ADDRESS, BANK, NETWORK, confirming, opened, opening
from tests.support.payouts import ADA, B1, B2, ramp_desk


def test_a_checkout_that_pays_out_is_kept_and_moves_nothing() -> None:
    desk = ramp_desk()
    accounts, holds = desk.all(Account), desk.all(Hold)
    reply = opened(desk)
    assert reply.order is not None
    order, checkout = desk.get(Order, reply.order_id), desk.get(Checkout, reply.order_id)
    assert (order, checkout, reply.party) == (reply.order, reply.checkout, desk.get(Party, ADA))
    assert (order.product, order.side, order.state, order.version) == ("checkout", FIAT_OUT, "open", 2)
    assert (order.source_asset, order.destination_asset, order.destination_units) == ("USDC", "EUR", 10_000)
    assert order.source_units == 108_695_653  # 100 / 0.92, no fee known yet
    assert order.due_at == order.expires_at
    assert (order.expires_at - order.created_at).total_seconds() == 3_600
    assert (checkout.ceiling, checkout.reference, checkout.address) == (Decimal("111.429348"), None, None)
    (event,) = [one for one in desk.all(Event) if one.order_id == order.id]
    assert (event.name, event.state, event.order_version) == ("checkout.open", "open", 2)
    assert (desk.all(Account), desk.all(Hold)) == (accounts, holds)
    assert not desk.all(AwaitedPayment)


def test_an_asset_is_paid_to_an_address_of_its_own() -> None:
    desk = ramp_desk()
    reply = opened(desk, ASSET_IN, amount="25.5")
    order = desk.get(Order, reply.order_id)
    assert (order.source_asset, order.source_units, order.destination_asset) == ("USDC", 25_500_000, "USDC")
    address = desk.get(DepositAddress, (NETWORK, ADDRESS))
    assert (address.tenant_id, address.party_id) == (B1, ADA)
    awaited = desk.get(AwaitedPayment, place_of(NETWORK, ADDRESS))
    assert (awaited.order_id, awaited.due_units, awaited.arrived_units) == (order.id, 25_500_000, 0)


def test_fiat_is_paid_to_bank_details_under_a_reference() -> None:
    desk = ramp_desk()
    one, other = opened(desk, FIAT_IN), opened(desk, FIAT_IN)
    assert one.checkout is not None
    assert other.checkout is not None
    assert one.checkout.reference != other.checkout.reference
    assert one.checkout.method == BANK.name == desk.get(BankDetails, BANK.name).name
    order = desk.get(Order, one.order_id)
    assert (order.source_asset, order.source_units, order.destination_units) == ("EUR", 10_000, 108_695_652)
    assert desk.get(AwaitedPayment, one.checkout.reference).due_units == 10_000


def test_who_is_told_of_is_kept_in_the_same_step() -> None:
    desk = ramp_desk()
    person = KeepParty(external_id="new", kind="individual", details="{}")
    reply = opened(desk, party="new", person=person)
    assert reply.party is not None
    assert reply.party == desk.get(Party, named_party_id(B1, "new"))


@pytest.mark.parametrize(
    "fields, code",
    [
        ({"asset": "DOGE"}, Code.ASSET_NOT_FOUND),
        ({"fiat": "XXX"}, Code.FIAT_NOT_FOUND),
        ({"party": "nobody"}, Code.PARTY_NOT_FOUND),
        ({"amount": "100.001"}, Code.AMOUNT_TOO_FINE),
        ({"amount": "0"}, Code.AMOUNT_TOO_SMALL),
        ({"amount": "1" + "0" * 37}, Code.AMOUNT_TOO_LARGE),
        ({"asset": "BTC", "fiat": "KWD"}, Code.PRICE_UNAVAILABLE),
    ],
)
def test_what_is_refused(fields: dict[str, Any], code: Code) -> None:
    assert ramp_desk().refuse(opening(**fields), owner_id=B1) is code


def test_refusals_come_in_their_order() -> None:
    desk = ramp_desk()
    wrong: dict[str, Any] = {"asset": "DOGE", "fiat": "XXX", "party": "nobody", "amount": "100.001"}
    for name, right, code in (
        ("asset", "USDC", Code.ASSET_NOT_FOUND),
        ("fiat", "EUR", Code.FIAT_NOT_FOUND),
        ("party", "cust-001", Code.PARTY_NOT_FOUND),
        ("amount", "100", Code.AMOUNT_TOO_FINE),
    ):
        assert desk.refuse(opening(**wrong), owner_id=B1) is code
        wrong[name] = right
    desk.act(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=False))
    assert desk.refuse(opening(**wrong), owner_id=B1) is Code.PRICE_UNAVAILABLE


def test_another_tenants_party_is_unknown() -> None:
    assert ramp_desk().refuse(opening(party="cust-unverified"), owner_id=B2) is Code.PARTY_NOT_FOUND


def test_the_same_nonce_is_told_what_has_become_of_it() -> None:
    desk = ramp_desk()
    first = desk.act(opening(), owner_id=B1, key="n-1")
    again = desk.act(opening(), owner_id=B1, key="n-1")
    assert again == first
    desk.act(confirming(first.order_id), owner_id=B1)
    assert desk.act(opening(), owner_id=B1, key="n-1").order.state == "confirmed"
    with pytest.raises(Refusal) as caught:
        desk.act(opening(amount="100.01"), owner_id=B1, key="n-1")
    assert caught.value.code is Code.KEY_REUSED
    assert desk.act(opening(), owner_id=B2, key="n-1").order_id != first.order_id
    assert len(desk.all(Checkout)) == 2


def test_a_refused_opening_does_not_use_up_its_nonce() -> None:
    desk = ramp_desk()
    assert desk.refuse(opening(party="nobody"), owner_id=B1, key="n-1") is Code.PARTY_NOT_FOUND
    assert desk.act(opening(), owner_id=B1, key="n-1").order.state == "open"


@pytest.mark.parametrize("side", [FIAT_OUT, FIAT_IN, ASSET_IN])
def test_it_expires_by_the_clock_whether_recorded_or_not(side: str) -> None:
    desk = ramp_desk()
    first = desk.act(opening(side), owner_id=B1, key="n-1")
    desk.clock.advance(seconds=3_600)
    assert desk.act(opening(side), owner_id=B1, key="n-1").order.state == "expired"
    assert desk.get(Order, first.order_id).state == "open"
    assert desk.act(RecordDue(order_ids=[first.order_id])).recorded == 1
    assert desk.get(Order, first.order_id).state == "expired"

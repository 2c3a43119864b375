"""Deposits: told any number of times and booked once; what failed is never in the books and goes back."""

import pytest
from msgspec.structs import replace

from otcdesk.actions.record_deposit import ConcludeDeposit, OpenPlace
from otcdesk.domain.deposits import Deposit, deposit_id
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import OUTSIDE, Account, LedgerTransaction, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import current_id
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.brokerage import assert_balanced
from tests.support.deposits import (
    ADDRESS,
    BANK_NAME,
    NETWORK,
    SENDER,
    arriving,
    bank,
    current,
    deposited,
    of_desk,
    open_places,
    transferring,
)
from tests.support.payouts import ADA, B1, ramp_desk
from tests.support.pure import PureDesk

HAD = 500_000_000


@pytest.fixture
def desk() -> PureDesk:
    made = ramp_desk()
    open_places(made)
    return made


def events(desk: PureDesk, order: Order) -> list[tuple[str, str, int]]:
    found = [row for row in desk.all(Event) if row.order_id == order.id]
    return [(row.name, row.state, row.order_version) for row in sorted(found, key=lambda row: row.order_version)]


def test_an_asset_that_has_arrived_is_its_tenants(desk: PureDesk) -> None:
    reply = deposited(desk, arriving())
    order, deposit = reply.order, reply.deposit
    assert reply.applied
    assert (order.state, order.side, order.version, order.tenant_id) == ("settled", "asset", 3, B1)
    assert order.id == deposit_id(NETWORK, ADDRESS, "tx-1")
    assert (deposit.party_id, deposit.network, deposit.address, deposit.hash) == (ADA, NETWORK, ADDRESS, "0xhash")
    assert (deposit.method, deposit.sender_address) == (None, SENDER)
    assert current(desk) == (HAD + 100_000_000, 0)
    assert of_desk(desk, "USDC")["outside"] == (-100_000_000, 0)
    assert events(desk, order) == [("deposit.arrive", "pending", 2), ("deposit.settle", "settled", 3)]
    assert_balanced(desk)


def test_fiat_that_has_arrived_is_its_tenants(desk: PureDesk) -> None:
    reply = deposited(desk, transferring())
    assert (reply.order.side, reply.deposit.method, reply.deposit.network) == ("fiat", BANK_NAME, None)
    assert (reply.deposit.sender_name, reply.deposit.sender_number) == ("Ada Example", "NL91ABNA0417164300")
    assert current(desk, "EUR") == (10_000, 0)
    assert_balanced(desk)


def test_what_is_pending_is_nobodys_yet(desk: PureDesk) -> None:
    booked = len(desk.all(LedgerTransaction))
    order = deposited(desk, transferring(stage="pending")).order
    assert (order.state, order.ended_at) == ("pending", None)
    assert current(desk, "EUR") == (0, 0)
    assert len(desk.all(LedgerTransaction)) == booked
    desk.clock.advance(seconds=5)
    settled = deposited(desk, ConcludeDeposit(order_id=order.id, stage="settled")).order
    assert (settled.state, settled.ended_at, settled.version) == ("settled", desk.clock.now(), 3)
    assert current(desk, "EUR") == (10_000, 0)


def test_what_failed_goes_back_and_was_never_in_the_books(desk: PureDesk) -> None:
    booked = len(desk.all(LedgerTransaction))
    order = deposited(desk, transferring(stage="pending")).order
    failed = deposited(desk, ConcludeDeposit(order_id=order.id, stage="failed", reason="name differs")).order
    asked_at = desk.clock.now()
    assert (failed.state, failed.reason, failed.ended_at) == ("failed", "name differs", asked_at)
    desk.clock.advance(seconds=60)
    refunded = deposited(desk, ConcludeDeposit(order_id=order.id, stage="refunded")).order
    assert (refunded.state, refunded.reason, refunded.ended_at) == ("refunded", "name differs", asked_at)
    assert events(desk, order)[1:] == [("deposit.fail", "failed", 3), ("deposit.refund", "refunded", 4)]
    assert len(desk.all(LedgerTransaction)) == booked
    assert (Deposit, order.id) in desk.rows


def test_telling_it_again_is_no_news(desk: PureDesk) -> None:
    first = deposited(desk, arriving(stage="pending"))
    assert (deposited(desk, arriving(stage="pending")).applied, first.applied) == (False, True)
    assert deposited(desk, arriving()).applied
    for stage in ("settled", "pending"):
        again = deposited(desk, arriving(stage=stage))
        assert (again.applied, again.order.state) == (False, "settled")
    assert current(desk) == (HAD + 100_000_000, 0)


@pytest.mark.parametrize("first, then", [("settled", "failed"), ("failed", "settled")])
def test_the_contrary_of_what_is_known_is_refused(desk: PureDesk, first: str, then: str) -> None:
    deposited(desk, arriving(stage=first))
    assert desk.refuse(arriving(stage=then)) is Code.INVALID_STATE
    assert not deposited(desk, arriving(stage="pending")).applied


def test_a_deposit_that_went_back_may_be_told_as_failed_again(desk: PureDesk) -> None:
    order = deposited(desk, arriving(stage="failed")).order
    deposited(desk, ConcludeDeposit(order_id=order.id, stage="refunded"))
    assert not deposited(desk, arriving(stage="failed")).applied
    assert desk.refuse(arriving(stage="settled")) is Code.INVALID_STATE


def test_the_same_id_elsewhere_is_another_deposit(desk: PureDesk) -> None:
    deposited(desk, arriving(outside_id="same"))
    deposited(desk, transferring(outside_id="same"))
    deposited(desk, arriving(outside_id="other"))
    assert len(desk.all(Deposit)) == 3


@pytest.mark.parametrize(
    "told, code",
    [
        ({"units": 99}, Code.DEPOSIT_DIFFERS),
        ({"asset": "BTC"}, Code.DEPOSIT_DIFFERS),
        ({"outside_id": "new", "destination": "0x00"}, Code.DEPOSIT_PLACE_UNKNOWN),
        ({"outside_id": "new", "network": "Solana"}, Code.DEPOSIT_PLACE_UNKNOWN),
        ({"outside_id": "new", "network": None}, Code.DEPOSIT_PLACE_UNKNOWN),
        ({"outside_id": "new", "asset": "DOGE"}, Code.ASSET_NOT_FOUND),
        ({"outside_id": "new", "units": 0}, Code.AMOUNT_TOO_SMALL),
        ({"outside_id": "new", "units": UNITS_MAX + 1}, Code.AMOUNT_TOO_LARGE),
    ],
)
def test_what_cannot_be_taken_is_refused_and_changes_nothing(
    desk: PureDesk, told: dict[str, object], code: Code
) -> None:
    deposited(desk, arriving())
    assert desk.refuse(arriving(**{"units": 100_000_000, **told})) is code  # type: ignore[arg-type]


def test_bank_details_take_their_own_fiat_only(desk: PureDesk) -> None:
    assert desk.refuse(transferring(asset="USD")) is Code.DEPOSIT_ASSET_WRONG


@pytest.mark.parametrize(
    "stages, then",
    [(["settled"], "failed"), (["settled"], "refunded"), ([], "refunded"), (["failed"], "settled")],
)
def test_a_deposit_that_has_ended_becomes_nothing_else(desk: PureDesk, stages: list[str], then: str) -> None:
    order = deposited(desk, transferring(stage="pending")).order
    for stage in stages:
        deposited(desk, ConcludeDeposit(order_id=order.id, stage=stage))  # type: ignore[arg-type]
    assert desk.refuse(ConcludeDeposit(order_id=order.id, stage=then)) is Code.INVALID_STATE  # type: ignore[arg-type]


def test_only_deposits_can_be_concluded(desk: PureDesk) -> None:
    assert desk.refuse(ConcludeDeposit(order_id=ADA, stage="settled")) is Code.ORDER_NOT_FOUND


def test_a_deposit_that_the_desk_could_not_count_is_refused_and_may_come_later(desk: PureDesk) -> None:
    """All deposits of a fiat are booked against one account of the desk's: it fills, and says so."""
    deposited(desk, transferring(UNITS_MAX - 10_000))
    waits = deposited(desk, transferring(10_001, outside_id="w-2", stage="pending")).order
    assert desk.refuse(ConcludeDeposit(order_id=waits.id, stage="settled")) is Code.AMOUNT_TOO_LARGE
    assert desk.refuse(transferring(10_001, outside_id="w-2")) is Code.AMOUNT_TOO_LARGE
    assert desk.refuse(transferring(10_001, outside_id="w-3")) is Code.AMOUNT_TOO_LARGE
    assert (desk.get(Order, waits.id), (Order, deposit_id("", BANK_NAME, "w-3")) in desk.rows) == (waits, False)
    deposited(desk, transferring(10_000, outside_id="w-4"))
    assert of_desk(desk, "EUR")["outside"] == (-UNITS_MAX, 0)
    outside = desk.get(Account, desk_account_id(OUTSIDE, "EUR"))
    desk.put(outside.with_(balance=-UNITS_MAX + 10_001))
    theirs = desk.get(Account, current_id(B1, "EUR"))
    desk.put(theirs.with_(balance=0))
    assert deposited(desk, ConcludeDeposit(order_id=waits.id, stage="settled")).order.state == "settled"


def test_what_is_on_chains_arrives_at_no_bank(desk: PureDesk) -> None:
    given = replace(bank("Bank/Local/BTC/X/1"), fiat="BTC")
    assert desk.refuse(OpenPlace(tenant_id=B1, party_id=None, bank=given)) is Code.DEPOSIT_ASSET_WRONG

"""Deposits: told any number of times and booked once; what failed is never in the books and goes back."""

import pytest

from otcdesk.actions.record_deposit import ConcludeDeposit
from otcdesk.domain.deposits import Deposit, deposit_id
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import LedgerTransaction
from otcdesk.domain.orders import Order
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.brokerage import assert_balanced
from tests.support.deposits import (
    ADDRESS,
    BANK_NAME,
    NETWORK,
    SENDER,
    arriving,
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
    assert (reply.applied, reply.agrees) == (True, True)
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
        assert (again.applied, again.agrees, again.order.state) == (False, True, "settled")
    assert current(desk) == (HAD + 100_000_000, 0)
    contrary = deposited(desk, arriving(stage="failed"))
    assert (contrary.applied, contrary.agrees, contrary.order.state) == (False, False, "settled")


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

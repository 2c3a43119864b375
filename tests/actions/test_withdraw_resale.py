"""Taking a listing back: who may ask for it, when, and that a branch closes one at once."""

from collections.abc import Callable
from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.jobs import STARTED, WITHDRAW
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import INACTIVE, Party
from otcdesk.domain.resales import ESCROW, OTC, SECONDARY, Branch, Instrument, branch_account_id
from otcdesk.errors import Code
from tests.support.estate import (
    DAY_SECONDS,
    ESTATE,
    N2,
    NOBODY,
    THIRD,
    U1,
    U2,
    N,
    T,
    begun,
    buying,
    closing,
    compact,
    done,
    estate_desk,
    follows,
    let_parties_trade,
    listed,
    listing,
    open_holds,
    parts,
    recorded,
    refused,
    started,
    taking,
    told,
    units,
    withdrawing,
)
from tests.support.pure import PureDesk

Fault = Callable[[PureDesk, dict[str, Any]], None]


def _taken(desk: PureDesk, asked: dict[str, Any]) -> None:
    desk.act(taking(asked["order_id"]), owner_id=ESTATE)


WITHDRAW_FAULTS: list[tuple[Code, Fault]] = [
    (Code.NOT_CANCELLABLE, _taken),
    (Code.PARTY_NOT_FOUND, lambda _, asked: asked.update(party_id=compact("a09"))),
    (Code.INSTRUMENT_NOT_FOUND, lambda _, asked: asked.update(instrument_id=compact("b09"))),
    (Code.NOT_PERMITTED, lambda _, asked: asked.update(mandate=THIRD)),
    (Code.ORDER_NOT_FOUND, lambda _, asked: asked.update(market=SECONDARY)),
    (Code.RESALE_NOT_OWN, lambda _, asked: asked.update(party_id=U2)),
]
WITHDRAW_ORDER = [*[code for code, _ in WITHDRAW_FAULTS[1:]], Code.NOT_CANCELLABLE]

CLOSE_FAULTS: list[tuple[Code, Fault]] = [
    (Code.NOT_CANCELLABLE, _taken),
    (Code.BRANCH_NOT_FOUND, lambda _, asked: asked.update(branch_id=compact("d09"))),
    (Code.INSTRUMENT_NOT_FOUND, lambda _, asked: asked.update(instrument_id=compact("b09"))),
    (Code.NOT_PERMITTED, lambda _, asked: asked.update(mandate=NOBODY)),
    (Code.ORDER_NOT_FOUND, lambda _, asked: asked.update(order_id=uuid4())),
]
CLOSE_ORDER = [*[code for code, _ in CLOSE_FAULTS[1:]], Code.NOT_CANCELLABLE]


def refusal(asking: Any, *faults: Fault) -> Code:
    desk = estate_desk()
    asked: dict[str, Any] = {"order_id": listed(desk).id}
    for fault in faults:
        fault(desk, asked)
    return desk.refuse(asking(**asked), owner_id=ESTATE)


@pytest.mark.parametrize("code, fault", WITHDRAW_FAULTS, ids=lambda value: getattr(value, "name", ""))
def test_each_refusal_of_a_withdrawal(code: Code, fault: Fault) -> None:
    assert refusal(withdrawing, fault) is code


@pytest.mark.parametrize("one, other", list(combinations(WITHDRAW_FAULTS, 2)), ids=lambda pair: pair[0].name)
def test_of_two_reasons_not_to_withdraw_the_earlier_is_told(one: tuple[Code, Fault], other: tuple[Code, Fault]) -> None:
    expected = min(one[0], other[0], key=WITHDRAW_ORDER.index)
    if {one[0], other[0]} != {Code.PARTY_NOT_FOUND, Code.RESALE_NOT_OWN}:  # one party at a time
        assert refusal(withdrawing, one[1], other[1]) is expected


@pytest.mark.parametrize("code, fault", CLOSE_FAULTS, ids=lambda value: getattr(value, "name", ""))
def test_each_refusal_of_a_closing(code: Code, fault: Fault) -> None:
    assert refusal(closing, fault) is code


@pytest.mark.parametrize("one, other", list(combinations(CLOSE_FAULTS, 2)), ids=lambda pair: pair[0].name)
def test_of_two_reasons_not_to_close_the_earlier_is_told(one: tuple[Code, Fault], other: tuple[Code, Fault]) -> None:
    assert refusal(closing, one[1], other[1]) is min(one[0], other[0], key=CLOSE_ORDER.index)


def test_nothing_has_a_number_that_nothing_has() -> None:
    desk = estate_desk()
    assert desk.refuse(withdrawing(None), owner_id=ESTATE) is Code.ORDER_NOT_FOUND
    assert desk.refuse(closing(None), owner_id=ESTATE) is Code.ORDER_NOT_FOUND


def test_a_purchase_is_no_listing() -> None:
    desk = estate_desk()
    let_parties_trade(desk)
    bought = started(desk, buying(listed(desk).id, 1)).order_id
    assert desk.refuse(withdrawing(bought, party_id=U2), owner_id=ESTATE) is Code.ORDER_NOT_FOUND


def test_a_branch_that_has_not_issued_it_does_not_close_it() -> None:
    desk = estate_desk()
    order = listed(desk)
    assert desk.refuse(closing(order.id, branch_id=N2), owner_id=ESTATE) is Code.INSTRUMENT_NOT_FOUND
    assert desk.get(Branch, N2).parties_trade is False


def test_a_withdrawal_asks_the_chain_and_leaves_the_listing_active() -> None:
    desk = estate_desk()
    order = listed(desk)
    job = started(desk, withdrawing(order.id))
    assert desk.get(Order, order.id) == order
    assert (job.kind, job.market, job.state, job.party_id, job.units) == (WITHDRAW, OTC, STARTED, U1, 3)
    assert job.source_account_id == branch_account_id(N, ESCROW, "EXT")
    assert job.destination_account_id == holding_id(U1, "EXT")
    assert units(desk) == (10, 3)
    assert parts(desk, order.id) == (3, 0, 0)


def test_whoever_may_no_longer_trade_still_takes_their_listing_back() -> None:
    desk = estate_desk()
    order = listed(desk)
    desk.put(desk.get(Party, U1).with_(status=INACTIVE))
    desk.put(desk.get(Instrument, T).with_(open_to_resale=False, state="delisted"))
    recorded(desk, begun(started(desk, withdrawing(order.id))))


@pytest.mark.parametrize("asking", [withdrawing, closing])
@pytest.mark.parametrize("state", ["pending", "failed", "withdrawing", "cancelled", "expired", "completed", "promised"])
def test_only_what_is_active_and_of_which_something_is_left_ends_so(state: str, asking: Any) -> None:
    desk = estate_desk()
    let_parties_trade(desk)
    job = started(desk, listing())
    if state == "failed":
        recorded(desk, refused(job))
    elif state != "pending":
        recorded(desk, done(job))
    match state:
        case "withdrawing":
            recorded(desk, begun(started(desk, withdrawing(job.order_id))))
        case "cancelled":
            desk.act(closing(job.order_id), owner_id=ESTATE)
        case "expired":
            desk.clock.advance(seconds=31 * DAY_SECONDS)
        case "completed":
            desk.act(taking(job.order_id), owner_id=ESTATE)
        case "promised":
            started(desk, buying(job.order_id, 3))
    assert desk.refuse(asking(job.order_id), owner_id=ESTATE) is Code.NOT_CANCELLABLE


def test_a_branch_closes_a_listing_at_once() -> None:
    desk = estate_desk()
    order = listed(desk)
    after = desk.act(closing(order.id), owner_id=ESTATE).order
    assert after == desk.get(Order, order.id)
    assert (after.state, after.reason) == ("cancelled", "closed by the branch")
    assert (after.due_at, after.pay_hold_id) == (None, None)
    assert after.ended_at == desk.clock.now()
    assert told(desk, order.id) == ["place", "activate", "cancel"]
    assert units(desk) == (10, 0)
    assert open_holds(desk, order.id) == []
    assert parts(desk, order.id) == (0, 0, 0)
    assert follows(desk, order.id) == [("EXT", 3)]


def test_what_was_promised_of_a_closed_listing_is_still_its_buyers() -> None:
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk)
    job = started(desk, buying(order.id, 1))
    desk.act(closing(order.id), owner_id=ESTATE)
    assert units(desk) == (10, 1)
    assert follows(desk, order.id) == [("EXT", 2)]
    recorded(desk, done(job))
    assert parts(desk, order.id) == (0, 0, 1)
    assert (units(desk), units(desk, U2)) == ((9, 0), (1, 0))
    assert desk.get(Order, order.id).state == "cancelled"


def test_what_was_promised_of_a_closed_listing_goes_back_where_its_buyer_fails() -> None:
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk)
    job = started(desk, buying(order.id, 1))
    desk.act(closing(order.id), owner_id=ESTATE)
    recorded(desk, refused(job))
    assert (units(desk), parts(desk, order.id)) == ((10, 0), (0, 0, 0))
    assert follows(desk) == [("EXT", 2), ("EXT", 1)]


def test_the_same_key_withdraws_once_whoever_asks() -> None:
    desk = estate_desk()
    order = listed(desk)
    first = desk.act(withdrawing(order.id), owner_id=ESTATE, key="k")
    assert desk.act(withdrawing(order.id), owner_id=ESTATE, key="k") == first
    assert withdrawing(order.id).compared == withdrawing(order.id, mandate=THIRD).compared
    assert withdrawing(order.id).compared != withdrawing(order.id, market=SECONDARY).compared

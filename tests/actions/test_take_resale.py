"""A branch takes a listing: what is refused, and everything that changes hands."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest

from otcdesk.actions.record_due import RecordDue
from otcdesk.domain.ledger import Account, LedgerTransaction, Posting, desk_account_id
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import FEE_INCOME
from otcdesk.domain.resales import (
    FEES,
    FUNDS,
    INVENTORY,
    SECONDARY,
    Branch,
    Instrument,
    Resale,
    ResaleTerms,
    branch_account_id,
)
from otcdesk.errors import Code
from tests.support.estate import (
    DAY_SECONDS,
    ESTATE,
    N2,
    NOBODY,
    THIRD,
    U2,
    N,
    T,
    begun,
    branch_units,
    buying,
    closing,
    compact,
    done,
    estate_desk,
    follows,
    held_on,
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


def _poor(desk: PureDesk, _: dict[str, Any]) -> None:
    funds = desk.get(Account, branch_account_id(N, FUNDS, "VUSD"))
    desk.put(funds.with_(balance=7_499_999))


#: What is refused, in the order in which it is checked, and how it comes about.
FAULTS: list[tuple[Code, Fault]] = [
    (Code.BRANCH_NOT_FOUND, lambda _, asked: asked.update(branch_id=compact("d09"))),
    (Code.INSTRUMENT_NOT_FOUND, lambda _, asked: asked.update(instrument_id=compact("b09"))),
    (Code.NOT_PERMITTED, lambda _, asked: asked.update(mandate=THIRD)),
    (Code.ORDER_NOT_FOUND, lambda _, asked: asked.update(order_id=compact("f09"))),
    (Code.NOT_TAKEABLE, lambda desk, asked: desk.act(closing(asked["order_id"]), owner_id=ESTATE)),
    (Code.BRANCH_NOT_COVERED, _poor),
]


def refusal(*faults: Fault) -> Code:
    desk = estate_desk()
    asked: dict[str, Any] = {"order_id": listed(desk).id}
    for fault in faults:
        fault(desk, asked)
    return desk.refuse(taking(**asked), owner_id=ESTATE)


@pytest.mark.parametrize("code, fault", FAULTS, ids=lambda value: getattr(value, "name", ""))
def test_each_refusal(code: Code, fault: Fault) -> None:
    assert refusal(fault) is code


@pytest.mark.parametrize("one, other", list(combinations(FAULTS, 2)), ids=lambda pair: pair[0].name)
def test_of_two_reasons_the_earlier_is_told(one: tuple[Code, Fault], other: tuple[Code, Fault]) -> None:
    faults = [other[1], one[1]]
    if other[0] is Code.NOT_TAKEABLE:  # closed while its order is still the one asked for
        faults.sort(key=lambda fault: fault is not other[1])
    assert refusal(*faults) is one[0]


def test_other_ways_to_be_refused() -> None:
    desk = estate_desk()
    order = listed(desk)
    on_the_market = listed(desk, 1, market=SECONDARY)
    for code, asked in (
        (Code.NOT_PERMITTED, {"order_id": order.id, "mandate": NOBODY}),
        (Code.INSTRUMENT_NOT_FOUND, {"order_id": order.id, "branch_id": N2}),
        (Code.ORDER_NOT_FOUND, {"order_id": None}),
        (Code.ORDER_NOT_FOUND, {"order_id": on_the_market.id}),
    ):
        assert desk.refuse(taking(**asked), owner_id=ESTATE) is code
    assert desk.refuse(taking(order.id), owner_id=compact("001")) is Code.BRANCH_NOT_FOUND


def test_the_desk_takes_and_closes_for_any_branch() -> None:
    desk = estate_desk()
    taken, closed = listed(desk), listed(desk, 1)
    assert desk.act(taking(taken.id)).order.state == "completed"
    assert desk.act(closing(closed.id)).order.state == "cancelled"
    assert taking(taken.id).subject_id == taken.id


def test_a_branch_without_funds_in_the_currency_covers_nothing() -> None:
    desk = estate_desk()
    order = listed(desk)
    del desk.rows[Account, branch_account_id(N, FUNDS, "VUSD")]
    assert desk.refuse(taking(order.id), owner_id=ESTATE) is Code.BRANCH_NOT_COVERED


@pytest.mark.parametrize("state", ["pending", "failed", "withdrawing", "cancelled", "expired", "completed", "promised"])
def test_only_what_is_active_and_of_which_something_is_left_is_taken(state: str) -> None:
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
    before = units(desk)
    assert desk.refuse(taking(job.order_id), owner_id=ESTATE) is Code.NOT_TAKEABLE
    assert units(desk) == before


def test_a_listing_is_taken_to_its_last_instant_and_not_after() -> None:
    for late, expected in ((timedelta(microseconds=-1), None), (timedelta(0), Code.NOT_TAKEABLE)):
        desk = estate_desk()
        order = listed(desk)
        assert order.due_at is not None
        arrived_at = order.due_at + late
        desk.clock.advance(seconds=32 * DAY_SECONDS)  # it came in time and waited its turn
        if expected is None:
            assert desk.act(taking(order.id), owner_id=ESTATE, arrived_at=arrived_at).order.state == "completed"
        else:
            assert desk.refuse(taking(order.id), owner_id=ESTATE, arrived_at=arrived_at) is expected


def test_the_contracts_nineteenth_case() -> None:
    """7 at 1, the branch takes 4 hundredths: the lister has 6.72 more, the fees 0.28, the branch 7 less and 7 units."""
    desk = estate_desk()
    desk.put(desk.get(Branch, N).with_(otc_fee_percent=Decimal(4)))
    order = listed(desk, 7, "1")
    after = desk.act(taking(order.id), owner_id=ESTATE, caller="root@example.com").order
    assert after == desk.get(Order, order.id)
    assert (after.state, after.due_at, after.pay_hold_id) == ("completed", None, None)
    assert told(desk, order.id) == ["place", "activate", "complete"]
    assert (units(desk), units(desk, asset="VUSD")) == ((3, 0), (6_720_000, 0))
    assert (branch_units(desk, FUNDS), branch_units(desk, INVENTORY, "EXT")) == (993_000_000, 7)
    assert (branch_units(desk, FEES), held_on(desk, desk_account_id(FEE_INCOME, "VUSD"))) == (280_000, (0, 0))
    assert parts(desk, order.id) == (0, 0, 7)
    assert open_holds(desk, order.id) == []
    trade = desk.get(Trade, order.id)
    assert (trade.source_asset, trade.source_units) == ("EXT", 7)
    assert (trade.destination_asset, trade.destination_units) == ("VUSD", 7_000_000)
    assert (trade.executed_rate, trade.executed_by, trade.executed_at) == (
        Decimal(1),
        "root@example.com",
        desk.clock.now(),
    )
    assert (trade.market_rate, trade.market_source) == (Decimal(2), "issuer")
    (transaction,) = [one for one in desk.all(LedgerTransaction) if one.order_id == order.id]
    assert transaction.reason == "resale: otc"
    booked = sorted(one.units for one in desk.all(Posting) if one.transaction_id == transaction.id)
    assert booked == [7, 280_000, 6_720_000]
    assert sorted(follows(desk, order.id)) == [("EXT", 7), ("VUSD", 280_000), ("VUSD", 6_720_000)]


def test_the_desk_has_its_part_of_the_fee() -> None:
    desk = estate_desk()
    desk.put(desk.get(ResaleTerms, 1).with_(otc_fee_percent=Decimal("1.5"), secondary_fee_percent=Decimal(40)))
    desk.put(desk.get(Branch, N).with_(otc_fee_percent=Decimal("2.5"), primary_fee_percent=Decimal(40)))
    order = listed(desk, 3, "1.11")
    desk.act(taking(order.id), owner_id=ESTATE)
    assert held_on(desk, desk_account_id(FEE_INCOME, "VUSD"))[0] == 49_950
    assert branch_units(desk, FEES) == 83_250
    assert units(desk, asset="VUSD") == (3_330_000 - 133_200, 0)


def test_a_branch_takes_what_is_left_of_a_listing() -> None:
    """What a party was promised is still theirs; the branch pays for the rest."""
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk, 5, "2")
    first, second = [started(desk, buying(order.id, quantity)) for quantity in (1, 2)]
    recorded(desk, done(first))
    after = desk.act(taking(order.id), owner_id=ESTATE).order
    assert after.state == "completed"
    assert parts(desk, order.id) == (0, 2, 3)
    assert branch_units(desk, FUNDS) == 996_000_000
    assert desk.get(Trade, order.id).source_units == 2
    assert units(desk) == (7, 2)
    recorded(desk, done(second))
    assert parts(desk, order.id) == (0, 0, 5)
    assert (units(desk), units(desk, U2), units(desk, asset="VUSD")) == ((5, 0), (3, 0), (10_000_000, 0))
    assert desk.get(Order, order.id).state == "completed"


def test_a_withdrawal_that_the_chain_was_not_asked_for_comes_too_late() -> None:
    desk = estate_desk()
    order = listed(desk)
    job = started(desk, withdrawing(order.id))
    assert desk.act(taking(order.id), owner_id=ESTATE).order.state == "completed"
    reply = recorded(desk, begun(job))
    assert (reply.job.state, reply.job.error) == ("failed", "The listing is completed already.")


def test_what_is_switched_off_later_is_taken_all_the_same() -> None:
    desk = estate_desk()
    order = listed(desk)
    desk.put(desk.get(Instrument, T).with_(open_to_resale=False))
    desk.act(taking(order.id), owner_id=ESTATE)


def test_what_ran_out_is_recorded_once() -> None:
    desk = estate_desk()
    order = listed(desk)
    desk.clock.advance(seconds=31 * DAY_SECONDS)
    assert desk.act(RecordDue(order_ids=[order.id])).recorded == 1
    assert desk.act(RecordDue(order_ids=[order.id])).recorded == 0
    assert desk.get(Order, order.id).ended_at == order.due_at
    assert units(desk) == (10, 0)
    assert follows(desk, order.id) == [("EXT", 3)]


def test_the_fees_of_what_is_taken_are_kept_and_its_money_opens_at_the_listers_address() -> None:
    desk = estate_desk()
    branch, terms = desk.get(Branch, N), desk.get(ResaleTerms, 1)
    desk.put(branch.with_(otc_fee_percent=Decimal(3)))
    desk.put(terms.with_(otc_fee_percent=Decimal(2)))
    order = listed(desk)
    desk.act(taking(order.id), owner_id=ESTATE)
    resale = desk.get(Resale, order.id)
    assert (resale.taken_fee_units, resale.taken_desk_fee_units) == (225_000, 150_000)
    tokens, money = desk.get(Account, order.source_account_id), desk.get(Account, order.destination_account_id)
    assert money.address == tokens.address is not None


def test_money_on_another_network_does_not_open_at_an_address_of_the_tokens() -> None:
    desk = estate_desk()
    funds = desk.get(Account, branch_account_id(N, FUNDS, "VUSD"))
    desk.put(funds.with_(network="base"))
    order = listed(desk)
    desk.act(taking(order.id), owner_id=ESTATE)
    money = desk.get(Account, order.destination_account_id)
    assert (money.network, money.address) == ("base", None)

"""Listing units for resale: what is refused, in which order, and what is held, told and asked of the chain."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.list_resale import ListResale
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.compact_ids import is_compact
from otcdesk.domain.jobs import LIST, STARTED, Job
from otcdesk.domain.ledger import Account, Hold
from otcdesk.domain.orders import SELL, Order
from otcdesk.domain.parties import INACTIVE, UNVERIFIED, Party
from otcdesk.domain.resales import (
    ESCROW,
    OTC,
    SECONDARY,
    Branch,
    Currency,
    Instrument,
    Resale,
    ResaleTerms,
    branch_account_id,
)
from otcdesk.domain.world import tenant_id
from otcdesk.errors import Code
from tests.support.estate import (
    ESTATE,
    N2,
    N3,
    NOBODY,
    THIRD,
    U1,
    U2,
    C,
    N,
    T,
    compact,
    estate_desk,
    follows,
    listing,
    open_holds,
    parts,
    started,
    told,
    units,
)
from tests.support.pure import PureDesk

Fault = Callable[[PureDesk, dict[str, Any]], None]


def _unverified(desk: PureDesk, _: dict[str, Any]) -> None:
    desk.put(desk.get(ResaleTerms, 1).with_(verifies_parties=True))
    desk.put(desk.get(Party, U1).with_(status=UNVERIFIED))


def _of_a_sibling(desk: PureDesk, asked: dict[str, Any]) -> None:
    """The second branch's party deals in nothing that the third has issued."""
    desk.put(desk.get(Instrument, T).with_(branch_id=N3))
    asked.update(party_id=compact("a03"))


def _closed_market(desk: PureDesk, asked: dict[str, Any]) -> None:
    desk.put(desk.get(Instrument, T).with_(open_to_market=False))
    asked.update(market=SECONDARY)


#: What is refused, in the order in which it is checked, and how it comes about.
FAULTS: list[tuple[Code, Fault]] = [
    (Code.PARTY_NOT_FOUND, lambda _, asked: asked.update(party_id=compact("a09"))),
    (Code.INSTRUMENT_NOT_FOUND, lambda _, asked: asked.update(instrument_id=compact("b09"))),
    (Code.NOT_PERMITTED, lambda _, asked: asked.update(mandate=THIRD)),
    (Code.PARTY_INACTIVE, lambda desk, _: desk.put(desk.get(Party, U1).with_(status=INACTIVE))),
    (Code.PARTY_UNVERIFIED, _unverified),
    (Code.RESALE_CLOSED, lambda desk, _: desk.put(desk.get(Instrument, T).with_(open_to_resale=False))),
    (Code.CURRENCY_NOT_FOUND, lambda _, asked: asked.update(currency_id=compact("c09"))),
    (Code.AMOUNT_TOO_FINE, lambda _, asked: asked.update(price="1.2345678")),
    (Code.AMOUNT_TOO_SMALL, lambda _, asked: asked.update(price="0")),
    (Code.AMOUNT_TOO_LARGE, lambda _, asked: asked.update(price=str(10**31), quantity=11)),
    (Code.RESALE_NOT_COVERED, lambda _, asked: asked.update(quantity=11)),
]

#: Faults that cannot be there together.
_EITHER = [
    {Code.PARTY_INACTIVE, Code.PARTY_UNVERIFIED},
    {Code.AMOUNT_TOO_FINE, Code.AMOUNT_TOO_SMALL},
    {Code.AMOUNT_TOO_FINE, Code.AMOUNT_TOO_LARGE},
    {Code.AMOUNT_TOO_SMALL, Code.AMOUNT_TOO_LARGE},
]


def refusal(*faults: Fault, **asked: Any) -> Code:
    desk = estate_desk()
    for fault in faults:
        fault(desk, asked)
    return desk.refuse(listing(**asked), owner_id=ESTATE)


@pytest.mark.parametrize("code, fault", FAULTS, ids=lambda value: getattr(value, "name", ""))
def test_each_refusal(code: Code, fault: Fault) -> None:
    assert refusal(fault) is code


@pytest.mark.parametrize("one, other", list(combinations(FAULTS, 2)), ids=lambda pair: pair[0].name)
def test_of_two_reasons_the_earlier_is_told(one: tuple[Code, Fault], other: tuple[Code, Fault]) -> None:
    if {one[0], other[0]} not in _EITHER:
        assert refusal(other[1], one[1]) is one[0]


@pytest.mark.parametrize(
    "code, fault",
    [
        (Code.PARTY_NOT_FOUND, lambda desk, _: desk.put(desk.get(Party, U1).with_(tenant_id=tenant_id("other")))),
        (Code.INSTRUMENT_NOT_FOUND, lambda desk, _: desk.put(desk.get(Instrument, T).with_(tenant_id=uuid4()))),
        (Code.INSTRUMENT_NOT_FOUND, _of_a_sibling),
        (Code.NOT_PERMITTED, lambda _, asked: asked.update(mandate=NOBODY)),
        *(
            (Code.RESALE_CLOSED, lambda desk, _, state=state: desk.put(desk.get(Instrument, T).with_(state=state)))
            for state in ("draft", "in_progress", "error", "not_listed", "delisted", "passive", "burnt")
        ),
        (Code.RESALE_CLOSED, _closed_market),
        *(
            (Code.CURRENCY_NOT_FOUND, lambda desk, _, state=state: desk.put(desk.get(Currency, C).with_(state=state)))
            for state in ("draft", "in_progress", "error")
        ),
        (Code.CURRENCY_NOT_FOUND, lambda desk, _: desk.put(desk.get(Currency, C).with_(tenant_id=uuid4()))),
        (Code.CURRENCY_NOT_FOUND, lambda desk, _: desk.put(desk.get(Currency, C).with_(branch_id=N2))),
        (Code.AMOUNT_TOO_SMALL, lambda _, asked: asked.update(price="-1")),
        (Code.RESALE_NOT_COVERED, lambda _, asked: asked.update(party_id=U2, quantity=1)),
    ],
)
def test_other_ways_to_be_refused(code: Code, fault: Fault) -> None:
    assert refusal(fault) is code


def test_what_is_listed_is_held_and_waits_for_the_chain() -> None:
    desk = estate_desk()
    job = started(desk, listing(3, "2.5"))
    order, resale = desk.get(Order, job.order_id), desk.get(Resale, job.order_id)
    now = desk.clock.now()
    assert (order.state, order.side, order.version, order.due_at, order.tenant_id) == ("pending", SELL, 2, None, ESTATE)
    assert (order.source_account_id, order.source_asset, order.source_units) == (holding_id(U1, "EXT"), "EXT", 3)
    assert order.destination_account_id == holding_id(U1, "VUSD")
    assert (order.destination_asset, order.destination_units) == ("VUSD", 7_500_000)
    assert (order.rate, order.expires_at, order.confirmed_at) == (Decimal("2.5"), now + timedelta(days=31), now)
    assert (order.market_rate, order.market_source) == (Decimal(2), "issuer")
    assert (resale.branch_id, resale.party_id, resale.instrument_id, resale.currency_id) == (N, U1, T, C)
    assert (resale.market, resale.quantity, resale.price_units, resale.number) == (OTC, 3, 2_500_000, None)
    assert parts(desk, order.id) == (3, 0, 0)
    assert units(desk) == (10, 3)
    assert open_holds(desk, order.id) == [3]
    assert desk.get(Hold, order.pay_hold_id).account_id == order.source_account_id
    assert told(desk, order.id) == ["place"]
    assert (job.kind, job.market, job.state, job.party_id, job.instrument_id) == (LIST, OTC, STARTED, U1, T)
    assert (job.source_account_id, job.destination_account_id) == (holding_id(U1, "EXT"), escrow())
    assert (job.asset, job.units, job.waits_for, job.reference) == ("EXT", 3, "chain_job", f"{job.id}:job")
    assert desk.get(Job, job.id) == job
    assert follows(desk) == []
    assert is_compact(order.id)
    assert is_compact(job.id)
    assert len({order.id, job.id, order.pay_hold_id, U1}) == 4


def escrow() -> UUID:
    return branch_account_id(N, ESCROW, "EXT")


def test_an_escrow_that_is_not_there_is_opened_empty() -> None:
    desk = estate_desk()
    del desk.rows[Account, escrow()]
    started(desk, listing())
    opened = desk.get(Account, escrow())
    assert (opened.owner_id, opened.purpose, opened.balance, opened.floor) == (N, ESCROW, 0, 0)


def test_what_is_held_cannot_be_listed_again() -> None:
    desk = estate_desk()
    started(desk, listing(10))
    assert desk.refuse(listing(1), owner_id=ESTATE) is Code.RESALE_NOT_COVERED
    assert units(desk) == (10, 10)


def test_a_party_of_a_branch_below_sells_what_the_one_above_has_issued() -> None:
    desk = estate_desk()
    job = started(desk, listing(5, party_id=compact("a03")))
    assert desk.get(Resale, job.order_id).branch_id == N
    assert units(desk, compact("a03")) == (5, 5)


def test_a_party_of_the_branch_above_sells_what_one_below_has_issued() -> None:
    desk = estate_desk()
    desk.put(desk.get(Instrument, T).with_(branch_id=N2))
    assert desk.get(Resale, started(desk, listing()).order_id).branch_id == N2


def test_a_party_deals_in_the_currency_of_a_branch_above() -> None:
    desk = estate_desk()
    assert desk.get(Branch, N2).path == "1.2"
    started(desk, listing(1, party_id=compact("a03"), currency_id=C))


def test_a_lane_may_let_listings_live_for_ever() -> None:
    desk = estate_desk()
    desk.put(desk.get(ResaleTerms, 1).with_(validity_seconds=None))
    order = desk.get(Order, started(desk, listing()).order_id)
    assert (order.ttl_seconds, order.due_at, order.expires_at) == (0, None, order.created_at)


def test_a_lane_without_terms_has_the_usual_ones() -> None:
    desk = estate_desk()
    del desk.rows[ResaleTerms, 1]
    assert desk.get(Order, started(desk, listing()).order_id).ttl_seconds == 31 * 86_400


def test_where_the_issuers_price_is_in_another_currency_the_listings_own_is_the_markets() -> None:
    desk = estate_desk()
    desk.put(desk.get(Instrument, T).with_(currency_id=compact("c09")))
    order = desk.get(Order, started(desk, listing(1, "3")).order_id)
    assert (order.market_rate, order.market_source, order.market_at) == (Decimal(3), "party", order.created_at)


def test_the_same_key_lists_once_whoever_asks() -> None:
    desk = estate_desk()
    first = desk.act(listing(), owner_id=ESTATE, key="k")
    assert desk.act(listing(), owner_id=ESTATE, key="k").job == first.job
    assert desk.refuse(listing(4), owner_id=ESTATE, key="k") is Code.KEY_REUSED
    assert units(desk) == (10, 3)


def test_what_a_key_stands_for_is_all_but_the_caller() -> None:
    asked = listing()
    assert asked.compared == listing(mandate=THIRD).compared
    for field in ListResale.__struct_fields__:
        if field != "mandate":
            changed: Any = {"quantity": 4, "price": "9", "market": SECONDARY}.get(field, uuid4())
            assert listing(**{field: changed}).compared != asked.compared, field

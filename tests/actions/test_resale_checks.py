"""What the verbs of resale share: whom a command is about, where a caller may act, and what a price is in units."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.actions import resale_checks as checks
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.commands import Moment
from otcdesk.domain.ledger import Account
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party
from otcdesk.domain.resales import OTC, SECONDARY, Branch, Currency, Holder, Instrument, Mandate, Resale, ResaleTerms
from otcdesk.engine.books import LaneCache, RowKey, WorkingSet
from otcdesk.engine.store import Head, Kept, Loaded
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX
from tests.support.estate import (
    ESTATE,
    N2,
    N3,
    U1,
    U3,
    C,
    N,
    T,
    buying,
    compact,
    estate_desk,
    let_parties_trade,
    listed,
)
from tests.support.pure import PureDesk

_NOUNS: tuple[type[Noun], ...] = (Party, Holder, Instrument, Branch, Currency, Account, Order, Resale)


def books_of(desk: PureDesk) -> WorkingSet:
    """Return all that a desk has as books that have read it."""
    books = WorkingSet(LaneCache(10_000))
    known: set[RowKey] = {(type(row), row.key) for row in desk.rows.values()}
    nowhere = (compact("999"), U1, *(key for noun, key in known if noun is Order))
    known |= {(noun, key) for noun in _NOUNS for key in nowhere} | {(ResaleTerms, 1)}
    books.take(Loaded(Head(1, "0" * 64, desk.clock.now()), [Kept(row, 1) for row in desk.rows.values()]), known)
    return books


def moment(owner_id: UUID = ESTATE) -> Moment:
    now = estate_desk().clock.now()
    return Moment(now=now, arrived_at=now, command_id=uuid4(), caller="test", owner_id=owner_id)


def refused(code: Code) -> AbstractContextManager[object]:
    return pytest.raises(Refusal, match=code.name)


@pytest.mark.parametrize(
    "path, permitted, branch_path, may",
    [
        ("1", True, "1", True),
        ("1", True, "1.2", True),
        ("1.2", True, "1", False),
        ("1.3", True, "1.2", False),
        ("1", True, "12", False),
        ("1", False, "1", False),
    ],
)
def test_a_caller_acts_where_it_may_from_its_branch_down(
    path: str, permitted: bool, branch_path: str, may: bool
) -> None:
    branch = Branch(id=N, tenant_id=ESTATE, number=1, path=branch_path, name="N")
    if may:
        checks.check_mandate(Mandate(path, permitted), branch)
    else:
        with refused(Code.NOT_PERMITTED):
            checks.check_mandate(Mandate(path, permitted), branch)


def test_a_party_is_found_with_its_branch() -> None:
    books = books_of(estate_desk())
    party, home = checks.found_party(books, moment(), U3)
    assert (party.id, home.id) == (U3, N2)
    for party_id, owner_id in ((compact("999"), ESTATE), (U3, uuid4())):
        with refused(Code.PARTY_NOT_FOUND):
            checks.found_party(books, moment(owner_id), party_id)


def test_a_party_that_holds_no_instruments_is_none_of_this_product() -> None:
    desk = estate_desk()
    del desk.rows[Holder, U1]
    with refused(Code.PARTY_NOT_FOUND):
        checks.found_party(books_of(desk), moment(), U1)


@pytest.mark.parametrize(
    "home, issuer, deals", [(N, N, True), (N2, N, True), (N, N2, True), (N2, N3, False), (N3, N2, False)]
)
def test_a_party_deals_in_what_its_own_branch_has_issued_or_one_above_or_below(
    home: UUID, issuer: UUID, deals: bool
) -> None:
    desk = estate_desk()
    desk.put(desk.get(Holder, U1).with_(branch_id=home))
    desk.put(desk.get(Instrument, T).with_(branch_id=issuer))
    if deals:
        parts = checks.found_parts(books_of(desk), moment(), U1, T)
        assert (parts.party.id, parts.home.id, parts.instrument.id, parts.issuer.id) == (U1, home, T, issuer)
    else:
        with refused(Code.INSTRUMENT_NOT_FOUND):
            checks.found_parts(books_of(desk), moment(), U1, T)


@pytest.mark.parametrize("of, at, usable", [(N, N, True), (N, N2, True), (N2, N, False), (N2, N3, False)])
def test_a_currency_is_used_by_its_branch_and_those_below(of: UUID, at: UUID, usable: bool) -> None:
    desk = estate_desk()
    desk.put(desk.get(Currency, C).with_(branch_id=of))
    books, branch = books_of(desk), desk.get(Branch, at)
    if usable:
        assert checks.found_currency(books, moment(), C, branch).id == C
    else:
        with refused(Code.CURRENCY_NOT_FOUND):
            checks.found_currency(books, moment(), C, branch)


@given(st.integers(1, 10**12), st.integers(0, 6))
def test_a_price_is_exact_in_units_of_its_currency(digits: int, places: int) -> None:
    desk = estate_desk()
    currency = desk.get(Currency, C)
    price = Decimal(digits).scaleb(-places)
    assert checks.found_price(books_of(desk), currency, price, 1) == digits * 10 ** (6 - places)


@pytest.mark.parametrize(
    "price, quantity, code",
    [
        ("0.0000001", 1, Code.AMOUNT_TOO_FINE),
        ("1.0000000", 1, None),
        ("0", 1, Code.AMOUNT_TOO_SMALL),
        ("-0.000001", 1, Code.AMOUNT_TOO_SMALL),
        ("0.000001", UNITS_MAX, None),
        ("0.000001", UNITS_MAX + 1, Code.AMOUNT_TOO_LARGE),
        (str(10**32), 1, None),
        (str(10**32 + 1), 1, Code.AMOUNT_TOO_LARGE),
    ],
)
def test_the_bounds_of_a_price(price: str, quantity: int, code: Code | None) -> None:
    desk = estate_desk()
    books, currency = books_of(desk), desk.get(Currency, C)
    if code is None:
        assert checks.found_price(books, currency, Decimal(price), quantity) == Decimal(price) * 10**6
    else:
        with refused(code):
            checks.found_price(books, currency, Decimal(price), quantity)


@pytest.mark.parametrize("asked, covered", [(1, True), (7, True), (8, False)])
def test_what_is_held_covers_nothing(asked: int, covered: bool) -> None:
    desk = estate_desk()
    desk.put(desk.get(Account, holding_id(U1, "EXT")).with_(held=3))
    books = books_of(desk)
    if covered:
        assert checks.covering_account(books, holding_id(U1, "EXT"), asked, Code.RESALE_NOT_COVERED).held == 3
    else:
        with refused(Code.RESALE_NOT_COVERED):
            checks.covering_account(books, holding_id(U1, "EXT"), asked, Code.RESALE_NOT_COVERED)
    with refused(Code.BUYER_NOT_COVERED):
        checks.covering_account(books, compact("999"), asked, Code.BUYER_NOT_COVERED)


def test_a_listing_is_found_of_its_instrument_and_market() -> None:
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk)
    bought = desk.act(buying(order.id, 1), owner_id=ESTATE).job.order_id
    order = desk.get(Order, order.id)
    books, instrument = books_of(desk), desk.get(Instrument, T)
    for market in (OTC, None):
        assert checks.found_resale(books, order.id, instrument, market) == (order, desk.get(Resale, order.id))
    for order_id, of, market in (
        (None, instrument, OTC),
        (compact("999"), instrument, OTC),
        (bought, instrument, None),
        (order.id, instrument, SECONDARY),
        (order.id, instrument.with_(id=uuid4()), OTC),
    ):
        with refused(Code.ORDER_NOT_FOUND):
            checks.found_resale(books, order_id, of, market)


@pytest.mark.parametrize("what", [checks.branch_of, checks.currency_of, checks.instrument_of, checks.resale_of])
def test_what_must_exist_and_does_not_is_an_error_of_ours(what: Callable[[Any, UUID], Any]) -> None:
    with pytest.raises(AssertionError):
        what(books_of(estate_desk()), compact("999"))

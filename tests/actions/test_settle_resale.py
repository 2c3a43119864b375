"""Carrying out a sale: everything changes hands in one ledger transaction, and the chain follows."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.jobs import FOLLOW, Job
from otcdesk.domain.ledger import Account, LedgerTransaction, Posting, desk_account_id
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import FEE_INCOME
from otcdesk.domain.resales import ESCROW, FEES, FUNDS, INVENTORY, SECONDARY, Branch, ResaleTerms, branch_account_id
from tests.support.estate import (
    ESTATE,
    U1,
    U2,
    N,
    buying,
    buying_unsold,
    done,
    estate_desk,
    listed,
    recorded,
    started,
    taking,
)
from tests.support.pure import PureDesk

_PERCENT = st.decimals(0, Decimal("49.99"), places=2)


def with_fees(of_branch: str | Decimal, of_desk: str | Decimal) -> PureDesk:
    desk = estate_desk()
    fields = {f"{market}_fee_percent": Decimal(of_branch) for market in ("otc", "secondary", "primary")}
    desk.put(desk.get(Branch, N).with_(**fields))
    fields = {f"{market}_fee_percent": Decimal(of_desk) for market in ("otc", "secondary", "primary")}
    desk.put(desk.get(ResaleTerms, 1).with_(**fields))
    return desk


def booked(desk: PureDesk, order: Order) -> list[Posting]:
    """Return the postings of the one ledger transaction of an order."""
    (transaction,) = [one for one in desk.all(LedgerTransaction) if one.order_id == order.id]
    return sorted(
        (one for one in desk.all(Posting) if one.transaction_id == transaction.id), key=lambda one: one.number
    )


def moves(rows: list[Posting] | list[Job]) -> list[tuple[object, object, int]]:
    return [(row.source_account_id, row.destination_account_id, row.units) for row in rows]


def follows(desk: PureDesk, order: Order) -> list[Job]:
    return [job for job in desk.all(Job) if job.kind == FOLLOW and job.order_id == order.id]


_MINE, _MY_MONEY = holding_id(U1, "EXT"), holding_id(U1, "VUSD")
_FUNDS, _INVENTORY = branch_account_id(N, FUNDS, "VUSD"), branch_account_id(N, INVENTORY, "EXT")
_ESCROW, _FEES, _INCOME = (
    branch_account_id(N, ESCROW, "EXT"),
    branch_account_id(N, FEES, "VUSD"),
    desk_account_id(FEE_INCOME, "VUSD"),
)


def test_what_a_branch_takes_is_booked_at_once_and_follows_from_where_the_chain_has_it() -> None:
    desk = with_fees("3", "1")
    order = listed(desk, 10, "1")
    desk.act(taking(order.id), owner_id=ESTATE)
    money = [
        (_FUNDS, _MY_MONEY, 9_600_000),
        (_FUNDS, _FEES, 300_000),
        (_FUNDS, _INCOME, 100_000),
    ]
    assert moves(booked(desk, order)) == [(_MINE, _INVENTORY, 10), *money]
    assert moves(follows(desk, order)) == [(_ESCROW, _INVENTORY, 10), *money]
    assert {job.asset for job in follows(desk, order)} == {"EXT", "VUSD"}


def test_what_a_job_has_paid_does_not_follow_again() -> None:
    desk = with_fees("3", "1")
    listing = listed(desk, 10, "1", market=SECONDARY)
    job = started(desk, buying(listing.id, 10, SECONDARY))
    theirs, their_money = holding_id(U2, "EXT"), holding_id(U2, "VUSD")
    assert moves([job]) == [(their_money, _MY_MONEY, 9_600_000)]
    recorded(desk, done(job))
    order = desk.get(Order, job.order_id)
    fees = [(their_money, _FEES, 300_000), (their_money, _INCOME, 100_000)]
    assert moves(booked(desk, order)) == [(_MINE, theirs, 10), (their_money, _MY_MONEY, 9_600_000), *fees]
    assert moves(follows(desk, order)) == [(_ESCROW, theirs, 10), *fees]
    assert follows(desk, listing) == []


def test_what_was_not_sold_yet_follows_from_where_the_books_have_it() -> None:
    desk = with_fees("0", "0")
    job = started(desk, buying_unsold(5))
    recorded(desk, done(job))
    order = desk.get(Order, job.order_id)
    unsold = branch_account_id(N, "unsold", "EXT")
    assert moves(follows(desk, order)) == [(unsold, holding_id(U2, "EXT"), 5)]
    trade = desk.get(Trade, order.id)
    assert (trade.source_asset, trade.source_units) == ("EXT", 5)
    assert (trade.destination_asset, trade.destination_units, trade.executed_rate) == ("VUSD", 10_000_000, Decimal(2))


def test_fees_of_nothing_open_no_postings() -> None:
    desk = with_fees("0", "0.01")
    order = listed(desk, 1, "0.000001")
    desk.act(taking(order.id), owner_id=ESTATE)
    assert [row.units for row in booked(desk, order)] == [1, 1]
    assert [job.units for job in follows(desk, order)] == [1, 1]


@pytest.mark.parametrize("market", ["otc", SECONDARY, "primary"])
def test_a_ledger_transaction_says_what_it_was(market: str) -> None:
    desk = with_fees("1", "1")
    if market == "otc":
        order = listed(desk)
        desk.act(taking(order.id), owner_id=ESTATE)
    else:
        asked = buying_unsold(1) if market == "primary" else buying(listed(desk, 1, market=market).id, 1, market)
        job = started(desk, asked)
        recorded(desk, done(job))
        order = desk.get(Order, job.order_id)
    (transaction,) = [one for one in desk.all(LedgerTransaction) if one.order_id == order.id]
    assert transaction.reason == f"resale: {market}"


@given(st.integers(1, 10), st.integers(1, 10**8), _PERCENT, _PERCENT)
def test_nothing_is_lost_and_nothing_made(
    quantity: int, price_units: int, of_branch: Decimal, of_desk: Decimal
) -> None:
    desk = with_fees(of_branch, of_desk)
    before = sums(desk)
    order = listed(desk, quantity, f"{price_units // 10**6}.{price_units % 10**6:06}")
    desk.act(taking(order.id), owner_id=ESTATE)
    assert sums(desk) == before
    assert all(account.balance >= account.held >= 0 for account in desk.all(Account) if account.floor == 0)
    paid = sum(row.units for row in booked(desk, order) if row.asset == "VUSD")
    assert paid == quantity * price_units == desk.get(Trade, order.id).destination_units


def sums(desk: PureDesk) -> dict[str, int]:
    """Return what all accounts of each asset sum to."""
    found: dict[str, int] = {}
    for account in desk.all(Account):
        found[account.asset] = found.get(account.asset, 0) + account.balance
    return found

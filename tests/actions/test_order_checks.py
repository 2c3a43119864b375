"""What verbs of all products share: whose order it is, what the clock did to it, amounts of listed assets."""

from datetime import timedelta
from uuid import UUID

import pytest

from otcdesk.actions.order_checks import amount_of, found_order, order_by_the_clock, recorded_until
from otcdesk.domain.commands import Moment
from otcdesk.domain.events import Event
from otcdesk.domain.orders import Order
from otcdesk.engine.books import LaneCache, RowKey, WorkingSet
from otcdesk.engine.store import Kept, Loaded
from otcdesk.errors import Code, Refusal
from otcdesk.money import Amount, Asset
from tests.support.brokerage import P, Q, brokerage_desk, quoted
from tests.support.pure import _HEAD, PureDesk


def books_of(desk: PureDesk, *keys: RowKey) -> WorkingSet:
    books = WorkingSet(LaneCache(10))
    books.take(Loaded(_HEAD, [Kept(desk.rows[key], 1) for key in keys if key in desk.rows]), set(keys))
    return books


def test_an_order_is_found_by_its_product_and_tenant() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    books = books_of(desk, (Order, order.id), (Order, UUID(int=1)))
    assert found_order(books, order.id, "brokerage", P) == found_order(books, order.id, "brokerage", None) == order
    for order_id, product, tenant_id in (
        (UUID(int=1), "brokerage", None),
        (order.id, "conversion", None),
        (order.id, "brokerage", Q),
    ):
        with pytest.raises(Refusal, match=Code.ORDER_NOT_FOUND.name):
            found_order(books, order_id, product, tenant_id)


def test_what_the_clock_did_is_recorded_once_with_its_event() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    books = books_of(desk, (Order, order.id))
    now = order.created_at
    moment = Moment(now=now, arrived_at=now, command_id=UUID(int=9), caller="test", owner_id=P)
    assert recorded_until(books, moment, order.expires_at - timedelta(microseconds=1), order) is order
    assert books.changes() == []
    late = order.expires_at + timedelta(days=1)
    expired = recorded_until(books, moment, late, order)
    assert (expired.state, expired.updated_at) == ("expired", order.expires_at)
    assert recorded_until(books, moment, late, expired) is expired
    staged = [row for row, _ in books.changes()]
    assert staged[0] == expired
    assert [row.name for row in staged if isinstance(row, Event)] == ["brokerage.expire"]


def test_the_arrival_of_the_command_judges() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    books = books_of(desk, (Order, order.id))
    late = order.expires_at + timedelta(seconds=9)
    told = {"now": late, "command_id": UUID(int=9), "caller": "test", "owner_id": P}
    in_time = Moment(arrived_at=order.expires_at - timedelta(microseconds=1), **told)  # type: ignore[arg-type]
    assert order_by_the_clock(books, in_time, order) is order
    at_its_end = Moment(arrived_at=order.expires_at, **told)  # type: ignore[arg-type]
    assert order_by_the_clock(books, at_its_end, order).state == "expired"


def test_units_are_of_the_listed_asset() -> None:
    from otcdesk.domain.assets import ListedAsset

    books = books_of(brokerage_desk(), (ListedAsset, "ETH"), (ListedAsset, "XRP"))
    assert amount_of(books, "ETH", 7) == Amount(7, Asset("ETH", 18))
    with pytest.raises(AssertionError, match="XRP is not listed"):
        amount_of(books, "XRP", 7)

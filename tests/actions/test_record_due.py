"""Recording in bulk what the clock has done."""

from datetime import timedelta
from uuid import UUID

from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.steer_sandbox import SetDebitSettlement
from otcdesk.domain.events import Event
from otcdesk.domain.orders import Order
from tests.support.conversions import confirmed, quoted
from tests.support.pure import PureDesk


def test_due_orders_are_recorded_once_at_the_time_that_they_were_due() -> None:
    desk = PureDesk()
    desk.act(SetDebitSettlement(after_ms=10_000))
    expiring, settling, later = quoted(desk), confirmed(desk), quoted(desk)
    desk.put(later.with_(due_at=later.due_at + timedelta(days=1)))  # type: ignore[operator]
    desk.clock.advance(seconds=60)
    ids = [expiring.id, settling.id, later.id, UUID(int=5)]
    assert desk.act(RecordDue(order_ids=ids)).recorded == 2
    assert desk.act(RecordDue(order_ids=ids)).recorded == 0
    states = [desk.get(Order, order_id).state for order_id in ids[:3]]
    assert states == ["expired", "pending_approval", "quoted"]
    assert desk.get(Order, expiring.id).updated_at == expiring.expires_at
    assert [event.caller for event in desk.all(Event)] == ["test", "clock", "clock"]


def test_an_order_named_twice_is_recorded_once() -> None:
    desk = PureDesk()
    order = quoted(desk)
    desk.clock.set(order.expires_at)
    assert desk.act(RecordDue(order_ids=[order.id, order.id])).recorded == 1

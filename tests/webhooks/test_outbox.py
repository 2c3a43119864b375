"""The outbox: everything that lanes commit is told once to everybody who may and wants to hear it, in its order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otcdesk.actions.move_value import Deposit
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.app import ENVELOPES
from otcdesk.domain.orders import SELL
from otcdesk.domain.parties import DESK_ID
from otcdesk.webhooks.outbox import Outbox
from otcdesk.webhooks.subscriptions import Change
from tests.support.desk import CONTRACT_WORLD, FA3, B, new_lane, submit
from tests.support.hooked import EXCHANGES, OF_ORDERS, Hooked, hooked

URL = "http://127.0.0.1:9/hook"


@pytest.fixture
async def desk(dsn: str, tmp_path: Path) -> AsyncIterator[Hooked]:
    async with hooked(dsn, tmp_path) as made:
        yield made


@pytest.fixture
async def apart(fresh_dsn: str, tmp_path: Path) -> AsyncIterator[Hooked]:
    """Give a desk whose database nobody else uses."""
    async with hooked(fresh_dsn, tmp_path) as made:
        yield made


async def body_of(desk: Hooked, delivery: Any) -> Any:
    return msgspec.json.decode(await desk.webhooks.deliveries.body(delivery.id))


async def test_every_event_is_told_once(desk: Hooked) -> None:
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    await desk.completed()
    for _ in range(3):
        await desk.told()
    wanted = ["conversion.confirmed", "conversion.debit_settled", "conversion.approved", "conversion.completed"]
    assert await desk.types(subscription) == wanted
    rows = await desk.deliveries(subscription)
    assert [row.subject_version for row in rows] == [2, 3, 4, 5]
    assert len({row.event_id for row in rows}) == 4
    assert {row.state for row in rows} == {"pending"}


async def test_what_was_before_the_subscription_is_not_told(desk: Hooked) -> None:
    await desk.confirmed()
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    later = await desk.cancelled()
    await desk.told()
    assert [row.subject_id for row in await desk.deliveries(subscription)] == [later.id]


async def test_a_second_subscription_hears_nothing_from_before_it(desk: Hooked) -> None:
    first = await desk.subscribed(URL, event_types=OF_ORDERS)
    await desk.cancelled()  # not told yet when the second comes
    second = await desk.subscribed(URL + "2", event_types=OF_ORDERS)
    await desk.cancelled()
    await desk.told()
    assert len(await desk.types(first)) == 2
    assert len(await desk.types(second)) == 1


async def test_tenants_hear_of_their_own_and_the_operator_of_all(desk: Hooked) -> None:
    theirs = await desk.subscribed(URL, owner_id=B)
    own = await desk.subscribed(URL)
    operators = await desk.subscribed(URL, owner_id=DESK_ID, event_types=OF_ORDERS)
    await desk.cancelled()
    await desk.told()
    assert await desk.types(theirs) == []
    assert await desk.types(own) == ["conversion.cancelled"]
    assert await desk.types(operators) == ["conversion.cancelled"]


async def test_only_what_is_wanted_is_told(desk: Hooked) -> None:
    subscription = await desk.subscribed(URL, event_types=["conversion.completed"])
    await desk.completed()
    await desk.told()
    assert await desk.types(subscription) == ["conversion.completed"]


@pytest.mark.parametrize("ending", ["off", "deleted"])
async def test_who_is_switched_off_or_deleted_is_told_nothing(desk: Hooked, ending: str) -> None:
    subscription, other = await desk.subscribed(URL), await desk.subscribed(URL + "2", event_types=OF_ORDERS)
    if ending == "off":
        await desk.webhooks.subscriptions.change(subscription, Change(is_active=False))
    else:
        await desk.webhooks.subscriptions.delete(subscription)
    await desk.cancelled()
    await desk.told()
    assert await desk.types(subscription) == []
    assert await desk.types(other) == ["conversion.cancelled"]


async def test_an_event_says_what_was_so_then(desk: Hooked) -> None:
    subscription = await desk.subscribed(URL, envelope="exchanges", event_types=EXCHANGES)
    order = await desk.confirmed(SELL)
    rate = order.rate + 1
    await desk.act(RequoteConversion(order_id=order.id, rate=rate), owner_id=DESK_ID)
    await desk.told()  # only now, when the order has gone on
    created, updated = await desk.deliveries(subscription)
    first, second = await body_of(desk, created), await body_of(desk, updated)
    assert (first["type"], first["data"]["status"]) == ("otc_exchange.created", "pending_approval")
    assert (second["type"], second["data"]["status"]) == ("otc_exchange.status_updated", "requoted")
    assert first["data"]["rate"] != second["data"]["rate"]
    assert first["data"]["destinationAmount"] != second["data"]["destinationAmount"]
    assert first["id"] == created.event_id


async def test_cash_is_told_with_its_balance_after_each_entry(desk: Hooked) -> None:
    subscription = await desk.subscribed(URL, event_types=["account.balance_updated"])
    await desk.deposited(units=150)
    await desk.deposited(units=50)
    await desk.told()
    bodies = [await body_of(desk, row) for row in await desk.deliveries(subscription)]
    assert [body["type"] for body in bodies] == ["account.balance_updated"] * 2
    assert [body["data"]["balance"] for body in bodies] == ["10001.50", "10002.00"]


async def test_cash_is_told_in_the_decimals_of_its_asset(desk: Hooked) -> None:
    world = CONTRACT_WORLD.replace('code = "GBP"\nscale = 2', 'code = "GBP"\nscale = 0')
    assert world != CONTRACT_WORLD
    lane = await new_lane(desk.lane.dsn, world, clock=desk.clock)
    subscription = await desk.subscribed(URL, lane=lane.number, event_types=["account.balance_updated"])
    deposit = Deposit(account_id=FA3, units=7, reason="wire", reference="1")
    await submit(desk.program.desk.engine, lane.number, deposit)
    await desk.told()
    page = await desk.webhooks.deliveries.page(lane.number, subscription_id=subscription.id, limit=10, offset=0)
    assert [(await body_of(desk, row))["data"]["balance"] for row in page.rows] == ["7"]


async def test_nothing_is_told_of_the_desks_own_accounts_to_a_tenant(desk: Hooked) -> None:
    own = await desk.subscribed(URL)
    operators = await desk.subscribed(URL, owner_id=DESK_ID, event_types=["account.balance_updated"])
    await desk.completed()
    await desk.told()
    assert (await desk.types(own)).count("account.balance_updated") == 1
    assert await desk.types(operators) == ["account.balance_updated"]


async def test_two_who_tell_at_once_tell_once(desk: Hooked) -> None:
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    for _ in range(5):
        await desk.cancelled()
    pool = desk.webhooks.deliveries._reads.pool
    others = [Outbox(pool, ENVELOPES, desk.clock, rows_at_once=1) for _ in range(4)]
    while any(await asyncio.gather(*(other.fan_out() for other in others))):
        pass
    assert await desk.types(subscription) == ["conversion.cancelled"] * 5


async def test_a_batch_is_never_told_in_part(desk: Hooked) -> None:
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    for _ in range(2):
        await asyncio.gather(*(desk.confirmed() for _ in range(4)))
    small = Outbox(desk.webhooks.deliveries._reads.pool, ENVELOPES, desk.clock, rows_at_once=1)
    rounds = 0
    while await small.fan_out():
        rounds += 1
    assert rounds > 1
    rows = await desk.deliveries(subscription)
    assert len(rows) == 16
    by_order: dict[Any, list[int]] = {}
    for row in rows:
        by_order.setdefault(row.subject_id, []).append(row.subject_version)
    assert set(map(tuple, by_order.values())) == {(2, 3)}


async def test_what_breaks_in_the_middle_is_told_again_whole(apart: Hooked) -> None:
    desk = apart
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    await desk.cancelled()
    await desk.connection.execute("alter table deliveries add constraint broken check (false) not valid")
    with pytest.raises(Exception, match="broken"):
        await desk.told()
    await desk.connection.execute("alter table deliveries drop constraint broken")
    await desk.told()
    assert await desk.types(subscription) == ["conversion.cancelled"]


async def test_lanes_do_not_hear_of_one_another(desk: Hooked) -> None:
    other = await new_lane(desk.lane.dsn, clock=desk.clock)
    theirs = await desk.subscribed(URL, lane=other.number)
    own = await desk.subscribed(URL, event_types=OF_ORDERS)
    await desk.cancelled()
    await desk.told()
    assert await desk.types(own) == ["conversion.cancelled"]
    page = await desk.webhooks.deliveries.page(other.number, subscription_id=theirs.id, limit=10, offset=0)
    assert page.total == 0


async def test_the_first_subscription_does_not_walk_through_history(desk: Hooked) -> None:
    for _ in range(3):
        await desk.cancelled()
    await desk.subscribed(URL, event_types=OF_ORDERS)
    assert not await desk.webhooks.outbox.fan_out()
    assert desk.webhooks.outbox.listened


async def test_who_nobody_listens_to_is_not_looked_at(apart: Hooked) -> None:
    desk = apart
    await desk.cancelled()
    assert not await desk.webhooks.outbox.fan_out()
    assert not desk.webhooks.outbox.listened


async def test_recover_makes_what_failed_due_again_and_what_was_never_made(apart: Hooked) -> None:
    desk = apart
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    await desk.cancelled()
    desk.clock.advance(seconds=60)
    since = desk.clock.now()
    await desk.cancelled()
    await desk.told()
    await desk.connection.execute("update deliveries set state = 'failed', due_at = null, attempts = 6")
    off = await desk.webhooks.subscriptions.change(subscription, Change(is_active=False))
    await desk.cancelled()
    await desk.told()
    assert len(await desk.types(subscription)) == 2
    on = await desk.webhooks.subscriptions.change(off, Change(is_active=True))
    assert await desk.webhooks.deliveries.recover(on, since) == 2
    rows = await desk.deliveries(subscription)
    assert [row.state for row in rows] == ["failed", "pending", "pending"]
    assert await desk.webhooks.deliveries.recover(on, since) == 0
    assert await desk.webhooks.deliveries.recover(on, since - timedelta(days=1)) == 1


async def test_recover_reaches_no_further_back_than_the_subscription(desk: Hooked) -> None:
    await desk.cancelled()
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    assert await desk.webhooks.deliveries.recover(subscription, desk.clock.now() - timedelta(days=9)) == 0


async def test_recover_leaves_what_arrived_alone(apart: Hooked) -> None:
    desk = apart
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    await desk.cancelled()
    await desk.told()
    await desk.connection.execute("update deliveries set state = 'succeeded', due_at = null")
    assert await desk.webhooks.deliveries.recover(subscription, desk.clock.now() - timedelta(days=1)) == 0


async def test_what_cannot_be_said_holds_nobody_up_and_is_told_once_it_can(desk: Hooked) -> None:
    subscription = await desk.subscribed(URL, event_types=OF_ORDERS)
    since = desk.clock.now()
    await desk.cancelled()
    await desk.cancelled()
    first, second = [row["order_id"] for row in await desk.connection.fetch(_CANCELLED, desk.lane.number)]
    await desk.connection.execute("set session_replication_role = replica")
    await desk.connection.execute("update events set name = 'conversion.unheard_of' where order_id = $1", first)
    await desk.told()
    assert [row.subject_id for row in await desk.deliveries(subscription)] == [second]
    await desk.connection.execute("update events set name = 'conversion.cancel' where order_id = $1", first)
    assert await desk.webhooks.deliveries.recover(subscription, since) == 1
    assert {row.subject_id for row in await desk.deliveries(subscription)} == {first, second}


_CANCELLED = "select order_id from events where lane = $1 and name = 'conversion.cancel' order by seq"


async def test_how_far_telling_is_behind_is_counted(apart: Hooked) -> None:
    desk = apart
    await desk.subscribed(URL)
    assert await desk.webhooks.outbox.untold_batches() == 0
    await desk.cancelled()  # a quote and its end: two batches
    assert await desk.webhooks.outbox.untold_batches() == 2
    await desk.told()
    assert await desk.webhooks.outbox.untold_batches() == 0

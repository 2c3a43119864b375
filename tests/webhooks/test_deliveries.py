"""Deliveries: sent in order, tried again on schedule, counted, given up and shown; over HTTP to real receivers."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from standardwebhooks import Webhook

from otcdesk.actions.move_value import Deposit
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal
from otcdesk.storage.queries import queries
from otcdesk.webhooks.deliveries import Claimed, Outcome
from otcdesk.webhooks.policy import PENDING, Verdict
from otcdesk.webhooks.sender import Attempt
from otcdesk.webhooks.subscriptions import Change, Subscription
from tests.support.clocks import new_seed
from tests.support.desk import FA1, B, new_lane, submit
from tests.support.hooked import OF_ORDERS, Hooked, hooked
from tests.support.receiver import NEVER, Held, Received, Receiver
from tests.support.waiting import until

NEVER_AGAIN = datetime(9999, 1, 1, tzinfo=UTC)


@pytest.fixture
async def desk(dsn: str, tmp_path: Path) -> AsyncIterator[Hooked]:
    async with hooked(dsn, tmp_path) as made:
        yield made


@pytest.fixture
async def apart(fresh_dsn: str, tmp_path: Path) -> AsyncIterator[Hooked]:
    """Give a desk whose database nobody else uses."""
    async with hooked(fresh_dsn, tmp_path) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


async def claimed(desk: Hooked, subscription: Subscription, room: int = 100) -> list[Claimed]:
    return await desk.webhooks.deliveries.claim([(subscription, room)])


async def later(desk: Hooked, **how: int) -> None:
    """Let time pass and the worker do what is due by then."""
    desk.clock.advance(**how)
    await desk.worker.work_once()


async def failed(desk: Hooked, subscription: Subscription, failures: int) -> None:
    """Let a receiver have failed so often in a row, the last time an hour ago."""
    await desk.connection.execute(
        "update subscriptions set consecutive_failures = $2, failed_at = $3 where id = $1",
        subscription.id,
        failures,
        desk.clock.now() - timedelta(hours=1),
    )


def types(requests: list[Received]) -> list[str]:
    return [msgspec.json.decode(request.body)["type"] for request in requests]


async def test_an_orders_events_arrive_in_their_order(desk: Hooked, receiver: Receiver) -> None:
    made = await desk.made(receiver.url(), event_types=OF_ORDERS)
    await desk.completed()
    await desk.worker.work_once()
    wanted = ["conversion.confirmed", "conversion.debit_settled", "conversion.approved", "conversion.completed"]
    assert types(receiver.requests) == wanted
    assert {row.state for row in await desk.deliveries()} == {"succeeded"}
    assert made.made_key is not None
    assert made.made_key.secret is not None
    signed = Webhook(made.made_key.secret)
    for request in receiver.requests:
        assert request.headers["webhook-id"].startswith("evt_")
        assert request.headers["content-type"] == "application/json"
        sent_at = int(request.headers["webhook-timestamp"])
        assert sent_at == int(desk.clock.now().timestamp())
        expected = signed.sign(request.headers["webhook-id"], desk.clock.now(), request.body.decode())
        assert request.headers["webhook-signature"] == expected


async def test_a_later_event_waits_for_an_older_one_that_was_never_tried(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    first, second = await desk.completed(), await desk.cancelled()
    await desk.told()
    taken = await claimed(desk, subscription)
    rows = {row.id: row for row in await desk.deliveries()}
    assert {(rows[one.id].subject_id, rows[one.id].subject_version) for one in taken} == {(first.id, 2), (second.id, 2)}
    assert await claimed(desk, subscription) == []


async def test_an_event_that_is_only_tried_again_holds_nobody_up(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = lambda request: 500 if b"confirmed" in request.body else 200
    await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    await desk.confirmed()
    await desk.worker.work_once()
    assert types(receiver.requests) == ["conversion.confirmed", "conversion.debit_settled"]
    assert [row.state for row in await desk.deliveries()] == ["pending", "succeeded"]


@pytest.mark.parametrize("failures", [0, 12])
async def test_what_fails_is_sent_again_on_schedule_the_same_to_the_byte(
    desk: Hooked, receiver: Receiver, failures: int
) -> None:
    """However often its receiver failed before."""
    receiver.answer = 500
    subscription = await desk.subscribed(receiver.url(), envelope="exchanges", event_types=["otc_exchange.created"])
    await failed(desk, subscription, failures)
    await desk.confirmed()
    await desk.told()
    (delivery,) = await desk.deliveries(subscription)
    await desk.worker.work_once()
    for number, pause in enumerate((60, 300, 1_800, 7_200, 21_600), start=2):
        await later(desk, milliseconds=pause * 1_000 - 1)
        count = len([r for r in receiver.requests if delivery.event_id.encode() in r.body])
        assert count == number - 1, pause
        await later(desk, milliseconds=1)
    sent = [r for r in receiver.requests if delivery.event_id.encode() in r.body]
    assert len(sent) == 6
    assert len({request.body for request in sent}) == 1
    after = await desk.webhooks.deliveries.find(desk.lane.number, delivery.id)
    assert after is not None
    assert (after.state, after.attempts, after.response_status, after.due_at) == ("failed", 6, 500, None)
    attempts = await desk.webhooks.deliveries.attempts(delivery.id)
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4, 5, 6]
    await later(desk, seconds=10**6)
    assert len([r for r in receiver.requests if delivery.event_id.encode() in r.body]) == 6


async def test_a_success_ends_it(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = lambda request: 500 if request.number == 0 else 204
    subscription = await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.worker.work_once()
    assert (await desk.now(subscription)).consecutive_failures == 1
    await later(desk, seconds=5)
    await later(desk, seconds=10**6)
    assert len(receiver.requests) == 2
    after = await desk.now(subscription)
    assert (after.consecutive_failures, after.failing_since) == (0, None)


async def test_the_answer_is_kept_as_far_as_it_is_read(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = (418, {}, b"x" * 100_000)
    subscription = await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.worker.work_once()
    (delivery,) = await desk.deliveries(subscription)
    (attempt,) = await desk.webhooks.deliveries.attempts(delivery.id)
    assert (attempt.response_status, attempt.response_body) == (418, "x" * 2_048)
    assert delivery.response_status == 418


async def test_retry_after_is_obeyed(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = lambda request: (429, {"Retry-After": "900"}, b"") if request.number == 0 else 200
    await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.worker.work_once()
    await later(desk, seconds=899)
    assert len(receiver.requests) == 1
    await later(desk, seconds=1)
    assert len(receiver.requests) == 2


async def test_retry_after_holds_up_everything_for_that_receiver(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = lambda request: (503, {"Retry-After": "60"}, b"") if request.number == 0 else 200
    await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.worker.work_once()
    await desk.cancelled()
    await later(desk, seconds=59)
    assert len(receiver.requests) == 1
    await later(desk, seconds=1)
    assert len(receiver.requests) == 3


async def test_who_is_gone_is_switched_off_and_the_operator_told(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = lambda request: 410 if request.path == "/gone" else 200
    subscription = await desk.subscribed(receiver.url("/gone"), event_types=["conversion.cancelled"])
    await desk.subscribed(receiver.url("/desk"), owner_id=DESK_ID, event_types=["webhook.disabled"])
    await desk.cancelled()
    await desk.worker.work_once()
    after = await desk.now(subscription)
    assert (after.is_active, after.disabled_at) == (False, desk.clock.now())
    assert after.disabled_reason == "the receiver answered 410"
    (told,) = [request for request in receiver.requests if request.path == "/desk"]
    said = msgspec.json.decode(told.body)
    assert said["type"] == "webhook.disabled"
    assert said["data"]["webhookId"] == str(subscription.id)
    await desk.cancelled()
    await later(desk, seconds=10**6)
    assert len([request for request in receiver.requests if request.path == "/gone"]) == 1


async def test_twenty_failures_in_a_row_switch_an_exchanges_webhook_off(
    dsn: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answer = 500
    async with hooked(dsn, tmp_path, webhooks_in_flight_per_endpoint_max=1) as desk:
        await _fails_too_often(desk, receiver)


async def _fails_too_often(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url(), envelope="exchanges", event_types=["otc_exchange.created"])
    for _ in range(25):
        await desk.confirmed()
    await desk.worker.work_once()
    assert len(receiver.requests) == 5
    for number in range(6, 21):  # the receiver rests before each
        assert (await desk.now(subscription)).is_active
        await later(desk, seconds=30)
        assert len(receiver.requests) == number
    after = await desk.now(subscription)
    assert (after.is_active, after.disabled_reason) == (False, "20 attempts in a row failed")
    await later(desk, seconds=60)
    assert len(receiver.requests) == 20
    await desk.webhooks.subscriptions.change(after, Change(is_active=True))
    receiver.answer = 200
    await desk.worker.work_once()
    assert len(receiver.requests) == 45  # what was pending goes on
    assert {row.state for row in await desk.deliveries(subscription)} == {"succeeded"}


async def test_attempts_beside_one_another_are_one_failure(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = Held(answer=500)
    subscription = await desk.subscribed(receiver.url(), envelope="exchanges", event_types=["otc_exchange.created"])
    for _ in range(25):
        await desk.confirmed()
    await desk.told()
    await desk.worker.send_due()
    await receiver.arrived(25)
    desk.clock.advance(seconds=1)
    receiver.release()
    await until(lambda: not desk.worker._tasks, "all are recorded")
    after = await desk.now(subscription)
    assert (after.is_active, after.consecutive_failures) == (True, 1)
    assert {row.attempts for row in await desk.deliveries(subscription)} == {1}


async def test_time_without_any_success_switches_off(dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = 500
    async with hooked(dsn, tmp_path, webhooks_disable_after_hours=1) as desk:
        subscription = await desk.subscribed(receiver.url())
        await desk.cancelled()
        for seconds in (0, 5, 300, 1_800):
            await later(desk, seconds=seconds)
            assert (await desk.now(subscription)).is_active
        await later(desk, seconds=7_200)
        after = await desk.now(subscription)
        assert after.disabled_reason == "every attempt failed for 1 hours"


async def test_a_success_in_between_begins_the_count_anew(dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda request: 200 if request.number == 10 else 500
    async with hooked(dsn, tmp_path, webhooks_rest_seconds_max=0) as desk:
        await _succeeds_in_between(desk, receiver)


async def _succeeds_in_between(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url(), envelope="exchanges", event_types=["otc_exchange.created"])
    for _ in range(25):
        await desk.confirmed()
        await desk.worker.work_once()
    assert (await desk.now(subscription)).consecutive_failures == 14
    assert (await desk.now(subscription)).is_active


async def test_a_claim_of_who_died_runs_out(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.told()
    (lost,) = await claimed(desk, subscription)
    await later(desk, seconds=29)
    assert receiver.requests == []
    await later(desk, seconds=1)
    assert receiver.bodies == [lost.body]


async def test_an_attempt_is_counted_once_even_if_two_thought_it_theirs(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.told()
    (slow,) = await claimed(desk, subscription)
    desk.clock.advance(seconds=60)
    (other,) = await claimed(desk, subscription)
    receiver.answer = 500
    outcomes = [await desk.webhooks.deliveries.send(one) for one in (other, slow)]
    await desk.webhooks.deliveries.record(outcomes[:1])
    await desk.webhooks.deliveries.record(outcomes[1:])
    (delivery,) = await desk.deliveries()
    assert delivery.attempts == 1
    assert len(await desk.webhooks.deliveries.attempts(delivery.id)) == 1
    assert (await desk.now(subscription)).consecutive_failures == 1


async def test_a_receiver_that_never_answers_is_a_failure(dsn: str, tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = NEVER
    async with hooked(dsn, tmp_path, webhooks_timeout_ms=100) as desk:
        subscription = await desk.subscribed(receiver.url())
        await desk.cancelled()
        await desk.worker.work_once()
        (delivery,) = await desk.deliveries(subscription)
        assert (delivery.state, delivery.attempts, delivery.response_status) == ("pending", 1, None)
        assert delivery.error is not None
        assert "100 ms" in delivery.error


async def test_sending_again_by_hand(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.worker.work_once()
    (delivery,) = await desk.deliveries(subscription)
    sent = await desk.webhooks.deliveries.send_now(subscription, delivery.id)
    assert (sent.success, sent.attempt_number, sent.attempt.status) == (True, 2, 200)
    assert receiver.bodies[0] == receiver.bodies[1]


async def test_what_fails_by_hand_is_tried_again_as_if_it_were_new(apart: Hooked, receiver: Receiver) -> None:
    desk = apart
    subscription = await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.worker.work_once()
    (delivery,) = await desk.deliveries(subscription)
    await desk.connection.execute("update deliveries set state = 'failed', due_at = null, attempts = 10")
    receiver.answer = 500
    sent = await desk.webhooks.deliveries.send_now(subscription, delivery.id)
    assert (sent.success, sent.attempt_number) == (False, 11)
    receiver.answer = 200
    await later(desk, seconds=5)
    assert [row.state for row in await desk.deliveries()] == ["succeeded"]


async def test_what_somebody_sends_is_not_sent_twice_at_once(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.told()
    (taken,) = await claimed(desk, subscription)
    with pytest.raises(Refusal) as refused:
        await desk.webhooks.deliveries.send_now(subscription, taken.id)
    assert refused.value.code is Code.DELIVERY_UNDER_WAY
    with pytest.raises(Refusal) as unknown:
        await desk.webhooks.deliveries.send_now(subscription, desk.clock.new_id())
    assert unknown.value.code is Code.DELIVERY_NOT_FOUND
    other = await desk.subscribed(receiver.url("/other"))
    with pytest.raises(Refusal) as foreign:
        await desk.webhooks.deliveries.send_now(other, taken.id)
    assert foreign.value.code is Code.DELIVERY_NOT_FOUND


@pytest.mark.parametrize("envelope", ["exchanges", "offers", "ramp", "standard"])
async def test_a_test_message_is_sent_once_in_each_envelope(desk: Hooked, receiver: Receiver, envelope: str) -> None:
    types_ = {"offers": ["user.update"], "ramp": ["Transaction"]}.get(envelope)
    subscription = await desk.subscribed(receiver.url(), envelope=envelope, event_types=types_)
    sent = await desk.webhooks.deliveries.send_test(subscription)
    assert (sent.success, sent.attempt.status) == (True, 200)
    receiver.answer = 500
    assert not (await desk.webhooks.deliveries.send_test(subscription)).success
    await later(desk, seconds=10**6)
    assert len(receiver.requests) == 2
    assert [row.state for row in await desk.deliveries(subscription)] == ["succeeded", "failed"]
    assert (await desk.now(subscription)).consecutive_failures == 0


async def test_deliveries_are_searched(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = lambda request: 500 if request.path == "/broken" else 200
    one = await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    other = await desk.subscribed(receiver.url("/broken"), owner_id=DESK_ID, event_types=["conversion.cancelled"])
    await desk.cancelled()
    await desk.worker.work_once()
    moment = desk.clock.advance(seconds=1)
    await desk.confirmed()
    await desk.worker.work_once()
    find, lane = desk.webhooks.deliveries.page, desk.lane.number
    assert (await find(lane, limit=10, offset=0)).total == 4
    page = await find(lane, limit=1, offset=1)
    assert (len(page.rows), page.total) == (1, 4)
    assert (await find(lane, subscription_id=one.id, limit=10, offset=0)).total == 3
    assert (await find(lane, owner_id=DESK_ID, limit=10, offset=0)).total == 1
    assert (await find(lane, state="pending", limit=10, offset=0)).rows[0].subscription_id == other.id
    assert (await find(lane, event_type="conversion.confirmed", limit=10, offset=0)).total == 1
    assert (await find(lane, since=moment, limit=10, offset=0)).total == 2
    event_id = page.rows[0].event_id
    assert {row.event_id for row in (await find(lane, event_id=event_id, limit=10, offset=0)).rows} == {event_id}
    assert (await find(lane + 1, limit=10, offset=0)).total == 0


async def test_what_is_old_and_over_is_dropped(apart: Hooked, receiver: Receiver) -> None:
    desk = apart
    await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    gone = await desk.subscribed(receiver.url("/off"), event_types=OF_ORDERS)
    await desk.cancelled()
    await desk.told()
    await desk.webhooks.subscriptions.change(gone, Change(is_active=False))
    await desk.worker.work_once()
    await desk.worker.keep_house()
    assert len(await desk.deliveries()) == 2
    desk.clock.advance(seconds=30 * 86_400)
    await desk.worker.keep_house()
    assert len(await desk.deliveries()) == 2
    desk.clock.advance(seconds=1)
    await desk.worker.keep_house()
    assert await desk.deliveries() == []
    assert await desk.connection.fetchval("select count(*) from delivery_attempts") == 0


async def test_what_is_old_and_still_waits_is_kept(apart: Hooked, receiver: Receiver) -> None:
    desk = apart
    await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.told()
    desk.clock.advance(seconds=31 * 86_400)
    await desk.worker.keep_house()
    assert len(await desk.deliveries()) == 1


async def test_the_backlog_is_counted(apart: Hooked, receiver: Receiver) -> None:
    desk = apart
    await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    assert await desk.worker.backlog() == (0, 0, 0)
    await desk.cancelled()
    await desk.told()
    desk.clock.advance(milliseconds=2_500)
    assert await desk.worker.backlog() == (1, 2_500, 0)
    await desk.worker.work_once()
    assert await desk.worker.backlog() == (0, 0, 0)


async def test_no_more_of_a_subscriptions_backlog_is_counted_than_may_be(apart: Hooked, receiver: Receiver) -> None:
    desk = apart
    dead, works, off = [await desk.subscribed(receiver.url(path)) for path in ("/dead", "/works", "/off")]
    await failed(desk, dead, 1)
    for subscription, number in ((dead, 10_100), (works, 7), (off, 5)):
        await piled_up(desk, subscription, number, "pending")
    desk.clock.advance(milliseconds=700)
    assert await desk.worker.backlog() == (10_012, 700, 0)
    await desk.webhooks.subscriptions.change(off, Change(is_active=False))
    assert await desk.worker.backlog() == (10_007, 700, 0)
    await desk.connection.execute("update subscriptions set consecutive_failures = 1")
    assert await desk.worker.backlog() == (10_007, 0, 0)
    await desk.connection.execute("update subscriptions set consecutive_failures = 0, held_until = $1", NEVER_AGAIN)
    assert await desk.worker.backlog() == (10_007, 0, 0)


async def test_what_is_being_sent_is_not_overdue(apart: Hooked, receiver: Receiver) -> None:
    desk = apart
    subscription = await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.told()
    assert len(await claimed(desk, subscription)) == 1
    desk.clock.advance(seconds=29)
    assert await desk.worker.backlog() == (1, 0, 0)
    desk.clock.advance(seconds=2)
    assert await desk.worker.backlog() == (1, 1_000, 0)


@pytest.mark.parametrize(
    "name, kept",
    [
        ("ready", False),
        ("ready", True),
        ("claim", False),
        ("backlog", False),
        ("backlog", True),
        ("give_up", False),
        ("give_up", True),
    ],
)
async def test_a_backlog_is_not_read_whole_whatever_the_planner_knows(
    apart: Hooked, receiver: Receiver, name: str, kept: bool
) -> None:
    """It knows of 33 deliveries, or of none where it keeps a plan, when 30,000 wait for who is down.

    Only a plan to claim that is kept from when there were none goes through all, once, until there are statistics.
    """
    desk = apart
    now, connection = desk.clock.now(), desk.connection
    subscriptions = [await desk.subscribed(receiver.url(f"/{number}"), owner_id=B) for number in range(3)]
    dead = await desk.subscribed(receiver.url("/dead"))
    rooms: tuple[object, ...] = ([one.id for one in [*subscriptions, dead]], [3, 3, 3, 1])
    arguments: dict[str, tuple[object, ...]] = {
        "ready": (now, None),
        "claim": (*rooms, now, now + timedelta(seconds=30)),
        "backlog": (now, 10_000),
        "give_up": (now, 100),
    }
    statement = await connection.prepare(queries("deliveries")[name])
    await connection.execute(f"set plan_cache_mode = force_{'generic' if kept else 'custom'}_plan")
    async with connection.transaction():
        await statement.fetch(*arguments[name])
    if not kept:
        for subscription in subscriptions:
            await piled_up(desk, subscription, 11, "pending")
        await connection.execute("analyze deliveries")
    await piled_up(desk, dead, 30_000, "pending")
    async with connection.transaction():
        before = await read(desk)
        await statement.fetch(*arguments[name])
        assert await read(desk) - before < (12_000 if name == "backlog" else 1_000)


async def read(desk: Hooked) -> int:
    """Return how many rows of deliveries in their order, and entries of its indexes, a transaction has read so far."""
    count: int = await desk.connection.fetchval(
        """select pg_stat_get_xact_tuples_returned('deliveries'::regclass)
            + (select sum(pg_stat_get_xact_tuples_returned(i.indexrelid)) from pg_index as i
                where i.indrelid = 'deliveries'::regclass)"""
    )
    return count


async def test_two_workers_at_once_send_each_once(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    for _ in range(30):
        await desk.cancelled()
    await desk.told()
    taken = await asyncio.gather(*(claimed(desk, subscription, room=5) for _ in range(10)))
    assert len([one for part in taken for one in part]) == len({one.id for part in taken for one in part}) == 30


async def test_what_is_recovered_has_all_its_tries_again(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = 500
    subscription = await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    await desk.cancelled()
    await desk.told()
    await desk.connection.execute("update deliveries set state = 'failed', due_at = null, attempts = 10")
    assert await desk.webhooks.deliveries.recover(subscription, desk.clock.now() - timedelta(days=1)) == 1
    await desk.worker.work_once()
    (delivery,) = await desk.deliveries(subscription)
    assert (delivery.state, delivery.attempts) == ("pending", 11)
    assert delivery.due_at == desk.clock.now() + timedelta(seconds=5)


async def test_who_claims_passes_by_what_another_is_claiming(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    for _ in range(8):
        await desk.cancelled()
    await desk.told()
    now = desk.clock.now()
    async with desk.connection.transaction():
        other = await desk.connection.fetch(
            queries("deliveries")["claim"], [subscription.id], [5], now, now + timedelta(seconds=30)
        )
        async with asyncio.timeout(5):
            own = await claimed(desk, subscription)
    assert (len(other), len(own)) == (5, 3)
    assert not {row["id"] for row in other} & {one.id for one in own}
    assert await claimed(desk, subscription) == []


async def test_a_key_that_cannot_be_opened_is_a_failed_attempt(apart: Hooked, receiver: Receiver) -> None:
    desk = apart
    subscription = await desk.subscribed(receiver.url())
    await desk.connection.execute("delete from signing_keys")
    await desk.cancelled()
    await desk.worker.work_once()
    (delivery,) = await desk.deliveries(subscription)
    assert (delivery.state, delivery.error) == ("pending", "the message could not be signed")
    assert receiver.requests == []
    assert timedelta(0) < (delivery.due_at or desk.clock.now()) - desk.clock.now()


@pytest.mark.parametrize("beside", ["recover", "delete"])
async def test_who_takes_many_rows_at_once_never_blocks_who_records(desk: Hooked, beside: str) -> None:
    """Both finish, in whichever order each of them has the same rows."""
    dice = random.Random(new_seed())
    webhooks = desk.webhooks
    subscriptions = [await desk.subscribed(f"http://127.0.0.1:9/{n}", event_types=OF_ORDERS) for n in range(6)]
    for _ in range(150):
        await desk.cancelled()
    await desk.told()
    for subscription in subscriptions:
        taken = await claimed(desk, subscription, room=150)
        attempt = Attempt(status=500, took_ms=1, error=None, body="", retry_after_seconds=None)
        again = Verdict(state=PENDING, due_at=desk.clock.now())
        now = desk.clock.now()
        outcomes = [Outcome(claimed=one, attempt=attempt, began_at=now, ended_at=now, verdict=again) for one in taken]
        other = (
            webhooks.deliveries.recover(subscription, desk.clock.now() - timedelta(days=1))
            if beside == "recover"
            else webhooks.subscriptions.delete(subscription)
        )
        await asyncio.gather(webhooks.deliveries.record(dice.sample(outcomes, k=len(outcomes))), other)
    while await desk.worker.keep_house():
        pass
    assert {row.state for row in await desk.deliveries()} == {"pending" if beside == "recover" else "failed"}


async def test_messages_by_hand_are_bounded_for_each_owner(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = NEVER
    slow = await desk.subscribed(receiver.url())
    other = await desk.subscribed(receiver.url("/other"), owner_id=B)
    held = [asyncio.create_task(desk.webhooks.deliveries.send_test(slow)) for _ in range(4)]
    await receiver.arrived(4)
    with pytest.raises(Refusal) as refused:
        await desk.webhooks.deliveries.send_test(slow)
    assert refused.value.code is Code.RATE_LIMITED
    theirs = asyncio.create_task(desk.webhooks.deliveries.send_test(other))
    await receiver.arrived(5)
    receiver.answer = 200
    receiver.release()
    assert all(sent.success for sent in await asyncio.gather(*held, theirs))
    assert (await desk.webhooks.deliveries.send_test(slow)).success


async def test_a_test_message_sent_again_is_no_more_than_that(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = 500
    subscription = await desk.subscribed(receiver.url())
    sent = await desk.webhooks.deliveries.send_test(subscription)
    again = await desk.webhooks.deliveries.send_now(subscription, sent.delivery_id)
    assert (again.success, again.attempt_number) == (False, 2)
    await later(desk, seconds=10**6)
    assert len(receiver.requests) == 2
    assert [row.state for row in await desk.deliveries(subscription)] == ["failed"]
    assert (await desk.now(subscription)).consecutive_failures == 0


async def test_what_an_old_receiver_did_says_nothing_of_the_new_one(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = lambda request: 410 if request.path == "/old" else 200
    subscription = await desk.subscribed(receiver.url("/old"))
    await desk.cancelled()
    await desk.told()
    (late,) = await claimed(desk, subscription)
    moved = await desk.webhooks.subscriptions.change(subscription, Change(url=receiver.url("/new")))
    await desk.webhooks.deliveries.record([await desk.webhooks.deliveries.send(late)])
    after = await desk.now(moved)
    assert (after.is_active, after.consecutive_failures, after.disabled_reason) == (True, 0, None)


async def test_one_lanes_work_waits_for_no_other_lane(desk: Hooked, receiver: Receiver) -> None:
    receiver.answer = lambda request: NEVER if request.path == "/other" else 200
    other = await new_lane(desk.lane.dsn, clock=desk.clock)
    await desk.subscribed(receiver.url("/other"), lane=other.number, event_types=["account.balance_updated"])
    await submit(desk.program.desk.engine, other.number, Deposit(account_id=FA1, units=1, reason="wire", reference="1"))
    await desk.subscribed(receiver.url())
    await desk.cancelled()
    await desk.worker.work_once(desk.lane.number)
    assert [request.path for request in receiver.requests] == ["/hook"]
    await desk.connection.execute("update lanes set closed_at = now() where lane = $1", other.number)


async def test_what_closed_lanes_and_deleted_subscriptions_leave_behind_ends(apart: Hooked, receiver: Receiver) -> None:
    desk = apart
    subscription = await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    deleted = await desk.subscribed(receiver.url("/deleted"), event_types=OF_ORDERS)
    for _ in range(3):
        await desk.cancelled()
    await desk.told()
    await desk.webhooks.subscriptions.delete(deleted)
    await desk.worker.keep_house()
    states = {row.state for row in await desk.deliveries(deleted)}
    assert states == {"failed"}
    assert {row.state for row in await desk.deliveries(subscription)} == {"pending"}
    await desk.connection.execute("update lanes set closed_at = now() where lane = $1", desk.lane.number)
    await desk.worker.keep_house()
    assert {row.state for row in await desk.deliveries(subscription)} == {"failed"}
    desk.clock.advance(seconds=1)
    await desk.worker.keep_house()
    assert await desk.connection.fetchval("select count(*) from signing_keys") == 0
    assert await desk.connection.fetchval("select count(*) from sealed_secrets") == 0


async def test_counting_what_fits_a_search_is_bounded(desk: Hooked, receiver: Receiver) -> None:
    subscription = await desk.subscribed(receiver.url(), event_types=OF_ORDERS)
    await piled_up(desk, subscription, 10_100, "failed")
    page = await desk.webhooks.deliveries.page(desk.lane.number, limit=5, offset=0)
    assert (len(page.rows), page.total) == (5, 10_000)


async def piled_up(desk: Hooked, subscription: Subscription, number: int, state: str) -> None:
    """Put so many deliveries there; those that are pending are due now."""
    await desk.connection.execute(_MANY, desk.lane.number, subscription.id, desk.clock.now(), number, state)


_MANY = """insert into deliveries (
    id, lane, subscription_id, event_id, event_type, subject_id, subject_version, body, state, due_at, created_at
) select gen_random_uuid(), $1, $2, 'evt', 'conversion.cancelled', gen_random_uuid(), 1, '', $5,
    case when $5 = 'pending' then $3::timestamptz end, $3
from generate_series(1, $4)"""

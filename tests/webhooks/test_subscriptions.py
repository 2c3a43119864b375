"""Subscriptions: what may be subscribed to, where, how many, from when on; changed, switched, deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from otcdesk.app import ENVELOPES
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.envelope import KeyKind
from otcdesk.webhooks.sender import Sender
from otcdesk.webhooks.subscriptions import Change, Subscription, Subscriptions, Wanted, must_be_active
from tests.support.desk import A, B, new_lane
from tests.support.hooked import Hooked, hooked
from tests.support.waiting import until

URL = "http://127.0.0.1:9/hook"


@pytest.fixture
async def desk(shared_dsn: str, shared_home: Path) -> AsyncIterator[Hooked]:
    async with hooked(shared_dsn, shared_home) as made:
        yield made


def wanted(desk: Hooked, **changes: Any) -> Wanted:
    good: dict[str, Any] = {
        "lane": desk.lane.number,
        "owner_id": A,
        "envelope": "standard",
        "url": URL,
        "event_types": ["conversion.completed"],
    }
    return Wanted(**{**good, **changes})


async def created(desk: Hooked, **changes: Any) -> Subscription:
    return (await desk.webhooks.subscriptions.create(wanted(desk, **changes))).subscription


async def refused(code: Code, work: Any) -> str:
    with pytest.raises(Refusal) as caught:
        await work
    assert caught.value.code is code
    return caught.value.detail


async def changed(desk: Hooked, subscription: Subscription, **change: Any) -> Subscription:
    return await desk.webhooks.subscriptions.change(subscription, Change(**change))


async def places(desk: Hooked) -> list[int]:
    rows = await desk.connection.fetch(
        "select place from subscriptions where lane = $1 and deleted_at is null order by place", desk.lane.number
    )
    return [row[0] for row in rows]


async def live_secrets(desk: Hooked) -> int:
    """Count the secrets of the lane's subscriptions that still sign."""
    found: int = await desk.connection.fetchval(
        "select count(*) from sealed_secrets as s join signing_keys as k on k.id::text = s.owner"
        " join subscriptions as o on o.id::text = k.owner where o.lane = $1 and k.retires_at is null",
        desk.lane.number,
    )
    return found


async def position(desk: Hooked) -> int:
    found: int = await desk.connection.fetchval("select seq from outbox_positions where lane = $1", desk.lane.number)
    return found


async def head(desk: Hooked) -> int:
    found: int = await desk.connection.fetchval("select max(seq) from batches where lane = $1", desk.lane.number)
    return found


# -- making ------------------------------------------------------------------------------------------------------------


async def test_a_subscription_is_kept_as_it_was_wanted(desk: Hooked) -> None:
    made = await created(desk, description="my hook", event_types=["conversion.completed", "conversion.expired"])
    assert made.event_types == ["conversion.completed", "conversion.expired"]
    assert (made.lane, made.owner_id, made.envelope, made.url) == (desk.lane.number, A, "standard", URL)
    assert (made.description, made.is_active, made.consecutive_failures) == ("my hook", True, 0)
    assert made.created_at == made.updated_at == desk.clock.now()
    assert (made.disabled_at, made.disabled_reason, made.failing_since) == (None, None, None)
    subscriptions = desk.webhooks.subscriptions
    assert await subscriptions.find(desk.lane.number, made.id) == made
    assert await subscriptions.of_owner(desk.lane.number, A) == [made]
    assert await subscriptions.of_lane(desk.lane.number, limit=5, offset=0) == [made]
    assert await subscriptions.count(desk.lane.number) == 1


async def test_repeated_event_types_are_named_once(desk: Hooked) -> None:
    made = await created(desk, event_types=["conversion.failed", "conversion.completed", "conversion.failed"])
    assert made.event_types == ["conversion.failed", "conversion.completed"]


UNKNOWN_TYPES: list[tuple[dict[str, Any], list[str]]] = [
    ({"event_types": ["conversion.completed", "no.such", "other\x00"]}, ["'no.such'", r"'other\x00'"]),
    ({"event_types": ["webhook.disabled"]}, ["'webhook.disabled'"]),
    ({"event_types": ["otc_exchange.created"]}, ["'otc_exchange.created'"]),
    ({"envelope": "exchanges", "event_types": ["conversion.failed"]}, ["'conversion.failed'"]),
]


async def test_unknown_event_types_are_refused_by_name(desk: Hooked) -> None:
    for changes, named in UNKNOWN_TYPES:
        sentence = await refused(Code.EVENT_TYPE_UNKNOWN, created(desk, **changes))
        assert sentence == f"There is no event type {', '.join(named)}."
    assert await places(desk) == []


async def test_the_desk_may_name_what_only_operators_hear(desk: Hooked) -> None:
    assert (await created(desk, owner_id=DESK_ID, event_types=["webhook.disabled"])).owner_id == DESK_ID


UNKEPT: list[dict[str, Any]] = [
    {"event_types": []},
    {"event_types": ["conversion.completed"] * 101},
    {"description": "x" * 501},
    {"description": "a\x00b"},
    {"envelope": "nobodys"},
    {"key_kind": KeyKind.ECDSA_P384},
    {"envelope": "exchanges", "event_types": ["otc_exchange.created"], "key_kind": KeyKind.ED25519},
    {"envelope": "ramp", "event_types": ["Transaction"], "key_kind": KeyKind.ECDSA_P384},
]


async def test_what_may_not_be_kept_is_refused(desk: Hooked) -> None:
    for changes in UNKEPT:
        await refused(Code.REQUEST_INVALID, created(desk, **changes))
    assert await places(desk) == []


async def test_the_longest_that_may_be_kept(desk: Hooked) -> None:
    made = await created(desk, description="é" * 500, event_types=["conversion.completed"] * 100)
    assert len(made.description or "") == 500


# -- URLs --------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def resolving(desk: Hooked, **known: list[str]) -> AsyncIterator[Subscriptions]:
    """Give the subscriptions of a desk that is not a sandbox, in a network with these hosts."""

    async def resolve(host: str, port: int) -> list[str]:
        del port
        if host not in known:
            raise OSError
        return known[host]

    how: dict[str, Any] = {"timeout_ms": 1_000, "ca_file": "", "response_bytes_max": 10, "connections_max": 2}
    async with Sender.opened(local=False, resolve=resolve, **how) as sender:
        yield Subscriptions(
            reads=desk.program.desk.reads,
            keys=desk.webhooks.keys,
            sender=sender,
            envelopes=ENVELOPES,
            clock=desk.clock,
            local=False,
        )


CLOSED_URLS = {
    "nothing like it": Code.SUBSCRIPTION_URL_INVALID,
    "http://outside.example/": Code.SUBSCRIPTION_URL_INVALID,
    "https://user:word@outside.example/": Code.SUBSCRIPTION_URL_INVALID,
    "https://10.0.0.1/": Code.SUBSCRIPTION_URL_FORBIDDEN,
    "https://127.0.0.1/": Code.SUBSCRIPTION_URL_FORBIDDEN,
    "https://inside.example/": Code.SUBSCRIPTION_URL_FORBIDDEN,
    "https://both.example/": Code.SUBSCRIPTION_URL_FORBIDDEN,
    "https://nowhere.example/": Code.SUBSCRIPTION_URL_UNRESOLVED,
}


async def test_a_url_that_is_not_public_is_refused_at_first_and_at_every_change(desk: Hooked) -> None:
    hosts = {
        "outside.example": ["93.184.216.34"],
        "inside.example": ["192.168.1.1"],
        "both.example": ["93.184.216.34", "10.0.0.1"],
    }
    async with resolving(desk, **hosts) as subscriptions:
        made = (await subscriptions.create(wanted(desk, url="https://outside.example/hook"))).subscription
        for url, code in CLOSED_URLS.items():
            await refused(code, subscriptions.create(wanted(desk, url=url)))
            await refused(code, subscriptions.change(made, Change(url=url)))
        assert await subscriptions.of_owner(made.lane, A) == [made]


async def test_what_cannot_be_kept_costs_no_lookup(desk: Hooked) -> None:
    """Places and the URL are judged before its host, which cannot be found here."""
    async with resolving(desk, **{"outside.example": ["93.184.216.34"]}) as subscriptions:
        there = wanted(desk, url="https://outside.example/")
        await subscriptions.create(there)
        await refused(Code.SUBSCRIPTION_URL_UNRESOLVED, subscriptions.create(wanted(desk, url="https://gone.example/")))
    async with resolving(desk) as subscriptions:
        await refused(Code.SUBSCRIPTION_URL_TAKEN, subscriptions.create(there))
        for number in range(9):
            await created(desk, url=f"{URL}{number}")
        await refused(Code.SUBSCRIPTIONS_EXHAUSTED, subscriptions.create(wanted(desk, url="https://gone.example/")))


async def test_a_url_is_kept_in_its_one_spelling(desk: Hooked) -> None:
    async with resolving(desk, **{"outside.example": ["93.184.216.34"]}) as subscriptions:
        made = (await subscriptions.create(wanted(desk, url="HTTPS://Outside.EXAMPLE:443"))).subscription
        assert made.url == "https://outside.example/"
        await refused(
            Code.SUBSCRIPTION_URL_TAKEN, subscriptions.create(wanted(desk, url="https://outside.example:443/"))
        )


async def test_a_url_may_be_given_once(desk: Hooked) -> None:
    first = await created(desk)
    await refused(Code.SUBSCRIPTION_URL_TAKEN, created(desk))
    other = await created(desk, url=URL + "2")
    await refused(Code.SUBSCRIPTION_URL_TAKEN, changed(desk, other, url=URL))
    assert await changed(desk, first, url=URL) == first
    await created(desk, owner_id=B)
    await created(desk, envelope="exchanges", event_types=["otc_exchange.created"])
    await desk.webhooks.subscriptions.delete(first)
    await created(desk)


async def test_of_equal_urls_at_once_one_is_made(desk: Hooked) -> None:
    tries = await asyncio.gather(*(created(desk) for _ in range(6)), return_exceptions=True)
    assert len([one for one in tries if isinstance(one, Subscription)]) == 1
    assert {one.code for one in tries if isinstance(one, Refusal)} == {Code.SUBSCRIPTION_URL_TAKEN}
    assert await places(desk) == [1]


# -- places ------------------------------------------------------------------------------------------------------------


async def test_an_owner_has_ten_places_and_the_lowest_free_one_is_taken(desk: Hooked) -> None:
    made = [await created(desk, url=f"{URL}{number}") for number in range(10)]
    await refused(Code.SUBSCRIPTIONS_EXHAUSTED, created(desk, url=f"{URL}more"))
    await created(desk, owner_id=B)
    await created(desk, owner_id=DESK_ID)
    for one in (made[6], made[2]):
        await desk.webhooks.subscriptions.delete(one)
    fresh = await created(desk, url=f"{URL}more")
    place = await desk.connection.fetchval("select place from subscriptions where id = $1", fresh.id)
    assert place == 3


async def test_of_fourteen_at_once_ten_are_made(desk: Hooked) -> None:
    tries = await asyncio.gather(*(created(desk, url=f"{URL}{number}") for number in range(14)), return_exceptions=True)
    assert len([one for one in tries if isinstance(one, Subscription)]) == 10
    assert {one.code for one in tries if isinstance(one, Refusal)} == {Code.SUBSCRIPTIONS_EXHAUSTED}
    assert await places(desk) == list(range(1, 11))
    assert await live_secrets(desk) == 10


# -- from when on ------------------------------------------------------------------------------------------------------


async def test_a_lanes_first_subscription_begins_at_its_head(desk: Hooked) -> None:
    await desk.cancelled()
    now = await head(desk)
    assert (await created(desk)).from_seq == now > 1
    assert await position(desk) == now


async def test_a_second_one_leaves_what_the_first_is_still_to_be_told(desk: Hooked) -> None:
    first = await created(desk)
    await desk.cancelled()
    second = await created(desk, url=URL + "2")
    assert second.from_seq == await head(desk) > first.from_seq == await position(desk)


async def test_when_all_are_deleted_the_next_one_begins_at_the_head_again(desk: Hooked) -> None:
    await desk.webhooks.subscriptions.delete(await created(desk))
    await desk.cancelled()
    assert (await created(desk)).from_seq == await position(desk) == await head(desk)


async def test_nothing_is_lost_to_one_that_is_made_while_its_lane_is_told(desk: Hooked) -> None:
    """Whoever tells a part has the position and has read who listens; what is committed meanwhile is not in it."""
    await created(desk)
    await desk.cancelled()
    other = await asyncpg.connect(desk.lane.dsn)
    telling = other.transaction()
    await telling.start()
    await other.fetchval("select seq from outbox_positions where lane = $1 for update", desk.lane.number)
    making = asyncio.create_task(created(desk, url=URL + "2"))
    await until(lambda: _waits(desk), "the maker waits")
    await desk.cancelled()
    told = await head(desk)
    await other.execute("update outbox_positions set seq = $2 where lane = $1", desk.lane.number, told)
    await telling.commit()
    await other.close()
    assert (await making).from_seq == told


async def _waits(desk: Hooked) -> bool:
    found: bool = await desk.connection.fetchval(
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
    )
    return found


async def test_lanes_have_nothing_to_do_with_one_another(desk: Hooked) -> None:
    lane = await new_lane(desk.lane.dsn, clock=desk.clock)
    made = await created(desk)
    await created(desk, lane=lane.number)
    await refused(Code.SUBSCRIPTION_NOT_FOUND, desk.webhooks.subscriptions.find(lane.number, made.id))


# -- changing ----------------------------------------------------------------------------------------------------------


async def test_what_is_not_named_stays(desk: Hooked) -> None:
    made = await created(desk, description="first")
    desk.clock.advance(seconds=1)
    other = await changed(desk, made, url=URL + "2")
    assert (other.url, other.description, other.event_types) == (URL + "2", "first", made.event_types)
    assert other.updated_at == made.updated_at + timedelta(seconds=1)
    assert other.created_at == made.created_at
    assert (await changed(desk, other, description=None)).description is None
    types = ["conversion.failed", "conversion.expired", "conversion.failed"]
    assert (await changed(desk, other, event_types=types)).event_types == types[:2]
    assert (await changed(desk, other, is_active=False)).is_active is False
    kept = await desk.now(made)
    assert (kept.url, kept.event_types, kept.is_active) == (URL + "2", types[:2], False)


BAD_CHANGES: list[tuple[dict[str, Any], Code]] = [
    ({"event_types": ["no.such"]}, Code.EVENT_TYPE_UNKNOWN),
    ({"event_types": ["webhook.disabled"]}, Code.EVENT_TYPE_UNKNOWN),
    ({"event_types": []}, Code.REQUEST_INVALID),
    ({"description": "a\x00b"}, Code.REQUEST_INVALID),
    ({"url": "ftp://127.0.0.1/"}, Code.SUBSCRIPTION_URL_INVALID),
]


async def test_a_change_is_checked_as_a_new_one(desk: Hooked) -> None:
    made = await created(desk)
    for change, code in BAD_CHANGES:
        await refused(code, changed(desk, made, is_active=False, **change))
    assert await desk.now(made) == made


async def test_changes_at_once_both_happen(desk: Hooked) -> None:
    made = await created(desk)
    for number in range(5):
        await asyncio.gather(changed(desk, made, description=str(number)), changed(desk, made, url=f"{URL}{number}"))
        kept = await desk.now(made)
        assert (kept.description, kept.url) == (str(number), f"{URL}{number}")


async def test_switching_on_forgets_all_failures(desk: Hooked) -> None:
    made = await created(desk)
    await desk.connection.execute(
        "update subscriptions set is_active = false, consecutive_failures = 7, failing_since = $1, disabled_at = $1,"
        " disabled_reason = 'failed' where id = $2",
        desk.clock.now(),
        made.id,
    )
    disabled = await changed(desk, made, description="still off")
    assert (disabled.is_active, disabled.consecutive_failures, disabled.disabled_reason) == (False, 7, "failed")
    with pytest.raises(Refusal) as caught:
        must_be_active(disabled)
    assert caught.value.code is Code.SUBSCRIPTION_INACTIVE
    on = await changed(desk, made, is_active=True)
    assert must_be_active(on) == on
    assert (on.is_active, on.consecutive_failures, on.failing_since) == (True, 0, None)
    assert (on.disabled_at, on.disabled_reason) == (None, None)


async def failing(desk: Hooked, subscription: Subscription) -> None:
    await desk.connection.execute(
        "update subscriptions set consecutive_failures = 7, failing_since = $1, held_until = $1 where id = $2",
        desk.clock.now(),
        subscription.id,
    )


async def held_until(desk: Hooked, subscription: Subscription) -> Any:
    return await desk.connection.fetchval("select held_until from subscriptions where id = $1", subscription.id)


async def test_another_url_has_nothing_of_the_record_of_the_one_before(desk: Hooked) -> None:
    made = await created(desk)
    await failing(desk, made)
    same = await changed(desk, made, url=URL, description="the same URL")
    assert (same.consecutive_failures, same.failing_since) == (7, desk.clock.now())
    assert await held_until(desk, made) == desk.clock.now()
    other = await changed(desk, made, url=URL + "2")
    assert (other.consecutive_failures, other.failing_since) == (0, None)
    assert await held_until(desk, made) is None


async def test_switching_on_what_is_on_forgets_nothing(desk: Hooked) -> None:
    made = await created(desk)
    await failing(desk, made)
    on = await changed(desk, made, is_active=True)
    assert (on.consecutive_failures, on.failing_since) == (7, desk.clock.now())
    assert await held_until(desk, made) == desk.clock.now()


async def test_the_desks_own_pair_is_not_replaced_by_one_subscription(desk: Hooked) -> None:
    kind = sorted(ENVELOPES.named("ramp").event_types)[:1]
    made = await created(desk, envelope="ramp", event_types=kind)
    await refused(Code.REQUEST_INVALID, desk.webhooks.subscriptions.rotate(made))


# -- deleting ----------------------------------------------------------------------------------------------------------


async def test_a_deleted_subscription_is_gone_and_told_nothing_any_more(desk: Hooked) -> None:
    made, other = await created(desk), await created(desk, url=URL + "2", event_types=["conversion.cancelled"])
    await changed(desk, made, event_types=["conversion.cancelled"])
    await desk.cancelled()
    await desk.told()
    await desk.webhooks.subscriptions.delete(made)
    desk.clock.advance(seconds=1)
    await desk.worker.work_once(desk.lane.number)
    assert [row.attempts for row in await desk.deliveries(made)] == [0]
    assert [row.attempts for row in await desk.deliveries(other)] == [1]
    subscriptions = desk.webhooks.subscriptions
    for work in (
        subscriptions.find(made.lane, made.id),
        subscriptions.rotate(made),
        subscriptions.delete(made),
        changed(desk, made, is_active=True),
    ):
        await refused(Code.SUBSCRIPTION_NOT_FOUND, work)
    assert [row.id for row in await subscriptions.of_owner(made.lane, A)] == [other.id]
    assert await subscriptions.count(made.lane) == 1
    assert await live_secrets(desk) == 1


async def test_who_deletes_waits_for_nobody_but_who_has_the_subscription(desk: Hooked) -> None:
    """Whoever records attempts has deliveries and then wants their subscription; whoever tells has the position."""
    made = await created(desk, event_types=["conversion.cancelled"])
    await desk.cancelled()
    await desk.told()
    other = await asyncpg.connect(desk.lane.dsn)
    try:
        async with other.transaction():
            await other.fetch("select from outbox_positions where lane = $1 for update", made.lane)
            await other.execute("update deliveries set attempts = 1 where subscription_id = $1", made.id)
            await asyncio.wait_for(desk.webhooks.subscriptions.delete(made), 5)
            await other.execute("update subscriptions set consecutive_failures = 1 where id = $1", made.id)
    finally:
        await other.close()
    assert await live_secrets(desk) == 0


# -- who sees what -----------------------------------------------------------------------------------------------------


async def test_another_owners_and_another_envelopes_look_as_if_they_did_not_exist(desk: Hooked) -> None:
    made = await created(desk)
    subscriptions: Subscriptions = desk.webhooks.subscriptions
    assert await subscriptions.find(made.lane, made.id, owner_id=A, envelope="standard") == made
    hidden: list[dict[str, Any]] = [{"owner_id": B}, {"envelope": "exchanges"}, {"owner_id": DESK_ID}]
    for whose in hidden:
        await refused(Code.SUBSCRIPTION_NOT_FOUND, subscriptions.find(made.lane, made.id, **whose))
    await refused(Code.SUBSCRIPTION_NOT_FOUND, subscriptions.find(made.lane, UUID(int=7)))
    assert await subscriptions.of_owner(made.lane, A, "exchanges") == []
    assert await subscriptions.of_owner(made.lane, B) == []


async def test_a_lanes_subscriptions_come_in_pages(desk: Hooked) -> None:
    several = []
    for number, owner_id in enumerate([A, B, A, DESK_ID]):
        several.append(await created(desk, url=f"{URL}{number}", owner_id=owner_id))
        desk.clock.advance(milliseconds=1)
    subscriptions, lane = desk.webhooks.subscriptions, desk.lane.number
    assert await subscriptions.of_lane(lane, limit=2, offset=1) == several[1:3]
    assert await subscriptions.of_lane(lane, owner_id=A, limit=5, offset=0) == [several[0], several[2]]
    assert await subscriptions.count(lane, owner_id=A) == 2
    assert await subscriptions.count(lane) == 4

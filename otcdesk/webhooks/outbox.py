"""The outbox: what lanes have committed becomes deliveries, none missed and none twice.

The outbox is the books themselves. An order's events and a cash account's entries commit with the batch that causes
them; batches of a lane have no gaps and become visible in their order. So one position in each lane is all that has to
be kept, and it moves in the same database transaction that makes the deliveries.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from otcdesk.clock import Clock
from otcdesk.domain.event_types import (
    BALANCE_UPDATED,
    ORDER_MOVES,
    BrokerageFacts,
    CheckoutFacts,
    EventType,
    Occurrence,
    OutsideFacts,
    PayoutFacts,
    occurrence_id,
)
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import CASH, Account
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.storage.queries import queries
from otcdesk.webhooks.envelope import Envelopes, Told
from otcdesk.webhooks.subscriptions import Subscription

log = structlog.get_logger()

#: About so many rows are told in one database transaction; a batch is never told in part.
ROWS_AT_ONCE = 1_000


class _Before(msgspec.Struct):
    name: str
    state: str


class _StoredEvent(msgspec.Struct):
    seq: int
    event: Event
    order: Order
    before: list[_Before]
    tenant_name: str
    brokerage: BrokerageFacts | None = None
    payout: PayoutFacts | None = None
    outside: OutsideFacts | None = None
    checkout: CheckoutFacts | None = None


class _StoredEntry(msgspec.Struct):
    seq: int
    version: int
    balance: int
    booked_at: datetime
    account: Account
    scale: int


#: An occurrence, and the batch that it was committed with.
Placed = tuple[int, Occurrence]

#: What a new delivery is made of; see `deliver` in outbox.sql.
_Row = tuple[UUID, UUID, str, str, UUID, int, bytes]

_read_event = msgspec.json.Decoder(_StoredEvent).decode
_read_entry = msgspec.json.Decoder(_StoredEntry).decode
_read_subscription = msgspec.json.Decoder(Subscription).decode


class Outbox:
    """Turns what lanes have committed into deliveries."""

    def __init__(
        self, pool: asyncpg.Pool, envelopes: Envelopes, clock: Clock, *, rows_at_once: int = ROWS_AT_ONCE
    ) -> None:
        self._pool = pool
        self._envelopes = envelopes
        self._clock = clock
        self._rows_at_once = rows_at_once
        self._queries = queries("outbox")
        #: Whether anybody had subscribed to anything when it was last looked at.
        self.listened = False

    async def fan_out(self, only: int | None = None) -> int:
        """Tell every lane's next part to its subscriptions; returns how many lanes went on, none once all is told.

        `only`: this lane. One that cannot be told holds up no other: its error is raised when the others are told.
        """
        (found,) = await self._pool.fetch(self._queries["behind"], only)
        if only is None:
            self.listened = found["listened"]
        told, errors = 0, []
        for lane in found["lanes"]:
            try:
                told += await self._one_part(lane)
            except Exception as error:  # noqa: BLE001  (raised below)
                error.add_note(f"in lane {lane}")
                errors.append(error)
        if errors:
            raise errors[0]
        return told

    async def _one_part(self, lane: int) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            place = await connection.fetchrow(self._queries["take"], lane)
            if place is None or place["head"] is None or place["head"] <= place["seq"]:
                return False  # somebody else is at it
            last = await self._part(connection, lane, place["seq"], place["head"])
            listening = [
                _read_subscription(row[0]) for row in await connection.fetch(self._queries["subscriptions"], lane)
            ]
            await self._deliver(connection, "deliver", lane, listening, place["seq"], last)
            await connection.execute(self._queries["move"], lane, last)
            return True

    async def untold_batches(self) -> int:
        """Return how many batches of lanes that somebody listens to are not told yet."""
        count: int = await self._pool.fetchval(self._queries["untold"])
        return count

    async def recover(self, subscription: Subscription, since: datetime) -> int:
        """Make a subscription's deliveries since a time due again unless they arrived, and those that were never made.

        `since` is by the machine's clock, not a lane's. Nothing from before the subscription is told.
        """
        lane, count = subscription.lane, 0
        position = await self._pool.fetchval(self._queries["before"], lane, since)
        position = max(position, subscription.from_seq)
        told: int = await self._pool.fetchval(self._queries["position"], lane) or 0
        while position < told:
            async with self._pool.acquire() as connection, connection.transaction():
                last = await self._part(connection, lane, position, told)
                count += await self._deliver(connection, "deliver_again", lane, [subscription], position, last)
            position = last
        return count

    async def _part(self, connection: Any, lane: int, after: int, at_most: int) -> int:
        last: int = await connection.fetchval(self._queries["part"], lane, after, at_most, self._rows_at_once)
        return last

    async def _deliver(
        self, connection: Any, how: str, lane: int, listening: Sequence[Subscription], after: int, last: int
    ) -> int:
        if not listening:
            return 0
        owners = {subscription.owner_id for subscription in listening}
        tenants = None if DESK_ID in owners else sorted(owners)
        placed = [*await self._events(connection, lane, after, last, tenants)]
        if self._some_want_balances(listening):
            placed += await self._entries(connection, lane, after, last, tenants)
            placed.sort(key=lambda one: one[0])
        return await self._insert(connection, how, lane, self._addressed(placed, listening))

    async def tell(self, connection: Any, occurrence: Occurrence, listening: Sequence[Subscription]) -> None:
        """Make the deliveries of an occurrence that no batch wrote, in the transaction that brought it about."""
        await self._insert(connection, "deliver", occurrence.lane, [*self._rows(occurrence, listening)])

    async def _insert(self, connection: Any, how: str, lane: int, rows: Sequence[_Row]) -> int:
        if not rows:
            return 0
        made = await connection.fetch(self._queries[how], lane, *zip(*rows, strict=True), self._clock.now())
        return len(made)

    async def _events(
        self, connection: Any, lane: int, after: int, last: int, tenants: list[UUID] | None
    ) -> list[Placed]:
        found = await connection.fetch(self._queries["events"], lane, after, last, tenants)
        return [placed for row in found if (placed := _read_safely(_of_event_row, lane, row[0])) is not None]

    async def _entries(
        self, connection: Any, lane: int, after: int, last: int, tenants: list[UUID] | None
    ) -> list[Placed]:
        found = await connection.fetch(self._queries["entries"], lane, after, last, tenants, CASH)
        return [placed for row in found if (placed := _read_safely(_of_entry_row, lane, row[0])) is not None]

    def _some_want_balances(self, listening: Sequence[Subscription]) -> bool:
        """Tell whether somebody listens to what entries say: most desks' listeners do not, and entries are many."""
        return any(
            not self._envelopes.named(subscription.envelope).balance_types.isdisjoint(subscription.event_types)
            for subscription in listening
        )

    def _addressed(self, placed: Sequence[Placed], listening: Sequence[Subscription]) -> list[_Row]:
        by_owner: dict[UUID, list[Subscription]] = {}
        for subscription in listening:
            by_owner.setdefault(subscription.owner_id, []).append(subscription)

        def near(seq: int, occurrence: Occurrence) -> list[Subscription]:
            """Return who may have to do with it: few, however many listen to the lane."""
            owners = dict.fromkeys((occurrence.tenant_id, DESK_ID))
            return [one for owner_id in owners for one in by_owner.get(owner_id, ()) if seq > one.from_seq]

        return [row for seq, occurrence in placed for row in self._rows(occurrence, near(seq, occurrence))]

    def _rows(self, occurrence: Occurrence, listening: Sequence[Subscription]) -> Iterator[_Row]:
        """Say an occurrence to each subscription that may and wants to hear it; once in the words of each envelope."""
        said: dict[str, Told | None] = {}
        for subscription in listening:
            if not may_hear(subscription, occurrence):
                continue
            name = subscription.envelope
            if name not in said:
                said[name] = self._said(name, occurrence)
            told = said[name]
            if told is not None and told.event_type in subscription.event_types:
                yield (
                    self._clock.new_id(),
                    subscription.id,
                    occurrence.id,
                    told.event_type,
                    occurrence.subject_id,
                    occurrence.subject_version,
                    told.body,
                )

    def _said(self, envelope: str, occurrence: Occurrence) -> Told | None:
        """Say an occurrence; one that cannot be said must not hold up all that come after it in its lane.

        It is in the log. Once the mistake is mended, `recover` tells it.
        """
        try:
            return self._envelopes.named(envelope).told(occurrence)
        except Exception:
            log.exception("event_cannot_be_told", envelope=envelope, event_id=occurrence.id)
            return None


def _read_safely(read: Callable[[int, str], Placed], lane: int, row: str) -> Placed | None:
    """Read a row; one that cannot be read must not hold up all that come after it in its lane. It is in the log."""
    try:
        return read(lane, row)
    except Exception:
        log.exception("event_cannot_be_read", lane=lane)
        return None


def may_hear(subscription: Subscription, occurrence: Occurrence) -> bool:
    """Tell whether a subscription's owner may see an occurrence: its own, or for the desk itself everybody's."""
    if subscription.owner_id == DESK_ID:
        return True
    return occurrence.type.for_tenants and subscription.owner_id == occurrence.tenant_id


def _of_event_row(lane: int, row: str) -> Placed:
    stored = _read_event(row)
    event = stored.event
    order = stored.order.with_(state=event.state, version=event.order_version, updated_at=event.happened_at)
    if isinstance(event.rate, Decimal) and isinstance(event.destination_units, int):
        order = order.with_(rate=event.rate, destination_units=event.destination_units)
    return stored.seq, Occurrence(
        id=occurrence_id(event.order_id, event.order_version),
        type=_move(event.name, event.state),
        lane=lane,
        tenant_id=event.tenant_id,
        tenant_name=stored.tenant_name,
        subject_id=event.order_id,
        subject_version=event.order_version,
        happened_at=event.happened_at,
        order=order,
        before=tuple((_move(one.name, one.state), one.state) for one in stored.before),
        brokerage=stored.brokerage,
        payout=stored.payout,
        outside=stored.outside,
        checkout=stored.checkout,
    )


def _move(name: str, state: str) -> EventType:
    return ORDER_MOVES[name, state]


def _of_entry_row(lane: int, row: str) -> Placed:
    stored = _read_entry(row)
    account = stored.account.with_(balance=stored.balance, version=stored.version)
    return stored.seq, Occurrence(
        id=occurrence_id(account.id, stored.version),
        type=BALANCE_UPDATED,
        lane=lane,
        tenant_id=account.owner_id,
        subject_id=account.id,
        subject_version=stored.version,
        happened_at=stored.booked_at,
        account=account,
        asset_scale=stored.scale,
    )

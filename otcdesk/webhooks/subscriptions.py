"""Subscriptions: who is told what, where, and in which envelope; made, changed, switched off and on, and deleted.

An owner is a tenant or the desk itself, and has at most ten. A subscription is told what its lane commits after it was
made. Its URL is resolved when it is given; the sender does so again before every message. What is decided here is
decided in one database transaction, so that of two at once one sees the other.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from otcdesk.clock import Clock
from otcdesk.domain.event_types import CATALOGUE
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads
from otcdesk.storage.queries import queries
from otcdesk.webhooks.addresses import checked_url
from otcdesk.webhooks.envelope import Envelope, Envelopes, KeyKind
from otcdesk.webhooks.keys import MadeKey, SigningKeys, StoredKey
from otcdesk.webhooks.sender import Sender

#: Places of an owner (exchanges contract 6.1); the table's check has the same number.
SUBSCRIPTIONS_MAX: Final = 10
EVENT_TYPES_MAX: Final = 100
DESCRIPTION_CHARACTERS_MAX: Final = 500

_SHOWN_TYPE_CHARACTERS: Final = 60


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told what, where. It hears of batches after `from_seq`. `failing_since`: nothing has succeeded since.

    `failed_at`: when the last failure was counted.
    """

    id: UUID
    lane: int
    lane_kind: str
    owner_id: UUID
    envelope: str
    url: str
    event_types: list[str]
    description: str | None = None
    from_seq: int
    is_active: bool
    consecutive_failures: int
    failed_at: datetime | None = None
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    created_at: datetime
    updated_at: datetime


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription to be made. `key_kind`: None for the envelope's usual one."""

    lane: int
    owner_id: UUID
    envelope: str
    url: str
    event_types: Sequence[str]
    description: str | None = None
    key_kind: KeyKind | None = None


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription, all keys that sign for it, and the fresh one among them, whose secret is shown this once.

    There is no fresh one where the desk's own pair signs.
    """

    subscription: Subscription
    keys: list[StoredKey]
    made_key: MadeKey | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; UNSET leaves it.

    Switching on forgets all failures. So does another URL, with the pause that the receiver before has asked for: what
    one did says nothing of the other.
    """

    url: str | msgspec.UnsetType = msgspec.UNSET
    event_types: Sequence[str] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    is_active: bool | msgspec.UnsetType = msgspec.UNSET


class Subscriptions:
    """The subscriptions of one database. `local`: webhooks may go to this machine and without TLS."""

    def __init__(
        self,
        *,
        reads: Reads,
        keys: SigningKeys,
        sender: Sender,
        envelopes: Envelopes,
        clock: Clock,
        local: bool,
    ) -> None:
        self._reads = reads
        self._keys = keys
        self._sender = sender
        self._envelopes = envelopes
        self._clock = clock
        self._local = local
        self._queries = queries("subscriptions")

    # -- making and changing -----------------------------------------------------------------------------------------

    def check(self, wanted: Wanted) -> Wanted:
        """Return what is wanted as it would be kept: the URL in its one spelling, each event type once.

        Refuses REQUEST_INVALID, EVENT_TYPE_UNKNOWN, SUBSCRIPTION_URL_INVALID, SUBSCRIPTION_URL_FORBIDDEN; whether the
        URL's host can be resolved is not asked.
        """
        envelope = self._envelope(wanted.envelope)
        kind = wanted.key_kind
        if kind is not None and (kind not in envelope.key_kinds or not envelope.own_keys):
            may = ", ".join(kind.value for kind in envelope.key_kinds) if envelope.own_keys else "the desk's own"
            raise Refusal(Code.REQUEST_INVALID, f"The keys of an envelope {envelope.name} are {may}.")
        _check_description(wanted.description)
        return msgspec.structs.replace(
            wanted,
            event_types=_checked_types(envelope, wanted.owner_id, wanted.event_types),
            url=checked_url(wanted.url, local=self._local).url,
        )

    async def resolve(self, url: str) -> None:
        """Resolve a URL; refuses SUBSCRIPTION_URL_INVALID, SUBSCRIPTION_URL_FORBIDDEN, SUBSCRIPTION_URL_UNRESOLVED."""
        await self._sender.check(url)

    async def create(self, wanted: Wanted) -> Made:
        """Make a subscription, its key and its place in its lane's outbox.

        Refuses as `check` does, then SUBSCRIPTIONS_EXHAUSTED and SUBSCRIPTION_URL_TAKEN, then as `resolve` does.
        """
        wanted = self.check(wanted)
        await self._check_room(wanted)
        await self.resolve(wanted.url)
        return await self.create_resolved(wanted)

    async def create_resolved(self, wanted: Wanted) -> Made:
        """Make a subscription as `create` does, whose URL was resolved just now; refuses as it does but for that."""
        wanted = self.check(wanted)
        envelope = self._envelope(wanted.envelope)
        if not envelope.own_keys:
            await self._keys.ensure(envelope)
        try:
            async with self._reads.pool.acquire() as connection, connection.transaction():
                subscription = await self._placed(connection, wanted)
                made_key = None
                if envelope.own_keys:
                    kind = wanted.key_kind or envelope.key_kinds[0]
                    made_key = await self._keys.make_on(connection, str(subscription.id), kind)
                keys = await self._keys.live([self._keys.owner_of(subscription)], connection)
        except asyncpg.UniqueViolationError as error:
            raise _taken(error) from None
        return Made(subscription=subscription, keys=keys, made_key=made_key)

    async def _check_room(self, wanted: Wanted) -> None:
        """Refuse early what could not be kept, so that it costs no lookup; who keeps it judges again."""
        at = (wanted.lane, wanted.owner_id, wanted.envelope, wanted.url)
        obstacle = await self._reads.value("subscriptions", "obstacle", *at, SUBSCRIPTIONS_MAX)
        if obstacle is not None:
            raise Refusal(Code[obstacle])

    async def _placed(self, connection: Any, wanted: Wanted) -> Subscription:
        """Insert the row. Whoever tells the lane's batches waits for it, or is done: nothing after the head is lost."""
        lane, now = wanted.lane, self._clock.now()
        await connection.execute(self._queries["take_position"], lane)
        head = await connection.fetchval(self._queries["head"], lane)
        await connection.execute(self._queries["skip_to"], lane, head)
        row = await connection.fetchval(
            self._queries["create"],
            self._clock.new_id(),
            lane,
            wanted.owner_id,
            wanted.envelope,
            wanted.url,
            list(wanted.event_types),
            wanted.description,
            head,
            now,
            SUBSCRIPTIONS_MAX,
        )
        if row is None:
            raise Refusal(Code.SUBSCRIPTIONS_EXHAUSTED)
        return _read(row)

    async def change(self, subscription: Subscription, change: Change) -> Subscription:
        """Change a subscription; refuses SUBSCRIPTION_NOT_FOUND and as `create` does for what is new."""
        envelope = self._envelope(subscription.envelope)
        given: dict[str, Any] = {
            name: value for name, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET
        }
        _check_description(given.get("description"))
        if "event_types" in given:
            given["event_types"] = _checked_types(envelope, subscription.owner_id, given["event_types"])
        if "url" in given:
            given["url"] = checked_url(given["url"], local=self._local).url
            await self.resolve(given["url"])
        try:
            async with self._reads.pool.acquire() as connection, connection.transaction():
                kept = await self._held(connection, subscription.id)
                return await self._changed(connection, _after(kept, given))
        except asyncpg.UniqueViolationError as error:
            raise _taken(error) from None

    async def _changed(self, connection: Any, wanted: Subscription) -> Subscription:
        return _read(
            await connection.fetchval(
                self._queries["change"],
                wanted.id,
                wanted.url,
                wanted.event_types,
                wanted.description,
                wanted.is_active,
                wanted.consecutive_failures,
                wanted.failing_since,
                wanted.disabled_at,
                wanted.disabled_reason,
                self._clock.now(),
            )
        )

    async def rotate(self, subscription: Subscription) -> Made:
        """Replace a subscription's key by one of the same kind; the one before signs beside it for a while.

        Refuses SUBSCRIPTION_NOT_FOUND, and REQUEST_INVALID where the desk's own pair signs.
        """
        if not self._envelope(subscription.envelope).own_keys:
            raise Refusal(Code.REQUEST_INVALID, f"The desk's own key signs for an envelope {subscription.envelope}.")
        owner = str(subscription.id)
        async with self._reads.pool.acquire() as connection, connection.transaction():
            await self._held(connection, subscription.id)
            (key, *_) = await self._keys.live([owner], connection)
            made_key = await self._keys.replace_on(connection, owner, key.kind)
            keys = await self._keys.live([owner], connection)
            row = await connection.fetchval(self._queries["touch"], subscription.id, self._clock.now())
        self._keys.changed(owner)
        return Made(subscription=_read(row), keys=keys, made_key=made_key)

    async def delete(self, subscription: Subscription) -> None:
        """Delete a subscription: nothing is sent to it any more. Refuses SUBSCRIPTION_NOT_FOUND.

        What it was still to be told is ended as failed later, in portions, by who keeps house.
        """
        owner = str(subscription.id)
        async with self._reads.pool.acquire() as connection, connection.transaction():
            # Neither deliveries nor the lane's position are taken here. A backlog of any length holds nobody up then;
            # and whoever records attempts takes deliveries before their subscription, so that who has the subscription
            # must not wait for deliveries. What is told to it in this moment is never sent, and ended with the rest.
            if await connection.fetchval(self._queries["delete"], subscription.id, self._clock.now()) is None:
                raise Refusal(Code.SUBSCRIPTION_NOT_FOUND)
            await self._keys.retire_on(connection, owner)
        self._keys.changed(owner)

    async def _held(self, connection: Any, subscription_id: UUID) -> Subscription:
        row = await connection.fetchval(self._queries["hold"], subscription_id)
        if row is None:
            raise Refusal(Code.SUBSCRIPTION_NOT_FOUND)
        return _read(row)

    def _envelope(self, name: str) -> Envelope:
        envelope = self._envelopes.find(name)
        if envelope is None:
            raise Refusal(Code.REQUEST_INVALID, f"The envelopes are {', '.join(self._envelopes.names)}.")
        return envelope

    # -- reading -----------------------------------------------------------------------------------------------------

    async def find(
        self, lane: int, subscription_id: UUID, *, owner_id: UUID | None = None, envelope: str | None = None
    ) -> Subscription:
        """Return a subscription of a lane, of this owner and envelope if they are given.

        Refuses SUBSCRIPTION_NOT_FOUND; another's looks as if it did not exist.
        """
        found = await self._reads.row("subscriptions", "find", Subscription, lane, subscription_id)
        if found is None or owner_id not in {None, found.owner_id} or envelope not in {None, found.envelope}:
            raise Refusal(Code.SUBSCRIPTION_NOT_FOUND)
        return found

    async def of_owner(self, lane: int, owner_id: UUID, envelope: str | None = None) -> list[Subscription]:
        """Return the subscriptions of an owner, of this envelope if one is given, the oldest first."""
        found = await self._reads.rows("subscriptions", "of_owner", Subscription, lane, owner_id)
        return [one for one in found if envelope in {None, one.envelope}]

    async def of_lane(self, lane: int, *, owner_id: UUID | None = None, limit: int, offset: int) -> list[Subscription]:
        """Return a part of a lane's subscriptions, of this owner if one is given, the oldest first."""
        return await self._reads.rows("subscriptions", "of_lane", Subscription, lane, owner_id, limit, offset)

    async def count(self, lane: int, *, owner_id: UUID | None = None) -> int:
        """Return how many subscriptions a lane has, or an owner in it."""
        count: int = await self._reads.value("subscriptions", "count_of_lane", lane, owner_id)
        return count


def must_be_active(subscription: Subscription) -> Subscription:
    """Return a subscription that is switched on; refuses SUBSCRIPTION_INACTIVE."""
    if not subscription.is_active:
        raise Refusal(Code.SUBSCRIPTION_INACTIVE)
    return subscription


def _after(kept: Subscription, given: dict[str, Any]) -> Subscription:
    """Return a subscription as it is to be; one that was on already keeps the record of its receiver."""
    wanted = msgspec.structs.replace(kept, **given)
    switched_on = wanted.is_active and not kept.is_active
    if switched_on:
        wanted = msgspec.structs.replace(wanted, disabled_at=None, disabled_reason=None)
    if switched_on or wanted.url != kept.url:
        wanted = msgspec.structs.replace(wanted, consecutive_failures=0, failing_since=None)
    return wanted


def _read(row: str) -> Subscription:
    return msgspec.json.decode(row, type=Subscription)


def _checked_types(envelope: Envelope, owner_id: UUID, names: Sequence[str]) -> list[str]:
    """Return event types without repetitions, in their order; a tenant may not name what is only the operator's."""
    if not 1 <= len(names) <= EVENT_TYPES_MAX:
        raise Refusal(Code.REQUEST_INVALID, f"A webhook needs 1 to {EVENT_TYPES_MAX} event types.")
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in envelope.event_types or not may_name(owner_id, name)]
    if unknown:
        named = ", ".join(repr(name[:_SHOWN_TYPE_CHARACTERS]) for name in unknown)
        raise Refusal(Code.EVENT_TYPE_UNKNOWN, f"There is no event type {named}.")
    return wanted


def may_name(owner_id: UUID, name: str) -> bool:
    """Tell whether an owner may be told what an event type is about: some of it is for the operator alone."""
    kind = CATALOGUE.get(name)
    return kind is None or kind.for_tenants or owner_id == DESK_ID


def _check_description(text: str | None) -> None:
    if text is not None and (len(text) > DESCRIPTION_CHARACTERS_MAX or "\x00" in text):
        most = DESCRIPTION_CHARACTERS_MAX
        raise Refusal(Code.REQUEST_INVALID, f"A description has at most {most} characters, and no NUL.")


def _taken(error: asyncpg.UniqueViolationError) -> Exception:
    """Return the refusal of a URL that the owner has already; places are not in dispute, as makers wait for another."""
    return Refusal(Code.SUBSCRIPTION_URL_TAKEN) if error.constraint_name == "subscriptions_url" else error

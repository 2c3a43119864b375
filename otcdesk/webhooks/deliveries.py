"""Deliveries as rows: claimed when they are due, sent once each time, recorded with what came of it, shown to people.

A claim is committed before the outside call and says until when it holds; whoever dies in between leaves a delivery
that is due again by then. The same bytes are sent each time. Whoever records an attempt names its number, so that an
attempt is counted once even if two thought that it was theirs.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from otcdesk.clock import Clock
from otcdesk.config import Settings
from otcdesk.domain.event_types import WEBHOOK_DISABLED, WEBHOOK_TEST, EventType, Occurrence, occurrence_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads
from otcdesk.storage.queries import queries
from otcdesk.webhooks.envelope import Envelopes, Sending
from otcdesk.webhooks.keys import SigningKeys
from otcdesk.webhooks.outbox import Outbox
from otcdesk.webhooks.policy import FAILED, SUCCEEDED, Verdict, policy_of, reason_to_disable, rest, verdict
from otcdesk.webhooks.sender import Attempt, Sender
from otcdesk.webhooks.subscriptions import Subscription

log = structlog.get_logger()

#: A claim outlives the longest attempt by so much, milliseconds, in which its outcome is recorded.
_RECORDING_MS = 20_000

#: How many messages are sent at the same time because somebody waits for them: of one owner, and in all.
_BY_HAND_OF_OWNER_MAX = 4
BY_HAND_MAX = 32

#: Counting more of what fits a search would take longer than anybody waits; counting more of what waits for a receiver
#: that is down, again and again, would cost everybody else.
_COUNTED_MAX = 10_000

_GONE = "the receiver answered 410"

_NOT_SIGNED = Attempt(
    status=None, took_ms=0, error="the message could not be signed", body="", retry_after_seconds=None
)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one subscription, and how far it has come."""

    id: UUID
    lane: int
    subscription_id: UUID
    event_id: str
    event_type: str
    subject_id: UUID
    subject_version: int
    state: str
    due_at: datetime | None = None
    attempts: int
    response_status: int | None = None
    response_ms: int | None = None
    error: str | None = None
    created_at: datetime
    attempted_at: datetime | None = None


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, newest first, and how many there are in all."""

    rows: list[Delivery]
    total: int


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, with the beginning of what was answered."""

    number: int
    attempted_at: datetime
    response_status: int | None = None
    response_ms: int
    error: str | None = None
    response_body: str | None = None


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this process sends now; `retries_made` since it was last asked for."""

    id: UUID
    subscription: Subscription
    event_id: str
    event_type: str
    body: bytes
    attempts: int
    retries_made: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt, and what it leads to."""

    claimed: Claimed
    attempt: Attempt
    began_at: datetime
    ended_at: datetime
    verdict: Verdict


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt that somebody waited for."""

    delivery_id: UUID
    attempt_number: int
    success: bool
    attempt: Attempt


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries wait, and since when the longest due one is due that only the desk keeps waiting.

    Of each subscription at most 10,000 are counted.
    """

    waiting: int
    oldest_due_at: datetime | None


class Deliveries:
    """The deliveries of one database."""

    def __init__(
        self,
        *,
        reads: Reads,
        pages: Reads,
        outbox: Outbox,
        envelopes: Envelopes,
        keys: SigningKeys,
        sender: Sender,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._reads = reads
        #: Connections of their own for what people look at, so that they hold up no message.
        self._pages = pages
        self._hands: Counter[tuple[int, UUID]] = Counter()
        self._outbox = outbox
        self._envelopes = envelopes
        self._keys = keys
        self._sender = sender
        self._clock = clock
        self._claim_holds = timedelta(milliseconds=settings.webhooks_timeout_ms + _RECORDING_MS)
        self._policies = {name: policy_of(settings, name, envelopes.named(name).received) for name in envelopes.names}
        self._queries = queries("deliveries")

    # -- sending what is due ------------------------------------------------------------------------------------------

    async def ready(self, lane: int | None = None) -> list[Subscription]:
        """Return the subscriptions that are switched on and have something due, of one lane or of all.

        Not those whose receivers rest; see `policy.rest`.
        """
        now = self._clock.now()
        found = await self._reads.rows("deliveries", "ready", Subscription, now, lane)
        return [one for one in found if not self._rests(one, now)]

    def _rests(self, subscription: Subscription, now: datetime) -> bool:
        if subscription.failed_at is None:
            return False
        policy = self._policies[subscription.envelope]
        return now < subscription.failed_at + rest(policy, subscription.consecutive_failures)

    async def claim(self, rooms: Sequence[tuple[Subscription, int]]) -> list[Claimed]:
        """Take due deliveries, at most so many of each subscription, in the order in which they may be sent."""
        now = self._clock.now()
        by_id = {subscription.id: subscription for subscription, _ in rooms}
        found = await self._reads.records(
            "deliveries",
            "claim",
            [subscription.id for subscription, _ in rooms],
            [room for _, room in rooms],
            now,
            now + self._claim_holds,
        )
        return [_claimed(row, by_id[row["subscription_id"]]) for row in found]

    async def send(self, claimed: Claimed) -> Outcome:
        """Make one attempt; whatever goes wrong on the way, the keys' trouble too, is an attempt that failed."""
        subscription = claimed.subscription
        policy = self._policies[subscription.envelope]
        began_at = self._clock.now()
        try:
            attempt = await self._attempt(claimed)
        except Exception as error:  # noqa: BLE001  (one subscription's trouble is not the others')
            log.warning("webhook_not_signed", subscription_id=str(subscription.id), error=repr(error))
            attempt = _NOT_SIGNED
        ended_at = self._clock.now()
        jitter = random.randrange(1000)  # noqa: S311  (nobody gains by guessing it)
        judged = verdict(policy, attempt, claimed.retries_made, ended_at, jitter)
        return Outcome(claimed=claimed, attempt=attempt, began_at=began_at, ended_at=ended_at, verdict=judged)

    async def _attempt(self, claimed: Claimed) -> Attempt:
        subscription = claimed.subscription
        sending = Sending(
            subscription_id=subscription.id,
            event_id=claimed.event_id,
            event_type=claimed.event_type,
            url=subscription.url,
            body=claimed.body,
            sent_at=self._clock.now(),
            keys=await self._keys.signing(subscription),
        )
        headers = self._envelopes.named(subscription.envelope).headers(sending)
        return await self._sender.send(subscription.url, headers, claimed.body)

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Write down what came of attempts, count failures in a row, and switch off who failed for too long."""
        async with self._reads.pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(self._queries["record"], *zip(*map(_recorded, outcomes), strict=True))
            recorded = {row["id"] for row in rows}
            outcomes = [one for one in outcomes if one.claimed.id in recorded]
            if not outcomes:
                return
            counted = await self._count(connection, outcomes)
            gone = {one.claimed.subscription.id for one in outcomes if one.verdict.gone}
            for subscription in counted:
                reason = _GONE if subscription.id in gone else self._reason(subscription)
                if reason is not None:
                    await self._disable(connection, subscription, reason)

    async def _count(self, connection: Any, outcomes: Sequence[Outcome]) -> list[Subscription]:
        """Count failures in a row, and note pauses that were asked for; returns the subscriptions that changed."""
        told: dict[tuple[UUID, str], tuple[bool, datetime | None, datetime | None]] = {}
        for one in sorted(outcomes, key=lambda outcome: outcome.ended_at):
            receiver = (one.claimed.subscription.id, one.claimed.subscription.url)
            had_success, failed_from, held_until = told.get(receiver, (False, None, None))
            ended_well = one.verdict.state == SUCCEEDED
            told[receiver] = (
                had_success or ended_well,
                None if ended_well else max(failed_from or one.began_at, one.began_at),
                max(filter(None, (held_until, one.verdict.held_until)), default=None),
            )
        # In one order everywhere, so that two who record at once wait for one another and do not block.
        rows = [(*receiver, *told[receiver]) for receiver in sorted(told)]
        changed = await connection.fetch(self._queries["count_outcomes"], *zip(*rows, strict=True), self._clock.now())
        return [msgspec.json.decode(row[0], type=Subscription) for row in changed]

    def _reason(self, subscription: Subscription) -> str | None:
        return reason_to_disable(
            self._policies[subscription.envelope],
            subscription.consecutive_failures,
            subscription.failing_since,
            self._clock.now(),
        )

    async def _disable(self, connection: Any, subscription: Subscription, reason: str) -> None:
        """Switch a subscription off and tell the operator in the same database transaction."""
        now = self._clock.now()
        disabled = (subscription.id, now, reason, subscription.url)
        if await connection.fetchval(self._queries["disable"], *disabled) is None:
            return
        log.warning("webhook_disabled", subscription_id=str(subscription.id), reason=reason)
        occurrence = _about(subscription, WEBHOOK_DISABLED, self._clock.new_id(), now, reason)
        listening = await connection.fetch(self._queries["operators"], subscription.lane, DESK_ID)
        await self._outbox.tell(
            connection, occurrence, [msgspec.json.decode(row[0], type=Subscription) for row in listening]
        )

    # -- what people ask for ------------------------------------------------------------------------------------------

    async def send_now(self, subscription: Subscription, delivery_id: UUID) -> Sent:
        """Send a delivery at once, whatever became of it; what fails is tried again as if it were new.

        Refuses RATE_LIMITED when too many are being sent like this, DELIVERY_NOT_FOUND, and DELIVERY_UNDER_WAY while
        somebody is sending it.
        """
        with self._by_hand(subscription):
            return await self._send_now(subscription, delivery_id)

    async def _send_now(self, subscription: Subscription, delivery_id: UUID) -> Sent:
        now = self._clock.now()
        rows = await self._reads.records(
            "deliveries", "claim_one", delivery_id, subscription.id, now, now + self._claim_holds
        )
        if not rows:
            known = await self.find(subscription.lane, delivery_id)
            there = known is not None and known.subscription_id == subscription.id
            raise Refusal(Code.DELIVERY_UNDER_WAY if there else Code.DELIVERY_NOT_FOUND)
        claimed = _claimed(rows[0], subscription)
        if rows[0]["event_type"] == self._envelopes.named(subscription.envelope).test_type:
            return await self._send_once(claimed)
        outcome = await self.send(claimed)
        await self.record([outcome])
        return _sent(outcome)

    async def send_test(self, subscription: Subscription) -> Sent:
        """Send a test message at once, and once; it counts neither for nor against the receiver.

        Refuses RATE_LIMITED when too many are being sent like this.
        """
        with self._by_hand(subscription):
            return await self._send_test(subscription)

    @contextmanager
    def _by_hand(self, subscription: Subscription) -> Iterator[None]:
        """Bound what is sent while somebody waits for it: of each owner, and in all."""
        owner = (subscription.lane, subscription.owner_id)
        if self._hands[owner] >= _BY_HAND_OF_OWNER_MAX or self._hands.total() >= BY_HAND_MAX:
            raise Refusal(
                Code.RATE_LIMITED, "Too many messages are being sent by hand; wait for one.", retry_after_seconds=1
            )
        self._hands[owner] += 1
        try:
            yield
        finally:
            self._hands[owner] -= 1
            if not self._hands[owner]:
                del self._hands[owner]

    async def _send_test(self, subscription: Subscription) -> Sent:
        envelope = self._envelopes.named(subscription.envelope)
        now, delivery_id = self._clock.now(), self._clock.new_id()
        occurrence = _about(subscription, WEBHOOK_TEST, delivery_id, now, "This is a test message.")
        told = envelope.told(occurrence)
        if told is None:
            raise AssertionError(f"{envelope.name} has no test message")
        claim_ends = now + self._claim_holds
        row = (delivery_id, subscription.lane, subscription.id, occurrence.id, told.event_type, told.body)
        await self._reads.value("deliveries", "make_test", *row, now, claim_ends)
        claimed = Claimed(
            id=delivery_id,
            subscription=subscription,
            event_id=occurrence.id,
            event_type=told.event_type,
            body=told.body,
            attempts=0,
            retries_made=0,
        )
        return await self._send_once(claimed)

    async def _send_once(self, claimed: Claimed) -> Sent:
        """Send a message that is not tried again and says nothing of its receiver."""
        outcome = await self.send(claimed)
        ended = Verdict(state=SUCCEEDED if outcome.verdict.state == SUCCEEDED else FAILED)
        outcome = msgspec.structs.replace(outcome, verdict=ended)
        await self._reads.value("deliveries", "record", *zip(_recorded(outcome), strict=True))
        return _sent(outcome)

    async def recover(self, subscription: Subscription, since: datetime) -> int:
        """Make what did not arrive since a time due again, and what was never made; returns how many are due now."""
        return await self._outbox.recover(subscription, since)

    async def page(
        self,
        lane: int,
        *,
        owner_id: UUID | None = None,
        subscription_id: UUID | None = None,
        state: str | None = None,
        event_type: str | None = None,
        event_id: str | None = None,
        since: datetime | None = None,
        limit: int,
        offset: int,
    ) -> DeliveryPage:
        """Return deliveries of a lane, newest first: those that fit everything that is not None.

        At most 10,000 are counted in `total`.
        """
        wanted = (lane, owner_id, subscription_id, state, event_type, event_id, since, limit, offset, _COUNTED_MAX)
        found = await self._pages.row("deliveries", "page", DeliveryPage, *wanted)
        return found or DeliveryPage(rows=[], total=0)

    async def find(self, lane: int, delivery_id: UUID) -> Delivery | None:
        """Return a delivery, None if the lane has none of this id."""
        return await self._pages.row("deliveries", "find", Delivery, lane, delivery_id)

    async def attempts(self, delivery_id: UUID) -> list[DeliveryAttempt]:
        """Return every attempt at a delivery, the first one first."""
        return await self._pages.rows("deliveries", "attempts", DeliveryAttempt, delivery_id)

    async def body(self, delivery_id: UUID) -> bytes:
        """Return the bytes that are sent."""
        return bytes(await self._pages.value("deliveries", "body", delivery_id) or b"")

    # -- keeping house ------------------------------------------------------------------------------------------------

    async def backlog(self) -> Backlog:
        """Return how much waits, for the metrics."""
        row = (await self._reads.records("deliveries", "backlog", self._clock.now(), _COUNTED_MAX))[0]
        return Backlog(waiting=row["waiting"], oldest_due_at=row["oldest_due_at"])

    async def prune(self, *, older_than: datetime, at_most: int) -> int:
        """Drop deliveries that ended before a time, and give up those of who is switched off since; returns how many.

        One round takes at most so many: it is repeated as long as it finds some.
        """
        ended: int = await self._reads.value("deliveries", "give_up", older_than, at_most)
        dropped: int = await self._reads.value("deliveries", "prune", older_than, at_most)
        return max(ended, dropped)

    async def forget_closed(self, *, at_most: int) -> None:
        """Delete the subscriptions of lanes that are closed; what they were to be told ends as that of others does."""
        await self._reads.value("deliveries", "delete_of_closed", self._clock.now(), at_most)


def _claimed(row: Any, subscription: Subscription) -> Claimed:
    return Claimed(
        id=row["id"],
        subscription=subscription,
        event_id=row["event_id"],
        event_type=row["event_type"],
        body=row["body"],
        attempts=row["attempts"],
        retries_made=row["attempts"] - row["attempts_before"],
    )


def _recorded(one: Outcome) -> tuple[Any, ...]:
    attempt = one.attempt
    return (
        one.claimed.id,
        one.claimed.attempts + 1,
        one.verdict.state,
        one.verdict.due_at,
        attempt.status,
        attempt.took_ms,
        attempt.error,
        attempt.body,
        one.began_at,
    )


def _sent(outcome: Outcome) -> Sent:
    return Sent(
        delivery_id=outcome.claimed.id,
        attempt_number=outcome.claimed.attempts + 1,
        success=outcome.verdict.state == SUCCEEDED,
        attempt=outcome.attempt,
    )


def _about(subscription: Subscription, kind: EventType, fresh_id: UUID, at: datetime, told: str) -> Occurrence:
    """Return an occurrence that is about a subscription itself; each is a subject of its own, with one version."""
    return Occurrence(
        id=occurrence_id(fresh_id, 1),
        type=kind,
        lane=subscription.lane,
        tenant_id=subscription.owner_id,
        subject_id=fresh_id,
        subject_version=1,
        happened_at=at,
        detail={"webhookId": str(subscription.id), "url": subscription.url, "message": told},
    )

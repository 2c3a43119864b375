"""Send what is due: many messages at once, none held up by another subscription's receiver.

Each round asks who has something due, deals out the room that is left (`webhooks.policy.shares`), and claims so many of
each. Attempts run beside one another; what came of them is recorded together, as much as there is at a time. A process
that dies leaves claims that run out: whoever is next sends those messages again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog

from otcdesk.clock import Clock, milliseconds_between
from otcdesk.config import Settings
from otcdesk.webhooks.deliveries import Claimed, Deliveries, Outcome
from otcdesk.webhooks.policy import SUCCEEDED, Share, shares
from otcdesk.webhooks.service import Webhooks

log = structlog.get_logger()

#: Told of every attempt that was recorded: the subscription and whether its receiver took the message.
Watch = Callable[[UUID, bool], None]

#: Outcomes that come within so many seconds' thousandths are recorded together: one commit for all of them.
_GATHER_MS = 5

#: What is committed within so many thousandths of a second is told together: under load there is a batch every few.
_COMMITS_MS = 20

#: Rows that one statement of the housekeeping takes.
_PRUNED_AT_ONCE = 1_000

#: Rounds of the sandbox's `work`: an order's events go out one after another, and there are not more than this.
_ROUNDS_MAX = 64


def nobody_watches(subscription_id: UUID, success: bool) -> None:  # noqa: FBT001  (a row of a table of two)
    """Tell nobody."""


def _nobody_waits() -> None:
    pass


class WebhookWorker:
    """Turns what lanes have committed into deliveries, and sends them, in this process."""

    def __init__(self, webhooks: Webhooks, clock: Clock, settings: Settings, watch: Watch = nobody_watches) -> None:
        self._outbox = webhooks.outbox
        self._deliveries: Deliveries = webhooks.deliveries
        self._keys = webhooks.keys
        self._clock = clock
        self._settings = settings
        self._watch = watch
        self._in_flight: Counter[UUID] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._outcomes: list[Outcome] = []
        self._recording: asyncio.Task[None] | None = None
        self.on_commit: Callable[[], None] = _nobody_waits
        self.on_room: Callable[[], None] = _nobody_waits

    def committed(self) -> None:
        """Hear that a batch was committed; costs nothing where nobody listens."""
        if self._outbox.listened:
            self.on_commit()

    async def fan_out(self) -> bool:
        """Make deliveries of what lanes have committed; returns whether there may be more."""
        made = await self._outbox.fan_out()
        if made:
            self.on_room()
        return bool(made)

    async def fan_out_in_a_moment(self) -> bool:
        """Do the same a little later, so that it is done for several batches at once."""
        await asyncio.sleep(_COMMITS_MS / 1000)
        return await self.fan_out()

    async def send_due(self) -> bool:
        """Begin to send what is due and has room; returns False: whoever ends makes room and says so."""
        room = self._settings.webhooks_in_flight_max - sum(self._in_flight.values())
        if room <= 0:
            return False
        ready = await self._deliveries.ready()
        rooms = shares(
            [Share(in_flight=self._in_flight[one.id], fails=one.consecutive_failures > 0) for one in ready],
            in_flight_max=self._settings.webhooks_in_flight_max,
            per_endpoint_max=self._settings.webhooks_in_flight_per_endpoint_max,
        )
        asked = [(subscription, room) for subscription, room in zip(ready, rooms, strict=True) if room]
        if asked:
            for claimed in await self._deliveries.claim(asked):
                self._begin(claimed)
        return False

    def _begin(self, claimed: Claimed) -> None:
        self._in_flight[claimed.subscription.id] += 1
        task = asyncio.create_task(self._send(claimed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, claimed: Claimed) -> None:
        subscription_id = claimed.subscription.id
        try:
            outcome = await self._deliveries.send(claimed)
            self._outcomes.append(outcome)
            if self._recording is None or self._recording.done():
                self._recording = asyncio.create_task(self._record())
            await asyncio.shield(self._recording)
        finally:
            self._in_flight[subscription_id] -= 1
            if not self._in_flight[subscription_id]:
                del self._in_flight[subscription_id]
            self.on_room()

    async def _record(self) -> None:
        """Record everything that has come back, again and again until nothing is left."""
        await asyncio.sleep(_GATHER_MS / 1000)
        while self._outcomes:
            outcomes, self._outcomes = self._outcomes, []
            try:
                await self._deliveries.record(outcomes)
            except Exception as error:  # noqa: BLE001  (the claims run out and the messages are sent again)
                log.warning("webhooks_not_recorded", outcomes=len(outcomes), error=repr(error))
                continue
            for one in outcomes:
                self._watch(one.claimed.subscription.id, one.verdict.state == SUCCEEDED)

    async def work_once(self) -> None:
        """Tell and send everything that is due by now, and wait for it."""
        for _ in range(_ROUNDS_MAX):
            while await self.fan_out():
                pass
            await self.send_due()
            if not self._tasks:
                return
            await asyncio.wait(set(self._tasks))

    async def backlog(self) -> tuple[int, int]:
        """Return how many deliveries wait, and for how many milliseconds the longest due one has been due."""
        backlog = await self._deliveries.backlog()
        if backlog.oldest_due_at is None:
            return backlog.waiting, 0
        return backlog.waiting, max(milliseconds_between(backlog.oldest_due_at, self._clock.now()), 0)

    async def keep_house(self) -> bool:
        """Drop what is old, and keys that are retired; returns whether there is more."""
        await self._keys.forget_retired(at_most=_PRUNED_AT_ONCE)
        older_than = self._clock.now() - timedelta(days=self._settings.webhooks_keep_days)
        dropped = await self._deliveries.prune(older_than=older_than, at_most=_PRUNED_AT_ONCE)
        return dropped == _PRUNED_AT_ONCE

    async def stop(self) -> None:
        """Wait for attempts that are under way, and record them; they are bounded in time."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._settings.stop_seconds_max)

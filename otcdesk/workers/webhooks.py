"""Send what is due: many messages at once, none held up by another subscription's receiver.

Each round asks who has something due, deals out the room that is left (`webhooks.policy.shares`), and claims so many of
each. Attempts run beside one another; what came of them is recorded together, as much as there is at a time. A process
that dies leaves claims that run out: whoever is next sends those messages again.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from otcdesk.clock import Clock, milliseconds_between
from otcdesk.config import Settings
from otcdesk.webhooks.deliveries import Claimed, Deliveries, Outcome
from otcdesk.webhooks.policy import SUCCEEDED, Limits, Share, shares
from otcdesk.webhooks.service import Webhooks
from otcdesk.webhooks.subscriptions import Subscription

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
        self._limits = Limits(
            in_all=settings.webhooks_in_flight_max,
            of_owner=settings.webhooks_in_flight_per_owner_max,
            of_endpoint=settings.webhooks_in_flight_per_endpoint_max,
        )
        #: The subscriptions that have messages in flight, as they were when they were last looked at.
        self._flying: dict[UUID, Share] = {}
        #: Those of them of which there is nothing more to send until one of their own attempts ends.
        self._exhausted: set[UUID] = set()
        self._looking = asyncio.Lock()
        #: What is under way, and in which lane.
        self._tasks: dict[asyncio.Task[None], int] = {}
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
        made = True
        try:
            made = bool(await self._outbox.fan_out())
        finally:
            if made:  # or one lane could not be told, and others were
                self._exhausted.clear()
                self.on_room()
        return made

    async def fan_out_in_a_moment(self) -> bool:
        """Do the same a little later, so that it is done for several batches at once."""
        await asyncio.sleep(_COMMITS_MS / 1000)
        return await self.fan_out()

    async def send_due(self, lane: int | None = None) -> bool:
        """Begin to send what is due and has room; returns False: whoever ends makes room and says so."""
        async with self._looking:  # the same room is not dealt out twice
            if len(self._tasks) < self._limits.in_all:
                asked = self._dealt(await self._deliveries.ready(lane))
                taken = await self._deliveries.claim(asked) if asked else []
                for claimed in taken:
                    self._begin(claimed)
                self._note_exhausted(asked, taken)
        return False

    def _dealt(self, ready: list[Subscription]) -> list[tuple[Subscription, int]]:
        """Deal out the room that is left to those who have something due."""
        ready = [one for one in ready if one.id not in self._exhausted or one.id not in self._flying]
        random.shuffle(ready)  # where there is not enough for everybody, nobody comes first each time
        waiting = {one.id: self._share(one) for one in ready}
        self._flying |= {key: share for key, share in waiting.items() if share.in_flight}
        rooms = shares(
            list(waiting.values()),
            self._limits,
            others=[share for key, share in self._flying.items() if key not in waiting],
        )
        return [(subscription, room) for subscription, room in zip(ready, rooms, strict=True) if room]

    def _note_exhausted(self, asked: list[tuple[Subscription, int]], taken: list[Claimed]) -> None:
        """Remember who had less to send than it might: what is left of it waits for what it has in flight.

        It would be looked through again and again for nothing, however much it is, whenever anybody's attempt ends.
        """
        numbers = Counter(claimed.subscription.id for claimed in taken)
        self._exhausted |= {one.id for one, room in asked if numbers[one.id] < room}

    def _share(self, subscription: Subscription) -> Share:
        known = self._flying.get(subscription.id)
        return Share(
            owner=(subscription.lane, subscription.owner_id),
            in_flight=known.in_flight if known else 0,
            fails=subscription.consecutive_failures > 0,
        )

    def _begin(self, claimed: Claimed) -> None:
        self._count(claimed, 1)
        task = asyncio.create_task(self._send(claimed))
        self._tasks[task] = claimed.subscription.lane
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self.on_room()

    def _count(self, claimed: Claimed, change: int) -> None:
        share = self._flying.get(claimed.subscription.id) or self._share(claimed.subscription)
        if share.in_flight + change:
            self._flying[claimed.subscription.id] = msgspec.structs.replace(share, in_flight=share.in_flight + change)
        else:
            del self._flying[claimed.subscription.id]
        if change < 0:
            self._exhausted.discard(claimed.subscription.id)

    async def _send(self, claimed: Claimed) -> None:
        try:
            outcome = await self._deliveries.send(claimed)
            self._outcomes.append(outcome)
            if self._recording is None or self._recording.done():
                self._recording = asyncio.create_task(self._record())
            await asyncio.shield(self._recording)
        finally:
            self._count(claimed, -1)

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

    async def work_once(self, lane: int | None = None) -> None:
        """Tell and send everything that is due by now, of one lane or of all, and wait for it."""
        for _ in range(_ROUNDS_MAX):
            while await self._outbox.fan_out(lane):
                self._exhausted.clear()
            await self.send_due(lane)
            under_way = {task for task, its_lane in self._tasks.items() if lane in {None, its_lane}}
            if under_way:
                await asyncio.wait(under_way)
            elif self._tasks and await self._deliveries.ready(lane):  # others have all the room
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            else:
                return

    async def backlog(self) -> tuple[int, int, int]:
        """Return how many deliveries wait, for how many milliseconds the longest due one, and how many batches."""
        backlog, untold = await self._deliveries.backlog(), await self._outbox.untold_batches()
        due_ms = 0
        if backlog.oldest_due_at is not None:
            due_ms = max(milliseconds_between(backlog.oldest_due_at, self._clock.now()), 0)
        return backlog.waiting, due_ms, untold

    async def keep_house(self) -> bool:
        """Drop what is old, and keys that are retired; returns whether there is more."""
        await self._deliveries.forget_closed(at_most=_PRUNED_AT_ONCE)
        await self._keys.forget_retired(at_most=_PRUNED_AT_ONCE)
        older_than = self._clock.now() - timedelta(days=self._settings.webhooks_keep_days)
        dropped = await self._deliveries.prune(older_than=older_than, at_most=_PRUNED_AT_ONCE)
        return dropped == _PRUNED_AT_ONCE

    async def stop(self) -> None:
        """Wait for attempts that are under way, and record them; what takes too long is given up and sent again.

        It is given up before the connections are closed under it, which would look like its receiver's failure.
        """
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=self._settings.stop_seconds_max)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._recording is not None:
            await self._recording

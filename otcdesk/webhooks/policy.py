"""When a message is tried again, when a subscription is switched off, and whose turn it is: pure rules.

The pauses before retries and the failures in a row that are too many belong to the envelope, and settings change them.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import msgspec

from otcdesk.config import Settings
from otcdesk.webhooks.sender import Attempt

PENDING = "pending"
SUCCEEDED = "succeeded"
FAILED = "failed"

#: This part of what may be in flight is kept for owners who have nothing in flight yet.
_KEPT_FOR_OTHERS = 4

#: So many failures in a row are a hiccup: what fails waits for its retry, and the receiver for nothing.
_HICCUP_FAILURES = 4

#: Who owns a subscription: its lane, since worlds may have the same tenants, and the tenant or the desk.
_Owner = tuple[int, UUID]

#: Receivers that fail share at most this part of what may be in flight, one message each, so that others find room.
_SHARE_OF_FAILING = 2


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the desk is with one envelope's receivers.

    `retry_seconds`: the pause before each retry, one after another. `failures_max`: failures in a row that switch a
    subscription off; 0 leaves it to `disable_after`, how long there may be nothing but failures. `rest_seconds_max`:
    the longest rest between two attempts at a receiver that keeps failing; 0 gives it none.
    """

    retry_seconds: tuple[int, ...]
    received: frozenset[int]
    failures_max: int
    disable_after: timedelta
    rest_seconds_max: int
    jitter_percent: int
    retry_after_seconds_max: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt leads to: the delivery's state, and when it is due again if it is still pending.

    `gone`: the receiver wants nothing more at all; `held_until`: it wants nothing at all before then.
    """

    state: str
    due_at: datetime | None = None
    gone: bool = False
    held_until: datetime | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages may be in flight: in all, of one owner, and to one subscription."""

    in_all: int
    of_owner: int
    of_endpoint: int


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription: whose it is, how many of its messages are in flight, and whether its receiver fails."""

    owner: _Owner
    in_flight: int
    fails: bool


def policy_of(settings: Settings, envelope: str, received: frozenset[int]) -> Policy:
    """Return the policy that settings give an envelope."""
    pauses: str = getattr(settings, f"{envelope}_retry_seconds")
    return Policy(
        retry_seconds=tuple(map(int, pauses.split(","))),
        received=received,
        failures_max=settings.exchanges_webhook_failures_max if envelope == "exchanges" else 0,
        disable_after=timedelta(hours=settings.webhooks_disable_after_hours),
        rest_seconds_max=settings.webhooks_rest_seconds_max,
        jitter_percent=settings.webhooks_jitter_percent,
        retry_after_seconds_max=settings.webhooks_retry_after_seconds_max,
    )


def verdict(policy: Policy, attempt: Attempt, retries_made: int, ended_at: datetime, jitter: int) -> Verdict:
    """Judge one attempt. `jitter`: thousandths, from 0 to 999, of how far the pause is stretched.

    410 says that the receiver is gone for good. A Retry-After makes the pause longer, never shorter, up to a bound,
    and holds up everything else for that receiver as well.
    """
    if attempt.status in policy.received:
        return Verdict(state=SUCCEEDED)
    if attempt.status == HTTPStatus.GONE:
        return Verdict(state=FAILED, gone=True)
    asked = timedelta(seconds=min(attempt.retry_after_seconds or 0, policy.retry_after_seconds_max))
    held_until = ended_at + asked if asked else None
    if retries_made >= len(policy.retry_seconds):
        return Verdict(state=FAILED, held_until=held_until)
    pause_ms = policy.retry_seconds[retries_made] * 1000
    pause_ms += pause_ms * policy.jitter_percent * jitter // 100_000
    pause = max(timedelta(milliseconds=pause_ms), asked)
    return Verdict(state=PENDING, due_at=ended_at + pause, held_until=held_until)


def rest(policy: Policy, consecutive_failures: int) -> timedelta:
    """Return for how long nothing is sent to a receiver after its last failure in a row.

    The fifth brings a second, each one after it twice as much, up to a bound; so a receiver that is down costs the same
    few attempts whatever waits for it. A rest is no longer than the shortest pause between a message's tries, a second
    at least: whichever message has just failed, and waits alone, is tried again when its envelope's schedule says so.
    """
    beyond = consecutive_failures - _HICCUP_FAILURES
    if beyond <= 0:
        return timedelta()
    seconds_max = min(policy.rest_seconds_max, max(min(policy.retry_seconds), 1))
    doublings = min(beyond - 1, seconds_max.bit_length())  # no larger numbers than are needed
    return timedelta(seconds=min(1 << doublings, seconds_max))


def reason_to_disable(
    policy: Policy, consecutive_failures: int, failing_since: datetime | None, now: datetime
) -> str | None:
    """Return why a subscription has failed for too long, None if it has not."""
    if policy.failures_max and consecutive_failures >= policy.failures_max:
        return f"{consecutive_failures} attempts in a row failed"
    if failing_since is not None and now - failing_since >= policy.disable_after:
        hours = policy.disable_after // timedelta(hours=1)
        return f"every attempt failed for {hours} hours"
    return None


def shares(waiting: Sequence[Share], limits: Limits, others: Sequence[Share] = ()) -> list[int]:
    """Return how many messages each subscription that waits may send now; `others` have some in flight and none due.

    A receiver that fails gets one at a time, and all of them together at most half of the room, so that nobody waits
    for those who never answer. The rest is dealt out evenly between owners, and what an owner gets between its
    receivers, so that nobody waits for those who have much or are slow; a quarter of all is kept for owners who have
    nothing in flight.
    """
    everybody = [*waiting, *others]
    flying = sum(share.in_flight for share in everybody)
    failing = sum(share.in_flight for share in everybody if share.fails)
    room = max(limits.in_all - flying, 0)
    room_for_failing = max(limits.in_all // _SHARE_OF_FAILING - failing, 0)
    wants = []
    for share in waiting:
        if not share.fails:
            wants.append(max(limits.of_endpoint - share.in_flight, 0))
            continue
        take = int(share.in_flight == 0 and room_for_failing > 0)
        room_for_failing -= take
        wants.append(take)
    of_owners: Counter[_Owner] = Counter()
    for share in everybody:
        of_owners[share.owner] += share.in_flight
    reserve = limits.in_all // _KEPT_FOR_OTHERS
    return _dealt_to_owners(waiting, wants, of_owners, room, max(room - reserve, 0), limits.of_owner)


def _dealt_to_owners(
    waiting: Sequence[Share], wants: Sequence[int], flying: Counter[_Owner], room: int, rest: int, owner_max: int
) -> list[int]:
    """Deal the `rest` out to owners, what is kept to those who have nothing in flight, and each part to the owner's."""
    places: dict[_Owner, list[int]] = {}
    for place, share in enumerate(waiting):
        places.setdefault(share.owner, []).append(place)
    wanted = {
        owner: min(sum(wants[place] for place in theirs), max(owner_max - flying[owner], 0))
        for owner, theirs in places.items()
    }
    parts = dict(zip(places, _dealt(list(wanted.values()), rest), strict=True))
    idle = [owner for owner in places if not flying[owner]]
    least = max((room - rest) // _KEPT_FOR_OTHERS, 1)  # so that it is not the next one who takes all that is kept
    lacks = [max(min(wanted[owner], least) - parts[owner], 0) for owner in idle]
    for owner, more in zip(idle, _dealt(lacks, room - sum(parts.values())), strict=True):
        parts[owner] += more
    given = [0] * len(waiting)
    for owner, theirs in places.items():
        for place, number in zip(theirs, _dealt([wants[place] for place in theirs], parts[owner]), strict=True):
            given[place] = number
    return given


def _dealt(wants: Sequence[int], room: int) -> list[int]:
    """Deal room out evenly: who wants less than an even part gets it whole, the others share what is left.

    Where it cannot be even the later ones get one more; who wants more than there is has no claim to it.
    """
    given = [0] * len(wants)
    places = sorted(range(len(wants)), key=lambda place: min(wants[place], room))
    for served, place in enumerate(places):
        given[place] = min(wants[place], room // (len(places) - served))
        room -= given[place]
    return given

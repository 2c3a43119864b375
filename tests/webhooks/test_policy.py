"""When a message is tried again, when a subscription is switched off, whose turn it is."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.config import Settings
from otcdesk.webhooks.envelope import any_2xx
from otcdesk.webhooks.policy import (
    FAILED,
    PENDING,
    SUCCEEDED,
    Policy,
    Share,
    Verdict,
    policy_of,
    reason_to_disable,
    shares,
    verdict,
)
from otcdesk.webhooks.sender import Attempt

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = policy_of(Settings(), "exchanges", any_2xx())


def answered(status: int | None, *, retry_after_seconds: int | None = None) -> Attempt:
    return Attempt(status=status, took_ms=5, error=None, body="", retry_after_seconds=retry_after_seconds)


def due_after(judged: Verdict) -> timedelta:
    assert judged.state == PENDING
    assert judged.due_at is not None
    return judged.due_at - NOW


@pytest.mark.parametrize(
    "envelope, pauses",
    [
        ("exchanges", [60, 300, 1_800, 7_200, 21_600]),
        ("offers", [1, 2, 4, 8]),
        ("ramp", [10, 60, 300, 1_800, 7_200, 21_600, 21_600, 21_600]),
        ("standard", [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]),
    ],
)
def test_each_envelope_has_its_contracts_schedule(envelope: str, pauses: list[int]) -> None:
    policy = policy_of(Settings(), envelope, any_2xx())
    told = [
        due_after(verdict(policy, answered(500), made, NOW, jitter=0)).total_seconds() for made in range(len(pauses))
    ]
    assert told == pauses
    assert verdict(policy, answered(500), len(pauses), NOW, jitter=0) == Verdict(state=FAILED)


def test_settings_change_the_schedule() -> None:
    policy = policy_of(Settings(exchanges_retry_seconds="7,8"), "exchanges", any_2xx())
    assert policy.retry_seconds == (7, 8)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_what_counts_as_received_succeeds(status: int) -> None:
    assert verdict(POLICY, answered(status), 0, NOW, jitter=0) == Verdict(state=SUCCEEDED)


@pytest.mark.parametrize("status", [None, 100, 199, 300, 302, 400, 404, 409, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert due_after(verdict(POLICY, answered(status), 0, NOW, jitter=0)) == timedelta(seconds=60)


def test_envelopes_differ_in_what_they_take_for_received() -> None:
    policy = msgspec.structs.replace(POLICY, received=frozenset({200, 201, 202, 204}))
    assert verdict(policy, answered(204), 0, NOW, jitter=0).state == SUCCEEDED
    assert verdict(policy, answered(206), 0, NOW, jitter=0).state == PENDING


@pytest.mark.parametrize("made", [0, 99])
def test_a_receiver_that_is_gone_is_not_asked_again(made: int) -> None:
    assert verdict(POLICY, answered(410), made, NOW, jitter=0) == Verdict(state=FAILED, gone=True)


@pytest.mark.parametrize("asked, seconds", [(None, 60), (0, 60), (10, 60), (61, 61), (3_600, 3_600), (10**9, 86_400)])
def test_retry_after_makes_the_pause_longer_within_bounds(asked: int | None, seconds: int) -> None:
    judged = verdict(POLICY, answered(429, retry_after_seconds=asked), 0, NOW, jitter=0)
    assert due_after(judged) == timedelta(seconds=seconds)


def test_retry_after_does_not_lengthen_the_schedule() -> None:
    made = len(POLICY.retry_seconds)
    judged = verdict(POLICY, answered(429, retry_after_seconds=5), made, NOW, jitter=0)
    assert judged == Verdict(state=FAILED, held_until=NOW + timedelta(seconds=5))


@pytest.mark.parametrize("asked, seconds", [(None, None), (0, None), (7, 7), (10**9, 86_400)])
def test_retry_after_holds_everything_up(asked: int | None, seconds: int | None) -> None:
    judged = verdict(POLICY, answered(503, retry_after_seconds=asked), 0, NOW, jitter=0)
    assert judged.held_until == (None if seconds is None else NOW + timedelta(seconds=seconds))


@given(jitter=st.integers(0, 999), made=st.integers(0, 4))
def test_jitter_only_stretches_the_pause_and_at_most_by_its_part(jitter: int, made: int) -> None:
    pause = timedelta(seconds=POLICY.retry_seconds[made])
    stretched = due_after(verdict(POLICY, answered(500), made, NOW, jitter=jitter))
    assert pause <= stretched < pause * 11 / 10


def test_failures_in_a_row_switch_an_exchanges_webhook_off() -> None:
    assert reason_to_disable(POLICY, 19, NOW, NOW) is None
    assert reason_to_disable(POLICY, 20, NOW, NOW) == "20 attempts in a row failed"


def test_time_switches_every_webhook_off() -> None:
    policy = policy_of(Settings(webhooks_disable_after_hours=48), "standard", any_2xx())
    day = timedelta(hours=24)
    assert reason_to_disable(policy, 10_000, NOW - 2 * day + timedelta(microseconds=1), NOW) is None
    assert reason_to_disable(policy, 1, NOW - 2 * day, NOW) == "every attempt failed for 48 hours"
    assert reason_to_disable(policy, 0, None, NOW) is None


def dealt(*waiting: Share, in_flight_max: int = 100, per_endpoint_max: int = 32) -> list[int]:
    return shares(waiting, in_flight_max=in_flight_max, per_endpoint_max=per_endpoint_max)


def works(in_flight: int = 0) -> Share:
    return Share(in_flight=in_flight, fails=False)


def fails(in_flight: int = 0) -> Share:
    return Share(in_flight=in_flight, fails=True)


def test_one_receiver_gets_what_one_may_have() -> None:
    assert dealt(works()) == [32]
    assert dealt(works(30)) == [2]
    assert dealt(works(40)) == [0]


def test_a_receiver_that_fails_gets_one_at_a_time() -> None:
    assert dealt(fails()) == [1]
    assert dealt(fails(1)) == [0]


def test_those_who_fail_leave_half_of_the_room_to_others() -> None:
    given_ = dealt(*[fails() for _ in range(300)], works(), in_flight_max=100)
    assert sum(given_[:-1]) == 50
    assert given_[-1] == 32
    assert dealt(*[fails(1) for _ in range(50)], fails(), works(), in_flight_max=100)[-2:] == [0, 32]


def test_what_is_left_is_dealt_out_evenly() -> None:
    assert dealt(works(), works(), works(), works(), in_flight_max=100) == [25, 25, 25, 25]
    assert sorted(dealt(works(31), works(), works(), in_flight_max=61)) == [1, 14, 15]


@given(
    waiting=st.lists(st.builds(Share, in_flight=st.integers(0, 40), fails=st.booleans()), max_size=40),
    in_flight_max=st.integers(2, 200),
    per_endpoint_max=st.integers(1, 50),
)
def test_nobody_gets_more_than_there_is(waiting: list[Share], in_flight_max: int, per_endpoint_max: int) -> None:
    given_ = shares(waiting, in_flight_max=in_flight_max, per_endpoint_max=per_endpoint_max)
    room = max(in_flight_max - sum(share.in_flight for share in waiting), 0)
    assert sum(given_) <= room
    for share, number in zip(waiting, given_, strict=True):
        assert 0 <= number <= (1 if share.fails else max(per_endpoint_max - share.in_flight, 0))
    wanting = [n for share, n in zip(waiting, given_, strict=True) if not share.fails and share.in_flight == 0]
    if wanting:
        assert max(wanting) - min(wanting) <= 1 or room == 0


def test_the_policy_is_the_settings() -> None:
    assert isinstance(POLICY, Policy)
    assert POLICY.failures_max == 20
    assert policy_of(Settings(), "ramp", any_2xx()).failures_max == 0

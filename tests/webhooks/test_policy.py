"""When a message is tried again, when a subscription is switched off, whose turn it is."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

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
    Limits,
    Policy,
    Share,
    Verdict,
    policy_of,
    reason_to_disable,
    rest,
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


def rests(policy: Policy, *failures: int) -> list[int]:
    return [int(rest(policy, number).total_seconds()) for number in failures]


def test_a_receiver_that_keeps_failing_rests_longer_and_longer() -> None:
    assert rests(POLICY, 0, 1, 2, 3, 4) == [0] * 5
    assert rests(POLICY, 5, 6, 7, 8, 9, 10, 11, 19, 10**9) == [1, 2, 4, 8, 16, 30, 30, 30, 30]


@pytest.mark.parametrize("seconds_max, told", [(0, [0, 0, 0]), (1, [1, 1, 1]), (3, [1, 2, 3]), (3_600, [1, 2, 4])])
def test_a_setting_bounds_a_rest(seconds_max: int, told: list[int]) -> None:
    policy = policy_of(Settings(webhooks_rest_seconds_max=seconds_max), "exchanges", any_2xx())
    assert rests(policy, 5, 6, 7) == told


@pytest.mark.parametrize("pauses, longest", [("1,2,4,8", 1), ("9,5,7", 5), ("0,60", 1), ("60,300", 30)])
def test_a_rest_is_no_longer_than_the_shortest_pause_of_a_message(pauses: str, longest: int) -> None:
    policy = policy_of(Settings(exchanges_retry_seconds=pauses), "exchanges", any_2xx())
    assert rests(policy, 5, 100) == [1, longest]


@pytest.mark.parametrize("envelope", ["exchanges", "offers", "ramp", "standard"])
@given(made=st.integers(0, 3), failures=st.integers(0, 10**9), jitter=st.integers(0, 999))
def test_a_message_that_waits_alone_is_tried_again_to_its_schedule(
    envelope: str, made: int, failures: int, jitter: int
) -> None:
    policy = policy_of(Settings(), envelope, any_2xx())
    assert rest(policy, failures) <= due_after(verdict(policy, answered(500), made, NOW, jitter=jitter))


def test_failures_in_a_row_switch_an_exchanges_webhook_off() -> None:
    assert reason_to_disable(POLICY, 19, NOW, NOW) is None
    assert reason_to_disable(POLICY, 20, NOW, NOW) == "20 attempts in a row failed"


def test_time_switches_every_webhook_off() -> None:
    policy = policy_of(Settings(webhooks_disable_after_hours=48), "standard", any_2xx())
    day = timedelta(hours=24)
    assert reason_to_disable(policy, 10_000, NOW - 2 * day + timedelta(microseconds=1), NOW) is None
    assert reason_to_disable(policy, 1, NOW - 2 * day, NOW) == "every attempt failed for 48 hours"
    assert reason_to_disable(policy, 0, None, NOW) is None


def dealt(*waiting: Share, in_all: int = 100, of_owner: int = 64, others: Sequence[Share] = ()) -> list[int]:
    return shares(waiting, Limits(in_all=in_all, of_owner=of_owner, of_endpoint=32), others)


def works(in_flight: int = 0, owner: int | None = None) -> Share:
    return Share(owner=owned(owner), in_flight=in_flight, fails=False)


def fails(in_flight: int = 0, owner: int | None = None) -> Share:
    return Share(owner=owned(owner), in_flight=in_flight, fails=True)


def owned(number: int | None) -> tuple[int, UUID]:
    """Return an owner of this number, or one that nobody else is."""
    return 1, uuid4() if number is None else UUID(int=number)


def test_one_receiver_gets_what_one_may_have() -> None:
    assert dealt(works()) == [32]
    assert dealt(works(30)) == [2]
    assert dealt(works(40)) == [0]


def test_a_receiver_that_fails_gets_one_at_a_time() -> None:
    assert dealt(fails()) == [1]
    assert dealt(fails(1)) == [0]


def test_those_who_fail_leave_half_of_the_room_to_others() -> None:
    given_ = dealt(*[fails() for _ in range(300)], works(), in_all=100)
    assert sum(given_[:-1]) == 50
    assert given_[-1] == 25
    assert dealt(*[fails(1) for _ in range(50)], fails(), works(), in_all=100)[-2:] == [0, 25]


def test_what_is_left_is_dealt_out_evenly() -> None:
    assert dealt(works(), works(), works(), works(), in_all=100) == [18, 19, 19, 19]
    assert sorted(dealt(works(31), works(), works(), works(), works(), in_all=92)) == [1, 9, 9, 9, 10]
    assert dealt(works(owner=1), works(owner=1), works(owner=2), in_all=1) == [0, 0, 1]
    assert dealt(works(owner=2), works(owner=1), works(owner=1), in_all=1) == [0, 0, 1]


@given(
    waiting=st.lists(
        st.builds(Share, owner=st.integers(1, 50).map(owned), in_flight=st.integers(0, 40), fails=st.booleans()),
        max_size=40,
    ),
    limits=st.builds(Limits, in_all=st.integers(2, 200), of_owner=st.integers(1, 100), of_endpoint=st.integers(1, 50)),
)
def test_nobody_gets_more_than_there_is(waiting: list[Share], limits: Limits) -> None:
    given_ = shares(waiting, limits)
    room = max(limits.in_all - sum(share.in_flight for share in waiting), 0)
    assert sum(given_) <= room
    for share, number in zip(waiting, given_, strict=True):
        assert 0 <= number <= (1 if share.fails else max(limits.of_endpoint - share.in_flight, 0))
    flying, got = Counter[tuple[int, UUID]](), Counter[tuple[int, UUID]]()
    for share, number in zip(waiting, given_, strict=True):
        flying[share.owner] += share.in_flight
        got[share.owner] += number
    for owner, number in got.items():
        assert number <= max(limits.of_owner - flying[owner], 0)


def test_one_owner_has_its_part_however_many_receivers_it_has() -> None:
    many = [works(owner=1) for _ in range(10)]
    given_ = dealt(*many, works(owner=2), in_all=256)
    assert sum(given_[:-1]) == 64
    assert max(given_[:-1]) - min(given_[:-1]) <= 1
    assert given_[-1] == 32
    assert dealt(*[works(16, owner=1) for _ in range(4)], in_all=256) == [0, 0, 0, 0]


def test_owners_share_evenly_whatever_the_number_of_their_receivers() -> None:
    given_ = dealt(*[works(owner=1) for _ in range(9)], works(owner=2), works(100, owner=3), in_all=180)
    assert (sum(given_[:9]), given_[9], given_[10]) == (18, 17, 0)


def test_room_is_kept_for_owners_who_have_nothing_in_flight() -> None:
    first = dealt(*[works(owner=number) for number in range(4) for _ in range(2)], in_all=256)
    assert first == [24] * 8
    flying = [works(24, owner=number) for number in range(4) for _ in range(2)]
    assert dealt(*flying, works(owner=9), in_all=256) == [0] * 8 + [16]
    assert dealt(*flying, works(16, owner=9), works(owner=10), in_all=256) == [0] * 9 + [12]
    assert sum(dealt(*[works(owner=number) for number in range(300)], in_all=256)) == 256


def test_those_who_have_nothing_due_count_as_well() -> None:
    assert dealt(works(owner=1), of_owner=10, others=[works(10, owner=1)]) == [0]
    assert dealt(works(), in_all=40, others=[works(25)]) == [5]


def test_the_policy_is_the_settings() -> None:
    assert isinstance(POLICY, Policy)
    assert POLICY.failures_max == 20
    assert policy_of(Settings(), "ramp", any_2xx()).failures_max == 0

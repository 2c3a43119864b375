"""Staging jobs: the ids and references that they have for ever."""

from otcdesk.actions.jobs import follow, start_job
from otcdesk.domain.commands import Moment
from otcdesk.domain.compact_ids import compact_id, is_compact, print_compact_id
from otcdesk.domain.jobs import BURN, FOLLOW, LIST, STARTED, Job
from otcdesk.domain.ledger import Account
from otcdesk.domain.parties import DESK_ID
from otcdesk.engine.books import LaneCache, WorkingSet
from otcdesk.engine.store import Head, Loaded
from tests.support.clocks import SteeredClock
from tests.support.estate import ESTATE, U1, T, compact

_CLOCK = SteeredClock()
_ONE, _TWO, _THREE = [
    Account(id=compact(f"90{number}"), owner_id=U1, purpose="holding", asset=asset)
    for number, asset in enumerate(("EXT", "EXT", "VUSD"))
]


def books() -> WorkingSet:
    fresh = WorkingSet(LaneCache(100))
    fresh.take(Loaded(Head(1, "0" * 64, _CLOCK.now()), []), set())
    return fresh


def moment() -> Moment:
    now = _CLOCK.now()
    return Moment(now=now, arrived_at=now, command_id=_CLOCK.new_id(), caller="somebody", owner_id=ESTATE)


def staged(working: WorkingSet) -> list[Job]:
    working.keep()
    return [row for row, was in working.changes() if isinstance(row, Job) and was is None]


def test_a_job_that_is_asked_for_has_the_commands_own_id() -> None:
    working, now = books(), moment()
    job = start_job(
        working,
        now,
        kind=LIST,
        market="otc",
        order_id=compact("f01"),
        party_id=U1,
        instrument_id=T,
        source=_ONE,
        destination=_TWO,
        units=3,
    )
    assert staged(working) == [job]
    assert job.id == compact_id(now.new_id(1), now.now) != compact_id(now.new_id(0), now.now)
    assert print_compact_id(job.id).startswith(f"{int(now.now.timestamp()):08x}")
    assert (job.source_account_id, job.destination_account_id, job.asset, job.units) == (_ONE.id, _TWO.id, "EXT", 3)
    assert (job.state, job.version, job.tries, job.hash, job.error) == (STARTED, 1, 1, None, None)
    assert (job.tenant_id, job.party_id, job.caller) == (ESTATE, U1, "somebody")
    assert job.reference == f"{job.id}:job"


def followed(order_digits: str, version: int, *units: int, kind: str = FOLLOW) -> list[Job]:
    working = books()
    follow(
        working,
        moment(),
        tenant_id=ESTATE,
        market="otc",
        order_id=compact(order_digits),
        order_version=version,
        instrument_id=T,
        moves=[(_ONE if number else _THREE, _TWO, each) for number, each in enumerate(units)],
        kind=kind,
    )
    return staged(working)


def test_what_follows_is_one_job_for_each_move_of_something() -> None:
    jobs = followed("f01", 3, 5, 0, 7)
    assert [(job.units, job.asset, job.kind, job.party_id) for job in jobs] == [
        (5, "VUSD", FOLLOW, None),
        (7, "EXT", FOLLOW, None),
    ]
    assert all(is_compact(job.id) and job.reference == f"{job.id}:job" for job in jobs)
    assert followed("f01", 3, 0) == []


def test_what_follows_a_version_of_an_order_is_staged_at_most_once() -> None:
    """The same version's moves have the same ids whoever stages them; every other version's and order's have others."""
    ids = [[job.id for job in followed(*asked)] for asked in (("f01", 3, 5, 7), ("f01", 4, 5, 7), ("f02", 3, 5, 7))]
    assert len({each for several in ids for each in several}) == 6
    assert [job.id for job in followed("f01", 3, 5, 7)] == ids[0]
    assert [job.id for job in followed("f01", 3, 0, 9)] == ids[0][1:], "each move keeps its place"


def test_a_job_of_a_kind_of_its_own() -> None:
    (job,) = followed("f01", 3, 5, kind=BURN)
    assert (job.kind, job.tenant_id) == (BURN, ESTATE)
    assert job.tenant_id != DESK_ID

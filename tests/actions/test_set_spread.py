"""Setting spreads: at once or from a time on, and by two people where the change is large; quotes keep theirs."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.set_spread import SetSpread, SpreadReply, spread_id
from otcdesk.domain import duties
from otcdesk.domain.pricing import Change, Spread
from otcdesk.domain.proposals import Proposal
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.errors import Code
from tests.support.conversions import quoted
from tests.support.desk import CONTRACT_WORLD, A, B
from tests.support.four_eyes import guarded, proposed, seconded
from tests.support.pure import PureDesk

PAIR = (A, "EUR", "USDC")
MICROSECOND = timedelta(microseconds=1)


def setting(bps: int, effective_from: datetime | None = None, tenant_id: UUID = A, pair: str = "EUR/USDC") -> SetSpread:
    source, destination = pair.split("/")
    return SetSpread(
        tenant_id=tenant_id,
        source_asset=source,
        destination_asset=destination,
        bps=bps,
        effective_from=effective_from,
        why="agreed",
    )


def spread(desk: PureDesk) -> Spread:
    return desk.get(Spread, PAIR)


def in_force(desk: PureDesk) -> int:
    return spread(desk).bps_at(desk.clock.now())


def less(rate: str, bps: int) -> Decimal:
    return Decimal(rate) * (10_000 - bps) / 10_000


def test_a_spread_is_in_force_at_once_and_quotes_that_were_made_keep_theirs() -> None:
    desk = PureDesk()
    before = quoted(desk)
    reply: SpreadReply = desk.act(setting(100))
    assert (reply.proposal, reply.spread) == (None, spread(desk))
    assert quoted(desk).rate == less("1.0842", 100).quantize(Decimal("0.000001"))
    assert before.rate == Decimal("1.0842")
    assert in_force(desk) == 100
    assert spread(desk).ahead(desk.clock.now()) is None


def test_a_spread_decided_ahead_is_in_force_from_its_time_on() -> None:
    desk = PureDesk()
    desk.act(setting(20))
    at = desk.clock.now() + timedelta(days=1)
    desk.act(setting(100, at))
    assert (in_force(desk), spread(desk).ahead(desk.clock.now())) == (20, Change(100, at))
    desk.clock.set(at - MICROSECOND)
    assert in_force(desk) == 20
    desk.clock.set(at)
    assert in_force(desk) == 100
    assert quoted(desk).rate == less("1.0842", 100).quantize(Decimal("0.000001"))


def test_one_change_is_ahead_at_most_and_a_newer_one_takes_its_place() -> None:
    desk = PureDesk()
    desk.act(setting(20))
    first, second = (desk.clock.now() + timedelta(days=days) for days in (1, 2))
    desk.act(setting(100, first))
    desk.act(setting(50, second))
    desk.clock.set(first)
    assert in_force(desk) == 20
    desk.act(setting(30))
    assert (in_force(desk), spread(desk).ahead(desk.clock.now())) == (30, None)
    desk.clock.set(second)
    assert in_force(desk) == 30


def test_what_has_come_into_force_stays_when_the_next_is_decided_ahead() -> None:
    desk = PureDesk()
    at = desk.clock.now() + timedelta(days=1)
    desk.act(setting(100, at))
    desk.clock.set(at)
    desk.act(setting(50, at + timedelta(days=1)))
    assert in_force(desk) == 100


def test_times_are_kept_as_utc() -> None:
    desk = PureDesk()
    at = (desk.clock.now() + timedelta(days=1)).astimezone(timezone(timedelta(hours=5)))
    desk.act(setting(100, at))
    kept = spread(desk).next_from
    assert isinstance(kept, datetime)
    assert (kept, kept.tzinfo) == (at, UTC)


@pytest.mark.parametrize(
    "command, code",
    [
        (setting(1, tenant_id=UUID(int=7)), Code.TENANT_NOT_FOUND),
        (setting(1, pair="EUR/BTC"), Code.SPREAD_NOT_FOUND),
        (setting(10_000, pair="EUR/BTC"), Code.SPREAD_NOT_FOUND),
        (setting(10_000), Code.SPREAD_EXCESSIVE),
        (setting(-1, datetime(2001, 1, 1, tzinfo=UTC)), Code.SPREAD_EXCESSIVE),
        (setting(9_999, datetime(2001, 1, 1, tzinfo=UTC)), Code.EFFECTIVE_IN_PAST),
    ],
)
def test_what_is_refused_and_in_which_order(command: SetSpread, code: Code) -> None:
    assert PureDesk().refuse(command) is code


def test_now_is_not_later() -> None:
    desk = PureDesk()
    assert desk.refuse(setting(1, desk.clock.now())) is Code.EFFECTIVE_IN_PAST
    desk.act(setting(1, desk.clock.now() + MICROSECOND))


def test_a_spread_is_of_one_tenant_and_one_direction() -> None:
    desk = PureDesk()
    desk.act(setting(100))
    assert {row.key: row.bps_at(desk.clock.now()) for row in desk.all(Spread) if row.key != PAIR} == {
        (tenant, *pair): 0
        for tenant in (A, B)
        for pair in (("EUR", "USDC"), ("USDC", "EUR"))
        if (tenant, *pair) != PAIR
    }


def test_a_world_file_that_is_loaded_again_leaves_what_was_decided() -> None:
    desk = PureDesk()
    desk.act(setting(100))
    desk.act(DeclareWorld(declaration=declaration_of(parse_world(CONTRACT_WORLD))))
    assert in_force(desk) == 100


# -- two people --------------------------------------------------------------------------------------------------------


def test_a_large_change_waits_for_a_second_person_and_a_small_one_does_not() -> None:
    desk = guarded()
    desk.act(setting(50))
    desk.act(setting(0))
    assert desk.all(Proposal) == []
    proposal = proposed(desk, setting(51))
    assert (proposal.verb, proposal.duty, proposal.subject_id) == (
        "set_spread",
        duties.TERMS_SET,
        spread_id(*PAIR),
    )
    assert in_force(desk) == 0
    seconded(desk, proposal)
    assert in_force(desk) == 51


def test_a_change_is_measured_against_what_is_in_force() -> None:
    desk = guarded()
    desk.act(setting(50, desk.clock.now() + timedelta(days=1)))
    proposed(desk, setting(51, desk.clock.now() + timedelta(days=1)))
    assert in_force(desk) == 0


def test_a_spread_that_was_changed_meanwhile_makes_it_stale() -> None:
    desk = guarded()
    proposal = proposed(desk, setting(60))
    desk.act(setting(10))
    with pytest.raises(Exception, match="PROPOSAL_STALE"):
        seconded(desk, proposal)
    assert in_force(desk) == 10


def test_what_was_proposed_for_a_time_that_has_come_is_refused() -> None:
    desk = guarded()
    at = desk.clock.now() + timedelta(seconds=60)
    proposal = proposed(desk, setting(60, at))
    desk.clock.set(at)
    with pytest.raises(Exception, match="EFFECTIVE_IN_PAST"):
        seconded(desk, proposal)


def test_what_is_shown_is_what_was_in_force_and_ahead() -> None:
    desk = guarded()
    at = desk.clock.now() + timedelta(days=1)
    desk.act(setting(50, at))
    seen = msgspec.json.decode(proposed(desk, setting(60)).seen)
    assert (seen["bps"], seen["next_bps"], seen["bps_after"], seen["effective_from"]) == (0, 50, 60, None)
    assert msgspec.convert(seen["next_from"], datetime) == at

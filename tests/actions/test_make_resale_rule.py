"""Rules of a branch: made, changed and ended, and the list of those that are active."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from otcdesk.actions.make_resale_rule import ChangeResaleRule, EndResaleRule, MakeResaleRule, RuleFields
from otcdesk.domain.resale_rules import RULES_MAX, BranchRules, ResaleRule
from otcdesk.domain.resales import Instrument
from otcdesk.errors import Code
from tests.support.estate import ESTATE, N2, NOBODY, ROOT, THIRD, N, T, compact, estate_desk, listed, parts
from tests.support.pure import PureDesk

FIELDS: dict[str, Any] = {
    "name": "near the price",
    "side": "sells",
    "test": "percent",
    "consume_on_match": True,
    "active": True,
    "priority": 1,
}


def making(**changes: Any) -> MakeResaleRule:
    told = {"branch_id": N, "created_by": "somebody", "mandate": ROOT}
    told |= {name: changes.pop(name) for name in (*told,) if name in changes}
    return MakeResaleRule(fields=RuleFields(**{**FIELDS, **changes}), **told)  # type: ignore[arg-type]


def changing(rule_id: UUID, mandate: Any = ROOT, **fields: Any) -> ChangeResaleRule:
    return ChangeResaleRule(rule_id=rule_id, fields=RuleFields(**fields), mandate=mandate)


def made(desk: PureDesk, **changes: Any) -> ResaleRule:
    rule: ResaleRule = desk.act(making(**changes), owner_id=ESTATE).rule
    assert desk.get(ResaleRule, rule.id) == rule
    return rule


def live(desk: PureDesk, branch_id: UUID = N) -> tuple[UUID, ...]:
    row = desk.rows.get((BranchRules, branch_id))
    return row.rule_ids if isinstance(row, BranchRules) else ()


def test_a_rule_accepts_unless_it_is_told_otherwise() -> None:
    desk = estate_desk()
    rule = made(desk)
    assert (rule.action, rule.branch_id, rule.tenant_id, rule.created_by) == ("accept", N, ESTATE, "somebody")
    assert (rule.instrument_id, rule.above_percent, rule.valid_until, rule.ended_at) == (None, None, None, None)
    assert made(desk, action="reject").action == "reject"


def test_only_active_rules_are_on_the_list_in_the_order_in_which_they_were_made() -> None:
    desk = estate_desk()
    first, second, _ = made(desk), made(desk, priority=0), made(desk, active=False)
    assert live(desk) == (first.id, second.id)


def test_a_branch_without_a_list_gets_one_with_its_first_active_rule() -> None:
    desk = estate_desk()
    desk.rows.pop((BranchRules, N), None)
    made(desk, active=False)
    assert (BranchRules, N) not in desk.rows
    assert live(desk) == ()
    rule = made(desk)
    assert live(desk) == (rule.id,)


def test_exact_bounds_are_kept() -> None:
    rule = made(estate_desk(), above_percent=Decimal("0.000001"), below_amount=Decimal("12345678901234567890.5"))
    assert (rule.above_percent, rule.below_amount) == (Decimal("0.000001"), Decimal("12345678901234567890.5"))


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"branch_id": uuid4()}, Code.BRANCH_NOT_FOUND),
        ({"branch_id": uuid4(), "mandate": NOBODY}, Code.BRANCH_NOT_FOUND),
        ({"mandate": NOBODY, "instrument_id": uuid4()}, Code.NOT_PERMITTED),
        ({"mandate": THIRD}, Code.NOT_PERMITTED),
        ({"instrument_id": uuid4(), "quantity_min": 2, "quantity_max": 1}, Code.INSTRUMENT_NOT_FOUND),
        ({"branch_id": N2, "instrument_id": T}, Code.INSTRUMENT_NOT_FOUND),  # another branch has issued it
        ({"quantity_min": 2, "quantity_max": 1}, Code.RULE_BOUNDS_CROSSED),
        ({"below_percent": Decimal("100.000001")}, Code.RULE_BOUNDS_CROSSED),
        (
            {"valid_from": datetime(2026, 1, 2, tzinfo=UTC), "valid_until": datetime(2026, 1, 1, tzinfo=UTC)},
            Code.RULE_BOUNDS_CROSSED,
        ),
    ],
)
def test_what_is_refused_in_which_order(changes: dict[str, Any], code: Code) -> None:
    assert estate_desk().refuse(making(**changes), owner_id=ESTATE) is code


def test_another_tenants_branch_and_rule_are_not_found() -> None:
    desk = estate_desk()
    assert desk.refuse(making(), owner_id=uuid4()) is Code.BRANCH_NOT_FOUND
    rule = made(desk)
    assert desk.refuse(changing(rule.id, priority=2), owner_id=uuid4()) is Code.RULE_NOT_FOUND
    assert desk.refuse(EndResaleRule(rule_id=rule.id, mandate=ROOT), owner_id=uuid4()) is Code.RULE_NOT_FOUND


@pytest.mark.parametrize(
    "bounds",
    [
        {"quantity_min": 2, "quantity_max": 2},
        {"below_percent": Decimal(100)},
        {"valid_from": datetime(2026, 1, 1, tzinfo=UTC), "valid_until": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_bounds_that_meet_are_good(bounds: dict[str, Any]) -> None:
    made(estate_desk(), **bounds)


def test_no_more_rules_are_active_than_there_may_be() -> None:
    desk = estate_desk()
    rules = [made(desk) for _ in range(RULES_MAX)]
    assert desk.refuse(making(), owner_id=ESTATE) is Code.RULES_EXHAUSTED
    spare = made(desk, active=False)
    assert desk.refuse(changing(spare.id, active=True), owner_id=ESTATE) is Code.RULES_EXHAUSTED
    desk.act(changing(rules[0].id, active=False), owner_id=ESTATE)
    desk.act(changing(spare.id, active=True), owner_id=ESTATE)
    assert live(desk) == (*[rule.id for rule in rules[1:]], spare.id)
    made(desk, branch_id=N2)  # each branch has its own


def test_what_is_not_said_stays_and_none_takes_a_bound_away() -> None:
    desk = estate_desk()
    rule = made(desk, above_percent=Decimal(10), below_percent=Decimal(5), quantity_max=7)
    desk.clock.advance(seconds=5)
    changed = desk.act(changing(rule.id, above_percent=None, priority=9), owner_id=ESTATE).rule
    assert changed == rule.with_(above_percent=None, priority=9, updated_at=desk.clock.now())
    assert desk.get(ResaleRule, rule.id) == changed


def test_a_change_of_nothing_changes_nothing() -> None:
    desk = estate_desk()
    rule = made(desk)
    desk.clock.advance(seconds=5)
    assert desk.act(changing(rule.id, priority=rule.priority), owner_id=ESTATE).rule == rule


def test_changes_are_checked_with_what_was_said_before() -> None:
    desk = estate_desk()
    rule = made(desk, quantity_min=5)
    assert desk.refuse(changing(rule.id, quantity_max=4), owner_id=ESTATE) is Code.RULE_BOUNDS_CROSSED
    assert desk.refuse(changing(rule.id, NOBODY, quantity_max=4), owner_id=ESTATE) is Code.NOT_PERMITTED
    assert desk.refuse(changing(rule.id, THIRD, priority=4), owner_id=ESTATE) is Code.NOT_PERMITTED
    assert desk.refuse(changing(rule.id, instrument_id=uuid4()), owner_id=ESTATE) is Code.INSTRUMENT_NOT_FOUND
    assert desk.refuse(changing(uuid4(), priority=4), owner_id=ESTATE) is Code.RULE_NOT_FOUND


def test_a_rule_that_was_consumed_may_be_made_active_again_and_decides_again() -> None:
    desk = estate_desk()
    rule = made(desk, test="unconditional")
    taken = listed(desk, 1)
    assert (taken.state, live(desk), desk.get(ResaleRule, rule.id).active) == ("completed", (), False)
    assert listed(desk, 1).state == "active"
    desk.act(changing(rule.id, active=True), owner_id=ESTATE)
    assert live(desk) == (rule.id,)
    assert parts(desk, listed(desk, 1).id) == (0, 0, 1)


def test_an_ended_rule_decides_nothing_and_cannot_come_back() -> None:
    desk = estate_desk()
    rule = made(desk, test="unconditional")
    ended = desk.act(EndResaleRule(rule_id=rule.id, mandate=ROOT), owner_id=ESTATE).rule
    assert (ended.active, ended.ended_at, live(desk)) == (False, desk.clock.now(), ())
    assert listed(desk, 1).state == "active"
    for command in (EndResaleRule(rule_id=rule.id, mandate=ROOT), changing(rule.id, active=True)):
        assert desk.refuse(command, owner_id=ESTATE) is Code.RULE_NOT_FOUND


def test_ending_a_rule_needs_permission() -> None:
    desk = estate_desk()
    rule = made(desk)
    for mandate in (NOBODY, THIRD):
        command = EndResaleRule(rule_id=rule.id, mandate=mandate)
        assert desk.refuse(command, owner_id=ESTATE) is Code.NOT_PERMITTED
    assert live(desk) == (rule.id,)


def test_what_is_not_said_stays_so_between_processes() -> None:
    command = changing(compact("e01"), above_percent=None, priority=3)
    assert msgspec.json.decode(msgspec.json.encode(command), type=ChangeResaleRule) == command
    assert command.fields.said == {"above_percent": None, "priority": 3}


def test_a_rule_for_an_instrument_of_its_branch() -> None:
    desk = estate_desk()
    assert desk.get(Instrument, T).branch_id == N
    assert made(desk, instrument_id=T).instrument_id == T

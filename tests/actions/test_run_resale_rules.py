"""Which rule decides of a listing and what it does; none is consumed twice. What a rule objects to is the domain's."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from otcdesk.actions.make_resale_rule import EndResaleRule
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.resale_rules import BranchRules, ResaleDecision, ResaleRule
from otcdesk.domain.resales import FUNDS, Branch, Instrument, branch_account_id
from tests.support.estate import (
    ESTATE,
    N2,
    ROOT,
    U3,
    C,
    N,
    T,
    begun,
    branch_units,
    compact,
    done,
    estate_desk,
    follows,
    listed,
    listing,
    parts,
    recorded,
    refused,
    rule,
    started,
    told,
    units,
    withdrawing,
)
from tests.support.pure import PureDesk


def decision(desk: PureDesk, order: Order) -> ResaleDecision:
    return desk.get(ResaleDecision, order.id)


def verdicts(desk: PureDesk, order: Order) -> list[tuple[str, str]]:
    """Return what each rule that was looked at said, in turn."""
    return [(said["name"], said["said"]) for said in json.loads(decision(desk, order).explanation)]


def live(desk: PureDesk) -> set[Any]:
    return set(desk.get(BranchRules, N).rule_ids)


def poor(desk: PureDesk, balance: int) -> None:
    funds = desk.get(Account, branch_account_id(N, FUNDS, "VUSD"))
    desk.put(funds.with_(balance=balance))


@pytest.mark.parametrize("ever", [False, True])
def test_without_active_rules_nothing_is_decided(ever: bool) -> None:
    desk = estate_desk()
    if ever:
        rule(desk, active=False)
        desk.put(BranchRules(branch_id=N))
    order = listed(desk)
    assert order.state == "active"
    assert desk.all(ResaleDecision) == []


def test_a_rule_takes_a_listing_as_its_branch_would() -> None:
    desk = estate_desk()
    desk.put(desk.get(Branch, N).with_(otc_fee_percent=Decimal(4)))
    took = rule(desk)
    order = listed(desk, 7, "1")
    assert (order.state, told(desk, order.id)) == ("completed", ["place", "activate", "complete"])
    assert (units(desk), units(desk, asset="VUSD"), parts(desk, order.id)) == ((3, 0), (6_720_000, 0), (0, 0, 7))
    assert branch_units(desk, FUNDS) == 993_000_000
    assert desk.get(Trade, order.id).executed_by == "worker:jobs"
    said = decision(desk, order)
    assert (said.rule_id, said.action, said.tenant_id, said.decided_at) == (took.id, "accept", ESTATE, desk.clock.now())
    assert verdicts(desk, order) == [("rule 1", "accept")]
    assert desk.get(ResaleRule, took.id) == took
    assert live(desk) == {took.id}


def test_a_rule_rejects_a_listing() -> None:
    desk = estate_desk()
    turned_down = rule(desk, action="reject")
    order = listed(desk)
    assert (order.state, order.reason, order.pay_hold_id) == ("cancelled", "rule rule 1", None)
    assert told(desk, order.id) == ["place", "activate", "reject"]
    assert (units(desk), parts(desk, order.id)) == ((10, 0), (0, 0, 0))
    assert follows(desk) == [("EXT", 3)]
    assert (decision(desk, order).rule_id, decision(desk, order).action) == (turned_down.id, "reject")


def test_rules_take_turns_by_priority_then_age_then_id() -> None:
    desk = estate_desk()
    now = desk.clock.now()
    silent = {"quantity_min": 100}
    for number, priority, age in ((4, 2, 9), (3, 1, 0), (2, 1, 1), (1, 1, 1), (5, -1, 0)):
        rule(desk, number, priority=priority, created_at=now - timedelta(days=age), **silent)
    order = listed(desk)
    assert [name for name, _ in verdicts(desk, order)] == [f"rule {number}" for number in (5, 1, 2, 3, 4)]
    assert (decision(desk, order).rule_id, decision(desk, order).action, order.state) == (None, None, "active")


def test_the_first_without_objection_decides_and_no_other_is_asked() -> None:
    desk = estate_desk()
    rule(desk, 1, priority=1, side="buys")
    decided = rule(desk, 2, priority=2, action="reject")
    rule(desk, 3, priority=3)
    order = listed(desk)
    assert verdicts(desk, order) == [("rule 1", "it is about what is bought"), ("rule 2", "reject")]
    assert (decision(desk, order).rule_id, order.state) == (decided.id, "cancelled")


def test_a_rule_that_the_branch_cannot_pay_for_is_passed_over() -> None:
    desk = estate_desk()
    poor(desk, 7_499_999)
    passed_over = rule(desk, 1, priority=1, consume_on_match=True)
    order = listed(desk)
    assert (order.state, verdicts(desk, order)) == ("active", [("rule 1", "the branch does not cover it")])
    assert desk.get(ResaleRule, passed_over.id).active
    assert live(desk) == {passed_over.id}
    rule(desk, 2, priority=2, action="reject")
    again = listed(desk)
    assert verdicts(desk, again) == [("rule 1", "the branch does not cover it"), ("rule 2", "reject")]
    poor(desk, 7_500_000)
    assert listed(desk).state == "completed"
    assert branch_units(desk, FUNDS) == 0


def test_a_branch_without_an_account_in_the_currency_covers_nothing() -> None:
    desk = estate_desk()
    rule(desk)
    del desk.rows[Account, branch_account_id(N, FUNDS, "VUSD")]
    assert listed(desk).state == "active"


def test_a_rule_that_its_match_consumes_is_consumed_once() -> None:
    """The contract's twentieth case: the first listing is taken, the second stays."""
    desk = estate_desk()
    used = rule(desk, test="percent", above_percent=Decimal(10), below_percent=Decimal(10), consume_on_match=True)
    jobs = [started(desk, listing(2, "2.2")) for _ in range(2)]
    desk.clock.advance(seconds=7)
    states = []
    for job in jobs:
        recorded(desk, done(job))
        states.append(desk.get(Order, job.order_id).state)
    assert states == ["completed", "active"]
    after = desk.get(ResaleRule, used.id)
    assert (after.active, after.ended_at, after.updated_at) == (False, None, desk.clock.now())
    assert live(desk) == set()
    assert [one.rule_id for one in desk.all(ResaleDecision)] == [used.id]


def test_a_rejection_consumes_as_well() -> None:
    desk = estate_desk()
    used, other = rule(desk, 1, action="reject", consume_on_match=True), rule(desk, 2, priority=2, quantity_min=100)
    assert [listed(desk).state for _ in range(2)] == ["cancelled", "active"]
    assert not desk.get(ResaleRule, used.id).active
    assert live(desk) == {other.id}


def test_the_price_is_compared_with_the_issuers_in_the_same_currency_only() -> None:
    desk = estate_desk()
    rule(desk, test="percent", above_percent=Decimal(10), below_percent=Decimal(10))
    assert [listed(desk, 1, price).state for price in ("2.2", "2.200001", "1.8", "1.799999")] == [
        *("completed", "active"),
        *("completed", "active"),
    ]
    desk.put(desk.get(Instrument, T).with_(currency_id=compact("c09")))
    order = listed(desk, 1, "2")
    assert verdicts(desk, order) == [("rule 1", "there is no reference price in this currency")]


def test_rules_of_another_branch_say_nothing() -> None:
    desk = estate_desk()
    rule(desk, branch_id=N2)
    assert listed(desk).state == "active"
    assert listed(desk, 1, party_id=U3).state == "active", "the branch is the issuer's, not the lister's"
    assert desk.get(Instrument, T).currency_id == C


def test_a_rule_that_was_ended_meanwhile_is_not_looked_at() -> None:
    desk = estate_desk()
    ended = rule(desk)
    job = started(desk, listing())
    desk.act(EndResaleRule(rule_id=ended.id, mandate=ROOT), owner_id=ESTATE)
    recorded(desk, done(job))
    assert desk.get(Order, job.order_id).state == "active"
    assert desk.all(ResaleDecision) == []


def test_rules_decide_once_and_not_again_when_the_chain_does_not_give_a_listing_back() -> None:
    desk = estate_desk()
    order = listed(desk)
    rule(desk)
    job = started(desk, withdrawing(order.id))
    recorded(desk, begun(job))
    recorded(desk, refused(job))
    assert desk.get(Order, order.id).state == "active"


def test_as_many_rules_as_there_may_be_are_looked_at() -> None:
    desk = estate_desk()
    for number in range(99):
        rule(desk, number, quantity_min=100)
    last = rule(desk, 99, priority=9)
    order = listed(desk)
    assert (decision(desk, order).rule_id, len(verdicts(desk, order))) == (last.id, 100)

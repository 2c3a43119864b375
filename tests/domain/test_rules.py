"""Rules: amounts worked out exactly, and what sets a rule off."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.domain.deposits import Deposit
from otcdesk.domain.rules import (
    STEPS_MAX,
    BuyAction,
    Condition,
    LiveRules,
    Rule,
    RuleTerms,
    Step,
    SteppedAmount,
    execution_id,
    terms_of,
)
from tests.support.clocks import START
from tests.support.deposits import comparing, selling_action

TENANT, PARTY = uuid4(), uuid4()

NUMBERS = st.decimals(min_value=0, max_value=10**38, places=8, allow_nan=False) | st.decimals(
    min_value=0, max_value=10, places=30, allow_nan=False
)
_SAID: dict[str, Any] = {
    "add": lambda one, other: one + other,
    "subtract": lambda one, other: one - other,
    "multiply": lambda one, other: one * other,
}


@given(
    NUMBERS,
    st.none() | NUMBERS,
    st.lists(st.tuples(st.sampled_from(sorted(_SAID)), st.none() | NUMBERS), max_size=STEPS_MAX),
)
def test_steps_lose_nothing(amount: Decimal, value: Decimal | None, steps: list[tuple[Any, Decimal | None]]) -> None:
    said = Fraction(amount if value is None else value)
    for operator, other in steps:
        said = _SAID[operator](said, Fraction(amount if other is None else other))
    stepped = SteppedAmount(value=value, steps=tuple(Step(operator=one, value=other) for one, other in steps))
    assert Fraction(stepped.of(amount)) == said


def rule(**changes: Any) -> Rule:
    terms = {"conditions": (Condition(asset="USDC", network="Ethereum"),), "actions": (), "source_address": None}
    told = {name: changes.pop(name) for name in terms.keys() & changes.keys()}
    return Rule(
        **{
            "id": uuid4(),
            "tenant_id": TENANT,
            "party_id": None,
            "terms": msgspec.json.encode(RuleTerms(**{**terms, **told})).decode(),
            "is_bound": False,
            "is_permanent": False,
            "expires_at": None,
            "created_at": START,
            "updated_at": START,
            **changes,
        }
    )


def deposit(**changes: Any) -> Deposit:
    told = {"network": "Ethereum", "address": "0xab", "party_id": PARTY, "rule_id": None, **changes}
    return Deposit(order_id=uuid4(), tenant_id=TENANT, outside_id="1", **told)


def test_a_rule_that_names_nobody_takes_everybodys_deposit() -> None:
    assert rule().matches(deposit(), "USDC", Decimal(1))
    assert rule().matches(deposit(party_id=None), "USDC", Decimal(1))


@pytest.mark.parametrize(
    "changes, arrives, fits",
    [
        ({"party_id": PARTY}, {}, True),
        ({"party_id": PARTY}, {"party_id": None}, False),
        ({"party_id": PARTY}, {"party_id": TENANT}, False),
        ({"source_address": "0xAB"}, {"sender_address": "0xab"}, True),
        ({"source_address": "0xAB"}, {"sender_address": "0xac"}, False),
        ({"source_address": "0xAB"}, {}, False),
        ({"is_bound": True}, {}, False),
        ({}, {"rule_id": TENANT}, False),
        ({"is_bound": True}, {"rule_id": TENANT}, False),
        ({}, {"network": "Solana"}, False),
        ({"conditions": (Condition(asset="USDC"),)}, {}, False),
        ({"conditions": (Condition(asset="USDC"),)}, {"network": None, "address": None, "method": "b"}, True),
        ({"conditions": (comparing("at_least", "2"), comparing("equal", "1"))}, {}, True),
    ],
)
def test_what_sets_a_rule_off(changes: dict[str, Any], arrives: dict[str, Any], fits: bool) -> None:
    assert rule(**changes).matches(deposit(**arrives), "USDC", Decimal(1)) is fits


def test_a_bound_rule_takes_what_arrives_at_its_own_place() -> None:
    bound = rule(is_bound=True)
    assert bound.matches(deposit(rule_id=bound.id), "USDC", Decimal(1))


def test_a_rule_is_over_at_its_end_and_not_before() -> None:
    ends = rule(expires_at=START)
    assert ends.is_over(START)
    assert not ends.is_over(START - timedelta(microseconds=1))
    assert not rule().is_over(START)


def test_terms_are_read_as_they_were_written() -> None:
    buy = BuyAction(asset="USDC", network="Ethereum", address="0x", spread_bps=1, fee_bps=2)
    terms = RuleTerms(conditions=(comparing("equal", "1.10"),), actions=(selling_action(TENANT), buy))
    assert terms_of(msgspec.json.encode(terms).decode()) == terms


def test_a_rule_fires_once_for_a_deposit_and_its_orders_have_ids_of_their_own() -> None:
    one, other = execution_id(TENANT, PARTY), execution_id(PARTY, TENANT)
    assert one == execution_id(TENANT, PARTY) != other
    assert one.int & 0xFF == other.int & 0xFF == 0


def test_the_list_of_live_rules_keeps_its_order() -> None:
    ids = [UUID(int=number) for number in (3, 1, 2)]
    assert LiveRules(tenant_id=TENANT, rule_ids=tuple(ids)).without([ids[1]]).rule_ids == (ids[0], ids[2])

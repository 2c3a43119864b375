"""Rules: bounded, of what exists and is the tenant's, made once for a nonce."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.deposit_checks import GivenAddress
from otcdesk.actions.make_rule import StopRule
from otcdesk.domain.deposits import BankDetails, DepositAddress
from otcdesk.domain.rules import ACTIONS_MAX, CONDITIONS_MAX, RULES_MAX, STEPS_MAX, Condition, LiveRules, Rule
from otcdesk.errors import Code
from tests.support.deposits import (
    NETWORK,
    RULE_ADDRESS,
    RULE_BANK_NAME,
    arriving,
    at_least,
    bank,
    buying_action,
    deposited,
    live,
    open_places,
    ruled,
    ruling,
    selling_action,
    stepped,
)
from tests.support.payouts import ADA, B1, B2, EVE, prepared, ramp_desk
from tests.support.pure import PureDesk


@pytest.fixture
def desk() -> PureDesk:
    made = ramp_desk()
    open_places(made)
    return made


def session(desk: PureDesk, **fields: Any) -> UUID:
    return prepared(desk, delayed=True, **fields).prepared.id


def test_a_rule_is_live_until_it_has_fired(desk: PureDesk) -> None:
    reply = ruled(desk, selling_action(session(desk)))
    assert (reply.rule.state, reply.rule.fired, reply.rule.tenant_id) == ("live", 0, B1)
    assert (reply.rule.is_bound, reply.rule.is_permanent, reply.addresses, reply.bank) == (False, False, (), None)
    assert live(desk) == (reply.rule.id,)


def test_a_nonce_makes_one_rule_and_the_places_of_its_own(desk: PureDesk) -> None:
    wanted: dict[str, Any] = {
        "addresses": (GivenAddress(network=NETWORK, address=RULE_ADDRESS),),
        "bank": bank(RULE_BANK_NAME),
    }
    first = ruled(desk, buying_action(), party_id=ADA, **wanted)
    again = ruled(desk, buying_action(), party_id=ADA, **wanted)
    assert again == first
    assert live(desk) == (first.rule.id,)
    assert first.rule.is_bound
    address = desk.get(DepositAddress, (NETWORK, RULE_ADDRESS))
    assert (address.rule_id, address.party_id, address.tenant_id) == (first.rule.id, ADA, B1)
    assert desk.get(BankDetails, RULE_BANK_NAME).rule_id == first.rule.id
    for asked, given in (
        (buying_action(address="0x" + "56" * 20), wanted),
        (buying_action(), {**wanted, "addresses": ()}),
    ):
        assert desk.refuse(ruling(asked, party_id=ADA, **given), owner_id=B1, key="r-1") is Code.KEY_REUSED


def test_terms_and_places_are_the_desks_and_do_not_tell_requests_apart(desk: PureDesk) -> None:
    first = ruled(desk, buying_action(spread_bps=1), bank=bank(RULE_BANK_NAME))
    again = ruled(desk, buying_action(spread_bps=2, fee_bps=3), bank=bank(f"{RULE_BANK_NAME}1"))
    assert again == first
    assert '"spread_bps":1' in first.rule.terms


def test_what_a_rule_is_made_of_must_be_there_and_the_tenants(desk: PureDesk) -> None:
    mine, theirs = session(desk), session(desk, tenant=B2)
    expired = session(desk)
    sell = selling_action(mine)
    assert desk.refuse(ruling(sell, party_id=EVE), owner_id=B1, key="a") is Code.PARTY_NOT_FOUND
    assert desk.refuse(ruling(sell, party_id=uuid4()), owner_id=B1, key="a") is Code.PARTY_NOT_FOUND
    assert desk.refuse(ruling(selling_action(theirs)), owner_id=B1, key="a") is Code.PAYOUT_NOT_PREPARED
    assert desk.refuse(ruling(selling_action(uuid4())), owner_id=B1, key="a") is Code.PAYOUT_NOT_PREPARED
    assert desk.refuse(ruling(selling_action(mine, asset="BTC")), owner_id=B1, key="a") is Code.PREPARED_ASSET_DIFFERS
    assert desk.refuse(ruling(buying_action(asset="DOGE")), owner_id=B1, key="a") is Code.ASSET_NOT_FOUND
    doge = (Condition(asset="DOGE", network=NETWORK),)
    assert desk.refuse(ruling(sell, conditions=doge), owner_id=B1, key="a") is Code.ASSET_NOT_FOUND
    past = ruling(sell, expires_at=desk.clock.now())
    assert desk.refuse(past, owner_id=B1, key="a") is Code.RULE_EXPIRED
    desk.clock.advance(seconds=900)
    assert desk.refuse(ruling(selling_action(expired)), owner_id=B1, key="a") is Code.PAYOUT_NOT_PREPARED
    assert (LiveRules, B1) not in desk.rows


def test_a_rule_is_of_a_bounded_size(desk: PureDesk) -> None:
    sell = selling_action(session(desk))
    condition = at_least("1")
    many = Condition(asset="USDC", network=NETWORK, amounts=condition.amounts * (CONDITIONS_MAX + 1))
    long = stepped(None, *[("multiply", "9" * 38)] * (STEPS_MAX + 1))
    for excessive in (
        ruling(),
        ruling(sell, conditions=()),
        ruling(sell, conditions=(condition,) * (CONDITIONS_MAX + 1)),
        ruling(sell, conditions=(many,)),
        ruling(*[sell] * (ACTIONS_MAX + 1)),
        ruling(selling_action(sell.prepared_id, arrives=long)),
        ruling(selling_action(sell.prepared_id, ceiling=long)),
    ):
        assert desk.refuse(excessive, owner_id=B1, key="a") is Code.RULE_EXCESSIVE


def test_a_tenant_has_a_bounded_number_of_rules_and_those_that_ran_out_do_not_count(desk: PureDesk) -> None:
    sell = selling_action(session(desk))
    soon = desk.clock.now() + timedelta(seconds=60)
    first = ruled(desk, sell, nonce="first", expires_at=soon).rule
    for number in range(RULES_MAX - 1):
        ruled(desk, sell, nonce=f"n-{number}")
    assert desk.refuse(ruling(sell), owner_id=B1, key="one-more") is Code.RULES_EXHAUSTED
    theirs = selling_action(session(desk, tenant=B2))
    assert ruled(desk, theirs, nonce="one-more", tenant=B2).rule.tenant_id == B2
    desk.clock.set(soon)
    assert ruled(desk, sell, nonce="one-more").rule.id in live(desk)
    assert desk.get(Rule, first.id).state == "expired"
    assert (first.id in live(desk), len(live(desk))) == (False, RULES_MAX)


def test_a_rule_that_is_stopped_fires_no_more(desk: PureDesk) -> None:
    rule = ruled(desk, selling_action(session(desk))).rule
    assert desk.act(StopRule(rule_id=rule.id)).rule.state == "expired"
    assert desk.act(StopRule(rule_id=rule.id)).rule.state == "expired"
    assert live(desk) == ()
    deposited(desk, arriving())
    assert desk.get(Rule, rule.id).fired == 0
    assert desk.refuse(StopRule(rule_id=uuid4())) is Code.RULE_NOT_FOUND


def test_the_longest_chain_of_steps_is_worked_out_exactly() -> None:
    nines = "9" * 38
    longest = stepped(None, *[("multiply", nines)] * STEPS_MAX)
    assert longest.of(Decimal(nines)) == Decimal(int(nines) ** (STEPS_MAX + 1))
    assert stepped("5", ("subtract", None)).of(Decimal(7)) == Decimal(-2)

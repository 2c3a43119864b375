"""What a deposit sets off: the rules that it fits and no others, each action alone, never undoing the deposit."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.deposit_checks import GivenAddress
from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.record_deposit import ConcludeDeposit, OpenPlace
from otcdesk.domain.chain_payouts import ChainPayout
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import Payment, PreparedPayout
from otcdesk.domain.rules import AmountCondition, Condition, Rule, RuleExecution
from tests.support.brokerage import assert_balanced
from tests.support.deposits import (
    NETWORK,
    RULE_ADDRESS,
    RULE_BANK_NAME,
    SENDER,
    arriving,
    at_least,
    bank,
    buying_action,
    comparing,
    current,
    deposited,
    live,
    of_desk,
    open_places,
    plain_amount,
    ruled,
    selling_action,
    stepped,
    transferring,
)
from tests.support.payouts import ADA, B1, B2, EVE, done, prepared, ramp_desk, recorded, selling
from tests.support.pure import PureDesk

HAD = 500_000_000


@pytest.fixture
def desk() -> PureDesk:
    made = ramp_desk()
    open_places(made)
    return made


def session(desk: PureDesk, **fields: Any) -> UUID:
    return prepared(desk, delayed=True, **fields).prepared.id


def payouts(desk: PureDesk) -> list[Order]:
    return [order for order in desk.all(Order) if order.product == "payout"]


def executions(desk: PureDesk) -> list[tuple[int, str | None, bool]]:
    return [(row.number, row.code, row.order_id is not None) for row in desk.all(RuleExecution)]


def test_a_deposit_that_fits_is_sold(desk: PureDesk) -> None:
    prepared_id = session(desk)
    rule = ruled(desk, selling_action(prepared_id, external_id="inv-9")).rule
    deposit = deposited(desk, arriving()).order
    (order,) = payouts(desk)
    payment = desk.get(Payment, order.id)
    (execution,) = desk.all(RuleExecution)
    assert (order.state, order.tenant_id, order.source_units, order.destination_units) == (
        "pending",
        B1,
        55_434_783,  # (50.00 + 0.50 + 0.50) / 0.92, up
        5_000,
    )
    assert (payment.rule_id, payment.rule_execution_id, payment.external_id) == (rule.id, execution.id, "inv-9")
    assert (payment.ceiling, payment.prepared_id, payment.deposit_id, payment.party_id) == (
        Decimal(100),
        prepared_id,
        None,
        ADA,
    )
    assert (execution.rule_id, execution.deposit_id, execution.order_id, execution.code) == (
        rule.id,
        deposit.id,
        order.id,
        None,
    )
    assert current(desk) == (HAD + 100_000_000, 55_434_783)
    assert desk.get(PreparedPayout, prepared_id).order_id is None
    assert recorded(desk, done(order)).state == "settled"
    assert_balanced(desk)


def test_a_rule_fires_once_and_a_permanent_one_each_time(desk: PureDesk) -> None:
    once = ruled(desk, selling_action(session(desk)), nonce="once").rule
    always = ruled(desk, selling_action(session(desk), "10.00"), nonce="always", is_permanent=True).rule
    for number in range(3):
        deposited(desk, arriving(outside_id=f"tx-{number}"))
        deposited(desk, arriving(outside_id=f"tx-{number}"))  # told twice
    assert [(desk.get(Rule, one.id).state, desk.get(Rule, one.id).fired) for one in (once, always)] == [
        ("done", 1),
        ("live", 3),
    ]
    assert live(desk) == (always.id,)
    assert sorted(order.destination_units for order in payouts(desk)) == [1_000, 1_000, 1_000, 5_000]
    assert len({execution.id for execution in desk.all(RuleExecution)}) == 4


def test_a_rule_fires_when_the_deposit_settles_and_not_before(desk: PureDesk) -> None:
    ruled(desk, selling_action(session(desk)))
    order = deposited(desk, arriving(stage="pending")).order
    assert payouts(desk) == []
    deposited(desk, ConcludeDeposit(order_id=order.id, stage="settled"))
    assert len(payouts(desk)) == 1


def test_a_deposit_that_failed_sets_nothing_off(desk: PureDesk) -> None:
    ruled(desk, selling_action(session(desk)))
    deposited(desk, arriving(stage="failed"))
    assert payouts(desk) == []


def test_a_rule_that_ran_out_does_not_fire(desk: PureDesk) -> None:
    end = desk.clock.now() + timedelta(seconds=60)
    in_time, late = (ruled(desk, selling_action(session(desk)), nonce=n, expires_at=end).rule for n in "ab")
    desk.clock.set(end - timedelta(microseconds=1))
    deposited(desk, arriving())
    assert len(payouts(desk)) == 2
    again = ruled(desk, selling_action(session(desk)), nonce="c", expires_at=end).rule
    desk.clock.set(end)
    deposited(desk, arriving(outside_id="tx-2"))
    assert len(payouts(desk)) == 2
    assert [desk.get(Rule, one.id).state for one in (in_time, late, again)] == ["done", "done", "expired"]
    assert live(desk) == ()


@pytest.mark.parametrize(
    "condition, fires",
    [
        (comparing("equal", "100"), True),
        (comparing("equal", "100.000000"), True),
        (comparing("equal", "100.000001"), False),
        (comparing("at_most", "100"), True),
        (comparing("at_most", "99.999999"), False),
        (comparing("at_least", "100"), True),
        (comparing("at_least", "100.0000000000000000000000000000000001"), False),
        (at_least("1", asset="BTC"), False),
        (at_least("1", network="Solana"), False),
        (at_least("1", network=None), False),
        (Condition(asset="USDC", network=NETWORK), True),
    ],
)
def test_conditions(desk: PureDesk, condition: Condition, fires: bool) -> None:
    ruled(desk, selling_action(session(desk)), conditions=(condition,))
    deposited(desk, arriving())
    assert bool(payouts(desk)) == fires


def test_all_of_a_conditions_bounds_hold_and_any_of_the_conditions(desk: PureDesk) -> None:
    between = Condition(
        asset="USDC",
        network=NETWORK,
        amounts=(
            AmountCondition(comparison="at_least", value=Decimal(50)),
            AmountCondition(comparison="at_most", value=Decimal(60)),
        ),
    )
    ruled(desk, selling_action(session(desk)), conditions=(between, comparing("equal", "70")), is_permanent=True)
    for number, units in enumerate((49, 50, 60, 61, 70)):
        deposited(desk, arriving(units * 1_000_000, outside_id=str(number)))
    assert len(desk.all(RuleExecution)) == 3


def test_another_partys_senders_or_tenants_deposit_does_not_fire(desk: PureDesk) -> None:
    ruled(desk, selling_action(session(desk)), nonce="a", party_id=ADA)
    ruled(desk, selling_action(session(desk)), nonce="b", source_address=SENDER.upper().replace("0X", "0x"))
    addresses = {"unverified": "0x" + "01" * 20, "theirs": "0x" + "02" * 20, "nobody": "0x" + "03" * 20}
    for owner, address in addresses.items():
        given = GivenAddress(network=NETWORK, address=address)
        tenant = B2 if owner == "theirs" else B1
        desk.act(OpenPlace(tenant_id=tenant, party_id=None, given=given))
        deposited(desk, arriving(destination=address, outside_id=owner, sender_address="0x" + "99" * 20))
    assert desk.all(RuleExecution) == []
    deposited(desk, arriving(sender_address=None))
    assert [row.code for row in desk.all(RuleExecution)] == [None]
    deposited(desk, arriving(destination=addresses["nobody"], outside_id="tx-3"))
    assert [row.code for row in desk.all(RuleExecution)] == [None, None]


def test_a_rule_with_a_place_of_its_own_sees_that_place_only(desk: PureDesk) -> None:
    own = (GivenAddress(network=NETWORK, address=RULE_ADDRESS),)
    bound = ruled(desk, selling_action(session(desk)), nonce="a", addresses=own).rule
    free = ruled(desk, selling_action(session(desk)), nonce="b").rule
    deposited(desk, arriving())
    assert (desk.get(Rule, bound.id).fired, desk.get(Rule, free.id).fired) == (0, 1)
    again = ruled(desk, selling_action(session(desk)), nonce="c").rule
    deposited(desk, arriving(destination=RULE_ADDRESS))
    assert (desk.get(Rule, bound.id).fired, desk.get(Rule, again.id).fired) == (1, 0)
    deposited(desk, arriving(destination=RULE_ADDRESS, outside_id="late"))  # it is credited, and that is all
    assert len(payouts(desk)) == 2


def test_amounts_are_worked_out_exactly_and_cut_to_what_the_fiat_carries(desk: PureDesk) -> None:
    # 92 % of 123.456789 USDC less 1.50: 112.08024588, of which 112.08 arrive
    arrives = stepped(None, ("multiply", "0.92"), ("subtract", "1.5"))
    ceiling = stepped(None, ("add", "10.0000009"))
    ruled(desk, selling_action(session(desk), arrives, ceiling))
    deposited(desk, arriving(123_456_789))
    (order,) = payouts(desk)
    assert order.destination_units == 11_208
    assert desk.get(Payment, order.id).ceiling == Decimal("133.456789")


def test_an_expired_session_that_was_sold_before_may_be_used_by_its_rule(desk: PureDesk) -> None:
    payout = prepared(desk).prepared
    ruled(desk, selling_action(payout.id), is_permanent=True)
    desk.act(selling(payout), owner_id=B1, key="by-hand")
    desk.clock.advance(seconds=3 * 86_400)
    deposited(desk, arriving())
    assert executions(desk) == [(1, None, True)]
    assert len(payouts(desk)) == 2


REFUSED = [
    (plain_amount("9.99"), None, "AMOUNT_TOO_SMALL"),
    (plain_amount("10000.01"), None, "AMOUNT_TOO_LARGE"),
    (stepped("0", ("subtract", "1")), None, "AMOUNT_TOO_SMALL"),
    (stepped("9" * 38, *[("multiply", "9" * 38)] * 10), None, "AMOUNT_TOO_LARGE"),
    (plain_amount("50.00"), plain_amount("55.434782"), "CEILING_EXCEEDED"),
    (plain_amount("50.00"), stepped("0", ("subtract", "1")), "CEILING_EXCEEDED"),
    (plain_amount("1000.00"), plain_amount("9" * 38), "PAYOUT_NOT_COVERED"),
]


@pytest.mark.parametrize("arrives, ceiling, code", REFUSED)
def test_a_refusal_of_the_sale_never_undoes_the_deposit(desk: PureDesk, arrives: Any, ceiling: Any, code: str) -> None:
    rule = ruled(desk, selling_action(session(desk), arrives, ceiling)).rule
    order = deposited(desk, arriving()).order
    assert order.state == "settled"
    (execution,) = desk.all(RuleExecution)
    assert (execution.code, execution.order_id, bool(execution.detail)) == (code, None, True)
    assert current(desk) == (HAD + 100_000_000, 0)
    assert payouts(desk) == []
    assert (desk.get(Rule, rule.id).state, desk.get(Rule, rule.id).fired, live(desk)) == ("live", 0, (rule.id,))
    assert_balanced(desk)


def test_each_action_is_carried_out_or_refused_alone(desk: PureDesk) -> None:
    prepared_id = session(desk)
    ruled(desk, *[selling_action(prepared_id, amount) for amount in ("10.00", "9.99", "20.00", "1000.00", "30.00")])
    deposited(desk, arriving())
    assert executions(desk) == [
        (1, None, True),
        (2, "AMOUNT_TOO_SMALL", False),
        (3, None, True),
        (4, "CEILING_EXCEEDED", False),
        (5, None, True),
    ]
    assert len({order.id for order in payouts(desk)}) == 3
    assert_balanced(desk)


def test_many_rules_fire_together_in_their_order(desk: PureDesk) -> None:
    rules = [ruled(desk, selling_action(session(desk), "60.00"), nonce=str(n)).rule for n in range(12)]
    deposited(desk, arriving())
    paid = {row.rule_id for row in desk.all(RuleExecution) if row.order_id}
    assert paid == {rule.id for rule in rules[:9]}  # 9 x 66.413044 of 600
    assert {row.code for row in desk.all(RuleExecution) if row.code} == {"PAYOUT_NOT_COVERED"}
    assert_balanced(desk)


# -- purchases -----------------------------------------------------------------------------------------------------


def with_usdc(desk: PureDesk) -> PureDesk:
    """Give the desk USDC to sell: its treasury buys it by a payout."""
    from tests.support.payouts import pending

    recorded(desk, done(pending(desk, "300.00")))
    return desk


def test_a_fiat_deposit_buys_and_what_was_bought_waits_for_its_chain(desk: PureDesk) -> None:
    with_usdc(desk)
    before, treasury = current(desk), of_desk(desk, "EUR")["treasury"][0]
    rule = ruled(
        desk,
        buying_action(fee_bps=200),
        conditions=(Condition(asset="EUR"),),
        bank=bank(RULE_BANK_NAME),
        party_id=ADA,
        is_permanent=True,
    ).rule
    deposit = deposited(desk, transferring(destination=RULE_BANK_NAME)).order
    (purchase,) = [order for order in payouts(desk) if order.side == "buy"]
    (sending,) = [order for order in desk.all(Order) if order.product == "chain_payout"]
    payment = desk.get(Payment, purchase.id)
    (execution,) = desk.all(RuleExecution)
    assert (purchase.state, purchase.source_units, purchase.destination_units) == ("settled", 10_000, 106_521_739)
    assert (payment.kind, payment.fiat_units, payment.fee_units, payment.rate) == (
        "purchase",
        10_000,
        200,
        Decimal("0.92"),
    )
    assert (payment.deposit_id, payment.party_id, payment.rule_id) == (deposit.id, ADA, rule.id)
    assert (payment.rule_execution_id, execution.order_id) == (execution.id, purchase.id)
    assert desk.get(Trade, purchase.id).executed_rate == Decimal("0.92")
    assert (sending.state, sending.waits_for, sending.source_units) == ("pending", "chain_payout", 106_521_739)
    goes = desk.get(ChainPayout, sending.id)
    assert (goes.network, goes.address, goes.deposit_id) == (NETWORK, SENDER, deposit.id)
    assert current(desk) == (before[0] + 106_521_739, 106_521_739)
    assert current(desk, "EUR") == (0, 0)
    euros = of_desk(desk, "EUR")
    assert (euros["treasury"][0], euros["outside"][0]) == (treasury + 9_800, 30_000 - 10_000)
    assert_balanced(desk)


def test_the_spread_is_put_on_the_price_and_what_is_left_over_is_the_desks(desk: PureDesk) -> None:
    with_usdc(desk)
    ruled(desk, buying_action(spread_bps=50), conditions=(Condition(asset="EUR"),), bank=bank(RULE_BANK_NAME))
    deposited(desk, transferring(destination=RULE_BANK_NAME))
    (purchase,) = [order for order in payouts(desk) if order.side == "buy"]
    assert (purchase.rate, purchase.market_rate) == (Decimal("0.9246"), Decimal("0.92"))
    assert purchase.destination_units == 108_154_877  # 100 / 0.9246, down


@pytest.mark.parametrize(
    "action, units, code",
    [
        (buying_action(asset="BTC"), 10_000, "TREASURY_INSUFFICIENT"),
        (buying_action(asset="KWD"), 10_000, "PRICE_UNAVAILABLE"),
        (buying_action(fee_bps=9_999), 1, "AMOUNT_TOO_SMALL"),
        (buying_action(), 10_000_000, "TREASURY_INSUFFICIENT"),
    ],
)
def test_a_purchase_that_cannot_be_made_leaves_the_fiat_with_its_tenant(
    desk: PureDesk, action: Any, units: int, code: str
) -> None:
    with_usdc(desk)
    ruled(desk, action, conditions=(Condition(asset="EUR"),), bank=bank(RULE_BANK_NAME))
    deposited(desk, transferring(units, destination=RULE_BANK_NAME))
    assert [row.code for row in desk.all(RuleExecution)] == [code]
    assert current(desk, "EUR") == (units, 0)
    assert_balanced(desk)


def test_a_deposit_is_spent_once(desk: PureDesk) -> None:
    with_usdc(desk)
    buys = [buying_action(), buying_action()]
    ruled(desk, *buys, conditions=(Condition(asset="EUR"),), bank=bank(RULE_BANK_NAME))
    deposited(desk, transferring(destination=RULE_BANK_NAME))
    assert executions(desk) == [(1, None, True), (2, "DEPOSIT_SPENT", False)]


def test_a_deposit_is_not_spent_on_what_others_deposited(desk: PureDesk) -> None:
    with_usdc(desk)
    deposited(desk, transferring(outside_id="of somebody else"))
    ruled(desk, buying_action(), buying_action(), conditions=(Condition(asset="EUR"),), bank=bank(RULE_BANK_NAME))
    deposited(desk, transferring(destination=RULE_BANK_NAME))
    assert executions(desk) == [(1, None, True), (2, "DEPOSIT_SPENT", False)]
    assert current(desk, "EUR") == (10_000, 0)


def test_two_rules_do_not_spend_one_deposit(desk: PureDesk) -> None:
    with_usdc(desk)
    deposited(desk, transferring(outside_id="of somebody else"))
    for nonce in "ab":
        ruled(desk, buying_action(), conditions=(Condition(asset="EUR"),), nonce=nonce)
    deposited(desk, transferring())
    assert sorted(str(row.code) for row in desk.all(RuleExecution)) == ["DEPOSIT_SPENT", "None"]
    assert sorted(row.state for row in desk.all(Rule)) == ["done", "live"]


def test_a_refusal_does_not_use_a_rule_up(desk: PureDesk) -> None:
    """Whoever sends a unit of dust to a rule's address, or pays while there is no price, must not end the rule."""
    own = (GivenAddress(network=NETWORK, address=RULE_ADDRESS),)
    rule = ruled(desk, selling_action(session(desk)), addresses=own).rule
    deposited(desk, arriving(1, destination=RULE_ADDRESS, outside_id="dust"))
    desk.act(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=False))
    deposited(desk, arriving(destination=RULE_ADDRESS, outside_id="no price"))
    desk.act(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=True))
    assert (desk.get(Rule, rule.id), live(desk)) == (rule, (rule.id,))
    for number in range(2):
        deposited(desk, arriving(destination=RULE_ADDRESS, outside_id=f"real {number}"))
    assert [row.code for row in desk.all(RuleExecution)] == ["CEILING_EXCEEDED", "PRICE_UNAVAILABLE", None]
    assert (desk.get(Rule, rule.id).state, desk.get(Rule, rule.id).fired, live(desk)) == ("done", 1, ())


def test_one_order_among_refusals_is_enough_to_be_done(desk: PureDesk) -> None:
    prepared_id = session(desk)
    rule = ruled(desk, selling_action(prepared_id, "9.99"), selling_action(prepared_id, "10.00")).rule
    deposited(desk, arriving())
    assert executions(desk) == [(1, "AMOUNT_TOO_SMALL", False), (2, None, True)]
    assert (desk.get(Rule, rule.id).state, live(desk)) == ("done", ())


def test_a_sale_by_a_rule_carries_the_tenants_surcharge() -> None:
    desk = ramp_desk()
    open_places(desk, tenant=B2, party=EVE)
    ruled(desk, selling_action(session(desk, tenant=B2)), tenant=B2)
    deposited(desk, arriving())
    (order,) = payouts(desk)
    assert desk.get(Payment, order.id).surcharge_units == 25  # 0.5 % of 50.00

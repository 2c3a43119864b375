"""Carry out the rules that a settled deposit sets off, in the deposit's own batch.

A rule's orders are made for its tenant, under the rule's name. Each action is refused or carried out alone: what a
refusal says is kept with the execution, for the operator. A rule of which everything was refused has not fired: it
waits for the next deposit. For a tenant or a party that is frozen no rule does anything.
"""

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from otcdesk.actions.buy_for_deposit import buy_for_deposit, purchase_wants
from otcdesk.actions.freeze import check_party_active, check_tenant
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.sell_payout import sell_prepared, sell_wants
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.deposits import Deposit
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party, Tenant
from otcdesk.domain.payouts import PAYOUT, Payment, PreparedPayout
from otcdesk.domain.rules import (
    DONE,
    EXPIRED,
    Action,
    BuyAction,
    LiveRules,
    Rule,
    RuleExecution,
    SellAction,
    execution_id,
    terms_of,
)
from otcdesk.errors import Code, Refusal
from otcdesk.money import PAID_BY_DESK, UNITS_MAX, counted, units_of

#: How many ids of its own an action may use.
_IDS_OF_ACTION = 8


def run_rules(books: Books, moment: Moment, order: Order, deposit: Deposit) -> None:
    """Fire every rule that a settled deposit sets off, oldest first; refuses nothing."""
    live = books.find(LiveRules, deposit.tenant_id)
    if live is None or not live.rule_ids:
        return
    books.want(*[(Rule, rule_id) for rule_id in live.rule_ids])
    amount = counted(order.source_units, amount_of(books, order.source_asset, 0).asset.scale)
    rules = [_rule(books, rule_id) for rule_id in live.rule_ids]
    over = [rule for rule in rules if rule.is_over(moment.now)]
    fires = [
        rule for rule in rules if not rule.is_over(moment.now) and rule.matches(deposit, order.source_asset, amount)
    ]
    _want(books, order, deposit.party_id, fires)
    for rule in over:
        books.put(rule.with_(state=EXPIRED, updated_at=moment.now))
    fired = [rule for rule in fires if _fired(books, moment, rule, order, deposit, amount)]
    done = [*over, *(rule for rule in fired if not rule.is_permanent)]
    if done:
        books.put(live.without([rule.id for rule in done]))


def _rule(books: Books, rule_id: UUID) -> Rule:
    rule = books.find(Rule, rule_id)
    if rule is None:
        raise AssertionError(f"no rule {rule_id}")
    return rule


def _want(books: Books, order: Order, party_id: UUID | None, fires: Sequence[Rule]) -> None:
    """Name what all actions are about to find, so that it is read together however many rules there are."""
    actions = [action for rule in fires for action in terms_of(rule.terms).actions]
    sells = [action for action in actions if isinstance(action, SellAction)]
    if actions:
        books.want((Tenant, order.tenant_id), (Party, party_id))
    books.want(*[(PreparedPayout, action.prepared_id) for action in sells])
    prepared = [found for action in sells if (found := books.find(PreparedPayout, action.prepared_id))]
    books.want(
        *[key for one in prepared for key in sell_wants(one)],
        *[key for action in actions if isinstance(action, BuyAction) for key in purchase_wants(order, action)],
    )


def _fired(books: Books, moment: Moment, rule: Rule, order: Order, deposit: Deposit, amount: Decimal) -> bool:
    """Carry out a rule's actions; tells whether any of them made an order."""
    orders = 0
    own = Moment(
        now=moment.now,
        arrived_at=moment.arrived_at,
        command_id=execution_id(rule.id, order.id),
        caller=f"rule {rule.id}",
        owner_id=rule.tenant_id,
    )
    for number, action in enumerate(terms_of(rule.terms).actions, start=1):
        execution = RuleExecution(
            id=own.command_id,
            number=number,
            rule_id=rule.id,
            tenant_id=rule.tenant_id,
            deposit_id=order.id,
            happened_at=moment.now,
        )
        try:
            made = _carried_out(books, own, action, execution, order, deposit, amount)
            books.add(execution.with_(order_id=made.id))
            orders += 1
        except Refusal as refusal:  # before anything was written, as of every verb
            books.add(execution.with_(code=refusal.code.name, detail=refusal.detail))
    if orders == 0:
        return False
    books.put(rule.with_(fired=rule.fired + 1, state=rule.state if rule.is_permanent else DONE, updated_at=moment.now))
    return True


def _carried_out(
    books: Books,
    moment: Moment,
    action: Action,
    execution: RuleExecution,
    order: Order,
    deposit: Deposit,
    amount: Decimal,
) -> Order:
    check_tenant(books, deposit.tenant_id)
    check_party_active(books, deposit.party_id)
    first_id = execution.number * _IDS_OF_ACTION
    facts = Payment(
        order_id=moment.new_id(first_id),
        tenant_id=deposit.tenant_id,
        kind=PAYOUT,
        asset=action.asset,
        party_id=deposit.party_id,
        rule_id=execution.rule_id,
        rule_execution_id=execution.id,
    )
    if isinstance(action, BuyAction):
        return buy_for_deposit(books, moment, action, order, facts, first_id)
    return _sold(books, moment, action, facts, amount, first_id)


def _sold(books: Books, moment: Moment, action: SellAction, facts: Payment, amount: Decimal, first_id: int) -> Order:
    """Sell for what was prepared, though its time may be over and it may have been sold before (ramp contract 5.3)."""
    prepared = books.find(PreparedPayout, action.prepared_id)
    if prepared is None or prepared.tenant_id != facts.tenant_id:
        raise Refusal(Code.PAYOUT_NOT_PREPARED)
    fiat = amount_of(books, prepared.fiat, 0).asset
    asset = amount_of(books, prepared.asset, 0).asset
    arrives = units_of(action.arrives.of(amount), fiat.scale, PAID_BY_DESK) or 0
    ceiling = units_of(action.ceiling.of(amount), asset.scale, PAID_BY_DESK) or 0
    return sell_prepared(
        books,
        moment,
        prepared.with_(fiat_units=arrives, order_id=None),
        facts.with_(ceiling=counted(min(ceiling, UNITS_MAX), asset.scale), external_id=action.external_id),
        first_id + 1,
    )

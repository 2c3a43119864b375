"""Rules: what a tenant wants done when a deposit arrives, without being asked again (ramp contract 3.10).

A rule has conditions, any one of which sets it off, and actions, all of which are then carried out. Amounts may be the
deposit's own, worked on in steps of exact decimals. It fires once, or each time; never after it has expired. Where all
of its actions are refused it has not fired.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal
from uuid import UUID

import msgspec

from otcdesk.domain.deposits import Deposit, same_address
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import declared_id
from otcdesk.money import Operator, worked_on

# States of a rule.
LIVE = "live"
DONE = "done"
EXPIRED = "expired"

#: A tenant has at most so many rules that can still fire: a deposit looks at each of them.
RULES_MAX = 100
#: What a rule may be made of.
CONDITIONS_MAX = 10
ACTIONS_MAX = 5
STEPS_MAX = 10


class AmountCondition(msgspec.Struct, frozen=True, kw_only=True):
    """What the deposit's amount must be."""

    comparison: Literal["equal", "at_most", "at_least"]
    value: Decimal

    def holds(self, amount: Decimal) -> bool:
        """Tell whether an amount is so."""
        if self.comparison == "equal":
            return amount == self.value
        return amount <= self.value if self.comparison == "at_most" else amount >= self.value


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What a deposit must be: of an asset, on a network (None: fiat at a bank), and all that is said of its amount."""

    asset: str
    network: str | None = None
    amounts: tuple[AmountCondition, ...] = ()

    def holds(self, deposit: Deposit, asset: str, amount: Decimal) -> bool:
        """Tell whether a deposit is so."""
        is_of = asset == self.asset and deposit.network == self.network
        return is_of and all(one.holds(amount) for one in self.amounts)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of working on an amount; `value` None is the deposit's amount."""

    operator: Operator
    value: Decimal | None = None


class SteppedAmount(msgspec.Struct, frozen=True, kw_only=True):
    """An amount, or (None) the deposit's, and what is done to it step by step."""

    value: Decimal | None = None
    steps: tuple[Step, ...] = ()

    def of(self, amount: Decimal) -> Decimal:
        """Return what it comes to for a deposit's amount, exactly; it may be below zero."""
        result = amount if self.value is None else self.value
        for step in self.steps:
            result = worked_on(result, step.operator, amount if step.value is None else step.value)
        return result


class SellAction(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="sell"):
    """Sell for what was prepared, however much arrives; `arrives` is cut to the decimals of the fiat."""

    prepared_id: UUID
    asset: str
    arrives: SteppedAmount
    ceiling: SteppedAmount
    external_id: str | None = None


class BuyAction(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="buy"):
    """Buy an asset for the whole of a fiat deposit and send it to an address.

    The price is the market's with `spread_bps` put on it; `fee_bps` of the deposit are kept. Both are ten-thousandths,
    as they were agreed with the rule.
    """

    asset: str
    network: str
    address: str
    spread_bps: int
    fee_bps: int


Action = SellAction | BuyAction


class RuleTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule says; `source_address` is from where a deposit must come, if that matters."""

    conditions: tuple[Condition, ...]
    actions: tuple[Action, ...]
    source_address: str | None = None


class Rule(Noun, frozen=True, kw_only=True, gc=False):
    """A rule of a tenant. `terms` are `RuleTerms` as JSON. `party_id`: only deposits for this party set it off.

    With a destination of its own (`is_bound`) it sees what arrives there and nothing else. `fired` counts how often it
    has fired, that is, for how many deposits it made an order; one that is not permanent is done with the first time.
    """

    id: UUID
    tenant_id: UUID
    party_id: UUID | None
    terms: str
    is_bound: bool
    is_permanent: bool
    expires_at: datetime | None
    state: str = LIVE
    fired: int = 0
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> UUID:
        """Return the rule's id."""
        return self.id

    def is_over(self, now: datetime) -> bool:
        """Tell whether the rule has run out by then."""
        return self.expires_at is not None and now >= self.expires_at

    def matches(self, deposit: Deposit, asset: str, amount: Decimal) -> bool:
        """Tell whether a deposit sets the rule off."""
        if self.is_bound != (deposit.rule_id is not None) or (self.is_bound and deposit.rule_id != self.id):
            return False
        if self.party_id is not None and deposit.party_id != self.party_id:
            return False
        terms = terms_of(self.terms)
        source = terms.source_address
        if source is not None and not same_address(deposit.sender_address or "", source):
            return False
        return any(condition.holds(deposit, asset, amount) for condition in terms.conditions)


class LiveRules(Noun, frozen=True, kw_only=True, gc=False):
    """Which rules of a tenant can still fire, oldest first."""

    tenant_id: UUID
    rule_ids: tuple[UUID, ...] = ()

    @property
    def key(self) -> UUID:
        """Return the tenant."""
        return self.tenant_id

    def without(self, rule_ids: Sequence[UUID]) -> "LiveRules":
        """Return the rules that are left without these."""
        return self.with_(rule_ids=tuple(one for one in self.rule_ids if one not in rule_ids))


class RuleExecution(Noun, frozen=True, kw_only=True, gc=False):
    """What became of an action that a deposit set off: the order that it made, or the code and sentence of its refusal.

    All actions of a rule on one deposit share the `id`; `number` counts them from 1.
    """

    id: UUID
    number: int
    rule_id: UUID
    tenant_id: UUID
    deposit_id: UUID
    order_id: UUID | None = None
    code: str | None = None
    detail: str | None = None
    happened_at: datetime

    @property
    def key(self) -> tuple[UUID, int]:
        """Return the firing and the action's number in it."""
        return self.id, self.number


def execution_id(rule_id: UUID, deposit_id: UUID) -> UUID:
    """Return the id of a rule's one firing on a deposit; its last byte is free for ids of its own."""
    return UUID(int=declared_id("rule execution", str(rule_id), str(deposit_id)).int & ~0xFF)


@lru_cache(maxsize=4_096)
def terms_of(text: str) -> RuleTerms:
    """Read what a rule says."""
    return msgspec.json.decode(text, type=RuleTerms)

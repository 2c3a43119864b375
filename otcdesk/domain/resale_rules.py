"""Rules by which a branch takes or turns down what is listed over the counter, without anybody being asked.

Sources: deals contract, 3.7 and 5.
"""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from otcdesk.domain.noun import Noun
from otcdesk.money import plain, worked_on

# Of which orders a rule decides: those that sell to the branch, those that buy from it, or both.
BOTH = "both"
BUYS = "buys"
SELLS = "sells"
SIDES = (BOTH, BUYS, SELLS)

# What its price test is.
UNCONDITIONAL = "unconditional"
PERCENT = "percent"
ABSOLUTE = "absolute"
TESTS = (UNCONDITIONAL, PERCENT, ABSOLUTE)

# What it does.
ACCEPT = "accept"
REJECT = "reject"
ACTIONS = (ACCEPT, REJECT)

#: A branch has at most so many active rules: all of them are looked at for each listing.
RULES_MAX = 100


class ResaleRule(Noun, frozen=True, kw_only=True, gc=False):
    """A rule of a branch. Bounds that are None do not bound; a lower `priority` goes first.

    `ended_at`: since when it is no more. A rule that its match consumes is inactive from then on.
    """

    id: UUID
    tenant_id: UUID
    branch_id: UUID
    name: str
    side: str
    test: str
    action: str
    consume_on_match: bool
    active: bool
    priority: int
    instrument_id: UUID | None = None
    above_percent: Decimal | None = None
    below_percent: Decimal | None = None
    above_amount: Decimal | None = None
    below_amount: Decimal | None = None
    quantity_min: int | None = None
    quantity_max: int | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    created_by: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None

    @property
    def key(self) -> UUID:
        """Return the rule's id."""
        return self.id


class BranchRules(Noun, frozen=True, kw_only=True, gc=False):
    """The active rules of a branch, in the order in which they were made."""

    branch_id: UUID
    rule_ids: tuple[UUID, ...] = ()

    @property
    def key(self) -> UUID:
        """Return the branch."""
        return self.branch_id


class ResaleDecision(Noun, frozen=True, kw_only=True, gc=False):
    """What the rules said of a listing: which one decided (None: none) and what, and of each why, as JSON."""

    order_id: UUID
    tenant_id: UUID
    rule_id: UUID | None
    action: str | None
    explanation: str
    decided_at: datetime

    @property
    def key(self) -> UUID:
        """Return the listing's order."""
        return self.order_id


class Listed(NamedTuple):
    """What a rule looks at: a listing, and what its issuer asks for one (None: not in the listing's currency)."""

    instrument_id: UUID
    quantity: int
    price: Decimal
    reference: Decimal | None


def in_turn(rule: ResaleRule) -> tuple[int, datetime, UUID]:
    """Return a rule's place among those that are looked at (deals contract, 5)."""
    return rule.priority, rule.created_at, rule.id


def objection(rule: ResaleRule, listed: Listed, now: datetime) -> str | None:
    """Return why a rule says nothing of a listing, None if it decides (deals contract, 5)."""
    if not rule.active or rule.ended_at is not None:
        return "it is not active"
    if rule.side == BUYS:
        return "it is about what is bought"
    if rule.instrument_id not in {None, listed.instrument_id}:
        return "it is about another instrument"
    if rule.valid_from is not None and now < rule.valid_from:
        return f"it is valid from {rule.valid_from.isoformat()}"
    if rule.valid_until is not None and now > rule.valid_until:
        return f"it was valid until {rule.valid_until.isoformat()}"
    if rule.quantity_min is not None and listed.quantity < rule.quantity_min:
        return f"{listed.quantity} is less than {rule.quantity_min}"
    if rule.quantity_max is not None and listed.quantity > rule.quantity_max:
        return f"{listed.quantity} is more than {rule.quantity_max}"
    return _price_objection(rule, listed)


def _price_objection(rule: ResaleRule, listed: Listed) -> str | None:
    if rule.test == UNCONDITIONAL:
        return None
    if listed.reference is None:
        return "there is no reference price in this currency"
    lowest, highest = _band(rule, listed.reference)
    if lowest is not None and listed.price < lowest:
        return f"the price {listed.price} is below {plain(lowest)}"
    if highest is not None and listed.price > highest:
        return f"the price {listed.price} is above {plain(highest)}"
    return None


def _band(rule: ResaleRule, reference: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """Return the lowest and the highest price that pass, both included; None where nothing bounds."""
    if rule.test == ABSOLUTE:
        below, above = rule.below_amount, rule.above_amount
        return (
            None if below is None else worked_on(reference, "subtract", below),
            None if above is None else worked_on(reference, "add", above),
        )
    lower, upper = rule.below_percent, rule.above_percent
    return (
        None if lower is None else _percent_of(reference, worked_on(_ALL, "subtract", lower)),
        None if upper is None else _percent_of(reference, worked_on(_ALL, "add", upper)),
    )


_ALL = Decimal(100)
_HUNDREDTH = Decimal("0.01")


def _percent_of(value: Decimal, percent: Decimal) -> Decimal:
    return worked_on(worked_on(value, "multiply", percent), "multiply", _HUNDREDTH)

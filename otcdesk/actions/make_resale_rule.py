"""Make, change and end the rules by which a branch takes or turns down what is listed.

A branch keeps the list of those that are active, so that a listing is put before no others and there are never too many
of them. A rule that its match has consumed, or that was switched off, stays and may be made active again.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from otcdesk.actions.resale_checks import branch_of, check_mandate, found_branch
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.compact_ids import compact_id
from otcdesk.domain.resale_rules import ACCEPT, RULES_MAX, BranchRules, ResaleRule
from otcdesk.domain.resales import ANYBODY, Branch, Instrument, Mandate
from otcdesk.errors import Code, Refusal

_WHOLE = Decimal(100)


class RuleFields(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a rule: its fields, those that nothing is said of UNSET; None takes a bound away."""

    name: str | UnsetType = UNSET
    side: str | UnsetType = UNSET
    test: str | UnsetType = UNSET
    action: str | UnsetType = UNSET
    consume_on_match: bool | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    instrument_id: UUID | UnsetType | None = UNSET
    above_percent: Decimal | UnsetType | None = UNSET
    below_percent: Decimal | UnsetType | None = UNSET
    above_amount: Decimal | UnsetType | None = UNSET
    below_amount: Decimal | UnsetType | None = UNSET
    quantity_min: int | UnsetType | None = UNSET
    quantity_max: int | UnsetType | None = UNSET
    valid_from: datetime | UnsetType | None = UNSET
    valid_until: datetime | UnsetType | None = UNSET

    @property
    def said(self) -> dict[str, Any]:
        """Return the fields that something is said of."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


class MakeResaleRule(Command, frozen=True, kw_only=True):
    """A rule of a branch, made by somebody; its `fields` up to the priority are said, but perhaps its action."""

    branch_id: UUID
    fields: RuleFields
    created_by: str
    mandate: Mandate

    @property
    def compared(self) -> "MakeResaleRule":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, created_by="", mandate=ANYBODY)


class ChangeResaleRule(Command, frozen=True, kw_only=True):
    """Change what is said of a rule."""

    rule_id: UUID
    fields: RuleFields
    mandate: Mandate


class EndResaleRule(Command, frozen=True, kw_only=True):
    """Let a rule be no more."""

    rule_id: UUID
    mandate: Mandate


class ResaleRuleKept(Reply, frozen=True, kw_only=True):
    """The rule after it."""

    rule: ResaleRule


def make_resale_rule(command: MakeResaleRule, books: Books, moment: Moment) -> ResaleRuleKept:
    """Make a rule.

    Refuses, in this order: BRANCH_NOT_FOUND, NOT_PERMITTED, INSTRUMENT_NOT_FOUND, RULE_BOUNDS_CROSSED, RULES_EXHAUSTED
    (deals contract, 3.7).
    """
    said = command.fields.said
    books.want((BranchRules, command.branch_id), (Instrument, said.get("instrument_id")))
    branch = found_branch(books, moment, command.branch_id)
    check_mandate(command.mandate, branch)
    rule = ResaleRule(
        **{"action": ACCEPT, **said},
        id=compact_id(moment.new_id(0), moment.now),
        tenant_id=branch.tenant_id,
        branch_id=branch.id,
        created_by=command.created_by,
        created_at=moment.now,
        updated_at=moment.now,
    )
    _check(books, branch, rule)
    _list(books, rule)
    books.add(rule)
    return ResaleRuleKept(rule=rule)


def change_resale_rule(command: ChangeResaleRule, books: Books, moment: Moment) -> ResaleRuleKept:
    """Change a rule; what is listed already is not put before it again.

    Refuses, in this order: RULE_NOT_FOUND, NOT_PERMITTED, INSTRUMENT_NOT_FOUND, RULE_BOUNDS_CROSSED, RULES_EXHAUSTED.
    """
    books.want((ResaleRule, command.rule_id), (Instrument, command.fields.said.get("instrument_id")))
    rule, branch = _found(books, moment, command.rule_id, command.mandate)
    changed = rule.with_(**command.fields.said)
    if changed == rule:
        return ResaleRuleKept(rule=rule)
    changed = changed.with_(updated_at=moment.now)
    _check(books, branch, changed)
    _list(books, changed)
    books.put(changed)
    return ResaleRuleKept(rule=changed)


def end_resale_rule(command: EndResaleRule, books: Books, moment: Moment) -> ResaleRuleKept:
    """End a rule; refuses RULE_NOT_FOUND, also for one that has ended, and NOT_PERMITTED."""
    rule, _ = _found(books, moment, command.rule_id, command.mandate)
    ended = rule.with_(active=False, ended_at=moment.now, updated_at=moment.now)
    _list(books, ended)
    books.put(ended)
    return ResaleRuleKept(rule=ended)


def _found(books: Books, moment: Moment, rule_id: UUID, mandate: Mandate) -> tuple[ResaleRule, Branch]:
    rule = books.find(ResaleRule, rule_id)
    if rule is None or rule.tenant_id != moment.owner_id or rule.ended_at is not None:
        raise Refusal(Code.RULE_NOT_FOUND)
    books.want((Branch, rule.branch_id), (BranchRules, rule.branch_id))
    branch = branch_of(books, rule.branch_id)
    check_mandate(mandate, branch)
    return rule, branch


def _check(books: Books, branch: Branch, rule: ResaleRule) -> None:
    """Refuse INSTRUMENT_NOT_FOUND for one that the branch has not issued, RULE_BOUNDS_CROSSED where nothing fits."""
    if rule.instrument_id is not None:
        instrument = books.find(Instrument, rule.instrument_id)
        if instrument is None or instrument.branch_id != branch.id:
            raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    if rule.quantity_min is not None and rule.quantity_max is not None and rule.quantity_min > rule.quantity_max:
        raise Refusal(Code.RULE_BOUNDS_CROSSED, "The least quantity is more than the greatest.")
    if rule.valid_from is not None and rule.valid_until is not None and rule.valid_from > rule.valid_until:
        raise Refusal(Code.RULE_BOUNDS_CROSSED, "The rule is valid until before it is valid from.")
    if rule.below_percent is not None and rule.below_percent > _WHOLE:
        raise Refusal(Code.RULE_BOUNDS_CROSSED, "A price is never more than 100 percent below another.")


def _list(books: Books, rule: ResaleRule) -> None:
    """Have a rule in its branch's list of active ones as it says of itself; refuses RULES_EXHAUSTED."""
    known = books.find(BranchRules, rule.branch_id)
    live = known or BranchRules(branch_id=rule.branch_id)
    if rule.active == (rule.id in live.rule_ids):
        return
    if not rule.active:
        after = live.with_(rule_ids=tuple(each for each in live.rule_ids if each != rule.id))
    elif len(live.rule_ids) >= RULES_MAX:
        raise Refusal(Code.RULES_EXHAUSTED)
    else:
        after = live.with_(rule_ids=(*live.rule_ids, rule.id))
    (books.add if known is None else books.put)(after)

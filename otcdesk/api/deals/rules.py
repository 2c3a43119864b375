"""Rules by which a node accepts or rejects deals without being asked (contract 3.7)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.actions.make_resale_rule import ChangeResaleRule, EndResaleRule, MakeResaleRule, RuleFields
from otcdesk.api.deals.callers import RULES_MANAGE
from otcdesk.api.deals.node_reads import GONE, branch_in, caller_of
from otcdesk.api.deals.paging import PageQuery, listed, page_of_query
from otcdesk.api.deals.tables import NODE, path_id, read, write
from otcdesk.api.deals.values import (
    GivenId,
    Id,
    Number,
    NumberOrNull,
    Whole,
    WholeOrNull,
    decimal_number,
    id_of,
    id_text,
    invalid,
    is_null,
    number_of,
    time_text,
    whole_of,
)
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.api.wire import KEPT_TEXT, TimeText
from otcdesk.domain import resale_rules as r
from otcdesk.domain.resale_rules import ResaleRule
from otcdesk.errors import Code
from otcdesk.money import RATE_MAX

#: The numbers of the contract, and what they stand for.
SIDES: Final = {1: r.BOTH, 2: r.BUYS, 3: r.SELLS}
TESTS: Final = {1: r.UNCONDITIONAL, 2: r.PERCENT, 3: r.ABSOLUTE}
ACTIONS: Final = {1: r.ACCEPT, 2: r.REJECT}
ACTIVE: Final = {1: False, 2: True}

#: Rules refer to prices of at most so many decimals, as assets have.
_DECIMALS_MAX: Final = 18
_PERCENT_MAX: Final = Decimal(1_000_000)
#: No price is further below another.
_BELOW_PERCENT_MAX: Final = Decimal(100)
#: What the database counts priorities by.
_PRIORITY_MAX: Final = 2**31 - 1

_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=KEPT_TEXT)]
_AnyWhole = Whole | UnsetType
_WholeBound = WholeOrNull | UnsetType
_NumberBound = NumberOrNull | UnsetType


class RuleChange(msgspec.Struct, kw_only=True):
    """What a rule is to be; what is left out stays as it was, and null takes a bound away."""

    name: Name | UnsetType = UNSET
    side: _AnyWhole = UNSET
    rule_type: _AnyWhole = UNSET
    match_action: _WholeBound = UNSET
    consume_on_match: bool | UnsetType = UNSET
    status: _AnyWhole = UNSET
    priority: _AnyWhole = UNSET
    token_id: GivenId | UnsetType | None = UNSET
    above_percent: _NumberBound = UNSET
    below_percent: _NumberBound = UNSET
    above_amount: _NumberBound = UNSET
    below_amount: _NumberBound = UNSET
    min_offer_quantity: _WholeBound = UNSET
    max_offer_quantity: _WholeBound = UNSET
    valid_from: str | UnsetType | None = UNSET
    valid_until: str | UnsetType | None = UNSET


class RuleRequest(RuleChange, kw_only=True):
    """A rule to be made."""

    name: Name
    side: Whole
    rule_type: Whole
    consume_on_match: bool
    status: Whole
    priority: Whole


class RuleAnswer(msgspec.Struct, kw_only=True):
    """A rule."""

    id: Id
    node_id: Id
    name: str
    side: int
    rule_type: int
    match_action: int
    consume_on_match: bool
    status: int
    priority: int
    token_id: Id | None
    above_percent: Number | None
    below_percent: Number | None
    above_amount: Number | None
    below_amount: Number | None
    min_offer_quantity: int | None
    max_offer_quantity: int | None
    valid_from: TimeText | None
    valid_until: TimeText | None
    created_by: str
    is_api: bool
    created_at: TimeText
    updated_at: TimeText


class RulePage(msgspec.Struct, kw_only=True):
    """A page of rules."""

    data: list[RuleAnswer]
    total: int
    page: int
    per_page: int


class StoredRules(msgspec.Struct, frozen=True):
    """A page of them as the books have them."""

    rows: list[ResaleRule]
    total: int


async def make_otc_rule(call: Call) -> RuleAnswer:
    """Make a rule of a node."""
    caller = caller_of(call)
    command = MakeResaleRule(
        branch_id=path_id(call, "node_id", NODE),
        fields=fields_of(call.body),
        created_by=id_text(caller.supervisor_id),
        mandate=caller.mandate(RULES_MANAGE),
    )
    return rule_answer((await call.submit(command)).rule)


async def list_otc_rules(call: Call) -> dict[str, Any]:
    """List the rules of a node, in the order in which they are looked at."""
    page = page_of_query(call.request)
    branch = await branch_in(call)
    found = await call.desk.reads.row(
        "resales", "rules_of_branch", StoredRules, call.caller.lane, branch.id, page.size, page.offset
    )
    assert found is not None, "the statement always has a row"
    return listed([rule_answer(rule) for rule in found.rows], page, found.total)


async def change_otc_rule(call: Call) -> RuleAnswer:
    """Change a rule."""
    command = ChangeResaleRule(
        rule_id=path_id(call, "id", "rule ID"),
        fields=fields_of(call.body),
        mandate=caller_of(call).mandate(RULES_MANAGE),
    )
    return rule_answer((await call.submit(command)).rule)


async def end_otc_rule(call: Call) -> Answer:
    """End a rule."""
    await call.submit(
        EndResaleRule(rule_id=path_id(call, "id", "rule ID"), mandate=caller_of(call).mandate(RULES_MANAGE))
    )
    return GONE


def fields_of(body: RuleChange) -> RuleFields:
    """Read what a body says of a rule; refuses REQUEST_INVALID."""
    said: dict[str, Any] = {
        "name": _name(body.name),
        "side": _word(body.side, "side", SIDES),
        "test": _word(body.rule_type, "rule_type", TESTS),
        "action": _word(_unset_for_null(body.match_action), "match_action", ACTIONS),
        "consume_on_match": body.consume_on_match,
        "active": _word(body.status, "status", ACTIVE),
        "priority": _priority(body.priority),
        "instrument_id": body.token_id if not isinstance(body.token_id, str) else id_of(body.token_id, "token_id"),
        "above_percent": _bound(body.above_percent, "above_percent", _PERCENT_MAX),
        "below_percent": _bound(body.below_percent, "below_percent", _BELOW_PERCENT_MAX),
        "above_amount": _bound(body.above_amount, "above_amount", Decimal(RATE_MAX)),
        "below_amount": _bound(body.below_amount, "below_amount", Decimal(RATE_MAX)),
        "quantity_min": _quantity(body.min_offer_quantity, "min_offer_quantity"),
        "quantity_max": _quantity(body.max_offer_quantity, "max_offer_quantity"),
        "valid_from": _time(body.valid_from, "valid_from"),
        "valid_until": _time(body.valid_until, "valid_until"),
    }
    return RuleFields(**said)


def _name(name: str | UnsetType) -> str | UnsetType:
    if isinstance(name, str) and not name.strip():
        raise invalid("name is required")
    return name


def _unset_for_null(raw: Any) -> Any:
    return UNSET if raw is not UNSET and is_null(raw) else raw


def _word(raw: Any, field: str, words: Mapping[int, Any]) -> Any:
    if raw is UNSET:
        return UNSET
    number = whole_of(raw, field)
    if number not in words:
        raise invalid(f"{field} must be one of {', '.join(map(str, words))}")
    return words[number]


def _priority(raw: Any) -> Any:
    if raw is UNSET:
        return UNSET
    number = whole_of(raw, "priority")
    if abs(number) > _PRIORITY_MAX:
        raise invalid("priority is out of range")
    return number


def _bound(raw: Any, field: str, most: Decimal) -> Any:
    if raw is UNSET or is_null(raw):
        return UNSET if raw is UNSET else None
    value = number_of(raw, field)
    if not 0 <= value <= most or value.as_tuple().exponent < -_DECIMALS_MAX:  # type: ignore[operator]  # it is finite
        raise invalid(f"{field} must be from 0 to {most}, with at most {_DECIMALS_MAX} decimals")
    return value


def _quantity(raw: Any, field: str) -> Any:
    if raw is UNSET or is_null(raw):
        return UNSET if raw is UNSET else None
    number = whole_of(raw, field)
    if number <= 0:
        raise invalid(f"{field} must be greater than 0")
    return number


def _time(text: Any, field: str) -> Any:
    """Read a time in ISO 8601; one without a zone is in UTC, and one without a time the first moment of its day."""
    if not isinstance(text, str):
        return text
    try:
        found = datetime.fromisoformat(text if _TIME.fullmatch(text) else "")
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(f"{field} must be a time in ISO 8601") from None


def rule_answer(rule: ResaleRule) -> RuleAnswer:
    """Render a rule."""
    return RuleAnswer(
        id=id_text(rule.id),
        node_id=id_text(rule.branch_id),
        name=rule.name,
        side=_number(SIDES, rule.side),
        rule_type=_number(TESTS, rule.test),
        match_action=_number(ACTIONS, rule.action),
        consume_on_match=rule.consume_on_match,
        status=_number(ACTIVE, rule.active),
        priority=rule.priority,
        token_id=None if rule.instrument_id is None else id_text(rule.instrument_id),
        above_percent=_printed(rule.above_percent),
        below_percent=_printed(rule.below_percent),
        above_amount=_printed(rule.above_amount),
        below_amount=_printed(rule.below_amount),
        min_offer_quantity=rule.quantity_min,
        max_offer_quantity=rule.quantity_max,
        valid_from=None if rule.valid_from is None else time_text(rule.valid_from),
        valid_until=None if rule.valid_until is None else time_text(rule.valid_until),
        created_by=rule.created_by,
        is_api=True,
        created_at=time_text(rule.created_at),
        updated_at=time_text(rule.updated_at),
    )


def _number(words: Mapping[int, Any], wanted: Any) -> int:
    return next(number for number, word in words.items() if word == wanted)


def _printed(value: Decimal | None) -> msgspec.Raw | None:
    return None if value is None else decimal_number(value)


_RULES = "/v2/admin/otc-order-rules"
_KEPT = (Code.NOT_PERMITTED, Code.INSTRUMENT_NOT_FOUND, Code.RULE_BOUNDS_CROSSED, Code.RULES_EXHAUSTED)

RULE_ROUTES = (
    write(
        f"{_RULES}/nodes/{{node_id}}",
        make_otc_rule,
        "Make a rule that accepts or rejects deals of a node",
        RuleRequest,
        RuleAnswer,
        Code.BRANCH_NOT_FOUND,
        *_KEPT,
        Code.KEY_REUSED,
        Code.KEY_IN_FLIGHT,
        status=201,
    ),
    read(
        f"{_RULES}/nodes/{{node_id}}",
        list_otc_rules,
        "The rules of a node, in the order in which they are looked at",
        RulePage,
        Code.BRANCH_NOT_FOUND,
        Code.NOT_PERMITTED,
        query=PageQuery,
    ),
    write(
        f"{_RULES}/{{id}}",
        change_otc_rule,
        "Change a rule; one that was consumed may be made active again",
        RuleChange,
        RuleAnswer,
        Code.RULE_NOT_FOUND,
        *_KEPT,
        method="PUT",
    ),
    write(
        f"{_RULES}/{{id}}",
        end_otc_rule,
        "End a rule",
        None,
        None,
        Code.RULE_NOT_FOUND,
        Code.NOT_PERMITTED,
        method="DELETE",
        status=204,
    ),
)

#: What these routes answer otherwise than the others.
RULE_DETAILS = {
    (route.label, code): said
    for route in RULE_ROUTES
    for code, said in (
        (Code.NOT_PERMITTED, "Insufficient permissions to manage OTC order rules"),
        (Code.INSTRUMENT_NOT_FOUND, "Token not found"),
    )
}

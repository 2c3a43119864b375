"""What the operator sees and does of deposits: what arrived for tenants, what became of it, and the rules it set off.

A bank's or a chain's word comes in here by hand, or by whoever watches them and has an operator's token.
"""

from typing import Any

import msgspec

from otcdesk.actions.deposit_checks import GivenAddress, GivenBankDetails
from otcdesk.actions.make_rule import StopRule
from otcdesk.actions.record_deposit import ConcludeDeposit, DepositRecorded, OpenPlace, PlaceOpened
from otcdesk.api import deposit_shapes as shapes
from otcdesk.api.deposit_shapes import Text
from otcdesk.api.dialect import Call, Route
from otcdesk.api.http import Answer
from otcdesk.api.wire import PageQuery, Uuid, page_of, paged, uuid_of
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.deposits import FAILED, PENDING, REFUNDED, SETTLED
from otcdesk.domain.parties import Party, Tenant
from otcdesk.domain.rules import Rule, RuleExecution
from otcdesk.errors import Code, Refusal

_STATES = (PENDING, SETTLED, FAILED, REFUNDED)


class DepositsQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only deposits of one tenant or status."""

    customerId: Uuid | msgspec.UnsetType = msgspec.UNSET  # noqa: N815  (wire name)
    status: str | msgspec.UnsetType = msgspec.UNSET


class RulesQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only rules of one tenant."""

    customerId: Uuid | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class ExecutionsQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only executions of one rule."""

    ruleId: Uuid | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class BankRequest(msgspec.Struct, kw_only=True):
    """A bank account at which fiat arrives; `name` is how whoever pays to it is told of it."""

    name: Text
    type: Text
    country: Text
    fiat: Text
    number: Text
    bankCode: Text | None = None  # noqa: N815
    holder: Text


class PlaceRequest(msgspec.Struct, kw_only=True):
    """Where money arrives for a tenant, and perhaps for one user: an address on a network, or a bank account."""

    customerId: Uuid  # noqa: N815
    userId: Uuid | None = None  # noqa: N815
    network: Text | None = None
    address: Text | None = None
    bank: BankRequest | None = None


class _Deposits(msgspec.Struct, frozen=True):
    rows: list[shapes.StoredDeposit]
    total: int = 0


class _Rules(msgspec.Struct, frozen=True):
    rows: list[Rule]
    total: int = 0


class _Executions(msgspec.Struct, frozen=True):
    rows: list[RuleExecution]
    total: int = 0


async def list_deposits(call: Call) -> Answer:
    """List the deposits of all tenants, newest first."""
    page, status = page_of(call.request.query), call.request.query.get("status")
    if status and status not in _STATES:
        raise Refusal(Code.REQUEST_INVALID, f"There is no status {status[:40]!r}.")
    wanted = (_id(call, "customerId"), status or None, page.limit, page.offset)
    found = await call.desk.reads.row("deposits", "deposits", _Deposits, call.caller.lane, *wanted) or _Deposits([])
    scales = await _scales(call)
    return Answer(
        200, paged([shapes.deposit_answer(row.order, row.deposit, scales) for row in found.rows], page, found.total)
    )


async def record_deposit(call: Call) -> Any:
    """Record a deposit that the bank or the chain tells of."""
    scales = await _scales(call)
    return _answer(await call.submit(shapes.record_command(call.body, scales)), scales)


async def conclude_deposit(call: Call) -> Any:
    """Say what became of a deposit."""
    command = ConcludeDeposit(
        order_id=call.path_id("id", Code.ORDER_NOT_FOUND), stage=call.body.outcome, reason=call.body.reason
    )
    return _answer(await call.submit(command), await _scales(call))


async def open_place(call: Call) -> Any:
    """Open a place where money arrives for a tenant."""
    body = call.body
    if (body.bank is None) == (body.address is None) or (body.network is None) != (body.address is None):
        raise Refusal(Code.REQUEST_INVALID, "A place is an address with its network, or a bank account.")
    tenant_id = uuid_of(body.customerId)
    if await call.desk.reads.row("deposits", "tenant_of_id", Tenant, call.caller.lane, tenant_id) is None:
        raise Refusal(Code.REQUEST_INVALID, "There is no such customer.")
    opened: PlaceOpened = await call.submit(
        OpenPlace(
            tenant_id=tenant_id,
            party_id=await _party(call, tenant_id),
            given=None if body.address is None else GivenAddress(network=body.network, address=body.address),
            bank=None if body.bank is None else _given_bank(body.bank),
        )
    )
    return msgspec.to_builtins(opened.address or opened.bank)


async def list_rules(call: Call) -> Answer:
    """List the rules of all tenants, newest first."""
    page, lane = page_of(call.request.query), call.caller.lane
    wanted = (_id(call, "customerId"), page.limit, page.offset)
    found = await call.desk.reads.row("deposits", "rules", _Rules, lane, *wanted) or _Rules([])
    now = await call.desk.business_time(lane)
    return Answer(200, paged([shapes.rule_answer(row, now) for row in found.rows], page, found.total))


async def stop_rule(call: Call) -> Any:
    """Let a rule fire no more."""
    stopped = await call.submit(StopRule(rule_id=call.path_id("id", Code.RULE_NOT_FOUND)))
    return shapes.rule_answer(stopped.rule, await call.desk.business_time(call.caller.lane))


async def list_executions(call: Call) -> Answer:
    """List what rules have done and what of it was refused, newest first."""
    page = page_of(call.request.query)
    wanted = (_id(call, "ruleId"), page.limit, page.offset)
    reads, lane = call.desk.reads, call.caller.lane
    found = await reads.row("deposits", "executions", _Executions, lane, *wanted) or _Executions([])
    return Answer(200, paged([shapes.execution_answer(row) for row in found.rows], page, found.total))


def _answer(recorded: DepositRecorded, scales: dict[str, int]) -> dict[str, Any]:
    return shapes.deposit_answer(recorded.order, recorded.deposit, scales)


def _given_bank(bank: BankRequest) -> GivenBankDetails:
    return GivenBankDetails(
        name=bank.name,
        type=bank.type,
        country=bank.country,
        fiat=bank.fiat,
        number=bank.number,
        bank_code=bank.bankCode,
        holder=bank.holder,
    )


async def _party(call: Call, tenant_id: Any) -> Any:
    """Return a user's id, if one is named; refuses PARTY_NOT_FOUND for one of somebody else's."""
    if call.body.userId is None:
        return None
    party_id = uuid_of(call.body.userId)
    if await call.desk.reads.row("brokerage", "party", Party, call.caller.lane, party_id, tenant_id) is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    return party_id


def _id(call: Call, name: str) -> Any:
    text = call.request.query.get(name)
    return uuid_of(text) if text else None


async def _scales(call: Call) -> dict[str, int]:
    rows = await call.desk.reads.rows("lanes", "assets", ListedAsset, call.caller.lane)
    return {row.code: row.scale for row in rows}


def _route(method: str, path: str, handler: Any, summary: str, *refuses: Code, **more: Any) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        refuses=refuses,
        **{"answer": dict[str, Any], **more},
    )


_LIST = list[dict[str, Any]]

ROUTES = (
    _route(
        "GET",
        "/tenant-deposits",
        list_deposits,
        "List what arrived for tenants, newest first",
        answer=_LIST,
        query=DepositsQuery,
    ),
    _route(
        "POST",
        "/tenant-deposits",
        record_deposit,
        "Record what the bank or the chain tells of",
        Code.DEPOSIT_DIFFERS,
        Code.INVALID_STATE,
        Code.DEPOSIT_PLACE_UNKNOWN,
        Code.ASSET_NOT_FOUND,
        Code.DEPOSIT_ASSET_WRONG,
        Code.AMOUNT_TOO_SMALL,
        Code.AMOUNT_TOO_LARGE,
        body=shapes.DepositRequest,
        status=201,
    ),
    _route(
        "POST",
        "/tenant-deposits/{id}",
        conclude_deposit,
        "Say what became of a deposit",
        Code.ORDER_NOT_FOUND,
        Code.INVALID_STATE,
        Code.AMOUNT_TOO_LARGE,
        body=shapes.OutcomeRequest,
    ),
    _route(
        "POST",
        "/deposit-places",
        open_place,
        "Open a place where money arrives for a tenant",
        Code.PARTY_NOT_FOUND,
        Code.DEPOSIT_ASSET_WRONG,
        Code.DEPOSIT_PLACE_TAKEN,
        body=PlaceRequest,
        status=201,
    ),
    _route("GET", "/rules", list_rules, "List the rules of tenants, newest first", answer=_LIST, query=RulesQuery),
    _route("DELETE", "/rules/{id}", stop_rule, "Let a rule fire no more", Code.RULE_NOT_FOUND),
    _route(
        "GET",
        "/rule-executions",
        list_executions,
        "List what rules have done, and what of it was refused",
        answer=_LIST,
        query=ExecutionsQuery,
    ),
)

"""What the operator allows tenants and their parties: who is frozen, what they may turn over, and at which spreads."""

from typing import Any

import msgspec

from otcdesk.actions.freeze import FreezeParty, FreezeTenant
from otcdesk.actions.set_spread import SetSpread
from otcdesk.api.dialect import Call, Route
from otcdesk.api.http import Answer
from otcdesk.api.operator import limit_shapes as shapes
from otcdesk.api.operator.answers import WAITS, answer_to, scales_of
from otcdesk.api.operator.brokerage_routes import user_answer
from otcdesk.api.wire import PageQuery, page_of, paged, uuid_of
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.limits import Limit
from otcdesk.domain.parties import Tenant
from otcdesk.domain.pricing import Spread
from otcdesk.errors import Code, Refusal


class _Tenants(msgspec.Struct, frozen=True):
    rows: list[Tenant]
    total: int = 0


class _Limits(msgspec.Struct, frozen=True):
    rows: list[Limit]
    total: int = 0


class _Spreads(msgspec.Struct, frozen=True):
    rows: list[Spread]
    total: int = 0


async def list_tenants(call: Call) -> Answer:
    """List the tenants, by name."""
    page, lane = page_of(call.request.query), call.caller.lane
    found = await call.desk.reads.row("limits", "tenants", _Tenants, lane, page.limit, page.offset) or _Tenants([])
    return Answer(200, paged([shapes.tenant_answer(row) for row in found.rows], page, found.total))


async def freeze_tenant(call: Call) -> shapes.TenantAnswer:
    """Let a tenant start nothing new."""
    return await _freeze_tenant(call, frozen=True)


async def unfreeze_tenant(call: Call) -> shapes.TenantAnswer:
    """Let a tenant do business again."""
    return await _freeze_tenant(call, frozen=False)


async def _freeze_tenant(call: Call, *, frozen: bool) -> shapes.TenantAnswer:
    tenant_id, why = call.path_id("id", Code.TENANT_NOT_FOUND), call.body.reason
    return shapes.tenant_answer(
        (await call.submit(FreezeTenant(tenant_id=tenant_id, frozen=frozen, why=why), why=why)).tenant
    )


async def freeze_party(call: Call) -> Any:
    """Let a user do nothing new."""
    return await _freeze_party(call, frozen=True)


async def unfreeze_party(call: Call) -> Any:
    """Let a user be again what it was."""
    return await _freeze_party(call, frozen=False)


async def _freeze_party(call: Call, *, frozen: bool) -> Any:
    party_id, why = call.path_id("id", Code.PARTY_NOT_FOUND), call.body.reason
    return user_answer((await call.submit(FreezeParty(party_id=party_id, frozen=frozen, why=why), why=why)).party)


async def list_limits(call: Call) -> Answer:
    """List limits, perhaps of one tenant or user only."""
    page, query, lane = page_of(call.request.query), call.request.query, call.caller.lane
    subject_id = uuid_of(query["subject"]) if query.get("subject") else None
    wanted = (lane, subject_id, page.limit, page.offset)
    found = await call.desk.reads.row("limits", "limits", _Limits, *wanted) or _Limits([])
    now, scales = await call.desk.business_time(lane), await scales_of(call)
    return Answer(
        200, paged([shapes.limit_answer(row, now, scales[row.asset]) for row in found.rows], page, found.total)
    )


async def set_limit(call: Call) -> Answer:
    """Set what a tenant or a user may turn over of an asset."""
    asset, scales = call.path_text("asset"), await scales_of(call)
    if asset not in scales:
        raise Refusal(Code.ASSET_NOT_FOUND)
    command = shapes.limit_command(
        call.path_id("subjectId", Code.LIMIT_SUBJECT_NOT_FOUND), asset, call.body, scales[asset]
    )
    return await answer_to(call, await call.submit(command, why=call.body.reason))


async def list_spreads(call: Call) -> Answer:
    """List what the desk keeps of the market rate, by tenant and pair."""
    page, lane = page_of(call.request.query), call.caller.lane
    found = await call.desk.reads.row("limits", "spreads", _Spreads, lane, page.limit, page.offset) or _Spreads([])
    now = await call.desk.business_time(lane)
    return Answer(200, paged([shapes.spread_answer(row, now) for row in found.rows], page, found.total))


async def set_spread(call: Call) -> Answer:
    """Set what the desk keeps of the market rate for a tenant and a pair."""
    body = call.body
    command = SetSpread(
        tenant_id=call.path_id("tenantId", Code.TENANT_NOT_FOUND),
        source_asset=call.path_text("source"),
        destination_asset=call.path_text("destination"),
        bps=body.bps,
        effective_from=body.effectiveFrom,
        why=body.reason,
    )
    return await answer_to(call, await call.submit(command, why=body.reason))


def _route(method: str, path: str, handler: Any, summary: str, *refuses: Code, **more: Any) -> Route:
    return Route(
        method=method, path=path, handler=handler, summary=summary, scope=OPERATOR_SCOPE, refuses=refuses, **more
    )


def _freeze(path: str, handler: Any, summary: str, answer: Any, unknown: Code) -> Route:
    return _route("POST", path, handler, summary, unknown, body=shapes.FreezeRequest, answer=answer)


ROUTES = (
    _route(
        "GET", "/tenants", list_tenants, "List the tenants, by name", answer=list[shapes.TenantAnswer], query=PageQuery
    ),
    _freeze(
        "/tenants/{id}/freeze",
        freeze_tenant,
        "Freeze a tenant: it starts nothing new",
        shapes.TenantAnswer,
        Code.TENANT_NOT_FOUND,
    ),
    _freeze(
        "/tenants/{id}/unfreeze",
        unfreeze_tenant,
        "Let a tenant do business again",
        shapes.TenantAnswer,
        Code.TENANT_NOT_FOUND,
    ),
    _freeze(
        "/parties/{id}/freeze",
        freeze_party,
        "Freeze a user: it starts nothing new",
        dict[str, Any],
        Code.PARTY_NOT_FOUND,
    ),
    _freeze(
        "/parties/{id}/unfreeze",
        unfreeze_party,
        "Let a user be again what it was",
        dict[str, Any],
        Code.PARTY_NOT_FOUND,
    ),
    _route(
        "GET",
        "/limits",
        list_limits,
        "List limits and what is used up of them",
        answer=list[shapes.LimitAnswer],
        query=shapes.LimitsQuery,
    ),
    _route(
        "PUT",
        "/limits/{subjectId}/{asset}",
        set_limit,
        "Limit what a tenant or a user may turn over of an asset",
        Code.LIMIT_SUBJECT_NOT_FOUND,
        Code.ASSET_NOT_FOUND,
        Code.AMOUNT_TOO_SMALL,
        Code.AMOUNT_TOO_LARGE,
        Code.PROPOSAL_OPEN,
        body=shapes.LimitRequest,
        answer=shapes.LimitAnswer,
        also=WAITS,
    ),
    _route(
        "GET",
        "/spreads",
        list_spreads,
        "List spreads, by tenant and pair",
        answer=list[shapes.SpreadAnswer],
        query=PageQuery,
    ),
    _route(
        "PUT",
        "/spreads/{tenantId}/{source}/{destination}",
        set_spread,
        "Set the spread of a tenant and a pair, at once or from a time on",
        Code.TENANT_NOT_FOUND,
        Code.SPREAD_NOT_FOUND,
        Code.SPREAD_EXCESSIVE,
        Code.EFFECTIVE_IN_PAST,
        Code.PROPOSAL_OPEN,
        body=shapes.SpreadRequest,
        answer=shapes.SpreadAnswer,
        also=WAITS,
    ),
)

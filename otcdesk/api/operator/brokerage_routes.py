"""What the operator decides about brokerage: who may trade, what is traded, and when a dialect is closed."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from otcdesk.actions.switch_trading import SetParty, SwitchTrading
from otcdesk.api.dialect import Call, Route
from otcdesk.api.http import Answer
from otcdesk.api.maintenance import Closure
from otcdesk.api.wire import KEPT_TEXT, PageQuery, Uuid, page_of, paged, uuid_of
from otcdesk.clock import iso_milliseconds
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import Listing, Market
from otcdesk.domain.parties import ACTIVE, INACTIVE, UNVERIFIED, Party
from otcdesk.errors import Code, Refusal
from otcdesk.money import print_decimal, print_units

_STANDINGS = (ACTIVE, UNVERIFIED, INACTIVE)

Standing = Literal["active", "unverified", "inactive"]


class UsersQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only users of one tenant or standing."""

    customerId: Uuid | msgspec.UnsetType = msgspec.UNSET  # noqa: N815  (wire name)
    status: Standing | msgspec.UnsetType = msgspec.UNSET


class StandingRequest(msgspec.Struct, kw_only=True):
    """What a user may do from now on, all of it: what is left out is none."""

    status: Standing
    levelId: Uuid | None = None  # noqa: N815
    taxBps: Annotated[int, Meta(ge=0, le=10_000)] | None = None  # noqa: N815


class TradingRequest(msgspec.Struct, kw_only=True):
    """Which sides of an asset are traded from now on; what is left out stays."""

    buyEnabled: bool | None = None  # noqa: N815
    sellEnabled: bool | None = None  # noqa: N815
    dividendPending: bool | None = None  # noqa: N815


class ClosureRequest(msgspec.Struct, kw_only=True):
    """Why a dialect is closed."""

    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=KEPT_TEXT)] = "maintenance"


class _Parties(msgspec.Struct, frozen=True):
    rows: list[Party]
    total: int = 0


async def list_users(call: Call) -> Answer:
    """List the users of all tenants, newest first."""
    page, query = page_of(call.request.query), call.request.query
    tenant_id = uuid_of(query["customerId"]) if query.get("customerId") else None
    wanted = (tenant_id, _standing(query.get("status")), page.limit, page.offset)
    found = await call.desk.reads.row("brokerage", "parties", _Parties, call.caller.lane, *wanted) or _Parties([])
    return Answer(200, paged([user_answer(party) for party in found.rows], page, found.total))


def _standing(status: str | None) -> str | None:
    if status and status not in _STANDINGS:
        raise Refusal(Code.REQUEST_INVALID, f"There is no status {status[:40]!r}.")
    return status or None


async def read_user(call: Call) -> Any:
    """Show a user."""
    party_id = call.path_id("id", Code.PARTY_NOT_FOUND)
    party = await call.desk.reads.row("brokerage", "party", Party, call.caller.lane, party_id, None)
    if party is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    return user_answer(party)


async def set_user(call: Call) -> Any:
    """Say what a user may do."""
    body = call.body
    command = SetParty(
        party_id=call.path_id("id", Code.PARTY_NOT_FOUND),
        status=body.status,
        level_id=None if body.levelId is None else uuid_of(body.levelId),
        tax_bps=body.taxBps,
    )
    return user_answer((await call.submit(command)).party)


async def list_listings(call: Call) -> Any:
    """List what is traded."""
    rows = await call.desk.reads.rows("brokerage", "listings", _Listed, call.caller.lane)
    return [_listing(row.listing) for row in rows]


async def switch_trading(call: Call) -> Any:
    """Say which sides of an asset are traded."""
    body = call.body
    command = SwitchTrading(
        asset=call.path_text("asset"),
        buy_enabled=body.buyEnabled,
        sell_enabled=body.sellEnabled,
        dividend_pending=body.dividendPending,
    )
    return _listing((await call.submit(command)).listing)


async def list_markets(call: Call) -> Any:
    """List the markets, with their bounds and costs."""
    lane, reads = call.caller.lane, call.desk.reads
    scales = {row.code: row.scale for row in await reads.rows("lanes", "assets", ListedAsset, lane)}
    return [_market(row, scales[row.fiat]) for row in await reads.rows("brokerage", "markets", Market, lane)]


async def list_closures(call: Call) -> Any:
    """List the dialects that are closed."""
    return [_closure(row) for row in await call.services.maintenance.of_lane(call.caller.lane)]


async def close_dialect(call: Call) -> Any:
    """Close a dialect for maintenance."""
    maintenance = call.services.maintenance
    return _closure(await maintenance.close(call.caller.lane, call.path_text("dialect"), call.body.reason))


async def reopen_dialect(call: Call) -> Any:
    """Open a dialect again."""
    await call.services.maintenance.reopen(call.caller.lane, call.path_text("dialect"))
    return {"dialect": call.path_text("dialect"), "open": True}


class _Listed(msgspec.Struct, frozen=True):
    listing: Listing


def user_answer(party: Party) -> dict[str, Any]:
    """Render a user; one that is frozen is inactive until it is unfrozen."""
    return {
        "id": str(party.id),
        "customerId": str(party.tenant_id),
        "externalId": party.external_id,
        "status": party.status,
        "frozen": isinstance(party.status_before, str),
        "limited": party.limited is True,
        "levelId": None if party.level_id is None else str(party.level_id),
        "taxBps": party.tax_bps,
        "country": party.country,
        "accountType": party.account_type,
        "acceptedTerms": [str(one) for one in party.accepted_agreement_ids],
        "createdAt": iso_milliseconds(party.created_at),
    }


def _listing(listing: Listing) -> dict[str, Any]:
    return {
        "asset": listing.code,
        "kind": listing.kind,
        "number": listing.number,
        "pid": str(listing.pid),
        "name": listing.name,
        "group": listing.asset_group,
        "buyEnabled": listing.buy_enabled,
        "sellEnabled": listing.sell_enabled,
        "dividendPending": listing.dividend_pending,
    }


def _market(market: Market, scale: int) -> dict[str, Any]:
    return {
        "asset": market.asset,
        "fiat": market.fiat,
        "minimum": print_units(market.total_min, scale),
        "maximum": None if market.total_max is None else print_units(market.total_max, scale),
        "brokerCost": print_decimal(market.broker_cost, max(scale, -int(market.broker_cost.as_tuple().exponent))),
    }


def _closure(closure: Closure) -> dict[str, Any]:
    return {"dialect": closure.dialect, "since": iso_milliseconds(closure.since), "reason": closure.reason}


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
    _route("GET", "/users", list_users, "List the users of all tenants, newest first", answer=_LIST, query=UsersQuery),
    _route("GET", "/users/{id}", read_user, "Show a user", Code.PARTY_NOT_FOUND),
    _route(
        "PUT",
        "/users/{id}",
        set_user,
        "Say what a user may do",
        Code.PARTY_NOT_FOUND,
        Code.LEVEL_NOT_FOUND,
        body=StandingRequest,
    ),
    _route("GET", "/listings", list_listings, "List what is traded", answer=_LIST),
    _route(
        "PUT",
        "/listings/{asset}",
        switch_trading,
        "Say which sides of an asset are traded",
        Code.ASSET_NOT_FOUND,
        body=TradingRequest,
    ),
    _route("GET", "/markets", list_markets, "List the markets", answer=_LIST),
    _route("GET", "/maintenance", list_closures, "List the dialects that are closed", answer=_LIST),
    _route(
        "PUT",
        "/maintenance/{dialect}",
        close_dialect,
        "Close a dialect for maintenance",
        body=ClosureRequest,
        body_optional=True,
    ),
    _route("DELETE", "/maintenance/{dialect}", reopen_dialect, "Open a dialect again"),
)

"""The exchanges routes, in the contract's order (3.1 to 3.8, 6.1), and the order of checks before them (2.9)."""

import asyncio
import re
import secrets
from typing import Any
from uuid import UUID

from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.quote_conversion import QuoteBuy, QuoteSell
from otcdesk.api import conversion_shapes as conversions
from otcdesk.api.dialect import Call, Dialect, Reply, Route
from otcdesk.api.exchanges import shapes, webhook_routes
from otcdesk.api.exchanges.callbacks import ExchangesCallbacks
from otcdesk.api.exchanges.errors import REPLIES
from otcdesk.api.exchanges.webhook_routes import READ, WRITE
from otcdesk.api.http import Answer, Request, check_content_type
from otcdesk.api.wire import PageQuery, error_body, page_of, paged, uuid_of
from otcdesk.desk import OrderPage
from otcdesk.domain.conversions import PRODUCT, ConversionTerms
from otcdesk.domain.ledger import ACTIVE, CASH, CUSTODY, Account
from otcdesk.errors import Code, Refusal
from otcdesk.rails.protocols import RailUnavailable, RailUnknown

_VERSIONS = ("v1", "v2")
_VERSION_HEADERS = {version: ((b"x-api-version", version.encode("ascii")),) for version in _VERSIONS}
_CSRF_TOKEN = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_HEX = "[0-9a-fA-F]"
_KEY_PATTERN = f"{_HEX}{{8}}-{_HEX}{{4}}-4{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}"
_UUID_V4 = re.compile(_KEY_PATTERN, re.ASCII)


async def list_accounts(call: Call) -> list[shapes.CashAccountAnswer]:
    """List the caller's accounts that can pay a buy and be paid a sell."""
    terms = await _terms(call)
    rows = await call.desk.reads.rows("accounts", "of_owner", Account, call.caller.lane, call.caller.owner_id, CASH)
    return [shapes.cash_account_answer(a) for a in rows if a.asset == terms.cash_asset and a.status == ACTIVE]


async def list_wallets(call: Call) -> list[shapes.WalletAnswer]:
    """List the caller's wallets that can receive a buy and give a sell."""
    terms = await _terms(call)
    rows = await call.desk.reads.rows("accounts", "of_owner", Account, call.caller.lane, call.caller.owner_id, CUSTODY)
    return [shapes.wallet_answer(a) for a in rows if a.asset == terms.custody_asset and a.address is not None]


async def read_balance(call: Call) -> shapes.BalanceAnswer:
    """Read a wallet's live balance from its rail."""
    wallet = await _wallet(call, call.path_id("id", Code.CUSTODY_NOT_FOUND))
    if wallet is None or wallet.address is None:
        raise Refusal(Code.CUSTODY_NOT_FOUND)
    units = await _live_units(call, wallet)
    if units is None:
        raise Refusal(Code.BALANCE_UNAVAILABLE)
    return shapes.balance_answer(wallet, units)


async def quote(call: Call) -> shapes.QuoteAnswer:
    """Quote either side; the body's form is the side's."""
    answer: shapes.QuoteAnswer = await _QUOTES[type(call.body)](call, call.body)
    return answer


async def _quote_buy(call: Call, body: shapes.BuyQuoteRequest) -> shapes.QuoteAnswer:
    command = QuoteBuy(
        source_account_id=uuid_of(body.sourceFrAccountId),
        destination_account_id=uuid_of(body.destinationUtilaWalletId),
        source_units=shapes.units_of(body.sourceAmountEur, conversions.EUR_SCALE),
    )
    return shapes.quote_answer((await call.submit(command)).order)


async def _quote_sell(call: Call, body: shapes.SellQuoteRequest) -> shapes.QuoteAnswer:
    wallet_id = uuid_of(body.sourceUtilaWalletId)
    command = QuoteSell(
        source_account_id=wallet_id,
        destination_account_id=uuid_of(body.destinationFrAccountId),
        source_units=shapes.units_of(body.sourceAmountUsdc, conversions.USDC_SCALE),
        live_units=await _live_units(call, await _wallet(call, wallet_id)),
    )
    return shapes.quote_answer((await call.submit(command)).order)


_QUOTES: dict[type, Any] = {shapes.BuyQuoteRequest: _quote_buy, shapes.SellQuoteRequest: _quote_sell}


async def confirm(call: Call) -> shapes.OrderStatusAnswer:
    """Confirm a quote under an idempotency key."""
    return shapes.confirmed_answer(await call.submit(shapes.confirm_command(call.body)))


async def list_orders(call: Call) -> Answer:
    """List the caller's orders, newest first."""
    page = page_of(call.request.query)
    whose = (call.caller.lane, call.caller.owner_id, PRODUCT)
    found = await call.desk.reads.row("orders", "page_of_tenant", OrderPage, *whose, page.limit, page.offset)
    found = found or OrderPage([])
    rows = [conversions.order_answer(order) for order in call.desk.orders_now(found)]
    return Answer(200, paged(rows, page, found.total))


async def read_order(call: Call) -> conversions.OrderAnswer:
    """Show one order of the caller."""
    which = (call.path_id("id", Code.ORDER_NOT_FOUND), call.caller.owner_id, PRODUCT)
    found = await call.desk.reads.row("orders", "order_of", OrderPage, call.caller.lane, *which)
    for order in call.desk.orders_now(found or OrderPage([])):
        return conversions.order_answer(order)
    raise Refusal(Code.ORDER_NOT_FOUND)


async def cancel(call: Call) -> shapes.OrderStatusAnswer:
    """Cancel an order that is not confirmed."""
    command = CancelConversion(order_id=call.path_id("id", Code.ORDER_NOT_FOUND))
    return shapes.status_answer((await call.submit(command)).order)


async def _terms(call: Call) -> ConversionTerms:
    return await call.desk.reads.row("lanes", "terms", ConversionTerms, call.caller.lane) or ConversionTerms()


async def _wallet(call: Call, wallet_id: UUID) -> Account | None:
    """Return a wallet of the caller; another's, and the treasury's, look as if they did not exist."""
    account = await call.desk.reads.row("accounts", "account", Account, call.caller.lane, wallet_id)
    if account is None or account.owner_id != call.caller.owner_id or account.purpose != CUSTODY:
        return None
    return account


async def _live_units(call: Call, wallet: Account | None) -> int | None:
    """Return a wallet's live balance, None if it cannot be read."""
    if wallet is None:
        return None
    try:
        async with asyncio.timeout(call.desk.settings.balance_timeout_ms / 1000):
            return await call.desk.chain.balance(call.caller.lane, wallet)
    except (RailUnavailable, RailUnknown, TimeoutError):
        return None


_QUOTE_REFUSES = (
    Code.SOURCE_CASH_NOT_FOUND,
    Code.SOURCE_CASH_WRONG_ASSET,
    Code.SOURCE_CASH_INACTIVE,
    Code.DESTINATION_CUSTODY_NOT_FOUND,
    Code.DESTINATION_CUSTODY_NO_ADDRESS,
    Code.SOURCE_CUSTODY_NOT_FOUND,
    Code.SOURCE_CUSTODY_NO_ADDRESS,
    Code.SOURCE_CUSTODY_INSUFFICIENT,
    Code.DESTINATION_CASH_NOT_FOUND,
    Code.DESTINATION_CASH_WRONG_ASSET,
    Code.DESTINATION_CASH_INACTIVE,
)
_PRICE_REFUSES = (
    Code.SOURCE_BALANCE_UNKNOWN,
    Code.PRICE_UNAVAILABLE,
    Code.AMOUNT_TOO_SMALL,
    Code.AMOUNT_TOO_LARGE,
    Code.LIMIT_EXCEEDED,
)

ROUTES = (
    Route(
        method="GET",
        path="/otc-exchanges/accounts",
        handler=list_accounts,
        summary="List EUR accounts that may take part",
        scope=READ,
        answer=list[shapes.CashAccountAnswer],
    ),
    Route(
        method="GET",
        path="/otc-exchanges/wallets",
        handler=list_wallets,
        summary="List wallets that may take part",
        scope=READ,
        answer=list[shapes.WalletAnswer],
    ),
    Route(
        method="GET",
        path="/otc-exchanges/wallets/{id}/balance",
        handler=read_balance,
        summary="Read a wallet's live USDC balance",
        scope=READ,
        answer=shapes.BalanceAnswer,
        refuses=(Code.CUSTODY_NOT_FOUND, Code.BALANCE_UNAVAILABLE),
    ),
    Route(
        method="POST",
        path="/otc-exchanges/quote",
        handler=quote,
        summary="Quote a conversion",
        scope=WRITE,
        body=shapes.BuyQuoteRequest | shapes.SellQuoteRequest,
        answer=shapes.QuoteAnswer,
        refuses=(Code.CSRF_TOKEN_INVALID, *_QUOTE_REFUSES, *_PRICE_REFUSES),
    ),
    Route(
        method="POST",
        path="/otc-exchanges",
        handler=confirm,
        summary="Confirm a quote",
        scope=WRITE,
        status=201,
        body=shapes.ConfirmRequest,
        answer=shapes.OrderStatusAnswer,
        keyed=True,
        refuses=(
            Code.CSRF_TOKEN_INVALID,
            Code.KEY_REQUIRED,
            Code.KEY_INVALID,
            Code.KEY_IN_FLIGHT,
            Code.ORDER_NOT_FOUND,
            Code.QUOTE_EXPIRED,
            Code.NOT_CONFIRMABLE,
            Code.SIDE_MISMATCH,
            Code.SOURCE_CASH_INSUFFICIENT,
            Code.LIMIT_EXCEEDED,
            *_QUOTE_REFUSES,
        ),
    ),
    Route(
        method="GET",
        path="/otc-exchanges",
        handler=list_orders,
        summary="List orders, newest first",
        scope=READ,
        answer=list[conversions.OrderAnswer],
        query=PageQuery,
    ),
    Route(
        method="GET",
        path="/otc-exchanges/{id}",
        handler=read_order,
        summary="Show an order",
        scope=READ,
        answer=conversions.OrderAnswer,
        refuses=(Code.ORDER_NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/otc-exchanges/{id}/cancel",
        handler=cancel,
        summary="Cancel an unconfirmed order",
        scope=WRITE,
        answer=shapes.OrderStatusAnswer,
        refuses=(Code.CSRF_TOKEN_INVALID, Code.ORDER_NOT_FOUND, Code.NOT_CANCELLABLE),
    ),
    *webhook_routes.ROUTES,
)


class ExchangesDialect(Dialect):
    """Adds what only this contract has: versions, the CSRF header, the key header, and the `data` envelope."""

    name = "exchanges"
    key_pattern = _KEY_PATTERN
    title = "OTC exchanges (EUR <-> USDC)"
    routes = ROUTES
    replies = REPLIES
    callbacks = ExchangesCallbacks()

    def find_version(self, request: Request) -> None:
        """Take a version segment off the front of the path; it beats the header (contract 2.5)."""
        version = request.inside[1:3]
        if version in _VERSIONS and request.inside[3:4] == "/":
            request.api_version, request.inside = version, request.inside[3:]

    def before_body(self, call: Call, route: Route) -> None:
        """Check the CSRF header, then the idempotency key."""
        if route.writes and self.desk.settings.exchanges_csrf:
            self._check_csrf(call)
        if route.keyed:
            call.key = _idempotency_key(call.request)

    def _check_csrf(self, call: Call) -> None:
        given = call.request.header("x-csrf-token") or ""
        if not _CSRF_TOKEN.fullmatch(given):
            raise Refusal(Code.CSRF_TOKEN_INVALID)
        expected = call.caller.csrf_token
        if expected is not None and not secrets.compare_digest(given.lower(), expected.lower()):
            raise Refusal(Code.CSRF_TOKEN_INVALID)

    async def read_body(self, request: Request, route: Route) -> Any:
        """Read a quote as the form of its side, anything else as its shape."""
        if route.handler is not quote:
            return await super().read_body(request, route)
        check_content_type(request)
        return shapes.decode_quote(await self.raw_body(request))

    def enveloped(self, value: Any) -> Any:
        """Wrap a value in the envelope."""
        return {"data": value}

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> Any:
        """Return the structured error (contract 2.4); a crash names the request for the support."""
        details: dict[str, object] | None = {"requestId": request.id} if refusal.code is Code.CRASHED else None
        return error_body(reply.word, refusal.detail, details)

    def headers_of(self, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        """Name the version used (contract 2.5)."""
        return _VERSION_HEADERS[_version(request)]


def _idempotency_key(request: Request) -> str:
    given = (request.header("idempotency-key") or "").strip()
    if not given:
        raise Refusal(Code.KEY_REQUIRED)
    if not _UUID_V4.fullmatch(given):
        raise Refusal(Code.KEY_INVALID)
    return given.lower()


def _version(request: Request) -> str:
    if request.api_version:
        return request.api_version
    asked = (request.header("x-api-version") or "").strip().lower()
    return asked if asked in _VERSIONS else _VERSIONS[0]

"""The ramp routes, in the contract's order (3.1 to 3.8), and what this dialect does before its handlers.

How payouts are held, settled and corrected is not of this dialect but of the operator's.
"""

from typing import Any

from otcdesk.api.dialect import Dialect, Reply, Route
from otcdesk.api.http import Request
from otcdesk.api.ramp import automation, channels, checkout, customers, errors, paging, payouts, prices, shapes
from otcdesk.api.ramp.callbacks import RampCallbacks
from otcdesk.credentials import RAMP_SCOPE
from otcdesk.errors import Code, Refusal

_PERMITTED = (Code.PARTY_UNVERIFIED, Code.PARTY_INACTIVE, Code.CHANNEL_CLOSED)
_PRICED = (Code.AMOUNT_TOO_SMALL, Code.AMOUNT_TOO_LARGE, Code.PRICE_UNAVAILABLE)
_PREPARE = (
    Code.CHANNEL_NOT_FOUND,
    Code.PARTY_NOT_FOUND,
    Code.PAYMENT_METHOD_NOT_FOUND,
    Code.AMOUNT_TOO_FINE,
    *_PERMITTED,
    *_PRICED,
    Code.PAYOUT_NOT_COVERED,
    Code.LIMIT_EXCEEDED,
)
_SELL = (
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
    Code.PAYOUT_NOT_PREPARED,
    Code.PREPARED_ASSET_DIFFERS,
    Code.AMOUNT_TOO_FINE,
    Code.PREPARED_AMOUNT_DIFFERS,
    Code.PREPARED_PAYOUT_USED,
    *_PERMITTED,
    *_PRICED,
    Code.CEILING_EXCEEDED,
    Code.PAYOUT_NOT_COVERED,
    Code.TREASURY_INSUFFICIENT,
    Code.LIMIT_EXCEEDED,
)


def write(path: str, handler: Any, summary: str, body: Any, answer: Any, *refuses: Code, **more: Any) -> Route:
    """Return a route that changes something."""
    return Route(
        **{"method": "POST", **more},
        path=path,
        handler=handler,
        summary=summary,
        scope=RAMP_SCOPE,
        body=body,
        answer=answer,
        wrapped=False,
        refuses=refuses,
    )


def read(path: str, handler: Any, summary: str, answer: Any, *refuses: Code, **more: Any) -> Route:
    """Return a route that shows something."""
    return Route(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        scope=RAMP_SCOPE,
        answer=answer,
        wrapped=False,
        refuses=refuses,
        **more,
    )


PAYOUT_ROUTES = (
    write(
        "/v1/transactions/sell",
        payouts.create_sell_transaction,
        "Sell for a form session; the Nonce makes it safe to repeat",
        shapes.SellRequest,
        shapes.SellAnswer,
        *_SELL,
        status=202,
    ),
    write(
        "/v1/transactions/sell/prepare",
        payouts.prepare_sell_transaction,
        "Price a payout, validate its form and open a form session",
        shapes.PrepareRequest,
        shapes.PrepareAnswer,
        *_PREPARE,
    ),
    read(
        "/v1/channels/sell",
        channels.get_channels_sell,
        "List the channels by which an asset can be sold",
        channels.ChannelPage,
        Code.PARTY_NOT_FOUND,
        Code.PAYMENT_METHOD_NOT_FOUND,
        Code.AMOUNT_TOO_FINE,
        query=channels.ChannelsQuery,
        query_required=("CryptoCurrency",),
    ),
    read(
        "/v1/channels/sell/countries",
        channels.get_channels_sell_countries,
        "List the countries in which somebody can be paid",
        dict[str, list[str]],
    ),
    read(
        "/v1/channels/{ChannelID}",
        channels.get_channel,
        "Show a channel",
        channels.ChannelAnswer,
        Code.CHANNEL_NOT_FOUND,
        Code.PARTY_NOT_FOUND,
        Code.AMOUNT_TOO_FINE,
        Code.PRICE_UNAVAILABLE,
        query=channels.ChannelQuery,
        query_required=("CryptoCurrency",),
    ),
    read(
        "/v1/channels/{ChannelID}/form",
        channels.get_channel_form,
        "Show what must be known of who is paid",
        channels.FormAnswer,
        Code.CHANNEL_NOT_FOUND,
        Code.PAYMENT_METHOD_NOT_FOUND,
        query=channels.FormQuery,
    ),
    read(
        "/v1/transactions",
        payouts.get_transactions,
        "List transactions by time",
        shapes.TransactionPage,
        query=paging.SortedQuery,
    ),
    read(
        "/v1/transactions/{TransactionID}",
        payouts.get_transaction,
        "Show a transaction",
        shapes.Transaction,
        Code.ORDER_NOT_FOUND,
    ),
    read("/v1/balances", payouts.get_balances, "List balances", shapes.BalancePage, query=paging.PageQuery),
    read(
        "/v1/prices",
        prices.get_prices,
        "Show what an asset is worth in a fiat, either way round",
        prices.PricesAnswer,
        Code.PRICE_UNAVAILABLE,
        query=prices.PricesQuery,
        query_required=("SourceCurrency", "DestinationCurrency"),
    ),
    read(
        "/v1/payment-methods",
        customers.get_payment_methods,
        "List a customer's payment methods",
        shapes.PaymentMethodPage,
        Code.PARTY_NOT_FOUND,
        query=customers.MethodsQuery,
        query_required=("CustomerID",),
    ),
    write(
        "/v1/customers/{CustomerID}",
        customers.put_customer,
        "Keep a customer under an id of the business's own",
        customers.Customer,
        None,
        method="PUT",
        status=201,
        also={204: "It was known; no body"},
    ),
    read(
        "/v1/customers/{CustomerID}",
        customers.get_customer,
        "Show a customer",
        customers.CustomerAnswer,
        Code.PARTY_NOT_FOUND,
    ),
    read(
        "/v1/customers",
        customers.get_customers,
        "List customers by time",
        customers.CustomerPage,
        query=paging.SortedQuery,
    ),
)

ROUTES = (*PAYOUT_ROUTES, *automation.ROUTES, *checkout.CHECKOUT_ROUTES)

#: What was being done when it failed (`Action`), by the route's label.
_ACTIONS = {route.label: "".join(part.capitalize() for part in route.handler.__name__.split("_")) for route in ROUTES}

#: What the bodies of requests have, by the route's label.
_BODIES = {route.label: getattr(route.body, "__struct_fields__", ()) for route in ROUTES}


class RampDialect(Dialect):
    """Payouts: keys and signed requests, PascalCase bodies without an envelope, errors with a type and an instance."""

    name = "ramp"
    title = "Payout ramp"
    routes = ROUTES
    replies = errors.REPLIES
    credentials = ("apiKey", "apiKey+signature")
    error_schema = errors.ERROR_SCHEMA
    callbacks = RampCallbacks()

    def find_version(self, request: Request) -> None:
        """Go by the path as it was written: a CustomerID in it may have any characters, escaped."""
        prefix = request.path.removesuffix(request.inside)
        if not request.raw_path.startswith(prefix):
            raise Refusal(Code.ROUTE_UNKNOWN)
        request.inside = request.raw_path.removeprefix(prefix) or "/"

    def reply_of(self, refusal: Refusal, request: Request) -> Reply:
        """Return a reply with the status that settings want."""
        reply = super().reply_of(refusal, request)
        seen = errors.STATUSES[self.desk.settings.ramp_statuses]
        return Reply(seen.get((reply.status, reply.word), reply.status), reply.word)

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> Any:
        """Return the error object (contract 3.0)."""
        known = _BODIES.get(request.route, ())
        return errors.error_body(reply, refusal, request.id, _ACTIONS.get(request.route), known)

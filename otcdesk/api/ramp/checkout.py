"""Open checkouts: a payment that a customer completes on a page of ours (ramp contract 3.9)."""

from collections.abc import Mapping
from typing import Any, Final

from otcdesk.actions.open_checkout import CheckoutOpened, OpenCheckout
from otcdesk.api.dialect import Call, Route
from otcdesk.api.ramp.checkout_links import CheckoutLinks, token_hash
from otcdesk.api.ramp.checkout_shapes import (
    CheckoutAnswer,
    PayinCryptoRequest,
    PayinFiatRequest,
    PayoutFiatRequest,
    checked_items,
    checked_return_url,
    session_of,
)
from otcdesk.api.ramp.customers import person_of
from otcdesk.api.ramp.services import environment_of, listed_asset, listed_fiat, opened_address, opened_bank, scales_of
from otcdesk.api.ramp.shapes import CATEGORIES, positive
from otcdesk.credentials import RAMP_SCOPE
from otcdesk.domain.checkouts import ASSET_IN, FIAT_IN, FIAT_OUT
from otcdesk.errors import Code
from otcdesk.forms import wrong
from otcdesk.money import units_of

#: The network on which an asset is paid in: the contract's request names none.
_NETWORKS: Final[Mapping[str, str]] = {"BTC": "Bitcoin", "ETH": "Ethereum", "USDC": "Ethereum"}

_CATEGORIES: Final = {shown: core for core, shown in CATEGORIES.items()}


async def create_payin_crypto_checkout(call: Call) -> CheckoutAnswer:
    """Let a customer pay in an asset, to an address of its own."""
    body = call.body
    asset = await listed_asset(call, body.CryptoCurrency)
    network = _NETWORKS[asset.code]
    amount = positive(body.CryptoAmount, "CryptoAmount")
    if not units_of(amount, asset.scale):
        raise wrong({"CryptoAmount": f"must be more than zero and have at most {asset.scale} decimals"})
    return await _opened(
        call,
        side=ASSET_IN,
        asset=asset.code,
        amount=amount,
        address=await opened_address(call, network, f"checkout/{call.caller.owner_id}/{body.Nonce}"),
    )


async def create_payin_fiat_checkout(call: Call) -> CheckoutAnswer:
    """Let a customer pay in fiat under a reference; the asset is bought when it has arrived."""
    body = call.body
    asset = await listed_asset(call, body.CryptoCurrency)
    fiat = await listed_fiat(call, body.FiatCurrency)
    return await _opened(
        call,
        side=FIAT_IN,
        asset=asset.code,
        fiat=fiat.code,
        amount=positive(body.FiatAmount, "FiatAmount"),
        category=_CATEGORIES[body.PaymentMethodCategory],
        bank=await opened_bank(call, fiat.code, _of_customer(call)),
        spread_bps=call.desk.settings.ramp_purchase_spread_bps,
        fee_bps=call.desk.settings.ramp_purchase_fee_bps,
    )


async def create_payout_fiat_checkout(call: Call) -> CheckoutAnswer:
    """Let a customer say where to be paid fiat; confirming it sells of the business's balance."""
    body = call.body
    asset = await listed_asset(call, body.CryptoCurrency)
    fiat = await listed_fiat(call, body.FiatCurrency)
    return await _opened(
        call,
        side=FIAT_OUT,
        asset=asset.code,
        fiat=fiat.code,
        amount=positive(body.FiatAmount, "FiatAmount"),
        ceiling=positive(body.CryptoAuthorizedAmount, "CryptoAuthorizedAmount"),
    )


async def _opened(call: Call, **terms: Any) -> CheckoutAnswer:
    body, caller, links = call.body, call.caller, _links(call)
    call.key = body.Nonce
    token = links.token(caller.lane, caller.owner_id, body.Nonce)
    opened: CheckoutOpened = await call.submit(
        OpenCheckout(
            party=body.CustomerID,
            person=None if body.Customer is None else person_of(body.CustomerID, body.Customer),
            return_url=checked_return_url(body.ReturnURL),
            items=checked_items(body.LineItems),
            external_id=body.ExternalID,
            token_hash=token_hash(token),
            validity_seconds=call.desk.settings.checkout_seconds,
            **terms,
        )
    )
    if opened.order is None or opened.checkout is None or opened.party is None:
        raise AssertionError(f"the checkout {opened.order_id} tells nothing of itself")
    order = opened.order
    scales = await scales_of(call, order.source_asset, order.destination_asset)
    return CheckoutAnswer(
        HostedURL=links.url(order.id, token),
        CheckoutSession=session_of(order, opened.checkout, opened.party.external_id, scales, environment_of(call)),
    )


def _links(call: Call) -> CheckoutLinks:
    links: CheckoutLinks = call.services.links
    return links


def _of_customer(call: Call) -> str:
    """Return the name of the account to which a customer pays: each customer of a business has one."""
    return f"checkout/{call.caller.owner_id}/{call.body.CustomerID}"


_REFUSES: Final = (
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
    Code.ASSET_NOT_FOUND,
    Code.FIAT_NOT_FOUND,
    Code.PARTY_NOT_FOUND,
    Code.AMOUNT_TOO_FINE,
    Code.AMOUNT_TOO_SMALL,
    Code.AMOUNT_TOO_LARGE,
    Code.LIMIT_EXCEEDED,
    Code.PRICE_UNAVAILABLE,
)


def _route(path: str, handler: Any, summary: str, body: Any, *more: Code) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=RAMP_SCOPE,
        body=body,
        answer=CheckoutAnswer,
        wrapped=False,
        refuses=(*_REFUSES, *more),
    )


_BUY = "Let a customer pay fiat on a page of ours, for which an asset is bought"
_SELL = "Let a customer say on a page of ours where to be paid fiat"

CHECKOUT_ROUTES: Final = (
    _route(
        "/v1/checkout/payin/crypto",
        create_payin_crypto_checkout,
        "Let a customer pay an asset on a page of ours",
        PayinCryptoRequest,
        Code.DEPOSIT_PLACES_CLOSED,
    ),
    _route("/v1/checkout/payin/fiat", create_payin_fiat_checkout, _BUY, PayinFiatRequest, Code.DEPOSIT_PLACES_CLOSED),
    _route("/v1/checkout/payout/fiat", create_payout_fiat_checkout, _SELL, PayoutFiatRequest),
    _route(
        "/v1/checkout/buy",
        create_payin_fiat_checkout,
        f"{_BUY} (the older name)",
        PayinFiatRequest,
        Code.DEPOSIT_PLACES_CLOSED,
    ),
    _route("/v1/checkout/sell", create_payout_fiat_checkout, f"{_SELL} (the older name)", PayoutFiatRequest),
)

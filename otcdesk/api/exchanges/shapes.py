"""The exchanges wire: what comes in becomes commands, what the core answers becomes the contract's JSON.

Field names and formats are the contract's (2.10, 3.1 to 3.8); words of the core stop here and words of the wire start.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from otcdesk.actions.confirm_conversion import ConfirmConversion, Confirmed
from otcdesk.api.conversion_shapes import (
    EUR_SCALE,
    STATUSES,
    USDC_SCALE,
    Currency,
    Status,
    currency,
    destination_amount,
    source_amount,
)
from otcdesk.api.http import decode_body
from otcdesk.api.wire import Uuid, uuid_of
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, SELL, Order
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_units, print_rate, print_units

EurAmount = Annotated[str, Meta(pattern=r"^\d+(\.\d{1,2})?$", max_length=64)]
UsdcAmount = Annotated[str, Meta(pattern=r"^\d+(\.\d{1,6})?$", max_length=64)]
JsonObject = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


def _nothing() -> msgspec.Raw:
    return msgspec.Raw(b"")


class BuyQuoteRequest(msgspec.Struct, kw_only=True):
    """A buy: EUR of an account into a wallet."""

    sourceFrAccountId: Uuid  # noqa: N815  (wire name)
    destinationUtilaWalletId: Uuid  # noqa: N815
    sourceAmountEur: EurAmount  # noqa: N815
    side: Literal["buy"] = "buy"


class SellQuoteRequest(msgspec.Struct, kw_only=True):
    """A sell: USDC of a wallet into an account."""

    side: Literal["sell"]
    sourceUtilaWalletId: Uuid  # noqa: N815
    destinationFrAccountId: Uuid  # noqa: N815
    sourceAmountUsdc: UsdcAmount  # noqa: N815


class _Side(msgspec.Struct):
    side: Literal["buy", "sell"] = "buy"


class ConfirmRequest(msgspec.Struct, kw_only=True):
    """A confirm. The travel rule payload is any JSON object; it is kept and never read."""

    quoteId: Uuid  # noqa: N815
    side: Literal["buy", "sell"] = "buy"
    travelRulePayload: JsonObject = msgspec.field(default_factory=_nothing)  # noqa: N815


class QuoteAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An indicative quote; one of the two source amounts is there, that of the side."""

    quoteId: str  # noqa: N815
    rate: str
    destinationAmount: str  # noqa: N815
    sourceCurrency: Currency  # noqa: N815
    destinationCurrency: Currency  # noqa: N815
    sourceAmountEur: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    sourceAmountUsdc: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    ttlExpiresAt: str  # noqa: N815
    ttlSeconds: int  # noqa: N815
    indicative: bool


class OrderStatusAnswer(msgspec.Struct, kw_only=True):
    """What confirm and cancel answer."""

    orderId: str  # noqa: N815
    status: Status


class CashAccountAnswer(msgspec.Struct, kw_only=True):
    """An EUR account that may take part."""

    id: str
    accountName: str  # noqa: N815
    currency: Literal["EUR"]
    balance: str
    iban: str | None
    status: Literal["active"]


class WalletAnswer(msgspec.Struct, kw_only=True):
    """A wallet that may take part, on its chosen network."""

    id: str
    displayName: str | None  # noqa: N815
    network: str
    address: str


class BalanceAnswer(msgspec.Struct, kw_only=True):
    """A wallet's live balance."""

    walletId: str  # noqa: N815
    network: str
    usdcBalance: str  # noqa: N815


def decode_quote(raw: bytes) -> BuyQuoteRequest | SellQuoteRequest:
    """Read a quote's body as the form of its side; refuses REQUEST_INVALID."""
    try:
        return decode_body(raw, BuyQuoteRequest)
    except Refusal:
        if decode_body(raw, _Side).side == BUY:
            raise
    return decode_body(raw, SellQuoteRequest)


def units_of(text: str, scale: int) -> int:
    """Read an amount of a body; refuses REQUEST_INVALID for zero and for what cannot be counted."""
    units = parse_units(text, scale)
    if not units:
        raise Refusal(Code.REQUEST_INVALID, "The amount must be a positive decimal that can be counted.")
    return units


def confirm_command(body: ConfirmRequest) -> ConfirmConversion:
    """Return the command of a confirm."""
    payload = bytes(body.travelRulePayload)
    if payload and not payload.startswith(b"{"):
        raise Refusal(Code.REQUEST_INVALID, "The travelRulePayload must be a JSON object.")
    data = '{"travelRulePayload":' + payload.decode() + "}" if payload else None
    return ConfirmConversion(order_id=uuid_of(body.quoteId), side=body.side, dialect_data=data)


def quote_answer(order: Order) -> QuoteAnswer:
    """Render a fresh quote."""
    source = source_amount(order)
    return QuoteAnswer(
        quoteId=str(order.id),
        rate=print_rate(order.rate),
        destinationAmount=destination_amount(order),
        sourceCurrency=currency(order.source_asset),
        destinationCurrency=currency(order.destination_asset),
        sourceAmountEur=source if order.side == BUY else msgspec.UNSET,
        sourceAmountUsdc=source if order.side == SELL else msgspec.UNSET,
        ttlExpiresAt=iso_milliseconds(order.expires_at),
        ttlSeconds=order.ttl_seconds,
        indicative=True,
    )


def confirmed_answer(confirmed: Confirmed) -> OrderStatusAnswer:
    """Render the answer to a confirm."""
    return OrderStatusAnswer(orderId=str(confirmed.order_id), status=STATUSES[confirmed.state])  # type: ignore[arg-type]


def status_answer(order: Order) -> OrderStatusAnswer:
    """Render the answer to a cancel."""
    return OrderStatusAnswer(orderId=str(order.id), status=STATUSES[order.state])  # type: ignore[arg-type]


def cash_account_answer(account: Account) -> CashAccountAnswer:
    """Render an EUR account."""
    return CashAccountAnswer(
        id=str(account.id),
        accountName=account.label or "",
        currency="EUR",
        balance=print_units(account.balance, EUR_SCALE),
        iban=account.address,
        status="active",
    )


def wallet_answer(account: Account) -> WalletAnswer:
    """Render a wallet."""
    return WalletAnswer(
        id=str(account.id), displayName=account.label, network=account.network, address=account.address or ""
    )


def balance_answer(account: Account, units: int) -> BalanceAnswer:
    """Render a wallet's live balance."""
    return BalanceAnswer(walletId=str(account.id), network=account.network, usdcBalance=print_units(units, USDC_SCALE))

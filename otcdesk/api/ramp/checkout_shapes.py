"""What the ramp dialect reads and writes of checkouts (ramp contract 3.9)."""

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.ramp.codes import Environment
from otcdesk.api.ramp.customers import Customer as KnownCustomer
from otcdesk.api.ramp.shapes import (
    CATEGORIES,
    AssetCode,
    Category,
    CustomerId,
    ExternalId,
    NonceText,
    PositiveDecimal,
    Status,
    positive,
    time_text,
    told,
)
from otcdesk.api.wire import KEPT_TEXT, DecimalText, TimeText, UuidText
from otcdesk.domain.checkouts import (
    ASSET_IN,
    CONFIRMED,
    CREATED,
    EXPIRED,
    FAILED,
    FIAT_IN,
    FIAT_OUT,
    OPENED,
    SETTLED,
    Checkout,
)
from otcdesk.domain.orders import Order
from otcdesk.forms import wrong
from otcdesk.money import plain, print_units

LINE_ITEMS_MAX: Final = 120

#: Printable ASCII without what no URL has; it is put into headers.
_URL: Final = re.compile(r"https?://[!#$%&'()*+,\-./0-9:;=?@A-Z_a-z~\[\]]+", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?", re.ASCII)
_PORT_MAX: Final = 65_535

ReturnUrl = Annotated[str, Meta(min_length=10, max_length=1_000, description="Where the browser is sent at the end.")]
FiatCode = Annotated[str, Meta(min_length=3, max_length=3)]
Type = Literal["PayinCrypto", "PayinFiat", "PayoutFiat"]

TYPES: Final[Mapping[str, Type]] = {ASSET_IN: "PayinCrypto", FIAT_IN: "PayinFiat", FIAT_OUT: "PayoutFiat"}

#: A checkout's states on the wire.
STATUSES: Final[Mapping[str, Status]] = {
    CREATED: "Pending",
    OPENED: "Pending",
    CONFIRMED: "Pending",
    SETTLED: "Settled",
    FAILED: "Failed",
    EXPIRED: "Failed",
}

#: States in which it is known what a checkout takes.
_PRICED: Final = frozenset({CONFIRMED, SETTLED})


class LineItem(msgspec.Struct, kw_only=True):
    """Something that is paid for; shown to the person."""

    Description: Annotated[str, Meta(min_length=1, max_length=140, pattern=KEPT_TEXT, description="What it is.")]
    Quantity: Annotated[PositiveDecimal, Meta(description="More than zero.")]
    UnitAmount: Annotated[PositiveDecimal, Meta(description="In the currency of the payment.")]
    TotalAmount: Annotated[PositiveDecimal, Meta(description="UnitAmount times Quantity, exactly.")]


class _Opening(msgspec.Struct, kw_only=True):
    """What all kinds of checkout are opened with."""

    ReturnURL: ReturnUrl
    CustomerID: CustomerId
    LineItems: Annotated[list[LineItem], Meta(min_length=1, max_length=LINE_ITEMS_MAX)]
    Nonce: NonceText
    Customer: Annotated[KnownCustomer | None, Meta(description="Kept as by PUT /customers.")] = None
    ExternalID: ExternalId | None = None


class PayinCryptoRequest(_Opening, kw_only=True):
    """Let a customer pay in an asset."""

    CryptoCurrency: AssetCode
    CryptoAmount: PositiveDecimal


class PayinFiatRequest(_Opening, kw_only=True):
    """Let a customer pay in fiat, for which the asset is bought."""

    PaymentMethodCategory: Category
    CryptoCurrency: AssetCode
    FiatCurrency: FiatCode
    FiatAmount: PositiveDecimal


class PayoutFiatRequest(_Opening, kw_only=True):
    """Let a customer say where to be paid fiat."""

    CryptoCurrency: AssetCode
    FiatCurrency: FiatCode
    FiatAmount: PositiveDecimal
    CryptoAuthorizedAmount: Annotated[PositiveDecimal, Meta(description="The most that may be charged.")]


class CheckoutSession(msgspec.Struct, kw_only=True):
    """A checkout."""

    CheckoutSessionID: Annotated[UuidText, Meta(description="The checkout.")]
    Type: Annotated[Type, Meta(description="Who pays whom, and in what.")]
    Status: Annotated[Status, Meta(description="Where it stands; Settled and Failed are final.")]
    PaymentMethodCategory: Annotated[Category | UnsetType, Meta(description="By which kind of payment method.")] = UNSET
    SourceCurrency: Annotated[str, Meta(description="What is paid.")]
    DestinationCurrency: Annotated[str, Meta(description="What it becomes.")]
    SourceAmount: Annotated[DecimalText | UnsetType, Meta(description="What is taken, once that is known.")] = UNSET
    DestinationAmount: Annotated[DecimalText | UnsetType, Meta(description="What it brings, once that is known.")] = (
        UNSET
    )
    AuthorizedAmount: Annotated[DecimalText | UnsetType, Meta(description="The most that may be taken.")] = UNSET
    CustomerID: Annotated[str, Meta(description="Who pays, or is paid.")]
    ExternalID: Annotated[str | UnsetType, Meta(description="The business's own id for it.")] = UNSET
    ReturnURL: Annotated[str, Meta(description="Where the person is sent in the end.")]
    LineItems: Annotated[list[LineItem], Meta(description="What is paid for; for the person to read.")]
    Created: Annotated[TimeText, Meta(description="When it was opened.")]
    Expiry: Annotated[TimeText, Meta(description="Until when it can be completed.")]


class CheckoutAnswer(msgspec.Struct, kw_only=True):
    """A checkout that was opened, and its page."""

    HostedURL: Annotated[str, Meta(description="The page; whoever has this address may complete the checkout.")]
    CheckoutSession: CheckoutSession


def session_of(
    order: Order, checkout: Checkout, customer_id: str, scales: Mapping[str, int], environment: Environment
) -> CheckoutSession:
    """Render a checkout; `scales` are the decimals of its asset and its fiat, by code."""
    takes = order.side != FIAT_OUT or order.state in _PRICED
    brings = order.side != FIAT_IN or order.state == SETTLED
    source, destination = order.source_asset, order.destination_asset
    return CheckoutSession(
        CheckoutSessionID=str(order.id),
        Type=TYPES[order.side],
        Status=STATUSES[order.state],
        PaymentMethodCategory=UNSET if checkout.category is None else CATEGORIES[checkout.category],
        SourceCurrency=environment.shown_asset(source),
        DestinationCurrency=environment.shown_asset(destination),
        SourceAmount=print_units(order.source_units, scales[source]) if takes else UNSET,
        DestinationAmount=print_units(order.destination_units, scales[destination]) if brings else UNSET,
        AuthorizedAmount=UNSET if checkout.ceiling is None else format(plain(checkout.ceiling), "f"),
        CustomerID=customer_id,
        ExternalID=told(checkout.external_id),
        ReturnURL=checkout.return_url,
        LineItems=line_items(checkout),
        Created=time_text(order.created_at),
        Expiry=time_text(order.expires_at),
    )


def line_items(checkout: Checkout) -> list[LineItem]:
    """Return what a checkout is for."""
    return msgspec.json.decode(checkout.items, type=list[LineItem])


def checked_items(items: list[LineItem]) -> str:
    """Return line items as they are kept; refuses REQUEST_INVALID for a total that is not the product, exactly."""
    mistakes: dict[str, str] = {}
    for number, item in enumerate(items):
        place = f"LineItems.{number}"
        quantity = positive(item.Quantity, f"{place}.Quantity")
        unit = positive(item.UnitAmount, f"{place}.UnitAmount")
        if quantity == 0:
            mistakes[f"{place}.Quantity"] = "must be more than zero"
        elif _product(unit, quantity) != positive(item.TotalAmount, f"{place}.TotalAmount").as_integer_ratio():
            mistakes[f"{place}.TotalAmount"] = "must be UnitAmount times Quantity"
    if mistakes:
        raise wrong(mistakes)
    return msgspec.json.encode(items).decode()


def _product(one: Decimal, other: Decimal) -> tuple[int, int]:
    """Return an exact product, in lowest terms: no decimal context cuts it."""
    return (Fraction(one) * Fraction(other)).as_integer_ratio()


def checked_return_url(url: str) -> str:
    """Return a URL to which a browser may be sent; refuses REQUEST_INVALID.

    It is an absolute one of http or https with a host and nothing that browsers read otherwise than we do: no
    credentials, no space, no backslash, no character beyond ASCII.
    """
    if not _URL.fullmatch(url) or origin_of(url) is None:
        raise wrong({"ReturnURL": "must be an absolute URL of http or https, in ASCII and without credentials"})
    return url


def origin_of(url: str) -> str | None:
    """Return the origin of a URL, as content security policies name it; None where they cannot."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.netloc) or (port or 0) > _PORT_MAX:
        return None
    return f"{parts.scheme}://{parts.netloc.lower()}"


def returning_url(checkout: Checkout, order: Order) -> str:
    """Return where the browser goes at the end: the return URL with what it is told, its own query before it."""
    parts = urlsplit(checkout.return_url)
    given = {
        "CheckoutSessionID": str(order.id),
        "ExternalID": checkout.external_id,
        "Status": STATUSES[order.state],
    }
    told_so = urlencode({name: text for name, text in given.items() if text is not None})
    query = f"{parts.query}&{told_so}" if parts.query else told_so
    return urlunsplit(parts._replace(path=parts.path or "/", query=query))

"""What the ramp dialect reads and writes of payouts: amounts, transactions, payment methods (ramp contract 1, 3.1).

Amounts are written with all decimals of their asset, rates without trailing zeros; what an object does not have is left
out of it.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
import pycountry
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.ramp.codes import OFF_NETWORK, Environment
from otcdesk.api.wire import KEPT_TEXT, DecimalText, TimeText, Uuid, UuidText
from otcdesk.domain.chain_payouts import ChainPayout
from otcdesk.domain.deposits import Deposit
from otcdesk.domain.orders import BUY, SELL, Order
from otcdesk.domain.payouts import (
    ADJUSTMENT,
    BANK,
    CANCELLING,
    CARD,
    CREATED,
    CREDIT,
    DEBIT,
    FAILED,
    FILED,
    HELD,
    IDENTIFIER,
    PENDING,
    SETTLED,
    Payment,
    PaymentMethod,
    shares_of,
)
from otcdesk.forms import wrong
from otcdesk.money import Asset, plain, print_units

#: Newer revisions of the contract allow 42.
CUSTOMER_ID_MAX: Final = 36

_POSITIVE: Final = r"^[+]?([.][0-9]+|[0-9]+[.]?[0-9]*)$"
_DECIMAL: Final = re.compile(r"[+]?([.][0-9]+|[0-9]+[.]?[0-9]*)", re.ASCII)

PositiveDecimal = Annotated[str, Meta(min_length=1, max_length=38, pattern=_POSITIVE)]
CustomerId = Annotated[str, Meta(min_length=1, max_length=CUSTOMER_ID_MAX, pattern=KEPT_TEXT)]
ExternalId = Annotated[str, Meta(min_length=1, max_length=36, pattern=KEPT_TEXT)]
NonceText = Annotated[str, Meta(min_length=1, max_length=36, pattern=KEPT_TEXT)]
PaymentMethodId = Annotated[str, Meta(min_length=1, max_length=150, pattern=KEPT_TEXT)]
AssetCode = Annotated[str, Meta(min_length=1, max_length=20)]
#: ISO 3166-1 alpha-2, as a pattern.
COUNTRY_CODES: Final = "|".join(sorted(country.alpha_2 for country in pycountry.countries))
CountryCode = Annotated[str, Meta(pattern=f"^({COUNTRY_CODES})$", min_length=2, max_length=2)]

Status = Literal["Pending", "Failed", "Settled"]
Direction = Literal["In", "Out"]
Category = Literal["Bank", "Card", "Identifier"]

#: A payout's states on the wire: whether somebody looks into it is the desk's own affair (ramp contract 4).
STATUSES: Final[Mapping[str, Status]] = {
    CREATED: "Pending",
    PENDING: "Pending",
    HELD: "Pending",
    FILED: "Pending",
    CANCELLING: "Pending",
    SETTLED: "Settled",
    FAILED: "Failed",
}

DIRECTIONS: Final[Mapping[str, Direction]] = {SELL: "Out", BUY: "In", CREDIT: "In", DEBIT: "Out"}

CATEGORIES: Final[Mapping[str, Category]] = {BANK: "Bank", CARD: "Card", IDENTIFIER: "Identifier"}

_SHARES: Final = {"fee": "ChannelFee", "surcharge": "BusinessFee", "remaining": "Remaining"}


class BankDisplay(msgspec.Struct, kw_only=True, tag="FiatPaymentMethodBankDisplay", tag_field="Type"):
    """A bank account."""

    AccountNumber: Annotated[str | UnsetType, Meta(description="The account, an IBAN where there are IBANs.")] = UNSET
    BankCode: Annotated[str | UnsetType, Meta(description="The bank: a BIC, routing number or sort code.")] = UNSET


class CardDisplay(msgspec.Struct, kw_only=True, tag="FiatPaymentMethodCardDisplay", tag_field="Type"):
    """A card."""

    Last4: Annotated[str, Meta(description="The last four digits.")]
    Scheme: Annotated[str, Meta(description="Whose card it is: Mastercard or Visa.")]


class IdentifierDisplay(msgspec.Struct, kw_only=True, tag="FiatPaymentMethodIdentifierDisplay", tag_field="Type"):
    """What somebody is known by to a payment system."""

    IdentifierType: Annotated[str, Meta(description="What it is: PhoneNumber or TaxID.")]
    Identifier: Annotated[str, Meta(description="The identifier.")]


DisplayDetails = BankDisplay | CardDisplay | IdentifierDisplay


class FiatPaymentMethod(msgspec.Struct, kw_only=True):
    """Where somebody is paid."""

    ID: Annotated[str, Meta(description="How the business knows it.")]
    CustomerID: Annotated[str | UnsetType, Meta(description="Whose it is.")] = UNSET
    Country: Annotated[str, Meta(description="In which country it is.")]
    PaymentMethodCategory: Annotated[Category, Meta(description="What kind of payment method it is.")]
    DisplayDetails: Annotated[DisplayDetails, Meta(description="What may be shown of it.")]


class FiatPayment(msgspec.Struct, kw_only=True):
    """The fiat side of a transaction."""

    Amount: Annotated[DecimalText, Meta(description="What arrives at the payment method, or came from it.")]
    FeeAmount: Annotated[DecimalText, Meta(description="The fees on it, in the fiat.")]
    Rate: Annotated[DecimalText | UnsetType, Meta(description="Fiat for one of the asset.")] = UNSET
    FiatCurrency: Annotated[str, Meta(description="The fiat.")]
    FiatDepositID: Annotated[UuidText | UnsetType, Meta(description="The deposit that it began with.")] = UNSET
    PaymentSystemID: Annotated[str | UnsetType, Meta(description="The rail's own reference.")] = UNSET


class Orchestration(msgspec.Struct, kw_only=True):
    """The rule that made a transaction, and the run of it."""

    RuleID: Annotated[UuidText, Meta(description="The rule.")]
    RuleExecutionID: Annotated[UuidText, Meta(description="The run of the rule.")]


class BreakdownItem(msgspec.Struct, kw_only=True):
    """A part of a transaction's amount, in its asset; all parts add up to it."""

    Type: Annotated[
        Literal["ChannelFee", "BusinessFee", "Remaining"],
        Meta(description="Withheld by the desk, withheld for the business, or what remains."),
    ]
    Amount: Annotated[DecimalText, Meta(description="How much of the asset.")]


class AdjustmentFor(msgspec.Struct, kw_only=True):
    """The transaction that is corrected; the legs of one adjustment share its id."""

    AdjustedTransactionID: Annotated[UuidText, Meta(description="What is corrected.")]
    AdjustmentID: Annotated[UuidText, Meta(description="Shared by the transactions of one adjustment.")]
    Reason: Annotated[Literal["ExchangeRateCorrection"], Meta(description="Why.")]


# A field that has its shape's name would hide it.
_FiatPayment = FiatPayment
_Orchestration = Orchestration
_FiatPaymentMethod = FiatPaymentMethod
_AdjustmentFor = AdjustmentFor


class Transaction(msgspec.Struct, kw_only=True):
    """Something that moves a balance of the business."""

    ID: Annotated[UuidText, Meta(description="The transaction.")]
    PublicID: Annotated[str | UnsetType, Meta(description="The id on its chain.")] = UNSET
    Network: Annotated[str, Meta(description="The chain; OffNetwork for what is on none.")]
    Created: Annotated[TimeText, Meta(description="When it was made.")]
    Status: Annotated[Status, Meta(description="Where it stands; Settled and Failed are final.")]
    Direction: Annotated[Direction, Meta(description="Whether it comes in or goes out.")]
    CustomerID: Annotated[str | UnsetType, Meta(description="For whom it is.")] = UNSET
    ExternalID: Annotated[str | UnsetType, Meta(description="The business's own id for it.")] = UNSET
    Amount: Annotated[DecimalText, Meta(description="What moves the balance; of a sell with its fees.")]
    NetworkFee: Annotated[DecimalText | UnsetType, Meta(description="What the chain takes beside it.")] = UNSET
    CryptoCurrency: Annotated[str, Meta(description="The asset.")]
    FiatPayment: Annotated[_FiatPayment | UnsetType, Meta(description="The fiat that belongs to it.")] = UNSET
    Orchestration: Annotated[_Orchestration | UnsetType, Meta(description="The rule that made it.")] = UNSET
    FiatPaymentMethod: Annotated[_FiatPaymentMethod | UnsetType, Meta(description="Who is paid.")] = UNSET
    Breakdown: Annotated[list[BreakdownItem] | UnsetType, Meta(description="How its amount is made up.")] = UNSET
    AdjustmentFor: Annotated[_AdjustmentFor | UnsetType, Meta(description="What it corrects.")] = UNSET


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a transaction: its order, what it is about, and whom it pays where.

    It is about a payment, a deposit on a chain, or what leaves for one.
    `party_external_id` is the tenant's own name for the party; `reference` is what the rail calls the payment.
    """

    order: Order
    payment: Payment | None = None
    deposit: Deposit | None = None
    sending: ChainPayout | None = None
    method: PaymentMethod | None = None
    party_external_id: str | None = None
    reference: str | None = None


def payment_transaction_of(
    facts: Facts, payment: Payment, scales: Mapping[str, int], environment: Environment
) -> Transaction:
    """Render a transaction of a payment; `scales` are the decimals of its asset and its fiat, by code."""
    order = facts.order
    asset = Asset(payment.asset, scales[payment.asset])
    units = order.destination_units if order.side == BUY else order.source_units
    return Transaction(
        ID=str(order.id),
        Network=environment.shown_network(OFF_NETWORK),
        Created=time_text(order.created_at),
        Status=STATUSES[order.state],
        Direction=DIRECTIONS[order.side],
        CustomerID=told(facts.party_external_id),
        ExternalID=told(payment.external_id),
        Amount=print_units(units, asset.scale),
        CryptoCurrency=environment.shown_asset(payment.asset),
        FiatPayment=_fiat_payment(facts, payment, scales),
        Orchestration=_orchestration(payment),
        FiatPaymentMethod=payment_method(facts.method, facts.party_external_id) if facts.method else UNSET,
        Breakdown=_breakdown(order, payment, units, asset, scales),
        AdjustmentFor=_adjustment(payment),
    )


def _fiat_payment(facts: Facts, payment: Payment, scales: Mapping[str, int]) -> FiatPayment | UnsetType:
    if payment.fiat is None:
        return UNSET
    scale = scales[payment.fiat]
    return FiatPayment(
        Amount=print_units(payment.fiat_units, scale),
        FeeAmount=print_units(payment.fee_units + payment.surcharge_units, scale),
        Rate=UNSET if payment.rate is None else rate_text(payment.rate),
        FiatCurrency=payment.fiat,
        FiatDepositID=told_id(payment.deposit_id),
        PaymentSystemID=told(facts.reference),
    )


def _orchestration(payment: Payment) -> Orchestration | UnsetType:
    if payment.rule_id is None or payment.rule_execution_id is None:
        return UNSET
    return Orchestration(RuleID=str(payment.rule_id), RuleExecutionID=str(payment.rule_execution_id))


def _breakdown(
    order: Order, payment: Payment, units: int, asset: Asset, scales: Mapping[str, int]
) -> list[BreakdownItem] | UnsetType:
    """Return how a sell's amount is made up: in the asset (ramp contract 8.6), and nothing of what has no fees."""
    if order.side != SELL or payment.fiat is None:
        return UNSET
    shares = shares_of(payment, units, asset, Asset(payment.fiat, scales[payment.fiat]))
    return [
        BreakdownItem(Type=_SHARES[share.kind], Amount=print_units(share.units, asset.scale))  # type: ignore[arg-type]
        for share in shares
    ]


def _adjustment(payment: Payment) -> AdjustmentFor | UnsetType:
    if payment.kind != ADJUSTMENT:
        return UNSET
    return AdjustmentFor(
        AdjustedTransactionID=str(payment.adjusts_id),
        AdjustmentID=str(payment.adjustment_id),
        Reason="ExchangeRateCorrection",
    )


def payment_method(method: PaymentMethod, party_external_id: str | None) -> FiatPaymentMethod:
    """Render a payment method."""
    return FiatPaymentMethod(
        ID=method.name,
        CustomerID=told(party_external_id),
        Country=method.country,
        PaymentMethodCategory=CATEGORIES[method.category],
        DisplayDetails=display_details(method),
    )


def display_details(method: PaymentMethod) -> DisplayDetails:
    """Render what is shown of a payment method."""
    if method.category == CARD:
        return CardDisplay(Last4=method.number or "", Scheme=method.subtype or "")
    if method.category == IDENTIFIER:
        return IdentifierDisplay(IdentifierType=method.subtype or "", Identifier=method.number or "")
    return BankDisplay(AccountNumber=told(method.number), BankCode=told(method.bank_code))


class SellRequest(msgspec.Struct, kw_only=True):
    """Sell for a form session."""

    CryptoCurrency: AssetCode
    FiatAmount: Annotated[PositiveDecimal, Meta(description="What arrives, net of fees.")]
    CryptoAuthorizedAmount: Annotated[PositiveDecimal, Meta(description="The most that may be charged.")]
    FormSessionID: Uuid
    Nonce: NonceText
    ExternalID: ExternalId | None = None


class SellAnswer(msgspec.Struct, kw_only=True):
    """A sell that was accepted."""

    Transaction: Transaction


class PrepareRequest(msgspec.Struct, kw_only=True):
    """Price a payout, validate its form and open a form session."""

    ChannelID: Uuid
    CryptoCurrency: AssetCode
    FiatAmount: PositiveDecimal
    CustomerID: CustomerId | None = None
    PaymentMethodID: PaymentMethodId | None = None
    Form: Annotated[
        msgspec.Raw,
        Meta(description="Values by the channel's FormSchema.", extra_json_schema={"type": ["object", "null"]}),
    ] = msgspec.field(default_factory=msgspec.Raw)
    DelayedSell: bool = False


class PrepareAnswer(msgspec.Struct, kw_only=True):
    """What was prepared."""

    TotalFee: Annotated[DecimalText, Meta(description="All fees, in the fiat.")]
    CryptoAmountEstimate: DecimalText
    CryptoAuthorizedAmount: Annotated[DecimalText, Meta(description="A ceiling to sell with.")]
    FormSessionID: UuidText


class TransactionPage(msgspec.Struct, kw_only=True):
    """A page of transactions."""

    Items: list[Transaction]
    PageToken: str | UnsetType = UNSET


class Balance(msgspec.Struct, kw_only=True):
    """What a business has of an asset; `Total` still counts what has not settled."""

    AccountType: Literal["Current"]
    CryptoCurrency: str
    Available: DecimalText
    Total: DecimalText


class BalancePage(msgspec.Struct, kw_only=True):
    """A page of balances."""

    Items: list[Balance]
    PageToken: str | UnsetType = UNSET


class PaymentMethodPage(msgspec.Struct, kw_only=True):
    """A page of payment methods."""

    Items: list[FiatPaymentMethod]
    PageToken: str | UnsetType = UNSET


def positive(text: str, field: str) -> Decimal:
    """Return a positive decimal as a plain number, the same for `100.0` and `+100`; refuses REQUEST_INVALID."""
    if len(text) > 38 or not _DECIMAL.fullmatch(text):
        raise wrong({field: "must match the PositiveDecimal pattern"})
    return plain(Decimal(text))


def rate_text(rate: Decimal) -> str:
    """Write a rate without trailing zeros and without exponent."""
    return format(plain(rate), "f")


def time_text(moment: datetime) -> str:
    """Write a time as the contract does: RFC 3339 in whole seconds."""
    return moment.isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def told(text: str | None) -> str | UnsetType:
    """Return a text that may be missing."""
    return UNSET if text is None else text


def told_id(one: UUID | None) -> str | UnsetType:
    """Return an id that may be missing."""
    return UNSET if one is None else str(one)


def without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without what it does not have."""
    return {name: value for name, value in fields.items() if value is not None}

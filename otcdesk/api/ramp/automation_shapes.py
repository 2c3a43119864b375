"""What the ramp dialect reads and writes of rules, workflows and simulated deposits (ramp contract 3.10, 3.11).

Conditions are alternatives: any of them sets a rule off. All bounds on the amount inside of one must hold.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.ramp.codes import OFF_NETWORK, Environment
from otcdesk.api.ramp.shapes import (
    AssetCode,
    CustomerId,
    ExternalId,
    NonceText,
    PaymentMethodId,
    PositiveDecimal,
    positive,
    told,
)
from otcdesk.api.wire import KEPT_TEXT, Uuid, UuidText, uuid_of
from otcdesk.domain.deposits import BankDetails, DepositAddress
from otcdesk.domain.rules import (
    ACTIONS_MAX,
    CONDITIONS_MAX,
    STEPS_MAX,
    AmountCondition,
    Condition,
    SellAction,
    Step,
    SteppedAmount,
)
from otcdesk.forms import wrong
from otcdesk.money import Operator

#: The one thing that an amount can refer to: the deposit's own.
DEPOSITED: Final = "../Amount"

_COMPARISONS: Final[Mapping[str, Literal["equal", "at_most", "at_least"]]] = {
    "EQ": "equal",
    "LTEQ": "at_most",
    "GTEQ": "at_least",
}
_OPERATORS: Final[Mapping[str, Operator]] = {"Add": "add", "Sub": "subtract", "Mul": "multiply"}

#: What an address on a network looks like; on all others they are Ethereum's.
_EVM: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_ADDRESSES: Final[Mapping[str, re.Pattern[str]]] = {
    "Bitcoin": re.compile(r"(bc1|tb1|bcrt1)[a-z0-9]{20,87}|[13mn2][1-9A-HJ-NP-Za-km-z]{25,39}", re.ASCII),
    "Solana": re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}", re.ASCII),
}
#: Networks on which nobody has an address to which anybody can pay.
_WITHOUT_ADDRESSES: Final = frozenset({OFF_NETWORK, "Lightning"})

ChainAddress = Annotated[str, Meta(min_length=1, max_length=120, pattern=KEPT_TEXT)]
NetworkCode = Annotated[str, Meta(min_length=1, max_length=40)]
Value = Annotated[str, Meta(min_length=1, max_length=38, description=f"A decimal, or `{DEPOSITED}`.")]


class AmountConditionInput(msgspec.Struct, kw_only=True):
    """A bound on the amount of a deposit."""

    ComparisonOperator: Literal["EQ", "LTEQ", "GTEQ"]
    Value: PositiveDecimal


class ConditionInput(msgspec.Struct, kw_only=True):
    """What a deposit must be."""

    AmountConditions: Annotated[list[AmountConditionInput], Meta(max_length=CONDITIONS_MAX)] = []
    CryptoCurrency: AssetCode
    Network: NetworkCode


class TriggerInput(msgspec.Struct, kw_only=True):
    """Which deposits set a rule off."""

    Type: Literal["DepositSourceTriggerInput"]
    Conditions: Annotated[list[ConditionInput], Meta(min_length=1, max_length=CONDITIONS_MAX)]
    SourceAddress: ChainAddress | UnsetType = UNSET
    CustomerID: CustomerId | UnsetType = UNSET


class OperationInput(msgspec.Struct, kw_only=True):
    """A step of working on an amount."""

    Operator: Literal["Add", "Sub", "Mul"]
    Value: Value


class StepDecimal(msgspec.Struct, kw_only=True):
    """An amount, worked on step by step, exactly; the result is cut to the decimals that it can have."""

    Value: Value
    Operations: Annotated[list[OperationInput], Meta(max_length=STEPS_MAX)] = []


class SellActionInput(msgspec.Struct, kw_only=True):
    """Sell for a form session, which may be used again by its rule."""

    Type: Literal["SellActionInput"]
    CryptoCurrency: AssetCode
    CryptoAuthorizedAmount: StepDecimal
    FiatAmount: StepDecimal
    FormSessionID: Uuid
    ExternalID: ExternalId | None = None


class RuleRequest(msgspec.Struct, kw_only=True):
    """A rule to make."""

    Trigger: TriggerInput
    Actions: Annotated[list[SellActionInput], Meta(min_length=1, max_length=ACTIONS_MAX)]
    Expiry: datetime | None = None
    Permanent: bool = False
    Nonce: NonceText


class RuleAnswer(msgspec.Struct, kw_only=True):
    """A rule that was made."""

    ID: UuidText
    Trigger: TriggerInput


class SingleTriggerInput(msgspec.Struct, kw_only=True):
    """Which deposit sets a workflow off, once."""

    Type: Literal["SingleOnchainDepositSourceTriggerInput"]
    Conditions: Annotated[list[ConditionInput], Meta(min_length=1, max_length=CONDITIONS_MAX)]
    SourceAddress: ChainAddress | UnsetType = UNSET
    Expiry: datetime | None = None
    Nonce: NonceText


class OnchainWorkflowRequest(msgspec.Struct, kw_only=True):
    """Sell what arrives at an address of its own, once, for at most what has arrived."""

    Trigger: SingleTriggerInput
    CustomerID: CustomerId
    CryptoCurrency: AssetCode
    FiatAmount: PositiveDecimal
    FormSessionID: Uuid
    ExternalID: ExternalId | None = None


class Address(msgspec.Struct, kw_only=True):
    """An address on a chain."""

    Address: ChainAddress


class WatchedCondition(msgspec.Struct, kw_only=True):
    """What a deposit must be, and where to."""

    AmountConditions: list[AmountConditionInput]
    CryptoCurrency: str
    Network: str
    DestinationAddress: Address


class OnchainWorkflowAnswer(msgspec.Struct, kw_only=True):
    """Where to pay to."""

    Conditions: list[WatchedCondition]
    SourceAddress: str | UnsetType = UNSET


class BankWorkflowRequest(msgspec.Struct, kw_only=True):
    """Buy for each deposit at bank details of its own, and send what was bought to an address.

    Without a Nonce the same request is the same workflow.
    """

    CustomerID: CustomerId
    FiatCurrency: Annotated[str, Meta(pattern="^[A-Z]{3}$", min_length=3, max_length=3)]
    CryptoCurrency: AssetCode
    Network: NetworkCode
    DestinationAddress: Address
    Nonce: NonceText | None = None


class BankWorkflowAnswer(msgspec.Struct, kw_only=True):
    """Where to pay to."""

    PaymentMethodID: str
    PaymentMethodType: str
    AccountNumber: str
    BankCode: str | UnsetType = UNSET
    AccountHolderName: str


class SimulateRequest(msgspec.Struct, kw_only=True):
    """Fiat that is to arrive, as if it had."""

    PaymentMethodID: PaymentMethodId
    FiatAmount: PositiveDecimal
    FiatCurrency: Annotated[str, Meta(pattern="^[A-Z]{3}$", min_length=3, max_length=3)]
    Reference: Annotated[str, Meta(max_length=140, pattern=KEPT_TEXT)] | None = None


class SimulateAnswer(msgspec.Struct, kw_only=True):
    """What has arrived."""

    FiatDepositID: UuidText


def conditions_of(given: Sequence[ConditionInput], environment: Environment, path: str) -> tuple[Condition, ...]:
    """Return what deposits must be; refuses REQUEST_INVALID naming what is not so."""
    return tuple(_condition(one, environment, f"{path}.{number}") for number, one in enumerate(given))


def _condition(given: ConditionInput, environment: Environment, path: str) -> Condition:
    return Condition(
        asset=environment.asset(given.CryptoCurrency, f"{path}.CryptoCurrency"),
        network=chain_network(given.Network, environment, f"{path}.Network"),
        amounts=tuple(
            AmountCondition(
                comparison=_COMPARISONS[one.ComparisonOperator],
                value=positive(one.Value, f"{path}.AmountConditions.{number}.Value"),
            )
            for number, one in enumerate(given.AmountConditions)
        ),
    )


def chain_network(code: str, environment: Environment, field: str) -> str:
    """Return a network on which there are addresses; refuses REQUEST_INVALID naming the field."""
    network = environment.network(code, field)
    if network in _WITHOUT_ADDRESSES:
        raise wrong({field: "has no addresses that can be paid to"})
    return network


def checked_address(address: str, network: str, field: str) -> str:
    """Return an address that looks like one of its network's; refuses REQUEST_INVALID naming the field."""
    if not _ADDRESSES.get(network, _EVM).fullmatch(address):
        raise wrong({field: "is no address of this network"})
    return address


def sell_action(given: SellActionInput, environment: Environment, path: str) -> SellAction:
    """Return what is to be sold; refuses REQUEST_INVALID naming what is not so."""
    return SellAction(
        prepared_id=uuid_of(given.FormSessionID),
        asset=environment.asset(given.CryptoCurrency, f"{path}.CryptoCurrency"),
        arrives=_stepped(given.FiatAmount, f"{path}.FiatAmount"),
        ceiling=_stepped(given.CryptoAuthorizedAmount, f"{path}.CryptoAuthorizedAmount"),
        external_id=given.ExternalID,
    )


def _stepped(given: StepDecimal, path: str) -> SteppedAmount:
    return SteppedAmount(
        value=_value(given.Value, f"{path}.Value"),
        steps=tuple(
            Step(operator=_OPERATORS[one.Operator], value=_value(one.Value, f"{path}.Operations.{number}.Value"))
            for number, one in enumerate(given.Operations)
        ),
    )


def _value(text: str, field: str) -> Decimal | None:
    """Return a number, None for the deposit's amount; refuses REQUEST_INVALID for any other reference."""
    if text == DEPOSITED:
        return None
    if text.startswith((".", "/")) and not text[1:2].isdigit():
        raise wrong({field: f"refers to nothing; the only reference is {DEPOSITED}"})
    return positive(text, field)


def expiry_of(given: datetime | None, field: str) -> datetime | None:
    """Return when a rule ends; refuses REQUEST_INVALID for a time without a zone, and for one beyond the calendar."""
    if given is None:
        return None
    if given.tzinfo is None:
        raise wrong({field: "must have a time zone"})
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise wrong({field: "must be in the years 1 to 9999 in UTC"}) from None


def watched(
    given: Sequence[ConditionInput], conditions: Sequence[Condition], addresses: Sequence[DepositAddress]
) -> list[WatchedCondition]:
    """Return conditions with the address on each one's network."""
    of_network = {address.network: address.address for address in addresses}
    return [
        WatchedCondition(
            AmountConditions=one.AmountConditions,
            CryptoCurrency=one.CryptoCurrency,
            Network=one.Network,
            DestinationAddress=Address(Address=of_network[condition.network or ""]),
        )
        for one, condition in zip(given, conditions, strict=True)
    ]


def bank_answer(bank: BankDetails) -> BankWorkflowAnswer:
    """Render bank details."""
    return BankWorkflowAnswer(
        PaymentMethodID=bank.name,
        PaymentMethodType=bank.type,
        AccountNumber=bank.number,
        BankCode=told(bank.bank_code),
        AccountHolderName=bank.holder,
    )

"""What the ramp dialect tells of money that arrives, and of what leaves for a chain (ramp contract 3.4, 6).

What arrives on a chain is a transaction, `In`; what leaves for one is `Out`. What arrives at a bank is a fiat deposit,
which callbacks alone tell of.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.ramp.codes import Environment
from otcdesk.api.ramp.shapes import (
    BankDisplay,
    DisplayDetails,
    Facts,
    Orchestration,
    Status,
    Transaction,
    payment_transaction_of,
    time_text,
    told,
)
from otcdesk.api.wire import DecimalText, TimeText, UuidText
from otcdesk.domain.chain_payouts import ChainPayout
from otcdesk.domain.deposits import (
    CREATED,
    FAILED,
    PENDING,
    REFUNDED,
    SETTLED,
    BankDetails,
    Deposit,
    refund_id,
)
from otcdesk.domain.orders import Order
from otcdesk.money import print_units

#: A deposit's states on the wire, and those of what leaves for a chain.
STATUSES: Final[Mapping[str, Status]] = {
    CREATED: "Pending",
    PENDING: "Pending",
    SETTLED: "Settled",
    FAILED: "Failed",
    REFUNDED: "Failed",
}


class Sender(msgspec.Struct, kw_only=True):
    """Who sent it, as far as the bank says."""

    FullName: Annotated[str | UnsetType, Meta(description="The sender's name.")] = UNSET
    Details: Annotated[DisplayDetails, Meta(description="The sender's account.")]


class FiatAmount(msgspec.Struct, kw_only=True):
    """An amount of a fiat."""

    Amount: Annotated[DecimalText, Meta(description="How much.")]
    FiatCurrency: Annotated[str, Meta(description="Of which fiat.")]


class Refund(msgspec.Struct, kw_only=True):
    """What goes back of a deposit."""

    RefundID: Annotated[UuidText, Meta(description="The refund.")]
    RefundedAmount: Annotated[FiatAmount, Meta(description="What goes back.")]
    RequestedTime: Annotated[TimeText, Meta(description="When it was asked for.")]
    Status: Annotated[Literal["Pending", "Failed", "Successful"], Meta(description="Where it stands.")]


class FiatDeposit(msgspec.Struct, kw_only=True):
    """Fiat that arrives at a bank account of the business's."""

    ID: Annotated[UuidText, Meta(description="The deposit.")]
    Created: Annotated[TimeText, Meta(description="When it was seen.")]
    FiatAmount: Annotated[DecimalText, Meta(description="How much arrives.")]
    FiatCurrency: Annotated[str, Meta(description="The fiat.")]
    Reference: Annotated[str | UnsetType, Meta(description="What the sender wrote.")] = UNSET
    Status: Annotated[Status, Meta(description="Where it stands; Failed goes back.")]
    CustomerID: Annotated[str | UnsetType, Meta(description="For whom it is.")] = UNSET
    PaymentMethodID: Annotated[str, Meta(description="The bank details at which it arrives.")]
    PaymentMethodType: Annotated[str, Meta(description="Of which kind they are.")]
    Sender: Annotated[Sender, Meta(description="Who sent it.")]
    Refunds: Annotated[list[Refund], Meta(description="What of it goes back; may be empty.")]


def transaction_of(facts: Facts, scales: Mapping[str, int], environment: Environment) -> Transaction:
    """Render a transaction of any kind; `scales` are the decimals of its asset and its fiat, by code."""
    if facts.payment is not None:
        return payment_transaction_of(facts, facts.payment, scales, environment)
    if facts.deposit is not None:
        return _arrival(facts.order, facts.deposit, facts.party_external_id, scales, environment)
    if facts.sending is not None:
        return _sending(facts.order, facts.sending, facts.party_external_id, scales, environment)
    raise AssertionError(f"nothing is known of order {facts.order.id}")


def fiat_deposit_of(
    order: Order,
    deposit: Deposit,
    bank: BankDetails,
    party_external_id: str | None,
    scales: Mapping[str, int],
) -> FiatDeposit:
    """Render a deposit at a bank."""
    amount = print_units(order.source_units, scales[order.source_asset])
    return FiatDeposit(
        ID=str(order.id),
        Created=time_text(order.created_at),
        FiatAmount=amount,
        FiatCurrency=order.source_asset,
        Reference=told(deposit.reference),
        Status=STATUSES[order.state],
        CustomerID=told(party_external_id),
        PaymentMethodID=bank.name,
        PaymentMethodType=bank.type,
        Sender=Sender(
            FullName=told(deposit.sender_name),
            Details=BankDisplay(AccountNumber=told(deposit.sender_number), BankCode=told(deposit.sender_bank_code)),
        ),
        Refunds=_refunds(order, amount),
    )


def _refunds(order: Order, amount: str) -> list[Refund]:
    """Return the refund of a deposit that failed: it was asked for when the deposit ended."""
    if order.state not in {FAILED, REFUNDED}:
        return []
    refund = Refund(
        RefundID=str(refund_id(order.id)),
        RefundedAmount=FiatAmount(Amount=amount, FiatCurrency=order.source_asset),
        RequestedTime=time_text(order.ended_at or order.updated_at),
        Status="Successful" if order.state == REFUNDED else "Pending",
    )
    return [refund]


def _arrival(
    order: Order,
    deposit: Deposit,
    party_external_id: str | None,
    scales: Mapping[str, int],
    environment: Environment,
) -> Transaction:
    """Render a deposit on a chain."""
    return Transaction(
        ID=str(order.id),
        PublicID=told(deposit.hash),
        Network=environment.shown_network(deposit.network or ""),
        Created=time_text(order.created_at),
        Status=STATUSES[order.state],
        Direction="In",
        CustomerID=told(party_external_id),
        Amount=print_units(order.source_units, scales[order.source_asset]),
        CryptoCurrency=environment.shown_asset(order.source_asset),
    )


def _sending(
    order: Order,
    sending: ChainPayout,
    party_external_id: str | None,
    scales: Mapping[str, int],
    environment: Environment,
) -> Transaction:
    """Render what leaves for a chain; its hash is known once it was sent."""
    ruled = sending.rule_id is not None and sending.rule_execution_id is not None
    return Transaction(
        ID=str(order.id),
        PublicID=told(order.reason) if order.state == SETTLED else UNSET,
        Network=environment.shown_network(sending.network),
        Created=time_text(order.created_at),
        Status=STATUSES[order.state],
        Direction="Out",
        CustomerID=told(party_external_id),
        Amount=print_units(order.source_units, scales[order.source_asset]),
        CryptoCurrency=environment.shown_asset(order.source_asset),
        Orchestration=Orchestration(RuleID=str(sending.rule_id), RuleExecutionID=str(sending.rule_execution_id))
        if ruled
        else UNSET,
    )

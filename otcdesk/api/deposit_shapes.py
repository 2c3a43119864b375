"""Deposits as operators and sandboxes say them: what arrived where, how far it is, and the rules that it set off."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from otcdesk.actions.record_deposit import RecordDeposit
from otcdesk.api.wire import KEPT_TEXT, AssetCode, time_text
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.deposits import BankDetails, Deposit
from otcdesk.domain.orders import Order
from otcdesk.domain.rules import Rule, RuleExecution
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_units, print_units

Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=KEPT_TEXT)]
Stage = Literal["pending", "settled", "failed"]


class DepositRequest(msgspec.Struct, kw_only=True):
    """What arrived: at an address on a `network`, or without one at the bank details of that name.

    `outsideId` is what the bank or chain knows it by: the same again is the same deposit.
    """

    network: Text | None = None
    destination: Text
    asset: AssetCode
    amount: Annotated[str, Meta(max_length=64)]
    outsideId: Text  # noqa: N815  (wire name)
    stage: Stage = "settled"
    reason: Text | None = None
    reference: Text | None = None
    senderName: Text | None = None  # noqa: N815
    senderAccount: Text | None = None  # noqa: N815
    senderBankCode: Text | None = None  # noqa: N815
    senderAddress: Text | None = None  # noqa: N815
    hash: Text | None = None


class OutcomeRequest(msgspec.Struct, kw_only=True):
    """What became of a deposit."""

    outcome: Literal["settled", "failed", "refunded"]
    reason: Text | None = None


class StoredDeposit(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit as it is read, with its order and the bank details that it came to."""

    order: Order
    deposit: Deposit
    bank: BankDetails | None = None
    party_external_id: str | None = None


def units_given(amount: str, scales: Mapping[str, int], asset: str) -> int:
    """Read an amount of a listed asset; refuses ASSET_NOT_FOUND, REQUEST_INVALID."""
    if asset not in scales:
        raise Refusal(Code.ASSET_NOT_FOUND)
    units = parse_units(amount, scales[asset])
    if units is None:
        raise Refusal(Code.REQUEST_INVALID, f"The amount must be a decimal of at most {scales[asset]} places.")
    return units


def record_command(body: DepositRequest, scales: Mapping[str, int]) -> RecordDeposit:
    """Return the command that records a deposit; refuses ASSET_NOT_FOUND, REQUEST_INVALID."""
    return RecordDeposit(
        network=body.network,
        destination=body.destination,
        asset=body.asset,
        units=units_given(body.amount, scales, body.asset),
        outside_id=body.outsideId,
        stage=body.stage,
        reason=body.reason,
        reference=body.reference,
        sender_name=body.senderName,
        sender_number=body.senderAccount,
        sender_bank_code=body.senderBankCode,
        sender_address=body.senderAddress,
        hash=body.hash,
    )


def deposit_answer(order: Order, deposit: Deposit, scales: Mapping[str, int]) -> dict[str, Any]:
    """Render a deposit."""
    return {
        "id": str(order.id),
        "side": order.side,
        "status": order.state,
        "customerId": str(order.tenant_id),
        "userId": None if deposit.party_id is None else str(deposit.party_id),
        "asset": order.source_asset,
        "amount": print_units(order.source_units, scales[order.source_asset]),
        "network": deposit.network,
        "destination": deposit.address or deposit.method,
        "outsideId": deposit.outside_id,
        "reference": deposit.reference,
        "senderName": deposit.sender_name,
        "senderAccount": deposit.sender_number,
        "senderBankCode": deposit.sender_bank_code,
        "senderAddress": deposit.sender_address,
        "hash": deposit.hash,
        "ruleId": None if deposit.rule_id is None else str(deposit.rule_id),
        "reason": order.reason,
        "createdAt": iso_milliseconds(order.created_at),
        "updatedAt": iso_milliseconds(order.updated_at),
        "endedAt": time_text(order.ended_at),
    }


def rule_answer(rule: Rule, now: datetime) -> dict[str, Any]:
    """Render a rule, as the clock has it."""
    over = rule.state == "live" and rule.is_over(now)
    return {
        "id": str(rule.id),
        "customerId": str(rule.tenant_id),
        "userId": None if rule.party_id is None else str(rule.party_id),
        "terms": msgspec.json.decode(rule.terms),
        "bound": rule.is_bound,
        "permanent": rule.is_permanent,
        "expiresAt": time_text(rule.expires_at),
        "status": "expired" if over else rule.state,
        "fired": rule.fired,
        "createdAt": iso_milliseconds(rule.created_at),
        "updatedAt": iso_milliseconds(rule.updated_at),
    }


def execution_answer(execution: RuleExecution) -> dict[str, Any]:
    """Render what became of one action of a rule."""
    return {
        "id": str(execution.id),
        "number": execution.number,
        "ruleId": str(execution.rule_id),
        "customerId": str(execution.tenant_id),
        "depositId": str(execution.deposit_id),
        "orderId": None if execution.order_id is None else str(execution.order_id),
        "refused": execution.code,
        "detail": execution.detail,
        "happenedAt": iso_milliseconds(execution.happened_at),
    }
